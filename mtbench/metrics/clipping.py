"""The share of a mixture's samples beyond full scale, which the published protocol clips."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mtbench.audio import mix
from mtbench.metrics.record import Metric


def clipped(stems: Mapping[str, NDArray[np.float32]], rate: int) -> float:
    """Return the share, in [0, 1], of the samples of the stems' sum whose magnitude is above 1.

    stems: {name: float32 [samples]}. `rate` (Hz) is passed to every audio metric and is not used here.
    """
    return mix(list(stems.values()))[1]


METRICS = (
    Metric(
        name="clipped",
        title="Clipped",
        unit="",
        direction=0,
        version="1",
        needs="audio",
        scope="clip",
        compute=clipped,
        digits=3,
        about="Share of the mixture's samples beyond full scale",
        most=1.0,
        place=90,
        track="mixture",
    ),
)
