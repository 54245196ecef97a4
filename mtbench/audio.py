"""Read, resample and write audio, and convert it to the canonical form in which everything is scored.

The canonical form is mono (channels averaged) PCM-16 at a single sample rate. Samples are rounded as libsndfile rounded
the published files: ``floor(32768 x)``, saturated. Resampling uses a windowed sinc (Hann window of 6 zero crossings,
roll-off 0.99), as the published reference clips did; the harness has no other resampler.
"""

import io
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import ArrayLike, NDArray

from mtbench.errors import MtbenchError
from mtbench.files import whole_file

LARGEST_RATIO = 10**8  # limit on a kernel's phases times steps; 44,100 to 16,000 Hz needs 160 x 441
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")

Wave = NDArray[np.float32]  # full scale at 1
Int16 = NDArray[np.int16]


class AudioError(MtbenchError):
    """Audio that cannot be scored: unreadable, truncated, empty, non-finite, or at a rate that cannot be resampled."""


@dataclass(frozen=True)
class Canonical:
    """One stem in canonical form, and how it was changed to get there.

    samples: int16 [n]. cut, padded: number of samples removed from, or zeros added to, the end, at the canonical rate.
    """

    samples: Int16
    cut: int
    padded: int


def read(path: str | os.PathLike[str], start: int = 0, frames: int = -1) -> tuple[Wave, int]:
    """Read `frames` frames of a file (-1: all), starting at frame `start`, and average the channels.

    Returns (float32 [n], sample rate in Hz). Raises AudioError, naming the file, if it cannot be read, is shorter than
    its header states, is empty, or contains NaN or infinite samples.
    """
    path = Path(path)
    try:
        _refuse_truncated(path)
        with soundfile.SoundFile(path) as file:
            rate, expected = file.samplerate, file.frames - start if frames < 0 else frames
            file.seek(start)
            samples = file.read(expected, dtype="float32", always_2d=True)
    except FileNotFoundError:
        raise AudioError(f"{path}: no such file") from None
    except UnicodeEncodeError:
        raise AudioError(_not_utf8(path)) from None
    except (soundfile.SoundFileError, OSError, struct.error) as error:
        raise AudioError(f"{path}: cannot be read as audio ({error})") from None
    if len(samples) < expected:
        raise AudioError(
            f"{path}: truncated (its header states {start + expected} frames, it has {start + len(samples)})"
        )
    if len(samples) == 0:
        raise AudioError(f"{path}: contains no samples")
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: contains NaN or infinite samples")
    return samples.mean(axis=1, dtype=np.float32), rate


def _not_utf8(path: str | os.PathLike[str]) -> str:
    return f"{os.fsencode(path)!r}: the file name is not valid UTF-8; rename the file"


