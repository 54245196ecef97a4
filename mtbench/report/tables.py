"""The tables of a run, for the terminal, papers and the site.

The summary has one row per model. The full tables show the Fréchet audio distance (FAD), inner-track rhythmic stability
(IRS), the metrics across stems, which are cross-track beat synchronization (CBS) and cross-track beat dispersion (CBD),
the metrics of the audio itself, and how the scores depend on the setting.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from mtbench.controls import CONTROLS
from mtbench.metrics import Metric
from mtbench.registry import metrics
from mtbench.report import selection, text
from mtbench.results.keys import NAN, is_empty
from mtbench.results.tables import rank
from mtbench.settings import TIMEBASES, Setting, in_short

LEGEND = (
    "[low, high]: 95% interval; #: rank, 1 + the number of models that are better by more than chance; scored: clips "
    "with a value / all clips, for the score that has the fewest values"
)
DIFFERENCE_LEGEND = (
    "difference: second run minus first, with its 95% interval; p: p-value of the difference, corrected over the "
    "models (Holm)"
)
SAME_AT_100 = "at 100 fps the published timebase gives the same scores"
VALUE_COLUMNS = ["row", "column", "value", "ci_low", "ci_high", "rank", "n_scored", "n"]


@dataclass(frozen=True)
class Table:
    """A table to show.

    note: its setting, or what it measures. of: what each row stands for, such as a model. rows: the cells as strings.
    values: the scores behind the cells, one per row: VALUE_COLUMNS, or other columns that programs can read.
    """

    title: str
    note: str
    of: str
    rows: pd.DataFrame
    values: pd.DataFrame


def summary_table(
    scores: pd.DataFrame, comparisons: pd.DataFrame, provenances: Mapping[str, Mapping[str, Any]]
) -> Table:
    """Return the summary of a run (SCORE_COLUMNS, COMPARISON_COLUMNS), with one column per main score.

    It has one row per model; in arrangement, one row per model and set of given stems. Rhythm scores are those of the
    standard setting (`selection.standard_setting`). If a model's provenance states its training data, the data are
    added to its name.
    """
    of_name = metrics()
    scores = selection.at_standard_setting(_ranked(selection.installed(scores), comparisons))
    shares = scores[scores["metric"].map(lambda name: selection.qualifies(of_name[name])) & (scores["track"] == "all")]
    main = selection.in_summary(scores)
    if main.empty:
        nothing = pd.DataFrame(index=list(scores["model"].unique()))
        return _named(
            Table("Summary", "no main scores", "model", nothing, pd.DataFrame(columns=VALUE_COLUMNS)), provenances
        )
    main = main.assign(head=_summary_heads(main))
    order = {name: place for place, name in enumerate(of_name)}
    heads = dict.fromkeys(main.sort_values("metric", key=lambda names: names.map(order), kind="stable")["head"])
    parts = []
    for given, of_given in main.groupby("given", sort=False):
        part = _table("", "", of_given, "head", {head: head for head in heads})
        rows = _with_shares(part.rows, shares[shares["given"] == given])
        values = part.values
        if given:
            rows.insert(0, "given", given)
            values = values.assign(given=given)
        parts.append(replace(part, rows=rows, values=values))
    rows = _filled(pd.concat([part.rows for part in parts]))
    values = pd.concat([part.values for part in parts], ignore_index=True)
    return _named(Table("Summary", _summary_note(scores), "model", rows, values), provenances)


def run_tables(
    scores: pd.DataFrame, comparisons: pd.DataFrame, provenances: Mapping[str, Mapping[str, Any]]
) -> list[Table]:
    """Return all tables of a run. If a model's provenance states its training data, the data are added to its name."""
    tables: list[Table] = []
    for task, given in scores[["task", "given"]].drop_duplicates().itertuples(index=False):
        of_task = scores[(scores["task"] == task) & (scores["given"] == given)]
        beside = f"{task}, {given} given, " if given else ""
        tables += [
            replace(table, note=beside + table.note)
            for table in (*paper_tables(of_task, comparisons), *sensitivity_tables(of_task))
        ]
    return [_named(table, provenances) for table in tables]


