"""From analysed clips to the tidy tables of a run: a row, a value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mtbench.analysis import Analysis, open_embedding
from mtbench.errors import UsageError
from mtbench.metrics import cbd, cbs, fad, frames_needed, irs, mean_of_defined
from mtbench.store import RunFolder


@dataclass(frozen=True)
class Metric:
    """A metric as tables show it. direction: -1 lower is better, 1 higher, 0 neither. version: of its definition."""

    title: str
    unit: str
    direction: int
    version: str
    about: str


METRICS = {
    "fad": Metric("FAD", "", -1, "1", "Fréchet audio distance to the reference, per track and of the mixture"),
    "irs": Metric("IRS", "s", -1, "1", "Standard deviation of a track's inter-beat intervals"),
    "cbs": Metric("CBS", "", 1, "1", "Share of live tracks that beat in a window in which any does; rises as stems fall silent"),
    "cbd_mean": Metric("CBD mean", "", -1, "1", "Mean distance of matched beats of two tracks, in half inter-beat intervals"),
    "cbd_std": Metric("CBD std", "", -1, "1", "Standard deviation of those distances"),
    "cbd_median": Metric("CBD median", "", -1, "1", "Median of those distances"),
    "live": Metric("Live stems", "", 0, "1", "Share of stems in which a beat was found"),
    "clipped": Metric("Clipped", "", 0, "1", "Share of the mixture's samples beyond full scale"),
}

KEY = ["task", "given", "model", "suite", "reference", "metric", "version", "track",
       "fps", "transition_lambda", "window", "timebase", "embedding"]
SCORE_COLUMNS = [*KEY, "value", "ci_low", "ci_high", "n", "n_scored"]
SAMPLE_COLUMNS = [*KEY, "sample", "value"]
NAN = float("nan")


@dataclass(frozen=True)
class Reference:
    """The embeddings of a reference set. label: its split, size and content hash; frames: {(embedding, track): [n, d]}."""

    label: str
    frames: Mapping[tuple[str, str], np.ndarray]


def read(folder: RunFolder) -> pd.DataFrame:
    """The scores of a finished run. Raises UsageError, naming the file, if it is damaged or not one run's."""
    table, path = folder.read_table("scores.csv", SCORE_COLUMNS), folder.path / "scores.csv"
    if table.empty:
        raise UsageError(f"{path}: holds no scores")
    # The suite and the versions are the run's: with two of them a table has one cell for two scores.
    twice = table[table.duplicated([column for column in KEY if column not in ("suite", "version")])]
    for row in twice.itertuples():
        raise UsageError(f"{path}: not one run's, it has the {row.metric} of {row.model} twice")
    return table


def pool(analyses: Sequence[Analysis], name: str, track: str) -> np.ndarray:
    """The frames of one track of all clips, float32 [frames, dimension]."""
    return np.concatenate([done.embeddings[name][track] for done in analyses])


def sample_table(analyses: Sequence[Analysis], windows: Sequence[float], shared: Mapping[str, str]) -> pd.DataFrame:
    """A row per clip, track, metric and setting (SAMPLE_COLUMNS). `shared` holds task, given, model and suite.

    Clips with an error have no row. NaN is "not defined here".
    """
    rows = []
    for done in analyses:
        if done.error:
            continue

        def add(metric: str, track: str, value: float, fps=NAN, tl=NAN, window=NAN, timebase="") -> None:
            rows.append((metric, METRICS[metric].version, track, fps, tl, window, timebase, done.id, value))

        add("clipped", "mixture", done.clipped)
        for setting, tracked in done.beats.items():
            times = {stem: beats[:, 0] for stem, beats in tracked.items()}
            for stem, beat_times in times.items():
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
    """Means of a sample table over its clips (SCORE_COLUMNS), of which there were `n`.

    Files first, then stems, as published: the row `all` of IRS (and of live stems) is the plain mean over the
    stems that have a value.
    """
    grouped = samples.groupby(KEY, dropna=False, sort=False)["value"]
    table = grouped.agg(value=mean_of_defined, n_scored="count").reset_index()
    per_stem = table[table["metric"].isin(["irs", "live"])]
    over_stems = per_stem.groupby([column for column in KEY if column != "track"], dropna=False, sort=False)
    overall = over_stems.agg(value=("value", mean_of_defined), n_scored=("n_scored", "max")).reset_index()
    table = pd.concat([table, overall.assign(track="all")], ignore_index=True)
    return table.assign(ci_low=NAN, ci_high=NAN, n=n)[SCORE_COLUMNS]


def fad_table(
    analyses: Sequence[Analysis], reference: Reference, shared: Mapping[str, str]
) -> tuple[pd.DataFrame, list[str]]:
    """FAD rows (SCORE_COLUMNS) of each embedding and track that the reference has, and notices to the user.

    With too few frames for the embedding's dimension the value is NaN, and a notice says how many it takes.
    """
    scored = [done for done in analyses if not done.error]
    rows, notices = [], []
    for (name, track), frames in reference.frames.items():
        pooled = pool(scored, name, track) if scored else np.empty((0, frames.shape[1]), np.float32)
        needed = frames_needed(frames.shape[1])
        few = [f"{side} {count}" for side, count in (("the model has", len(pooled)), ("the reference has", len(frames)))
               if count < needed]
        if few:
            notices.append(f"FAD ({name}) needs at least {needed} frames on each side, {' and '.join(few)}: left empty")
        rows.append({**shared, "reference": reference.label, "metric": "fad", "version": METRICS["fad"].version,
                     "track": track, "fps": NAN, "transition_lambda": NAN, "window": NAN, "timebase": "",
                     "embedding": f"{name}@{open_embedding(name).version}", "ci_low": NAN, "ci_high": NAN,
                     "value": NAN if few else fad(pooled, frames),
                     "n": len(analyses), "n_scored": 0 if few else len(scored)})
    return pd.DataFrame(rows, columns=SCORE_COLUMNS), list(dict.fromkeys(notices))


def beat_table(analyses: Sequence[Analysis]) -> pd.DataFrame:
    """Every beat of every stem: its time in s and its position in the bar (1 is the downbeat)."""
    rows = [
        (done.id, stem, *setting, time, int(position))
        for done in analyses for setting, tracked in done.beats.items() for stem, beats in tracked.items()
        for time, position in beats
    ]
    return pd.DataFrame(rows, columns=["sample", "track", "fps", "transition_lambda", "timebase", "time", "position"])
