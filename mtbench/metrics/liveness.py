"""Which stems of a clip are live: IRS, CBS and CBD are taken over these alone, so their share belongs beside them."""

import numpy as np
from numpy.typing import NDArray

from mtbench.metrics.record import Metric, Tolerance


def live(beats: NDArray[np.float64]) -> float:
    """1.0 if a track, beat times [n] in s, has a beat, else 0.0."""
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
