"""Commands as a user types them: their output, and their exit status (0 success, 1 failed run or gate, 2 misuse)."""

import errno
import json
import re
import shutil
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

from conftest import STEMS, clicks, write_clips
from mtbench import cli, registry, runner


def mtbench(*arguments):
    """Return the exit code and the output, joined into one line so that wrapped messages can be searched."""
    done = CliRunner().invoke(cli.app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    return done.exit_code, " ".join((done.stdout + done.stderr).split())


ONE_SETTING = ["--fps", "100", "--timebase", "real", "--window", "0.15"]


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["run"], "name what to run: --models synctrack,msg-ld, or --config FILE"),
        (["run", "synctrack", "msdm"], "Models are named with --models: mtbench run --models synctrack,msdm"),
        (["run", "--models", "noise", "--limit", "4"], "No such option: --limit. Did you mean '-n'?"),
        (["run", "--models", "noise", "--n", "4"], "No such option: --n. Did you mean '-n'?"),
        (["run", "--models", "sinctrack"], "unknown model 'sinctrack'. Did you mean 'synctrack'"),
        (["run", "--models", "noise,,heldout"], "--models: 'noise,,heldout' is not a comma-separated list"),
        (["run", "--models", "noise", "--suite", "bant"], "unknown suite 'bant'. Did you mean 'band'"),
        (["run", "--models", "noise", "--embedding", "vgish"], "unknown embedding 'vgish'. Did you mean 'vggish'"),
        (["run", "--models", "noise", "--timebase", "unreal"], "--timebase must be 'real' or 'published'"),
        (["run", "--models", "noise", "--fps", "fast"], "--fps must be a whole number (got 'fast')"),
        (["run", "--models", "noise", "-n", "0"], "-n must be at least 1 (got 0)"),
        (["run", "--models", "noise", "--device", "gpu"], "device 'gpu' cannot be used here; available: cpu"),
        (
            ["run", "--models", "noise", "--transition-lambda", "inf"],
            "--transition-lambda must be finite (got 'inf')",
        ),
        (
            ["eval", "absent/folder", "--transition-lambda", "nan"],
            "--transition-lambda must be finite (got 'nan')",
        ),
        (["beats", "absent.wav", "--transition-lambda", "inf"], "transition_lambda must be finite"),
        (["beats", "absent.wav", "--transition-lambda", "nan"], "transition_lambda must be finite"),
        (["beats", "absent.wav", "--fps", "inf"], "fps must be from"),
        (["run", "--models", "noise", "-n", "1000000000000"], "-n must be at most 100000 (got 1000000000000)"),
        (["run", "--config", "absent.yaml"], "absent.yaml: cannot be read"),
        (["run", "--modles", "noise"], "--models"),
        (["rnu"], "run"),
        (["eval", "absent/folder", "--embedding", "vggish"], "--embedding needs --reference"),
        (["eval", "absent/folder"], "absent/folder: no such folder"),
        (["check", "absent.json", "runs/x"], "baseline absent.json: cannot be read"),
        (["eval", "absent/folder", "--format", "yaml"], "unknown --format 'yaml'"),
        (["eval", "absent/folder", "--device", "abacus"], "device 'abacus' cannot be used here; available: cpu"),
        (["show", "absent-run"], "absent-run: no scores.csv found"),
        (["compare", "absent-run", "another"], "absent-run: no scores.csv found"),
        (["plot", "absent-run", "--out", "fig.bmp"], "--out fig.bmp: the file name must end in .pdf, .svg or .png"),
        (["site", "absent-run"], "absent-run: no scores.csv found"),
    ],
)
def test_misuse_exits_with_2_and_names_the_mistake(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, output = mtbench(*arguments)
    assert code == 2 and said in output
    assert "Traceback" not in output
    assert list(tmp_path.iterdir()) == []  # nothing was started


@pytest.mark.parametrize("command", list(cli.COMMANDS))
def test_every_command_shows_an_example(command):
    code, output = mtbench(command, "--help")
    assert code == 0 and re.search(f"Examples?: mtbench {command}", output)


def test_suites_models_and_doctor_list_what_is_available(monkeypatch, tmp_path):
    monkeypatch.setenv("MTBENCH_DATA", str(tmp_path))
    code, output = mtbench("suites")
    assert code == 0 and "band" in output and "slakh2100/test" in output and "MTBENCH_DATA" in output
    code, output = mtbench("models")
    assert code == 0 and all(name in output for name in ("synctrack", "msg-ld", "heldout", "noise"))
    code, output = mtbench("doctor")
    assert code == 0 and "madmom" in output and "log-mel-stats: ready" in output


@pytest.fixture(scope="module")
def finished(suite_folder, tmp_path_factory):
    """A finished run of the two controls, and what it printed."""
    out = tmp_path_factory.mktemp("cli") / "run"
    code, output = mtbench(
        "run",
        "--models",
        "noise,heldout",
        "--suite",
        f"folder:{suite_folder}",
        "-n",
        4,
        "--fps",
        "100,150",
        "--window",
        "0.15",
        "--out",
        out,
    )
    assert code == 0, output
    return out, output


def test_run_prints_the_papers_tables(finished):
    out, output = finished
    for words in (
        "Summary (suite folder:",
        "FAD with log-mel-stats; rhythm in real seconds, 100 fps, lambda 100, window 0.15 s)",
        "FAD mixture ↓",
        "IRS (s) ↓",
        "CBS ↑",
        "site/index.html",
        f"every table: mtbench show {out} --full",
    ):
        assert words in output
    assert output.count("heldout │") == 1  # one table, one row per model
    code, full = mtbench("show", out, "--full")
    assert code == 0
    for words in (
        "FAD (embedding log-mel-stats",
        "IRS in s (real seconds, 100 fps, lambda 100",
        "published timebase, 150 fps, lambda 100",
        "Sensitivity of CBD mean",
        "at 100 fps the published timebase gives the same scores",
    ):
        assert words in full
    assert "real 100 / 100" in full and "published 150 / 100" in full and "published 100 / 100" not in full
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["run.yaml", "samples.csv", "scores.csv", "comparisons.csv", "failures.csv", "audio", "beats", "site"]
    )


