"""What SyncTrack and MSG-LD share: mel front end, VAE, vocoders, noise schedule and DDIM (MusicLDM, Chen et al. 2023)."""

from musicldm.diffusion import DDIMSchedule, NoiseSchedule, ddim, ddim_schedule, noise_per_sample, noise_schedule
from musicldm.griffin_lim import griffin_lim
from musicldm.hifigan import HiFiGAN, HiFiGANConfig
from musicldm.mel import log_mel
from musicldm.vae import VAE, VAEConfig

__all__ = [
    "DDIMSchedule",
    "HiFiGAN",
    "HiFiGANConfig",
    "NoiseSchedule",
    "VAE",
    "VAEConfig",
    "ddim",
    "ddim_schedule",
    "griffin_lim",
    "log_mel",
    "noise_per_sample",
    "noise_schedule",
]
