"""Runs on a folder suite with made-up generators: what is made, what is kept, what is said."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import STEMS, clicks, write_clips

from mtbench import config, runner
from mtbench.errors import MtbenchError, UsageError
from mtbench.generator import StemSet
from mtbench.store import RunFolder

ONE_SETTING = {"fps": (100,), "window": (0.15,), "timebase": ("true",)}


class Fake:
    """Clicks that name their sample by tempo; `fail_at` raises there, as a user's Ctrl-C would."""

    name, sample_rate, stems, tasks = "fake", 16000, STEMS, frozenset({"total"})

    def __init__(self, fail_at=None, length=163840, provenance=None, change=lambda waves: waves):
        self.fail_at, self.length, self.change, self.made = fail_at, length, change, []
        self.provenance = provenance or {"what": "clicks", "where": Path("weights.pt")}  # not plain, as a stranger's may be

    def generate(self, n, stems, *, given=None, seed=0, start=0):
        for i in range(start, start + n):
            if i == self.fail_at:
                raise KeyboardInterrupt
            self.made.append(i)
            wave = np.resize(clicks(100 + 10 * i, 10.24), self.length)
            yield StemSet(str(i), self.change({stem: wave for stem in stems}), self.sample_rate)


def run(fake, suite_folder, out, monkeypatch, n=4, **more):
    """A run of the fake beside the real controls."""
    real = runner.generator.make
    monkeypatch.setattr(runner.generator, "make", lambda name, **o: fake if name == "fake" else real(name, **o))
    wanted = config.validate({"models": ["fake"], "suite": f"folder:{suite_folder}", "n": n, "grid": ONE_SETTING} | more, "test")
    return runner.run(wanted, out, "cpu", no_progress)


class no_progress:
    def __init__(self, title, total): ...
    def __enter__(self): return lambda steps: None
    def __exit__(self, *_): ...


def score(result, **where):
    held = result.scores
    for column, wanted in where.items():
        held = held[held[column] == wanted]
    return held["value"].item()


def test_a_run_leaves_a_whole_folder(suite_folder, tmp_path, monkeypatch):
    result = run(Fake(), suite_folder, tmp_path / "run", monkeypatch)
    folder = RunFolder(tmp_path / "run")
    assert set(result.scores["model"]) == {"fake", "heldout", "noise"}
    assert score(result, model="fake", metric="live", track="all") == 1.0
    assert score(result, model="fake", metric="cbs", track="all") == pytest.approx(1.0)  # four equal stems
    assert score(result, model="fake", metric="cbd_mean", track="all") == 0.0
    assert score(result, model="heldout", metric="fad", track="mixture") < score(result, model="noise", metric="fad", track="mixture")
    read = folder.read_table("scores.csv")
    pd.testing.assert_frame_equal(read, result.scores, check_dtype=False, check_exact=True)
    assert folder.read_yaml("run.yaml")["models"]["fake"] == {"what": "clicks", "where": "weights.pt"}
    beats = folder.read_table("beats/total/fake.csv")
    assert np.diff(beats[(beats["sample"] == "00002") & (beats["track"] == "bass")]["time"]).mean() == pytest.approx(0.5, abs=0.01)
    samples = folder.read_table("samples.csv")
    assert len(samples[(samples["model"] == "fake") & (samples["metric"] == "irs")]) == 4 * 4
    assert soundfile.info(tmp_path / "run/audio/total/fake/bass/00003.wav").subtype == "PCM_16"


