"""Runs on a folder suite with fake generators: generated samples, files in the run folder, and messages."""

import json
import shutil
import subprocess
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile

import mtbench
from conftest import STEMS, clicks, write_clips
from goldens import GOLDENS, METRICS_DATA
from mtbench import audio, config, execute, registry, runner
from mtbench.errors import MtbenchError, UsageError, one_line
from mtbench.results.store import RunFolder
from mtbench.runner import plan
from mtbench.runner.code import code_of, git_commit
from mtbench.stems import Songs, StemSet

ONE_SETTING = {"fps": (100,), "window": (0.15,), "timebase": ("real",)}


class Fake:
    """Generates clicks whose tempo depends on the sample number. Sample `fail_at` raises like a user's Ctrl-C."""

    name, sample_rate, stems, tasks = "fake", 16000, STEMS, frozenset({"total"})

    def __init__(self, fail_at=None, length=163840, provenance=None, change=lambda waves: waves):
        self.fail_at, self.length, self.change, self.made = fail_at, length, change, []
        self.provenance = provenance or {
            "what": "clicks",
            "where": Path("weights.pt"),
        }  # not a plain value: the provenance of other packages may contain any object

    def generate(self, n, stems, *, given=None, seed=0, start=0):
        for i in range(start, start + n):
            if i == self.fail_at:
                raise KeyboardInterrupt
            self.made.append(i)
            wave = np.resize(clicks(100 + 10 * i, 10.24), self.length)
            yield StemSet(str(i), self.change(dict.fromkeys(stems, wave)), self.sample_rate)


def run(fake, suite_folder, out, monkeypatch, n=4, **more):
    """Run the fake generator together with the real controls."""
    real = registry.make_model
    monkeypatch.setattr(registry, "make_model", lambda name, **o: fake if name == "fake" else real(name, **o))
    wanted = config.validate(
        {"models": ["fake"], "suite": f"folder:{suite_folder}", "n": n, "grid": ONE_SETTING} | more, "test"
    )
    return runner.run(wanted, out, "cpu", no_progress)


class no_progress:
    def __init__(self, title, total): ...
    def __enter__(self):
        return lambda steps, detail="": None

    def __exit__(self, *_): ...


def score(result, **where):
    table = result.scores
    for column, wanted in where.items():
        table = table[table[column] == wanted]
    return table["value"].item()


def test_a_run_writes_a_complete_folder(suite_folder, tmp_path, monkeypatch):
    result = run(Fake(), suite_folder, tmp_path / "run", monkeypatch)
    folder = RunFolder(tmp_path / "run")
    assert set(result.scores["model"]) == {"fake", "heldout", "noise"}
    assert score(result, model="fake", metric="live", track="all") == 1.0
    assert score(result, model="fake", metric="cbs", track="all") == pytest.approx(1.0)  # four equal stems
    assert score(result, model="fake", metric="cbd_mean", track="all") == 0.0
    assert score(result, model="heldout", metric="fad", track="mixture") < score(
        result, model="noise", metric="fad", track="mixture"
    )
    read = folder.read_table("scores.csv")
    pd.testing.assert_frame_equal(read, result.scores, check_dtype=False, check_exact=True)
    assert folder.read_record()["models"]["fake"] == {"what": "clicks", "where": "weights.pt"}
    beats = folder.read_table("beats/total/fake.csv")
    assert np.diff(beats[(beats["sample"] == "00002") & (beats["track"] == "bass")]["time"]).mean() == pytest.approx(
        0.5, abs=0.01
    )
    samples = folder.read_table("samples.csv")
    assert len(samples[(samples["model"] == "fake") & (samples["metric"] == "irs")]) == 4 * 4
    assert soundfile.info(tmp_path / "run/audio/total/fake/bass/00003.wav").subtype == "PCM_16"


def test_samples_of_a_generator_beyond_full_scale_are_reported(suite_folder, tmp_path, monkeypatch):
    fake = Fake()
    fake.change = lambda waves: waves | {"bass": np.tile(np.float32([0.5, 0.5, 0.5, 2.0]), 40960)}
    result = run(fake, suite_folder, tmp_path / "run", monkeypatch, n=2)
    loud = "fake: 2 stems have samples beyond full scale (1.0), which are saturated (first: 00000, bass: 25%)"
    assert loud in result.notices
    conversions = RunFolder(tmp_path / "run").read_table("audio/total/fake/conversions.csv")
    assert conversions.loc[conversions["stem"] == "bass", "saturated"].tolist() == [0.25, 0.25]


