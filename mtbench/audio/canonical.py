"""The canonical form in which everything is scored: mono (channels averaged) PCM-16 at a single sample rate.

Samples are rounded as libsndfile rounded the published files: ``floor(32768 x)``, saturated.
"""

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import soundfile
from numpy.typing import ArrayLike, NDArray

from mtbench.audio.error import of_file
from mtbench.audio.levels import Gauge, Levels
from mtbench.audio.reading import open_audio
from mtbench.audio.resampling import Wave, check_ratio, resampled
from mtbench.files import whole_file

Int16 = NDArray[np.int16]

GROWTH = 1 << 22  # samples by which `joined` grows; arrays of this size and more grow without being copied


@dataclass(frozen=True)
class Canonical:
    """One stem in canonical form, and how it was changed to get there.

    samples: int16 [n]. cut, padded: number of samples removed from, or zeros added to, the end, at the canonical rate.
    saturated: share of the samples that were beyond full scale. cancelled: whether the channels of the file cancel, so
    that the average of channels that are not silent is.
    """

    samples: Int16
    cut: int
    padded: int
    saturated: float = 0.0
    cancelled: bool = False


def read(path: str | os.PathLike[str], start: int = 0, frames: int = -1, stream: int | None = None) -> tuple[Wave, int]:
    """Read `frames` frames of a file (-1: all), starting at frame `start`, and average the channels.

    stream: which audio stream of an MP4 file (default: the first). Returns (float32 [n], sample rate in Hz). Raises
    AudioError, naming the file, if it cannot be read, is shorter or longer than its header states, is empty, or
    contains NaN or infinite samples.
    """
    samples, rate, _ = read_measured(path, start, frames, stream)
    return samples, rate


def read_measured(
    path: str | os.PathLike[str], start: int = 0, frames: int = -1, stream: int | None = None
) -> tuple[Wave, int, Levels]:
    """`read`, and the levels of what is read: whether the channels cancel, and the share beyond full scale."""
    gauge = Gauge()
    with open_audio(path, stream=stream) as file:
        return joined(map(gauge.mono, file.blocks(start, frames))), file.header.rate, gauge.levels


def info(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return (frames, sample rate in Hz) from a file's header, or by decoding it if its header does not state both.

    Raises AudioError, naming the file, if it cannot be read.
    """
    with open_audio(path, complete=False) as file:
        return file.count(), file.header.rate


def canonical(samples: Wave, rate: int, to_rate: int, length: int | None = None) -> Canonical:
    """Convert a waveform, float32 [n] at `rate` Hz, to canonical form at `to_rate` Hz.

    It is cut or zero-padded to `length` samples unless `length` is None. Raises AudioError like `resample`.
    """
    return _canonical([samples], rate, to_rate, length)


def read_canonical(
    path: str | os.PathLike[str], to_rate: int, length: int | None = None, start: int = 0, frames: int = -1
) -> Canonical:
    """Read a file, or `frames` frames of it from `start` on, in canonical form at `to_rate` Hz.

    Reads and converts block by block. Raises AudioError, naming the file, like `read` and `resample`.
    """
    with open_audio(path) as file:
        with of_file(path):
            check_ratio(file.header.rate, to_rate)
        gauge = Gauge()
        form = _canonical(map(gauge.mono, file.blocks(start, frames)), file.header.rate, to_rate, length)
    return replace(form, cancelled=gauge.levels.cancelled)


def joined(blocks: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """Concatenate one or more arrays [n] without holding all of them, and the result, in memory at the same time."""
    blocks = iter(blocks)
    array, length = next(blocks), 0
    for block in blocks:
        if not length:
            first, length = array, len(array)
            array = np.empty(length, first.dtype)
            array[:] = first
        if length + len(block) > len(array):
            array.resize(length + len(block) + min(length, GROWTH), refcheck=False)
        array[length : length + len(block)] = block
        length += len(block)
    if length:
        array.resize(length, refcheck=False)
    return array


def _canonical(blocks: Iterable[Wave], rate: int, to_rate: int, length: int | None) -> Canonical:
    beyond = 0

    def rounded() -> Iterator[Int16]:
        nonlocal beyond
        for wave in resampled(blocks, rate, to_rate):
            beyond += int(np.count_nonzero(np.abs(wave) > 1))
            yield to_pcm16(wave)

    pcm = joined(rounded())
    saturated = beyond / max(len(pcm), 1)
    if length is None:
        return Canonical(pcm, 0, 0, saturated)
    cut, padded = max(len(pcm) - length, 0), max(length - len(pcm), 0)
    return Canonical(np.pad(pcm[:length], (0, padded)), cut, padded, saturated)


def to_pcm16(samples: ArrayLike) -> Int16:
    """Convert float [n] in [-1, 1) to int16 [n] like libsndfile: floor(32768 x), saturated; NaN becomes 0."""
    scaled = np.floor(np.nan_to_num(np.asarray(samples, dtype=np.float64), nan=0.0) * 32768.0)
    return np.clip(scaled, -32768, 32767).astype(np.int16)


def to_float(pcm: Int16) -> Wave:
    """Convert int16 [n] to float32 [n]: k / 32768, exactly."""
    return pcm.astype(np.float32) / np.float32(32768)


def mix(stems: Sequence[Int16 | Wave]) -> tuple[Wave, float]:
    """Mix stems, int16 or float32 [samples]: sum them as floats and clip to [-1, 1], as in the papers.

    Stems may differ in length; shorter ones end early. Returns (float32 [longest], share of clipped samples). Raises
    ValueError if there are no stems.
    """
    total = np.zeros(max(len(stem) for stem in stems), dtype=np.float32)
    for stem in stems:
        total[: len(stem)] += to_float(stem.astype(np.int16, copy=False)) if stem.dtype == np.int16 else stem
    return np.clip(total, -1.0, 1.0), float(np.mean(np.abs(total) > 1.0))


def write_wav(path: str | os.PathLike[str], pcm: Int16, rate: int) -> None:
    """Write int16 [n] at `rate` Hz as a mono PCM-16 WAV file, either completely or not at all."""
    buffer = io.BytesIO()
    soundfile.write(buffer, pcm, rate, format="WAV", subtype="PCM_16")
    with whole_file(path) as file:
        file.write(buffer.getvalue())
