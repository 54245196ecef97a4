"""What a user types, and what comes back: exit 0 done, 1 a failed run or gate, 2 misuse."""

import pandas as pd
import pytest
from conftest import write_clips
from typer.testing import CliRunner

from mtbench import cli


def mtbench(*arguments):
    """(exit code, everything printed, on one line so that wrapped messages can be searched)."""
    done = CliRunner().invoke(cli.app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    return done.exit_code, " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize("arguments, said", [
    (["run"], "--models synctrack,msg-ld, or --config FILE"),
    (["run", "--models", "sinctrack"], "unknown model 'sinctrack'. Did you mean 'synctrack'"),
    (["run", "--models", "noise,,heldout"], "--models: 'noise,,heldout' is not a comma-separated list"),
    (["run", "--models", "noise", "--suite", "bant"], "unknown suite 'bant'. Did you mean 'band'"),
    (["run", "--models", "noise", "--embedding", "vgish"], "unknown embedding 'vgish'. Did you mean 'vggish'"),
    (["run", "--models", "noise", "--timebase", "real"], "timebase"),
    (["run", "--models", "noise", "--fps", "fast"], "grid.fps.0"),
    (["run", "--models", "noise", "-n", "0"], "options: n"),
    (["run", "--models", "noise", "--device", "abacus"], "device 'abacus' cannot be used here"),
    (["run", "--config", "absent.yaml"], "config absent.yaml: cannot be read"),
    (["run", "--modles", "noise"], "--models"),
    (["rnu"], "run"),
    (["eval", "absent/folder", "--embedding", "vggish"], "needs a --reference"),
    (["eval", "absent/folder"], "absent/folder: no such folder"),
    (["check", "absent.json", "runs/x"], "baseline absent.json: cannot be read"),
    (["site", "absent-run"], "absent-run: no scores.csv there"),
])
def test_misuse_exits_with_2_and_names_it(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, output = mtbench(*arguments)
    assert code == 2 and said in output
    assert "Traceback" not in output
    assert list(tmp_path.iterdir()) == []  # nothing was begun


@pytest.mark.parametrize("command", ["run", "eval", "check", "site", "models", "suites", "doctor"])
def test_every_command_shows_an_example(command):
    code, output = mtbench(command, "--help")
    assert code == 0 and f"Example: mtbench {command}" in output


def test_the_lists(monkeypatch, tmp_path):
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
    code, output = mtbench("run", "--models", "noise,heldout", "--suite", f"folder:{suite_folder}", "-n", 4, "--fps", "100,150",
                           "--window", "0.15", "--out", out)
    assert code == 0, output
    return out, output


def test_run_prints_the_papers_tables(finished):
    out, output = finished
    for words in ("FAD (embedding log-mel-stats", "mixture ↓", "IRS in s (fps 100, transition lambda 100, real seconds",
                  "fps 150, transition lambda 100, published timebase", "CBS ↑", "Sensitivity of CBD mean", "site/index.html"):
        assert words in output
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["run.yaml", "samples.csv", "scores.csv", "failures.csv", "audio", "beats", "site"])


def test_the_page_is_whole_and_escaped(finished, tmp_path):
    import shutil

    run = shutil.copytree(finished[0], tmp_path / "run")
    scores = (run / "scores.csv").read_text()
    (run / "scores.csv").write_text(scores.replace(",noise,", ",<script>alert(1)</script>,"))
    code, output = mtbench("site", run, "--out", tmp_path / "page")
    assert code == 0
    page = (tmp_path / "page" / "index.html").read_text()
    assert "<script" not in page and "&lt;script&gt;alert(1)" in page
    assert "heldout" in page and "://" not in page  # nothing is loaded from elsewhere
    first = (tmp_path / "page" / "index.html").read_bytes()
    mtbench("site", run, "--out", tmp_path / "again")
    assert (tmp_path / "again" / "index.html").read_bytes() == first


def test_eval_prints_and_keeps(tmp_path):
    folder = write_clips(tmp_path / "mine", ["a", "b"], seconds=4.0)
    code, output = mtbench("eval", folder, "--out", tmp_path / "run", "--fps", "100", "--timebase", "true", "--window", "0.15")
    assert code == 0 and "IRS in s" in output and "mine" in output
    assert set(pd.read_csv(tmp_path / "run" / "scores.csv")["n"]) == {2}


def test_eval_of_a_folder_without_drums(tmp_path):
    folder = write_clips(tmp_path / "mine", ["a"], seconds=1.0)
    (folder / "drums").rename(folder / "percussion")
    code, output = mtbench("eval", folder, "--out", tmp_path / "run")
    assert code == 2 and "no folder for the drums stem" in output


def test_check_follows_a_run(finished, tmp_path):
    run, _ = finished
    # The controls are no competitors, so give the run another name before it becomes the baseline.
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
    assert code == 0 and "0 worse, 0 missing" in output
    table = pd.read_csv(copied / "scores.csv")
    table.loc[(table["metric"] == "irs") & (table["model"] == "mine"), "value"] += 0.5
    table.to_csv(copied / "scores.csv", index=False)
    code, output = mtbench("check", baseline, copied)
    assert code == 1 and "worse" in output
