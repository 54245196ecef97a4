"""Read a finished run from its folder."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mtbench.errors import UsageError
from mtbench.results.keys import BEAT_COLUMNS, COMPARISON_COLUMNS, KEY, SAMPLE_COLUMNS, SCORE_COLUMNS
from mtbench.results.store import RunFolder
from mtbench.settings import TIMEBASES


@dataclass(frozen=True)
class RunTables:
    """The record and the tables of a run.

    record: the content of run.yaml. scores, comparisons: SCORE_COLUMNS, COMPARISON_COLUMNS; comparisons has no rows if
    nothing was compared. samples (SAMPLE_COLUMNS) and failures are None if the run folder has no such file, as under
    ``results/``, which may keep only the scores.
    """

    record: Mapping[str, Any]
    scores: pd.DataFrame
    comparisons: pd.DataFrame
    samples: pd.DataFrame | None
    failures: pd.DataFrame | None

    @property
    def provenances(self) -> Mapping[str, Mapping[str, Any]]:
        """{model: everything its samples depend on}."""
        provenances: Mapping[str, Mapping[str, Any]] = self.record["models"]
        return provenances

    @property
    def suite_version(self) -> str:
        """The version of the run's suite; empty if unknown."""
        return str(self.record.get("suite_version") or "")


@dataclass(frozen=True)
class FinishedRun(RunTables):
    """A finished run, read from the folder `path`."""

    path: Path


def load_run(path: str | Path) -> FinishedRun:
    """Read a finished run. Raises UsageError, naming the file, if a file is missing or damaged."""
    run, files = load_scores(path), RunFolder(path)
    failures = _optional(files, "failures.csv", ["model", "sample", "reason"])
    return replace(run, comparisons=_comparisons(files), failures=failures)


def load_scores(path: str | Path) -> FinishedRun:
    """Like `load_run`, but without comparisons and failures; damage to those files is then ignored."""
    files = RunFolder(path)
    scores, record = _scores(files), files.read_record()
    samples = _optional(files, "samples.csv", SAMPLE_COLUMNS)
    return FinishedRun(record, scores, pd.DataFrame(columns=COMPARISON_COLUMNS), samples, None, files.path)


def load_beats(path: str | Path) -> pd.DataFrame:
    """Read every beat that a run folder holds: BEAT_COLUMNS, after the columns task, given and model.

    Raises UsageError, naming the file, if there are none, as under ``results/``, or a file is damaged.
    """
    files, tables = RunFolder(path), []
    for file in sorted((files.path / "beats").glob("*/*.csv")):
        task, _, given = file.parent.name.partition("-")
        table = files.read_table(str(file.relative_to(files.path)), BEAT_COLUMNS)
        tables.append(with_origin(table, task, given, file.stem))
    if not tables:
        raise UsageError(f"{files.path / 'beats'}: there are no beats in this run folder")
    return pd.concat(tables, ignore_index=True)


def with_origin(beats: pd.DataFrame, task: str, given: str, model: str) -> pd.DataFrame:
    """Put the columns task, given and model in front of a table of beats."""
    return beats.assign(task=task, given=given, model=model)[["task", "given", "model", *BEAT_COLUMNS]]


def _scores(files: RunFolder) -> pd.DataFrame:
    """Read scores.csv. If a run is from before standard errors were added, `se` is NaN."""
    needed = [column for column in SCORE_COLUMNS if column != "se"]
    table, path = files.read_table("scores.csv", needed), files.path / "scores.csv"
    table = table.reindex(columns=[*SCORE_COLUMNS, *table.columns.difference(SCORE_COLUMNS)])
    if table.empty:
        raise UsageError(f"{path}: contains no scores")
    if strange := set(table["timebase"]) - {"", *TIMEBASES}:
        raise UsageError(f"{path}: damaged: column timebase contains '{min(strange)}'")
    # A run has one suite and one version per metric; otherwise two scores would share one cell of a table.
    twice = table[table.duplicated([column for column in KEY if column not in ("suite", "version")])]
    for row in twice.itertuples():
        raise UsageError(f"{path}: not the scores of a single run: the {row.metric} of {row.model} appears twice")
    return table


def _comparisons(files: RunFolder) -> pd.DataFrame:
    table = _optional(files, "comparisons.csv", COMPARISON_COLUMNS)
    return pd.DataFrame(columns=COMPARISON_COLUMNS) if table is None else table


def _optional(files: RunFolder, name: str, columns: Iterable[str]) -> pd.DataFrame | None:
    return files.read_table(name, columns) if (files.path / name).is_file() else None
