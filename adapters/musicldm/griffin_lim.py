"""A vocoder without weights: log-mel spectrogram to waveform by non-negative inversion and fast Griffin-Lim.

Griffin and Lim 1984, in the accelerated form of Perraudin, Balazs and Sondergaard 2013. It replaces HiFi-GAN if no
vocoder weights are available.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from musicldm.mel import FLOOR, HOP, N_FFT, N_MELS, hann_window, mel_filters

ITERATIONS = 16  # 32 took twice as long and changed the beats of 1 of 10 drum stems
MOMENTUM = 0.99
INVERSION_STEPS = 16


@lru_cache(maxsize=1)
@torch.inference_mode(False)
def _mel_inverse() -> Tensor:
    return torch.linalg.pinv(mel_filters().double()).float()  # [513, 64]


def linear_magnitude(mel: Tensor) -> Tensor:
    """Return a non-negative magnitude spectrogram [513, frames] whose mel spectrogram is close to `mel` [64, frames].

    It starts from the clamped pseudo-inverse and applies multiplicative updates S <- S (M^T m) / (M^T M S) (Lee and
    Seung 2001), which keep S non-negative and never increase ||M S - m||.
    """
    M = mel_filters().to(mel.device)
    S = (_mel_inverse().to(mel.device) @ mel).clamp(min=1e-3 * FLOOR)
    target = M.T @ mel
    for _ in range(INVERSION_STEPS):
        S = S * target / (M.T @ (M @ S)).clamp(min=1e-20)
    return S


@torch.no_grad()
def griffin_lim(log_mel: Tensor) -> Tensor:
    """Return the waveform at 16 kHz for a natural-log mel spectrogram as computed by `musicldm.mel.log_mel`.

    log_mel: float [rows, frames, 64]; returns float32 [rows, 160 * frames]. The initial phase is the same seeded noise
    for every row, and rows are processed one by one, so the result for a row depends on that row alone.
    Raises ValueError for a wrong shape or NaN.
    """
    if log_mel.ndim != 3 or log_mel.shape[2] != N_MELS or log_mel.shape[1] < 4:
        raise ValueError(f"griffin_lim: expected [rows, at least 4 frames, {N_MELS}], got {list(log_mel.shape)}")
    if bool(log_mel.isnan().any()):
        raise ValueError("griffin_lim: the log-mel contains NaN")
    frames = log_mel.shape[1]
    window = hann_window().to(log_mel.device)
    phase = 2 * torch.pi * torch.rand(N_FFT // 2 + 1, frames, generator=torch.Generator().manual_seed(0))
    start = torch.polar(torch.ones(()), phase).to(log_mel.device)

    def synthesise(spectrum: Tensor) -> Tensor:
        return torch.istft(spectrum, N_FFT, HOP, window=window, length=HOP * frames)

    def analyse(wave: Tensor) -> Tensor:
        return torch.stft(wave, N_FFT, HOP, window=window, pad_mode="reflect", return_complex=True)[:, :frames]

    waves = []
    for row in log_mel.float():
        mel = row.T.exp() - FLOOR  # silence becomes zero
        magnitude = linear_magnitude(mel.clamp(min=0.0))
        spectrum, before = magnitude * start, torch.zeros((), dtype=start.dtype)
        for _ in range(ITERATIONS):
            consistent = analyse(synthesise(spectrum))
            ahead = consistent + MOMENTUM * (consistent - before)
            before = consistent
            spectrum = magnitude * torch.sgn(ahead)
        waves.append(synthesise(spectrum))
    return torch.stack(waves)
