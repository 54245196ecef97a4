"""Train MSDM on the waves of a suite's songs.

    python -m msdm.train CONFIG            # a YAML file, as configs/train-*.yaml; `network` has MSDMConfig's fields

The same command resumes a training that was stopped.

As published: the loss, and the levels of noise that it is taken at. Not as published: the loop's averaged weights and,
unless the config says so, its optimiser (published: Adam with betas 0.9 and 0.99, 1e-4 throughout, 8 songs a step).
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapterkit.randomness import evenly_spread
from adapterkit.sampling import SamplingOptions
from adapterkit.training import loop
from adapterkit.training.checkpoints import export, start_from
from adapterkit.training.command import command, launch
from adapterkit.training.config import WaveTraining
from adapterkit.training.loop import Loss
from adapterkit.training.scoring import scoring_of
from adapterkit.training.songs import Shards, training_waves
from msdm.generator import MSDM, SAMPLE_RATE, STEMS
from msdm.network import MSDMConfig, MSDMUNet
from msdm.sampling import denoised, scalings
from mtbench import audio
from mtbench.stems import N_SAMPLES, StemSet
from mtbench.stems import SAMPLE_RATE as SUITE_RATE

LOG_SIGMA = (-3.0, 1.0)  # mean and standard deviation of ln(sigma) in training


def train(config: WaveTraining) -> None:
    """Train the MSDM that a config asks for and export it. Raises UsageError for what does not fit."""
    network = config.sized(lambda **sizes: MSDMUNet(MSDMConfig(**sizes)))
    fabric = launch(config)
    with fabric.rank_zero_first():
        waves = training_waves(config, STEMS, rate=SAMPLE_RATE)
    if config.initial_weights:
        start_from(network, config.initial_weights)

    def sample(network: nn.Module, n: int) -> Iterator[StemSet]:
        assert isinstance(network, MSDMUNet)
        options = SamplingOptions(batch_size=config.batch)
        model = MSDM(network, {}, str(fabric.device), options, samples=N_SAMPLES, rate=SUITE_RATE)
        for clip in model.generate(n, STEMS):
            stems = {stem: audio.resample(wave, clip.sample_rate, SUITE_RATE) for stem, wave in clip.stems.items()}
            yield StemSet(clip.id, stems, SUITE_RATE)

    loss, scoring = denoising_loss(waves, network.config.samples), scoring_of(fabric, config, sample)
    progress = loop.train(fabric, config, network, loss, len(waves), scoring)
    if fabric.is_global_zero:
        export(config, network, progress)


def denoising_loss(waves: Shards, samples: int) -> Loss:
    """The mean of (D(x + sigma n, sigma) - x)^2 / c_out^2 (Karras et al. 2022), on stretches of so many samples.

    ln(sigma) is normal and its values are spread evenly over a batch, which lowers the loss's variance.
    """

    def loss(network: nn.Module, songs: Tensor, generator: torch.Generator) -> Tensor:
        device, B = generator.device, len(songs)
        x = stretches(waves, songs, samples, generator)  # [B, S, L]
        mean, deviation = LOG_SIGMA
        sigma = (mean + deviation * torch.special.ndtri(evenly_spread(B, generator).clamp(1e-6, 1 - 1e-6))).exp()
        noisy = x + sigma[:, None, None] * torch.randn(x.shape, generator=generator, device=device)
        error = (denoised(network, noisy, sigma) - x) / scalings(sigma)[1][:, None, None]
        return error.square().mean()

    return loss


def stretches(waves: Shards, songs: Tensor, samples: int, generator: torch.Generator) -> Tensor:
    """A stretch of each song, float32 [B, S, samples], the same of all its stems; after a short song's end, zeros."""
    latest = max(waves.shape[2] - samples, 0)
    starts = torch.randint(latest + 1, (len(songs),), generator=generator, device=generator.device).tolist()
    cut = np.stack([waves.song(i)[:, start : start + samples] for i, start in zip(songs.tolist(), starts)])
    x = torch.from_numpy(audio.to_float(cut)).to(generator.device)
    return F.pad(x, (0, samples - x.shape[2]))


if __name__ == "__main__":
    command(__doc__, train, WaveTraining)
