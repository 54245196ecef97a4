"""Latent diffusion as a Generator: noise -> DDIM -> latents -> VAE -> log-mel -> waveform.

SyncTrack and MSG-LD differ in their denoising network alone; their factories hand it over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mtbench.errors import MtbenchError, UsageError
from mtbench.generator import StemSet
from musicldm.diffusion import ddim, ddim_schedule, noise_per_sample
from musicldm.griffin_lim import griffin_lim
from musicldm.vae import VAE, VAEConfig

SAMPLE_RATE = 16000  # Hz
SECONDS = 10.24
STEMS = ("bass", "drums", "guitar", "piano")  # the order of the tracks in the latents
SMALL = 20_000_000  # parameters
EMBEDDED_VAE = Path(__file__).parent / "checkpoints" / "band-vae.pt"


class LatentDiffusion:
    """A denoising network, its VAE and a vocoder. Samples of a batch do not influence each other."""

    sample_rate, stems, tasks = SAMPLE_RATE, STEMS, frozenset({"total"})

    def __init__(self, name: str, network: nn.Module, vae: VAE, scale_factor: float, latent_shape: Sequence[int],
                 provenance: Mapping[str, Any], device: str, steps: int, batch_size: int):
        self.name, self._device, self._batch_size = name, device, batch_size
        self._network = network.eval().to(device)
        self._vae = vae.eval().to(device, memory_format=torch.channels_last)
        self._scale_factor, self._shape = scale_factor, tuple(latent_shape)  # [track, C, T, F]
        self._schedule = ddim_schedule(steps)
        self.provenance = {**provenance, "sampler": f"DDIM, {len(self._schedule.timesteps)} steps, eta 1",
                           "vocoder": "Griffin-Lim"}

    def generate(self, n: int, stems: Sequence[str], *, given=None, seed: int = 0, start: int = 0) -> Iterator[StemSet]:
        """Samples start ... start + n - 1; sample i is the same in any batch, up to float rounding."""
        for first in range(start, start + n, self._batch_size):
            numbers = range(first, min(first + self._batch_size, start + n))
            with _threads(self._network):
                waves = self._waveforms(self._latents(seed, numbers))  # [B, track, samples]
            for i, wave in zip(numbers, waves):
                yield StemSet(f"{i:05d}", {stem: wave[STEMS.index(stem)].numpy() for stem in stems}, SAMPLE_RATE)

    @torch.inference_mode()
    def _latents(self, seed: int, numbers: Sequence[int]) -> Tensor:
        """Scaled latents [B, track, C, T, F]."""
        draw = noise_per_sample(seed, numbers, self._shape)
        noise = lambda: draw().to(self._device)  # noqa: E731
        for x, _ in ddim(self._network, noise(), self._schedule, noise):
            pass
        return x

    @torch.inference_mode()
    def _waveforms(self, latents: Tensor) -> Tensor:
        """float32 [B, track, samples] on the CPU."""
        mels = self._vae.decode(latents.flatten(0, 1) / self._scale_factor)  # [B * track, 1, 1024, 64]
        return griffin_lim(mels[:, 0]).unflatten(0, latents.shape[:2]).clamp(-1.0, 1.0).cpu()


def from_checkpoint(
    name: str, path: Path, network: Callable[[Mapping[str, Any]], nn.Module], *, form: str, device: str, suite: Any,
    steps: int, batch_size: int,
) -> LatentDiffusion:
    """A generator from a checkpoint that mtbench's training wrote; `network` makes the module from its config.

    Raises UsageError for a file that is not there or not such a checkpoint, and for a suite of another duration.
    """
    if abs(suite.n_samples / suite.sample_rate - SECONDS) > 0.005:
        raise UsageError(f"model '{name}' makes clips of {SECONDS} s, suite '{suite.name}' wants "
                         f"{suite.n_samples / suite.sample_rate:g} s")
    held, vae_held = _read(name, path), _read(name, EMBEDDED_VAE)
    vae_sha256 = sha256(EMBEDDED_VAE)
    if held.get("vae_sha256") != vae_sha256:
        raise MtbenchError(f"model '{name}': {path} was trained on the latents of another VAE than {EMBEDDED_VAE}")
    try:
        module = network(held["config"])
        module.load_state_dict(held["state_dict"])
        vae = VAE(VAEConfig(**vae_held["config"]))
        vae.load_state_dict(vae_held["state_dict"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"model '{name}': {path} is no checkpoint of this network ({error})") from error
    config, metadata = module.config, held["metadata"]
    provenance = {
        "weights": "/".join(path.parts[-3:]), "weights_sha256": sha256(path), "vae_sha256": vae_sha256,
        "trained_on": "synthetic songs", "training_data": metadata["training_data"], "training_steps": metadata["steps"],
        "training_minutes": metadata["minutes"], "form": form, "parameters": sum(p.numel() for p in module.parameters()),
    }
    shape = (len(STEMS), vae.config.embed_dim, config.latent_t, config.latent_f)
    if batch_size < 1:
        raise UsageError(f"model '{name}': batch_size must be at least 1, got {batch_size}")
    try:
        ddim_schedule(steps)
    except ValueError as error:
        raise UsageError(f"model '{name}': steps: {error}") from None
    return LatentDiffusion(name, module, vae, held["scale_factor"], shape, provenance, device, steps, batch_size)


@contextmanager
def _threads(network: nn.Module) -> Iterator[None]:
    """One thread for a small network: its layers are too short to share, and where another program has a core, two
    threads that wait for each other at every layer took 5 to 20 times as long as one."""
    before = torch.get_num_threads()
    if sum(parameter.numel() for parameter in network.parameters()) < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read(name: str, path: Path) -> Mapping[str, Any]:
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UsageError(f"model '{name}': no checkpoint {path}") from None
    except Exception as error:  # torch raises what its unpickler meets
        raise UsageError(f"model '{name}': {path} cannot be read as a checkpoint ({type(error).__name__}: {error})") from error
    if not isinstance(held, dict) or not {"config", "state_dict", "metadata"} <= held.keys():
        raise UsageError(f"model '{name}': {path} is no checkpoint that mtbench trained")
    return held
