"""Tracking many files in parallel, from Python and from the command line."""

import json

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from conftest import clicks
from mtbench import beats
from mtbench.audio import AudioError
from mtbench.cli import app

SETTINGS = [(100, 100, "real"), (150, 50, "published")]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Write clicks at 100 and 120 BPM, a file that is not audio, and silence."""
    folder = tmp_path_factory.mktemp("many")
    soundfile.write(folder / "a.wav", clicks(100, 8), 16000)
    soundfile.write(folder / "b.flac", clicks(120, 6, rate=22050), 22050)
    (folder / "c.wav").write_text("no audio")
    soundfile.write(folder / "d.wav", np.zeros(16000), 16000)
    return [folder / name for name in ("a.wav", "b.flac", "c.wav", "d.wav")]


@pytest.mark.parametrize("jobs", [1, 2])
def test_files_come_in_order_with_the_same_beats_as_alone(files, jobs):
    tracked = list(beats.track_files(files, SETTINGS, jobs))
    assert len(tracked) == 4
    for file, found in zip(files, tracked):
        if file.name == "c.wav":
            assert isinstance(found, AudioError) and "c.wav" in str(found)
            continue
        assert list(found) == SETTINGS
        for setting in SETTINGS:
            expected = beats.track_with_positions(file, *setting)
            assert [x.tolist() for x in found[setting]] == [x.tolist() for x in expected]
    assert np.median(np.diff(tracked[0][SETTINGS[0]][0])) == pytest.approx(0.6)
    assert np.median(np.diff(tracked[1][SETTINGS[0]][0])) == pytest.approx(0.5)
    assert len(tracked[3][SETTINGS[0]][0]) == 0


def test_no_files_and_bad_settings(files):
    assert list(beats.track_files([])) == []
    with pytest.raises(ValueError, match="fps"):
        next(beats.track_files(files, [(1, 100, "real")]))


def test_command_writes_text(files):
    done = CliRunner().invoke(app, ["beats", str(files[0]), "--jobs", "1"])
    assert done.exit_code == 0, done.output
    times, positions = beats.track_with_positions(files[0])
    assert done.stdout.splitlines() == [f"{time:.4f}\t{position}" for time, position in zip(times, positions)]


def test_command_writes_json_and_names_what_failed(files):
    options = [
        "--format",
        "json",
        "--fps",
        "150",
        "--transition-lambda",
        "50",
        "--timebase",
        "published",
        "--jobs",
        "1",
    ]
    done = CliRunner().invoke(app, ["beats", *map(str, files), *options])
    assert done.exit_code == 1 and "c.wav" in done.stderr
    rows = json.loads(done.stdout)
    assert [row["file"] for row in rows] == [str(files[i]) for i in (0, 1, 3)]
    times, positions = beats.track_with_positions(files[0], 150, 50, "published")
    assert rows[0]["beats"] == times.tolist() and rows[0]["positions"] == positions.tolist()
    assert rows[0]["downbeats"] == times[positions == 1].tolist()
    assert (rows[0]["fps"], rows[0]["transition_lambda"], rows[0]["timebase"]) == (150, 50, "published")


@pytest.mark.parametrize("option, value", [("--fps", "1"), ("--timebase", "wrong"), ("--format", "xml")])
def test_command_names_a_wrong_option(files, option, value):
    done = CliRunner().invoke(app, ["beats", str(files[0]), option, value])
    assert done.exit_code == 2 and option.strip("-") in done.stderr


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_command_warns_about_files_that_are_probably_a_mistake(tmp_path, jobs):
    wave = clicks(120, 6)
    soundfile.write(tmp_path / "opposite.wav", np.stack([wave, -wave], axis=1), 16000)
    soundfile.write(tmp_path / "loud.wav", 32768 * wave, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "good.wav", np.stack([wave, wave], axis=1), 16000)
    files = [str(tmp_path / f"{name}.wav") for name in ("opposite", "loud", "good")]
    done = CliRunner().invoke(app, ["beats", *files, "--jobs", jobs])
    assert done.exit_code == 0
    notes = [line for line in done.stderr.splitlines() if line.startswith("note: ") and "Numba" not in line]
    assert len(notes) == 2
    assert f"{files[0]}: silent when mixed to mono, because its channels cancel" in notes[0]
    assert f"{files[1]}: " in notes[1] and "of its samples are beyond full scale (1.0)" in notes[1]


def test_tracking_one_file_warns_as_well(tmp_path):
    wave = clicks(120, 6)
    soundfile.write(tmp_path / "opposite.wav", np.stack([wave, -wave], axis=1), 16000)
    with pytest.warns(UserWarning, match="its channels cancel"):
        assert len(beats.track(tmp_path / "opposite.wav")) == 0


@pytest.mark.parametrize("rate", [1e300, 768_001, 999, 16])
def test_absurd_sample_rates_of_arrays_are_refused(rate):
    with pytest.raises(ValueError, match="sample_rate must be from 1000 to 768000 Hz"):
        beats.track(clicks(120, 1), sample_rate=rate)
