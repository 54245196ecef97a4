"""Log-mel spectrogram of MusicLDM, SyncTrack and MSG-LD.

16 kHz mono, reflect-padded by half a window, 1024-point periodic Hann window, hop 160, magnitudes (not powers),
64 Slaney mel bands with Slaney area normalisation between 0 and 8000 Hz, natural logarithm of max(., 1e-5).
10.24 s give 1025 frames; the last one is dropped.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

SAMPLE_RATE = 16_000  # Hz
N_FFT = 1024
HOP = 160  # samples between frames: 100 frames/s
N_MELS = 64
F_MAX = 8_000.0  # Hz
FRAMES = 1024  # frames in 10.24 s
FLOOR = 1e-5  # digital silence is log(1e-5) = -11.5129


def _hz_to_mel(hz: Tensor) -> Tensor:
    """Convert Hz to Slaney's mel scale: linear (3 mel per 200 Hz) up to 1 kHz, then 27 mel per factor of 6.4."""
    return torch.where(hz < 1000.0, 3.0 * hz / 200.0, 15.0 + 27.0 * torch.log(hz.clamp(min=1.0) / 1000.0) / _LOG_6_4)


def _mel_to_hz(mel: Tensor) -> Tensor:
    return torch.where(mel < 15.0, 200.0 * mel / 3.0, 1000.0 * torch.exp(_LOG_6_4 * (mel - 15.0) / 27.0))


_LOG_6_4 = torch.log(torch.tensor(6.4, dtype=torch.float64))


@lru_cache(maxsize=1)
@torch.inference_mode(False)  # the cached tensor must also be usable in training
def mel_filters() -> Tensor:
    """Return triangular filters, float32 [64, 513], each with area 1 over frequency in Hz (Slaney's normalisation)."""
    bins = torch.linspace(0.0, SAMPLE_RATE / 2, N_FFT // 2 + 1, dtype=torch.float64)
    top = _hz_to_mel(torch.tensor(F_MAX, dtype=torch.float64))
    edges = _mel_to_hz(torch.linspace(0.0, float(top), N_MELS + 2, dtype=torch.float64))
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = torch.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)).clamp(min=0.0)
    return (triangles * 2.0 / (high - low)).float()


@lru_cache(maxsize=1)
@torch.inference_mode(False)
def hann_window() -> Tensor:
    """Return the periodic Hann window, float32 [1024]."""
    return torch.hann_window(N_FFT, periodic=True, dtype=torch.float64).float()


def log_mel(waveform: Tensor, frames: int = FRAMES) -> Tensor:
    """Compute the natural-log mel spectrogram of mono audio at 16 kHz.

    waveform: float32 [..., samples] within [-1, 1]; returns float32 [..., frames, 64].
    Frames beyond `frames` are dropped. Missing frames are 0.0, as published, which is not the value of silence
    (-11.5129): to get silence, zero-pad the waveform first.
    Raises ValueError for values outside [-1, 1], NaN, or not more samples than half a window.
    """
    if waveform.shape[-1] <= N_FFT // 2:
        raise ValueError(f"waveform has {waveform.shape[-1]} samples; log_mel needs more than {N_FFT // 2}")
    if not bool((waveform.abs() <= 1.0).all()):
        raise ValueError("waveform has values outside [-1, 1] or NaN; scale or clip it before log_mel")
    rows = waveform.reshape(-1, waveform.shape[-1]).float()
    rows = F.pad(rows[:, None], (N_FFT // 2, N_FFT // 2), mode="reflect")[:, 0]
    window = hann_window().to(rows.device)
    spectrum = torch.stft(rows, N_FFT, HOP, window=window, center=False, return_complex=True)  # [rows, 513, frames]
    mel = mel_filters().to(rows.device) @ spectrum.abs()
    mel = mel.clamp(min=FLOOR).log().transpose(1, 2)[:, :frames]
    mel = F.pad(mel, (0, 0, 0, frames - mel.shape[1]))
    return mel.reshape(*waveform.shape[:-1], frames, N_MELS)
