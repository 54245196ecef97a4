"""Cross-track beat synchronization (CBS): how often the tracks of one clip have a beat in the same window.

Source: the SyncTrack paper (ICLR 2026) and its released evaluation code, with the same arithmetic. With N tracks, L the
duration of the longest, w the window and V the number of tracks with at least one beat:

    T = ceil((L - w) / w) + 1     number of windows; window i is [i w, i w + w)
    b(i, j) = 1                   if track j has a beat in window i
    s(i) = sum_j b(i, j)          number of tracks with a beat in window i
    CBS = sum_i s(i) / V / (K + 1e-10),  K = the number of windows with s(i) >= 1

Windows without a beat do not count, so values are in [1/V, 1). Scores of clips with different V are not comparable, so
V should be shown together with the score. Higher is better.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtbench.metrics.record import Metric, Tolerance
from mtbench.metrics.stability import check_beats


def cbs(beats_by_track: Sequence[ArrayLike] | Mapping[str, ArrayLike], duration: float, window: float) -> float:
    """Compute the cross-track beat synchronization of one clip, in [0, 1).

    `beats_by_track` contains [n] times in seconds per track; `duration` (s) is that of the longest track, including
    silent ones; `window` (s) is both the width and the step of the windows. The result is NaN with fewer than two live
    tracks (tracks with a beat), and 0 if no beat is in any window. The value of a folder is `mean_of_defined` over its
    clips. The result does not depend on the order of the tracks, but it does depend on a shift in time. Raises
    ValueError for invalid beats, and for a duration or window that is not finite and positive.
    """
    for name, value in (("duration", duration), ("window", window)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a positive number of seconds, got {value!r}")
    live_tracks = [beats for beats in check_tracks(beats_by_track).values() if len(beats)]
    if len(live_tracks) <= 1:
        return float("nan")

    # Beats are often exactly on an edge, so both edges must be exactly these doubles. With (i + 1) * w or floor(t / w),
    # beats would fall into other windows than in the published code, where a beat may even be in no window or in two.
    starts = np.arange(math.ceil((duration - window) / window) + 1) * window
    ends = starts + window
    # [T] per track: a window has a beat if the first beat at or after its start comes before its end.
    has_beat = [np.searchsorted(beats, ends) > np.searchsorted(beats, starts) for beats in live_tracks]
    tracks_per_window = np.sum(has_beat, axis=0)  # s(i), [T]
    counted = tracks_per_window[tracks_per_window >= 1]
    return float(np.sum(counted / len(live_tracks)) / (len(counted) + 1e-10))


def check_tracks(
    beats_by_track: Sequence[ArrayLike] | Mapping[str, ArrayLike],
) -> dict[object, NDArray[np.float64]]:
    """Return the tracks of one clip, float64 [n] seconds each, by name, or by position if given as a sequence.

    Raises ValueError, naming the track, like `check_beats`.
    """
    tracks = beats_by_track if isinstance(beats_by_track, Mapping) else dict(enumerate(beats_by_track))
    return {track: check_beats(beats, track) for track, beats in tracks.items()}


METRICS = (
    Metric(
        name="cbs",
        title="CBS",
        unit="",
        direction=1,
        version="1",
        needs="beats",
        scope="clip",
        compute=cbs,
        digits=3,
        about="Mean share of live tracks with a beat, over windows with at least one beat; rises as stems fall silent",
        paper="SyncTrack, ICLR 2026",
        most=1.0,
        tolerance=Tolerance(0.01, 0.02),
        place=30,
        summary=("all",),
        windowed=True,
    ),
)
