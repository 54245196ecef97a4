"""Metrical agreement: how many pairs of a clip's tracks beat at one tempo, and not at its half or double."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from mtbench.metrics.record import Metric
from mtbench.metrics.synchronization import check_tracks

TOLERANCE = 0.08  # of the longer interval


def metrical_agreement(beats_by_track: Mapping[str, ArrayLike], duration: float) -> float:
    """Share in [0, 1] of the pairs of tracks whose median inter-beat intervals differ by at most 8%.

    `beats_by_track` holds [n] times in seconds per track. Tracks with fewer than two beats are left out; NaN with fewer
    than two others. Raises ValueError for bad beats.
    """
    tracks = check_tracks(beats_by_track).values()
    intervals = [float(np.median(np.diff(beats))) for beats in tracks if len(beats) > 1]
    agreements = [abs(a - b) <= TOLERANCE * max(a, b) for a, b in combinations(intervals, 2)]
    return float(np.mean(agreements)) if agreements else float("nan")


METRICS = (
    Metric(
        name="metrical_agreement",
        title="Metrical agreement",
        unit="",
        direction=1,
        version="1",
        needs="beats",
        scope="clip",
        compute=metrical_agreement,
        digits=2,
        about="Share of pairs of tracks that beat at one tempo, and not at its half or double",
        most=1.0,
        place=65,
    ),
)
