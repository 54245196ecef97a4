"""From audio, in files or arrays, to activations and beats: the pieces put together."""

import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import soundfile
from numpy.typing import ArrayLike, NDArray

from mtbench import audio
from mtbench.beats import _madmom
from mtbench.beats.decoding import check_settings, decode
from mtbench.beats.frontend import HOP, features
from mtbench.beats.network import network_outputs
from mtbench.beats.resampling import MADMOM_RATE, Samples, checked_samples, mix_16_bit, to_44100

VERSION = "3"  # of the engine: raised whenever an activation or a beat can change
FRAMES_AT_ONCE = {"cpu": 1 << 14, "cuda": 1 << 21}  # of all stems of a batch: bounds the memory to 0.2 and 7 GB
STEMS_FOR_A_GPU = 64  # fewer are not worth the start of torch


def track(
    path_or_array: str | os.PathLike[str] | Samples,
    fps: float = 100,
    transition_lambda: float = 100,
    timebase: str = "real",
    sample_rate: int | None = None,
) -> NDArray[np.float64]:
    """Beat times of one stem or song.

    Parameters: ``path_or_array``, a file that soundfile reads, of any rate and length, or samples [n] or
    [n, channels] (int16, or floating in [-1, 1]) with their ``sample_rate`` in Hz; channels are averaged. The
    settings are those of ``decode``. Returns float64 [n], seconds; empty for silence.
    Raises ValueError for bad settings or samples, mtbench.audio.AudioError for a file that cannot be read.
    """
    return track_with_positions(path_or_array, fps, transition_lambda, timebase, sample_rate)[0]


def track_with_positions(
    path_or_array: str | os.PathLike[str] | Samples,
    fps: float = 100,
    transition_lambda: float = 100,
    timebase: str = "real",
    sample_rate: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
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
    return decode(activations([signal], MADMOM_RATE)[0], fps, transition_lambda, timebase)


def activations(
    waveforms: Sequence[Samples] | Samples, sample_rate: int, device: str | None = None
) -> list[NDArray[np.float32]]:
    """Probabilities of beat and downbeat for several stems.

    Parameters: ``waveforms``, B mono arrays [n] (or one array [B, n]), int16 or floating in [-1, 1];
    ``sample_rate`` in Hz; ``device``, "cpu" or "cuda" for the networks, by default a GPU if there is one and there
    are at least 64 stems. Returns B arrays float32 [K, 2] at 100 frames/s, K = ceil(samples at 44.1 kHz / 441).
    Stems do not influence each other, except through float rounding on a GPU or without Numba (about 1e-6).
    Raises ValueError, naming the stem's index, for samples that are empty, not finite, or of another shape.
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
        for i, probabilities in zip(batch, outputs):  # [M, K, 3]: the mean over the networks, without "no beat"
            of_stem[i] = np.ascontiguousarray(probabilities.mean(axis=0)[:, 1:])
    return [of_stem[i] for i in range(len(stems))]


def _device(stems: int) -> str:
    if stems < STEMS_FOR_A_GPU:
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def identity() -> Mapping[str, str]:
    """What activations and beats depend on besides audio and settings, for the keys of caches.

    Raises ImportError if madmom is not installed.
    """
    return {"engine": VERSION, "weights_sha256": _madmom.weights_sha256()}


def read_44100(path: str | os.PathLike[str]) -> Samples:
    """A file as madmom hears it: mono [n] at 44.1 kHz, int16, or float32 from a WAV file at 44.1 kHz with more bits.

    Raises mtbench.audio.AudioError, naming the file, if it cannot be read.
    """
    samples: Samples
    samples, rate = audio.read(path)  # refuses what is not audio
    header = soundfile.info(path)
    if header.channels > 1:
        samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
    if header.subtype in ("PCM_16", "PCM_S8", "PCM_U8"):
        samples = (32768 * samples).astype(np.int16)  # exactly what the file holds
    if rate == MADMOM_RATE and not header.format.startswith("WAV"):
        return mix_16_bit(samples)
    return to_44100(samples, rate)


def _checked_rate(sample_rate: float | None) -> int:
    if sample_rate is None or int(sample_rate) != sample_rate or sample_rate <= 0:
        raise ValueError(f"sample_rate must be a positive whole number of Hz, not {sample_rate}")
    return int(sample_rate)


def _checked_stem(index: int, waveform: ArrayLike) -> Samples:
    if np.ndim(waveform) != 1:
        raise ValueError(f"stem {index}: audio must be of shape [n], not {list(np.shape(waveform))}")
    try:
        return checked_samples(waveform)
    except ValueError as error:
        raise ValueError(f"stem {index}: {error}") from None


def _batches(lengths: Sequence[int], sample_rate: int, frames_at_once: int) -> Iterator[list[int]]:
    """Lists of indices of stems with one length, each list short enough for the memory."""
    alike: dict[int, list[int]] = {}
    for i, length in enumerate(lengths):
        alike.setdefault(length, []).append(i)
    for length, indices in alike.items():
        size = max(1, frames_at_once * HOP * sample_rate // (length * MADMOM_RATE))
        yield from (indices[start : start + size] for start in range(0, len(indices), size))