def test_the_steps_of_a_slow_generator_are_shown(suite_folder, tmp_path, monkeypatch):
    shown = []

    class Progress(no_progress):
        def __enter__(self):
            return lambda steps, detail="": shown.append(detail) if detail else None

    fake = Fake()
    fake.on_step = None  # the harness replaces it
    fake.change = lambda waves: fake.on_step(3, 200) or waves
    monkeypatch.setitem(globals(), "no_progress", Progress)
    run(fake, suite_folder, tmp_path / "run", monkeypatch, n=2)
    assert shown == 2 * ["(step 3 of 200)"]


def test_an_interrupted_run_resumes(suite_folder, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        run(Fake(fail_at=2), suite_folder, tmp_path / "stopped", monkeypatch)
    assert not (tmp_path / "stopped" / "scores.csv").exists()
    # As if the run had been killed while it wrote a sample.
    (tmp_path / "stopped/audio/total/fake/drums/00000.wav").unlink()
    assert not list((tmp_path / "stopped").rglob("failures.csv"))
    second = Fake()
    resumed = run(second, suite_folder, tmp_path / "stopped", monkeypatch)
    assert second.made == [0, 2, 3]  # sample 1 was finished
    whole = run(Fake(), suite_folder, tmp_path / "whole", monkeypatch)
    pd.testing.assert_frame_equal(resumed.scores, whole.scores)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "drums/00001.wav").write_bytes((folder / "drums/00001.wav").read_bytes()[:40000]),
        lambda folder: (folder / "drums/00001.wav").write_bytes(b""),
        lambda folder: soundfile.write(folder / "drums/00001.wav", np.zeros(163840), 44100),
        lambda folder: (folder / "conversions/00001.json").unlink(),  # killed between the last WAV and this file
        lambda folder: (folder / "conversions/00001.json").write_text(""),
        lambda folder: (folder / "conversions/00001.json").write_text("{}"),
    ],
    ids=["cut", "empty", "another rate", "no record", "empty record", "foreign record"],
)
def test_a_damaged_sample_is_generated_again(damage, suite_folder, tmp_path, monkeypatch):
    whole = run(Fake(length=100000), suite_folder, tmp_path / "run", monkeypatch, n=3)
    (tmp_path / "run/audio/total/fake/conversions.csv").unlink()
    damage(tmp_path / "run/audio/total/fake")
    again = Fake(length=100000)
    result = run(again, suite_folder, tmp_path / "run", monkeypatch, n=3)
    assert again.made == [1]
    pd.testing.assert_frame_equal(result.scores, whole.scores)
    table = pd.read_csv(tmp_path / "run/audio/total/fake/conversions.csv", dtype={"sample": str})
    assert table["sample"].tolist() == [f"{i:05d}" for i in range(3) for _ in STEMS]
    assert table["stem"].tolist() == 3 * list(STEMS)
    assert set(table["padded"]) == {63840}


def test_more_samples_extend_a_run(suite_folder, tmp_path, monkeypatch):
    run(Fake(), suite_folder, tmp_path / "run", monkeypatch, n=2)
    more = Fake()
    result = run(more, suite_folder, tmp_path / "run", monkeypatch, n=4)
    assert more.made == [2, 3] and set(result.scores["n"]) == {4}


def test_samples_of_other_weights_are_not_mixed(suite_folder, tmp_path, monkeypatch):
    run(Fake(), suite_folder, tmp_path / "run", monkeypatch, n=1)
    with pytest.raises(UsageError, match="different provenance.*--out"):
        run(Fake(provenance={"what": "other weights"}), suite_folder, tmp_path / "run", monkeypatch, n=1)
    with pytest.raises(UsageError, match="different seed"):
        run(Fake(), suite_folder, tmp_path / "run", monkeypatch, n=1, seed=1)
    for wav in (tmp_path / "run/audio/total/fake").glob("*/*.wav"):
        wav.unlink()
    other = Fake(provenance={"what": "other weights"})
    assert not run(other, suite_folder, tmp_path / "run", monkeypatch, n=1).failed  # there is nothing to mix with


def test_samples_of_other_options_are_not_mixed(suite_folder, tmp_path, monkeypatch):
    def with_level(level):
        run(
            Fake(),
            suite_folder,
            tmp_path / "run",
            monkeypatch,
            n=1,
            models=[{"name": "fake", "options": {"level": level}}],
        )

    with_level(0.1)
    with_level(0.1)
    with pytest.raises(UsageError, match="different options.*--out"):
        with_level(0.5)


