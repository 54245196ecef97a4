"""Random numbers that depend on a seed and a number alone: samples and training steps can be made in any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor


def generator_of(device: str | torch.device, *numbers: int) -> torch.Generator:
    """A generator on `device` whose stream depends on these non-negative numbers alone."""
    high, low = np.random.SeedSequence(numbers).generate_state(2)
    return torch.Generator(device).manual_seed(int(high) << 31 ^ int(low))


def evenly_spread(n: int, generator: torch.Generator) -> Tensor:
    """float32 [n], ascending: one random number in each n-th of [0, 1).

    A loss at such numbers has a lower variance than at n independent ones.
    """
    device = generator.device
    return (torch.arange(n, device=device) + torch.rand(n, generator=generator, device=device)) / n


def noise_per_sample(seed: int, samples: Sequence[int], shape: Sequence[int]) -> Callable[[], Tensor]:
    """A source of standard normal noise, float32 [len(samples), *shape] on the CPU, a new tensor at each call.

    Row i comes from a generator of its own, which depends on (seed, samples[i]) alone: a sample's noise is the same
    in any batch.
    """
    generators = [generator_of("cpu", seed, i) for i in samples]
    return lambda: torch.stack([torch.randn(tuple(shape), generator=generator) for generator in generators])