def test_the_page_is_complete_and_escaped(finished, tmp_path):
    run = shutil.copytree(finished[0], tmp_path / "run")
    scores = (run / "scores.csv").read_text()
    (run / "scores.csv").write_text(scores.replace(",noise,", ",<script>alert(1)</script>,"))
    assert mtbench("site", run, "--out", tmp_path / "page")[0] == 0
    page = (tmp_path / "page" / "index.html").read_text()
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert "heldout" in page and "://" not in page  # nothing is loaded from elsewhere
    first = (tmp_path / "page" / "index.html").read_bytes()
    mtbench("site", run, "--out", tmp_path / "again")
    assert (tmp_path / "again" / "index.html").read_bytes() == first


def test_tables_are_not_wrapped_without_a_terminal(monkeypatch, tmp_path):
    monkeypatch.setenv("MTBENCH_DATA", str(tmp_path / ("long" * 20)))
    done = CliRunner().invoke(cli.app, ["suites"], env={"COLUMNS": "40"})
    lines = [line.split() for line in done.stdout.splitlines() if "slakh2100/test" in line]
    assert len(lines) == 1 and "Slakh2100:" in lines[0] and "MTBENCH_DATA" in lines[0]
    assert max(map(len, done.stdout.splitlines())) < 400  # nor padded to a fixed width


