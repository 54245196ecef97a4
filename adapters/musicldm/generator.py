"""Latent diffusion as a Generator: noise -> DDIM -> latents -> VAE -> log-mel -> waveform.

SyncTrack and MSG-LD differ in their denoising network alone; their factories hand it over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtbench.errors import UsageError, unknown_name
from mtbench.generator import StemSet
from musicldm import published
from musicldm.diffusion import ddim, ddim_schedule, noise_per_sample
from musicldm.fetch import RECORDS, checked_sha256, sha256, weights_folder
from musicldm.griffin_lim import griffin_lim
from musicldm.hifigan import HiFiGAN, HiFiGANConfig
from musicldm.mel import HOP, N_MELS, SAMPLE_RATE, log_mel
from musicldm.vae import VAE, VAEConfig

STEMS = ("bass", "drums", "guitar", "piano")  # the order of the tracks in the latents
SMALL = 20_000_000  # parameters
ROWS = 16  # stems decoded at once: at the published size the VAE takes 0.2 GB a row
PRECISIONS = ("float32", "tf32", "bfloat16")
CHECKPOINTS = Path(__file__).parent / "checkpoints"
EMBEDDED_VAE, EMBEDDED_VOCODER = CHECKPOINTS / "band-vae.pt", CHECKPOINTS / "band-vocoder.pt"


class LatentDiffusion:
    """A denoising network, its VAE and a vocoder (None: Griffin-Lim).

    latent_shape: [track, C, T, F]; samples: the length of a clip, at most what T frames of latents give (None: that).
    mixes_samples: the network lets the samples of a batch influence each other. Batches then start at multiples of
    batch_size and are always full, and batch_size is part of the provenance.
    precision: one of PRECISIONS, of the network; all but float32 change samples beyond rounding, and are part of the
    provenance. compile: let torch compile the network, which pays where many batches follow.

    `on_step(done, steps)` is called after each of the steps that denoise a batch; who watches it sets it.
    """

    sample_rate, stems, tasks = SAMPLE_RATE, STEMS, frozenset({"total", "arrangement"})

    def __init__(self, name: str, network: nn.Module, vae: VAE, scale_factor: float, latent_shape: Sequence[int],
                 provenance: Mapping[str, Any], device: str, steps: int, batch_size: int, *,
                 vocoder: HiFiGAN | None = None, samples: int | None = None, mixes_samples: bool = False,
                 precision: str = "float32", compile: bool = False):
        self.name, self._device, self._batch_size, self._mixes_samples = name, device, batch_size, mixes_samples
        self._network = network.eval().to(device)
        if all(parameter.ndim < 5 for parameter in network.parameters()):  # 2-D: 1.4 times as fast on a CPU
            self._network.to(memory_format=torch.channels_last)
        self._denoise = torch.compile(self._network) if compile else self._network
        self._precision = precision
        self._vae = vae.eval().to(device, memory_format=torch.channels_last)
        self._vocoder = vocoder.eval().to(device) if vocoder else None
        self._scale_factor, self._shape = scale_factor, tuple(latent_shape)
        self._frames = self._shape[2] * vae.config.downsampling
        self._samples = samples or self._frames * HOP
        self._schedule = ddim_schedule(steps)
        self.on_step: Callable[[int, int], None] = lambda done, steps: None
        self.provenance = {**provenance, "sampler": f"DDIM, {len(self._schedule.timesteps)} steps, eta 1",
                           "vocoder": "HiFi-GAN" if vocoder else "Griffin-Lim"}
        if mixes_samples:
            self.provenance["batch_size"] = batch_size
        if precision != "float32":
            self.provenance["precision"] = precision

    def generate(self, n: int, stems: Sequence[str], *, given: Sequence[StemSet] | None = None, seed: int = 0,
                 start: int = 0) -> Iterator[StemSet]:
        """Samples start ... start + n - 1; sample i is the same in any batch, up to float rounding, unless the network
        mixes samples.

        given[i] holds the stems of sample i to keep, of the clips' length and at 16 kHz; they come back as they are.
        Samples that only fill a batch up take given[i mod len(given)]. Raises UsageError for what cannot be kept.
        """
        for stem in stems:
            if stem not in STEMS:
                raise unknown_name("stem", stem, STEMS)
        if given is not None and len(given) < start + n:
            raise UsageError(f"given holds {len(given)} samples, sample {start + n - 1} was asked for")
        asked, B = range(start, start + n), self._batch_size
        for first in range(start - start % B if self._mixes_samples else start, start + n, B):
            numbers = range(first, first + B if self._mixes_samples else min(first + B, start + n))
            kept: list[Mapping[str, np.ndarray]] = [{} for _ in numbers]
            if given is not None:
                kept = [self._kept(given, i if i in asked else i % len(given)) for i in numbers]
            if full := [i for i, held in zip(numbers, kept) if i in asked and held.keys() >= set(stems)]:
                raise UsageError(f"given[{full[0]}] holds {', '.join(given[full[0]].stems)}: nothing is left to make")
            made = [(b, stem) for b, i in enumerate(numbers) if i in asked for stem in stems if stem not in kept[b]]
            with _threads(self._network):
                latents = self._latents(seed, numbers, kept)
                rows = torch.stack([latents[b, STEMS.index(stem)] for b, stem in made])
                waves = dict(zip(made, self._waveforms(rows).numpy()))
            for b, i in enumerate(numbers):
                if i in asked:
                    sample = {stem: waves[b, stem] if (b, stem) in waves else kept[b][stem] for stem in stems}
                    yield StemSet(f"{i:05d}", sample, SAMPLE_RATE)

    def _kept(self, given: Sequence[StemSet], i: int) -> Mapping[str, np.ndarray]:
        """The stems of given[i]. Raises UsageError, naming it, if they cannot be kept."""
        held = given[i]
        where = f"given[{i}] ('{held.id}')"
        if strange := [stem for stem in held.stems if stem not in STEMS]:
            raise UsageError(f"{where} holds '{strange[0]}'; model '{self.name}' can be given {', '.join(STEMS)}")
        if not held.stems:
            raise UsageError(f"{where} holds no stem")
        if held.sample_rate != SAMPLE_RATE:
            raise UsageError(f"{where} is at {held.sample_rate} Hz; model '{self.name}' takes {SAMPLE_RATE} Hz")
        for stem, wave in held.stems.items():
            if np.shape(wave) != (self._samples,):
                raise UsageError(f"{where}: its {stem} has the shape {list(np.shape(wave))}, not [{self._samples}]")
            if not np.abs(wave).max() <= 1.0:
                raise UsageError(f"{where}: its {stem} has samples outside [-1, 1], or some that are no numbers")
        return held.stems

    @torch.inference_mode()
    def _latents(self, seed: int, numbers: Sequence[int], kept: Sequence[Mapping[str, np.ndarray]] = ()) -> Tensor:
        """Scaled latents [B, track, C, T, F]; kept[b] holds the stems of sample b to keep."""
        draw = noise_per_sample(seed, numbers, self._shape)
        noise = lambda: draw().to(self._device)  # noqa: E731
        known, mask = self._encoded(kept, noise()) if any(kept) else (None, None)
        steps = ddim(self._estimated_noise, noise(), self._schedule, noise, known=known, mask=mask)
        for done, (x, _) in enumerate(steps, 1):
            self.on_step(done, len(self._schedule.timesteps))
        return x

    def _estimated_noise(self, x: Tensor, timesteps: Tensor) -> Tensor:
        with reduced_precision(self._precision, x.device):
            return self._denoise(x, timesteps).float()

    def _encoded(self, kept: Sequence[Mapping[str, np.ndarray]], noise: Tensor) -> tuple[Tensor, Tensor]:
        """Scaled posterior samples of the stems to keep [B, track, C, T, F], and their mask [B, track, 1, 1, 1]."""
        known, mask = torch.zeros_like(noise), noise.new_zeros(*noise.shape[:2], 1, 1, 1)
        for b, stems in enumerate(kept):
            rows = [STEMS.index(stem) for stem in stems]
            waves = torch.from_numpy(np.stack(list(stems.values())).astype(np.float32)).to(self._device)
            waves = F.pad(waves, (0, self._frames * HOP - self._samples))
            mean, logvar = self._vae.encode(log_mel(waves, self._frames)[:, None])
            known[b, rows] = self._scale_factor * (mean + (logvar / 2).exp() * noise[b, rows])
            mask[b, rows] = 1.0
        return known, mask

    @torch.inference_mode()
    def _waveforms(self, latents: Tensor) -> Tensor:
        """float32 [rows, samples] on the CPU, from scaled latents [rows, C, T, F]."""
        waves = []
        for rows in latents.split(ROWS):
            mels = self._vae.decode(rows / self._scale_factor)[:, 0]  # [rows, frames, 64]
            wave = self._vocoder(mels.transpose(1, 2))[:, 0] if self._vocoder else griffin_lim(mels)
            waves.append(wave[:, : self._samples].clamp(-1.0, 1.0).cpu())
        return torch.cat(waves)


def from_checkpoint(
    name: str, path: Path, *, trained: Callable[[Mapping[str, Any]], nn.Module],
    lightning: Callable[[Mapping[str, Tensor]], nn.Module], form: Callable[[Any], str],
    mixes_samples: Callable[[Any], bool] = lambda config: False, device: str, suite: Any, steps: int | None,
    batch_size: int | None, precision: str, compile: bool,
) -> LatentDiffusion:
    """A generator from a checkpoint that mtbench's training wrote, or from a published Lightning file.

    trained makes the network from its config, lightning for the state dict of a published one; `form` and
    `mixes_samples` answer for a network's config. steps: of DDIM, as a rule 200 with published weights, else 50;
    batch_size: as a rule 16 where the samples of a batch mix, which are the published steps and batch, else 8.
    Clips have the suite's length, rounded up in latents to what VAE and U-Net down-sample to whole numbers.

    Raises UsageError for a file that is not there or neither of both, and for steps that DDIM cannot make.
    """
    held = published.load(path)
    if published.is_lightning(held):
        model = published.read(path, held, lightning)
        network, vae, vocoder, scale_factor = model.network, model.vae, model.vocoder, model.scale_factor
        digests, origin = model.sha256, {"trained_on": "Slakh2100"}
    else:
        network, origin = trained_network(name, path, held, trained)
        if not isinstance(held.get("scale_factor"), (int, float, Tensor)):
            raise UsageError(f"{path} is no checkpoint of model '{name}' (it has no scale_factor)")
        scale_factor = float(held["scale_factor"])
        vae, vocoder, digests = _first_stage(path, held.get("vae_sha256"))
        digests = {"weights": checked_sha256(path), **digests}
    config, factor = network.config, vae.config.downsampling
    mixes = mixes_samples(config)
    steps = steps if steps is not None else 200 if published.is_lightning(held) else 50
    batch_size = batch_size if batch_size is not None else 16 if mixes else 8
    if batch_size < 1:
        raise UsageError(f"model '{name}': batch_size must be at least 1, got {batch_size}")
    if precision not in PRECISIONS:
        raise UsageError(f"model '{name}': precision must be one of {', '.join(PRECISIONS)}, got '{precision}'")
    try:
        ddim_schedule(steps)
    except ValueError as error:
        raise UsageError(f"model '{name}': steps: {error}") from None
    samples = -(-suite.n_samples * SAMPLE_RATE // suite.sample_rate)
    T = -(-samples // (HOP * factor * config.downsampling)) * config.downsampling
    shape = (len(STEMS), vae.config.embed_dim, T, N_MELS // factor)
    provenance = {
        "weights": "/".join(path.parts[-3:]), **{f"{what}_sha256": value for what, value in digests.items()}, **origin,
        "form": form(config), "parameters": sum(p.numel() for p in network.parameters()),
    }
    seconds, trained_seconds = samples / SAMPLE_RATE, config.latent_t * factor * HOP / SAMPLE_RATE
    if seconds != trained_seconds:
        provenance["duration"] = f"{seconds:g} s by a model trained on {trained_seconds:g} s"
    return LatentDiffusion(name, network, vae, scale_factor, shape, provenance, device, steps, batch_size,
                           vocoder=vocoder, samples=samples, mixes_samples=mixes, precision=precision, compile=compile)


def load_vae(path: Path) -> VAE:
    """A VAE that mtbench trained, or a published `vae-ckpt.ckpt`, in float32 and evaluation mode."""
    held = published.load(path)
    if "config" in held:
        return published.filled(path, lambda: VAE(VAEConfig(**held["config"])), held["state_dict"])
    return published.vae_of(path, held)


def load_vocoder(path: Path) -> HiFiGAN:
    """A vocoder that mtbench trained, or a published `hifigan-ckpt.ckpt`, with plain weights and in evaluation mode."""
    held = published.load(path)
    if "config" in held:
        return published.vocoder_of(path, {"generator": held["state_dict"]}, HiFiGANConfig(**held["config"]))
    return published.vocoder_of(path, held)


def trained_network(
    name: str, path: Path, held: Mapping[str, Any], make: Callable[[Mapping[str, Any]], nn.Module]
) -> tuple[nn.Module, dict[str, Any]]:
    """Network and provenance of a checkpoint that mtbench trained. Raises UsageError if it is none, or another's."""
    if not {"config", "state_dict", "metadata"} <= held.keys():
        raise UsageError(f"{path} is neither a checkpoint that mtbench trained nor a published one")
    try:
        network = published.filled(path, lambda: make(held["config"]), held["state_dict"])
        metadata, data = held["metadata"], held["metadata"]["training_data"]
        return network, {
            "trained_on": "synthetic songs" if data.startswith("mtbench band") else data, "training_data": data,
            "training_steps": metadata["steps"], "training_minutes": metadata["minutes"],
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} is no checkpoint of model '{name}' ({error})") from error


def _first_stage(path: Path, vae_sha256: str | None) -> tuple[VAE, HiFiGAN | None, dict[str, str]]:
    """The VAE on whose latents the model at `path` was trained, the vocoder beside it if there is one, and their
    SHA-256."""
    folders = (path.parent, *(weights_folder() / weights for weights in RECORDS))
    places = [(EMBEDDED_VAE, EMBEDDED_VOCODER)]
    places += [(folder / published.VAE_FILE, folder / published.VOCODER_FILE) for folder in folders]
    for vae, vocoder in places:
        if vae.exists() and sha256(vae) == vae_sha256:
            digests = {"vae": vae_sha256}
            if not vocoder.exists():
                return load_vae(vae), None, digests
            return load_vae(vae), load_vocoder(vocoder), digests | {"vocoder": checked_sha256(vocoder)}
    raise UsageError(f"{path} was trained on the latents of a VAE with the SHA-256 {vae_sha256}, which is neither the "
                     f"embedded one nor in {folders[0]} as {published.VAE_FILE} nor among the fetched weights")


@contextmanager
def reduced_precision(precision: str, device: torch.device) -> Iterator[None]:
    """Let a network compute in TF32 (a GPU's products of float32 with 10 bits) or, by autocast, in bfloat16."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


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
