"""The registry, and a third-party package that is actually installed."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import STEMS
from mtbench import registry
from mtbench.controls import Heldout, Noise
from mtbench.errors import MtbenchError, UsageError
from mtbench.registry import open_suite
from mtbench.stems import StemSet


def test_the_mixture_is_the_clipped_sum():
    stems = {"bass": np.float32([0.5, 0.9]), "drums": np.float32([0.25, 0.9])}
    np.testing.assert_array_equal(StemSet("a", stems, 16000).mixture, np.float32([0.75, 1.0]))
    np.testing.assert_array_equal(StemSet("a", {"mixture": stems["bass"]}, 16000).mixture, stems["bass"])


def test_mtbenchs_models_are_installed():
    assert {"synctrack", "msg-ld", "heldout", "noise"} <= set(registry.models())


def test_unknown_models_and_options_are_refused():
    suite = open_suite("band")
    with pytest.raises(UsageError, match="Did you mean 'synctrack'"):
        registry.make_model("sinctrack", suite=suite)
    with pytest.raises(UsageError, match="colour"):
        registry.make_model("noise", suite=suite, options={"colour": "pink"})
    with pytest.raises(UsageError, match="device cannot be set under options"):
        registry.make_model("noise", suite=suite, options={"device": "cuda"})


@pytest.mark.parametrize(
    "value, problem",
    [
        ("absent_package:make", "absent_package:make cannot be imported"),
        ("math:sqrt", "does not accept these options"),
        ("test_generator:breaks", "cannot be created .FileNotFoundError: weights.pt"),
        ("test_generator:half", "has no sample_rate"),
        ("test_generator:leaves", "cannot be created .SystemExit: no weights"),
        ("builtins:dict", "does not accept these options"),
        ("test_generator:rambles", r"cannot be created .RuntimeError: line one\\x1b\[31m of a xxx+\.\.\.\)$"),
    ],
)
def test_a_broken_factory_is_named(value, problem, monkeypatch):
    point = EntryPoint("theirs", value, "mtbench.generators")
    monkeypatch.setattr(registry, "models", lambda: {"theirs": point})
    with pytest.raises(MtbenchError, match=f"model 'theirs'.*{problem}"):
        registry.make_model("theirs", suite=open_suite("band"))


def breaks(*, weights, device, suite):
    raise FileNotFoundError("weights.pt")


def leaves(*, weights, device, suite):
    sys.exit("no weights")


def rambles(*, weights, device, suite):
    raise RuntimeError("\n  line\tone\x1b[31m of a " + 1000 * "x" + "\nline two")


class Whole:
    name, sample_rate, stems, tasks, provenance = "whole", 44100, STEMS, frozenset({"total"}), {}

    def generate(self, n, stems, *, given=None, seed=0, start=0): ...


def with_field(*, weights, device, suite, field, value):
    generator = Whole()
    setattr(generator, field, value)
    return generator


@pytest.mark.parametrize(
    "field, value",
    [
        ("sample_rate", np.int64(44100)),
        ("sample_rate", 44100.0),
        ("stems", ["bass", "drums"]),
        ("tasks", ["total"]),
    ],
)
def test_equivalent_types_are_accepted(field, value, monkeypatch):
    assert getattr(make_with(field, value, monkeypatch), field) == value


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("name", 3, r"name must be a non-empty string \(got 3\)"),
        ("name", "", r"name must be a non-empty string \(got ''\)"),
        ("sample_rate", "44100", r"sample_rate must be a positive whole number of Hz \(got '44100'\)"),
        ("sample_rate", 44100.5, r"sample_rate must be .* \(got 44100.5\)"),
        ("sample_rate", 0, r"sample_rate must be .* \(got 0\)"),
        ("sample_rate", float("nan"), r"sample_rate must be .* \(got nan\)"),
        ("sample_rate", float("inf"), r"sample_rate must be .* \(got inf\)"),
        ("stems", "bass", r"stems must be a tuple of strings \(got 'bass'\)"),
        ("stems", None, r"stems must be .* \(got None\)"),
        ("stems", [1, 2], r"stems must be .* \(got \[1, 2\]\)"),
        ("tasks", None, r"tasks must be a set of strings \(got None\)"),
        ("tasks", "total", r"tasks must be .* \(got 'total'\)"),
        ("provenance", None, r"provenance must be a mapping \(got None\)"),
        ("generate", None, r"generate must be a method \(got None\)"),
    ],
)
def test_attributes_of_a_wrong_type_are_named(field, value, message, monkeypatch):
    with pytest.raises(MtbenchError, match=f"model 'theirs': {message}"):
        make_with(field, value, monkeypatch)


def make_with(field, value, monkeypatch):
    point = EntryPoint("theirs", "test_generator:with_field", "mtbench.generators")
    monkeypatch.setattr(registry, "models", lambda: {"theirs": point})
    return registry.make_model("theirs", suite=open_suite("band"), options={"field": field, "value": value})


def half(*, weights, device, suite):
    class Half:
        name = "half"

    return Half()


@pytest.mark.parametrize("control", [Noise, Heldout])
def test_sample_i_depends_on_seed_and_i_alone(control, suite_folder):
    generator = control(open_suite(f"folder:{suite_folder}"))
    all_four = list(generator.generate(4, STEMS, seed=3))
    later = next(iter(generator.generate(1, ["drums", "bass"], seed=3, start=2)))
    assert list(later.stems) == ["drums", "bass"]
    np.testing.assert_array_equal(later.stems["bass"], all_four[2].stems["bass"])
    assert not np.array_equal(all_four[0].stems["bass"], all_four[2].stems["bass"])
    assert all(wave.dtype == np.float32 and wave.shape == (163840,) for s in all_four for wave in s.stems.values())


def test_noise_follows_its_seed():
    generator = Noise(open_suite("band"))
    a, b = (next(iter(generator.generate(1, STEMS, seed=seed))) for seed in (0, 1))
    assert not np.array_equal(a.stems["bass"], b.stems["bass"])
    assert not np.array_equal(a.stems["bass"], a.stems["drums"])
    assert np.std(a.stems["bass"]) == pytest.approx(0.1, rel=0.02)


PAGE = Path(__file__).resolve().parents[1] / "docs" / "how-to" / "your-model.md"


def blocks_of_the_page() -> dict[str, str]:
    """Return {file name: content} for the code blocks of docs/how-to/your-model.md whose first line names a file."""
    return dict(re.findall(r"^```\w+\n# (\S+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))


def test_a_generator_takes_thirty_lines_and_one_entry_point():
    files = blocks_of_the_page()
    assert set(files) == {"pyproject.toml", "metronome.py"}
    assert len([line for line in files["metronome.py"].splitlines() if line.strip()]) <= 30
    assert tomllib.loads(files["pyproject.toml"])["project"]["entry-points"] == {
        "mtbench.generators": {"metronome": "metronome:make"}
    }


def test_a_strangers_package_runs_by_name(tmp_path, suite_folder):
    """The package from docs/how-to/your-model.md, actually installed and run from the command line."""
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    for name, content in blocks_of_the_page().items():
        (source / name).write_text(content, encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(site), str(source)], check=True, capture_output=True)

    def mtbench(*arguments):
        command = [sys.executable, "-m", "mtbench.cli", *arguments]
        process = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True)
        assert process.returncode == 0, process.stderr
        return process.stdout

    (listed,) = [line.split() for line in mtbench("models").splitlines() if line.split()[:1] == ["metronome"]]
    assert listed == ["metronome", "metronome"]
    details = {line.split()[0]: line.split()[1:] for line in mtbench("models", "metronome").splitlines()}
    assert details["tasks"] == ["arrangement,", "total"] and details["weights"] == ["clicks", "at", "120", "BPM"]
    run = [
        "run",
        "--models",
        "metronome",
        "--suite",
        f"folder:{suite_folder}",
        "--fps",
        "100",
        "--timebase",
        "real",
        "--window",
        "0.15",
    ]
    mtbench(*run, "-n", "4", "--out", str(tmp_path / "run"))
    table = pd.read_csv(tmp_path / "run" / "scores.csv")
    irs = table[(table["model"] == "metronome") & (table["metric"] == "irs") & (table["track"] == "drums")]
    assert irs["value"].item() < 0.01  # a metronome is steady
    assert irs["n_scored"].item() == 4
    mtbench(*run, "-n", "2", "--task", "arrangement", "--subsets", "B", "--out", str(tmp_path / "arranged"))
    table = pd.read_csv(tmp_path / "arranged" / "scores.csv").query("metric == 'cbd_mean'").set_index("model")["value"]
    assert table["metronome"] < 0.1  # the songs are at 120 BPM, too, and it comes in with them
    assert set(table.index) == {"metronome", "heldout", "shuffled", "noise"}
