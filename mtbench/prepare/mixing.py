"""Make the stems of a track by summing files."""

from collections.abc import Iterator

import numpy as np

from mtbench import audio
from mtbench.audio import Int16, Wave
from mtbench.prepare.recipe import Product, Source, Track


def mixed(track: Track) -> Iterator[Product]:
    """Yield each stem as mono PCM-16: the sum of its files with their channels averaged, at the first file's rate.

    All stems are zero-padded to the length of the longest one. Files at another sample rate are resampled. Raises
    AudioError, naming the file.
    """
    stems: dict[str, Int16] = {}
    clipped: dict[str, float] = {}
    rate, longest = 0, 0
    for stem, sources in track.sources.items():
        total = np.zeros(0, np.float32)
        for source in sources:
            wave, rate = _read(source, rate)
            shorter, total = sorted((wave, total), key=len)
            total[: len(shorter)] += shorter
        stems[stem] = audio.to_pcm16(total)
        clipped[stem] = float(np.mean(np.abs(total) > 1)) if len(total) else 0.0
        longest = max(longest, len(total))
    for stem, pcm in stems.items():
        yield Product(f"{stem}.wav", np.pad(pcm, (0, longest - len(pcm))), rate, clipped[stem])


def _read(source: Source, rate: int) -> tuple[Wave, int]:
    """Return a file, float32 [samples], and its rate: `rate`, or that of the file if `rate` is 0."""
    wave, own_rate = audio.read(source.path, stream=source.stream)
    if rate in (0, own_rate):
        return wave, own_rate
    with audio.of_file(source.path):
        return audio.resample(wave, own_rate, rate), rate
