"""Select the scores to show if there is no room for all: metrics according to their records, and one setting."""

from collections.abc import Iterable

import pandas as pd

from mtbench.metrics import Metric
from mtbench.registry import metrics
from mtbench.results.keys import NAN
from mtbench.settings import STANDARD, Setting


def installed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose metric is installed. Only the names of other metrics are known."""
    return table[table["metric"].isin(list(metrics()))]


def rhythm() -> list[Metric]:
    """Return the metrics of beats in the order of tables, except those that only qualify others (`qualifies`)."""
    return [metric for metric in metrics().values() if metric.needs == "beats" and not qualifies(metric)]


def of_tracks() -> list[Metric]:
    """Return the rhythm metrics of a single track, such as inner-track rhythmic stability (IRS)."""
    return [metric for metric in rhythm() if metric.scope == "track"]


def of_clips() -> list[Metric]:
    """Return the rhythm metrics across the tracks of a clip.

    Examples are cross-track beat synchronization (CBS) and cross-track beat dispersion (CBD).
    """
    return [metric for metric in rhythm() if metric.scope == "clip"]


def judged(records: Iterable[Metric]) -> list[Metric]:
    """Return those of some metrics for which lower or higher is better."""
    return [metric for metric in records if metric.direction]


def main(records: Iterable[Metric]) -> list[Metric]:
    """Return those of some metrics that are in the summary and for which lower or higher is better."""
    return [metric for metric in judged(records) if metric.summary]


def in_summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of a run that are in its summary: the main metrics, with rhythm at the standard setting."""
    scores = installed(scores)
    tracks_of = {metric.name: metric.summary for metric in main(metrics().values())}
    is_main = [track in tracks_of.get(name, ()) for name, track in zip(scores["metric"], scores["track"])]
    return at_standard_setting(scores.loc[is_main])


def at_standard_setting(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the rhythm scores of the standard setting (`standard_setting`), and all scores that are not of rhythm."""
    setting = standard_setting(scores)
    if setting is None:
        return scores
    is_shown = scores.index.isin(at_setting(scores, setting).index)
    return scores[(scores["timebase"] == "") | is_shown]


def qualifies(metric: Metric) -> bool:
    """Return whether a metric shows how much data other scores are based on, such as the share of live stems.

    Such a metric has no separate table. Its value over all stems is a column in the tables of those scores.
    """
    return metric.needs == "beats" and metric.over_stems and not metric.direction


def standard_setting(table: pd.DataFrame) -> Setting | None:
    """Return the setting to show if there is room for only one; None if the table has no rhythm scores.

    The timebase is `real` if any score has it. Among the settings with scores, the fps nearest to STANDARD is chosen
    first, then the nearest transition lambda, then the nearest window. If two are equally near, the lower one is
    chosen. The result is therefore STANDARD if it has scores, and always a setting that has scores.
    """
    for standard in STANDARD.values():
        decodes = table[table["timebase"] == standard.timebase]
        if len(decodes):
            fps = _nearest(decodes["fps"], standard.fps)
            decodes = decodes[decodes["fps"] == fps]
            transition_lambda = _nearest(decodes["transition_lambda"], standard.transition_lambda)
            windows = decodes[decodes["transition_lambda"] == transition_lambda]["window"]
            return Setting(standard.timebase, fps, transition_lambda, _nearest(windows, standard.window))
    return None


def at_setting(table: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """Return the rhythm scores of one setting: those of its window, and those without a window."""
    return table[
        (table["timebase"] == setting.timebase)
        & (table["fps"] == setting.fps)
        & (table["transition_lambda"] == setting.transition_lambda)
        & (table["window"].isna() | (table["window"] == setting.window))
    ]


def _nearest(values: pd.Series, wanted: float) -> float:
    """Return the number nearest to `wanted`, the lower one if two are equally near; NaN if there are no numbers."""
    return min(values.dropna().unique(), key=lambda value: (round(abs(value - wanted), 9), value), default=NAN)
