"""Latent diffusion as a Generator: noise -> DDIM -> latents -> VAE -> log-mel -> waveform.

SyncTrack, MSG-LD and MT-MusicLDM differ in their denoising network and in what it is conditioned on; their factories
hand both over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtbench.errors import UsageError, unknown_name
from mtbench.stems import StemSet
from musicldm import published
from musicldm.diffusion import Parameterization, ddim, ddim_schedule, guided, noise_per_sample, noise_schedule
from musicldm.fetch import RECORDS, checked_sha256, sha256, weights_folder
from musicldm.griffin_lim import griffin_lim
from musicldm.hifigan import HiFiGAN, HiFiGANConfig
from musicldm.mel import FRAMES, HOP, N_MELS, SAMPLE_RATE, log_mel
from musicldm.vae import VAE, VAEConfig

STEMS = ("bass", "drums", "guitar", "piano")  # the order of the tracks in the latents
SMALL = 20_000_000  # parameters
ROWS = 16  # stems of 10.24 s decoded at once: at the published size the VAE takes 0.2 GB a row
PRECISIONS = ("float32", "tf32", "bfloat16")
CONDITIONER = "cond_stage_model."  # in a Lightning file: what embeds the condition, no part of the network
CHECKPOINTS = Path(__file__).parent / "checkpoints"
EMBEDDED_VAE, EMBEDDED_VOCODER = CHECKPOINTS / "band-vae.pt", CHECKPOINTS / "band-vocoder.pt"


class LatentDiffusion:
    """A denoising network, its VAE and a vocoder (None: Griffin-Lim).

    latent_shape: [track, C, T, F]; samples: the length of a clip, at most what T frames of latents give (None: that).
    mixes_samples: the network lets the samples of a batch influence each other. Batches then start at multiples of
    batch_size and are always full, and batch_size is part of the provenance.
    separates: the network takes a mixture's latents as its third argument and was trained so.
    embeddings: [2, E], for a network that takes an `embedding`: what stands for no condition, and the condition of all
    samples. parameterization: what the network predicts. guidance_scale: how far samples follow mixture or embedding, from
    0 (not) over 1 (as trained) to more.
    precision: one of PRECISIONS, of the network; all but float32 change samples beyond rounding, and are part of the
    provenance. compile: let torch compile the network, which pays where many batches follow.

    `on_step(done, steps)` is called after each of the steps that denoise a batch; who watches it sets it.
    """

    sample_rate, stems = SAMPLE_RATE, STEMS

    def __init__(
        self,
        name: str,
        network: nn.Module,
        vae: VAE,
        scale_factor: float,
        latent_shape: Sequence[int],
        provenance: Mapping[str, Any],
        device: str,
        steps: int,
        batch_size: int,
        *,
        vocoder: HiFiGAN | None = None,
        samples: int | None = None,
        mixes_samples: bool = False,
        separates: bool = False,
        embeddings: Tensor | None = None,
        parameterization: Parameterization = "eps",
        guidance_scale: float = 1.0,
        precision: str = "float32",
        compile: bool = False,
    ):
        self.tasks = frozenset({"total", "arrangement", "separation"} if separates else {"total", "arrangement"})
        self._embeddings = None if embeddings is None else embeddings.to(device)
        self._guidance_scale, self._parameterization = guidance_scale, parameterization
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
        self._levels, self._schedule = noise_schedule(), ddim_schedule(steps)
        self.on_step: Callable[[int, int], None] = lambda done, steps: None
        self.provenance = {
            **provenance,
            "sampler": f"DDIM, {len(self._schedule.timesteps)} steps, eta 1",
            "vocoder": "HiFi-GAN" if vocoder else "Griffin-Lim",
        }
        if mixes_samples:
            self.provenance["batch_size"] = batch_size
        if separates or embeddings is not None:
            self.provenance["guidance_scale"] = guidance_scale
        if precision != "float32":
            self.provenance["precision"] = precision

    def generate(
        self, n: int, stems: Sequence[str], *, given: Sequence[StemSet] | None = None, seed: int = 0, start: int = 0
    ) -> Iterator[StemSet]:
        """Samples start ... start + n - 1; sample i is the same in any batch, up to float rounding, unless the network
        mixes samples.

        given[i] holds the stems of sample i to keep, or one stem `mixture` to separate; all of a call hold the one or
        the other, of the clips' length and at 16 kHz. Stems to keep come back as they are. Samples that only fill a
        batch up take given[i mod len(given)]. Raises UsageError for what cannot be kept or separated.
        """
        check_asked(stems, given, start + n)
        if not n:
            return
        asked, B = range(start, start + n), self._batch_size
        task = "total" if given is None else None
        for first in range(start - start % B if self._mixes_samples else start, start + n, B):
            numbers = range(first, first + B if self._mixes_samples else min(first + B, start + n))
            kept: list[Mapping[str, np.ndarray]] = [{} for _ in numbers]
            mixtures: list[np.ndarray] = []
            if given is not None:
                places = [i if i in asked else i % len(given) for i in numbers]
                held = [given[i] for i in places]
                task = task or task_of(held[0])
                checked = [
                    self._checked(song, i, task, stems if number in asked else ())
                    for number, i, song in zip(numbers, places, held)
                ]
                if task == "separation":
                    mixtures = [waves["mixture"] for waves in checked]
                else:
                    kept = checked
            made = [(b, stem) for b, i in enumerate(numbers) if i in asked for stem in stems if stem not in kept[b]]
            # VAE and vocoder, too: torch lets a GPU's convolutions take TF32 unless it is told.
            around = "tf32" if self._precision == "tf32" else "float32"
            with _threads(self._network), reduced_precision(around, torch.device(self._device)):
                latents = self._latents(seed, numbers, kept, mixtures)
                rows = torch.stack([latents[b, STEMS.index(stem)] for b, stem in made])
                waves = dict(zip(made, self._waveforms(rows).numpy()))
            for b, i in enumerate(numbers):
                if i in asked:
                    sample = {stem: waves[b, stem] if (b, stem) in waves else kept[b][stem] for stem in stems}
                    yield StemSet(f"{i:05d}", sample, SAMPLE_RATE)

    def _checked(self, held: StemSet, number: int, task: str, stems: Sequence[str]) -> Mapping[str, np.ndarray]:
        if held.sample_rate != SAMPLE_RATE:
            raise UsageError(
                f"given[{number}] ('{held.id}') is at {held.sample_rate} Hz; model '{self.name}' takes {SAMPLE_RATE} Hz"
            )
        check_given(self.name, self.tasks, held, number, task, self._samples, stems)
        return held.stems

    @torch.inference_mode()
    def _latents(
        self,
        seed: int,
        numbers: Sequence[int],
        kept: Sequence[Mapping[str, np.ndarray]] = (),
        mixtures: Sequence[np.ndarray] = (),
    ) -> Tensor:
        """Scaled latents [B, track, C, T, F]; kept[b] holds the stems of sample b to keep, mixtures[b] what to part."""
        draw = noise_per_sample(seed, numbers, self._shape)
        noise = lambda: draw().to(self._device)  # noqa: E731
        known, mask = self._encoded(kept, noise()) if any(kept) else (None, None)
        if mixtures:
            posterior = noise()[:, 0]
            m = torch.cat([self._posterior(wave[None], posterior[b, None]) for b, wave in enumerate(mixtures)])
            denoise = guided(self._estimated_noise, m, torch.zeros_like(m), self._guidance_scale)
        elif self._embeddings is not None:
            nothing, condition = (row.expand(len(numbers), -1) for row in self._embeddings)
            denoise = guided(
                lambda x, timesteps, embedding: self._estimated_noise(x, timesteps, embedding=embedding),
                condition,
                nothing,
                self._guidance_scale,
            )
        else:
            denoise = self._estimated_noise
        steps = ddim(denoise, noise(), self._schedule, noise, known=known, mask=mask)
        for done, (x, _) in enumerate(steps, 1):
            self.on_step(done, len(self._schedule.timesteps))
        return x

    def _estimated_noise(self, x: Tensor, timesteps: Tensor, *mixture: Tensor, **embedding: Tensor) -> Tensor:
        with reduced_precision(self._precision, x.device):
            predicted = self._denoise(x, timesteps, *mixture, **embedding).float()
        return predicted if self._parameterization == "eps" else self._levels.noise_of_velocity(x, predicted, timesteps)

    def _encoded(self, kept: Sequence[Mapping[str, np.ndarray]], noise: Tensor) -> tuple[Tensor, Tensor]:
        """Scaled posterior samples of the stems to keep [B, track, C, T, F], and their mask [B, track, 1, 1, 1]."""
        known, mask = torch.zeros_like(noise), noise.new_zeros(*noise.shape[:2], 1, 1, 1)
        for b, stems in enumerate(kept):
            rows = [STEMS.index(stem) for stem in stems]
            known[b, rows] = self._posterior(np.stack(list(stems.values())), noise[b, rows])
            mask[b, rows] = 1.0
        return known, mask

    def _posterior(self, waves: np.ndarray, noise: Tensor) -> Tensor:
        """Scaled posterior samples [rows, C, T, F] of waves [rows, samples], made with this noise."""
        padded = F.pad(torch.from_numpy(waves.astype(np.float32)), (0, self._frames * HOP - self._samples))
        mean, logvar = self._vae.encode(log_mel(padded.to(self._device), self._frames)[:, None])
        return self._scale_factor * (mean + (logvar / 2).exp() * noise)

    @torch.inference_mode()
    def _waveforms(self, latents: Tensor) -> Tensor:
        """float32 [rows, samples] on the CPU, from scaled latents [rows, C, T, F]."""
        waves = []
        for rows in latents.split(max(1, ROWS * FRAMES // max(self._frames, FRAMES))):
            mels = self._vae.decode(rows / self._scale_factor)[:, 0]  # [rows, frames, 64]
            wave = self._vocoder(mels.transpose(1, 2))[:, 0] if self._vocoder else griffin_lim(mels)
            waves.append(wave[:, : self._samples].clamp(-1.0, 1.0).cpu())
        return torch.cat(waves)


def from_checkpoint(
    name: str,
    path: Path,
    *,
    trained: Callable[[Mapping[str, Any]], nn.Module],
    lightning: Callable[[Mapping[str, Tensor]], nn.Module],
    form: Callable[[Any], str],
    mixes_samples: Callable[[Any], bool] = lambda config: False,
    separates: Callable[[Mapping[str, Any]], bool] = lambda held: False,
    condition: Callable[[Mapping[str, Any], Any], tuple[Tensor, dict[str, Any]] | None] = lambda held, config: None,
    guidance_scale: float = 1.0,
    device: str,
    suite: Any,
    steps: int | None,
    batch_size: int | None,
    precision: str,
    compile: bool,
) -> LatentDiffusion:
    """A generator from a checkpoint that mtbench's training wrote, or from a published Lightning file.

    trained makes the network from its config, lightning for the state dict of a published one; `form` and
    `mixes_samples` answer for a network's config, `separates` for what the file holds; condition gives, for both, the
    embeddings of LatentDiffusion and what the provenance says of them. steps: of DDIM, as a
    rule 200 with published weights, else 50; batch_size: as a rule 16 where the samples of a batch mix, which are the
    published steps and batch, else 8.
    Clips have the suite's length, rounded up in latents to what VAE and U-Net down-sample to whole numbers.

    Raises UsageError for a file that is not there or neither of both, and for steps that DDIM cannot make.
    """
    held = published.load(path)
    if published.is_lightning(held):
        state = {name: value for name, value in held["state_dict"].items() if not name.startswith(CONDITIONER)}
        model = published.read(path, {"state_dict": state}, lightning)
        network, vae, vocoder, scale_factor = model.network, model.vae, model.vocoder, model.scale_factor
        digests, origin, parameterization = model.sha256, {"trained_on": "Slakh2100"}, "eps"
    else:
        network, origin = trained_network(name, path, held, trained)
        parameterization = held.get("parameterization", "eps")
        if parameterization not in get_args(Parameterization):
            raise UsageError(
                f"{path}: its network predicts '{parameterization}', which model '{name}' cannot sample with; it "
                f"knows {' and '.join(get_args(Parameterization))}"
            )
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
    if not (isinstance(guidance_scale, (int, float)) and math.isfinite(guidance_scale) and guidance_scale >= 0):
        raise UsageError(f"model '{name}': guidance_scale must be a number from 0 on, got {guidance_scale!r}")
    try:
        ddim_schedule(steps)
    except ValueError as error:
        raise UsageError(f"model '{name}': steps: {error}") from None
    samples = -(-suite.n_samples * SAMPLE_RATE // suite.sample_rate)
    T = -(-samples // (HOP * factor * config.downsampling)) * config.downsampling
    shape = (len(STEMS), vae.config.embed_dim, T, N_MELS // factor)
    provenance = {
        "weights": "/".join(path.parts[-3:]),
        **{f"{what}_sha256": value for what, value in digests.items()},
        **origin,
        "form": form(config),
        "parameters": sum(p.numel() for p in network.parameters()),
    }
    embeddings, told = condition(held, config) or (None, {})
    provenance |= told
    seconds, trained_seconds = samples / SAMPLE_RATE, config.latent_t * factor * HOP / SAMPLE_RATE
    if seconds != trained_seconds:
        provenance["duration"] = f"{seconds:g} s by a model trained on {trained_seconds:g} s"
    return LatentDiffusion(
        name,
        network,
        vae,
        scale_factor,
        shape,
        provenance,
        device,
        steps,
        batch_size,
        vocoder=vocoder,
        samples=samples,
        mixes_samples=mixes,
        separates=separates(held),
        embeddings=embeddings,
        parameterization=parameterization,
        guidance_scale=guidance_scale,
        precision=precision,
        compile=compile,
    )


def task_of(held: StemSet) -> str:
    """What is to be done with what a call is given."""
    return "separation" if "mixture" in held.stems else "arrangement"


def check_asked(stems: Sequence[str], given: Sequence[StemSet] | None, end: int) -> None:
    """Raise UsageError unless `stems` are some of STEMS and `given`, if any, holds all samples before `end`."""
    if not stems:
        raise UsageError("no stem was asked for")
    for stem in stems:
        if stem not in STEMS:
            raise unknown_name("stem", stem, STEMS)
    if given is not None and len(given) < end:
        raise UsageError(f"given holds {len(given)} samples, sample {end - 1} was asked for")


def check_given(
    name: str, tasks: Collection[str], held: StemSet, number: int, task: str, samples: int, stems: Sequence[str]
) -> None:
    """Raise UsageError unless model `name`, which can do `tasks`, can do `task` with `held`, which is given[number].

    samples: the length that its waves must have at held.sample_rate; stems: what is asked for, of which it must leave
    something to make; none where the sample only fills up a batch.
    """
    where = f"given[{number}] ('{held.id}')"
    if not held.stems:
        raise UsageError(f"{where} holds no stem")
    if "separation" in tasks and task_of(held) != task:
        raise UsageError(
            f"{where} holds {', '.join(held.stems)}: a call is given mixtures to separate or stems to keep, not both"
        )
    allowed = ("mixture",) if task == "separation" and "separation" in tasks else STEMS
    if strange := [stem for stem in held.stems if stem not in allowed]:
        others = ", or mixture alone" if "separation" in tasks else ""
        raise UsageError(f"{where} holds '{strange[0]}'; model '{name}' can be given {', '.join(STEMS)}{others}")
    for stem, wave in held.stems.items():
        if np.shape(wave) != (samples,):
            raise UsageError(f"{where}: its {stem} has the shape {list(np.shape(wave))}, not [{samples}]")
        if not np.abs(wave).max() <= 1.0:
            raise UsageError(f"{where}: its {stem} has samples outside [-1, 1], or some that are no numbers")
    if stems and held.stems.keys() >= set(stems):
        raise UsageError(f"{where} holds {', '.join(held.stems)}: nothing is left to make")


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
            "trained_on": "synthetic songs" if data.startswith("mtbench band") else data,
            "training_data": data,
            "training_steps": metadata["steps"],
            "training_minutes": metadata["minutes"],
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} is no checkpoint of model '{name}' ({error})") from error


def _first_stage(path: Path, vae_sha256: str | None) -> tuple[VAE, HiFiGAN | None, dict[str, str]]:
    """The VAE on whose latents the model at `path` was trained, the vocoder beside it if one of the places
    where it lies has one, and their SHA-256."""
    folders = (path.parent, *(weights_folder() / weights for weights in RECORDS))
    places = [(EMBEDDED_VAE, EMBEDDED_VOCODER)]
    places += [(folder / published.VAE_FILE, folder / published.VOCODER_FILE) for folder in folders]
    found = [(vae, vocoder) for vae, vocoder in places if vae.exists() and sha256(vae) == vae_sha256]
    for vae, vocoder in found:
        if vocoder.exists():
            return load_vae(vae), load_vocoder(vocoder), {"vae": vae_sha256, "vocoder": checked_sha256(vocoder)}
    if found:
        return load_vae(found[0][0]), None, {"vae": vae_sha256}
    raise UsageError(
        f"{path} was trained on the latents of a VAE with the SHA-256 {vae_sha256}, which is neither the "
        f"embedded one nor in {folders[0]} as {published.VAE_FILE} nor among the fetched weights"
    )


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