def test_options_may_contain_a_date_from_yaml():
    wanted = config.validate({"models": [{"name": "fake", "options": {"since": date(2024, 1, 1)}}]}, "test")
    assert runner.default_folder(wanted).parent == Path("runs")


def test_an_interrupted_repair_does_not_mix_old_and_new_stems(suite_folder, tmp_path, monkeypatch):
    run(Fake(), suite_folder, tmp_path / "run", monkeypatch, n=1)
    folder = tmp_path / "run/audio/total/fake"
    (folder / "drums/00000.wav").write_bytes(b"")
    whole = audio.write_wav

    def stopped_at_guitar(path, *rest):
        if path.parent.name == "guitar":
            raise KeyboardInterrupt
        whole(path, *rest)

    monkeypatch.setattr(audio, "write_wav", stopped_at_guitar)
    with pytest.raises(KeyboardInterrupt):
        run(
            Fake(change=lambda waves: {stem: wave / 2 for stem, wave in waves.items()}),
            suite_folder,
            tmp_path / "run",
            monkeypatch,
            n=1,
        )
    monkeypatch.setattr(audio, "write_wav", whole)
    again = Fake()
    run(again, suite_folder, tmp_path / "run", monkeypatch, n=1)
    assert again.made == [0]


def test_samples_of_other_songs_are_not_mixed(suite_folder, tmp_path, monkeypatch):
    suite = shutil.copytree(suite_folder, tmp_path / "suite")
    run(Fake(), suite, tmp_path / "run", monkeypatch, n=1)
    recorded = RunFolder(tmp_path / "run").read_record()["suite_version"]
    silent = suite / "heldout" / "piano" / "h0.wav"
    soundfile.write(silent, np.zeros(163840), 16000)
    fake = Fake()
    with pytest.raises(
        UsageError, match="contains samples of another run .different suite_version.; choose another --out"
    ):
        run(fake, suite, tmp_path / "run", monkeypatch, n=1)
    run(fake, suite, tmp_path / "other", monkeypatch, n=1)
    assert RunFolder(tmp_path / "other").read_record()["suite_version"] != recorded
    shutil.copytree(suite / "reference", suite / "heldout", dirs_exist_ok=True)
    fake = Fake()
    with pytest.raises(UsageError, match=r"heldout/bass/(r\d).wav is .*reference/bass/\1.wav"):
        run(fake, suite, tmp_path / "third", monkeypatch, n=1)
    assert fake.made == [] and not (tmp_path / "third").exists()


def test_an_unusual_provenance_is_equal_when_the_run_resumes(suite_folder, tmp_path, monkeypatch):
    knot = {}
    knot["knot"] = knot
    strange = {
        "steps": np.int64(4),
        "loss": float("nan"),
        "scale": np.float32(0.5),
        "parts": {"b", "a"},
        "on": (1, True),
        3: knot,
        "object": object(),
    }
    run(Fake(provenance=strange), suite_folder, tmp_path / "run", monkeypatch, n=1)
    run(Fake(provenance=strange), suite_folder, tmp_path / "run", monkeypatch, n=1)
    recorded = RunFolder(tmp_path / "run").read_record()["models"]["fake"]
    del recorded["3"]
    assert recorded == {
        "steps": 4,
        "loss": "nan",
        "scale": 0.5,
        "parts": ["a", "b"],
        "on": [1, True],
        "object": "object",
    }


def code(monkeypatch, commit):
    monkeypatch.setattr(plan, "git_commit", lambda source: commit)
    return f"mtbench {mtbench.__version__}" + (f" at commit {commit}" if commit else "")


def test_a_notice_names_samples_generated_by_other_code(suite_folder, tmp_path, monkeypatch):
    def notices_record_and_commit(n):
        result = run(Fake(), suite_folder, tmp_path / "run", monkeypatch, n=n)
        record = RunFolder(tmp_path / "run").read_record()
        return (
            [notice for notice in result.notices if "generated by" in notice],
            record.get("samples_made_by"),
            record["git_commit"],
        )

    old = code(monkeypatch, "aaa")
    assert notices_record_and_commit(2) == ([], None, "aaa")
    assert notices_record_and_commit(2) == ([], None, "aaa")
    new = code(monkeypatch, "bbb")
    notices, made_by, commit = notices_record_and_commit(3)
    assert notices == [
        f"samples generated by {old}, not by the current code ({new}), are scored as they are (2 of fake, 2 of "
        "heldout, 2 of noise); choose another --out to generate them again"
    ]
    assert made_by == {row: {old: 2, new: 1} for row in ("fake", "heldout", "noise")} and commit == "bbb"
    assert set(pd.read_csv(tmp_path / "run/audio/total/fake/conversions.csv")["made_by"]) == {old, new}
    shutil.rmtree(tmp_path / "run/audio/total/fake")
    (notice,), made_by, _ = notices_record_and_commit(3)
    assert "(2 of heldout, 2 of noise)" in notice and set(made_by) == {"heldout", "noise"}
    shutil.rmtree(tmp_path / "run")
    assert code(monkeypatch, None) == f"mtbench {mtbench.__version__}"
    assert notices_record_and_commit(1) == ([], None, None)


