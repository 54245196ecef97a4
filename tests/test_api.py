"""mtbench from Python, and the same tables from `mtbench show`."""

import subprocess
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

import mtbench
from mtbench import cli
from mtbench.errors import UsageError
from mtbench.results.keys import COMPARISON_COLUMNS, SCORE_COLUMNS
from site_runs import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "demo", audio=False)


def test_a_finished_run_is_read_back(run):
    result = mtbench.load(run)
    assert result.folder == run and list(result.scores.columns) == SCORE_COLUMNS
    assert list(result.comparisons.columns) == COMPARISON_COLUMNS and len(result.samples) > 0
    fad = result.scores[(result.scores["metric"] == "fad") & (result.scores["track"] == "mixture")]
    assert dict(zip(fad["model"], fad["value"])) == {
        "alpha": 2.0,
        "beta": 4.0,
        "gamma": 5.0,
        "heldout": 1.0,
        "noise": 90.0,
    }
    assert repr(result) == f"Result of {run}: {len(result.scores)} scores of alpha, beta, gamma, heldout, noise"


def test_it_prints_as_the_tables_that_show_shows(run):
    told = str(mtbench.load(run))
    shown = CliRunner().invoke(cli.app, ["show", str(run)], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    for title in ("FAD", "IRS in s", "Across stems"):
        assert title in told and title in shown.stdout
    for model in ("alpha", "gamma", "noise"):
        assert model in told and model in shown.stdout


def test_what_is_no_run_is_named(tmp_path, run):
    with pytest.raises(UsageError, match="no scores.csv found; is this a run folder"):
        mtbench.load(tmp_path)
    shown = CliRunner().invoke(cli.app, ["show", str(tmp_path / "absent")])
    assert shown.exit_code == 2 and "absent: no scores.csv found" in " ".join(shown.stderr.split())
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for name in ("run.yaml", "scores.csv"):
        (damaged / name).write_bytes((run / name).read_bytes())
    pd.read_csv(run / "scores.csv").assign(value="much").to_csv(damaged / "scores.csv", index=False)
    with pytest.raises(UsageError, match="scores.csv: damaged: column value contains a non-numeric value"):
        mtbench.load(damaged)


def test_importing_mtbench_costs_nothing():
    script = (
        "import sys, mtbench\n"
        "print(sorted({'pandas', 'numpy', 'torch', 'typer'} & set(sys.modules)))\n"
        "print(dir(mtbench))"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy, names = process.stdout.splitlines()
    assert heavy == "[]" and "load" in names
    with pytest.raises(AttributeError, match="module 'mtbench' has no attribute 'lode'"):
        _ = mtbench.lode


def test_light_commands_leave_the_heavy_packages_alone(run):
    """show, site and check BASELINE RUN start without torch, Numba and madmom."""
    script = f"""
import sys
from typer.testing import CliRunner
from mtbench.cli import app

def mtbench(*arguments):
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output

mtbench("show", {str(run)!r})
mtbench("site", {str(run)!r}, "--out", {str(run.parent / "site")!r})
mtbench("check", {str(run.parent / "baseline.json")!r}, {str(run)!r}, "--update")
mtbench("check", {str(run.parent / "baseline.json")!r}, {str(run)!r})
print(sorted({{"torch", "numba", "madmom"}} & set(sys.modules)))
"""
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip().splitlines()[-1] == "[]"
