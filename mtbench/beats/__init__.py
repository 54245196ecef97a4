"""Beats of a stem with madmom's downbeat networks and decoder: audio -> features -> activations -> beats.

    from mtbench.beats import track
    times = track("drums.wav")

``track`` does it all for one stem. For many stems and settings, take the activations once, in batches, and
decode them as often as needed::

    from mtbench.beats import activations, decode
    for a in activations(waveforms, sample_rate=16000):
        times, positions = decode(a, fps=100, transition_lambda=100)

The trained weights are read from the installed madmom 0.16.1 (they are CC BY-NC-SA 4.0); features, networks,
resampling and decoder are this package's own and call neither madmom's processors nor ffmpeg.
"""

import os
from collections.abc import Mapping, Sequence

import numpy as np
import soundfile

from mtbench import audio
from mtbench.beats import _madmom
from mtbench.beats.decoding import check_settings, decode, to_frame_rate
from mtbench.beats.frontend import FRAME_RATE, HOP, SAMPLE_RATE, features, to_44100, to_mono
from mtbench.beats.network import network_outputs

__all__ = ["FRAME_RATE", "VERSION", "activations", "decode", "features", "identity", "to_frame_rate", "track"]

VERSION = "1"  # of the engine: raised whenever an activation or a beat can change
FRAMES_AT_ONCE = 16384  # of all stems of a batch: bounds the memory to about 0.2 GB


def track(path_or_array: str | os.PathLike | np.ndarray, fps: float = 100, transition_lambda: float = 100,
          timebase: str = "true", sample_rate: int | None = None) -> np.ndarray:
    """Beat times of one stem.

    Parameters: ``path_or_array``, a file that soundfile reads, or samples [n] or [n, channels] (int16, or
    floating in [-1, 1]) with their ``sample_rate`` in Hz; channels are averaged. The settings are those of
    ``decode``. Returns float64 [n], seconds; empty for silence.
    Raises ValueError for bad settings or samples, mtbench.audio.AudioError for a file that cannot be read.
    """
    check_settings(fps, transition_lambda, timebase)
    if isinstance(path_or_array, (str, os.PathLike)):
        if sample_rate is not None:
            raise ValueError("sample_rate belongs to an array; a file states its own")
        samples, sample_rate = _read(path_or_array)
    else:
        if sample_rate is None:
            raise ValueError("sample_rate is needed for an array of samples")
        samples = to_mono(path_or_array)
    times, _ = decode(activations([samples], sample_rate)[0], fps, transition_lambda, timebase)
    return times


def activations(waveforms: Sequence[np.ndarray] | np.ndarray, sample_rate: int) -> list[np.ndarray]:
    """Probabilities of beat and downbeat for several stems, in batches of stems of one length.

    Parameters: ``waveforms``, B mono arrays [n] (or one array [B, n]), int16 or floating in [-1, 1];
    ``sample_rate`` in Hz. Returns B arrays float32 [K, 2] at 100 frames/s, K = ceil(samples at 44.1 kHz / 441).
    Stems do not influence each other but for float rounding (about 1e-6).
    Raises ValueError, naming the stem's index, for samples that are empty, not finite, or of another shape.
    """
    if int(sample_rate) != sample_rate or sample_rate <= 0:
        raise ValueError(f"sample_rate must be a positive whole number of Hz, not {sample_rate}")
    waveforms = [_checked(i, waveform) for i, waveform in enumerate(waveforms)]
    result = [None] * len(waveforms)
    for batch in _batches([-(-len(w) * SAMPLE_RATE // int(sample_rate)) for w in waveforms]):
        stacked = np.stack([features(to_44100(waveforms[i], int(sample_rate))) for i in batch])
        for i, outputs in zip(batch, network_outputs(stacked)):
            result[i] = np.ascontiguousarray(outputs.mean(axis=0)[:, 1:])
    return result


def identity() -> Mapping[str, str]:
    """What activations and beats depend on beside audio and settings, for the keys of caches."""
    return {"engine": VERSION, "weights_sha256": _madmom.weights_sha256()}


def _checked(index, waveform):
    if np.ndim(waveform) != 1:
        raise ValueError(f"stem {index}: audio must be of shape [n], not {list(np.shape(waveform))}")
    try:
        return to_mono(waveform)
    except ValueError as error:
        raise ValueError(f"stem {index}: {error}") from None


def _batches(lengths):
    """Lists of indices of stems with one length, each list short enough for the memory."""
    alike = {}
    for i, length in enumerate(lengths):
        alike.setdefault(length, []).append(i)
    for length, indices in alike.items():
        size = max(1, FRAMES_AT_ONCE * HOP // length)
        yield from (indices[start:start + size] for start in range(0, len(indices), size))


def _read(path):
    """Mono samples in the format in which madmom gets them: float from a float WAV, 16-bit from all others."""
    samples, rate = audio.read(path)
    header = soundfile.info(path)
    if header.format.startswith("WAV") and header.subtype in ("FLOAT", "DOUBLE"):
        return samples, rate
    return np.clip(np.trunc(32768.0 * samples), -32768, 32767).astype(np.int16), rate
