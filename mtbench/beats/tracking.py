"""Compute activations and beats from audio files or arrays."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtbench import audio
from mtbench.beats import _madmom
from mtbench.beats.decoding import check_settings, decode
from mtbench.beats.frontend import HOP, features
from mtbench.beats.network import network_outputs
from mtbench.beats.resampling import MADMOM_RATE, Samples, blocks_to_44100, checked_samples, mix_16_bit, to_44100
from mtbench.beats.viterbi import DEFAULT_METER, Meter

VERSION = "3"  # of the engine; increased whenever an activation or a beat can change
FRAMES_AT_ONCE = {"cpu": 1 << 14, "cuda": 1 << 21}  # of all stems of a batch; limits memory use to 0.2 and 7 GB
STEMS_FOR_A_GPU = 64  # with fewer, starting torch takes longer than it saves


def track(
    path_or_array: str | os.PathLike[str] | Samples,
    fps: float = 100,
    transition_lambda: float = 100,
    timebase: str = "real",
    sample_rate: int | None = None,
    meter: Meter = DEFAULT_METER,
) -> NDArray[np.float64]:
    """Track the beats of one stem or song.

    Parameters: ``path_or_array``, a file of any rate and length that `mtbench.audio` can read, or samples [n] or
    [n, channels] (int16, or floating in [-1, 1]) with their ``sample_rate`` in Hz; channels are averaged. The other
    parameters are those of ``decode``. Returns the beat times in seconds, float64 [n]; empty for silence.
    Raises ValueError for bad settings or samples, and mtbench.audio.AudioError for a file that cannot be read. Warns
    (UserWarning) about a file whose channels cancel, or with samples beyond full scale.
    """
    return track_with_positions(path_or_array, fps, transition_lambda, timebase, sample_rate, meter)[0]


def track_with_positions(
    path_or_array: str | os.PathLike[str] | Samples,
    fps: float = 100,
    transition_lambda: float = 100,
    timebase: str = "real",
    sample_rate: int | None = None,
    meter: Meter = DEFAULT_METER,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Like ``track``, but return (times float64 [n] in seconds, positions in the bar int64 [n], 1 for a downbeat)."""
    check_settings(fps, transition_lambda, timebase, meter)
    if isinstance(path_or_array, (str, os.PathLike)):
        if sample_rate is not None:
            raise ValueError("sample_rate is only for arrays; the sample rate of a file is read from its header")
        signal, levels = read_44100_measured(path_or_array)
        for notice in notices(path_or_array, levels):
            warnings.warn(notice, stacklevel=2)
    else:
        if sample_rate is None:
            raise ValueError("sample_rate is required for an array of samples")
        signal = to_44100(path_or_array, _checked_rate(sample_rate))
    return decode(activations([signal], MADMOM_RATE)[0], fps, transition_lambda, timebase, meter)


def activations(
    waveforms: Sequence[Samples] | Samples, sample_rate: int, device: str | None = None
) -> list[NDArray[np.float32]]:
    """Compute the probabilities of beat and downbeat for several stems.

    Parameters: ``waveforms``, B mono arrays [n] (or one array [B, n]), int16 or floating in [-1, 1];
    ``sample_rate`` in Hz; ``device`` for the networks, "cpu" or "cuda" (default: a GPU if one is available and there
    are at least 64 stems). Returns B arrays float32 [K, 2] at 100 frames/s, K = ceil(samples at 44.1 kHz / 441).
    Stems do not influence each other except through rounding on a GPU or without Numba (about 1e-6).
    Raises ValueError, naming the stem's index, for samples that are empty, non-finite, or of another shape.
    """
    sample_rate = _checked_rate(sample_rate)
    stems = [_checked_stem(i, waveform) for i, waveform in enumerate(waveforms)]
    device = device or _device(len(stems))
    of_stem: dict[int, NDArray[np.float32]] = {}
    for batch in _batches([len(stem) for stem in stems], sample_rate, FRAMES_AT_ONCE[device.split(":")[0]]):
        stacked = np.stack([features(to_44100(stems[i], sample_rate)) for i in batch])
        if device == "cpu":
            outputs = network_outputs(stacked)
        else:
            from mtbench.beats import on_gpu

            outputs = on_gpu.network_outputs(stacked, device)
        for i, probabilities in zip(batch, outputs):  # [M, K, 3]; average the networks and drop "no beat"
            of_stem[i] = np.ascontiguousarray(probabilities.mean(axis=0)[:, 1:])
    return [of_stem[i] for i in range(len(stems))]


