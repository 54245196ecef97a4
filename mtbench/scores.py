"""From analysed clips to the tidy tables of a run: a row, a value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from mtbench import stats
from mtbench.analysis import Analysis, open_embedding
from mtbench.errors import UsageError
from mtbench.metrics import cbd, cbs, frames_needed, irs, mean_of_defined, tuning
from mtbench.store import RunFolder


@dataclass(frozen=True)
class Metric:
    """A metric as tables show it. direction: -1 lower is better, 1 higher, 0 neither. version: of its definition.

    It lies between 0 and `most`.
    """

    title: str
    unit: str
    direction: int
    version: str
    about: str
    most: float = float("inf")

    @property
    def arrow(self) -> str:
        """To stand behind its title: to the better side, if it has one."""
        return {-1: " ↓", 1: " ↑", 0: ""}[self.direction]


METRICS = {
    "fad": Metric("FAD", "", -1, "1", "Fréchet audio distance to the reference, per track and of the mixture"),
    "irs": Metric("IRS", "s", -1, "1", "Standard deviation of a track's inter-beat intervals"),
    "cbs": Metric(
        "CBS",
        "",
        1,
        "1",
        "Share of live tracks that beat in a window in which any does; rises as stems fall silent",
        1.0,
    ),
    "cbd_mean": Metric(
        "CBD mean", "", -1, "1", "Mean distance of matched beats of two tracks, in half inter-beat intervals", 1.0
    ),
    "cbd_std": Metric("CBD std", "", -1, "1", "Standard deviation of those distances", 1.0),
    "cbd_median": Metric("CBD median", "", -1, "1", "Median of those distances", 1.0),
    "tuning": Metric(
        "Tuning",
        "cents",
        -1,
        tuning.VERSION,
        "Distance of a track's partials from equal temperament at A = 440 Hz",
        50.0,
    ),
    "live": Metric("Live stems", "", 0, "1", "Share of stems in which a beat was found", 1.0),
    "clipped": Metric("Clipped", "", 0, "1", "Share of the mixture's samples beyond full scale", 1.0),
}

KEY = [
    "task",
    "given",
    "model",
    "suite",
    "reference",
    "metric",
    "version",
    "track",
    "fps",
    "transition_lambda",
    "window",
    "timebase",
    "embedding",
]
SCORE_COLUMNS = [*KEY, "value", "se", "ci_low", "ci_high", "n", "n_scored"]
SAMPLE_COLUMNS = [*KEY, "sample", "value"]
COLUMN = [column for column in KEY if column != "model"]  # what the scores of a column of a table share
COMPARISON_COLUMNS = [*COLUMN, "model_a", "model_b", "difference", "ci_low", "ci_high", "p", "p_adjusted", "paired"]
# The setting of the rhythm metrics that is gated, and shown where a table has room for one, by timebase: in real seconds,
# and as the paper prints its numbers.
STANDARD = {"true": (100, 100.0, 0.15), "published": (150, 100.0, 0.15)}  # fps, transition lambda, window in s
UNPITCHED = ("drums",)  # stems without a tuning
OVER_STEMS = ("irs", "live")  # metrics of a stem, whose row `all` is the mean over stems
NAN = float("nan")


@dataclass(frozen=True)
class Reference:
    """The embeddings of a reference set. label: its split, size and content hash; frames: {(embedding, track): [n, d]}."""

    label: str
    frames: Mapping[tuple[str, str], np.ndarray]


def read(folder: RunFolder) -> pd.DataFrame:
    """The scores of a finished run. Raises UsageError, naming the file, if it is damaged or not one run's.

    Where a run's code knew no standard errors, `se` is NaN.
    """
    needed = [column for column in SCORE_COLUMNS if column != "se"]
    table, path = folder.read_table("scores.csv", needed), folder.path / "scores.csv"
    table = table.reindex(columns=[*SCORE_COLUMNS, *table.columns.difference(SCORE_COLUMNS)])
    if table.empty:
        raise UsageError(f"{path}: holds no scores")
    if strange := set(table["timebase"]) - {"", *STANDARD}:
        raise UsageError(f"{path}: damaged, its column timebase holds '{min(strange)}'")
    # The suite and the versions are the run's: with two of them a table has one cell for two scores.
    twice = table[table.duplicated([column for column in KEY if column not in ("suite", "version")])]
    for row in twice.itertuples():
        raise UsageError(f"{path}: not one run's, it has the {row.metric} of {row.model} twice")
    return table


def read_comparisons(folder: RunFolder) -> pd.DataFrame:
    """The comparisons of a run (COMPARISON_COLUMNS): without rows where it has one model, or its code made none."""
    if not (folder.path / "comparisons.csv").is_file():
        return pd.DataFrame(columns=COMPARISON_COLUMNS)
    return folder.read_table("comparisons.csv", COMPARISON_COLUMNS)


def pool(analyses: Sequence[Analysis], name: str, track: str) -> np.ndarray:
    """The frames of one track of all clips, float32 [frames, dimension]."""
    return np.concatenate([done.embeddings[name][track] for done in analyses])


def sample_table(analyses: Sequence[Analysis], windows: Sequence[float], shared: Mapping[str, str]) -> pd.DataFrame:
    """A row per clip, track, metric and setting (SAMPLE_COLUMNS). `shared` holds task, given, model and suite.

    The given stems, which no model made, count in what is measured across stems, and have neither IRS nor tuning.

    Clips with an error have no row. NaN is "not defined here".
    """
    rows, given = [], shared["given"].split("+")
    for done in analyses:
        if done.error:
            continue

        def add(metric: str, track: str, value: float, fps=NAN, tl=NAN, window=NAN, timebase="") -> None:
            rows.append((metric, METRICS[metric].version, track, fps, tl, window, timebase, done.id, value))

        add("clipped", "mixture", done.clipped)
        for stem, cents in done.tuning.items():
            if stem not in (*given, *UNPITCHED):
                add("tuning", stem, cents)
        for setting, tracked in done.beats.items():
            times = {stem: beats[:, 0] for stem, beats in tracked.items()}
            for stem, beat_times in times.items():
                if stem not in given:
                    add("irs", stem, irs(beat_times), *setting[:2], timebase=setting[2])
                add("live", stem, float(len(beat_times) > 0), *setting[:2], timebase=setting[2])
            for statistic, value in cbd(times)._asdict().items():
                add(f"cbd_{statistic}", "all", value, *setting[:2], timebase=setting[2])
            for window in windows:
                add("cbs", "all", cbs(times, done.duration, window), *setting[:2], window, setting[2])
    columns = ["metric", "version", "track", "fps", "transition_lambda", "window", "timebase", "sample", "value"]
    table = pd.DataFrame(rows, columns=columns).assign(reference="", embedding="", **shared)
    return table[SAMPLE_COLUMNS]


def score_table(samples: pd.DataFrame, n: int) -> pd.DataFrame:
    """Means of a sample table over its clips (SCORE_COLUMNS), of which there were `n`, with 95% intervals.

    Files first, then stems, as published: the row `all` of IRS (and of live stems) is the plain mean over the
    stems that have a value. se and interval as `stats.interval` has them.
    """
    grouped = samples.groupby(KEY, dropna=False, sort=False)["value"]
    table = grouped.agg(value=mean_of_defined, n_scored="count").reset_index()
    table[["se", "ci_low", "ci_high"]] = [
        _spread(values.to_numpy(), key[KEY.index("metric")]) for key, values in grouped
    ]
    without_track = [column for column in KEY if column != "track"]
    per_stem = table[table["metric"].isin(OVER_STEMS)]
    over_stems = per_stem.groupby(without_track, dropna=False, sort=False)
    overall = over_stems.agg(value=("value", mean_of_defined)).reset_index()
    of_stems = samples[samples["metric"].isin(OVER_STEMS)].groupby(without_track, dropna=False, sort=False)
    clips = [part.pivot(index="sample", columns="track", values="value").to_numpy() for _, part in of_stems]
    overall["n_scored"] = [int(np.isfinite(values).any(axis=1).sum()) for values in clips]
    overall[["se", "ci_low", "ci_high"]] = np.reshape(
        [_spread(values, metric) for values, metric in zip(clips, overall["metric"])], (-1, 3)
    )
    table = pd.concat([table, overall.assign(track="all")], ignore_index=True)
    return table.assign(n=n)[SCORE_COLUMNS]


def fad_table(
    analyses: Sequence[Analysis], reference: Reference, shared: Mapping[str, str]
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """FAD rows (SCORE_COLUMNS) of each embedding and track that the reference has, what each clip does to them
    (SAMPLE_COLUMNS, see `stats.fad_per_clip`), and notices to the user.

    With too few frames for the embedding's dimension the value is NaN, and a notice says how many it takes.
    """
    scored = [done for done in analyses if not done.error]
    rows, parts, notices = [], [pd.DataFrame(columns=SAMPLE_COLUMNS)], []
    for (name, track), frames in reference.frames.items():
        clips = [done.embeddings[name][track] for done in scored]
        count, needed = sum(map(len, clips)), frames_needed(frames.shape[1])
        few = [
            f"{side} {held}"
            for side, held in (("the model has", count), ("the reference has", len(frames)))
            if held < needed
        ]
        if few:
            notices.append(f"FAD ({name}) needs at least {needed} frames on each side, {' and '.join(few)}: left empty")
        key = {
            **shared,
            "reference": reference.label,
            "metric": "fad",
            "version": METRICS["fad"].version,
            "track": track,
            "fps": NAN,
            "transition_lambda": NAN,
            "window": NAN,
            "timebase": "",
            "embedding": f"{name}@{open_embedding(name).version}",
        }
        value, spread = NAN, (NAN, NAN, NAN)
        if not few:
            per_clip = stats.fad_per_clip(clips, frames)
            # Their mean is FAD; where that is 0, rounding may leave it some 1e-17 below.
            value, spread = max(float(per_clip.mean()), 0.0), _spread(per_clip, "fad")
            parts.append(
                pd.DataFrame({**key, "sample": [done.id for done in scored], "value": per_clip})[SAMPLE_COLUMNS]
            )
        rows.append(
            {
                **key,
                "value": value,
                **dict(zip(("se", "ci_low", "ci_high"), spread)),
                "n": len(analyses),
                "n_scored": 0 if few else len(scored),
            }
        )
    per_clip = pd.concat(parts[1:] or parts, ignore_index=True)
    return pd.DataFrame(rows, columns=SCORE_COLUMNS), per_clip, list(dict.fromkeys(notices))


def comparison_table(samples: pd.DataFrame) -> pd.DataFrame:
    """Every pair of models under every key (COMPARISON_COLUMNS): model_a minus model_b, with interval and p-value.

    `samples` are sample tables of all models, and what each clip does to FAD. In arrangement the samples of a number
    have the same stems given and are paired; in total generation they share nothing. p_adjusted is Holm's correction
    over the pairs of one key.
    """
    per_stem = samples[samples["metric"].isin(OVER_STEMS)]
    samples = pd.concat(
        [samples.assign(stem=""), per_stem.assign(stem=per_stem["track"], track="all")], ignore_index=True
    )
    tables = []
    for key, part in samples.groupby(COLUMN, dropna=False, sort=False):
        held = dict(zip(COLUMN, key))
        clips = part.pivot(index="sample", columns=["model", "stem"], values="value")
        models, paired = list(dict.fromkeys(part["model"])), held["task"] == "arrangement"
        of_model = {model: clips[model].to_numpy() for model in models}
        if paired:
            differences = [stats.paired_difference(of_model[a], of_model[b]) for a, b in combinations(models, 2)]
        else:
            resampled = {model: stats.resample(values) for model, values in of_model.items()}
            differences = [stats.difference(resampled[a], resampled[b]) for a, b in combinations(models, 2)]
        table = pd.DataFrame(differences, columns=["difference", "ci_low", "ci_high", "p"])
        table["model_a"], table["model_b"] = zip(*combinations(models, 2)) if differences else ((), ())
        tables.append(table.assign(**held, p_adjusted=stats.holm(table["p"]), paired=paired)[COMPARISON_COLUMNS])
    tables = [table for table in tables if len(table)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COMPARISON_COLUMNS)


def rank(table: pd.DataFrame, comparisons: pd.DataFrame) -> pd.Series:
    """The rank of each row of `table` (SCORE_COLUMNS, of the models to be ranked) under its key: `stats.ranks`.

    Who is better is said by the difference that was compared: where clips pair up, it is over those that both have, and
    may be the reverse of the two values' own. NaN where a model was tested against no other, as one without a value or
    with a single clip, or a metric has no better side.
    """
    decided: dict[tuple, list] = {}
    named = (*COLUMN, "model_a", "model_b", "difference", "p_adjusted")
    for *key, a, b, difference, p in zip(*(comparisons[name] for name in named)):
        decided.setdefault(_plain(key), []).append((a, b, difference, p))
    columns: dict[tuple, list] = {}
    for place, key in enumerate(zip(*(table[name] for name in COLUMN))):
        columns.setdefault(_plain(key), []).append(place)
    given, models = np.full(len(table), NAN), table["model"].to_numpy()
    for key, places in columns.items():
        direction = METRICS[key[COLUMN.index("metric")]].direction
        if not direction or len(places) < 2 or key not in decided:
            continue
        row = {model: i for i, model in enumerate(models[places])}
        differences, p_of = np.full((2, len(places), len(places)), NAN)
        for a, b, difference, p in decided[key]:
            if a in row and b in row:
                differences[row[a], row[b]], differences[row[b], row[a]] = difference, -difference
                p_of[row[a], row[b]] = p_of[row[b], row[a]] = p
        given[places] = stats.ranks(differences, p_of, direction)
    return pd.Series(given, index=table.index)


def _plain(key: Sequence) -> tuple:
    """A key whose empty cells equal themselves."""
    return tuple("" if part != part else part for part in key)


def _spread(clips: np.ndarray, metric: str) -> tuple[float, float, float]:
    """se, ci_low and ci_high of the score of [n] or [n, stems]; the interval ends where the metric does."""
    resampled = stats.resample(clips)
    return resampled.se, *np.clip(stats.interval(resampled), 0.0, METRICS[metric].most)


def beat_table(analyses: Sequence[Analysis]) -> pd.DataFrame:
    """Every beat of every stem: its time in s and its position in the bar (1 is the downbeat)."""
    rows = [
        (done.id, stem, *setting, time, int(position))
        for done in analyses
        for setting, tracked in done.beats.items()
        for stem, beats in tracked.items()
        for time, position in beats
    ]
    return pd.DataFrame(rows, columns=["sample", "track", "fps", "transition_lambda", "timebase", "time", "position"])