def test_samples_without_recorded_code_cause_no_notice(suite_folder, tmp_path, monkeypatch):
    run(Fake(), suite_folder, tmp_path / "run", monkeypatch, n=1)
    for file in tmp_path.rglob("conversions/*.json"):
        rows = json.loads(file.read_text())
        file.write_text(json.dumps([{key: row[key] for key in row if key != "made_by"} for row in rows]))
    again = Fake()
    result = run(again, suite_folder, tmp_path / "run", monkeypatch, n=1)
    assert again.made == [] and not any("generated by" in notice for notice in result.notices)
    assert "samples_made_by" not in RunFolder(tmp_path / "run").read_record()


def test_the_package_of_a_model_is_part_of_its_code(monkeypatch):
    theirs = SimpleNamespace(dist=SimpleNamespace(name="their-package", version="1.2"))
    ours = SimpleNamespace(dist=SimpleNamespace(name="mtbench", version="9"))
    monkeypatch.setattr(
        registry, "models", lambda: {"theirs": theirs, "ours": ours, "bare": SimpleNamespace(dist=None)}
    )
    own = code(monkeypatch, "aaa")
    made_by = {name: code_of(name, "aaa") for name in ("theirs", "ours", "bare", "folder:mine")}
    assert made_by == {"theirs": f"{own}, their-package 1.2", "ours": own, "bare": own, "folder:mine": own}


def test_a_failed_run_leaves_no_scores_of_an_earlier_run(suite_folder, tmp_path, monkeypatch):
    run(Fake(), suite_folder, tmp_path / "run", monkeypatch, n=1)
    assert (tmp_path / "run/scores.csv").is_file()

    def breaks(*arguments, **options):
        raise ZeroDivisionError

    fake = Fake()
    fake.generate = breaks
    from mtbench import controls

    for control in (controls.Heldout, controls.Noise):
        monkeypatch.setattr(control, "generate", breaks)
    with pytest.raises(MtbenchError, match="no model could be scored: fake failed at sample 1"):
        run(fake, suite_folder, tmp_path / "run", monkeypatch, n=2)
    folder = RunFolder(tmp_path / "run")
    assert folder.read_record()["config"]["n"] == 2 and len(folder.read_table("failures.csv")) == 3
    with pytest.raises(UsageError, match="no scores.csv found"):
        folder.read_table("scores.csv")
    assert not {"samples.csv", "comparisons.csv"} & {path.name for path in folder.path.iterdir()}
    monkeypatch.undo()
    again = Fake()
    assert not run(again, suite_folder, tmp_path / "run", monkeypatch, n=1).failed
    assert again.made == []  # no sample was lost


def test_notices_name_clips_that_a_folder_suite_cuts_pads_or_leaves_out(tmp_path, monkeypatch):
    suite = tmp_path / "suite"
    write_clips(suite / "reference", ["a", "b"], seconds=5.0)
    write_clips(suite / "reference", ["c"], seed=1)
    (suite / "reference/piano/c.wav").unlink()
    write_clips(suite / "heldout", ["d"], seconds=11.0, seed=2)
    reference = [
        f"reference of folder:{suite}: 2 of 2 clips have stems shorter than 10.24 s, which are zero-padded",
        f"reference of folder:{suite}: 1 incomplete clip is left out: c (no piano)",
        f"reference of folder:{suite}: stems bass, drums, guitar, piano (one folder per stem); 2 clips, such as a",
    ]
    heldout = [
        f"heldout of folder:{suite}: 1 of 1 clips has stems longer than 10.24 s, which are cut",
        f"heldout of folder:{suite}: stems bass, drums, guitar, piano (one folder per stem); 1 clip: d",
    ]
    result = run(Fake(), suite, tmp_path / "run", monkeypatch, n=1)
    assert [notice for notice in result.notices if "folder:" in notice] == reference + heldout
    beside = runner.evaluate(
        [suite / "heldout"],
        f"folder:{suite}",
        config.Grid(**ONE_SETTING),
        ["log-mel-stats"],
        tmp_path / "eval",
        no_progress,
    )
    assert [notice for notice in beside.notices if "folder:" in notice] == reference


