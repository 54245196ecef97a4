"""A run's tables for the terminal and for papers: FAD, the rhythm of tracks and across them, the sensitivity grid."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from mtbench.controls import CONTROLS
from mtbench.metrics import Metric
from mtbench.registry import metrics
from mtbench.report import selection, text
from mtbench.results.keys import NAN, is_empty
from mtbench.results.tables import rank
from mtbench.settings import TIMEBASES, in_short

LEGEND = (
    "[low, high]: 95% interval, shown like its score to two significant digits of its half-width; "
    "#: rank, 1 + the models that are better by more than chance; scored: clips with a value, the fewest of the row"
)


@dataclass(frozen=True)
class Table:
    """A table to show. note: its setting, or what it measures; of: what a row is; rows: texts."""

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
    """All tables of a run. A model whose provenance says what it was trained on is called so in each."""
    names = {
        model: f"{model} ({provenance['trained_on']})"
        for model, provenance in provenances.items()
        if "trained_on" in provenance
    }
    tables: list[Table] = []
    for task, given in scores[["task", "given"]].drop_duplicates().itertuples(index=False):
        of_task = scores[(scores["task"] == task) & (scores["given"] == given)]
        beside = f"{task}, {given} given, " if given else ""
        tables += [
            replace(table, note=beside + table.note)
            for table in (*paper_tables(of_task, comparisons), *sensitivity_tables(of_task))
        ]
    return [replace(table, rows=table.rows.rename(index=names, columns=names)) for table in tables]


def paper_tables(scores: pd.DataFrame, comparisons: pd.DataFrame) -> list[Table]:
    """Every table that these scores (SCORE_COLUMNS) of one task and given stems fill: one row per model.

    One timebase at a time: the two never share a column. A metric that is not installed is left out.
    """
    scores = selection.installed(scores)
    scores = scores.assign(rank=rank(scores[~scores["model"].isin(list(CONTROLS))], comparisons))
    tables = _set_tables(scores)
    for timebase in TIMEBASES:
        tables += _rhythm_tables(scores[scores["timebase"] == timebase])
    return tables + _audio_tables(scores)


def sensitivity_tables(scores: pd.DataFrame) -> list[Table]:
    """How the rhythm metrics of the summary move with timebase, fps, transition lambda and window: one row per setting,
    one column per model."""
    tables = []
    for metric in selection.main(selection.rhythm()):
        for track in metric.summary:
            of_metric = scores[(scores["metric"] == metric.name) & (scores["track"] == track)]
            settings = ["timebase", "fps", "transition_lambda", "window"]
            if len(of_metric[settings].drop_duplicates()) < 2:
                continue
            labels = [in_short(*setting) for setting in of_metric[settings].itertuples(index=False)]
            texts = [text.number(value, metric.digits) for value in of_metric["value"]]
            rows = of_metric.assign(setting=labels, text=texts).pivot(index="setting", columns="model", values="text")
            rows = rows.reindex(index=list(dict.fromkeys(labels)), columns=list(of_metric["model"].unique()))
            rows = rows.fillna(text.MISSING).rename_axis(index=None, columns=None)
            note = "timebase, fps / transition lambda" + (" / window in s" if metric.windowed else "")
            title = f"Sensitivity of {text.title(metric, track)}{metric.arrow}"
            tables.append(Table(title, note, "setting", rows))
    return tables


def _set_tables(scores: pd.DataFrame) -> list[Table]:
    """One table per metric of whole sets, such as FAD, embedding and reference."""
    names = [name for name, metric in metrics().items() if metric.scope == "set"]
    keys = ["metric", "suite", "reference", "embedding"]
    tables = []
    for key, of_key in scores[scores["metric"].isin(names)].groupby(keys, sort=False):
        name, suite, reference, embedding = map(str, key)
        note = f"embedding {embedding}" + (f", reference {suite} {reference}" if reference else "")
        tables.append(Table(_title(metrics()[name]), note, "model", _by_track(of_key)))
    return tables


def _rhythm_tables(scores: pd.DataFrame) -> list[Table]:
    """The rhythm scores of one timebase, at the setting that is shown: a table for each metric of tracks, one for those
    across tracks. Beside them stand the shares that say what they rest on."""
    setting = selection.standard_setting(scores)
    if setting is None:
        return []
    scores = selection.at_setting(scores, setting)
    second = f"; its second is {setting.fps / 100:g} s" if setting.timebase == "published" else ""
    beside = scores[
        scores["metric"].map(lambda name: selection.qualifies(metrics()[name])) & (scores["track"] == "all")
    ]
    tables = []
    for metric in selection.of_tracks():
        of_metric = scores[scores["metric"] == metric.name]
        if len(of_metric):
            rows = _with_shares(_by_track(of_metric), beside)
            tables.append(Table(_title(metric), setting._replace(window=NAN).words + second, "model", rows))
    across = scores[scores["metric"].isin([metric.name for metric in selection.of_clips()])]
    if len(across):
        tables.append(Table("Across stems", setting.words + second, "model", _with_shares(_by_metric(across), beside)))
    return tables


def _audio_tables(scores: pd.DataFrame) -> list[Table]:
    """What is measured on the audio itself: a table for each metric of tracks, one for those of clips."""
    tables = []
    of_clips = []
    for metric in metrics().values():
        of_metric = scores[scores["metric"] == metric.name]
        if metric.needs != "audio" or of_metric.empty:
            continue
        if metric.scope == "track":
            tables.append(Table(_title(metric), metric.about, "model", _by_track(of_metric)))
        else:
            of_clips.append(metric)
    if of_clips:
        rows = _by_metric(scores[scores["metric"].isin([metric.name for metric in of_clips])])
        tables.append(Table("Audio of a clip", "; ".join(metric.about for metric in of_clips), "model", rows))
    return tables


def _title(metric: Metric) -> str:
    return f"{metric.title} in {metric.unit}" if metric.unit else metric.title


def _by_track(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores of one metric: one row per model, one column per track."""
    arrow = metrics()[scores["metric"].iloc[0]].arrow
    return _rows(scores, "track", {track: f"{track}{arrow}" for track in scores["track"].unique()})


