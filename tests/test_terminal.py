"""What reaches a terminal: names from outside as they are, in any encoding."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import write_clips
from mtbench.errors import visible

BAND = Path(__file__).parents[1] / "results" / "band"


def mtbench(*arguments, encoding):
    """Return the exit code and both outputs, as bytes."""
    return subprocess.run(
        [sys.executable, "-m", "mtbench", *map(str, arguments)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "200"},
    )


@pytest.mark.parametrize(
    "text, shown",
    [
        ("Björk – 漢字 👩‍🎤", "Björk – 漢字 👩‍🎤"),
        ("a\x1b[31mb\x07", r"a\x1b[31mb\x07"),
        ("two\nlines\r\t", r"two\nlines\r\t"),
        ("wav.\u202e3pm\u2069", r"wav.\u202e3pm\u2069"),
        ("next\x85\u2028\u2029", r"next\x85\u2028\u2029"),
        (b"caf\xe9".decode(errors="surrogateescape"), r"caf\xe9"),
        ("lone \ud800", r"lone \ud800"),
    ],
)
def test_characters_that_act_on_the_terminal_are_escaped(text, shown):
    assert visible(text) == shown


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_names_are_shown_escaped_in_every_encoding(tmp_path, encoding):
    hostile = "\x1b]0;title\x07 \x1b[31m\n\u202e漢"
    folder = write_clips(tmp_path / "mine", ["good", hostile], seconds=4.0)
    (folder / "drums" / f"{hostile}.wav").write_bytes(b"no audio")
    settings = ["--fps", "100", "--timebase", "real"]
    done = mtbench("eval", folder, "--out", tmp_path / "run", *settings, encoding=encoding)
    assert done.returncode == 0
    shown = "\\x1b]0;title\\x07 \\x1b[31m\\n\\u202e漢".encode(encoding, errors="replace")
    assert b"clip " + shown + b" not scored" in done.stderr
    assert b"\x1b" not in done.stdout + done.stderr and "\u202e".encode() not in done.stdout + done.stderr
    done = mtbench("beats", folder / "drums" / f"{hostile}.wav", encoding=encoding)
    assert done.returncode == 1 and shown in done.stderr and done.stderr.count(b"\n") == 3  # progress, and one error


@pytest.mark.parametrize(
    "command, encoding",
    [
        (["show", BAND, "--full"], "ascii"),
        (["models"], "cp1252"),
        (["run", "--help"], "ascii"),
        (["site", BAND, "--out", "page"], "cp1252"),
    ],
)
def test_commands_replace_letters_that_the_encoding_lacks(tmp_path, monkeypatch, command, encoding):
    monkeypatch.chdir(tmp_path)
    done = mtbench(*command, encoding=encoding)
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    done.stdout.decode(encoding)
    if command[0] == "site":
        assert "↓" in (tmp_path / "page" / "index.html").read_text(encoding="utf-8")


def test_many_clips_that_cannot_be_scored_are_counted(tmp_path):
    folder = write_clips(tmp_path / "mine", "abcdef", seconds=4.0)
    for name in "bcdef":
        (folder / "drums" / f"{name}.wav").write_bytes(b"no audio")
    done = mtbench("eval", folder, "--out", tmp_path / "run", "--fps", "100", "--timebase", "real", encoding="utf-8")
    assert done.returncode == 0 and done.stderr.count(b"not scored: ") == 3
    assert b"mine: 2 more clips not scored; the table of failures lists all of them" in done.stderr
    assert (tmp_path / "run" / "failures.csv").read_text().count("cannot be read as audio") == 5