def _device(stems: int) -> str:
    if stems < STEMS_FOR_A_GPU:
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def identity() -> Mapping[str, str]:
    """Return everything that activations and beats depend on in addition to audio and settings, for cache keys.

    Raises ImportError if madmom is not installed.
    """
    return {"engine": VERSION, "weights_sha256": _madmom.weights_sha256()}


def read_44100(path: str | os.PathLike[str]) -> Samples:
    """Read a file as madmom's networks receive it: mono [n] at 44.1 kHz.

    Returns int16, or float32 for a WAV file at 44.1 kHz with more than 16 bits. Raises mtbench.audio.AudioError, naming
    the file, if it cannot be read.
    """
    return read_44100_measured(path)[0]


def read_44100_measured(path: str | os.PathLike[str]) -> tuple[Samples, audio.Levels]:
    """`read_44100`, and the levels of the file: whether its channels cancel, and the share beyond full scale."""
    gauge = audio.Gauge()
    with audio.open_audio(path) as file:
        header = file.header
        blocks: Iterator[Samples] = gauge.watch(file.blocks())
        if header.subtype in ("PCM_16", "PCM_S8", "PCM_U8"):
            blocks = ((32768 * block).astype(np.int16) for block in blocks)  # exactly the samples in the file
        if header.rate == MADMOM_RATE and not header.container.startswith("WAV"):
            return audio.joined(map(mix_16_bit, blocks)), gauge.levels
        return audio.joined(blocks_to_44100(blocks, header.rate)), gauge.levels


def notices(path: str | os.PathLike[str], levels: audio.Levels) -> list[str]:
    """Return messages about a file that can be tracked, but is probably not what the user meant."""
    found = []
    if levels.cancelled:
        found.append(f"{path}: silent when mixed to mono, because its channels cancel: left is the negative of right")
    if levels.saturated > audio.SATURATED:
        found.append(
            f"{path}: {100 * levels.saturated:.2g}% of its samples are beyond full scale (1.0); divide the samples by "
            "32768 if they are 16-bit values in a float file"
        )
    return found


def _checked_rate(sample_rate: float | None) -> int:
    if sample_rate is None or not isfinite(sample_rate) or int(sample_rate) != sample_rate or sample_rate <= 0:
        raise ValueError(f"sample_rate must be a positive whole number of Hz (got {sample_rate})")
    if not audio.LOWEST_RATE <= sample_rate <= audio.HIGHEST_RATE:
        limits = f"from {audio.LOWEST_RATE} to {audio.HIGHEST_RATE} Hz"
        raise ValueError(f"sample_rate must be {limits} (got {sample_rate:g})")
    return int(sample_rate)


def _checked_stem(index: int, waveform: ArrayLike) -> Samples:
    if np.ndim(waveform) != 1:
        raise ValueError(f"stem {index}: audio must be of shape [n] (got {list(np.shape(waveform))})")
    try:
        return checked_samples(waveform)
    except ValueError as error:
        raise ValueError(f"stem {index}: {error}") from None


def _batches(lengths: Sequence[int], sample_rate: int, frames_at_once: int) -> Iterator[list[int]]:
    """Yield lists of indices of stems of equal length, each short enough to fit in memory."""
    alike: dict[int, list[int]] = {}
    for i, length in enumerate(lengths):
        alike.setdefault(length, []).append(i)
    for length, indices in alike.items():
        size = max(1, frames_at_once * HOP * sample_rate // (length * MADMOM_RATE))
        yield from (indices[start : start + size] for start in range(0, len(indices), size))