def _by_metric(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores that have one track per metric: one row per model, one column per metric."""
    present = set(scores["metric"])
    heads = {name: metric.title + metric.arrow for name, metric in metrics().items() if name in present}
    return _rows(scores, "metric", heads)


def _rows(scores: pd.DataFrame, across: str, heads: Mapping[str, str]) -> pd.DataFrame:
    """Scores as texts, and the fewest clips behind one of each row. heads: {value of the column `across`: its head}."""
    texts = scores.assign(text=[_score(score) for score in scores.itertuples()])
    rows = texts.pivot(index="model", columns=across, values="text")
    rows = rows.reindex(index=list(scores["model"].unique()), columns=list(heads)).fillna(text.MISSING)
    rows = rows.rename(columns=heads).rename_axis(index=None, columns=None)
    counts = scores.groupby("model")[["n_scored", "n"]].min()
    if counts["n"].notna().any():  # a paper's numbers have none
        rows["scored"] = [text.coverage(counts["n_scored"][model], counts["n"][model]) for model in rows.index]
    return rows


def _with_shares(rows: pd.DataFrame, shares: pd.DataFrame) -> pd.DataFrame:
    """Rows with a column for each metric of `shares`, before the counts of clips."""
    for name, of_metric in shares.groupby("metric", sort=False):
        metric = metrics()[str(name)]
        values = dict(zip(of_metric["model"], of_metric["value"]))
        texts = [text.number(values.get(model, NAN), metric.digits) for model in rows.index]
        rows.insert(len(rows.columns) - ("scored" in rows), metric.title, texts)
    return rows


def _score(score: Any) -> str:
    """``0.0738 [0.0671, 0.0805] #2`` of a row with value, interval and rank."""
    shown = text.with_interval(score.value, score.ci_low, score.ci_high, metrics()[score.metric].digits)
    return shown if is_empty(score.rank) else f"{shown} #{score.rank:.0f}"