def test_samples_are_cut_or_padded_to_the_suites_length_and_counted(suite_folder, tmp_path, monkeypatch):
    long = run(Fake(length=163872), suite_folder, tmp_path / "long", monkeypatch, n=2)
    assert any("fake: 8 stems longer" in notice for notice in long.notices)  # 2 samples of 4 stems
    assert soundfile.info(tmp_path / "long/audio/total/fake/bass/00000.wav").frames == 163840
    short = run(Fake(length=100000), suite_folder, tmp_path / "short", monkeypatch, n=2)
    assert any("fake: 8 stems shorter than the suite's clips were zero-padded" in notice for notice in short.notices)


def test_nan_from_a_model_is_zeroed_and_counted(suite_folder, tmp_path, monkeypatch):
    def broken(waves):
        return {**waves, "piano": np.full(163840, np.nan, np.float32)}

    result = run(Fake(change=broken), suite_folder, tmp_path / "run", monkeypatch, n=2)
    assert any("2 stems contained NaN" in notice for notice in result.notices)
    assert score(result, model="fake", metric="live", track="piano") == 0.0


@pytest.mark.parametrize(
    "change, problem",
    [
        (lambda waves: {"bass": waves["bass"]}, "the stems must be bass, drums, guitar, piano (got bass)"),
        (
            lambda waves: {**waves, "drums": waves["drums"][None]},
            "the stem drums must be float [samples] (got float32 [1, 163840])",
        ),
        (lambda waves: {**waves, "drums": np.zeros(10, np.int16)}, "the stem drums must be float [samples] (got int16"),
        (lambda waves: {**waves, "drums": [[0.0], [0.0, 0.1]]}, "the stem drums is not an array (ValueError: "),
        (lambda waves: None, "the stems of the StemSet must be a mapping of names to audio"),
    ],
)
def test_invalid_stems_of_a_model_are_named(suite_folder, tmp_path, monkeypatch, change, problem):
    (failed,) = run(Fake(change=change), suite_folder, tmp_path / "run", monkeypatch, n=1).failed
    assert failed.startswith(f"fake failed at sample 0: {problem}")


SILENCE = {stem: np.zeros(9, np.float32) for stem in STEMS}


@pytest.mark.parametrize(
    "yielded, problem",
    [
        (None, "TypeError: 'NoneType' object is not iterable"),
        ([{"bass": 1}], "the sample must be a StemSet (got dict)"),
        ([StemSet("0", SILENCE, "44100")], "sample_rate must be a positive whole number of Hz (got '44100')"),
        ([StemSet("0", SILENCE, 99999989)], "99999989 Hz cannot be resampled"),
    ],
)
def test_invalid_samples_of_a_model_are_named(suite_folder, tmp_path, monkeypatch, yielded, problem):
    fake = Fake()
    fake.generate = lambda *arguments, **options: yielded
    (failed,) = run(fake, suite_folder, tmp_path / "run", monkeypatch, n=1).failed
    assert failed.startswith(f"fake failed at sample 0: {problem}")


@pytest.mark.parametrize(
    "error, said",
    [
        (ZeroDivisionError("over\nand out"), "ZeroDivisionError: over"),
        (SystemExit(3), "SystemExit: 3"),
        (UsageError("no weights"), "no weights"),
    ],
)
def test_a_failed_model_is_named_and_the_others_continue(suite_folder, tmp_path, monkeypatch, error, said):
    numbers = iter(range(9))

    def breaks(waves):
        if next(numbers) == 2:
            raise error
        return waves

    result = run(Fake(change=breaks), suite_folder, tmp_path / "run", monkeypatch)
    trace = tmp_path / "run/audio/total/fake/error.txt"
    assert result.failed == [f"fake failed at sample 2: {said} (traceback: {trace})"]
    assert "in breaks" in trace.read_text()
    assert (tmp_path / "run/audio/total/fake/piano/00001.wav").is_file()
    assert set(result.scores["model"]) == {"heldout", "noise"}
    (failure,) = RunFolder(tmp_path / "run").read_table("failures.csv").to_dict("records")
    reason = failure.pop("reason")
    assert failure == {
        "task": "total",
        "given": "",
        "model": "fake",
        "sample": "00002",
        "suite": f"folder:{suite_folder}",
    }
    assert reason.startswith(said)
    fixed = Fake()
    assert run(fixed, suite_folder, tmp_path / "run", monkeypatch).failed == []
    assert fixed.made == [2, 3] and not trace.exists()


