"""Which scores are shown where there is no room for all: metrics by what their records say, and one setting."""

from collections.abc import Iterable

import pandas as pd

from mtbench.metrics import Metric
from mtbench.registry import metrics
from mtbench.results.keys import NAN
from mtbench.settings import STANDARD, Setting


def installed(table: pd.DataFrame) -> pd.DataFrame:
    """The rows whose metric is installed here: of another one nothing is known but its name."""
    return table[table["metric"].isin(list(metrics()))]


def rhythm() -> list[Metric]:
    """The metrics of beats in the order of tables, but those that only qualify others."""
    return [metric for metric in metrics().values() if metric.needs == "beats" and not qualifies(metric)]


def of_tracks() -> list[Metric]:
    """The rhythm metrics of a single track, such as IRS."""
    return [metric for metric in rhythm() if metric.scope == "track"]


def of_clips() -> list[Metric]:
    """The rhythm metrics across the tracks of a clip, such as CBS and CBD."""
    return [metric for metric in rhythm() if metric.scope == "clip"]


def judged(records: Iterable[Metric]) -> list[Metric]:
    """Of some metrics those that have a better side."""
    return [metric for metric in records if metric.direction]


def main(records: Iterable[Metric]) -> list[Metric]:
    """Of some metrics those that have a better side and stand in the summary."""
    return [metric for metric in judged(records) if metric.summary]


def in_summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of a run that stand in its summary: the main metrics, rhythm at the standard setting."""
    scores = installed(scores)
    tracks_of = {metric.name: metric.summary for metric in main(metrics().values())}
    is_main = [track in tracks_of.get(name, ()) for name, track in zip(scores["metric"], scores["track"])]
    return at_standard_setting(scores.loc[is_main])


def at_standard_setting(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the rhythm scores of the setting that is shown where there is room for one, and all other scores."""
    setting = standard_setting(scores)
    if setting is None:
        return scores
    is_shown = scores.index.isin(at_setting(scores, setting).index)
    return scores[(scores["timebase"] == "") | is_shown]


def qualifies(metric: Metric) -> bool:
    """Does it say what other scores rest on, such as the share of live stems? It then stands beside them, over all
    stems, and has no table of its own."""
    return metric.needs == "beats" and metric.over_stems and not metric.direction


def standard_setting(table: pd.DataFrame) -> Setting | None:
    """The setting of a table of scores that is shown where there is room for one; None where it has no rhythm scores.

    The timebase is `real` if any score has it. Then the decode, of those that have scores, whose fps is nearest to
    STANDARD's, and of these the one with the nearest transition lambda; then of its windows the nearest. Of two that
    are equally near it is the lower. So it is STANDARD wherever that has scores, and always one that has some.
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
    """The rhythm scores of one setting: those of its window, and those that have none."""
    return table[
        (table["timebase"] == setting.timebase)
        & (table["fps"] == setting.fps)
        & (table["transition_lambda"] == setting.transition_lambda)
        & (table["window"].isna() | (table["window"] == setting.window))
    ]


def _nearest(values: pd.Series, wanted: float) -> float:
    """Of some numbers the nearest to a wanted one, the lower of two; NaN where there is none."""
    return min(values.dropna().unique(), key=lambda value: (round(abs(value - wanted), 9), value), default=NAN)
