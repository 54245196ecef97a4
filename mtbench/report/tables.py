"""The paper's tables from a run's scores: mixture and track-wise FAD, IRS, CBS, CBD, and the sensitivity grid."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from mtbench.scores import METRICS

# The setting shown where a table has room for one, by timebase: in real seconds, and as the paper prints its numbers.
STANDARD = {"true": (100, 100.0, 0.15), "published": (150, 100.0, 0.15)}  # fps, transition lambda, window in s
DIGITS = {"fad": 3, "irs": 4, "cbs": 3, "cbd_mean": 3, "cbd_std": 3, "cbd_median": 3, "live": 2}
ARROWS = {-1: " ↓", 1: " ↑", 0: ""}


@dataclass(frozen=True)
class Table:
    """A table to show. of: what a row is; numbers are NaN where there is no score. best: {column: 'min' or 'max'}."""

    title: str
    note: str
    of: str
    rows: pd.DataFrame
    digits: dict[str, int]
    best: dict[str, str]


def run_tables(scores: pd.DataFrame, provenances: Mapping[str, Mapping[str, Any]]) -> list[Table]:
    """All tables of a run. A model that was trained on something else than real music is called so in each."""
    names = {
        model: f"{model} ({provenance['trained_on']})" for model, provenance in provenances.items() if "trained_on" in provenance
    }
    tables = [*paper_tables(scores), *sensitivity_tables(scores)]
    return [replace(table, rows=table.rows.rename(index=names, columns=names),
                    digits={names.get(column, column): digits for column, digits in table.digits.items()}) for table in tables]


def paper_tables(scores: pd.DataFrame) -> list[Table]:
    """Every table that these scores (SCORE_COLUMNS) fill, one timebase at a time: the two never share a column."""
    tables = _fad_tables(scores)
    for timebase in ("true", "published"):
        part = scores[scores["timebase"] == timebase]
        if part.empty:
            continue
        fps, tl, window = _shown(part, timebase)
        held = part[(part["fps"] == fps) & (part["transition_lambda"] == tl)]
        seconds = "real seconds" if timebase == "true" else f"published timebase, whose second is {fps / 100:g} s"
        note = f"fps {fps:g}, transition lambda {tl:g}, {seconds}"
        irs = held[held["metric"] == "irs"]
        if not irs.empty:
            tables.append(_pivot(irs, "IRS in s", note, "irs", "track"))
        across = held[held["metric"].str.startswith("cbd") | ((held["metric"] == "cbs") & (held["window"] == window))]
        live = held[(held["metric"] == "live") & (held["track"] == "all")]
        across = pd.concat([across, live])
        if not across.empty:
            tables.append(_pivot(across, "CBS and CBD", f"{note}, CBS window {window:g} s", None, "metric"))
    return tables


def sensitivity_tables(scores: pd.DataFrame) -> list[Table]:
    """How the rhythm metrics move with fps, transition lambda, window and timebase: a row a setting, a column a model."""
    tables = []
    for metric, track in (("irs", "all"), ("cbs", "all"), ("cbd_mean", "all")):
        part = scores[(scores["metric"] == metric) & (scores["track"] == track)]
        settings = ["timebase", "fps", "transition_lambda"] + (["window"] if metric == "cbs" else [])
        if part.empty or len(part[settings].drop_duplicates()) < 2:
            continue
        labels = part.apply(lambda row: f"{row.timebase} {row.fps:g} / {row.transition_lambda:g}"
                            + (f" / {row.window:g}" if metric == "cbs" else ""), axis=1)
        rows = part.assign(setting=labels).pivot(index="setting", columns="model", values="value")
        rows = rows.reindex(index=labels.unique(), columns=part["model"].unique()).rename_axis(index=None, columns=None)
        note = "timebase, fps / transition lambda" + (" / window in s" if metric == "cbs" else "")
        title = f"Sensitivity of {METRICS[metric].title}{ARROWS[METRICS[metric].direction]}"
        tables.append(Table(title, note, "setting", rows, dict.fromkeys(rows.columns, DIGITS[metric]), {}))
    return tables


def _fad_tables(scores: pd.DataFrame) -> list[Table]:
    fad = scores[scores["metric"] == "fad"]
    return [
        _pivot(part, "FAD", f"embedding {embedding}, reference {suite} {reference}", "fad", "track")
        for (suite, reference, embedding), part in fad.groupby(["suite", "reference", "embedding"], sort=False)
    ]


def _shown(part: pd.DataFrame, timebase: str) -> tuple[float, float, float]:
    """The standard setting of a timebase, or the first of the run's own where it lacks that one."""
    fps, tl, window = STANDARD[timebase]
    windows = part["window"].dropna()
    return (
        fps if (part["fps"] == fps).any() else part["fps"].iloc[0],
        tl if (part["transition_lambda"] == tl).any() else part["transition_lambda"].iloc[0],
        window if (windows == window).any() or windows.empty else windows.iloc[0],
    )


def _pivot(part: pd.DataFrame, title: str, note: str, metric: str | None, across: str) -> Table:
    """A row a model, a column a value of `across`; `metric` None where the columns are metrics."""
    rows = part.pivot(index="model", columns=across, values="value")
    columns = part[across].unique()
    if metric is None:
        columns = [name for name in METRICS if name in columns]
    rows = rows.reindex(index=part["model"].unique(), columns=columns)
    metrics = {column: metric or column for column in rows.columns}
    names = {column: (METRICS[column].title if metric is None else str(column)) + ARROWS[METRICS[metrics[column]].direction]
             for column in rows.columns}
    directions = {names[column]: METRICS[metrics[column]].direction for column in rows.columns}
    return Table(
        title, note, "model", rows.rename(columns=names).rename_axis(index=None, columns=None),
        digits={names[column]: DIGITS[metrics[column]] for column in rows.columns},
        best={name: "min" if direction < 0 else "max" for name, direction in directions.items() if direction},
    )
