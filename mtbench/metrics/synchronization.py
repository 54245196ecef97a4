"""Cross-track beat synchronisation (CBS): how often the tracks of one clip have a beat in the same window.

Source: the SyncTrack paper (ICLR 2026) and its released evaluation code, whose arithmetic is kept. With N tracks, L
the duration of the longest, w the window and V the number of tracks with at least one beat:

    T = ceil((L - w) / w) + 1     windows, window i being [i w, i w + w)
    b(i, j) = 1                   if track j has a beat in window i
    s(i) = sum_j b(i, j)          tracks that beat in window i
    CBS = sum_i s(i) / V / (K + 1e-10),  K = the number of windows with s(i) >= 1

Windows without a beat do not count, so values lie in [1/V, 1). Scores of clips with different V cannot be compared, so
V belongs beside the score. Higher is better.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtbench.metrics.record import Metric, Tolerance
from mtbench.metrics.stability import check_beats


def cbs(beats_by_track: Sequence[ArrayLike] | Mapping[str, ArrayLike], duration: float, window: float) -> float:
    """Cross-track beat synchronisation of one clip, in [0, 1).

    `beats_by_track` holds [n] times in seconds per track; `duration` (s) is that of the longest track, silent
    ones included; `window` (s) is its width and step. NaN with fewer than two live tracks (tracks with a
    beat); 0 if no beat lies in any window. The folder value is `mean_of_defined` over clips. Unchanged by the
    order of the tracks, not by a shift in time. Raises ValueError for a duration or window that is not finite
    and positive, and for bad beats.
    """
    for name, value in (("duration", duration), ("window", window)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a positive number of seconds, got {value!r}")
    live_tracks = [beats for beats in check_tracks(beats_by_track).values() if len(beats)]
    if len(live_tracks) <= 1:
        return float("nan")

    # Beats sit on edges often. Both edges must be these doubles: with (i + 1) * w, or floor(t / w), beats
    # fall into other windows than in the published code, where one may even fall into none or into two.
    starts = np.arange(math.ceil((duration - window) / window) + 1) * window
    ends = starts + window
    # [T] per track: the first beat at or after the end is not yet the first at or after the start.
    has_beat = [np.searchsorted(beats, ends) > np.searchsorted(beats, starts) for beats in live_tracks]
    tracks_per_window = np.sum(has_beat, axis=0)  # s(i), [T]
    counted = tracks_per_window[tracks_per_window >= 1]
    return float(np.sum(counted / len(live_tracks)) / (len(counted) + 1e-10))


def check_tracks(
    beats_by_track: Sequence[ArrayLike] | Mapping[str, ArrayLike],
) -> dict[object, NDArray[np.float64]]:
    """The tracks of one clip by name, or by position where they come in a sequence: float64 [n] seconds each.

    Raises ValueError, naming the track, as `check_beats` does.
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
        about="Share of live tracks that beat in a window in which any does; rises as stems fall silent",
        paper="SyncTrack, ICLR 2026",
        most=1.0,
        tolerance=Tolerance(0.01, 0.02),
        place=30,
        summary=("all",),
        windowed=True,
    ),
)
