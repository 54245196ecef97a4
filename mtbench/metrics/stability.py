"""Inner-track rhythmic stability (IRS): how steady the beats of one track are.

Source: the SyncTrack paper (ICLR 2026) and its released evaluation code. For one file, IRS is the population standard
deviation (ddof 0) of the inter-beat intervals, in seconds; lower is steadier. A file needs at least two beats, and
exactly two beats give 0. A folder is averaged first over files, then over stems, so stems with few valid files have the
same weight as the others.

Conventions shared by the rhythm metrics: beat times are float64 seconds, sorted, repeats allowed; NaN means "undefined"
and is excluded from averages.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtbench.metrics.record import Metric, Tolerance


def irs(beats: ArrayLike) -> float:
    """Compute the population standard deviation of the inter-beat intervals of one track, in seconds.

    `beats` are [n] times in seconds. The result is NaN for fewer than two beats, does not depend on a shift in time,
    and scales with time. Raises ValueError for beats that are not finite, sorted, non-negative and 1-D.
    """
    beats = check_beats(beats)
    if len(beats) < 2:
        return float("nan")
    return float(np.std(np.diff(beats)))


def folder_irs(irs_by_stem: Mapping[str, Iterable[float]] | Sequence[Iterable[float]]) -> float:
    """Compute the IRS of a folder of clips, in seconds: the mean over clips of each stem, then the mean over stems.

    `irs_by_stem` contains, for each stem, the `irs` of its clips. Clips without a value (NaN) are left out, and so are
    stems without any value; the result is NaN if nothing is left.
    """
    stems = irs_by_stem.values() if isinstance(irs_by_stem, Mapping) else irs_by_stem
    return mean_of_defined(mean_of_defined(clips) for clips in stems)


def mean_of_defined(values: Iterable[float]) -> float:
    """Return the plain mean of the values that are not NaN; NaN if there are none.

    Over the clips of a folder, this gives its cross-track beat synchronization (CBS), each statistic of its cross-track
    beat dispersion (CBD), and the IRS of one stem.
    """
    values = np.array([float(value) for value in values])
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def check_beats(beats: ArrayLike, track: object = None) -> NDArray[np.float64]:
    """Return the beat times of one track as float64 [n] seconds.

    Raises ValueError, naming `track`, unless they are 1-D, finite, non-negative and sorted in non-decreasing order.
    """
    where = "beats" if track is None else f"beats of track {track!r}"
    try:
        beats = np.asarray(beats, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: not a list of times in seconds ({error})") from error
    if beats.ndim != 1:
        raise ValueError(f"{where}: expected a 1-D array of times, got shape {beats.shape}")
    if not np.isfinite(beats).all():
        index = int(np.flatnonzero(~np.isfinite(beats))[0])
        raise ValueError(f"{where}: time {index} is {beats[index]}, not a finite number")
    if (np.diff(beats) < 0).any():
        index = int(np.flatnonzero(np.diff(beats) < 0)[0])
        raise ValueError(f"{where}: not sorted ({beats[index]} s is followed by {beats[index + 1]} s)")
    if len(beats) and beats[0] < 0:
        raise ValueError(f"{where}: negative time {beats[0]} s")
    return beats


METRICS = (
    Metric(
        name="irs",
        title="IRS",
        unit="s",
        direction=-1,
        version="1",
        needs="beats",
        scope="track",
        compute=irs,
        digits=4,
        about="Standard deviation of a track's inter-beat intervals",
        paper="SyncTrack, ICLR 2026",
        down_to_control=True,
        tolerance=Tolerance(0.001, 0.05),
        place=20,
        summary=("all",),
        over_stems=True,
    ),
)
