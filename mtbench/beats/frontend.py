"""Compute the input features of madmom's downbeat networks from a waveform.

They follow Böck, Krebs and Widmer, "Joint Beat and Downbeat Tracking with Recurrent Neural Networks", ISMIR 2016, as
computed by madmom 0.16.1: three magnitude spectrograms at 44.1 kHz (Hann-windowed frames of 1024, 2048 and 4096
samples, one every 441 samples) are summed in triangular bands of area 1 (3, 6 and 12 per octave between 30 Hz and
17 kHz), compressed as log10(1 + x), and stacked with their positive differences in time.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from mtbench.beats import compiled
from mtbench.beats.resampling import MADMOM_RATE

HOP = 441  # samples between frames
FRAME_RATE = 100  # frames/s
FEATURES = 314
# (frame size N in samples, bands per octave, lag of the difference in frames)
RESOLUTIONS = ((1024, 3, 1), (2048, 6, 1), (4096, 12, 2))
FREQUENCY_RANGE = (30.0, 17000.0)  # Hz
TUNING = 440.0  # Hz
FRAMES_PER_TRANSFORM = 32  # frames per FFT call: few enough to fit in a core's cache


@cache
def filterbank(frame_size: int, bands_per_octave: int) -> NDArray[np.float32]:
    """Return overlapping triangles of area 1 on a logarithmic axis, float32 [frame_size / 2 bins, bands]."""
    lowest, highest = FREQUENCY_RANGE
    first = np.floor(np.log2(lowest / TUNING) * bands_per_octave)
    last = np.ceil(np.log2(highest / TUNING) * bands_per_octave)
    frequencies = TUNING * 2.0 ** (np.arange(first, last) / bands_per_octave)
    frequencies = frequencies[(frequencies >= lowest) & (frequencies <= highest)]

    bin_frequencies = np.arange(frame_size // 2) * (MADMOM_RATE / frame_size)
    right = np.clip(np.searchsorted(bin_frequencies, frequencies), 1, len(bin_frequencies) - 1)
    is_left = frequencies - bin_frequencies[right - 1] < bin_frequencies[right] - frequencies
    bins = np.unique(right - is_left)  # at low frequencies, several bands would share a bin

    bank = np.zeros((len(bin_frequencies), len(bins) - 2), np.float32)
    for band, (start, centre, stop) in enumerate(zip(bins, bins[1:], bins[2:])):
        triangle = np.concatenate(
            (np.linspace(0, 1, centre - start, endpoint=False), np.linspace(1, 0, stop - centre, endpoint=False))
        ).astype(np.float32)
        bank[start:stop, band] = triangle / triangle.sum()
    bank.flags.writeable = False
    return bank


def features(signal_44100: NDArray[np.int16] | NDArray[np.floating]) -> NDArray[np.float32]:
    """Compute the features of a mono signal at 44.1 kHz: float32 [K, 314], K = ceil(n / 441), 100 frames/s.

    Parameters: ``signal_44100`` [n], int16 or floating in [-1, 1]. int16 is scaled by 1 / 32767, as in madmom.
    Frame k is centred on sample 441 k; the signal is zero beyond its ends. For each frame size, the columns are the
    bands followed by their positive differences (0 in the first frames): 2 x (21 + 45 + 91).
    Raises ValueError for an empty signal or one with more than one dimension.
    """
    if signal_44100.ndim != 1 or len(signal_44100) == 0:
        raise ValueError(f"signal must be of shape [n] with n > 0 (got {list(signal_44100.shape)})")
    frames = -(-len(signal_44100) // HOP)
    stacked = np.empty((frames, FEATURES), np.float32)
    column = 0
    for frame_size, bands_per_octave, lag in RESOLUTIONS:
        bands = _log_bands(signal_44100, frame_size, bands_per_octave)
        width = bands.shape[1]
        stacked[:, column : column + width] = bands
        difference = stacked[:, column + width : column + 2 * width]
        difference[:lag] = 0
        np.maximum(bands[lag:] - bands[:-lag], 0, out=difference[lag:])
        column += 2 * width
    return stacked


def _log_bands(
    signal: NDArray[np.int16] | NDArray[np.floating], frame_size: int, bands_per_octave: int
) -> NDArray[np.float32]:
    """Compute log10(1 + banded magnitudes), float32 [frames, bands], with FFTs in float32."""
    frames = -(-len(signal) // HOP)
    hann = np.hanning(frame_size)
    if signal.dtype == np.int16:
        hann /= 32767
    window = hann.astype(np.float32)
    padded = np.zeros((frames - 1) * HOP + frame_size, np.float32)
    inside = signal[: len(padded) - frame_size // 2]
    padded[frame_size // 2 : frame_size // 2 + len(inside)] = inside
    framed = np.lib.stride_tricks.sliding_window_view(padded, frame_size)[::HOP]
    banded = compiled.banded if compiled.AVAILABLE else banded_plain
    weights, starts = triangles(frame_size, bands_per_octave)
    bands = np.empty((frames, len(weights)), np.float32)
    for start in range(0, frames, FRAMES_PER_TRANSFORM):
        spectrum = fft.rfft(framed[start : start + FRAMES_PER_TRANSFORM] * window, axis=1)
        banded(spectrum.view(np.float32), weights, starts, bands[start : start + FRAMES_PER_TRANSFORM])
    bands += 1
    return np.log10(bands, out=bands)


@cache
def triangles(frame_size: int, bands_per_octave: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the filterbank without its zeros: (float32 [bands, width of the widest], first bins int64 [bands])."""
    bank = filterbank(frame_size, bands_per_octave)
    starts = np.argmax(bank > 0, axis=0)
    padded = np.pad(bank, ((0, (bank > 0).sum(axis=0).max()), (0, 0)))
    width = len(padded) - len(bank)
    return np.stack([padded[start : start + width, band] for band, start in enumerate(starts)]), starts


def banded_plain(
    spectrum: NDArray[np.float32], weights: NDArray[np.float32], starts: NDArray[np.int64], bands: NDArray[np.float32]
) -> None:
    """The NumPy version of compiled.banded."""
    magnitude = np.abs(spectrum.view(np.complex64))
    magnitude = np.pad(magnitude, ((0, 0), (0, weights.shape[1])))
    for band, (start, row) in enumerate(zip(starts, weights)):
        bands[:, band] = magnitude[:, start : start + len(row)] @ row
