"""What is asked of a training: a YAML file, as in configs/train-*.yaml, as one validated object.

TrainConfig holds what every training has, and each kind of training adds the keys that belong to it alone.
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
ELSEWHERE = {  # where files lie, how long a training lasts, what it runs on and reports: it may resume with others
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
    """What every training has. Unknown keys are refused.

    `network` holds the fields of the network's config; `out` is the checkpoint to write, `work` the folder for caches
    and, below `name`, for the state and the logs.

    `songs` songs of the `suite`: `band` from seed `first_seed` on, of another suite the first ones (None: all); the
    last `validation` of them are held back to measure the loss on.

    The training ends after `steps` or, where given, `minutes`. A step takes `accumulate` times `batch` songs, in all
    processes together; there are `devices` processes, each with a GPU. `compile` lets torch compile the network, which
    takes a minute at the start and a C++ compiler. `threads` is a CPU's.

    The learning rate rises over `warm_up` steps, then falls along a half cosine to zero at the end, or stays
    (`schedule`). `betas` are AdamW's; with the `optimizer` muon only the weights outside the hidden layers are its
    own. The network's weights are averaged with `ema_decay`, at the start over fewer steps, as published.
    Every `report_every` steps the losses are logged and the state is saved.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    what: ClassVar[str] = "any network"  # is trained, in messages

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
            raise ValueError("optimizer muon goes with precision 32-true or bf16-mixed, not with 16-mixed")
        return self

    @property
    def folder(self) -> Path:
        """Where the state, the logs and the samples of the training lie."""
        return self.work / self.name

    @property
    def fingerprint(self) -> dict[str, Any]:
        """All that must stay the same when a training resumes."""
        return self.model_dump(mode="json", exclude=ELSEWHERE)

    def sized(self, make: Callable[..., SizedT]) -> SizedT:
        """What `make` makes of the fields of `network`. Raises UsageError for a field that it does not take."""
        try:
            return make(**self.network)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{self.name}: network: {error}") from None


class VAETraining(TrainConfig):
    """Of a VAE. `crop`: the frames of a stem that it sees at a time; being convolutional, it learns more from many
    short stretches. `kl_weight`: of the divergence of its posterior from the standard normal distribution."""

    what = "a VAE"

    crop: int = Field(default=256, ge=1)
    kl_weight: float = Field(default=0.0, ge=0)


class VocoderTraining(TrainConfig):
    """Of a vocoder, on log-mels or on what the VAE in the checkpoint `vae` gives back of them.

    `initial_weights`: a vocoder to start from. `crop`: the frames that it sees at a time. Its discriminators have
    `discriminator_width` times the published channels and begin after `adversarial_from` steps. `stft_weight` adds a
    multi-resolution STFT loss, which HiFi-GAN has not.
    """

    what = "a vocoder"

    vae: Path | None = None
    initial_weights: Path | None = None
    crop: int = Field(default=256, ge=1)
    discriminator_width: float = Field(default=1.0, gt=0)
    adversarial_from: int = Field(default=0, ge=0)
    stft_weight: float = Field(default=0.0, ge=0)


class GeneratorTraining(TrainConfig):
    """Of what generates music. `initial_weights`: a checkpoint to start from. With `score_every`, every so many steps,
    at the start and at the end, `score_songs` samples are made and scored."""

    what = "a generator"

    initial_weights: Path | None = None
    score_every: int = Field(default=0, ge=0)
    score_songs: int = Field(default=16, ge=2)


class LatentTraining(GeneratorTraining):
    """Of a diffusion model that learns the latents of the VAE in the checkpoint `vae`.

    `parameterization`: it predicts the noise (eps), as published, or the velocity (v), which a small network gets right
    where there is nearly nothing but noise. `without_mixture` belongs to MSG-LD: the share of the songs that it learns
    without their mixture, as the published one does a tenth; 1: all, so that there is no separation.
    """

    what = "a latent diffusion model"

    vae: Path | None = None
    parameterization: Literal["eps", "v"] = "eps"
    without_mixture: float = Field(default=1.0, gt=0, le=1)


class WaveTraining(GeneratorTraining):
    """Of a diffusion model that learns waves, as MSDM does."""

    what = "a diffusion model of waves"


def read_config(path: Path, kind: type[ConfigT]) -> ConfigT:
    """A config file. `like: FILE` takes what this one leaves out from a file beside it, `network` key by key.

    Raises UsageError naming the file and what is wrong with it: for an unknown key the nearest that there is, or the
    kind of training that it belongs to.
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
    """What is wrong with a key that this kind of training does not have."""
    owners = [other.what for other in _kinds(TrainConfig) if key in other.model_fields]
    if owners:
        return f"{key} belongs to the training of {' or '.join(owners)}; this is the training of {kind.what}"
    near = difflib.get_close_matches(key, kind.model_fields, n=1)
    return f"{key}: Extra inputs are not permitted" + (f". Did you mean '{near[0]}'?" if near else "")


def _kinds(kind: type[TrainConfig]) -> Iterator[type[TrainConfig]]:
    """The kinds of training that specialise this one and that no other specialises."""
    kinds = kind.__subclasses__()
    for each in kinds:
        yield from _kinds(each)
    if not kinds:
        yield kind


def _values(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """What a file holds, with what it is like; above: the files that are like it."""
    if path.resolve() in above:
        raise UsageError(f"{path}: is like itself, by way of {len(above)} file{'s' if len(above) > 1 else ''}")
    values = read_yaml(path)
    if "like" not in values:
        return values
    like = values.pop("like")
    if not isinstance(like, str):
        raise UsageError(f"{path}: like: names a file beside this one, got {like!r}")
    base = _values(path.parent / like, (*above, path.resolve()))
    return base | values | {"network": (base.get("network") or {}) | (values.get("network") or {})}