def test_a_failed_model_does_not_stop_the_others(suite_folder, tmp_path, monkeypatch):
    theirs = {"theirs": EntryPoint("theirs", "test_cli:Breaks", "mtbench.generators")}
    ours = registry.models()
    monkeypatch.setattr(registry, "models", lambda: ours | theirs)
    code, output = mtbench(
        "run",
        "--models",
        "theirs",
        "--suite",
        f"folder:{suite_folder}",
        "-n",
        2,
        *ONE_SETTING,
        "--out",
        tmp_path / "run",
    )
    assert code == 1
    assert "error: theirs failed at sample 0: RuntimeError: [red]no[/red] memory (traceback:" in output
    assert "noise" in output and "heldout" in output and "site/index.html" in output
    page = (tmp_path / "run" / "site" / "index.html").read_text()
    assert "theirs, 00000: RuntimeError: [red]no[/red] memory" in page


class Breaks:
    name, sample_rate, stems, tasks, provenance = "theirs", 16000, STEMS, frozenset({"total"}), {}

    def __init__(self, *, weights, device, suite): ...

    def generate(self, n, stems, *, given=None, seed=0, start=0):
        raise RuntimeError("[red]no[/red] memory\nbacktrace of a library")


@pytest.mark.parametrize(
    "name, text",
    [
        ("scores.csv", ""),
        ("scores.csv", "a,b\n1,2\n"),
        ("scores.csv", "\x00\xff\x00"),
        ("scores.csv", '"'),
        ("scores.csv", None),
        ("run.yaml", ""),
        ("run.yaml", "models: []"),
        ("run.yaml", "a: ["),
        ("run.yaml", "[" * 3_000),
        ("run.yaml", "models: {noise: 1}"),
        ("run.yaml", "\xff"),
        ("failures.csv", ""),
        ("failures.csv", "a\n"),
    ],
)
def test_a_damaged_run_folder_is_named(name, text, finished, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for file in ("scores.csv", "run.yaml", "failures.csv"):
        shutil.copy(finished[0] / file, run / file)
    if text is None:  # an invalid value in one cell
        text = (run / name).read_text().replace(",100,", ",abc,", 1).replace(",100.0,", ",abc,", 1)
    (run / name).write_text(text, encoding="latin-1")
    code, output = mtbench("site", run, "--out", tmp_path / "page")
    assert code == 2 and output.startswith("error:") and str(run / name) in output and "Traceback" not in output
    if name != "failures.csv":  # the gate does not need failures.csv
        code, output = mtbench("check", tmp_path / "baseline.json", run, "--update")
        assert code == 2 and str(run / name) in output


def test_two_runs_in_one_table_are_refused(finished, tmp_path):
    run = shutil.copytree(finished[0], tmp_path / "run", ignore=shutil.ignore_patterns("audio"))
    table = pd.read_csv(run / "scores.csv")
    pd.concat([table, table.assign(suite="another")]).to_csv(run / "scores.csv", index=False)
    code, output = mtbench("site", run, "--out", tmp_path / "page")
    assert code == 2 and "scores.csv: not the scores of a single run" in output


@pytest.mark.parametrize(
    "error, code, said",
    [
        (PermissionError(errno.EACCES, "Permission denied", "/some/file"), 2, "error: /some/file: Permission denied"),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "/some/file"),
            2,
            "error: /some/file: No such file",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "error: [Errno 28] No space left on device"),
        (OSError(errno.EMFILE, "Too many open files", "/some/file"), 1, "error: /some/file: Too many open files"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 1, "error: [Errno 12] Cannot allocate memory"),
    ],
)
def test_errors_of_the_operating_system_are_one_line(error, code, said, monkeypatch):
    def refuses(*arguments):
        raise error

    monkeypatch.setattr(runner, "run", refuses)
    exit_code, output = mtbench("run", "--models", "noise")
    assert exit_code == code and output.startswith(said)


def test_eval_prints_and_writes_scores(tmp_path):
    folder = write_clips(tmp_path / "mine", ["a", "b"], seconds=4.0)
    code, output = mtbench(
        "eval", folder, "--out", tmp_path / "run", "--fps", "100", "--timebase", "real", "--window", "0.15"
    )
    assert code == 0 and "IRS (s) ↓" in output and "mine" in output
    assert set(pd.read_csv(tmp_path / "run" / "scores.csv")["n"]) == {2}


