"""Shared parts of latent models: mel front end, VAE, vocoders, noise schedule, DDIM (MusicLDM, Chen et al. 2023)."""

from musicldm.diffusion import DDIMSchedule, NoiseSchedule, ddim, ddim_schedule, noise_schedule
from musicldm.griffin_lim import griffin_lim
from musicldm.hifigan import HiFiGAN, HiFiGANConfig
from musicldm.mel import log_mel
from musicldm.vae import VAE, VAEConfig

__all__ = [
    "VAE",
    "DDIMSchedule",
    "HiFiGAN",
    "HiFiGANConfig",
    "NoiseSchedule",
    "VAEConfig",
    "ddim",
    "ddim_schedule",
    "griffin_lim",
    "log_mel",
    "noise_schedule",
]