def test_a_model_without_scorable_clips_is_named(suite_folder, tmp_path, monkeypatch):
    def no_path(loaded, *arguments):
        if any(np.all(clip.stems["bass"] == 1000) for clip in loaded):
            raise ValueError("activations admit no path")
        return real(loaded, *arguments)

    from mtbench import analysis

    real = analysis._track
    monkeypatch.setattr(analysis, "_track", no_path)
    monkeypatch.setattr(execute.joblib, "cpu_count", lambda: 1)  # in this process, where the function is replaced
    constant = Fake(change=lambda waves: dict.fromkeys(waves, np.full(163840, 1000 / 32768, np.float32)))
    result = run(constant, suite_folder, tmp_path / "run", monkeypatch, n=2)
    assert result.failed == ["fake: 0 of 2 clips could be scored; first error: activations admit no path"]
    assert RunFolder(tmp_path / "run").read_table("failures.csv")["sample"].tolist() == ["00000", "00001"]
    assert set(result.scores["model"]) == {"heldout", "noise"}


def test_a_killed_process_is_named(suite_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "Parallel", KilledWorkers)
    with pytest.raises(
        MtbenchError, match="reference of .*: a process was killed, perhaps because it ran out of memory"
    ):
        run(Fake(), suite_folder, tmp_path / "run", monkeypatch, n=1)


class KilledWorkers:
    """Replaces joblib's Parallel, as if the operating system had killed one of its workers."""

    def __init__(self, **options): ...

    def __call__(self, jobs):
        raise execute.TerminatedWorkerError


def test_a_model_that_stops_early_is_named(suite_folder, tmp_path, monkeypatch):
    fake = Fake()
    whole = fake.generate
    fake.generate = lambda n, *arguments, **options: whole(n - 1, *arguments, **options)
    result = run(fake, suite_folder, tmp_path / "run", monkeypatch)
    assert result.failed == ["fake failed at sample 3: the generator stopped early (asked for samples 0 to 3)"]


def test_messages_of_other_code_are_one_line():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    assert one_line(ValueError("\n\n a\tb  c\r\x07d \nsecond")) == "ValueError: a b c"
    assert one_line(ValueError("\x1b[31mred\udce9")) == r"ValueError: \x1b[31mred\xe9"
    assert one_line(Mute()) == "Mute" and one_line(KeyError()) == "KeyError"
    assert len(one_line(ValueError(1000 * "x"))) == 300


@pytest.mark.parametrize("n", [5, 1000, 100_000])
def test_more_samples_than_heldout_songs_are_refused_before_generating(n, suite_folder, tmp_path, monkeypatch):
    fake = Fake()
    with pytest.raises(UsageError, match=f"has only 4 held-out songs.*{n} samples.*-n 4 or less"):
        run(fake, suite_folder, tmp_path / "run", monkeypatch, n=n)
    assert fake.made == [] and not (tmp_path / "run").exists()


def test_an_unreadable_reference_is_reported_before_generating(tmp_path, monkeypatch):
    suite = write_clips(tmp_path / "suite", ["a"], seconds=1.0)
    (suite / "drums" / "a.wav").write_text("not audio")
    fake = Fake()
    with pytest.raises(MtbenchError, match="reference of suite .* cannot be read: .*a.wav"):
        run(fake, suite, tmp_path / "run", monkeypatch)
    for stem in ("drums", "piano"):
        (suite / stem / "a.wav").rename(suite / stem / "b.wav")
    with pytest.raises(
        UsageError, match=r"no clip has all stems .*2 incomplete clips are left out: a \(no drums, piano"
    ):
        run(fake, suite, tmp_path / "run", monkeypatch)
    assert fake.made == []


