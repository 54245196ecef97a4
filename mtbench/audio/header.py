"""What a file's header states, and the limits within which it is believed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000  # Hz; 768 kHz is the highest rate of any converter
MOST_CHANNELS = 64  # 7th-order ambisonics; the largest layout of loudspeakers in use, 22.2, has 24

Frames = NDArray[np.float32]  # [frames, channels]


@dataclass(frozen=True)
class Header:
    """rate: Hz. frames: None if only decoding shows how many there are. container, subtype: libsndfile's names."""

    rate: int
    channels: int
    frames: int | None
    container: str
    subtype: str

    @property
    def problem(self) -> str:
        """Why a file with this header is not read; "" if it is."""
        return problem(self.rate, self.channels)


def problem(rate: float, channels: int) -> str:
    """Return why a file with a sample rate, in Hz, and a number of channels is not read; "" if it is."""
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        rates = f"{LOWEST_RATE} to {HIGHEST_RATE} Hz"
        return f"its header states a sample rate of {rate:.12g} Hz; only rates from {rates} are read"
    if not 1 <= channels <= MOST_CHANNELS:
        return f"its header states {channels} channels; files with 1 to {MOST_CHANNELS} are read"
    return ""
