"""Training data of latent models: log-mels of a suite's songs, and their latents computed by a VAE.

Everything is computed at the first call and cached in the work folder. Shapes: S stems, C latent channels, T time,
F mel.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from adapterkit.precision import in_channels_last
from adapterkit.training.config import LatentTraining, TrainConfig, VocoderTraining
from adapterkit.training.songs import Shards, cache_of_waves, cached, data_key
from adapterkit.weights import sha256
from musicldm.generator import STEMS
from musicldm.mel import log_mel
from musicldm.vae import VAE

Array = np.ndarray[Any, np.dtype[Any]]


def training_mels(config: TrainConfig) -> Shards:
    """Return the log-mels of the training songs, float16 [songs, S, 1024, 64]."""
    return cache_of_waves(config, STEMS, "mels", "log-mels", _mels)


def training_mixture_mels(config: TrainConfig) -> Shards:
    """Return the log-mels of the songs' mixtures, float16 [songs, 1, 1024, 64]."""
    return cache_of_waves(config, STEMS, "mixture-mels", "log-mels of mixtures", _mixture_mel)


def _mels(waves: Array) -> Array:
    return log_mel(torch.from_numpy(waves)).numpy().astype(np.float16)


def _mixture_mel(waves: Array) -> Array:
    return _mels(waves.sum(axis=0, keepdims=True).clip(-1.0, 1.0))


def training_latents(config: LatentTraining | VocoderTraining, vae: VAE, device: torch.device) -> Shards:
    """Return posterior mean and standard deviation of every stem, float16 [songs, 2, S, C, T, F], from config.vae."""
    return _latents(config, training_mels(config), "latents", vae, device)


def training_mixture_latents(config: LatentTraining, vae: VAE, device: torch.device) -> Shards:
    """Return the same for every mixture, float16 [songs, 2, 1, C, T, F]."""
    return _latents(config, training_mixture_mels(config), "mixture-latents", vae, device)


def _latents(
    config: LatentTraining | VocoderTraining, mels: Shards, what: str, vae: VAE, device: torch.device
) -> Shards:
    vae = in_channels_last(copy.deepcopy(vae).to(device))

    @torch.no_grad()
    def make(numbers: range) -> Array:
        encoded = []
        for i in numbers:
            with torch.autocast(device.type, torch.bfloat16):
                mean, logvar = vae.encode(mels[[i]][0, :, None].float().to(device))
            encoded.append(torch.stack([mean.float(), (logvar.float() / 2).exp()]).half().cpu().numpy())
        return np.stack(encoded)

    return cached(config.work / f"{what}-{_vae_key(config)}", len(mels), what, make)


def training_reconstructions(config: VocoderTraining, vae: VAE, device: torch.device) -> Shards:
    """Return the VAE's reconstructions of the songs' log-mels, float16 [songs, S, 1024, 64]."""
    vae = in_channels_last(copy.deepcopy(vae).to(device))
    latents = training_latents(config, vae, device)

    @torch.no_grad()
    def make(numbers: range) -> Array:
        means = (latents[[i]][0, 0].float().to(device) for i in numbers)  # [S, C, T, F]
        return np.stack([vae.decode(mean)[:, 0].half().cpu().numpy() for mean in means])

    return cached(config.work / f"reconstructions-{_vae_key(config)}", len(latents), "reconstructions", make)


def _vae_key(config: LatentTraining | VocoderTraining) -> str:
    """Return the part of a cache folder's name that identifies the VAE and the songs."""
    assert config.vae is not None  # the callers have loaded it
    return f"{sha256(config.vae)[:12]}-{data_key(config)}"
