"""Train a diffusion model on the latents of a suite's songs; used by the commands of SyncTrack and MSG-LD."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from adapterkit.randomness import evenly_spread
from adapterkit.sampling import SamplingOptions
from adapterkit.training import checkpoints
from adapterkit.training.command import launch
from adapterkit.training.config import LatentTraining
from adapterkit.training.loop import Loss, train
from adapterkit.training.scoring import scoring_of
from adapterkit.training.songs import SHARD, Shards
from adapterkit.weights import sha256
from mtbench.errors import UsageError
from mtbench.stems import StemSet
from musicldm.caches import training_latents, training_mixture_latents
from musicldm.diffusion import TRAIN_STEPS, Parameterization, noise_schedule
from musicldm.first_stage import load_vae
from musicldm.generator import STEMS, LatentDiffusion, LatentModel
from musicldm.mel import FRAMES, N_MELS
from musicldm.published import UNET
from musicldm.vae import VAE


def train_diffusion(config: LatentTraining, network: nn.Module) -> None:
    """Train a denoising network on latents and export it, with the scale factor needed for sampling.

    network: takes (latents [B, S, C, T, F], timesteps int64 [B]) and, if it is trained with mixtures, their latents
    [B, C, T, F]. Raises UsageError for a config without a VAE, and for a network that does not accept its latents.
    """
    if config.vae is None:
        raise UsageError(f"{config.name}: vae is required: the checkpoint of the VAE that computes the latents")
    fabric, vae = launch(config), load_vae(config.vae)
    _check_shape(config, network, vae)
    with fabric.rank_zero_first():
        latents = training_latents(config, vae, fabric.device)
        mixtures = training_mixture_latents(config, vae, fabric.device) if config.without_mixture < 1 else None
    scale_factor = scale_factor_of(latents)
    if config.initial_weights:
        scale_factor = start_from(network, config.initial_weights) or scale_factor

    def sample(network: nn.Module, n: int) -> Iterator[StemSet]:
        model = LatentModel(network, vae, scale_factor, parameterization=config.parameterization)
        options = SamplingOptions(batch_size=config.score_songs)
        generator = LatentDiffusion(config.name, model, latents.shape[2:], {}, str(fabric.device), options)
        return generator.generate(n, STEMS)

    scoring = scoring_of(fabric, config, sample)
    loss = diffusion_loss(latents, scale_factor, mixtures, config.without_mixture, config.parameterization)
    progress = train(fabric, config, network, loss, len(latents), scoring)
    if fabric.is_global_zero:
        checkpoints.export(
            config,
            network,
            progress,
            scale_factor=scale_factor,
            vae_sha256=sha256(config.vae),
            mixture=mixtures is not None,
            parameterization=config.parameterization,
        )


def _check_shape(config: LatentTraining, network: nn.Module, vae: VAE) -> None:
    """Raise UsageError, before songs are generated, unless the network accepts the latents of the VAE."""
    factor = vae.config.downsampling
    shape = (len(STEMS), vae.config.embed_dim, FRAMES // factor, N_MELS // factor)
    try:
        with torch.no_grad():
            network(torch.zeros(1, *shape), torch.zeros(1, dtype=torch.long))
    except (ValueError, RuntimeError) as error:
        raise UsageError(
            f"{config.name}: the network does not accept the latents of {config.vae}, {list(shape)}: "
            f"{str(error).splitlines()[0]}"
        ) from None


def start_from(network: nn.Module, path: Path) -> float | None:
    """Initialise the network with all tensors of a U-Net checkpoint that match in name and shape (published: MusicLDM).

    Returns the scale factor of that checkpoint if it has one, since the latents must be scaled as before.
    Raises UsageError for a file without weights, and if no tensor matches.
    """
    checkpoint = checkpoints.start_from(network, path, below=UNET)
    scale_factor = checkpoint["state_dict"].get("scale_factor", checkpoint.get("scale_factor"))
    return None if scale_factor is None else float(scale_factor)


def scale_factor_of(latents: Shards) -> float:
    """Return 1 / std of sampled latents, as published, computed on the first cache file."""
    mean, std = latents[range(min(SHARD, len(latents)))].float().unbind(1)
    return 1.0 / float((mean.var() + std.square().mean()).sqrt())


def diffusion_loss(
    latents: Shards,
    scale_factor: float,
    mixtures: Shards | None = None,
    without_mixture: float = 0.0,
    parameterization: Parameterization = "eps",
) -> Loss:
    """Return the loss: the mean of (e - e(x_t, t))^2 (Ho et al. 2020), or the same for the velocity v instead of e.

    x_t is x_0 with noise (musicldm.diffusion), and x_0 is a posterior sample times the scale factor. latents: means and
    standard deviations, [songs, 2, S, C, T, F]. Timesteps are spread evenly over a batch of size B (one in each of B
    equal parts of the schedule), which lowers the variance of the loss.
    mixtures: latents of the songs' mixtures, [songs, 2, 1, C, T, F], for the network's third argument. With probability
    `without_mixture` they are replaced by zeros, as classifier-free guidance requires (Ho and Salimans 2022).
    """
    schedule = noise_schedule()

    def sampled(shards: Shards, songs: Tensor, generator: torch.Generator) -> Tensor:
        mean, std = shards[songs].to(generator.device).float().unbind(1)  # [B, S, C, T, F]
        return scale_factor * (mean + std * torch.randn(mean.shape, generator=generator, device=generator.device))

    def loss(network: nn.Module, songs: Tensor, generator: torch.Generator) -> Tensor:
        device, B = generator.device, len(songs)
        x0 = sampled(latents, songs, generator)
        t = (
            (evenly_spread(B, generator) * TRAIN_STEPS)
            .long()
            .clamp(max=TRAIN_STEPS - 1)[torch.randperm(B, generator=generator, device=device)]
        )
        noise = torch.randn(x0.shape, generator=generator, device=device)
        given = []
        if mixtures is not None:
            kept = torch.rand(B, generator=generator, device=device) >= without_mixture
            given = [sampled(mixtures, songs, generator)[:, 0] * kept[:, None, None, None]]
        target = noise if parameterization == "eps" else schedule.velocity(x0, noise, t)
        error: Tensor = network(schedule.add_noise(x0, noise, t), t, *given).float() - target
        return error.square().mean()

    return loss
