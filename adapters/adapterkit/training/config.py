"""The config of a training: a YAML file such as configs/train-*.yaml, as one validated object.

TrainConfig has the keys common to all trainings; its subclasses add the keys specific to each kind of training.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mtbench.errors import UsageError
from mtbench.files import read_yaml
from mtbench.suites import band

ConfigT = TypeVar("ConfigT", bound="TrainConfig")
SizedT = TypeVar("SizedT")
ELSEWHERE = {  # paths, duration, hardware and reports: these may differ when a training resumes
    "out",
    "work",
    "steps",
    "minutes",
    "threads",
    "devices",
    "precision",
    "compile",
    "report_every",
    "score_every",
    "score_songs",
}


class TrainConfig(BaseModel):
    """The keys common to all trainings. Unknown keys are refused.

    `network` contains the fields of the network's config. `out` is the checkpoint to write. `work` is the folder of the
    caches; the state and the logs are in its subfolder `name`.

    The training uses `songs` songs of the `suite`: for `band`, those from seed `first_seed` on; for any other suite,
    the first ones (None: all). The last `validation` of them are held back to measure the validation loss.

    The training ends after `steps` or, if set, `minutes`. One step uses `accumulate` times `batch` songs, in all
    processes together. There are `devices` processes, each with a GPU. `compile` compiles the network with torch, which
    takes a minute at the start and needs a C++ compiler. `threads` is the number of CPU threads.

    The learning rate rises over `warm_up` steps, then falls to zero along a half cosine or stays constant
    (`schedule`). `betas` are AdamW's; with the `optimizer` muon, AdamW trains only the weights outside the hidden
    layers. The network's weights are averaged with `ema_decay`, at the start over fewer steps, as published.
    Every `report_every` steps the losses are logged and the state is saved.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    what: ClassVar[str] = "any network"  # names the trained network in error messages

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    network: dict[str, Any]
    out: Path
    work: Path = Path("work")
    suite: str = "band"
    songs: int | None = Field(default=None, ge=2)
    first_seed: int = band.seeds("train")[0]
    validation: int = Field(default=32, ge=1)
    seed: int = 0
    steps: int = Field(ge=1)
    minutes: float = Field(default=math.inf, gt=0)
    batch: int = Field(ge=1)
    accumulate: int = Field(default=1, ge=1)
    devices: int = Field(default=1, ge=1)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "bf16-mixed"
    compile: bool = False
    learning_rate: float = Field(gt=0)
    warm_up: int = Field(default=100, ge=1)
    schedule: Literal["cosine", "constant"] = "cosine"
    optimizer: Literal["adamw", "muon"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(default=0.01, ge=0)
    ema_decay: float = Field(default=0.999, gt=0, lt=1)
    report_every: int = Field(default=100, ge=1)
    threads: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _muon_takes_no_scaled_gradients(self) -> TrainConfig:
        if self.optimizer == "muon" and self.precision == "16-mixed":
            raise ValueError("optimizer muon requires precision 32-true or bf16-mixed, not 16-mixed")
        return self

    @property
    def folder(self) -> Path:
        """Folder of the state, the logs and the samples of the training."""
        return self.work / self.name

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Everything that must stay the same when a training resumes."""
        return self.model_dump(mode="json", exclude=ELSEWHERE)

    def sized(self, make: Callable[..., SizedT]) -> SizedT:
        """Call `make` with the fields of `network`. Raises UsageError for a field or value that it refuses."""
        try:
            return make(**self.network)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{self.name}: network: {error}") from None


class VAETraining(TrainConfig):
    """Training of a VAE.

    `crop`: length in frames of the crops of a stem used for training; since the VAE is convolutional, many short crops
    are more effective than few long ones. `kl_weight`: weight of the divergence of the posterior from the standard
    normal distribution.
    """

    what = "a VAE"

    crop: int = Field(default=256, ge=1)
    kl_weight: float = Field(default=0.0, ge=0)


class VocoderTraining(TrainConfig):
    """Training of a vocoder, on log-mels or, if `vae` is set, on their reconstructions by the VAE in that checkpoint.

    `initial_weights`: a vocoder to start from. `crop`: length in frames of the crops used for training. The
    discriminators have `discriminator_width` times the published number of channels and are used after
    `adversarial_from` steps. `stft_weight`: weight of a multi-resolution STFT loss, which HiFi-GAN does not have.
    """

    what = "a vocoder"

    vae: Path | None = None
    initial_weights: Path | None = None
    crop: int = Field(default=256, ge=1)
    discriminator_width: float = Field(default=1.0, gt=0)
    adversarial_from: int = Field(default=0, ge=0)
    stft_weight: float = Field(default=0.0, ge=0)


class GeneratorTraining(TrainConfig):
    """Training of a generator of music.

    `initial_weights`: a checkpoint to start from. If `score_every` is not 0, `score_songs` samples are generated and
    scored every `score_every` steps, at the start and at the end.
    """

    what = "a generator"

    initial_weights: Path | None = None
    score_every: int = Field(default=0, ge=0)
    score_songs: int = Field(default=16, ge=2)


class LatentTraining(GeneratorTraining):
    """Training of a diffusion model on the latents of the VAE in the checkpoint `vae`.

    `parameterization`: the network predicts the noise (eps), as published, or the velocity (v), which a small network
    predicts well even from inputs that are almost pure noise. `without_mixture` is for MSG-LD only: the fraction of
    songs used without their mixture (published: a tenth). With 1 the model is never trained with mixtures and cannot
    separate.
    """

    what = "a latent diffusion model"

    vae: Path | None = None
    parameterization: Literal["eps", "v"] = "eps"
    without_mixture: float = Field(default=1.0, gt=0, le=1)


class WaveTraining(GeneratorTraining):
    """Training of a diffusion model on waves, such as MSDM."""

    what = "a diffusion model of waves"


def read_config(path: Path, kind: type[ConfigT]) -> ConfigT:
    """Read a config file.

    With `like: FILE`, keys missing from this file are taken from FILE in the same folder; `network` is merged key by
    key. Raises UsageError naming the file and the problem; for an unknown key it suggests the closest key, or names the
    kind of training that the key belongs to.
    """
    values = _values(path)
    for key in values:
        if key not in kind.model_fields:
            raise UsageError(f"{path}: {_unknown_key(str(key), kind)}")
    try:
        return kind(**values)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(name) for name in problem["loc"])
        raise UsageError(f"{path}: {key}: {problem['msg']} (got {problem.get('input')!r})") from None


def _unknown_key(key: str, kind: type[TrainConfig]) -> str:
    """Return the error message for a key that this kind of training does not have."""
    owners = [other.what for other in _kinds(TrainConfig) if key in other.model_fields]
    if owners:
        return f"{key} is only for the training of {' or '.join(owners)}; this is the training of {kind.what}"
    near = difflib.get_close_matches(key, kind.model_fields, n=1)
    return f"{key}: Extra inputs are not permitted" + (f". Did you mean '{near[0]}'?" if near else "")


def _kinds(kind: type[TrainConfig]) -> Iterator[type[TrainConfig]]:
    """Yield the subclasses of this kind of training (or itself) that have no subclasses."""
    kinds = kind.__subclasses__()
    for each in kinds:
        yield from _kinds(each)
    if not kinds:
        yield kind


def _values(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a file, merged with the file named by its `like`; above: the files that led to this one."""
    if path.resolve() in above:
        raise UsageError(f"{path}: like: circular reference through {len(above)} file{'s' if len(above) > 1 else ''}")
    values = read_yaml(path)
    if "like" not in values:
        return values
    like = values.pop("like")
    if not isinstance(like, str):
        raise UsageError(f"{path}: like: must name a file in the same folder, got {like!r}")
    base = _values(path.parent / like, (*above, path.resolve()))
    return base | values | {"network": (base.get("network") or {}) | (values.get("network") or {})}
