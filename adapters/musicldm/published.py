"""Read published checkpoints: the Lightning files of SyncTrack and MSG-LD, and MusicLDM's VAE and HiFi-GAN files.

The `state_dict` of a Lightning file contains the U-Net (`model.diffusion_model.*`), the moving average of its weights
(`model_ema.*`, parameter names without dots), the `scale_factor` of the latents, buffers of the noise schedule, and the
VAE and the folded vocoder (`first_stage_model.*`). If it does not contain these two, they are read from `vae-ckpt.ckpt`
and `hifigan-ckpt.ckpt` in the same folder. Samples are generated with the averaged weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adapterkit.weights import below, check_shapes, checked_sha256, filled, has_names_below, load, without
from mtbench.errors import UsageError
from musicldm.diffusion import noise_schedule
from musicldm.hifigan import HiFiGAN, HiFiGANConfig
from musicldm.vae import VAE, VAEConfig

UNET, EMA, FIRST_STAGE = "model.diffusion_model.", "model_ema.", "first_stage_model."
CONDITIONER = "cond_stage_model."  # the network that embeds the condition, which is not part of the U-Net
VAE_FILE, VOCODER_FILE = "vae-ckpt.ckpt", "hifigan-ckpt.ckpt"
PUBLISHED_VAE, PUBLISHED_VOCODER = VAEConfig(), HiFiGANConfig()
UNUSED = {  # not needed for sampling; only some Lightning versions store them
    "logvar",
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
}


@dataclass(frozen=True)
class Published:
    """The parts of a published model needed for sampling, and the SHA-256 of each file they were read from."""

    network: nn.Module
    vae: VAE
    vocoder: HiFiGAN
    scale_factor: float
    sha256: Mapping[str, str]  # of "weights", and of "vae" and "vocoder" if they are separate files


def is_lightning(checkpoint: Mapping[str, Any]) -> bool:
    """Return whether this is a Lightning file of the published code, rather than a checkpoint trained by mtbench."""
    return has_names_below(UNET, checkpoint)


def read(
    path: Path,
    checkpoint: Mapping[str, Any],
    network: Callable[[Mapping[str, Tensor]], nn.Module],
    vae: VAEConfig = PUBLISHED_VAE,
    vocoder: HiFiGANConfig = PUBLISHED_VOCODER,
) -> Published:
    """Return the model in the Lightning file at `path`, which was loaded as `checkpoint`.

    network: creates the U-Net from its state dict, using the shapes. Every name and shape must be exactly as expected;
    only the noise schedule's buffers and the losses of the VAE's training are optional.
    Raises UsageError naming the tensors that are missing, unexpected or of the wrong shape.
    """
    state: Mapping[str, Tensor] = checkpoint["state_dict"]
    unet = _unet(path, state, network)
    digests = {"weights": checked_sha256(path)}
    first_stage = without(below(FIRST_STAGE, state), ("loss.",))
    vae_state, vocoder_state = without(first_stage, ("vocoder.",)), below("vocoder.", first_stage)
    if vae_state:
        first = filled(path, lambda: VAE(vae), vae_state)
    else:
        file = _beside(path, VAE_FILE)
        first, digests["vae"] = vae_of(file, load(file), vae), checked_sha256(file)
    if vocoder_state:
        last = filled(path, lambda: HiFiGAN(vocoder, weight_norm=False), vocoder_state)
    else:
        file = _beside(path, VOCODER_FILE)
        last, digests["vocoder"] = vocoder_of(file, load(file), vocoder), checked_sha256(file)
    return Published(unet, first, last, float(state["scale_factor"]), digests)


def _unet(path: Path, state: Mapping[str, Tensor], network: Callable[[Mapping[str, Tensor]], nn.Module]) -> nn.Module:
    """Return the U-Net with the averaged weights of `state`; all names outside the first stage must be known."""
    if not any(name.startswith(EMA) for name in state):
        raise UsageError(f"{path} contains no averaged weights (names starting with {EMA}), which sampling needs")
    with torch.device("meta"):
        unet = network(below(UNET, state))
    averaged = {name for name, parameter in unet.named_parameters() if parameter.requires_grad}
    key = {
        name: EMA + f"diffusion_model.{name}".replace(".", "") if name in averaged else UNET + name
        for name in unet.state_dict()
    }
    shapes = {UNET + name: value.shape for name, value in unet.state_dict().items()}
    shapes |= {key[name]: value.shape for name, value in unet.state_dict().items()}
    shapes |= dict.fromkeys((EMA + "decay", EMA + "num_updates", "scale_factor"), torch.Size())
    check_shapes(path, without(state, (FIRST_STAGE,), UNUSED), shapes)
    if "betas" in state and not torch.allclose(state["betas"].float(), noise_schedule().betas, rtol=1e-3):
        raise UsageError(f"{path} was trained with a different noise schedule")
    unet.load_state_dict({name: state[key[name]].to(torch.float32, copy=True) for name in key}, assign=True)
    return unet.eval()


def vae_of(path: Path, checkpoint: Mapping[str, Any], config: VAEConfig = PUBLISHED_VAE) -> VAE:
    """Return the VAE of a file like MusicLDM's `vae-ckpt.ckpt`. Raises UsageError for any other file."""
    if not isinstance(checkpoint.get("state_dict"), dict):
        raise UsageError(f"{path} is not a VAE (it has no state_dict)")
    return filled(path, lambda: VAE(config), without(checkpoint["state_dict"], ("loss.", "vocoder.")))


def vocoder_of(path: Path, checkpoint: Mapping[str, Any], config: HiFiGANConfig = PUBLISHED_VOCODER) -> HiFiGAN:
    """Return the vocoder of a file like MusicLDM's `hifigan-ckpt.ckpt`, with folded weight norm.

    Raises UsageError for any other file.
    """
    state = checkpoint.get("generator")
    if not isinstance(state, dict):
        raise UsageError(f"{path} is not a HiFi-GAN checkpoint (it has no generator)")
    norm = "conv_pre.weight" not in state
    vocoder = filled(path, lambda: HiFiGAN(config, weight_norm=norm), state)
    return vocoder.folded() if norm else vocoder


def _beside(path: Path, name: str) -> Path:
    beside = path.parent / name
    if not beside.exists():
        raise UsageError(
            f"{path} does not contain both the VAE and the vocoder, and there is no {name} next to it: put it there "
            f"(`python -m musicldm.fetch musicldm` fetches both files)"
        )
    return beside
