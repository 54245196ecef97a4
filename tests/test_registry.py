"""Entry points of other packages: the package from docs/how-to/your-metric.md, actually installed, and broken ones."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mtbench import registry
from mtbench.errors import MtbenchError, UsageError
from mtbench.metrics import Metric, irs, values_of

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "your-metric.md"


@pytest.fixture(scope="module")
def mtbench(tmp_path_factory):
    """Run the command line with that package installed."""
    folder = tmp_path_factory.mktemp("tones")
    source, site = folder / "source", folder / "site"
    source.mkdir()
    blocks = re.findall(r"^```\w+\n# (\S+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert [name for name, _ in blocks] == ["pyproject.toml", "tones.py"]
    for name, content in blocks:
        (source / name).write_text(content, encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(site), str(source)], check=True, capture_output=True)

    def run(*arguments):
        command = [sys.executable, "-m", "mtbench", *map(str, arguments)]
        environment = os.environ | {"PYTHONPATH": str(site)}
        process = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
        assert process.returncode == 0, process.stderr
        return process.stdout

    return run


def test_a_metric_suite_and_embedding_of_another_package_work(mtbench, tmp_path):
    assert any(line.split()[:2] == ["tones", "clicks"] for line in mtbench("suites").splitlines())
    settings = ["--fps", 100, "--timebase", "real", "--window", 0.15]
    mtbench("run", "--models", "noise", "--suite", "tones", "--embedding", "loudness", "-n", 4, *settings,
            "--out", tmp_path / "run")  # fmt: skip
    scores = pd.read_csv(tmp_path / "run" / "scores.csv", dtype={"version": str})
    density = scores[scores["metric"] == "rhythm_density"].set_index("model")
    # The songs click at 120 BPM, and the first and last of 10.24 s may be missed.
    assert 1.8 < density.loc["heldout", "value"] <= 2.1 and density.loc["heldout", "n_scored"] == 4
    assert set(density["version"]) == {"1"} and set(density["track"]) == {"all"}
    fad = scores[scores["metric"] == "fad"]
    assert set(fad["embedding"]) == {"loudness@1"} and set(fad["track"]) == {"mixture", "bass", "drums"}
    heldout, noise = (fad[(fad["model"] == model) & (fad["track"] == "bass")]["value"].item()
                      for model in ("heldout", "noise"))  # fmt: skip
    assert heldout < 0.01 < noise
    assert "Density" in mtbench("show", tmp_path / "run", "--full")
    page = (tmp_path / "run" / "site" / "index.html").read_text(encoding="utf-8")
    assert "Density" in page


def test_every_metric_has_a_record_beside_its_function():
    records = registry.metrics()
    assert list(records)[:4] == ["fad", "irs", "cbs", "cbd_mean"]  # the order of tables
    assert records["irs"].compute is irs
    assert {name for name, record in records.items() if record.over_stems} == {"irs", "live"}
    for record in records.values():
        assert record.title and record.version and record.about and record.digits >= 0


def offered(monkeypatch, group, **values):
    """Pretend that installed packages declare these entry points."""
    points = {name: EntryPoint(name, value, group) for name, value in values.items()}
    monkeypatch.setattr(registry, "_points", lambda asked: points if asked == group else {})
    registry.metrics.cache_clear()


@pytest.fixture(autouse=True)
def fresh_metrics():
    yield
    registry.metrics.cache_clear()


AGAIN = Metric(
    name="irs", title="IRS", unit="s", direction=-1, version="2", needs="beats", scope="track", compute=np.std,
    digits=3, about="Another one",
)  # fmt: skip


@pytest.mark.parametrize(
    "value, message",
    [
        ("nowhere_at_all:METRIC", "metric 'theirs': nowhere_at_all:METRIC cannot be imported .ModuleNotFoundError"),
        ("math:pi", "metric 'theirs': math:pi is float, not a Metric"),
        ("test_registry:AGAIN", "two metrics are named 'irs'"),
    ],
)
def test_a_broken_metric_is_named(value, message, monkeypatch):
    offered(monkeypatch, "mtbench.metrics", theirs=value)
    with pytest.raises(MtbenchError, match=message):
        registry.metrics()


def fails(beats):
    raise SystemExit(3)


@pytest.mark.parametrize(
    "compute, message",
    [(fails, "SystemExit: 3"), (lambda beats: 1 / 0, "ZeroDivisionError"), (lambda beats: None, "TypeError")],
)
def test_a_metric_that_fails_is_named(compute, message):
    with pytest.raises(MtbenchError, match=f"metric 'irs' failed: {message}"):
        values_of([replace(AGAIN, compute=compute)], np.zeros(3))
    assert values_of([AGAIN], np.array([1.0, 3.0])) == [1.0]


def test_metrics_of_one_computation_share_it():
    calls = []

    def ends(beats):
        calls.append(1)
        return SimpleNamespace(first=beats[0], last=beats[-1])

    records = [replace(AGAIN, compute=ends, statistic=name) for name in ("first", "last")]
    assert values_of([*records, AGAIN], np.array([1.0, 3.0])) == [1.0, 3.0, 1.0] and len(calls) == 1


def test_a_broken_suite_or_embedding_is_named(monkeypatch):
    offered(monkeypatch, "mtbench.suites", theirs="math:pi")
    with pytest.raises(MtbenchError, match="suite 'theirs': math:pi is float, not a SuiteFamily"):
        registry.open_suite("theirs")
    offered(monkeypatch, "mtbench.embeddings", theirs="math:sqrt")
    with pytest.raises(MtbenchError, match="embedding 'theirs': cannot be created .TypeError"):
        registry.open_embedding("theirs")
    with pytest.raises(UsageError, match="unknown embedding 'thairs'. Did you mean 'theirs'"):
        registry.open_embedding("thairs")


def test_names_are_listed_without_importing_a_model():
    script = (
        "import sys; from typer.testing import CliRunner; from mtbench.cli import app; "
        "output = CliRunner().invoke(app, ['models']).stdout; assert 'synctrack' in output, output; "
        "print(sorted({'synctrack', 'torch', 'numba', 'madmom', 'pandas'} & set(sys.modules)))"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"