def info(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return (frames, sample rate in Hz) from a file's header.

    Raises AudioError, naming the file, if it cannot be read.
    """
    try:
        header = soundfile.info(str(path))
    except UnicodeEncodeError:
        raise AudioError(_not_utf8(path)) from None
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"{path}: cannot be read as audio ({error})") from None
    return header.frames, header.samplerate


def resample(samples: Wave, rate: int, to_rate: int) -> Wave:
    """Resample float32 [n] at `rate` Hz to float32 [ceil(n * to_rate / rate)] at `to_rate` Hz.

    The filter is a windowed sinc with 6 zero crossings, a Hann window and roll-off 0.99; its kernel is float32. These
    are the defaults of torchaudio.functional.resample, which the data loader of the published SyncTrack code uses. If
    the rates are equal, the input array itself is returned. Raises AudioError for rates whose kernel would not fit in
    memory.
    """
    if rate == to_rate:
        return samples
    divisor = gcd(rate, to_rate)
    step, phases = rate // divisor, to_rate // divisor
    if step * phases > LARGEST_RATIO:
        raise AudioError(
            f"{rate} Hz cannot be resampled to {to_rate} Hz exactly in reasonable memory; convert the audio first"
        )
    kernel, width = _sinc_kernel(step, phases)
    length = -(-phases * len(samples) // step)
    blocks = -(-length // phases)
    padded = np.zeros(width + max(len(samples), (blocks - 1) * step) + width + step, dtype=np.float32)
    padded[width : width + len(samples)] = samples
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[1])[::step][:blocks]
    resampled: Wave = (windows @ kernel.T).reshape(-1)[:length]
    return resampled


def to_pcm16(samples: ArrayLike) -> Int16:
    """Convert float [n] in [-1, 1) to int16 [n] like libsndfile: floor(32768 x), saturated; NaN becomes 0."""
    scaled = np.floor(np.nan_to_num(np.asarray(samples, dtype=np.float64), nan=0.0) * 32768.0)
    return np.clip(scaled, -32768, 32767).astype(np.int16)


def to_float(pcm: Int16) -> Wave:
    """Convert int16 [n] to float32 [n]: k / 32768, exactly."""
    return pcm.astype(np.float32) / np.float32(32768)


def canonical(samples: Wave, rate: int, to_rate: int, length: int | None = None) -> Canonical:
    """Convert a waveform, float32 [n] at `rate` Hz, to canonical form at `to_rate` Hz.

    It is cut or zero-padded to `length` samples unless `length` is None. Raises AudioError like `resample`.
    """
    pcm = to_pcm16(resample(samples, rate, to_rate))
    if length is None:
        return Canonical(pcm, 0, 0)
    cut, padded = max(len(pcm) - length, 0), max(length - len(pcm), 0)
    return Canonical(np.pad(pcm[:length], (0, padded)), cut, padded)


def read_canonical(
    path: str | os.PathLike[str], to_rate: int, length: int | None = None, start: int = 0, frames: int = -1
) -> Canonical:
    """Read a file, or `frames` frames of it from `start` on, in canonical form at `to_rate` Hz.

    Raises AudioError like `read` and `resample`.
    """
    return canonical(*read(path, start, frames), to_rate, length)


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


@lru_cache(maxsize=8)
def _sinc_kernel(step: int, phases: int) -> tuple[Wave, int]:
    """Return the kernel, float32 [phases, 2 * width + step], and its half width for the reduced ratio step : phases."""
    zeros, roll_off = 6, 0.99
    cutoff = np.float32(min(step, phases) * roll_off)
    width = int(np.ceil(zeros * step / cutoff))
    taps = np.arange(-width, width + step, dtype=np.float32) / np.float32(step)
    times = taps[None, :] - np.arange(phases, dtype=np.float32)[:, None] / np.float32(phases)
    times = np.clip(times * cutoff, -zeros, zeros)
    window = np.cos(times * np.float32(np.pi / zeros / 2)) ** 2
    return (np.sinc(times) * window * (cutoff / np.float32(step))).astype(np.float32), width


def _refuse_truncated(path: Path) -> None:
    """Raise AudioError for a truncated WAV or OGG file, which libsndfile reads without complaint.

    A WAV file's data chunk must fit in the file, and an OGG file's last page must have the end-of-stream flag. Programs
    that write a WAV to a pipe cannot go back to fill in the size and leave 0 or 2^32 - 1; these are not checked.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)[:4]
        if start == b"OggS":
            file.seek(max(size - 2 * 65536, 0))  # a page has at most 65,307 bytes
            _, _, last_page = file.read().rpartition(b"OggS")
            if len(last_page) < 2 or not last_page[1] & 4:  # the end-of-stream flag follows the version
                raise AudioError(f"{path}: truncated (its last page is not the end of the stream)")
        if start != b"RIFF":
            return
        while len(header := file.read(8)) == 8:
            chunk, length = struct.unpack("<4sI", header)
            if chunk == b"data":
                if length not in (0, 0xFFFFFFFF) and file.tell() + length > size:
                    raise AudioError(
                        f"{path}: truncated (its header states {length} bytes of audio, it has {size - file.tell()})"
                    )
                return
            file.seek(length + length % 2, os.SEEK_CUR)
