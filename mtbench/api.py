"""mtbench from Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mtbench.report.tables import as_text, run_tables
from mtbench.results.load import FinishedRun, load_run


@dataclass(frozen=True)
class Result:
    """A finished run. ``print(result)`` shows its summary tables.

    scores: one row per score, with standard error and interval; samples: one row per clip and score, None where the run
    folder keeps none; comparisons: the difference of every two models under every setting. The columns are those of the
    CSV files in the run folder.
    """

    run: FinishedRun

    @property
    def folder(self) -> Path:
        return self.run.path

    @property
    def scores(self) -> pd.DataFrame:
        return self.run.scores

    @property
    def samples(self) -> pd.DataFrame | None:
        return self.run.samples

    @property
    def comparisons(self) -> pd.DataFrame:
        return self.run.comparisons

    def __str__(self) -> str:
        tables = run_tables(self.scores, self.comparisons, self.run.provenances)
        return "\n\n".join(as_text(table) for table in tables)

    def __repr__(self) -> str:
        models = ", ".join(self.scores["model"].unique())
        return f"Result of {self.folder}: {len(self.scores)} scores of {models}"


def load(run: str | Path) -> Result:
    """A finished run, from its folder. Raises UsageError, naming the file, if there is none or it is damaged."""
    return Result(load_run(run))
