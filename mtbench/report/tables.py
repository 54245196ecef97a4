"""The paper's tables from a run's scores: mixture and track-wise FAD, IRS, CBS, CBD, and the sensitivity grid."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import floor, log10
from typing import Any

import pandas as pd

from mtbench.controls import CONTROLS
from mtbench.registry import metrics
from mtbench.results.tables import rank
from mtbench.settings import STANDARD, Setting

DIGITS = {"fad": 3, "irs": 4, "cbs": 3, "cbd_mean": 3, "cbd_std": 3, "cbd_median": 3, "tuning": 1, "live": 2}
LEGEND = (
    "± half of the 95% interval; #: rank, 1 + the models that are better by more than chance; "
    "scored: clips with a value, the fewest of the row"
)


@dataclass(frozen=True)
class Table:
    """A table to show. of: what a row is; rows: texts, `-` where there is no score."""

    title: str
    note: str
    of: str
    rows: pd.DataFrame


def as_text(table: Table) -> str:
    """A table as plain text: title, note, rows."""
    return f"{table.title} ({table.note})\n{table.rows.to_string()}"


def run_tables(
    scores: pd.DataFrame, comparisons: pd.DataFrame, provenances: Mapping[str, Mapping[str, Any]]
) -> list[Table]:
    """All tables of a run. A model that was trained on something else than real music is called so in each."""
    names = {
        model: f"{model} ({provenance['trained_on']})"
        for model, provenance in provenances.items()
        if "trained_on" in provenance
    }
    tables = []
    for (task, given), part in scores.groupby(["task", "given"], sort=False):
        of_part = [*paper_tables(part, comparisons), *sensitivity_tables(part)]
        beside = f"{task}, {given} given, " if given else ""
        tables += [replace(table, note=beside + table.note) for table in of_part]
    return [replace(table, rows=table.rows.rename(index=names, columns=names)) for table in tables]


def paper_tables(scores: pd.DataFrame, comparisons: pd.DataFrame) -> list[Table]:
    """Every table that these scores (SCORE_COLUMNS) of one task and given stems fill.

    One timebase at a time: the two never share a column.
    """
    scores = scores.assign(rank=rank(scores[~scores["model"].isin(CONTROLS)], comparisons))
    tables = _fad_tables(scores)
    for timebase in ("real", "published"):
        part = scores[scores["timebase"] == timebase]
        if part.empty:
            continue
        _, fps, tl, window = standard_setting(part)
        held = part[(part["fps"] == fps) & (part["transition_lambda"] == tl)]
        seconds = "real seconds" if timebase == "real" else f"published timebase, whose second is {fps / 100:g} s"
        note = f"fps {fps:g}, transition lambda {tl:g}, {seconds}"
        live = held[(held["metric"] == "live") & (held["track"] == "all")]
        irs = held[held["metric"] == "irs"]
        if not irs.empty:
            tables.append(_pivot(irs, "IRS in s", note, "track", live))
        across = held[held["metric"].str.startswith("cbd") | ((held["metric"] == "cbs") & (held["window"] == window))]
        if not across.empty:
            counted = f", CBS window {window:g} s" if window == window else ""
            tables.append(_pivot(across, "CBS and CBD", note + counted, "metric", live))
    return tables


def standard_setting(table: pd.DataFrame) -> Setting | None:
    """The setting of a table of scores that is shown where there is room for one; None where it has no rhythm scores.

    The timebase is `true` if any score has it. Then the decode, of those that have scores, whose fps is nearest to
    STANDARD's, and of these the one with the nearest transition lambda; then of its CBS windows the nearest. Of two
    that are as near it is the lower. So it is STANDARD wherever that has scores, and always one that has some.
    """
    for timebase, fps, tl, window in STANDARD.values():
        decodes = table[table["timebase"] == timebase]
        if len(decodes):
            fps = _nearest(decodes["fps"], fps)
            decodes = decodes[decodes["fps"] == fps]
            tl = _nearest(decodes["transition_lambda"], tl)
            windows = decodes[decodes["transition_lambda"] == tl]["window"]
            return Setting(timebase, fps, tl, _nearest(windows, window))
    return None


def at_setting(table: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """The rhythm scores of one setting: CBS of its window, and what has none."""
    timebase, fps, tl, window = setting
    return table[
        (table["timebase"] == timebase)
        & (table["fps"] == fps)
        & (table["transition_lambda"] == tl)
        & (table["window"].isna() | (table["window"] == window))
    ]


def sensitivity_tables(scores: pd.DataFrame) -> list[Table]:
    """How the rhythm metrics move with fps, transition lambda, window and timebase: a row a setting, a column a model."""
    tables = []
    for metric, track in (("irs", "all"), ("cbs", "all"), ("cbd_mean", "all")):
        part = scores[(scores["metric"] == metric) & (scores["track"] == track)]
        settings = ["timebase", "fps", "transition_lambda"] + (["window"] if metric == "cbs" else [])
        if part.empty or len(part[settings].drop_duplicates()) < 2:
            continue
        labels = part.apply(
            lambda row: (
                f"{row.timebase} {row.fps:g} / {row.transition_lambda:g}"
                + (f" / {row.window:g}" if metric == "cbs" else "")
            ),
            axis=1,
        )
        texts = [_number(value, DIGITS[metric]) for value in part["value"]]
        rows = (
            part.assign(setting=labels, text=texts).pivot(index="setting", columns="model", values="text").fillna("-")
        )
        rows = rows.reindex(index=labels.unique(), columns=part["model"].unique()).rename_axis(index=None, columns=None)
        note = "timebase, fps / transition lambda" + (" / window in s" if metric == "cbs" else "")
        tables.append(
            Table(f"Sensitivity of {metrics()[metric].title}{metrics()[metric].arrow}", note, "setting", rows)
        )
    return tables


def _fad_tables(scores: pd.DataFrame) -> list[Table]:
    fad = scores[scores["metric"] == "fad"]
    return [
        _pivot(part, "FAD", f"embedding {embedding}, reference {suite} {reference}", "track")
        for (suite, reference, embedding), part in fad.groupby(["suite", "reference", "embedding"], sort=False)
    ]


def _nearest(values: pd.Series, wanted: float) -> float:
    """Of some numbers the nearest to a wanted one, the lower of two; NaN where there is none."""
    return min(values.dropna().unique(), key=lambda value: (round(abs(value - wanted), 9), value), default=float("nan"))


def _pivot(part: pd.DataFrame, title: str, note: str, across: str, live: pd.DataFrame | None = None) -> Table:
    """A row a model, a column a value of `across`, and what the numbers rest on: live stems (rows of that metric), clips."""
    rows = part.assign(text=[_score(score) for score in part.itertuples()]).pivot(
        index="model", columns=across, values="text"
    )
    columns = [name for name in metrics() if name in set(part[across])] if across == "metric" else part[across].unique()
    rows = rows.reindex(index=part["model"].unique(), columns=columns).fillna("-")
    metric_of = dict(zip(part[across], part["metric"]))
    rows = rows.rename(
        columns={
            column: (metrics()[column].title if across == "metric" else column) + metrics()[metric_of[column]].arrow
            for column in columns
        }
    )
    if live is not None:
        share = live.set_index("model")["value"]
        rows["live stems"] = [_number(share.get(model, float("nan")), DIGITS["live"]) for model in rows.index]
    counts = part.groupby("model")[["n_scored", "n"]].min()
    rows["scored"] = [f"{counts['n_scored'][model]:g}/{counts['n'][model]:g}" for model in rows.index]
    return Table(title, note, "model", rows.rename_axis(index=None, columns=None))


def _score(score: Any) -> str:
    """``0.0738 ±0.0067 #2``: no more digits than the interval is worth, which is two of its own."""
    half, digits = (score.ci_high - score.ci_low) / 2, DIGITS[score.metric]
    interval = ""
    if half > 0:
        digits = max(0, min(digits, 1 - floor(log10(half))))
        interval = f" ±{half:.{digits}f}"
    return _number(score.value, digits) + interval + (f" #{score.rank:.0f}" if score.rank == score.rank else "")


def _number(value: float, digits: int) -> str:
    return "-" if value != value else f"{value:.{digits}f}"