@pytest.mark.parametrize("which", ["run", "cache"])
def test_an_unwritable_folder_is_reported_before_generating(which, suite_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MTBENCH_CACHE", str(tmp_path / "cache"))
    file = tmp_path / which
    file.write_text("")  # root may write into any folder, but not into a file
    fake = Fake()
    remedy = "--out" if which == "run" else "MTBENCH_CACHE"
    with pytest.raises(UsageError, match=f"{file}/?.*: cannot be written .*{remedy}"):
        run(fake, suite_folder, tmp_path / which if which == "run" else tmp_path / "run", monkeypatch, n=1)
    with pytest.raises(UsageError, match=f"{file}/?.*: cannot be written"):
        runner.evaluate(
            [suite_folder / "reference"],
            None,
            config.Grid(),
            [],
            file / "below" if which == "run" else tmp_path / "run",
            no_progress,
        )
    assert fake.made == []


def test_folders_with_the_same_name_have_different_eval_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a, b = (runner.default_eval_folder([Path(name)]) for name in ("a/stems", "b/stems"))
    assert a != b and a.parent == Path("runs") and a.name.startswith("eval-stems-")
    assert runner.default_eval_folder([tmp_path / "b" / ".." / "a" / "stems"]) == a
    both = runner.default_eval_folder([Path("a/stems"), Path("b/stems")])
    assert both.name.startswith("eval-stems-and-1-more-") and both != runner.default_eval_folder(
        [Path("a/stems"), Path("c")]
    )


def test_only_the_commit_of_the_mtbench_source_tree_is_recorded(tmp_path):
    def commit(folder):
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder)]
        subprocess.run([*git, "init", "--quiet"], check=True)
        subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", "m"], check=True)
        return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()

    inner = tmp_path / "theirs" / "site-packages"
    inner.mkdir(parents=True)
    assert git_commit(inner) is None
    commit(tmp_path / "theirs")
    (inner / "pyproject.toml").write_text('[project]\nname = "mtbench"')
    assert git_commit(inner) is None  # another project, with mtbench in a subfolder
    own = commit(inner)
    assert git_commit(inner) == own
    (inner / "mtbench").mkdir()
    (inner / "mtbench" / "code.py").write_text("a = 1")
    subprocess.run(["git", "-C", str(inner), "add", "."], check=True)
    changed = git_commit(inner)
    assert changed.startswith(f"{own}+") and len(changed) == len(own) + 9
    (inner / "mtbench" / "code.py").write_text("a = 2")
    assert git_commit(inner) not in (own, changed)
    (inner / "pyproject.toml").write_text('[project]\nname = "theirs"')
    assert git_commit(inner) is None


def test_eval_scores_the_valid_clips_and_names_the_others(tmp_path):
    folder = write_clips(tmp_path / "mine", ["a", "b", "c", "d"], seconds=6.0, rate=44100)
    (folder / "piano" / "b.wav").unlink()
    broken = folder / "drums" / "c.wav"
    broken.write_bytes(broken.read_bytes()[:30000])
    soundfile.write(folder / "bass" / "d.wav", np.zeros(4 * 44100), 44100)  # silent, and shorter than the other stems
    result = runner.evaluate(
        [folder], None, config.Grid(**ONE_SETTING), ["log-mel-stats"], tmp_path / "run", no_progress
    )
    assert "mine: 1 incomplete clip is left out: b (no piano)" in result.notices
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
    assert any("the control 'heldout' is left out" in notice for notice in result.notices)


def test_a_model_may_be_named_na(suite_folder, tmp_path, monkeypatch):
    run(Fake(), suite_folder, tmp_path / "run", monkeypatch, n=1, models=[{"name": "fake", "label": "NA"}])
    assert "NA" in set(RunFolder(tmp_path / "run").read_table("scores.csv")["model"])


@pytest.mark.parametrize("name", ["heldout", "shuffled", "noise"])
def test_eval_of_a_folder_named_like_a_control_is_not_a_control(name, tmp_path):
    folder = write_clips(tmp_path / "data" / name, ["a"], seconds=4.0)
    result = runner.evaluate([folder], None, config.Grid(**ONE_SETTING), [], tmp_path / "run", no_progress)
    assert set(result.scores["model"]) == set(result.provenances) == {f"data-{name}"}
    assert (tmp_path / f"run/beats/total/data-{name}.csv").is_file()


def test_eval_accepts_clips_of_any_length(tmp_path, suite_folder):
    folder = tmp_path / "mine"
    for stem in STEMS:
        (folder / stem).mkdir(parents=True)
        soundfile.write(folder / stem / "tiny.wav", np.zeros(1), 16000)
        soundfile.write(folder / stem / "long.wav", clicks(120, 12.0, tone=1000 + 50 * STEMS.index(stem)), 16000)
    alone = runner.evaluate([folder], None, config.Grid(**ONE_SETTING), [], tmp_path / "alone", no_progress)
    assert score(alone, metric="live", track="bass") == 0.5
    assert alone.notices == ["mine: stems bass, drums, guitar, piano (one folder per stem); 2 clips, such as long"]
    beside = runner.evaluate(
        [folder],
        f"folder:{suite_folder}",
        config.Grid(**ONE_SETTING),
        ["log-mel-stats"],
        tmp_path / "beside",
        no_progress,
    )
    assert {
        "mine: 4 stems longer than the suite's clips were cut",
        "mine: 4 stems shorter than the suite's clips were zero-padded",
    } <= set(beside.notices)


