"""Train a VAE on the log-mels of a suite's songs.

    python -m musicldm.train_vae configs/train-vae-band.yaml              # that of the embedded checkpoints

The same command resumes a training that was stopped.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from adapterkit.training.checkpoints import export
from adapterkit.training.command import command, launch
from adapterkit.training.config import VAETraining
from adapterkit.training.loop import Loss, train
from adapterkit.training.songs import Shards
from mtbench.errors import UsageError
from musicldm.caches import training_mels
from musicldm.mel import FRAMES
from musicldm.vae import VAE, VAEConfig


def train_vae(config: VAETraining) -> None:
    """Train the VAE that a config asks for and export it. Raises UsageError for sizes that do not fit."""
    vae = config.sized(lambda **sizes: VAE(VAEConfig(**sizes)))
    if config.crop > FRAMES or config.crop % vae.config.downsampling:
        raise UsageError(
            f"{config.name}: crop: {config.crop} frames; the VAE learns from up to {FRAMES}, a multiple of its "
            f"down-sampling {vae.config.downsampling}"
        )
    fabric = launch(config)
    with fabric.rank_zero_first():
        mels = training_mels(config)  # [songs, S, T, F]
    # Start from the mean of the data: training then spends no step on finding the level of silence.
    bias = vae.decoder.conv_out.bias
    assert bias is not None
    nn.init.constant_(bias, float(mels[range(min(64, len(mels)))].float().mean()))
    # And start almost without noise (logvar -6): else the noise drowns the small means of the first steps.
    bias = vae.quant_conv.bias
    assert bias is not None
    nn.init.constant_(bias[vae.config.embed_dim :], -6.0)
    progress = train(fabric, config, vae, reconstruction_loss(mels, config.crop, config.kl_weight), len(mels))
    if fabric.is_global_zero:
        export(config, vae, progress)


def reconstruction_loss(mels: Shards, crop: int, kl_weight: float) -> Loss:
    """The mean absolute error of a posterior sample's decoding, plus kl_weight times the mean divergence of the
    posterior from the standard normal distribution; of a stretch of `crop` frames of one stem of each song."""

    def loss(vae: Any, songs: Tensor, generator: torch.Generator) -> Tensor:  # a VAE, compiled or not
        device = generator.device
        stems, starts = (
            torch.randint(stop, (len(songs),), generator=generator, device=device).tolist()
            for stop in (mels.shape[1], mels.shape[2] - crop + 1)
        )
        crops = [mels.song(i)[stem, start : start + crop] for i, stem, start in zip(songs.tolist(), stems, starts)]
        x = torch.from_numpy(np.stack(crops))[:, None].float().to(device)  # [B, 1, crop, F]
        mean, logvar = (value.float() for value in vae.encode(x))
        kl = 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).mean()
        noise = torch.randn(mean.shape, generator=generator, device=device)
        decoded = vae.decode(mean + (logvar / 2).exp() * noise).float()
        error: Tensor = (decoded - x).abs().mean()
        return error + kl_weight * kl

    return loss


if __name__ == "__main__":
    command(__doc__, train_vae, VAETraining)
