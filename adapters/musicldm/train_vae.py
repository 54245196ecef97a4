"""Train the small VAE of the `band` checkpoints: python -m musicldm.train_vae configs/train-vae-band.yaml"""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from musicldm.training import TrainConfig, export, train, training_mels
from musicldm.vae import VAE, VAEConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    config = TrainConfig.read(parser.parse_args().config)
    torch.manual_seed(config.seed)
    mels = training_mels(config)
    vae = VAE(VAEConfig(**config.network))
    latent = (vae.config.embed_dim, config.crop // vae.config.downsampling, mels.shape[3] // vae.config.downsampling)
    # Start from the mean of the data: training then spends no step on finding the level of silence.
    nn.init.constant_(vae.decoder.conv_out.bias, float(mels[:64].astype("float32").mean()))
    # And start almost without noise (logvar -6): else the noise drowns the small means of the first steps.
    nn.init.constant_(vae.quant_conv.bias[vae.config.embed_dim :], -6.0)

    def loss(vae: nn.Module, songs: Tensor, generator: torch.Generator) -> Tensor:
        stems = torch.randint(mels.shape[1], (len(songs),), generator=generator)
        starts = torch.randint(mels.shape[2] - config.crop + 1, (len(songs),), generator=generator)
        crops = (mels[i, s, t : t + config.crop] for i, s, t in zip(songs, stems, starts))
        x = torch.stack([torch.from_numpy(crop.astype("float32")) for crop in crops])[:, None]  # [B, 1, crop, F]
        noise = torch.randn(len(x), *latent, generator=generator)
        mean, logvar = (value.float() for value in vae.encode(x))
        kl = 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).mean()
        decoded = vae.decode(mean + (logvar / 2).exp() * noise).float()
        return (decoded - x).abs().mean() + config.kl_weight * kl

    progress = train(config, vae, loss)
    export(config, vae, progress)


if __name__ == "__main__":
    main()
