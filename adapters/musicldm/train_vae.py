"""Train a VAE on the log-mels of a suite's songs.

    python -m musicldm.train_vae configs/train-vae-band.yaml              # the VAE of the embedded checkpoints

Run the same command again to resume an interrupted training.
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
    """Train the VAE specified by a config and export it. Raises UsageError for invalid sizes."""
    vae = config.sized(lambda **sizes: VAE(VAEConfig(**sizes)))
    if config.crop > FRAMES or config.crop % vae.config.downsampling:
        raise UsageError(
            f"{config.name}: crop must be at most {FRAMES} frames and a multiple of the VAE's down-sampling "
            f"{vae.config.downsampling}, got {config.crop}"
        )
    fabric = launch(config)
    with fabric.rank_zero_first():
        mels = training_mels(config)  # [songs, S, T, F]
    # Start from the mean of the data, so that no training steps are spent on finding the level of silence.
    bias = vae.decoder.conv_out.bias
    assert bias is not None
    nn.init.constant_(bias, float(mels[range(min(64, len(mels)))].float().mean()))
    # Start almost without noise (logvar -6): otherwise the noise would drown the small means of the first steps.
    bias = vae.quant_conv.bias
    assert bias is not None
    nn.init.constant_(bias[vae.config.embed_dim :], -6.0)
    progress = train(fabric, config, vae, reconstruction_loss(mels, config.crop, config.kl_weight), len(mels))
    if fabric.is_global_zero:
        export(config, vae, progress)


def reconstruction_loss(mels: Shards, crop: int, kl_weight: float) -> Loss:
    """Return the loss of a VAE on `crop` frames of one stem per song.

    It is the mean absolute error of a decoded posterior sample, plus kl_weight times the mean divergence of the
    posterior from the standard normal distribution.
    """

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