def test_a_stopped_run_goes_on(suite_folder, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        run(Fake(fail_at=2), suite_folder, tmp_path / "stopped", monkeypatch)
    assert not (tmp_path / "stopped" / "scores.csv").exists()
    (tmp_path / "stopped/audio/total/fake/drums/00000.wav").unlink()  # as if the kill had come within a sample
    second = Fake()
    resumed = run(second, suite_folder, tmp_path / "stopped", monkeypatch)
    assert second.made == [0, 2, 3]  # sample 1 was finished
    whole = run(Fake(), suite_folder, tmp_path / "whole", monkeypatch)
    pd.testing.assert_frame_equal(resumed.scores, whole.scores)


def test_more_samples_extend_a_run(suite_folder, tmp_path, monkeypatch):
    run(Fake(), suite_folder, tmp_path / "run", monkeypatch, n=2)
    more = Fake()
    result = run(more, suite_folder, tmp_path / "run", monkeypatch, n=4)
    assert more.made == [2, 3] and set(result.scores["n"]) == {4}


def test_other_weights_do_not_mix_into_a_run(suite_folder, tmp_path, monkeypatch):
    run(Fake(), suite_folder, tmp_path / "run", monkeypatch, n=1)
    with pytest.raises(UsageError, match="provenance differs.*--out"):
        run(Fake(provenance={"what": "other weights"}), suite_folder, tmp_path / "run", monkeypatch, n=1)
    with pytest.raises(UsageError, match="seed differs"):
        run(Fake(), suite_folder, tmp_path / "run", monkeypatch, n=1, seed=1)


def test_lengths_are_brought_to_the_suite_and_counted(suite_folder, tmp_path, monkeypatch):
    long = run(Fake(length=163872), suite_folder, tmp_path / "long", monkeypatch, n=2)
    assert any("fake: 8 stems longer" in notice for notice in long.notices)  # 2 samples of 4 stems
    assert soundfile.info(tmp_path / "long/audio/total/fake/bass/00000.wav").frames == 163840
    short = run(Fake(length=100000), suite_folder, tmp_path / "short", monkeypatch, n=2)
    assert any("fake: 8 shorter stems were zero-padded" in notice for notice in short.notices)


def test_nan_from_a_model_is_zeroed_and_counted(suite_folder, tmp_path, monkeypatch):
    def broken(waves):
        return {**waves, "piano": np.full(163840, np.nan, np.float32)}

    result = run(Fake(change=broken), suite_folder, tmp_path / "run", monkeypatch, n=2)
    assert any("2 stems held NaN" in notice for notice in result.notices)
    assert score(result, model="fake", metric="live", track="piano") == 0.0


@pytest.mark.parametrize("change, problem", [
    (lambda waves: {"bass": waves["bass"]}, "has the stems bass, not bass, drums, guitar, piano"),
    (lambda waves: {**waves, "drums": waves["drums"][None]}, "its drums is float32 [1, 163840]"),
    (lambda waves: {**waves, "drums": np.zeros(10, np.int16)}, "its drums is int16"),
])
def test_what_a_model_yields_is_checked(suite_folder, tmp_path, monkeypatch, change, problem):
    with pytest.raises(MtbenchError) as raised:
        run(Fake(change=change), suite_folder, tmp_path / "run", monkeypatch)
    assert problem in str(raised.value) and "fake: sample 0" in str(raised.value)


def test_a_model_that_fails_is_named_and_keeps_its_samples(suite_folder, tmp_path, monkeypatch):
    def breaks(waves, made=iter(range(9))):
        return waves if next(made) < 2 else 1 / 0

    with pytest.raises(MtbenchError, match="fake failed while making sample 2: ZeroDivisionError.*error.txt"):
        run(Fake(change=breaks), suite_folder, tmp_path / "run", monkeypatch)
    assert "1 / 0" in (tmp_path / "run/audio/total/fake/error.txt").read_text()
    assert (tmp_path / "run/audio/total/fake/piano/00001.wav").is_file()


def test_a_model_that_stops_early_is_named(suite_folder, tmp_path, monkeypatch):
    fake = Fake()
    whole = fake.generate
    fake.generate = lambda n, *arguments, **options: whole(n - 1, *arguments, **options)
    with pytest.raises(MtbenchError, match="fake: asked for samples 0 to 3, it stopped before 3"):
        run(fake, suite_folder, tmp_path / "run", monkeypatch)


def test_eval_scores_what_it_can_and_names_the_rest(tmp_path):
    folder = write_clips(tmp_path / "mine", ["a", "b", "c", "d"], seconds=6.0, rate=44100)
    (folder / "piano" / "b.wav").unlink()
    broken = folder / "drums" / "c.wav"
    broken.write_bytes(broken.read_bytes()[:30000])
    soundfile.write(folder / "bass" / "d.wav", np.zeros(4 * 44100), 44100)  # silent, and shorter than its partners
    result = runner.evaluate(folder, None, config.Grid(**ONE_SETTING), ["log-mel-stats"],
                             tmp_path / "run", no_progress)
    assert any("1 incomplete clip(s) left out: b (no piano)" in notice for notice in result.notices)
    assert any("clip c not scored" in notice and "truncated" in notice for notice in result.notices)
    scores = result.scores
    cbs = scores[(scores["metric"] == "cbs")].iloc[0]
    assert (cbs["n"], cbs["n_scored"]) == (3, 2)
    assert score(result, metric="live", track="bass") == 0.5
    assert "fad" not in set(scores["metric"])
    failures = RunFolder(tmp_path / "run").read_table("failures.csv")
    assert failures["sample"].tolist() == ["c", "b"]
    assert "c.wav" in failures["reason"][0] and failures["reason"][1] == "no piano"


def test_a_suite_without_heldout_songs_runs_without_that_control(suite_folder, tmp_path, monkeypatch):
    result = run(Fake(), suite_folder / "reference", tmp_path / "run", monkeypatch, n=1)
    assert set(result.scores["model"]) == {"fake", "noise"}
    assert any("no control 'heldout'" in notice for notice in result.notices)


def test_a_model_may_be_called_na(suite_folder, tmp_path, monkeypatch):
    run(Fake(), suite_folder, tmp_path / "run", monkeypatch, n=1, models=[{"name": "fake", "label": "NA"}])
    assert "NA" in set(RunFolder(tmp_path / "run").read_table("scores.csv")["model"])


def test_eval_takes_clips_of_any_length(tmp_path, suite_folder):
    folder = tmp_path / "mine"
    for stem in STEMS:
        (folder / stem).mkdir(parents=True)
        soundfile.write(folder / stem / "tiny.wav", np.zeros(1), 16000)
        soundfile.write(folder / stem / "long.wav", clicks(120, 12.0), 16000)
    alone = runner.evaluate(folder, None, config.Grid(**ONE_SETTING), [], tmp_path / "alone", no_progress)
    assert score(alone, metric="live", track="bass") == 0.5 and not alone.notices
    beside = runner.evaluate(folder, f"folder:{suite_folder}", config.Grid(**ONE_SETTING), ["log-mel-stats"], tmp_path / "beside", no_progress)
    assert {"mine: 4 stems longer than the suite's clip were cut", "mine: 4 shorter stems were zero-padded"} <= set(beside.notices)


def test_eval_does_not_replace_a_run(suite_folder, tmp_path):
    (tmp_path / "run" / "audio").mkdir(parents=True)
    with pytest.raises(UsageError, match="is the folder of a run.*--out"):
        runner.evaluate(suite_folder / "reference", None, config.Grid(), [], tmp_path / "run", no_progress)


def test_eval_of_nothing_but_broken_files_fails(tmp_path):
    folder = write_clips(tmp_path / "mine", ["a"], seconds=1.0)
    (folder / "bass" / "a.wav").write_text("not audio")
    with pytest.raises(MtbenchError, match="none of its 1 clips can be scored.*a.wav"):
        runner.evaluate(folder, None, config.Grid(), [], tmp_path / "run", no_progress)


def test_eval_against_itself_has_no_distance(suite_folder, tmp_path):
    result = runner.evaluate(suite_folder / "reference", f"folder:{suite_folder}", config.Grid(**ONE_SETTING),
                             ["log-mel-stats"], tmp_path / "run", no_progress)
    fad = result.scores[result.scores["metric"] == "fad"]
    assert fad["track"].tolist() == ["mixture", *STEMS]
    assert fad["value"].abs().max() < 1e-6
    assert fad["reference"].iloc[0].startswith("all:4:")


def test_public_audio_gives_the_golden_scores(shared, tmp_path):
    """Real instrument samples, all 46 clips, from files to folder values: the published protocol and the repaired one."""
    goldens = json.loads((shared / "metrics/goldens.json").read_text())
    grid = config.Grid(fps=(100, 150), window=(0.05, 0.07, 0.15), timebase=("true", "published"))
    result = runner.evaluate(shared / "metrics/audio", None, grid, [], tmp_path / "run", no_progress)
    samples = RunFolder(tmp_path / "run").read_table("samples.csv")
    for fps, timebase, name in ((150, "published", "fps150_tl100"), (100, "true", "fps100_tl100")):
        folder, clips = goldens["aggregate"][name]["all"], goldens["per_clip"][name]

        def close(golden, metric, track="all", table=result.scores, **where):
            held = table[(table["fps"] == fps) & (table["timebase"] == timebase) & (table["metric"] == metric) & (table["track"] == track)]
            for column, wanted in where.items():
                held = held[held[column] == wanted]
            assert held["value"].item() == pytest.approx(np.nan if golden is None else golden, abs=1e-9, nan_ok=True), (metric, where)

        close(folder["irs"], "irs")
        for stem, golden in zip(STEMS, folder["irs_per_stem"]):
            close(golden, "irs", stem)
        for statistic in ("mean", "std", "median"):
            close(folder["cbd"][statistic], f"cbd_{statistic}")
        for window in grid.window:
            close(folder["cbs"][f"{window:.2f}"], "cbs", window=window)
            for clip, golden in clips.items():
                close(golden["cbs"][f"{window:.2f}"], "cbs", table=samples, window=window, sample=clip)
