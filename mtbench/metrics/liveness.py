"""Live stems: the share of stems in which a beat was found.

Inner-track rhythmic stability (IRS), cross-track beat synchronization (CBS) and cross-track beat dispersion (CBD) are
computed only over live stems, so their share should be shown together with these metrics.
"""

import numpy as np
from numpy.typing import NDArray

from mtbench.metrics.record import Metric, Tolerance


def live(beats: NDArray[np.float64]) -> float:
    """Return 1.0 if a track, given by its beat times [n] in s, has a beat, and 0.0 otherwise."""
    return float(len(beats) > 0)


METRICS = (
    Metric(
        name="live",
        title="Live stems",
        unit="",
        direction=0,
        version="1",
        needs="beats",
        scope="track",
        compute=live,
        digits=2,
        about="Share of stems in which a beat was found",
        most=1.0,
        tolerance=Tolerance(0.02, 0.0),
        place=80,
        summary=("all",),
        of_given=True,
        over_stems=True,
    ),
)
