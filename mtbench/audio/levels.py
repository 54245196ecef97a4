"""Measure what is probably a mistake in a file: samples beyond full scale, and channels that cancel each other."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from mtbench.audio.header import Frames
from mtbench.audio.resampling import Wave

SATURATED = 1e-3  # the share of samples from which on saturation is reported; decoded MP3s exceed full scale rarely
SILENT = 1e-3  # of full scale, and of the channels' peak: the mono signal is silent although the channels are not


@dataclass(frozen=True)
class Levels:
    """saturated: share of the samples that are beyond full scale, after averaging the channels. cancelled: whether the
    channels cancel, so that the average of channels that are not silent is."""

    saturated: float
    cancelled: bool


class Gauge:
    """Averages the channels of a signal that comes in blocks, and measures its levels in passing."""

    def __init__(self) -> None:
        self._of_channels = self._of_mono = 0.0
        self._samples = self._beyond = 0

    @property
    def levels(self) -> Levels:
        """The levels of the blocks so far."""
        cancelled = self._of_mono < SILENT * self._of_channels and self._of_channels > SILENT
        return Levels(self._beyond / max(self._samples, 1), cancelled)

    def mono(self, block: Frames) -> Wave:
        """Return the average of the channels, float32 [n], of a block [n, channels]."""
        mono: Wave = block.mean(axis=1, dtype=np.float32)
        if len(mono):
            of_mono = max(float(mono.max()), -float(mono.min()))
            self._samples += len(mono)
            self._beyond += int(np.count_nonzero(np.abs(mono) > 1)) if of_mono > 1 else 0
            if block.shape[1] > 1:
                self._of_channels = max(self._of_channels, float(block.max()), -float(block.min()))
                self._of_mono = max(self._of_mono, of_mono)
        return mono

    def watch(self, blocks: Iterable[Frames]) -> Iterator[Frames]:
        """Yield the blocks as they are."""
        for block in blocks:
            self.mono(block)
            yield block
