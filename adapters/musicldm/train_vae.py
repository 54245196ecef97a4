"""Train a VAE on the log-mels of a suite's songs.

    python -m musicldm.train_vae configs/train-vae-band.yaml              # that of the embedded checkpoints

The same command goes on where a training was stopped.
"""

import numpy as np
import torch
from torch import Tensor, nn

from mtbench.errors import UsageError
from musicldm.mel import FRAMES
from musicldm.training import TrainConfig, command, export, launch, sized, train, training_mels
from musicldm.vae import VAE, VAEConfig


def train_vae(config: TrainConfig) -> None:
    vae = sized(config, lambda **sizes: VAE(VAEConfig(**sizes)))
    if config.crop > FRAMES or config.crop % vae.config.downsampling:
        raise UsageError(
            f"{config.name}: crop: {config.crop} frames; the VAE learns from up to {FRAMES}, a multiple of its "
            f"down-sampling {vae.config.downsampling}"
        )
    fabric = launch(config)
    with fabric.rank_zero_first():
        mels = training_mels(config)  # [songs, S, T, F]
    latent = (vae.config.embed_dim, config.crop // vae.config.downsampling, mels.shape[3] // vae.config.downsampling)
    # Start from the mean of the data: training then spends no step on finding the level of silence.
    nn.init.constant_(vae.decoder.conv_out.bias, float(mels[range(min(64, len(mels)))].float().mean()))
    # And start almost without noise (logvar -6): else the noise drowns the small means of the first steps.
    nn.init.constant_(vae.quant_conv.bias[vae.config.embed_dim :], -6.0)

    def loss(vae: nn.Module, songs: Tensor, generator: torch.Generator) -> Tensor:
        device = generator.device
        stems, starts = (
            torch.randint(stop, (len(songs),), generator=generator, device=device).tolist()
            for stop in (mels.shape[1], mels.shape[2] - config.crop + 1)
        )
        crops = [
            mels.song(i)[stem, start : start + config.crop] for i, stem, start in zip(songs.tolist(), stems, starts)
        ]
        x = torch.from_numpy(np.stack(crops))[:, None].float().to(device)  # [B, 1, crop, F]
        mean, logvar = (value.float() for value in vae.encode(x))
        kl = 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).mean()
        noise = torch.randn(len(x), *latent, generator=generator, device=device)
        decoded = vae.decode(mean + (logvar / 2).exp() * noise).float()
        return (decoded - x).abs().mean() + config.kl_weight * kl

    progress = train(fabric, config, vae, loss, len(mels))
    if fabric.is_global_zero:
        export(config, vae, progress)


if __name__ == "__main__":
    command(__doc__, train_vae)
