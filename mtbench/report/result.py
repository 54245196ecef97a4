"""The result of a run in Python: its tables as DataFrames, as text and as figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from mtbench.errors import UsageError, unknown_name
from mtbench.report import formats, selection
from mtbench.report.tables import DIFFERENCE_LEGEND, LEGEND, Table, all_tables, difference_rows
from mtbench.report.text import model_names
from mtbench.results.differences import difference_table
from mtbench.results.load import RunTables, load_beats, load_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Result:
    """The result of a run or an evaluation. ``print(result)`` shows its summary; a notebook shows it as a table.

    tables: its record and tables. folder: the run folder; None for an evaluation that was not written to disk.
    notices: messages for the user, for example about clips that were cut. failed: one line for each model without
    scores.
    """

    tables: RunTables
    folder: Path | None
    notices: Sequence[str] = ()
    failed: Sequence[str] = ()
    _beats: pd.DataFrame | None = field(default=None, repr=False)

    @property
    def scores(self) -> pd.DataFrame:
        """One row per score, with standard error, 95% interval and number of clips: the columns of scores.csv."""
        return self.tables.scores

    @property
    def samples(self) -> pd.DataFrame:
        """One row per clip and score: the columns of samples.csv. Raises UsageError if there is no samples.csv."""
        if self.tables.samples is None:
            raise UsageError(f"{self.folder}: no samples.csv found, so the scores of single clips are not available")
        return self.tables.samples

    @property
    def comparisons(self) -> pd.DataFrame:
        """One row per pair of models and score, with their difference: the columns of comparisons.csv."""
        return self.tables.comparisons

    @property
    def beats(self) -> pd.DataFrame:
        """One row per beat: task, given, model and the columns of beats/*.csv; times in seconds.

        Raises UsageError if the run folder has no beats.
        """
        if self._beats is not None:
            return self._beats
        beats = load_beats(self.folder or "")
        # An earlier run in the same folder may have left beats of other models.
        origin = ["task", "given", "model"]
        scored = pd.MultiIndex.from_frame(self.scores[origin].drop_duplicates())
        return beats[pd.MultiIndex.from_frame(beats[origin]).isin(scored)].reset_index(drop=True)

    def table(self, format: str = "text", full: bool = False) -> str:
        """Return the summary table as text or, if `full`, all tables of the run.

        format: ``text``, ``markdown``, ``latex`` (needs the package booktabs), ``html``, or, for programs, ``csv`` and
        ``json``, which contain numbers: one score per row or object. Raises UsageError for any other format.
        """
        return _rendered(all_tables(self.scores, self.comparisons, self.tables.provenances, full), format)

    def plot(self, kind: str = "intervals", given: str | None = None) -> Figure:
        """Return a matplotlib figure of the main scores.

        kind: ``intervals``, every score with its 95% interval; ``scatter``, the Fréchet audio distance (FAD) of the
        mixture against cross-track beat synchronization (CBS); ``distributions``, the scores of single clips;
        ``sensitivity``, how the rhythm scores depend on the setting. given: in arrangement, the given stems to show, as
        in ``bass+drums``; the default is the first set of given stems in the run.
        Raises UsageError for any other kind, or if the run does not have the scores that the figure needs.
        """
        from mtbench.report import plots  # imports matplotlib

        return plots.plot(self.tables, kind, given)

    def __str__(self) -> str:
        return self.table() + _notes(self.notices)

    def __repr__(self) -> str:
        where = f" in {self.folder}" if self.folder else ""
        return f"Result{where}: {len(self.scores)} scores of {', '.join(self.scores['model'].unique())}"

    def _repr_html_(self) -> str:
        return self.table("html") + _notes_in_html(self.notices)


@dataclass(frozen=True)
class Comparison:
    """How the scores of two runs differ. ``print(comparison)`` shows a table.

    differences: one row per score, second run minus first, with 95% interval, p and verdict (`DIFFERENCE_COLUMNS`).
    notices: scores that could not be compared.
    """

    differences: pd.DataFrame
    notices: Sequence[str] = ()
    _names: Mapping[str, str] = field(default_factory=dict, repr=False)

    def rows(self) -> Table:
        """Return the differences as a table for display, with one row per model and score."""
        return difference_rows(self.differences, self._names)

    def table(self, format: str = "text") -> str:
        """Return the differences as text. format: as for `Result.table`."""
        return _rendered([self.rows()], format, DIFFERENCE_LEGEND)

    def __str__(self) -> str:
        return self.table() + _notes(self.notices)

    def __repr__(self) -> str:
        counts = self.differences["verdict"].replace("", "undecided").value_counts()
        return f"Comparison: {', '.join(f'{count} {verdict}' for verdict, count in counts.items())}"

    def _repr_html_(self) -> str:
        return self.table("html") + _notes_in_html(self.notices)


def load(run: str | Path) -> Result:
    """Read a finished run from its folder. Raises UsageError, naming the file, if a file is missing or damaged."""
    finished = load_run(_folder(run))
    return Result(finished, finished.path)


def compare(a: str | Path | Result, b: str | Path | Result, full: bool = False) -> Comparison:
    """Compare the scores of two runs, given as run folders or Results: b minus a.

    The scores of the summary are compared or, if `full`, every score. Models with the same name are compared; if each
    run has only one model, not counting controls, the two are compared even if their names differ. The suite, the
    reference, the metric and its version, and the setting must be the same.
    Raises UsageError, which states what differs, if the runs have no scores that can be compared.
    """
    runs = [run.tables if isinstance(run, Result) else load_run(_folder(run)) for run in (a, b)]
    if not full:
        runs = [replace(run, scores=selection.in_summary(run.scores)) for run in runs]
    names = model_names(runs[0].provenances) | model_names(runs[1].provenances)
    return Comparison(*difference_table(*runs), names)


def _folder(run: str | Path) -> Path:
    if not isinstance(run, (str, PathLike)):
        raise UsageError(f"expected a run folder (got {type(run).__name__})")
    return Path(run)


def _rendered(tables: Sequence[Table], format: str, legend: str = LEGEND) -> str:
    if format not in formats.FORMATS:
        raise unknown_name("format", format, formats.FORMATS)
    return formats.render(tables, format, legend)


def _notes(notices: Sequence[str]) -> str:
    return "".join(f"note: {notice}\n" for notice in notices)


def _notes_in_html(notices: Sequence[str]) -> str:
    return "".join(f"<p><small>note: {escape(notice)}</small></p>\n" for notice in notices)
