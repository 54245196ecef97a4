"""Load the VAE and the vocoder of a latent model, and find those that a checkpoint was trained with."""

from __future__ import annotations

from pathlib import Path

from adapterkit.weights import checked_sha256, filled, load, sha256, weights_folder
from mtbench.errors import UsageError
from musicldm.fetch import RECORDS
from musicldm.hifigan import HiFiGAN, HiFiGANConfig
from musicldm.published import VAE_FILE, VOCODER_FILE, vae_of, vocoder_of
from musicldm.vae import VAE, VAEConfig

CHECKPOINTS = Path(__file__).parent / "checkpoints"
EMBEDDED_VAE, EMBEDDED_VOCODER = CHECKPOINTS / "band-vae.pt", CHECKPOINTS / "band-vocoder.pt"


def load_vae(path: Path) -> VAE:
    """Load a VAE trained by mtbench, or a published `vae-ckpt.ckpt`, in float32 and evaluation mode."""
    checkpoint = load(path)
    if "config" in checkpoint:
        return filled(path, lambda: VAE(VAEConfig(**checkpoint["config"])), checkpoint["state_dict"])
    return vae_of(path, checkpoint)


def load_vocoder(path: Path) -> HiFiGAN:
    """Load a vocoder trained by mtbench, or a published `hifigan-ckpt.ckpt`, with plain weights, in evaluation mode."""
    checkpoint = load(path)
    if "config" in checkpoint:
        return vocoder_of(path, {"generator": checkpoint["state_dict"]}, HiFiGANConfig(**checkpoint["config"]))
    return vocoder_of(path, checkpoint)


def first_stage_of(path: Path, vae_sha256: str | None) -> tuple[VAE, HiFiGAN | None, dict[str, str]]:
    """Return the VAE on whose latents the model at `path` was trained, a vocoder, and their SHA-256.

    The VAE is either the embedded one, next to the checkpoint, or among the fetched weights. If it is in several of
    these places, the vocoder comes from the first of them that has one; it is None if none of them does.
    Raises UsageError if the VAE is not found.
    """
    folders = (path.parent, *(weights_folder() / weights for weights in RECORDS))
    places = [(EMBEDDED_VAE, EMBEDDED_VOCODER)]
    places += [(folder / VAE_FILE, folder / VOCODER_FILE) for folder in folders]
    right = [(vae, vocoder) for vae, vocoder in places if vae.exists() and sha256(vae) == vae_sha256]
    if vae_sha256 is None or not right:
        raise UsageError(
            f"{path} was trained on the latents of a VAE with SHA-256 {vae_sha256}, which is neither the embedded "
            f"VAE, nor {folders[0] / VAE_FILE}, nor among the fetched weights"
        )
    for vae, vocoder in right:
        if vocoder.exists():
            return load_vae(vae), load_vocoder(vocoder), {"vae": vae_sha256, "vocoder": checked_sha256(vocoder)}
    return load_vae(right[0][0]), None, {"vae": vae_sha256}
