"""Train MSDM on the waves of a suite's songs.

    python -m msdm.train CONFIG            # YAML file such as configs/train-msdm-band.yaml

`network` in the config has the fields of MSDMConfig. Run the same command again to resume an interrupted training.

As published: the loss and its distribution of noise levels. Not as published: the averaged weights and, unless the
config sets them, the optimiser's settings (published: Adam with betas 0.9 and 0.99, learning rate 1e-4 throughout, 8
songs per step).
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
    """Train the MSDM specified by a config and export it. Raises UsageError for an invalid config."""
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
    """Return the loss: the mean of (D(x + sigma n, sigma) - x)^2 / c_out^2 (Karras et al. 2022), on crops of `samples`.

    ln(sigma) is normally distributed, with values spread evenly over a batch, which lowers the variance of the loss.
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
    """Return a random crop of each song, float32 [B, S, samples], aligned across stems; short songs are zero-padded."""
    latest = max(waves.shape[2] - samples, 0)
    starts = torch.randint(latest + 1, (len(songs),), generator=generator, device=generator.device).tolist()
    cut = np.stack([waves.song(i)[:, start : start + samples] for i, start in zip(songs.tolist(), starts)])
    x = torch.from_numpy(audio.to_float(cut)).to(generator.device)
    return F.pad(x, (0, samples - x.shape[2]))


if __name__ == "__main__":
    command(__doc__, train, WaveTraining)
