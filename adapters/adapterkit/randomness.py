"""Random numbers that depend only on a seed and an index: samples and training steps can be computed in any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor


def generator_of(device: str | torch.device, *numbers: int) -> torch.Generator:
    """Return a generator on `device` whose stream depends only on these non-negative numbers."""
    high, low = np.random.SeedSequence(numbers).generate_state(2)
    return torch.Generator(device).manual_seed(int(high) << 31 ^ int(low))


def evenly_spread(n: int, generator: torch.Generator) -> Tensor:
    """Return n ascending random numbers, float32 [n]: one in each of n equal parts of [0, 1).

    A loss evaluated at such numbers has a lower variance than at n independent ones.
    """
    device = generator.device
    return (torch.arange(n, device=device) + torch.rand(n, generator=generator, device=device)) / n


def noise_per_sample(seed: int, samples: Sequence[int], shape: Sequence[int]) -> Callable[[], Tensor]:
    """Return a function that draws standard normal noise, float32 [len(samples), *shape] on the CPU, at each call.

    Row i is drawn from a separate generator that depends only on (seed, samples[i]), so the noise of a sample is the
    same in any batch.
    """
    generators = [generator_of("cpu", seed, i) for i in samples]
    return lambda: torch.stack([torch.randn(tuple(shape), generator=generator) for generator in generators])
