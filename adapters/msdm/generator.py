"""MSDM as a Generator: waves of four stems at 22,050 Hz, directly from noise."""

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
UNET, ALIAS = "model.unet.", "model.diffusion.net."  # a Lightning file lists every tensor under both prefixes
PUBLISHED = MSDMConfig()
PUBLISHED_STEPS = {"total": 150, "arrangement": 256, "separation": 150}
# On normally distributed data, 50 steps lose 1.2 dB and 100 steps 0.7 dB.
STEPS = {"total": 100, "arrangement": 100, "separation": 150}
BATCH_SIZE = 8
LEAST_STEPS = 52  # of separation: with fewer, an error common to several stems grows from step to step
PUBLISHED_FILE = (
    "glorious-star-335/epoch=729-valid_loss=0.014.ckpt from the archive at "
    "https://drive.google.com/file/d/1mfozibogvNrUaeS283OBz26MWNeZv-OO/view"
)


class MSDM:
    """A network with the released samplers: Euler with churn, from sigma 20 (separation: 1) down to 0.0001 and 0.

    Clips have `samples` samples at `rate` Hz. The network generates waves of the length that it was trained on or, if
    clips are longer, of the smallest multiple of its down-sampling that covers a clip; they are cut to the clip's
    length.
    options: see SamplingOptions; `steps` applies to every task (None: `default_steps` of each task).
    provenance: the origin of the network; everything else that the samples depend on is added.

    `on_step(step, steps)` is called after each denoising step of a batch; callers may replace it.
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
        given[i] contains either the stems of sample i to keep, or a single stem `mixture` to separate; this must be the
        same for all samples of a call. Given stems have a clip's duration and any sample rate. Stems to keep are
        returned unchanged, and the generated stems are resampled to their rate; otherwise samples are at 22,050 Hz.
        Raises UsageError for given stems that cannot be kept or separated.
        """
        self._abilities.check_asked(stems, given, start + n)
        task = "total" if given is None or not n else task_of(given[start])
        if task == "separation" and self._steps[task] < LEAST_STEPS:
            raise UsageError(
                f"model 'msdm': separation with {self._steps[task]} steps diverges; use steps of at least {LEAST_STEPS}"
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
        """Return the stems of the given clip, and the other stems in `stems` resampled to its rate."""
        return {
            stem: audio.resample(sample[stem], SAMPLE_RATE, clip.sample_rate)[: self._samples_at(clip.sample_rate)]
            for stem in set(stems) - clip.stems.keys()
        } | dict(clip.stems)

    def _samples_at(self, rate: int) -> int:
        """Return the length of a clip in samples at this rate, rounded up."""
        samples, own_rate = self._clip
        return -(-samples * rate // own_rate)

    @torch.inference_mode()
    def _waves(self, seed: int, numbers: Sequence[int], task: str, clips: Sequence[StemSet]) -> Tensor:
        """Generate waves, float32 [B, S, samples] on the CPU; clips[b]: the given stems of sample b."""
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
        for step, x in enumerate(walk, 1):  # noqa: B007  the last x is the result
            self.on_step(step, steps)
        return x[..., : self._samples_at(SAMPLE_RATE)].clamp(-1.0, 1.0).cpu()

    def _denoised(self, x: Tensor, sigma: Tensor) -> Tensor:
        def network(*arguments: Tensor) -> Tensor:
            with reduced_precision(self._precision, x.device):
                return self._network(*arguments)

        return denoised(network, x, sigma.to(x.device).expand(len(x)))

    def _known(self, clips: Sequence[StemSet]) -> tuple[Tensor, Tensor]:
        """Return the stems to keep and their mask, each [B, S, L]; the mask is 0 after the end of a clip."""
        known = torch.zeros(len(clips), len(STEMS), self._length)
        mask = torch.zeros_like(known)
        for b, clip in enumerate(clips):
            for stem, wave in clip.stems.items():
                known[b, STEMS.index(stem)] = self._padded(wave, clip.sample_rate)
                mask[b, STEMS.index(stem), : self._samples_at(SAMPLE_RATE)] = 1.0
        return known.to(self._device), mask.to(self._device)

    def _padded(self, wave: np.ndarray, rate: int) -> Tensor:
        """Resample a wave to 22,050 Hz and pad it with zeros to float32 [L]."""
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
    """Create the generator from a checkpoint.

    weights: a checkpoint written by mtbench's training, or the published Lightning file (None: the embedded checkpoint,
    trained on synthetic songs). steps: number of steps for every task (None: with published weights 150, arrangement
    256, as published; with other weights 100, separation 150). batch_size: samples denoised together (default: 8); it
    does not change the samples. precision: see SyncTrack's factory.
    Raises UsageError if the file does not exist or is not such a checkpoint, and for invalid options.
    """
    options = SamplingOptions.of("msdm", _check_steps, steps=steps, batch_size=batch_size, precision=precision)
    if weights == "published":
        raise UsageError(
            f"model 'msdm': weights 'published' is not available: extract {PUBLISHED_FILE} and pass the file as weights"
        )
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
    """Raise ValueError for a number of steps without a schedule."""
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps}")


def _of_lightning(path: Path, state: Mapping[str, Tensor]) -> MSDMUNet:
    """Return the network of a published file, which lists every tensor twice and has no averaged weights."""
    own, other = below(UNET, state), below(ALIAS, state)
    if {name: value.shape for name, value in own.items()} != {name: value.shape for name, value in other.items()}:
        raise UsageError(
            f"{path} does not contain the expected weights: the tensors under {ALIAS} and {UNET} differ in their "
            "names or shapes"
        )
    return filled(path, partial(MSDMUNet, PUBLISHED), own | without(state, (UNET, ALIAS)))