def test_eval_of_a_folder_without_drums(tmp_path):
    folder = write_clips(tmp_path / "mine", ["a"], seconds=1.0)
    (folder / "drums").rename(folder / "percussion")
    four = ["--stems", "bass,drums,guitar,piano"]
    code, output = mtbench("eval", folder, "--out", tmp_path / "run", *four)
    assert code == 2 and f"{folder}: no stem drums (found: bass, guitar, percussion, piano)" in output


def test_check_compares_a_run_with_its_baseline(finished, tmp_path):
    run, _ = finished
    # The gate does not check controls, so rename one to a model before the run becomes the baseline.
    scores = (run / "scores.csv").read_text().replace(",heldout,", ",mine,")
    copied = tmp_path / "run"
    copied.mkdir()
    (copied / "scores.csv").write_text(scores)
    (copied / "run.yaml").write_text((run / "run.yaml").read_text())
    baseline = tmp_path / "baseline.json"
    code, output = mtbench("check", baseline, copied)
    assert code == 2 and "cannot be read" in output
    code, output = mtbench("check", baseline, copied, "--update")
    assert code == 0 and "wrote" in output
    code, output = mtbench("check", baseline, copied)
    assert code == 0 and "0 worse, 0 missing" in output and "note:" not in output
    record = (copied / "run.yaml").read_text()
    (copied / "run.yaml").write_text(record.replace("seed: 0", "seed: 7"))
    code, output = mtbench("check", baseline, copied)
    assert code == 0 and "note: the baseline was made with seed 0, this run with seed 7" in output
    table = pd.read_csv(copied / "scores.csv")
    table.loc[(table["metric"] == "irs") & (table["model"] == "mine"), "value"] += 0.5
    table.to_csv(copied / "scores.csv", index=False)
    code, output = mtbench("check", baseline, copied)
    assert code == 1 and "worse" in output
    table["n"] = 3
    table.to_csv(copied / "scores.csv", index=False)
    code, output = mtbench("check", baseline, copied)
    assert (
        code == 2 and f"error: {copied} cannot be compared with {baseline}: the baseline has n 4, the run 3" in output
    )
    held = baseline.read_text()
    code, output = mtbench("check", baseline, copied, "--update")
    assert code == 0 and "nothing to compare: the baseline has n 4, the run 3" in output
    assert baseline.read_text() != held


