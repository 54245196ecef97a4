"""Turn analysed clips into the tidy tables of a run, with one value per row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mtbench import stats
from mtbench.metrics import Metric, frames_needed, mean_of_defined, values_of
from mtbench.registry import metrics
from mtbench.results.keys import (
    BEAT_COLUMNS,
    COLUMN,
    COMPARISON_COLUMNS,
    KEY,
    NAN,
    SAMPLE_COLUMNS,
    SCORE_COLUMNS,
    plain_key,
)
from mtbench.settings import Decode

if TYPE_CHECKING:
    from mtbench.analysis import Analysis

Floats = NDArray[np.float64]


class Origin(NamedTuple):
    """The fields common to all scores of a row. given: the given stems, joined by ``+``. suite: empty if none."""

    task: str
    given: str
    model: str
    suite: str


@dataclass(frozen=True)
class Reference:
    """The embeddings of a reference set.

    label: split, size and content hash. frames: {(embedding, track): float32 [n, dimension]}. versions: {embedding:
    version}. notices: messages about the reference for the user.
    """

    label: str
    frames: Mapping[tuple[str, str], NDArray[np.float32]]
    versions: Mapping[str, str]
    notices: tuple[str, ...] = ()


class FadTables(NamedTuple):
    """Fréchet audio distance (FAD) of a row.

    scores: SCORE_COLUMNS. per_clip: the effect of each clip on the scores (SAMPLE_COLUMNS). notices: for the user.
    """

    scores: pd.DataFrame
    per_clip: pd.DataFrame
    notices: list[str]


def pool(analyses: Sequence[Analysis], embedding: str, track: str) -> NDArray[np.float32]:
    """Return the frames of one track of all clips, float32 [frames, dimension]."""
    return np.concatenate([clip.embeddings[embedding][track] for clip in analyses])


def sample_table(analyses: Sequence[Analysis], windows: Sequence[float], origin: Origin) -> pd.DataFrame:
    """Return one row per clip, track, metric and setting (SAMPLE_COLUMNS).

    windows: in s, for the metrics that have one. Given stems, which no model generated, are included in metrics across
    stems; metrics of single stems measure them only if they are `of_given`. Clips with an error have no rows, and
    neither have metrics across stems if there is only one stem.
    """
    given = origin.given.split("+")
    rows = [
        (score.metric.name, score.metric.version, score.track, *score.decode, score.window, clip.id, score.value)
        for clip in analyses
        if not clip.error
        for score in (*_scores_of_audio(clip, given), *_scores_of_beats(clip, given, windows))
    ]
    columns = ["metric", "version", "track", "fps", "transition_lambda", "timebase", "window", "sample", "value"]
    table = pd.DataFrame(rows, columns=columns).assign(reference="", embedding="", **origin._asdict())
    return table[SAMPLE_COLUMNS]


class _Score(NamedTuple):
    metric: Metric
    track: str
    value: float
    decode: Decode = Decode(NAN, NAN, "")
    window: float = NAN


def _scores_of_audio(clip: Analysis, given: Sequence[str]) -> Iterator[_Score]:
    records = [metrics()[name] for name in clip.of_audio]
    for metric in sorted(records, key=lambda metric: metric.scope):  # clips before tracks
        for track, value in clip.of_audio[metric.name].items():
            if metric.scope == "clip" or _is_measured(metric, track, given):
                yield _Score(metric, track, value)


def _scores_of_beats(clip: Analysis, given: Sequence[str], windows: Sequence[float]) -> Iterator[_Score]:
    records = [metric for metric in metrics().values() if metric.needs == "beats"]
    of_tracks = [metric for metric in records if metric.scope == "track"]
    across = [metric for metric in records if metric.scope == "clip" and not metric.windowed]
    windowed = [metric for metric in records if metric.scope == "clip" and metric.windowed]
    for decode, beats in clip.beats.items():
        times = {stem: array[:, 0] for stem, array in beats.items()}
        for stem, track_times in times.items():
            measured = [metric for metric in of_tracks if _is_measured(metric, stem, given)]
            for metric, value in zip(measured, values_of(measured, track_times)):
                yield _Score(metric, stem, value, decode)
        if len(times) < 2:
            continue
        for metric, value in zip(across, values_of(across, times, clip.duration)):
            yield _Score(metric, metric.track, value, decode)
        for window in windows:
            for metric, value in zip(windowed, values_of(windowed, times, clip.duration, window)):
                yield _Score(metric, metric.track, value, decode, window)


def _is_measured(metric: Metric, stem: str, given: Sequence[str]) -> bool:
    return stem not in metric.skips and (metric.of_given or stem not in given)


def score_table(samples: pd.DataFrame, n: int) -> pd.DataFrame:
    """Compute the means of a sample table over its `n` clips (SCORE_COLUMNS), with 95% intervals.

    As published, the mean is first over files, then over stems: the row `all` of inner-track rhythmic stability (IRS),
    and of live stems, is the plain mean over the stems that have a value. se and the interval are from `stats`.
    """
    grouped = samples.groupby(KEY, dropna=False, sort=False)["value"]
    table = grouped.agg(value=mean_of_defined, n_scored="count").reset_index()
    metric_of_key = [str(row[KEY.index("metric")]) for row in table[KEY].itertuples(index=False)]
    spreads = [_spread(values.to_numpy(), metric) for (_, values), metric in zip(grouped, metric_of_key)]
    columns = ["se", "ci_low", "ci_high"]
    table[columns] = pd.DataFrame(spreads, table.index, columns, dtype=float)
    without_track = [column for column in KEY if column != "track"]
    per_stem = table[table["metric"].isin(_over_stems())]
    over_stems = per_stem.groupby(without_track, dropna=False, sort=False)
    overall = over_stems.agg(value=("value", mean_of_defined)).reset_index()
    of_stems = samples[samples["metric"].isin(_over_stems())].groupby(without_track, dropna=False, sort=False)
    clips = [stems.pivot(index="sample", columns="track", values="value").to_numpy() for _, stems in of_stems]
    overall["n_scored"] = [int(np.isfinite(values).any(axis=1).sum()) for values in clips]
    overall[["se", "ci_low", "ci_high"]] = np.reshape(
        [_spread(values, metric) for values, metric in zip(clips, overall["metric"])], (-1, 3)
    )
    table = pd.concat([table, overall.assign(track="all")], ignore_index=True)
    return table.assign(n=n)[SCORE_COLUMNS]


def fad_tables(analyses: Sequence[Analysis], reference: Reference, origin: Origin) -> FadTables:
    """Compute FAD for each embedding and track of the reference, and each clip's effect on it (`stats.fad_per_clip`).

    With too few frames for the embedding's dimension, the value is NaN and a notice states how many are needed.
    """
    scored = [clip for clip in analyses if not clip.error]
    rows, tables, notices = [], [], []
    for (embedding, track), frames in reference.frames.items():
        clips = [clip.embeddings[embedding][track] for clip in scored]
        key = _fad_key(origin, reference, embedding, track)
        counts = {"the model has": sum(map(len, clips)), "the reference has": len(frames)}
        needed = frames_needed(frames.shape[1])
        few = [f"{side} {count}" for side, count in counts.items() if count < needed]
        if few:
            notices.append(
                f"FAD ({embedding}) is left empty: it needs at least {needed} frames per side, but {' and '.join(few)}"
            )
            value, spread = NAN, (NAN, NAN, NAN)
        else:
            per_clip = stats.fad_per_clip(clips, frames)
            # Their mean is FAD; if that is 0, rounding can give about -1e-17.
            value, spread = max(float(per_clip.mean()), 0.0), _spread(per_clip, "fad")
            tables.append(pd.DataFrame({**key, "sample": [clip.id for clip in scored], "value": per_clip}))
        n_scored = 0 if few else len(scored)
        rows.append([*key.values(), value, *spread, len(analyses), n_scored])
    per_clip_table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=SAMPLE_COLUMNS)
    scores = pd.DataFrame(rows, columns=[*KEY, "value", "se", "ci_low", "ci_high", "n", "n_scored"])
    return FadTables(scores[SCORE_COLUMNS], per_clip_table[SAMPLE_COLUMNS], list(dict.fromkeys(notices)))


def _fad_key(origin: Origin, reference: Reference, embedding: str, track: str) -> dict[str, Any]:
    key = {
        **origin._asdict(),
        "reference": reference.label,
        "metric": "fad",
        "version": metrics()["fad"].version,
        "track": track,
        "fps": NAN,
        "transition_lambda": NAN,
        "window": NAN,
        "timebase": "",
        "embedding": f"{embedding}@{reference.versions[embedding]}",
    }
    return {column: key[column] for column in KEY}


def comparison_table(samples: pd.DataFrame, paired: bool | None = None) -> pd.DataFrame:
    """Compare each pair of models under each key (COMPARISON_COLUMNS): model_a minus model_b, interval and p-value.

    `samples` contains the sample tables of all models, including each clip's effect on FAD. In arrangement, samples
    with the same number have the same given stems and are paired; in total generation, they have nothing in
    common, unless `paired` says otherwise.
    p_adjusted is p after Holm's correction over the pairs of one key.
    """
    per_stem = samples[samples["metric"].isin(_over_stems())]
    samples = pd.concat(
        [samples.assign(stem=""), per_stem.assign(stem=per_stem["track"], track="all")], ignore_index=True
    )
    tables = []
    for key, of_key in samples.groupby(COLUMN, dropna=False, sort=False):
        cells: dict[str, Any] = dict(zip(COLUMN, key))
        clips = of_key.pivot(index="sample", columns=["model", "stem"], values="value")
        models = list(dict.fromkeys(of_key["model"]))
        of_model = {model: clips[model].to_numpy() for model in models}
        is_paired = cells["task"] == "arrangement" if paired is None else paired
        if is_paired:
            differences = [stats.paired_difference(of_model[a], of_model[b]) for a, b in combinations(models, 2)]
        else:
            resampled = {model: stats.bootstrap(values) for model, values in of_model.items()}
            differences = [stats.difference(resampled[a], resampled[b]) for a, b in combinations(models, 2)]
        table = pd.DataFrame(differences, columns=["difference", "ci_low", "ci_high", "p"])
        table["model_a"], table["model_b"] = zip(*combinations(models, 2)) if differences else ((), ())
        tables.append(table.assign(**cells, p_adjusted=stats.holm(table["p"]), paired=is_paired)[COMPARISON_COLUMNS])
    tables = [table for table in tables if len(table)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COMPARISON_COLUMNS)


def rank(table: pd.DataFrame, comparisons: pd.DataFrame) -> pd.Series:
    """Rank each row of `table` (SCORE_COLUMNS, of the models to be ranked) under its key with `stats.ranks`.

    The tested difference decides which model is better. For paired clips, it is over the clips that have a value in
    both models, so its sign may differ from that of the difference between the two scores. The rank is NaN if a model
    was not tested against any other (such as one without a value or with a single clip), or if a metric has no
    direction or is not installed.
    """
    decided: dict[tuple[Any, ...], list[tuple[str, str, float, float]]] = {}
    named = (*COLUMN, "model_a", "model_b", "difference", "p_adjusted")
    for *cells, a, b, difference, p in zip(*(comparisons[name] for name in named)):
        decided.setdefault(plain_key(cells), []).append((a, b, difference, p))
    columns: dict[tuple[Any, ...], list[int]] = {}
    for place, row in enumerate(zip(*(table[name] for name in COLUMN))):
        columns.setdefault(plain_key(row), []).append(place)
    ranks, models = np.full(len(table), NAN), table["model"].to_numpy()
    directions = {name: metric.direction for name, metric in metrics().items()}
    for key, places in columns.items():
        direction = directions.get(key[COLUMN.index("metric")], 0)
        if direction and len(places) > 1 and key in decided:
            ranks[places] = _ranks_of_column(list(models[places]), decided[key], direction)
    return pd.Series(ranks, index=table.index)


def _ranks_of_column(models: list[str], pairs: Iterable[tuple[str, str, float, float]], direction: int) -> Floats:
    row = {model: i for i, model in enumerate(models)}
    differences, p_of = np.full((2, len(models), len(models)), NAN)
    for a, b, difference, p in pairs:
        if a in row and b in row:
            differences[row[a], row[b]], differences[row[b], row[a]] = difference, -difference
            p_of[row[a], row[b]] = p_of[row[b], row[a]] = p
    return stats.ranks(differences, p_of, direction)


def beat_table(analyses: Sequence[Analysis]) -> pd.DataFrame:
    """Return every beat of every stem (BEAT_COLUMNS), with its time in s and its position in the bar (1: downbeat)."""
    rows = [
        (clip.id, stem, *decode, time, int(position))
        for clip in analyses
        for decode, beats in clip.beats.items()
        for stem, array in beats.items()
        for time, position in array
    ]
    return pd.DataFrame(rows, columns=BEAT_COLUMNS)


def _over_stems() -> list[str]:
    """Return the names of the metrics whose row `all` is the mean over stems."""
    return [name for name, metric in metrics().items() if metric.over_stems]


def _spread(clips: Floats, metric: str) -> tuple[float, float, float]:
    """Return se, ci_low and ci_high of the score of clips [n] or [n, stems], clipped to the range of the metric."""
    resampled = stats.bootstrap(clips)
    low, high = np.clip(stats.interval(resampled), 0.0, metrics()[metric].most)
    return resampled.se, low, high
