"""MSDM behind the benchmark's interface: waves of four stems at 22,050 Hz, straight from noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adapterkit.asked import MIXTURE, Abilities, task_of
from adapterkit.precision import reduced_precision
from adapterkit.randomness import noise_per_sample
from adapterkit.sampling import SamplingOptions
from adapterkit.weights import (
    below,
    checked_sha256,
    filled,
    has_names_below,
    load,
    short_path,
    trained_network,
    without,
)
from msdm.network import MSDMConfig, MSDMUNet
from msdm.sampling import denoised, euler, karras_schedule, separate
from mtbench import audio
from mtbench.errors import UsageError
from mtbench.stems import StemSet, Suite

STEMS = ("bass", "drums", "guitar", "piano")  # the order of the network's channels
SAMPLE_RATE = 22050  # Hz
EMBEDDED = Path(__file__).parent / "checkpoints" / "band.pt"
UNET, ALIAS = "model.unet.", "model.diffusion.net."  # what a Lightning file lists every tensor below
PUBLISHED = MSDMConfig()
PUBLISHED_STEPS = {"total": 150, "arrangement": 256, "separation": 150}
STEPS = {"total": 100, "arrangement": 100, "separation": 150}  # of normal data, 50 steps lose 1.2 dB, 100 lose 0.7
BATCH_SIZE = 8
LEAST_STEPS = 52  # of separation: with fewer, an error of a stem that the others share in grows from step to step
PUBLISHED_FILE = (
    "glorious-star-335/epoch=729-valid_loss=0.014.ckpt of the tar at "
    "https://drive.google.com/file/d/1mfozibogvNrUaeS283OBz26MWNeZv-OO/view"
)


class MSDM:
    """A network and the released samplers: Euler with churn, from sigma 20 (separation: 1) down to 0.0001 and 0.

    Clips have `samples` samples at `rate` Hz. The network makes waves of its training's length, or of the smallest
    multiple of its down-sampling that holds a clip where that is longer; they are cut to the clip.
    options: as SamplingOptions has them; `steps` of every task, and where it is None `default_steps` of each.
    provenance: where the network comes from; what samples depend on besides is added.

    `on_step(step, steps)` is called after each of the steps that denoise a batch; who watches it sets it.
    """

    name, sample_rate, stems = "msdm", SAMPLE_RATE, STEMS

    def __init__(
        self,
        network: MSDMUNet,
        provenance: Mapping[str, Any],
        device: str,
        options: SamplingOptions,
        *,
        samples: int,
        rate: int,
        default_steps: Mapping[str, int] = STEPS,
    ):
        self._network, self._device = network.eval().to(device), device
        self._steps = dict(default_steps) if options.steps is None else dict.fromkeys(default_steps, options.steps)
        self._batch_size, self._precision = options.batch_size or BATCH_SIZE, options.precision
        self._clip = samples, rate
        can_separate = self._steps["separation"] >= LEAST_STEPS
        self.tasks = frozenset(task for task in STEPS if task != "separation" or can_separate)
        self._abilities = Abilities(self.name, STEMS, self.tasks)
        factor = network.config.downsampling
        self._length = max(network.config.samples, -(-self._samples_at(SAMPLE_RATE) // factor) * factor)
        self.on_step: Callable[[int, int], None] = lambda step, steps: None
        self.provenance = {
            **provenance,
            "sampler": "Euler with churn, " + ", ".join(f"{task} {count} steps" for task, count in self._steps.items()),
        }
        if self._precision != "float32":
            self.provenance["precision"] = self._precision
        if self._length > network.config.samples:
            trained = network.config.samples / SAMPLE_RATE
            self.provenance["duration"] = f"{samples / rate:g} s by a model trained on {trained:.4g} s"

    def generate(
        self, n: int, stems: Sequence[str], *, given: Sequence[StemSet] | None = None, seed: int = 0, start: int = 0
    ) -> Iterator[StemSet]:
        """Yield samples start ... start + n - 1, float32 [samples] within [-1, 1].

        Sample i is the same in any batch, up to float rounding.
        given[i] holds the stems of sample i to keep, or one stem `mixture` to separate; all of a call hold the one or
        the other, of a clip's duration, at any rate. Stems to keep come back as they are, and what is made beside them
        at their rate; else samples are at 22,050 Hz. Raises UsageError for what cannot be kept or separated.
        """
        self._abilities.check_asked(stems, given, start + n)
        task = "total" if given is None or not n else task_of(given[start])
        if task == "separation" and self._steps[task] < LEAST_STEPS:
            raise UsageError(
                f"model 'msdm': separation in {self._steps[task]} steps diverges; it takes {LEAST_STEPS} or more"
            )
        for first in range(start, start + n, self._batch_size):
            numbers = range(first, min(first + self._batch_size, start + n))
            clips = [given[i] for i in numbers] if given is not None else []
            for i, clip in zip(numbers, clips):
                self._abilities.check_given(clip, i, task, self._samples_at(clip.sample_rate), stems)
            for b, waves in enumerate(self._waves(seed, numbers, task, clips).numpy()):
                sample, rate = dict(zip(STEMS, waves)), SAMPLE_RATE
                if task == "arrangement":
                    rate = clips[b].sample_rate
                    sample = self._beside(clips[b], sample, stems)
                yield StemSet(f"{numbers[b]:05d}", {stem: sample[stem] for stem in stems}, rate)

    def _beside(self, clip: StemSet, sample: Mapping[str, np.ndarray], stems: Sequence[str]) -> dict[str, np.ndarray]:
        """The stems that a clip keeps, and the others of `stems` at its rate."""
        return {
            stem: audio.resample(sample[stem], SAMPLE_RATE, clip.sample_rate)[: self._samples_at(clip.sample_rate)]
            for stem in set(stems) - clip.stems.keys()
        } | dict(clip.stems)

    def _samples_at(self, rate: int) -> int:
        """A clip's samples at this rate, rounded up."""
        samples, own_rate = self._clip
        return -(-samples * rate // own_rate)

    @torch.inference_mode()
    def _waves(self, seed: int, numbers: Sequence[int], task: str, clips: Sequence[StemSet]) -> Tensor:
        """float32 [B, S, samples] on the CPU; clips[b] is what sample b is given."""
        draw = noise_per_sample(seed, numbers, (len(STEMS), self._length))

        def noise() -> Tensor:
            return draw().to(self._device)

        denoise, steps = self._denoised, self._steps[task]
        if task == "separation":
            waves = [self._padded(clip.stems[MIXTURE], clip.sample_rate) for clip in clips]
            mixture = torch.stack(waves)[:, None].to(self._device)  # [B, 1, L]
            walk = separate(denoise, noise(), karras_schedule(steps, sigma_max=1.0), noise, mixture)
        elif task == "arrangement":
            known, mask = self._known(clips)
            walk = euler(denoise, noise(), karras_schedule(steps), noise, s_churn=10.0, known=known, mask=mask)
        else:
            walk = euler(denoise, noise(), karras_schedule(steps), noise)
        for step, x in enumerate(walk, 1):  # noqa: B007  the last x is what is wanted
            self.on_step(step, steps)
        return x[..., : self._samples_at(SAMPLE_RATE)].clamp(-1.0, 1.0).cpu()

    def _denoised(self, x: Tensor, sigma: Tensor) -> Tensor:
        def network(*arguments: Tensor) -> Tensor:
            with reduced_precision(self._precision, x.device):
                return self._network(*arguments)

        return denoised(network, x, sigma.to(x.device).expand(len(x)))

    def _known(self, clips: Sequence[StemSet]) -> tuple[Tensor, Tensor]:
        """The stems to keep and their mask, [B, S, L]. Nothing is known of what comes after a clip's end."""
        known = torch.zeros(len(clips), len(STEMS), self._length)
        mask = torch.zeros_like(known)
        for b, clip in enumerate(clips):
            for stem, wave in clip.stems.items():
                known[b, STEMS.index(stem)] = self._padded(wave, clip.sample_rate)
                mask[b, STEMS.index(stem), : self._samples_at(SAMPLE_RATE)] = 1.0
        return known.to(self._device), mask.to(self._device)

    def _padded(self, wave: np.ndarray, rate: int) -> Tensor:
        """float32 [L] at 22,050 Hz, with zeros at the end."""
        wave = audio.resample(np.asarray(wave, np.float32), rate, SAMPLE_RATE)[: self._length]
        return torch.from_numpy(np.pad(wave, (0, self._length - len(wave))))


def make(
    *,
    weights: str | None,
    device: str,
    suite: Suite,
    steps: int | None = None,
    batch_size: int | None = None,
    precision: str = "float32",
) -> MSDM:
    """The generator of a checkpoint.

    weights: None for the embedded one, trained on synthetic songs; else a file, of mtbench's training or the
    published Lightning file. steps: of every task; else, as published, 150 (arrangement: 256) with published weights,
    and with others 100 (separation: 150). batch_size: samples denoised together, 8 as a rule; it changes no sample.
    precision: as in SyncTrack's factory.
    Raises UsageError for a file that is not there or not such a checkpoint, and for options that cannot be.
    """
    options = SamplingOptions.of("msdm", _check_steps, steps=steps, batch_size=batch_size, precision=precision)
    if weights == "published":
        raise UsageError(f"model 'msdm': published weights go by no name: unpack and name the file, {PUBLISHED_FILE}")
    path = Path(weights or EMBEDDED)
    checkpoint = load(path)
    if has_names_below(UNET, checkpoint):
        network, default_steps = _of_lightning(path, checkpoint["state_dict"]), PUBLISHED_STEPS
        origin: dict[str, Any] = {"trained_on": "Slakh2100"}
    else:
        default_steps = STEPS
        network, origin = trained_network("msdm", path, checkpoint, lambda config: MSDMUNet(MSDMConfig(**config)))
    provenance = {
        "weights": short_path(path),
        "weights_sha256": checked_sha256(path),
        **origin,
        "form": "published",
        "parameters": sum(p.numel() for p in network.parameters()),
    }
    samples, rate = suite.n_samples, suite.sample_rate
    return MSDM(network, provenance, device, options, samples=samples, rate=rate, default_steps=default_steps)


def _check_steps(steps: int) -> None:
    """Raise ValueError for a number of steps that has no schedule."""
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps}")


def _of_lightning(path: Path, state: Mapping[str, Tensor]) -> MSDMUNet:
    """The network of a published file, in which every tensor has two names. Without averaged weights, as published."""
    own, other = below(UNET, state), below(ALIAS, state)
    if {name: value.shape for name, value in own.items()} != {name: value.shape for name, value in other.items()}:
        raise UsageError(
            f"{path} does not hold the expected weights: the names below {ALIAS} are not those below "
            f"{UNET}, or not of their shapes"
        )
    return filled(path, partial(MSDMUNet, PUBLISHED), own | without(state, (UNET, ALIAS)))