def test_check_runs_the_current_code(suite_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(
        json.dumps(
            {
                "models": [{"name": "noise", "label": "mine"}],
                "suite": f"folder:{suite_folder}",
                "n": 4,
                "grid": {"fps": 100, "timebase": "real", "window": 0.15},
            }
        )
    )
    code, output = mtbench("run", "--config", "c.yaml")
    assert code == 0, output  # into the default folder, runs/folder-...
    (made,) = (tmp_path / "runs").iterdir()
    assert mtbench("check", "baseline.json", made, "--update")[0] == 0
    from mtbench import controls

    monkeypatch.setattr(controls, "NOISE_LEVEL", 1e-4)  # the code changes, the provenance that it states does not
    real = controls.Noise.__init__

    def states_as_before(self, suite):
        real(self, suite)
        self.provenance = {"what": "white noise, standard deviation 0.1"}

    monkeypatch.setattr(controls.Noise, "__init__", states_as_before)
    code, output = mtbench("check", "baseline.json")
    assert code == 1 and "worse" in output
    (checked,) = (tmp_path / "runs").glob("check-*")
    assert f"run folder runs/{checked.name}" in output
    # The failed run can be listened to and compared with the baseline again; its cache is no longer needed.
    assert (checked / "audio/total/mine/bass/00000.wav").is_file() and not (checked / "cache").exists()
    assert mtbench("check", "baseline.json", checked)[0] == 1

    def runs_again(config, folder, *arguments):
        (folder / "cache").mkdir(parents=True)
        shutil.copytree(checked, folder, dirs_exist_ok=True)
        return SimpleNamespace(failed=[])

    monkeypatch.setattr(runner, "run", runs_again)
    assert mtbench("check", "baseline.json")[0] == 1
    assert len(list((tmp_path / "runs").glob("check-*"))) == 2
    held = (tmp_path / "baseline.json").read_text()
    assert mtbench("check", "baseline.json", "--update")[0] == 0
    assert (tmp_path / "baseline.json").read_text() != held
    kept = set((tmp_path / "runs").iterdir())
    code, output = mtbench("check", "baseline.json")  # compared with itself
    assert code == 0 and "kept only if the check fails" in output
    code, output = mtbench("check", "baseline.json", "--update")
    assert code == 0 and "wrote" in output

    def is_stopped(*arguments):
        runs_again(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run", is_stopped)
    code, output = mtbench("check", "baseline.json")
    assert code == 130 and "interrupted; nothing of the run is kept" in output
    assert set((tmp_path / "runs").iterdir()) == kept


def test_quiet_prints_only_the_result_and_verbose_the_settings(tmp_path):
    folder = write_clips(tmp_path / "mine", ["a", "b"], seconds=4.0)
    (folder / "drums" / "b.wav").unlink()
    command = ["eval", folder, "--out", tmp_path / "run", *ONE_SETTING]
    code, output = mtbench(*command)
    assert code == 0 and "analyse mine: 1 to do" in output and "note: mine: 1 incomplete clip" in output
    code, quiet = mtbench(*command, "--quiet")
    assert code == 0 and quiet.startswith("Summary (") and "to do" not in quiet and "note:" not in quiet
    code, verbose = mtbench(*command, "-v")
    assert code == 0 and "transition_lambda: - 100.0" in verbose and "note: mine: 1 incomplete clip" in verbose
    code, failed = mtbench("eval", tmp_path / "absent", "-v")
    assert code == 2 and "Traceback" in failed and "no such folder" in failed


def test_a_document_is_alone_on_standard_output(tmp_path):
    folder = write_clips(tmp_path / "mine", ["a", "b"], seconds=4.0)
    command = ["eval", str(folder), "--out", str(tmp_path / "run"), *ONE_SETTING, "--format", "json"]
    done = CliRunner().invoke(cli.app, command)
    assert done.exit_code == 0 and {record["row"] for record in json.loads(done.stdout)} == {"mine"}
    assert f"run folder {tmp_path / 'run'}" in " ".join(done.stderr.split())


def test_beats_in_another_meter(tmp_path):
    """Clicks at 200 BPM: the defaults find every second one (docs/beats.md)."""
    soundfile.write(tmp_path / "a.wav", clicks(200, 10.24), 16000)
    for options, interval, keys in (
        ((), 0.6, {"beats_per_bar": [3, 4], "min_bpm": 30, "max_bpm": 300}),
        (
            ("--beats-per-bar", "5", "--min-bpm", "120", "--max-bpm", "250"),
            0.3,
            {"beats_per_bar": [5], "min_bpm": 120, "max_bpm": 250},
        ),
    ):
        code, output = mtbench("beats", tmp_path / "a.wav", "--format", "json", *options)
        document = json.JSONDecoder().raw_decode(output)[0][0]  # progress follows
        assert code == 0 and {key: document[key] for key in keys} == keys
        assert abs(np.median(np.diff(document["beats"])) - interval) < 0.011
        assert max(document["positions"]) == keys["beats_per_bar"][-1]


@pytest.mark.parametrize(
    "options, said",
    [
        (["--beats-per-bar", "3,x"], "--beats-per-bar must be whole numbers separated by commas, not '3,x'"),
        (["--beats-per-bar", "0"], "beats_per_bar must be positive whole numbers"),
        (["--min-bpm", "400"], "min_bpm must be positive and not larger than max_bpm (got 400 and 300)"),
    ],
)
def test_bad_meters_are_refused(options, said):
    code, output = mtbench("beats", "absent.wav", *options)
    assert code == 2 and said in output
