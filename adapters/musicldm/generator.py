"""Latent diffusion as a Generator: noise -> DDIM -> latents -> VAE -> log-mel -> waveform.

SyncTrack, MSG-LD and MT-MusicLDM differ in their denoising network and its condition; `musicldm.family` creates both
from a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapterkit.asked import MIXTURE, Abilities, GivenTask, task_of
from adapterkit.precision import in_channels_last, reduced_precision, threads_for
from adapterkit.randomness import noise_per_sample
from adapterkit.sampling import SamplingOptions
from mtbench.errors import UsageError
from mtbench.stems import StemSet
from musicldm.diffusion import Parameterization, ddim, ddim_schedule, guided, noise_schedule
from musicldm.griffin_lim import griffin_lim
from musicldm.hifigan import HiFiGAN
from musicldm.mel import FRAMES, HOP, N_MELS, SAMPLE_RATE, log_mel
from musicldm.vae import VAE

STEMS = ("bass", "drums", "guitar", "piano")  # the order of the tracks in the latents
STEPS, BATCH_SIZE = 50, 8  # defaults
ROWS = 16  # stems of 10.24 s decoded at once: at the published size the VAE needs 0.2 GB per row

Waves = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class LatentModel:
    """A denoising network together with everything needed to convert its latents into audio.

    network: predicts the noise or the velocity (`parameterization`: eps or v) of scaled latents [B, S, C, T, F] at
    timesteps int64 [B], in the same shape. Scaled latents are scale_factor times the VAE's latents.
    vocoder: None means Griffin-Lim.
    mixes_samples: whether the samples of a batch influence each other in the network. If so, batches start at multiples
    of the batch size and are always full, and the batch size is part of the provenance.
    separates: whether the network takes a mixture's latents [B, C, T, F] as its third argument and was trained with
    them.
    embeddings: float32 [2, E], for a network that takes an `embedding` [B, E]: the embedding of no condition, and the
    condition of all samples.
    """

    network: nn.Module
    vae: VAE
    scale_factor: float
    vocoder: HiFiGAN | None = None
    parameterization: Parameterization = "eps"
    mixes_samples: bool = False
    separates: bool = False
    embeddings: Tensor | None = None

    def latent_shape(self, samples: int) -> tuple[int, int, int, int]:
        """Return the latent shape [S, C, T, F] of a clip of `samples`; T is rounded up for both down-samplings."""
        config: Any = self.network.config
        factor = self.vae.config.downsampling
        T = -(-samples // (HOP * factor * config.downsampling)) * config.downsampling
        return len(STEMS), self.vae.config.embed_dim, T, N_MELS // factor


class LatentDiffusion:
    """A latent model with the benchmark's Generator interface.

    latent_shape: [S, C, T, F] of a sample. samples: length of a clip at 16 kHz, at most the length that T latent frames
    decode to (None: exactly that length). provenance: the origin of the model; everything else that the samples depend
    on is added.

    `on_step(step, steps)` is called after each denoising step of a batch; callers may replace it.
    """

    sample_rate, stems = SAMPLE_RATE, STEMS

    def __init__(
        self,
        name: str,
        model: LatentModel,
        latent_shape: Sequence[int],
        provenance: Mapping[str, Any],
        device: str,
        options: SamplingOptions,
        *,
        samples: int | None = None,
    ):
        self.name = name
        self.tasks = frozenset({"total", "arrangement", "separation"} if model.separates else {"total", "arrangement"})
        self._abilities = Abilities(name, STEMS, self.tasks)
        self._network = model.network.eval().to(device)
        if all(parameter.ndim < 5 for parameter in model.network.parameters()):  # for 2-D, 1.4 times as fast on a CPU
            in_channels_last(self._network)
        self._denoise: Callable[..., Tensor] = torch.compile(self._network) if options.compile else self._network
        self._vae = in_channels_last(model.vae.eval().to(device))
        self._vocoder = model.vocoder.eval().to(device) if model.vocoder else None
        self._embeddings = None if model.embeddings is None else model.embeddings.to(device)
        self._scale_factor, self._shape = model.scale_factor, tuple(latent_shape)
        self._parameterization, self._mixes_samples = model.parameterization, model.mixes_samples
        self._frames = self._shape[2] * model.vae.config.downsampling
        self._samples = samples or self._frames * HOP
        self._device, self._precision = device, options.precision
        self._guidance_scale, self._batch_size = options.guidance_scale, options.batch_size or BATCH_SIZE
        steps = STEPS if options.steps is None else options.steps
        self._levels, self._schedule = noise_schedule(), ddim_schedule(steps)
        self.on_step: Callable[[int, int], None] = lambda step, steps: None
        self.provenance = {
            **provenance,
            "sampler": f"DDIM, {len(self._schedule.timesteps)} steps, eta 1",
            "vocoder": "HiFi-GAN" if model.vocoder else "Griffin-Lim",
        }
        if model.mixes_samples:
            self.provenance["batch_size"] = self._batch_size
        if model.separates or model.embeddings is not None:
            self.provenance["guidance_scale"] = options.guidance_scale
        if options.precision != "float32":
            self.provenance["precision"] = options.precision

    def generate(
        self, n: int, stems: Sequence[str], *, given: Sequence[StemSet] | None = None, seed: int = 0, start: int = 0
    ) -> Iterator[StemSet]:
        """Yield samples start ... start + n - 1, float32 [samples] at 16 kHz within [-1, 1].

        Sample i is the same in any batch, up to float rounding, unless the network mixes samples.
        given[i] contains either the stems of sample i to keep, or a single stem `mixture` to separate; this must be the
        same for all samples of a call. Given stems have the clips' length and are at 16 kHz. Stems to keep are returned
        unchanged. Samples that only fill up a batch use given[i mod len(given)]. Raises UsageError for given stems that
        cannot be kept or separated.
        """
        self._abilities.check_asked(stems, given, start + n)
        asked, task = range(start, start + n), None
        for numbers in self._batches(asked):
            kept: list[Mapping[str, Waves]] = [{} for _ in numbers]
            mixtures: list[Waves] = []
            if given is not None:
                places = [i if i in asked else i % len(given) for i in numbers]
                clips = [given[place] for place in places]
                task = task or task_of(clips[0])
                for number, place, clip in zip(numbers, places, clips):
                    self._check_given(clip, place, task, stems if number in asked else ())
                if task == "separation":
                    mixtures = [clip.stems[MIXTURE] for clip in clips]
                else:
                    kept = [clip.stems for clip in clips]
            missing = [(b, stem) for b, i in enumerate(numbers) if i in asked for stem in stems if stem not in kept[b]]
            # This includes the VAE and the vocoder: by default, torch uses TF32 for convolutions on a GPU.
            around = "tf32" if self._precision == "tf32" else "float32"
            with threads_for(self._network), reduced_precision(around, torch.device(self._device)):
                latents = self._latents(seed, numbers, kept, mixtures)
                rows = torch.stack([latents[b, STEMS.index(stem)] for b, stem in missing])
                waves = dict(zip(missing, self._waveforms(rows).numpy()))
            for b, i in enumerate(numbers):
                if i in asked:
                    sample = {stem: waves[b, stem] if (b, stem) in waves else kept[b][stem] for stem in stems}
                    yield StemSet(f"{i:05d}", sample, SAMPLE_RATE)

    def _batches(self, asked: range) -> Iterator[range]:
        """Yield the numbers of the samples of each batch; together they cover the requested ones."""
        size = self._batch_size
        first = asked.start - asked.start % size if self._mixes_samples else asked.start
        for start in range(first, asked.stop if asked else first, size):
            yield range(start, start + size if self._mixes_samples else min(start + size, asked.stop))

    def _check_given(self, clip: StemSet, number: int, task: GivenTask, stems: Sequence[str]) -> None:
        if clip.sample_rate != SAMPLE_RATE:
            raise UsageError(
                f"given[{number}] ('{clip.id}') is at {clip.sample_rate} Hz, but model '{self.name}' requires "
                f"{SAMPLE_RATE} Hz"
            )
        self._abilities.check_given(clip, number, task, self._samples, stems)

    @torch.inference_mode()
    def _latents(
        self,
        seed: int,
        numbers: Sequence[int],
        kept: Sequence[Mapping[str, Waves]] = (),
        mixtures: Sequence[Waves] = (),
    ) -> Tensor:
        """Sample scaled latents [B, S, C, T, F].

        kept[b]: stems of sample b to keep; mixtures[b]: mixture of sample b to separate.
        """
        draw = noise_per_sample(seed, numbers, self._shape)

        def noise() -> Tensor:
            return draw().to(self._device)

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
        for step, (x, _) in enumerate(steps, 1):  # noqa: B007  the last x is the result
            self.on_step(step, len(self._schedule.timesteps))
        return x

    def _estimated_noise(self, x: Tensor, timesteps: Tensor, *mixture: Tensor, **embedding: Tensor) -> Tensor:
        with reduced_precision(self._precision, x.device):
            predicted = self._denoise(x, timesteps, *mixture, **embedding).float()
        return predicted if self._parameterization == "eps" else self._levels.noise_of_velocity(x, predicted, timesteps)

    def _encoded(self, kept: Sequence[Mapping[str, Waves]], noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return scaled posterior samples of the stems to keep [B, S, C, T, F], and their mask [B, S, 1, 1, 1]."""
        known, mask = torch.zeros_like(noise), noise.new_zeros(*noise.shape[:2], 1, 1, 1)
        for b, stems in enumerate(kept):
            rows = [STEMS.index(stem) for stem in stems]
            known[b, rows] = self._posterior(np.stack(list(stems.values())), noise[b, rows])
            mask[b, rows] = 1.0
        return known, mask

    def _posterior(self, waves: Waves, noise: Tensor) -> Tensor:
        """Return scaled posterior samples [rows, C, T, F] of waves [rows, samples], using the given noise."""
        padded = F.pad(torch.from_numpy(waves.astype(np.float32)), (0, self._frames * HOP - self._samples))
        mean, logvar = self._vae.encode(log_mel(padded.to(self._device), self._frames)[:, None])
        return self._scale_factor * (mean + (logvar / 2).exp() * noise)

    @torch.inference_mode()
    def _waveforms(self, latents: Tensor) -> Tensor:
        """Decode scaled latents [rows, C, T, F] to waves, float32 [rows, samples] on the CPU."""
        waves = []
        for rows in latents.split(max(1, ROWS * FRAMES // max(self._frames, FRAMES))):
            mels = self._vae.decode(rows / self._scale_factor)[:, 0]  # [rows, frames, 64]
            wave = self._vocoder(mels.transpose(1, 2))[:, 0] if self._vocoder else griffin_lim(mels)
            waves.append(wave[:, : self._samples].clamp(-1.0, 1.0).cpu())
        return torch.cat(waves)
