"""The discriminators of HiFi-GAN (Kong, Kim and Bae 2020), and the adversarial losses.

Multi-period discriminators see every p-th sample, for p = 2, 3, 5, 7, 11. Multi-scale discriminators see the wave and
its averages over 2 and 4 samples (MelGAN, Kumar et al. 2019). All are fully convolutional and return many scores per
wave; least-squares losses train them towards 1 for songs and 0 for generated waves (Mao et al. 2017).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import reduce
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

PERIODS = (2, 3, 5, 7, 11)  # samples
SCALES = 3
SLOPE = 0.1  # of the leaky ReLUs

Judged = list[list[Tensor]]  # the outputs of every layer, the scores last, for each discriminator


class Discriminators(nn.Module):
    """All discriminators.

    width: factor by which the published numbers of channels are multiplied, for small generators; with 1/8 of the
    channels the cost is 1/64. Raises ValueError unless all layers have a whole number of channels.
    """

    def __init__(self, width: float = 1.0):
        super().__init__()
        if width <= 0 or 32 * width % 1:
            raise ValueError(f"Discriminators: width must be positive and 32 * width a whole number, got {width}")
        self.periods = nn.ModuleList(PeriodDiscriminator(period, width) for period in PERIODS)
        self.scales = nn.ModuleList(
            ScaleDiscriminator(width, spectral_norm if i == 0 else weight_norm) for i in range(SCALES)
        )

    def forward(self, waves: Tensor) -> Judged:
        """waves: float [rows, 1, samples]."""
        judged = [discriminator(waves) for discriminator in self.periods]
        for discriminator in self.scales:
            judged.append(discriminator(waves))
            waves = F.avg_pool1d(waves, 4, 2, padding=2)
        return judged


class PeriodDiscriminator(nn.Module):
    """Folds a wave into rows of `period` samples and judges every column separately."""

    def __init__(self, period: int, width: float):
        super().__init__()
        self.period = period
        channels = [1, *(round(width * n) for n in (32, 128, 512, 1024, 1024))]
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv1d(before, after, 5, stride=3 if i < 4 else 1, padding=2))
            for i, (before, after) in enumerate(pairwise(channels))
        )
        self.conv_post = weight_norm(nn.Conv1d(channels[-1], 1, 3, padding=1))

    def forward(self, waves: Tensor) -> list[Tensor]:
        waves = F.pad(waves, (0, -waves.shape[-1] % self.period), mode="reflect")
        # The published 2-D kernels are one column wide, so columns can be treated as rows of a 1-D convolution.
        columns = waves.unflatten(-1, (-1, self.period)).movedim(-1, 1).flatten(0, 1)  # [rows * period, 1, n]
        return _layers(columns, self.convs, self.conv_post)


class ScaleDiscriminator(nn.Module):
    def __init__(self, width: float, norm: Callable[[nn.Module], nn.Module]):
        super().__init__()
        channels = [1, *(round(width * n) for n in (128, 128, 256, 512, 1024, 1024, 1024))]
        kernels, strides, groups = (15, 41, 41, 41, 41, 41, 5), (1, 2, 2, 4, 4, 1, 1), (1, 4, 16, 16, 16, 16, 1)
        # A smaller width reduces the number of groups, not their size: groups of one or two channels are slow on every
        # device.
        self.convs = nn.ModuleList(
            norm(
                nn.Conv1d(
                    before,
                    after,
                    kernel,
                    stride=stride,
                    padding=kernel // 2,
                    groups=math.gcd(max(round(width * group), 1), before),
                )
            )
            for before, after, kernel, stride, group in zip(channels, channels[1:], kernels, strides, groups)
        )
        self.conv_post = norm(nn.Conv1d(channels[-1], 1, 3, padding=1))

    def forward(self, waves: Tensor) -> list[Tensor]:
        return _layers(waves, self.convs, self.conv_post)


def _layers(x: Tensor, convs: nn.ModuleList, conv_post: nn.Module) -> list[Tensor]:
    layers = []
    for conv in convs:
        x = F.leaky_relu(conv(x), SLOPE)
        layers.append(x)
    return [*layers, conv_post(x)]


def discriminator_loss(real: Judged, fake: Judged) -> Tensor:
    """Mean squared distance of real waves' scores from 1 and of generated ones' from 0, summed over discriminators."""
    return _sum(
        (1 - of_real[-1].float()).square().mean() + of_fake[-1].float().square().mean()
        for of_real, of_fake in zip(real, fake)
    )


def adversarial_loss(fake: Judged) -> Tensor:
    """Mean squared distance of the generated waves' scores from 1, summed over discriminators."""
    return _sum((1 - layers[-1].float()).square().mean() for layers in fake)


def feature_loss(real: Judged, fake: Judged) -> Tensor:
    """Mean absolute difference of the layers' outputs, including the scores as published, summed over all layers."""
    return _sum(
        (of_real.float() - of_fake.float()).abs().mean()
        for reals, fakes in zip(real, fake)
        for of_real, of_fake in zip(reals, fakes)
    )


def _sum(terms: Iterable[Tensor]) -> Tensor:
    return reduce(torch.add, terms)
