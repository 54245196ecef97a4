"""Writing what a run leaves: the tables and run.yaml, which stand for one run."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from mtbench import beats
from mtbench.errors import MtbenchError
from mtbench.registry import open_embedding
from mtbench.results.load import RunTables, with_origin
from mtbench.results.store import RunFolder
from mtbench.results.tables import comparison_table
from mtbench.runner.generate import Failure
from mtbench.runner.plan import Batch, Plan
from mtbench.runner.score import Scored, failure_table, length_notices, nothing_scored
from mtbench.version import __version__

PACKAGES = ("torch", "numpy", "scipy", "madmom", "soundfile")  # whose versions may change a score


@dataclass(frozen=True)
class RunResult(RunTables):
    """The outcome of a run: its record and tables, and what was noted on the way.

    beats: every beat of every stem, as `load_beats` gives them. folder: None if nothing was written. notices: what the
    user should know. failed: one line for each model without scores, because it or all of its samples failed.
    """

    folder: Path | None
    beats: pd.DataFrame
    notices: list[str]
    failed: list[str]


@dataclass
class Report:
    """What is known so far of a run on its way to the tables."""

    scored: list[Scored] = field(default_factory=list)
    failures: list[pd.DataFrame] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    codes: dict[str, Counter[str]] = field(default_factory=dict)  # {row: {code: samples that it made}}

    def add_failure(self, plan: Plan, batch: Batch, failure: Failure) -> None:
        """A batch that could not be made."""
        self.failed.append(f"{batch.title} failed at sample {failure.number}: {failure.reason}")
        origin = batch.assignment.origin(batch.row.name, plan.suite)
        self.failures.append(failure_table({f"{failure.number:05d}": failure.reason}, origin))

    def add_scores(self, scored: Scored) -> None:
        """A row that was scored, or of which no clip could be."""
        self.failures.append(scored.failures)
        self.notices += scored.notices
        if scored.scores.empty:
            self.failed.append(nothing_scored(scored))
        else:
            self.scored.append(scored)

    def add_conversions(self, batch: Batch, conversions: pd.DataFrame) -> None:
        """What was done to the samples of a batch (`ModelFolder.conversions`)."""
        makers = conversions.drop_duplicates("sample")["made_by"]
        self.codes.setdefault(batch.row.name, Counter()).update(makers)
        counts = {column: int((conversions[column] > 0).sum()) for column in ("cut", "padded", "not_finite")}
        self.notices += length_notices(batch.title, counts["cut"], counts["padded"])
        if counts["not_finite"]:
            self.notices.append(
                f"{batch.title}: {counts['not_finite']} stems held NaN or infinite samples, made 0 or full scale"
            )


def keep_batch(target: RunFolder, batch: Batch, scored: Scored, conversions: pd.DataFrame) -> None:
    """Write what stands beside a batch's samples: its beats, and how its samples were brought to canonical form."""
    folder, row = batch.assignment.folder, batch.row.name
    if not scored.scores.empty:
        target.write_table(f"beats/{folder}/{row}.csv", scored.beats)
    target.write_table(f"audio/{folder}/{row}/conversions.csv", conversions)


def made_by_other_code(report: Report, codes: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """{row: {code: samples}} of the rows some of whose samples were made by other code than today's."""
    other = {row: counts for row, counts in report.codes.items() if counts.keys() - {"", codes[row]}}
    return {row: {name: counts[name] for name in sorted(counts) if name} for row, counts in other.items()}


def run_record(
    config: Mapping[str, Any],
    embeddings: Sequence[str],
    provenances: Mapping[str, Mapping[str, Any]],
    commit: str | None,
) -> dict[str, Any]:
    """What run.yaml holds."""
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": dict(config),
        "models": dict(provenances),
        "beats": dict(beats.identity()),
        "embeddings": {name: open_embedding(name).version for name in embeddings},
        "versions": {"mtbench": __version__, "python": platform.python_version()}
        | {package: version(package) for package in PACKAGES},
        "git_commit": commit,
    }


def put_together(folder: Path | None, record: Mapping[str, Any], report: Report) -> RunResult:
    """Put the tables of all rows together. Without any scores they are empty."""
    scores, samples, comparisons, beats = (pd.DataFrame() for _ in range(4))
    if report.scored:
        scores = pd.concat([scored.scores for scored in report.scored], ignore_index=True)
        tables = [table for scored in report.scored for table in (scored.samples, scored.fad_per_clip)]
        samples = pd.concat(tables, ignore_index=True)
        comparisons = comparison_table(samples)
        beats = pd.concat([_beats_of(scored) for scored in report.scored], ignore_index=True)
    failures = pd.concat(report.failures, ignore_index=True)
    notices = list(dict.fromkeys(report.notices))
    return RunResult(record, scores, comparisons, samples, failures, folder, beats, notices, report.failed)


def _beats_of(scored: Scored) -> pd.DataFrame:
    task, given, model = scored.scores.iloc[0][["task", "given", "model"]]
    return with_origin(scored.beats, task, given, model)


def write_tables(target: RunFolder, run: RunResult) -> None:
    """Write the tables of a run, which belong together: everything that takes long is over before the first of them.

    The tables of an earlier run in the folder are removed first. If this run failed or is killed here, its files are
    then not mixed with another run's scores. Samples and beats stay. Raises MtbenchError if no model has scores.
    """
    for name in ("scores.csv", "comparisons.csv", "samples.csv"):
        target.remove(name)
    target.write_yaml("run.yaml", run.record)
    for name, table in (
        ("failures.csv", run.failures),
        ("samples.csv", run.samples),
        ("comparisons.csv", run.comparisons),
        ("scores.csv", run.scores),
    ):
        if run.scores.empty and name != "failures.csv":
            raise MtbenchError(f"no model could be scored: {'; '.join(run.failed)}")
        if table is not None:
            target.write_table(name, table)
