"""MSDM's denoiser, noise levels and samplers (Karras et al. 2022; Mariani et al. 2023).

The network is trained on waves with noise of standard deviation sigma, x + sigma n. A sampler takes
`denoise(x, sigma)`, which estimates x without noise for one sigma (0-d). It goes down a schedule of sigmas and yields x
[B, S, L] after each step. It starts from standard normal noise; `noise()` returns the next such tensor of x's shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

SIGMA_DATA = 0.2

Denoise = Callable[[Tensor, Tensor], Tensor]
Noise = Callable[[], Tensor]


def scalings(sigma: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return c_skip, c_out, c_in and c_noise of Karras et al., each of sigma's shape."""
    total = sigma**2 + SIGMA_DATA**2
    return SIGMA_DATA**2 / total, SIGMA_DATA * sigma / total.sqrt(), 1 / total.sqrt(), sigma.log() / 4


def denoised(network: Callable[[Tensor, Tensor], Tensor], x: Tensor, sigma: Tensor) -> Tensor:
    """Return D(x, sigma) = c_skip x + c_out F(c_in x, c_noise), clamped to [-1, 1]; x [B, S, L], sigma [B]."""
    *scales, c_noise = scalings(sigma)
    c_skip, c_out, c_in = (scale[:, None, None] for scale in scales)
    return (c_skip * x + c_out * network(c_in * x, c_noise).float()).clamp(-1.0, 1.0)


def karras_schedule(steps: int, sigma_min: float = 1e-4, sigma_max: float = 20.0, rho: float = 7.0) -> Tensor:
    """Return a schedule, float32 [steps + 1], from sigma_max down to sigma_min, evenly in sigma^(1/rho), then 0.

    The defaults are those of the published generation. Raises ValueError for fewer than 2 steps.
    """
    if steps < 2:
        raise ValueError(f"a schedule needs at least 2 steps, got {steps}")
    ramp = torch.linspace(0.0, 1.0, steps, dtype=torch.float64)
    highest, lowest = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    sigmas = (highest + ramp * (lowest - highest)) ** rho
    return torch.cat([sigmas, sigmas.new_zeros(1)]).float()


def euler(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    *,
    s_churn: float = 20.0,
    known: Tensor | None = None,
    mask: Tensor | None = None,
    resamples: int = 1,
) -> Iterator[Tensor]:
    """Sample with Euler's method, adding noise before every step (`churn`): generation and arrangement as released.

    Arrangement: `known` contains waves, and `mask` (1 = given, 0 = generate; both of x's shape, or broadcast) marks the
    given ones. In every step they are used with noise of that step's level, which is drawn before the noise of the step
    itself; the yielded x contains them unchanged. Each step is repeated `resamples` times, with noise added in between
    to return to the step's noise level. Without `known` no noise is drawn for it; the released code draws it and
    multiplies it by zero.
    """
    if (known is None) != (mask is None):
        raise ValueError("euler: known and mask must be passed together; got only one of them")
    gamma, x = _gamma(s_churn, sigmas), sigmas[0] * x
    for sigma, following in pairwise(sigmas):
        noisy = None if known is None else known + sigma * noise()
        for repetition in range(resamples):
            if noisy is not None and mask is not None:
                x = mask * noisy + (1 - mask) * x
            raised = sigma * (1 + gamma)
            x = x + (raised**2 - sigma**2).sqrt() * noise()
            x = x + (x - denoise(x, raised)) / raised * (following - raised)
            if repetition + 1 < resamples:
                x = x + (sigma**2 - following**2).sqrt() * noise()
        yield x if known is None or mask is None else mask * known + (1 - mask) * x


def separate(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Noise,
    mixture: Tensor,
    *,
    s_churn: float = 20.0,
    resamples: int = 2,
    dependent: int = 0,
) -> Iterator[Tensor]:
    """Separate the stems of a mixture [B, 1, L], with a Dirac delta as its likelihood (Mariani et al. 2023).

    The stem `dependent` is the mixture minus all other stems, so the yielded stems sum to the mixture.
    """
    gamma, x = _gamma(s_churn, sigmas), sigmas[0] * x
    for sigma, following in pairwise(sigmas):
        for repetition in range(resamples):
            raised = sigma * (1 + gamma)
            x = _with_rest(x + (raised**2 - sigma**2).sqrt() * noise(), mixture, dependent)
            score = (x - denoise(x, raised)) / raised
            x = x + (score - score[:, dependent : dependent + 1]) * (following - raised)
            if repetition + 1 < resamples:
                x = x + (sigma**2 - following**2).sqrt() * noise()
        yield _with_rest(x, mixture, dependent)


def _gamma(s_churn: float, sigmas: Tensor) -> float:
    return min(s_churn / (len(sigmas) - 1), math.sqrt(2.0) - 1)


def _with_rest(x: Tensor, mixture: Tensor, dependent: int) -> Tensor:
    stems = list(x.split(1, dim=1))
    stems[dependent] = mixture - (x.sum(dim=1, keepdim=True) - stems[dependent])
    return torch.cat(stems, dim=1)
