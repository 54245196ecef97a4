"""Convert audio to the input of madmom's networks: mono at 44.1 kHz, with the same samples as from ffmpeg.

madmom reads WAV files at 44.1 kHz itself and lets ffmpeg convert all others to 16-bit samples. The networks are
sensitive to the method: with other resamplers, 6 to 24% of the beats of 16 kHz stems moved. This module therefore
reimplements ffmpeg's default resampler (libswresample, as in resample.c). Its filter is a sinc with a Kaiser window
(beta 9) of 32 zero crossings. When downsampling, it is narrowed to 0.97 of the lower band. It is tabulated at the
phases of the ratio of the rates, normalised by its sum at phase 0, and has 16-bit coefficients for 16-bit samples. The
signal is mirrored at its start about the first sample, and at its end about the edge of the last sample.

Compared with ffmpeg 5.1, samples are identical for 16-bit mono and stereo at all common rates (those with at most 1024
phases, 44100 / gcd(44100, rate)). Float samples, and unusual rates, for which ffmpeg interpolates between 1024 phases,
occasionally differ by one 16-bit step. More than two channels are averaged here but weighted by ffmpeg. ffmpeg drops
files shorter than a filter (2 ms).
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from math import ceil, gcd
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtbench.beats import compiled

MADMOM_RATE = 44100  # Hz, the only rate that the networks support
ZERO_CROSSINGS, KAISER_BETA, CUTOFF, PHASES = 32, 9.0, 0.97, 1024
AT_ONCE = 1 << 16  # output samples per block, which limits memory use

Floats = NDArray[np.float64]
Int16 = NDArray[np.int16]
Samples = NDArray[np.int16] | NDArray[np.floating]  # 16-bit, or in [-1, 1]


def to_44100(samples: Samples, sample_rate: int) -> Samples:
    """Convert samples to mono at 44.1 kHz.

    Parameters: ``samples`` [n] or [n, channels], int16 or floating in [-1, 1]; ``sample_rate`` in Hz. Returns int16
    [about n * 44100 / sample_rate], or the same dtype as ``samples`` if they are already at 44.1 kHz. Raises ValueError
    if the array is empty, non-finite, or has another shape or dtype.
    """
    samples = checked_samples(samples)
    if samples.ndim == 2:
        if sample_rate != MADMOM_RATE and samples.dtype == np.int16:  # each channel saturates separately
            return mix_16_bit(np.stack([resample_as_ffmpeg(channel, sample_rate) for channel in samples.T], axis=1))
        samples = samples.mean(axis=1, dtype=np.float64).astype(samples.dtype)  # truncates towards zero, like madmom
    return samples if sample_rate == MADMOM_RATE else resample_as_ffmpeg(samples, sample_rate)


def checked_samples(samples: ArrayLike) -> Samples:
    """Return the samples as an array. Raises ValueError like `to_44100` if they are not valid audio."""
    samples = np.asarray(samples)
    samples = samples.astype(samples.dtype.newbyteorder("="), copy=False)
    if samples.dtype != np.int16 and not np.issubdtype(samples.dtype, np.floating):
        raise ValueError(f"audio must be int16 or floating (got {samples.dtype})")
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and samples.shape[1] > samples.shape[0] > 0):
        raise ValueError(f"audio must be of shape [n] or [n, channels] (got {list(samples.shape)})")
    if samples.size == 0:
        raise ValueError("audio is empty")
    if not np.isfinite(samples).all():
        raise ValueError("audio contains NaN or infinite samples")
    return samples


def mix_16_bit(samples: Samples) -> Int16:
    """Mix [n] or [n, channels], int16 or floating, to int16 [n] like ffmpeg: the average, with halves rounded up."""
    if samples.dtype != np.int16:
        mono = samples if samples.ndim == 1 else samples.mean(axis=1, dtype=np.float64)
        rounded: NDArray[np.floating] = np.rint(32768.0 * mono)
        saturated: NDArray[np.floating] = np.clip(rounded, -32768, 32767)
        return saturated.astype(np.int16)
    pcm: Int16 = samples.astype(np.int16, copy=False)
    if pcm.ndim == 1:
        return pcm
    channels = pcm.shape[1]
    if channels == 1:
        return np.ascontiguousarray(pcm[:, 0])
    average: NDArray[np.int64] = (2 * pcm.sum(axis=1, dtype=np.int64) + channels) // (2 * channels)
    return average.astype(np.int16)


def resample_as_ffmpeg(samples: Samples, sample_rate: int) -> Int16:
    """Resample int16 or floating [n] at another rate to int16 [about n * 44100 / sample_rate] at 44.1 kHz.

    The samples are not checked here. The exact length is `output_length`.
    """
    resampler = Resampler(sample_rate, samples.dtype == np.int16)
    return np.concatenate([*resampler.put(samples), *resampler.end()])


def blocks_to_44100(blocks: Iterable[Samples], sample_rate: int) -> Iterator[Samples]:
    """`to_44100` for consecutive blocks [n, channels] of a signal: yield the same samples, in blocks of other lengths.

    The blocks are not checked here. Memory use does not grow with their number.
    """
    resamplers: list[Resampler] = []
    for block in blocks:
        sixteen_bit = block.dtype == np.int16
        if sample_rate == MADMOM_RATE or not sixteen_bit:  # truncates towards zero, like madmom
            block = block.mean(axis=1, dtype=np.float64).astype(block.dtype)[:, None]
        if sample_rate == MADMOM_RATE:
            yield block[:, 0]
            continue
        resamplers = resamplers or [Resampler(sample_rate, sixteen_bit) for _ in block.T]
        for outputs in zip(*[resampler.put(channel) for resampler, channel in zip(resamplers, block.T)]):
            yield mix_16_bit(np.stack(outputs, axis=1))  # each channel saturates separately
    for outputs in zip(*[resampler.end() for resampler in resamplers]):
        yield mix_16_bit(np.stack(outputs, axis=1))


class Resampler:
    """ffmpeg's resampler to 44.1 kHz for one channel, int16 or floating, that comes in blocks.

    Positions are those of the signal with `taps` mirrored samples before its start.
    """

    def __init__(self, sample_rate: int, sixteen_bit: bool):
        self._rate, self._sixteen_bit = sample_rate, sixteen_bit
        self._bank = filter_bank(sample_rate, sixteen_bit)
        self._phases, self._taps = self._bank.shape
        common = gcd(sample_rate * self._phases, MADMOM_RATE)
        # Output n is at n * step / whole phases after the origin.
        self._step, self._whole = sample_rate * self._phases // common, MADMOM_RATE // common
        self._origin = self._taps - (self._taps - 1) // 2
        self._waiting: list[Samples] = []  # what later outputs need, from position `first` on
        self._first = self._received = self._yielded = 0

    def put(self, samples: Samples) -> list[Int16]:
        """Take the next samples [n]. Returns the outputs that no later sample affects, in blocks of AT_ONCE."""
        self._received += len(samples)
        self._waiting.append(samples)
        if self._received <= self._taps or self._taps + self._received < self._needed(AT_ONCE).stop:
            return []
        signal, outputs = self._signal(), []
        while self._taps + self._received >= self._needed(AT_ONCE).stop:
            outputs.append(self._outputs(signal, AT_ONCE))
            start = self._needed(AT_ONCE).start
            signal, self._first = signal[start - self._first :], start
        self._waiting = [signal]
        return outputs

    def end(self) -> list[Int16]:
        """Return the remaining outputs, in blocks of AT_ONCE."""
        signal: NDArray[Any] = np.pad(self._signal(), (0, self._taps), "symmetric")
        outputs: list[Int16] = []
        count = output_length(self._received, self._rate, self._taps)
        while self._yielded < count:
            outputs.append(self._outputs(signal, min(AT_ONCE, count - self._yielded)))
        return outputs

    def _signal(self) -> NDArray[Any]:
        signal: NDArray[Any] = np.concatenate(self._waiting)
        return signal if self._first else np.pad(signal, (self._taps, 0), "reflect")

    def _needed(self, count: int) -> slice:
        """Return the positions that the next `count` outputs depend on."""
        start = self._origin + self._yielded * self._step // self._whole // self._phases
        return slice(start, start + count * self._step // (self._whole * self._phases) + self._taps + 1)

    def _outputs(self, signal: Samples, count: int) -> Int16:
        filtered = compiled.filtered if compiled.AVAILABLE else filtered_plain
        needed, sums = self._needed(count), np.empty(count)
        phase = self._yielded * self._step // self._whole % self._phases
        fraction = self._yielded * self._step % self._whole
        here = signal[needed.start - self._first : needed.stop - self._first].astype(np.float64)
        filtered(here, self._bank, phase, fraction, self._step, self._whole, sums)
        if self._whole > 1:  # interpolate between two phases; the last is followed by the first, one sample later
            upper, upper_bank = np.empty(count), np.vstack([self._bank[1:], np.roll(self._bank[0], 1)])
            filtered(here, upper_bank, phase, fraction, self._step, self._whole, upper)
            sums += (fraction + np.arange(count) * self._step) % self._whole / self._whole * (upper - sums)
        sums = np.floor((sums + 16384) / 32768) if self._sixteen_bit else np.rint(32768 * sums)
        self._yielded += count
        return np.clip(sums, -32768, 32767).astype(np.int16)


def output_length(length: int, sample_rate: int, taps: int) -> int:
    """Return the number of samples after resampling `length` samples from `sample_rate`.

    It is ceil(length * 44100 / sample_rate) when upsampling, and possibly one less when downsampling. At the end of the
    input, ffmpeg mirrors half of the samples that the filter has not passed yet, and continues to the end of those.
    """

    def outputs_before(sample: int) -> int:
        return max(-(-sample * MADMOM_RATE // sample_rate), 1)

    centre = (taps - 1) // 2
    next_sample = outputs_before(length - taps + centre + 1) * sample_rate // MADMOM_RATE
    left = length - (next_sample - centre)
    return outputs_before(length + (min(left, taps) + 1) // 2 - taps + centre + 1)


@lru_cache(maxsize=16)
def filter_bank(sample_rate: int, sixteen_bit: bool) -> Floats:
    """Return the taps at every phase, float64 [phases, taps]: whole numbers (32768 is 1) or rounded to float32."""
    factor = min(CUTOFF * MADMOM_RATE / sample_rate, 1.0)
    taps = ceil(ZERO_CROSSINGS / factor)
    taps += taps % 2
    phases = min(MADMOM_RATE // gcd(MADMOM_RATE, sample_rate), PHASES)
    x = factor * (np.arange(taps) - (taps - 1) // 2 - np.arange(phases)[:, None] / phases)
    window = np.i0(KAISER_BETA * np.sqrt(np.maximum(1 - (2 * x / (factor * taps)) ** 2, 0)))
    bank = np.sinc(x) * window
    bank /= bank[0].sum()
    if sixteen_bit:
        bank = np.clip(np.rint((32768 * bank).astype(np.float32)), -32768, 32767)
    rounded: Floats = bank.astype(np.float32).astype(np.float64)
    rounded.flags.writeable = False
    return rounded


def filtered_plain(
    padded: Floats, bank: Floats, phase: int, fraction: int, step: int, whole: int, sums: Floats
) -> None:
    """The NumPy version of compiled.filtered."""
    phases, taps = bank.shape
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps)
    at, phase_of = np.divmod(phase + (fraction + np.arange(len(sums)) * step) // whole, phases)
    np.einsum("nt,nt->n", windows[at], bank[phase_of], out=sums)