def test_eval_does_not_overwrite_a_run(suite_folder, tmp_path):
    (tmp_path / "run" / "audio").mkdir(parents=True)
    with pytest.raises(UsageError, match="contains a run, whose scores.*--out"):
        runner.evaluate([suite_folder / "reference"], None, config.Grid(), [], tmp_path / "run", no_progress)


def test_eval_fails_if_no_clip_can_be_read(tmp_path):
    folder = write_clips(tmp_path / "mine", ["a"], seconds=1.0)
    (folder / "bass" / "a.wav").write_text("not audio")
    with pytest.raises(MtbenchError, match="0 of 1 clips could be scored; first error: .*a.wav"):
        runner.evaluate([folder], None, config.Grid(), [], tmp_path / "run", no_progress)


def test_the_fad_of_a_reference_to_itself_is_zero(suite_folder, tmp_path):
    result = runner.evaluate(
        [suite_folder / "reference"],
        f"folder:{suite_folder}",
        config.Grid(**ONE_SETTING),
        ["log-mel-stats"],
        tmp_path / "run",
        no_progress,
    )
    fad = result.scores[(result.scores["metric"] == "fad") & (result.scores["model"] == "reference")]
    assert fad["track"].tolist() == ["mixture", *STEMS]
    assert fad["value"].abs().max() < 1e-6
    assert fad["reference"].iloc[0].startswith("all:4:")


def mean_of_numbers(goldens):
    return np.mean([golden for golden in goldens if golden is not None])


def test_rendered_clips_get_the_golden_scores(tmp_path):
    """Clips of sampled instruments, scored from files by the published protocol and by the repaired one."""
    grid = config.Grid(fps=(100, 150), window=(0.05, 0.07, 0.15), timebase=("real", "published"))
    result = runner.evaluate([METRICS_DATA / "audio"], None, grid, [], tmp_path / "run", no_progress, stems=STEMS)
    samples = RunFolder(tmp_path / "run").read_table("samples.csv")
    names = {path.stem for path in METRICS_DATA.glob("audio/*/*.flac")}
    assert len(names) == 12
    for fps, timebase, name in ((150, "published", "fps150_tl100"), (100, "real", "fps100_tl100")):
        clips = {clip: GOLDENS["per_clip"][name][clip] for clip in names}

        def close(golden, metric, track="all", table=result.scores, decode=(fps, timebase), **where):
            scores = table[
                (table["fps"] == decode[0])
                & (table["timebase"] == decode[1])
                & (table["metric"] == metric)
                & (table["track"] == track)
            ]
            for column, wanted in where.items():
                scores = scores[scores[column] == wanted]
            assert scores["value"].item() == pytest.approx(
                np.nan if golden is None else golden, abs=1e-9, nan_ok=True
            ), (
                metric,
                where,
            )

        # IRS is averaged over files first, then over stems; clips without a value are left out of the means.
        irs = [mean_of_numbers(golden["irs_std"][k] for golden in clips.values()) for k in range(4)]
        close(np.mean(irs), "irs")
        for stem, golden in zip(STEMS, irs):
            close(golden, "irs", stem)
        for statistic in ("mean", "std", "median"):
            close(mean_of_numbers(golden["cbd"][statistic] for golden in clips.values()), f"cbd_{statistic}")
        for window in grid.window:
            close(mean_of_numbers(golden["cbs"][f"{window:.2f}"] for golden in clips.values()), "cbs", window=window)
            for clip, golden in clips.items():
                close(golden["cbs"][f"{window:.2f}"], "cbs", table=samples, window=window, sample=clip)


def test_a_suite_without_songs_is_one_line(suite_folder, tmp_path, monkeypatch):
    suite = registry.open_suite(f"folder:{suite_folder}")
    monkeypatch.setattr(type(suite), "reference", lambda self: Songs([], dict))
    with pytest.raises(UsageError, match=r"suite 'folder:.*' has no songs in its reference"):
        run(Fake(), suite_folder, tmp_path / "run", monkeypatch)
    with pytest.raises(UsageError, match="has no songs in its reference"):
        mtbench.evaluate(write_clips(tmp_path / "mine", ["a"], seconds=2.0), reference=f"folder:{suite_folder}")
