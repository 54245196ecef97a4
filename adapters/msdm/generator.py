"""MSDM behind the benchmark's interface: waves of four stems at 22,050 Hz, straight from noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from musicldm import published
from musicldm.diffusion import noise_per_sample
from musicldm.fetch import checked_sha256
from musicldm.generator import PRECISIONS, check_asked, check_given, reduced_precision, task_of, trained_network
from torch import Tensor

from msdm.network import MSDMConfig, MSDMUNet
from msdm.sampling import denoised, euler, karras_schedule, separate
from mtbench import audio
from mtbench.errors import UsageError
from mtbench.stems import StemSet

STEMS = ("bass", "drums", "guitar", "piano")  # the order of the network's channels
SAMPLE_RATE = 22050  # Hz
EMBEDDED = Path(__file__).parent / "checkpoints" / "band.pt"
UNET, ALIAS = "model.unet.", "model.diffusion.net."  # what a Lightning file lists every tensor below
PUBLISHED = MSDMConfig()
PUBLISHED_STEPS = {"total": 150, "arrangement": 256, "separation": 150}
STEPS = {"total": 100, "arrangement": 100, "separation": 150}  # of normal data, 50 steps lose 1.2 dB, 100 lose 0.7
LEAST_STEPS = 52  # of separation: with fewer, an error of a stem that the others share in grows from step to step
PUBLISHED_FILE = (
    "glorious-star-335/epoch=729-valid_loss=0.014.ckpt of the tar at "
    "https://drive.google.com/file/d/1mfozibogvNrUaeS283OBz26MWNeZv-OO/view"
)


class MSDM:
    """A network and the released samplers: Euler with churn, from sigma 20 (separation: 1) down to 0.0001 and 0.

    steps: {task: steps}. Clips have `samples` samples at `rate` Hz. The network makes waves of its training's length,
    or of the smallest multiple of its down-sampling that holds a clip where that is longer; they are cut to the clip.
    precision: of the network, one of PRECISIONS; all but float32 change samples beyond rounding, and are part of the
    provenance.

    `on_step(done, steps)` is called after each of the steps that denoise a batch; who watches it sets it.
    """

    name, sample_rate, stems = "msdm", SAMPLE_RATE, STEMS

    def __init__(
        self,
        network: MSDMUNet,
        provenance: Mapping[str, Any],
        device: str,
        steps: Mapping[str, int],
        batch_size: int,
        samples: int,
        rate: int,
        precision: str = "float32",
    ):
        self._network, self._device, self._batch_size = network.eval().to(device), device, batch_size
        self._steps, self._clip, self._precision = dict(steps), (samples, rate), precision
        can_separate = self._steps["separation"] >= LEAST_STEPS
        self.tasks = frozenset(task for task in STEPS if task != "separation" or can_separate)
        factor = network.config.downsampling
        self._length = max(network.config.samples, -(-self._samples_at(SAMPLE_RATE) // factor) * factor)
        self.on_step: Callable[[int, int], None] = lambda done, steps: None
        self.provenance = {
            **provenance,
            "sampler": "Euler with churn, " + ", ".join(f"{task} {count} steps" for task, count in self._steps.items()),
        }
        if precision != "float32":
            self.provenance["precision"] = precision
        if self._length > network.config.samples:
            trained = network.config.samples / SAMPLE_RATE
            self.provenance["duration"] = f"{samples / rate:g} s by a model trained on {trained:.4g} s"

    def generate(
        self, n: int, stems: Sequence[str], *, given: Sequence[StemSet] | None = None, seed: int = 0, start: int = 0
    ) -> Iterator[StemSet]:
        """Samples start ... start + n - 1; sample i is the same in any batch, up to float rounding.

        given[i] holds the stems of sample i to keep, or one stem `mixture` to separate; all of a call hold the one or
        the other, of a clip's duration, at any rate. Stems to keep come back as they are, and what is made beside them
        at their rate; else samples are at 22,050 Hz. Raises UsageError for what cannot be kept or separated.
        """
        check_asked(stems, given, start + n)
        task = "total" if given is None or not n else task_of(given[start])
        if task == "separation" and self._steps[task] < LEAST_STEPS:
            raise UsageError(
                f"model 'msdm': separation in {self._steps[task]} steps diverges; it takes {LEAST_STEPS} or more"
            )
        for first in range(start, start + n, self._batch_size):
            numbers = range(first, min(first + self._batch_size, start + n))
            held = [given[i] for i in numbers] if given is not None else []
            for i, song in zip(numbers, held):
                check_given("msdm", self.tasks, song, i, task, self._samples_at(song.sample_rate), stems)
            kept = held if task == "arrangement" else []
            for b, waves in enumerate(self._waves(seed, numbers, task, held).numpy()):
                made, rate = dict(zip(STEMS, waves)), SAMPLE_RATE
                if kept:
                    rate = kept[b].sample_rate
                    made = {
                        stem: audio.resample(made[stem], SAMPLE_RATE, rate)[: self._samples_at(rate)]
                        for stem in set(stems) - kept[b].stems.keys()
                    } | dict(kept[b].stems)
                yield StemSet(f"{numbers[b]:05d}", {stem: made[stem] for stem in stems}, rate)

    def _samples_at(self, rate: int) -> int:
        """A clip's samples at this rate, rounded up."""
        samples, own_rate = self._clip
        return -(-samples * rate // own_rate)

    @torch.inference_mode()
    def _waves(self, seed: int, numbers: Sequence[int], task: str, held: Sequence[StemSet]) -> Tensor:
        """float32 [B, S, samples] on the CPU; held[b] is what sample b is given."""
        draw = noise_per_sample(seed, numbers, (len(STEMS), self._length))
        noise = lambda: draw().to(self._device)  # noqa: E731
        denoise = self._denoised
        steps = self._steps[task]
        if task == "separation":
            mixture = torch.stack([self._padded(song.stems["mixture"], song.sample_rate) for song in held])[:, None]
            walk = separate(denoise, noise(), karras_schedule(steps, sigma_max=1.0), noise, mixture.to(self._device))
        elif task == "arrangement":
            walk = euler(denoise, noise(), karras_schedule(steps), noise, s_churn=10.0, **self._known(held))
        else:
            walk = euler(denoise, noise(), karras_schedule(steps), noise)
        for done, x in enumerate(walk, 1):
            self.on_step(done, steps)
        return x[..., : self._samples_at(SAMPLE_RATE)].clamp(-1.0, 1.0).cpu()

    def _denoised(self, x: Tensor, sigma: Tensor) -> Tensor:
        def network(*arguments: Tensor) -> Tensor:
            with reduced_precision(self._precision, x.device):
                return self._network(*arguments)

        return denoised(network, x, sigma.to(x.device).expand(len(x)))

    def _known(self, held: Sequence[StemSet]) -> dict[str, Tensor]:
        """The stems to keep and their mask, [B, S, L]. Nothing is known of what comes after a clip's end."""
        known = torch.zeros(len(held), len(STEMS), self._length)
        mask = torch.zeros_like(known)
        for b, song in enumerate(held):
            for stem, wave in song.stems.items():
                known[b, STEMS.index(stem)] = self._padded(wave, song.sample_rate)
                mask[b, STEMS.index(stem), : self._samples_at(SAMPLE_RATE)] = 1.0
        return {"known": known.to(self._device), "mask": mask.to(self._device)}

    def _padded(self, wave: np.ndarray, rate: int) -> Tensor:
        """float32 [L] at 22,050 Hz, with zeros at the end."""
        wave = audio.resample(np.asarray(wave, np.float32), rate, SAMPLE_RATE)[: self._length]
        return torch.from_numpy(np.pad(wave, (0, self._length - len(wave))))


def make(
    *,
    weights: str | None,
    device: str,
    suite: Any,
    steps: int | None = None,
    batch_size: int | None = None,
    precision: str = "float32",
) -> MSDM:
    """The generator of a checkpoint.

    weights: None for the embedded one, trained on synthetic songs; else a file, of mtbench's training or the
    published Lightning file. steps: of every task; else, as published, 150 (arrangement: 256) with published weights,
    and with others 100 (separation: 150). batch_size: samples denoised together, 8 as a rule; it changes no sample.
    precision: as in SyncTrack's factory.
    Raises UsageError for a file that is not there or no such checkpoint, and for steps or a batch_size that cannot be.
    """
    if weights == "published":
        raise UsageError(f"model 'msdm': published weights go by no name: unpack and name the file, {PUBLISHED_FILE}")
    path = Path(weights or EMBEDDED)
    held = published.load(path)
    state = held.get("state_dict")
    if isinstance(state, dict) and any(name.startswith(UNET) for name in state):
        network, origin, counts = _of_lightning(path, state), {"trained_on": "Slakh2100"}, PUBLISHED_STEPS
    else:
        network, origin = trained_network("msdm", path, held, lambda config: MSDMUNet(MSDMConfig(**config)))
        counts = STEPS
    counts = counts if steps is None else dict.fromkeys(STEPS, steps)
    batch_size = 8 if batch_size is None else batch_size
    if batch_size < 1:
        raise UsageError(f"model 'msdm': batch_size must be at least 1, got {batch_size}")
    if min(counts.values()) < 2:
        raise UsageError(f"model 'msdm': steps must be at least 2, got {steps}")
    if precision not in PRECISIONS:
        raise UsageError(f"model 'msdm': precision must be one of {', '.join(PRECISIONS)}, got '{precision}'")
    provenance = {
        "weights": "/".join(path.parts[-3:]),
        "weights_sha256": checked_sha256(path),
        **origin,
        "form": "published",
        "parameters": sum(p.numel() for p in network.parameters()),
    }
    return MSDM(network, provenance, device, counts, batch_size, suite.n_samples, suite.sample_rate, precision)


def _of_lightning(path: Path, state: Mapping[str, Tensor]) -> MSDMUNet:
    """The network of a published file, in which every tensor has two names. Without averaged weights, as published."""
    own, other = (
        {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        for prefix in (UNET, ALIAS)
    )
    if {name: value.shape for name, value in own.items()} != {name: value.shape for name, value in other.items()}:
        raise UsageError(
            f"{path} does not hold the expected weights: the names below {ALIAS} are not those below "
            f"{UNET}, or not of their shapes"
        )
    more = {name: value for name, value in state.items() if not name.startswith((UNET, ALIAS))}
    return published.filled(path, partial(MSDMUNet, PUBLISHED), own | more)