def paper_tables(scores: pd.DataFrame, comparisons: pd.DataFrame) -> list[Table]:
    """Return all tables of the scores (SCORE_COLUMNS) of one task and set of given stems, with one row per model.

    The two timebases are never in the same column. If they give equal scores, only the real one is shown. Metrics that
    are not installed are left out.
    """
    scores = _ranked(selection.installed(scores), comparisons)
    tables = _set_tables(scores)
    shown: set[str] = set()
    for timebase in TIMEBASES:
        of_timebase = scores[scores["timebase"] == timebase]
        setting = selection.standard_setting(of_timebase)
        if setting is not None and not _repeats(setting, shown):
            tables += _rhythm_tables(of_timebase, setting)
            shown.add(setting.words)
    return tables + _audio_tables(scores)


def sensitivity_tables(scores: pd.DataFrame) -> list[Table]:
    """Return tables of how the rhythm metrics of the summary depend on timebase, fps, transition lambda and window.

    They have one row per setting and one column per model. A published setting with the same scores as a real one is
    left out.
    """
    tables = []
    columns = ["timebase", "fps", "transition_lambda", "window"]
    for metric in selection.main(selection.rhythm()):
        for track in metric.summary:
            of_metric = scores[(scores["metric"] == metric.name) & (scores["track"] == track)]
            settings = [Setting(*cells) for cells in of_metric[columns].itertuples(index=False)]
            shown = {setting.words for setting in settings}
            is_new = [not _repeats(setting, shown) for setting in settings]
            of_metric = of_metric.loc[is_new]
            if len(of_metric[columns].drop_duplicates()) < 2:
                continue
            labels = [in_short(*cells) for cells in of_metric[columns].itertuples(index=False)]
            texts = [text.number(value, metric.digits) for value in of_metric["value"]]
            of_metric = of_metric.assign(row=labels, column=of_metric["model"], text=texts, rank=NAN)
            rows = of_metric.pivot(index="row", columns="column", values="text")
            rows = rows.reindex(index=list(dict.fromkeys(labels)), columns=list(of_metric["model"].unique()))
            rows = _filled(rows).rename_axis(index=None, columns=None)
            note = "timebase, fps / transition lambda" + (" / window in s" if metric.windowed else "")
            note += "" if all(is_new) else f"; {SAME_AT_100}"
            title = f"Sensitivity of {text.title(metric, track)}{metric.arrow}"
            tables.append(Table(title, note, "setting", rows, of_metric[VALUE_COLUMNS]))
    return tables


def _ranked(scores: pd.DataFrame, comparisons: pd.DataFrame) -> pd.DataFrame:
    """Add the column `rank`, in which only models are ranked, not controls."""
    return scores.assign(rank=rank(scores[~scores["model"].isin(list(CONTROLS))], comparisons))


def _named(table: Table, provenances: Mapping[str, Mapping[str, Any]]) -> Table:
    """Add the training data of the models to their names, if known."""
    names = text.model_names(provenances)
    rows = table.rows.rename(index=names, columns=names)
    return replace(table, rows=rows, values=table.values.replace({"row": names, "column": names}))


def _repeats(setting: Setting, shown: Set[str]) -> bool:
    """Return whether a published setting has the scores of a real one that is shown: at 100 fps, both are the same.

    shown: settings in words, because a setting without a window (NaN) is not equal to itself.
    """
    is_published = setting.timebase == "published" and setting.fps == 100
    return is_published and setting._replace(timebase="real").words in shown


