"""From audio, in files or arrays, to activations and beats: the pieces put together."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
import soundfile

from mtbench import audio
from mtbench.beats import _madmom
from mtbench.beats.decoding import check_settings, decode
from mtbench.beats.frontend import HOP, features
from mtbench.beats.network import network_outputs
from mtbench.beats.resampling import SAMPLE_RATE, checked, mix_16_bit, to_44100

VERSION = "3"  # of the engine: raised whenever an activation or a beat can change
FRAMES_AT_ONCE = {"cpu": 1 << 14, "cuda": 1 << 21}  # of all stems of a batch: bounds the memory to 0.2 and 7 GB
STEMS_FOR_A_GPU = 64  # fewer are not worth the start of torch


def track(
    path_or_array: str | os.PathLike | np.ndarray,
    fps: float = 100,
    transition_lambda: float = 100,
    timebase: str = "real",
    sample_rate: int | None = None,
) -> np.ndarray:
    """Beat times of one stem or song.

    Parameters: ``path_or_array``, a file that soundfile reads, of any rate and length, or samples [n] or
    [n, channels] (int16, or floating in [-1, 1]) with their ``sample_rate`` in Hz; channels are averaged. The
    settings are those of ``decode``. Returns float64 [n], seconds; empty for silence.
    Raises ValueError for bad settings or samples, mtbench.audio.AudioError for a file that cannot be read.
    """
    return track_with_positions(path_or_array, fps, transition_lambda, timebase, sample_rate)[0]


def track_with_positions(
    path_or_array: str | os.PathLike | np.ndarray,
    fps: float = 100,
    transition_lambda: float = 100,
    timebase: str = "real",
    sample_rate: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """As ``track``: (times float64 [n] in seconds, positions in the bar int64 [n], 1 for a downbeat)."""
    check_settings(fps, transition_lambda, timebase)
    if isinstance(path_or_array, (str, os.PathLike)):
        if sample_rate is not None:
            raise ValueError("sample_rate belongs to an array; a file states its own")
        signal = read_44100(path_or_array)
    else:
        if sample_rate is None:
            raise ValueError("sample_rate is needed for an array of samples")
        signal = to_44100(path_or_array, _checked_rate(sample_rate))
    return decode(activations([signal], SAMPLE_RATE)[0], fps, transition_lambda, timebase)


def activations(
    waveforms: Sequence[np.ndarray] | np.ndarray, sample_rate: int, device: str | None = None
) -> list[np.ndarray]:
    """Probabilities of beat and downbeat for several stems.

    Parameters: ``waveforms``, B mono arrays [n] (or one array [B, n]), int16 or floating in [-1, 1];
    ``sample_rate`` in Hz; ``device``, "cpu" or "cuda" for the networks, by default a GPU if there is one and there
    are at least 64 stems. Returns B arrays float32 [K, 2] at 100 frames/s, K = ceil(samples at 44.1 kHz / 441).
    Stems do not influence each other but for float rounding on a GPU or without Numba (about 1e-6).
    Raises ValueError, naming the stem's index, for samples that are empty, not finite, or of another shape.
    """
    sample_rate = _checked_rate(sample_rate)
    waveforms = [_checked(i, waveform) for i, waveform in enumerate(waveforms)]
    device = device or _device(len(waveforms))
    result = [None] * len(waveforms)
    for batch in _batches([len(waveform) for waveform in waveforms], sample_rate, FRAMES_AT_ONCE[device.split(":")[0]]):
        stacked = np.stack([features(to_44100(waveforms[i], sample_rate)) for i in batch])
        if device == "cpu":
            outputs = network_outputs(stacked)
        else:
            from mtbench.beats import on_gpu

            outputs = on_gpu.network_outputs(stacked, device)
        for i, of_stem in zip(batch, outputs):
            result[i] = np.ascontiguousarray(of_stem.mean(axis=0)[:, 1:])
    return result


def _device(stems):
    if stems < STEMS_FOR_A_GPU:
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def identity() -> Mapping[str, str]:
    """What activations and beats depend on beside audio and settings, for the keys of caches."""
    return {"engine": VERSION, "weights_sha256": _madmom.weights_sha256()}


def read_44100(path: str | os.PathLike) -> np.ndarray:
    """A file as madmom hears it: mono [n] at 44.1 kHz, int16, or float32 from a WAV file at 44.1 kHz beyond 16 bits.

    Raises mtbench.audio.AudioError, naming the file, if it cannot be read.
    """
    samples, rate = audio.read(path)  # refuses what is no audio
    header = soundfile.info(path)
    if header.channels > 1:
        samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
    if header.subtype in ("PCM_16", "PCM_S8", "PCM_U8"):
        samples = (32768 * samples).astype(np.int16)  # exactly what the file holds
    if rate == SAMPLE_RATE and not header.format.startswith("WAV"):
        return mix_16_bit(samples)
    return to_44100(samples, rate)


def _checked_rate(sample_rate):
    if sample_rate is None or int(sample_rate) != sample_rate or sample_rate <= 0:
        raise ValueError(f"sample_rate must be a positive whole number of Hz, not {sample_rate}")
    return int(sample_rate)


def _checked(index, waveform):
    if np.ndim(waveform) != 1:
        raise ValueError(f"stem {index}: audio must be of shape [n], not {list(np.shape(waveform))}")
    try:
        return checked(waveform)
    except ValueError as error:
        raise ValueError(f"stem {index}: {error}") from None


def _batches(lengths, sample_rate, frames_at_once):
    """Lists of indices of stems with one length, each list short enough for the memory."""
    alike = {}
    for i, length in enumerate(lengths):
        alike.setdefault(length, []).append(i)
    for length, indices in alike.items():
        size = max(1, frames_at_once * HOP * sample_rate // (length * SAMPLE_RATE))
        yield from (indices[start : start + size] for start in range(0, len(indices), size))
