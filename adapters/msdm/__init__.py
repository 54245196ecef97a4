"""MSDM: simultaneous generation, separation and arrangement of stems by diffusion of waves (Mariani et al. 2023)."""

from msdm.network import MSDMConfig, MSDMUNet

__all__ = ["MSDMConfig", "MSDMUNet"]