def _filled(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows of texts in which cells without a score show that there is none."""
    return rows.astype(object).where(rows.notna(), text.MISSING)


def _summary_heads(scores: pd.DataFrame) -> list[str]:
    """Return the column head of each score: ``FAD mixture ↓``, with the embedding if there are several."""
    several = scores.loc[scores["embedding"] != "", "embedding"].nunique() > 1
    heads = []
    for name, track, embedding in zip(scores["metric"], scores["track"], scores["embedding"]):
        metric = metrics()[name]
        unit = f" ({metric.unit})" if metric.unit else ""
        by = f" ({embedding.rpartition('@')[0]})" if several and embedding else ""
        heads.append(f"{text.title(metric, track)}{unit}{by}{metric.arrow}")
    return heads


def _summary_note(scores: pd.DataFrame) -> str:
    setting = selection.standard_setting(scores)
    suites = [suite for suite in scores["suite"].unique() if suite]
    embeddings = scores.loc[scores["embedding"] != "", "embedding"].unique()
    parts = [f"suite {', '.join(suites)}"] if suites else []
    parts += [f"FAD with {', '.join(name.rpartition('@')[0] for name in embeddings)}"] if len(embeddings) else []
    parts += [f"rhythm in {setting.words}{_second(setting)}"] if setting else []
    return "; ".join(parts)


def _second(setting: Setting) -> str:
    """Return a note on the length of a second in the published timebase; empty for the real one."""
    return f"; its second lasts {setting.fps / 100:g} s" if setting.timebase == "published" else ""


def _set_tables(scores: pd.DataFrame) -> list[Table]:
    """Return one table for each combination of a metric of complete sets (such as FAD), embedding and reference."""
    names = [name for name, metric in metrics().items() if metric.scope == "set"]
    keys = ["metric", "suite", "reference", "embedding"]
    tables = []
    for key, of_key in scores[scores["metric"].isin(names)].groupby(keys, sort=False):
        name, suite, reference, embedding = map(str, key)
        note = f"embedding {embedding}" + (f", reference {suite} {reference}" if reference else "")
        tables.append(_by_track(_title(metrics()[name]), note, of_key))
    return tables


def _rhythm_tables(scores: pd.DataFrame, setting: Setting) -> list[Table]:
    """Return the rhythm scores of one timebase at one setting.

    There is one table for each metric of tracks, and one for all metrics across tracks. They also show the metrics that
    qualify these scores (`selection.qualifies`), such as the share of live stems.
    """
    scores = selection.at_setting(scores, setting)
    beside = scores[
        scores["metric"].map(lambda name: selection.qualifies(metrics()[name])) & (scores["track"] == "all")
    ]
    tables = []
    for metric in selection.of_tracks():
        of_metric = scores[scores["metric"] == metric.name]
        if len(of_metric):
            note = setting._replace(window=NAN).words + _second(setting)
            table = _by_track(_title(metric), note, of_metric)
            tables.append(replace(table, rows=_with_shares(table.rows, beside)))
    across = scores[scores["metric"].isin([metric.name for metric in selection.of_clips()])]
    if len(across):
        table = _by_metric("Across stems", setting.words + _second(setting), across)
        tables.append(replace(table, rows=_with_shares(table.rows, beside)))
    return tables


def _audio_tables(scores: pd.DataFrame) -> list[Table]:
    """Return the metrics of the audio itself: one table for each metric of tracks, and one for all metrics of clips."""
    tables = []
    of_clips = []
    for metric in metrics().values():
        of_metric = scores[scores["metric"] == metric.name]
        if metric.needs != "audio" or of_metric.empty:
            continue
        if metric.scope == "track":
            tables.append(_by_track(_title(metric), metric.about, of_metric))
        else:
            of_clips.append(metric)
    if of_clips:
        note = "; ".join(metric.about for metric in of_clips)
        of_metrics = scores[scores["metric"].isin([metric.name for metric in of_clips])]
        tables.append(_by_metric("The audio of a clip", note, of_metrics))
    return tables


def _title(metric: Metric) -> str:
    return f"{metric.title} in {metric.unit}" if metric.unit else metric.title


def _by_track(title: str, note: str, scores: pd.DataFrame) -> Table:
    """Return the scores of one metric: one row per model, one column per track.

    The tracks of the suite, which the controls have, come before those that only a model has; the mean is last.
    """
    arrow = metrics()[scores["metric"].iloc[0]].arrow
    of_suite = scores[scores["model"].isin(list(CONTROLS))]["track"]
    tracks = sorted(dict.fromkeys([*of_suite, *scores["track"]]), key=lambda track: track == "all")
    return _table(title, note, scores, "track", {track: f"{track}{arrow}" for track in tracks})


def _by_metric(title: str, note: str, scores: pd.DataFrame) -> Table:
    """Return the scores of metrics that have only one track: one row per model, one column per metric."""
    present = set(scores["metric"])
    heads = {name: metric.title + metric.arrow for name, metric in metrics().items() if name in present}
    return _table(title, note, scores, "metric", heads)


def _table(title: str, note: str, scores: pd.DataFrame, across: str, heads: Mapping[str, str]) -> Table:
    """Return scores as a table: one row per model, with the lowest number of clips behind any score in the row.

    across: the column of `scores` whose values become the columns of the table. heads: {value: column head}.
    """
    texts = scores.assign(text=[_score(score) for score in scores.itertuples()])
    rows = texts.pivot(index="model", columns=across, values="text")
    rows = rows.reindex(index=list(scores["model"].unique()), columns=list(heads))
    rows = _filled(rows).rename(columns=heads).rename_axis(index=None, columns=None)
    has_value = scores["n_scored"] > 0
    counts = scores[has_value | ~has_value.groupby(scores["model"]).transform("any")]
    counts = counts.groupby("model")[["n_scored", "n"]].min()
    if counts["n"].notna().any():  # numbers from a paper have no counts
        rows["scored"] = [text.coverage(counts["n_scored"][model], counts["n"][model]) for model in rows.index]
    values = scores.assign(row=scores["model"], column=scores[across].map(dict(heads)))[VALUE_COLUMNS]
    return Table(title, note, "model", rows, values)


def _with_shares(rows: pd.DataFrame, shares: pd.DataFrame) -> pd.DataFrame:
    """Add a column for each metric of `shares`, before the counts of clips."""
    for name, of_metric in shares.groupby("metric", sort=False):
        metric = metrics()[str(name)]
        values = dict(zip(of_metric["model"], of_metric["value"]))
        texts = [text.number(values.get(model, NAN), metric.digits) for model in rows.index]
        rows.insert(len(rows.columns) - ("scored" in rows), metric.title, texts)
    return rows


def _score(score: Any) -> str:
    """Return a score with its interval and rank: ``0.0738 [0.0671, 0.0805] #2``."""
    shown = text.with_interval(score.value, score.ci_low, score.ci_high, metrics()[score.metric].digits)
    return shown if is_empty(score.rank) else f"{shown} #{score.rank:.0f}"


def all_tables(
    scores: pd.DataFrame,
    comparisons: pd.DataFrame,
    provenances: Mapping[str, Mapping[str, Any]],
    full: bool,
) -> Sequence[Table]:
    """Return only the summary or, if `full`, the summary and all other tables."""
    summary = summary_table(scores, comparisons, provenances)
    return [summary, *run_tables(scores, comparisons, provenances)] if full else [summary]


def difference_rows(differences: pd.DataFrame, names: Mapping[str, str]) -> Table:
    """Return the differences of two runs (DIFFERENCE_COLUMNS) as a table: one row per model and score.

    names: {model: its name with its training data}.
    """
    rows = []
    for row in differences.to_dict("records"):
        metric = metrics()[row["metric"]]
        settings = [row[name] for name in ("timebase", "fps", "transition_lambda", "window")]
        of_key = [f"given {row['given']}" if row["given"] else "", in_short(*settings) if row["timebase"] else ""]
        rows.append(
            {
                "score": f"{text.title(metric, row['track'])}{metric.arrow}",
                "setting": ", ".join(part for part in (*of_key, row["embedding"]) if part),
                "first": text.number(row["value_a"], metric.digits),
                "second": text.number(row["value_b"], metric.digits),
                "difference": text.difference(row["difference"], row["ci_low"], row["ci_high"], metric.digits),
                "p": text.p_value(row["p_adjusted"]),
                "verdict": row["verdict"] or text.MISSING,
            }
        )
    shown = [
        " to ".join(names.get(model, model) for model in dict.fromkeys(pair))
        for pair in zip(differences["model_a"], differences["model_b"])
    ]
    table = pd.DataFrame(rows, index=shown)
    return Table("Differences", "second run minus first", "model", table, differences)
