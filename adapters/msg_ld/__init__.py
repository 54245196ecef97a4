"""MSG-LD: simultaneous generation, separation and arrangement of stems by latent diffusion (Karchkhadze et al.)."""

from msg_ld.network import MSGLDConfig, MSGLDUNet

__all__ = ["MSGLDConfig", "MSGLDUNet"]
