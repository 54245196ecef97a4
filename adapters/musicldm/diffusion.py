"""Noise schedule, timestep embedding and DDIM sampling (Ho et al. 2020; Song, Meng and Ermon 2021).

Shared by SyncTrack and MSG-LD. Their published networks predict the noise e in x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) e,
with a_t = alphas_cumprod[t], t = 0 ... 999. Other networks may predict the velocity v, from which the noise follows.
Both sample with eta = 1 and never clip x_0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

TRAIN_STEPS = 1000
Parameterization = Literal["eps", "v"]  # what a network predicts: the noise, or the velocity


@dataclass(frozen=True)
class NoiseSchedule:
    """The noise schedule of training: betas and alphas_cumprod, float32 [1000], computed in float64."""

    betas: Tensor
    alphas_cumprod: Tensor

    def add_noise(self, x0: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) noise; x0 and noise [B, ...], timesteps int64 [B]."""
        signal, deviation = self._shares(x0, timesteps)
        return signal * x0 + deviation * noise

    def velocity(self, x0: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return v = sqrt(a_t) noise - sqrt(1 - a_t) x_0 (Salimans and Ho 2022), with the same shapes."""
        signal, deviation = self._shares(x0, timesteps)
        return signal * noise - deviation * x0

    def noise_of_velocity(self, x: Tensor, v: Tensor, timesteps: Tensor) -> Tensor:
        """Return the noise in x_t, given the velocity: sqrt(1 - a_t) x_t + sqrt(a_t) v."""
        signal, deviation = self._shares(x, timesteps)
        return deviation * x + signal * v

    def _shares(self, x: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Return sqrt(a_t) and sqrt(1 - a_t), each [B, 1, ...] with as many dimensions as x."""
        a = self.alphas_cumprod.to(x.device)[timesteps].view(-1, *[1] * (x.ndim - 1))
        return a.sqrt(), (1.0 - a).sqrt()


def noise_schedule() -> NoiseSchedule:
    """Return the published `scaled linear` schedule: betas from 0.0015 to 0.0195, linear in their square roots."""
    betas = torch.linspace(math.sqrt(0.0015), math.sqrt(0.0195), TRAIN_STEPS, dtype=torch.float64) ** 2
    return NoiseSchedule(betas.float(), torch.cumprod(1.0 - betas, dim=0).float())


def timestep_embedding(timesteps: Tensor, channels: int) -> Tensor:
    """Return [cos(t f), sin(t f)], f_i = exp(-ln(10000) i / (channels / 2)); timesteps [B] -> float32 [B, channels]."""
    half = channels // 2
    frequencies = torch.exp(-math.log(10_000.0) * torch.arange(half, dtype=torch.float32) / half)
    angles = timesteps.float()[:, None] * frequencies.to(timesteps.device)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


@dataclass(frozen=True)
class DDIMSchedule:
    """The steps of DDIM, ascending in time; sampling goes from the last to the first.

    timesteps int64 [S]; alphas, alphas_prev and sigmas float32 [S] (a_i, a_{i-1} and sigma_i of the paper).
    """

    timesteps: Tensor
    alphas: Tensor
    alphas_prev: Tensor
    sigmas: Tensor


def ddim_schedule(steps: int, eta: float = 1.0) -> DDIMSchedule:
    """Return the schedule with timesteps 1, 1 + c, 1 + 2c, ... with c = 1000 // steps, as published.

    If `steps` does not divide 1000, the schedule has more steps than requested (167 for 150). Raises ValueError if the
    published rule would index past the end of the noise schedule (for example 3, 9, 300 or 1000 steps).
    """
    if not 1 <= steps <= TRAIN_STEPS:
        raise ValueError(f"DDIM steps must be between 1 and {TRAIN_STEPS}, got {steps}")
    stride = TRAIN_STEPS // steps
    timesteps = torch.arange(0, TRAIN_STEPS, stride) + 1
    if int(timesteps[-1]) >= TRAIN_STEPS:
        divisors = [d for d in range(2, 501) if TRAIN_STEPS % d == 0]
        nearest = min(divisors, key=lambda d: abs(d - steps))
        raise ValueError(
            f"DDIM with {steps} steps would need timestep {TRAIN_STEPS}, but the schedule ends at "
            f"{TRAIN_STEPS - 1}; use a divisor of 1000, such as {nearest}"
        )
    alphas_cumprod = noise_schedule().alphas_cumprod.double()
    a = alphas_cumprod[timesteps]
    a_prev = torch.cat([alphas_cumprod[:1], a[:-1]])
    sigmas = eta * torch.sqrt((1 - a_prev) / (1 - a) * (1 - a / a_prev))
    return DDIMSchedule(timesteps, a.float(), a_prev.float(), sigmas.float())


def guided(
    denoise: Callable[[Tensor, Tensor, Tensor], Tensor], condition: Tensor, nothing: Tensor, scale: float
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the estimate e_u + scale (e_c - e_u) of classifier-free guidance (Ho and Salimans 2021), given x and t.

    denoise(x, timesteps, condition) predicts the noise. `condition` [B, ...] gives the conditional estimate e_c;
    `nothing` [B, ...], which represents no condition, gives the unconditional estimate e_u. At scale 1 only e_c is
    computed, at scale 0 only e_u; otherwise both in one call on a doubled batch, [unconditional; conditional], as
    published.
    """

    def estimate(x: Tensor, timesteps: Tensor) -> Tensor:
        if scale in (0, 1):
            return denoise(x, timesteps, condition if scale else nothing)
        both = denoise(torch.cat([x, x]), torch.cat([timesteps, timesteps]), torch.cat([nothing, condition]))
        e_u, e_c = both.chunk(2)
        return e_u + scale * (e_c - e_u)

    return estimate


def ddim(
    denoise: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    schedule: DDIMSchedule,
    noise: Callable[[], Tensor],
    *,
    known: Tensor | None = None,
    mask: Tensor | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Sample latents from noise, yielding (x_{i-1}, estimate of x_0) after each of the S steps.

    denoise(x, timesteps) predicts the noise in x at int64 timesteps [B]. x [B, ...] starts as standard normal noise;
    `noise()` returns the next standard normal tensor of x's shape. Noise is also added in the last step, as published.

    Arrangement: `known` contains scaled latents, and `mask` (1 = given, 0 = generate; broadcast over x) marks the given
    ones. Before every step the given part is replaced by the known latents with noise of that step's level; this noise
    is drawn before the noise of the step itself. Nothing is replaced after the last step: callers keep the original
    recordings instead.
    """
    if (known is None) != (mask is None):
        raise ValueError("ddim: known and mask must be passed together; got only one of them")
    for i in reversed(range(len(schedule.timesteps))):
        a, a_prev, sigma = schedule.alphas[i], schedule.alphas_prev[i], schedule.sigmas[i]
        if known is not None and mask is not None:
            x = mask * (a.sqrt() * known + (1 - a).sqrt() * noise()) + (1 - mask) * x
        timesteps = schedule.timesteps[i].to(x.device).expand(x.shape[0])
        e = denoise(x, timesteps)
        x0 = (x - (1 - a).sqrt() * e) / a.sqrt()
        x = a_prev.sqrt() * x0 + (1 - a_prev - sigma**2).sqrt() * e + sigma * noise()
        yield x, x0
