"""Cross-track beat dispersion (CBD): how far apart the beats of a clip's tracks are.

Source: the SyncTrack paper (ICLR 2026) and its released evaluation code. For each ordered pair of a reference track
with at least two beats, r(n), and another track with at least one beat, t:

* d(n) = r(n+1) - r(n). The window of beat n is [r(n) - d(n-1)/2, r(n) + d(n)/2); the first beat uses the interval
  after it for both sides, the last beat the interval before it.
* The match of beat n is the target beat nearest to r(n); of two equally near beats, the later one. Several reference
  beats may have the same match. A match outside the window is dropped without penalty.
* The error is |r - t| divided by half the following interval if t >= r, otherwise by half the preceding interval: 0 is
  best, 1 is worst.

A reference track's errors are pooled over all targets. Errors are ratios of times, so CBD does not depend on the unit
of time. If tracks are at different metrical levels (such as one at half tempo), this dominates the value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtbench.metrics.record import Metric, Tolerance
from mtbench.metrics.stability import mean_of_defined
from mtbench.metrics.synchronization import check_tracks


class Dispersion(NamedTuple):
    """Mean, population standard deviation (ddof 0) and median of the errors; each is in [0, 1] or NaN."""

    mean: float
    std: float
    median: float


UNDEFINED = Dispersion(float("nan"), float("nan"), float("nan"))


def cbd(beats_by_track: Sequence[ArrayLike] | Mapping[str, ArrayLike]) -> Dispersion:
    """Compute the cross-track beat dispersion of one clip: (mean, std, median).

    `beats_by_track` contains [n] times in seconds per track. Each statistic is the mean over the reference tracks for
    which it is defined, and NaN if there are none. The value of a folder is `mean_of_defined` over its clips, for each
    statistic. The result does not depend on the order of the tracks, a shift in time, or the unit of time. Raises
    ValueError for invalid beats.
    """
    references = cbd_per_reference(beats_by_track).values()
    return Dispersion(*(mean_of_defined(statistic) for statistic in zip(*references))) if references else UNDEFINED


def cbd_per_reference(beats_by_track: Sequence[ArrayLike] | Mapping[str, ArrayLike]) -> dict[object, Dispersion]:
    """Compute the statistics of each reference track's errors over all other tracks, by track name (or position).

    `beats_by_track` and the errors raised are the same as for `cbd`.
    """
    tracks = check_tracks(beats_by_track)
    statistics = {}
    for name, reference in tracks.items():
        errors = [_errors(reference, target) for other, target in tracks.items() if other != name]
        pooled = np.concatenate([np.empty(0), *errors])
        statistics[name] = (
            Dispersion(float(np.mean(pooled)), float(np.std(pooled)), float(np.median(pooled)))
            if len(pooled)
            else UNDEFINED
        )
    return statistics


def _errors(reference: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the errors of the matched reference beats, float64 [pairs], in units of half an inter-beat interval."""
    if len(reference) < 2 or len(target) < 1:
        return np.empty(0)
    intervals = np.diff(reference)
    before = np.append(intervals[0], intervals) / 2  # half of d(n-1)
    after = np.append(intervals, intervals[-1]) / 2  # half of d(n)

    # The neighbours are left < r <= right. At either end, both are the same beat, so either choice is correct.
    position = np.searchsorted(target, reference)
    left = target[np.maximum(position - 1, 0)]
    right = target[np.minimum(position, len(target) - 1)]
    # The left neighbour must be strictly nearer. With signed distances, the ends need no special case.
    match = np.where(reference - left < right - reference, left, right)

    paired = (reference - before <= match) & (match < reference + after)
    reference, match, before, after = reference[paired], match[paired], before[paired], after[paired]
    # If one side of a window has length zero, it cannot contain a match, so no divisor is 0.
    return np.abs(reference - match) / np.where(match >= reference, after, before)


def _of_clip(beats_by_track: Mapping[str, ArrayLike], duration: float) -> Dispersion:
    return cbd(beats_by_track)


CBD_MEAN = Metric(
    name="cbd_mean",
    title="CBD mean",
    unit="",
    direction=-1,
    version="1",
    needs="beats",
    scope="clip",
    compute=_of_clip,
    statistic="mean",
    digits=3,
    about="Mean distance between matched beats of two tracks, in half inter-beat intervals",
    paper="SyncTrack, ICLR 2026",
    most=1.0,
    down_to_control=True,
    tolerance=Tolerance(0.01, 0.02),
    place=40,
    summary=("all",),
)

METRICS = (
    CBD_MEAN,
    replace(
        CBD_MEAN,
        name="cbd_std",
        title="CBD std",
        statistic="std",
        about="Standard deviation of the distances between matched beats, in half inter-beat intervals",
        tolerance=None,
        place=50,
        summary=(),
    ),
    replace(
        CBD_MEAN,
        name="cbd_median",
        title="CBD median",
        statistic="median",
        about="Median distance between matched beats of two tracks, in half inter-beat intervals",
        tolerance=None,
        place=60,
        summary=(),
    ),
)
