"""Training: what the VAE, the vocoder, SyncTrack and MSG-LD share, from a suite's songs to a checkpoint.

Everything lies in one work folder: the songs' log-mels, latents or waves, made once, and `<name>/` with `state.pt` (all
that going on needs), `loss.csv`, `scores.csv` and `samples/`. Files are written aside and renamed, so a killed
training goes on from its last state when the same command is run again.

Every step draws its songs and its noise from (seed, step) alone: a run that was stopped goes on to the same weights,
and two networks trained with one seed see the same songs with the same noise.
"""

from __future__ import annotations

import argparse
import copy
import csv
import hashlib
import math
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import numpy as np
import torch
import yaml
from adapterkit.randomness import evenly_spread, generator_of
from adapterkit.sampling import SamplingOptions
from adapterkit.weights import load, sha256
from joblib import Parallel, delayed
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from mtbench import audio
from mtbench.errors import MtbenchError, UsageError
from mtbench.files import whole_file
from mtbench.stems import N_SAMPLES, SAMPLE_RATE, STEMS, Songs, StemSet
from mtbench.suites import band, open_suite
from musicldm import published
from musicldm.diffusion import TRAIN_STEPS, Parameterization, noise_schedule
from musicldm.first_stage import load_vae
from musicldm.generator import LatentDiffusion, LatentModel
from musicldm.mel import FRAMES, N_MELS, log_mel
from musicldm.muon import Muon
from musicldm.scoring import Scorer
from musicldm.vae import VAE

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Sized = TypeVar("Sized")
SHARD = 250  # songs in a file of the caches

# What is no hidden layer of a network: what reads its input, makes its output or embeds the timestep.
OUTER = re.compile(
    r"^(input_blocks\.0|out|to_in|to_out|time_embed|to_mapping|encoder\.conv_in|decoder\.conv_out|conv_pre|"
    r"conv_post)\.|\b(emb_layers|film_emb|switcher_transform|to_scale_shift)\."
)

# loss(network, songs, generator): the loss of the songs with these numbers, its randomness drawn from the generator.
Loss = Callable[[nn.Module, Tensor, torch.Generator], Tensor]


class TrainConfig(BaseModel):
    """A training run, as written in configs/train-*.yaml. Unknown keys are refused.

    `songs` songs of the `suite`: `band` from seed `first_seed` on, of another suite the first ones (None: all); the
    last `validation` of them are held back to measure the loss on. `network` holds the fields of the network's config,
    `vae` the checkpoint whose latents a diffusion model learns, `initial_weights` a checkpoint to start from.

    The run ends after `steps` or, where given, `minutes` of training. A step takes `accumulate` times `batch` songs,
    in all processes together; `devices` processes, one a GPU. `compile` lets torch compile the network, which takes a
    minute at the start and a C++ compiler. The learning rate rises over `warm_up` steps, then falls along a half cosine to
    zero at the end, or stays (`schedule`). `betas` are AdamW's; with the `optimizer` muon
    only the weights that are not a hidden layer's are its own. The network's weights are averaged with `ema_decay`, at the
    start over fewer steps, as published.

    Every `report_every` steps the losses are logged and the state is saved; with `score_every`, every so many steps,
    at the start and at the end, `score_songs` samples are made and scored. `threads` is a CPU's.
    `crop` belongs to the VAE and the vocoder: the frames of a stem that they see at a time (being convolutional, they
    learn more from many short ones); `kl_weight` to the VAE: the weight of the divergence of its posterior.
    `parameterization` is what a network on latents predicts: the noise (eps), as published, or the velocity (v), which a small
    one gets right where there is nearly nothing but noise.
    `without_mixture` belongs to MSG-LD: the share of the songs that it learns without their mixture, as the published
    one does a tenth; 1: all, so that there is no separation.
    The vocoder's discriminators have `discriminator_width` times the published channels and begin after
    `adversarial_from` steps; `stft_weight` adds a multi-resolution STFT loss, which HiFi-GAN has not, to its losses.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    network: dict[str, Any]
    out: Path
    work: Path = Path("work")
    suite: str = "band"
    songs: int | None = Field(default=None, ge=2)
    first_seed: int = band.seeds("train")[0]
    validation: int = Field(default=32, ge=1)
    vae: Path | None = None
    initial_weights: Path | None = None
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
    score_every: int = Field(default=0, ge=0)
    score_songs: int = Field(default=16, ge=2)
    threads: int = Field(default=1, ge=1)
    crop: int = Field(default=256, ge=1)
    kl_weight: float = Field(default=0.0, ge=0)
    parameterization: Parameterization = "eps"
    without_mixture: float = Field(default=1.0, gt=0, le=1)
    discriminator_width: float = Field(default=1.0, gt=0)
    adversarial_from: int = Field(default=0, ge=0)
    stft_weight: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _muon_takes_no_scaled_gradients(self) -> TrainConfig:
        if self.optimizer == "muon" and self.precision == "16-mixed":
            raise ValueError("optimizer muon goes with precision 32-true or bf16-mixed, not with 16-mixed")
        return self

    @property
    def folder(self) -> Path:
        return self.work / self.name

    @property
    def what_is_learnt(self) -> dict[str, Any]:
        """All that a training must go on with: not where its files lie, how long it is to last, and on what it runs."""
        return self.model_dump(
            mode="json",
            exclude={
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
            },
        )


def read_config(path: Path) -> TrainConfig:
    """A config file. `like: FILE` takes what this one leaves out from a file beside it, `network` key by key.

    Raises UsageError naming the file and what is wrong with it.
    """
    try:
        return TrainConfig(**_values(path))
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise UsageError(f"{path}: {key}: {problem['msg']} (got {problem.get('input')!r})") from None


def _values(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """What a file holds, with what it is like; above: the files that are like it."""
    if path.resolve() in above:
        raise UsageError(f"{path}: is like itself, by way of {len(above)} file{'s' if len(above) > 1 else ''}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise UsageError(f"{path}: holds {type(values).__name__}, not a mapping of keys to values")
    if "like" not in values:
        return values
    base = _values(path.parent / values.pop("like"), (*above, path.resolve()))
    return base | values | {"network": (base.get("network") or {}) | (values.get("network") or {})}


def training_songs(config: TrainConfig) -> Sequence[StemSet]:
    """The songs to learn from and to validate on, each made or read when it is asked for."""
    if config.suite != "band":
        suite = open_suite(config.suite)
        if suite.n_samples != N_SAMPLES:
            raise UsageError(
                f"{config.name}: suite '{config.suite}' has clips of {suite.n_samples / suite.sample_rate:g} s; "
                "trainings take 10.24 s"
            )
        songs = suite.reference()
        count = len(songs) if config.songs is None else config.songs
        if not config.validation < count <= len(songs):
            raise UsageError(
                f"{config.name}: suite '{config.suite}' holds {len(songs)} songs; songs: {config.songs} with "
                f"validation: {config.validation} do not fit"
            )
        return Songs(range(count), songs.__getitem__)
    allowed = band.seeds("train")
    count = config.songs or 0
    if config.first_seed not in allowed or config.first_seed + count - 1 not in allowed or count <= config.validation:
        raise UsageError(
            f"{config.name}: `band` needs more songs than its validation ({config.validation}), with seeds "
            f"from {allowed[0]} to {allowed[-1]}; got songs: {config.songs}, first_seed: {config.first_seed}"
        )
    return Songs(range(config.first_seed, config.first_seed + count), _band_song)


def _band_song(seed: int) -> StemSet:
    song = band.song(seed)
    return StemSet(str(seed), song.stems, band.SAMPLE_RATE)


class Shards:
    """An array kept in files of SHARD songs, memory-mapped: shards[numbers] is [len(numbers), ...]."""

    def __init__(self, folder: Path, songs: int):
        self._parts = [np.load(folder / f"{first:06d}.npy", mmap_mode="r") for first in range(0, songs, SHARD)]
        self.shape = (songs, *self._parts[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def song(self, number: int) -> np.ndarray:
        return self._parts[number // SHARD][number % SHARD]

    def __getitem__(self, numbers: Sequence[int]) -> Tensor:
        return torch.from_numpy(np.stack([self.song(int(i)) for i in numbers]))


def _write_shards(folder: Path, songs: int, what: str, make: Callable[[range], np.ndarray]) -> Shards:
    """Make the shards that are not there yet; one may hold more songs than asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, songs, SHARD):
        target = folder / f"{first:06d}.npy"
        numbers = range(first, min(first + SHARD, songs))
        if target.exists() and len(np.load(target, mmap_mode="r")) >= len(numbers):
            continue
        made = make(numbers)
        with whole_file(target) as file:  # two trainings may make it at once
            np.save(file, made)
        print(f"{what}: {numbers.stop} of {songs} songs", flush=True)
    return Shards(folder, songs)


def training_mels(config: TrainConfig) -> Shards:
    """Log-mels of the training songs, float16 [songs, S, 1024, 64]; made at the first call."""
    return _of_songs(config, "log-mels", "mels", _mels)


def training_waves(config: TrainConfig, rate: int = SAMPLE_RATE) -> Shards:
    """The training songs at 16 bits, int16 [songs, S, 10.24 rate]; made at the first call."""
    folder = "waves" if rate == SAMPLE_RATE else f"waves-{rate}"
    return _of_songs(config, folder, folder, partial(_pcm16, rate=rate))


def training_mixture_mels(config: TrainConfig) -> Shards:
    """Log-mels of the songs' mixtures, float16 [songs, 1, 1024, 64]; made at the first call."""
    return _of_songs(config, "log-mels of mixtures", "mixture-mels", _mixture_mel)


def _mixture_mel(waves: np.ndarray) -> np.ndarray:
    return _mels(waves.sum(axis=0, keepdims=True).clip(-1.0, 1.0))


def _mels(waves: np.ndarray) -> np.ndarray:
    return log_mel(torch.from_numpy(waves)).numpy().astype(np.float16)


def _pcm16(waves: np.ndarray, rate: int) -> np.ndarray:
    """Rounded to the nearest: the floor of the published files would lift silent passages by half a step."""
    waves = np.pad(waves[:, :N_SAMPLES], ((0, 0), (0, max(N_SAMPLES - waves.shape[1], 0))))
    waves = np.stack([audio.resample(wave, SAMPLE_RATE, rate) for wave in waves])
    return np.rint(32768 * waves).clip(-32768, 32767).astype(np.int16)


def _of_songs(config: TrainConfig, what: str, folder: str, make_one: Callable[[np.ndarray], np.ndarray]) -> Shards:
    made = _Made(training_songs(config), make_one)

    def make(numbers: range) -> np.ndarray:
        return np.stack(Parallel(n_jobs=-1)(delayed(made)(i) for i in numbers))

    return _write_shards(config.work / f"{folder}-{_data_key(config)}", len(made.songs), what, make)


class _Made:
    """What `make` makes of the waves of song i, float32 [S, samples], in another process."""

    def __init__(self, songs: Sequence[StemSet], make: Callable[[np.ndarray], np.ndarray]):
        self.songs, self._make = songs, make

    def __call__(self, i: int) -> np.ndarray:
        torch.set_num_threads(1)
        song = self.songs[i]
        return self._make(np.stack([song.stems[stem] for stem in STEMS]))


def training_latents(config: TrainConfig, vae: VAE, device: torch.device) -> Shards:
    """Posterior mean and standard deviation of every stem, float16 [songs, 2, S, C, T, F]; made at the first call."""
    return _latents(config, training_mels(config), "latents", vae, device)


def training_mixture_latents(config: TrainConfig, vae: VAE, device: torch.device) -> Shards:
    """The same of every mixture, float16 [songs, 2, 1, C, T, F]."""
    return _latents(config, training_mixture_mels(config), "mixture-latents", vae, device)


def _latents(config: TrainConfig, mels: Shards, what: str, vae: VAE, device: torch.device) -> Shards:
    vae = copy.deepcopy(vae).to(device, memory_format=torch.channels_last)

    @torch.no_grad()
    def make(numbers: range) -> np.ndarray:
        encoded = []
        for i in numbers:
            with torch.autocast(device.type, torch.bfloat16):
                mean, logvar = vae.encode(mels[[i]][0, :, None].float().to(device))
            encoded.append(torch.stack([mean.float(), (logvar.float() / 2).exp()]).half().cpu().numpy())
        return np.stack(encoded)

    folder = config.work / f"{what}-{sha256(config.vae)[:12]}-{_data_key(config)}"
    return _write_shards(folder, len(mels), what, make)


def training_reconstructions(config: TrainConfig, vae: VAE, device: torch.device) -> Shards:
    """The songs' log-mels as the VAE gives them back, float16 [songs, S, 1024, 64]; made at the first call."""
    vae = copy.deepcopy(vae).to(device, memory_format=torch.channels_last)
    latents = training_latents(config, vae, device)

    @torch.no_grad()
    def make(numbers: range) -> np.ndarray:
        means = (latents[[i]][0, 0].float().to(device) for i in numbers)  # [S, C, T, F]
        return np.stack([vae.decode(mean)[:, 0].half().cpu().numpy() for mean in means])

    folder = config.work / f"reconstructions-{sha256(config.vae)[:12]}-{_data_key(config)}"
    return _write_shards(folder, len(latents), "reconstructions", make)


def _data_key(config: TrainConfig) -> str:
    if config.suite == "band":
        return f"band{band.VERSION}-{config.first_seed}"
    suite = open_suite(config.suite)
    what = f"{suite.name} {suite.version} {len(suite.reference())}"
    return f"{suite.name.replace('/', '-').replace(':', '-')}-{hashlib.sha256(what.encode()).hexdigest()[:8]}"


def scale_factor_of(latents: Shards) -> float:
    """1 / std of sampled latents, as published; over the first shard."""
    mean, std = latents[range(min(SHARD, len(latents)))].float().unbind(1)
    return 1.0 / float((mean.var() + std.square().mean()).sqrt())


def diffusion_loss(
    latents: Shards,
    scale_factor: float,
    mixtures: Shards | None = None,
    without_mixture: float = 0.0,
    parameterization: Parameterization = "eps",
) -> Loss:
    """The mean squared error of the noise (Ho et al. 2020) or the velocity, on scaled posterior samples.

    Timesteps are spread evenly over a batch (one in each B-th of the schedule), which lowers the loss's variance.
    mixtures: latents of the songs' mixtures, the network's third argument; a song has zeros in its stead with the
    probability `without_mixture`, so that guidance can do without it (Ho and Salimans 2022).
    """
    schedule = noise_schedule()

    def sampled(shards: Shards, songs: Tensor, generator: torch.Generator) -> Tensor:
        mean, std = shards[songs].to(generator.device).float().unbind(1)  # [B, S, C, T, F]
        return scale_factor * (mean + std * torch.randn(mean.shape, generator=generator, device=generator.device))

    def loss(network: nn.Module, songs: Tensor, generator: torch.Generator) -> Tensor:
        device, B = generator.device, len(songs)
        x0 = sampled(latents, songs, generator)
        t = (
            (evenly_spread(B, generator) * TRAIN_STEPS)
            .long()
            .clamp(max=TRAIN_STEPS - 1)[torch.randperm(B, generator=generator, device=device)]
        )
        noise = torch.randn(x0.shape, generator=generator, device=device)
        given = []
        if mixtures is not None:
            kept = torch.rand(B, generator=generator, device=device) >= without_mixture
            given = [sampled(mixtures, songs, generator)[:, 0] * kept[:, None, None, None]]
        asked = noise if parameterization == "eps" else schedule.velocity(x0, noise, t)
        return (network(schedule.add_noise(x0, noise, t), t, *given).float() - asked).square().mean()

    return loss


class Opponent(Protocol):
    """What learns against the network, as a discriminator does: its turn comes after the network's, in every step."""

    def learn(self, learning_rate: float) -> None: ...

    def losses(self) -> dict[str, float]:
        """Further columns of loss.csv, always the same: means over the steps since the last call."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class _Objective(nn.Module):
    """A network and its loss as one module, so that a parallel strategy sees one forward a step."""

    def __init__(self, network: nn.Module, loss: Loss):
        super().__init__()
        self.network, self._loss = network, loss

    def forward(self, songs: Tensor, generator: torch.Generator) -> Tensor:
        return self._loss(self.network, songs, generator)


def launch(config: TrainConfig) -> Fabric:
    """The processes and devices of a run: GPUs where torch finds one, else the CPU."""
    try:
        from lightning_fabric import Fabric
    except ImportError:
        raise UsageError("training needs lightning-fabric: pip install -e '.[train]' in mtbench's folder") from None
    torch.set_num_threads(config.threads)
    torch.set_float32_matmul_precision("high")
    fabric = Fabric(devices=config.devices, precision=config.precision)
    fabric.launch()
    return fabric


def train(
    fabric: Fabric,
    config: TrainConfig,
    network: nn.Module,
    loss: Loss,
    songs: int,
    scorer: Scorer | None = None,
    *,
    validation_loss: Loss | None = None,
    opponent: Opponent | None = None,
) -> dict[str, Any]:
    """Train `network` on the first songs but the validation's, going on from the last state in the work folder.

    scorer: of the first process; the others wait for it. validation_loss: what is measured on the validation's songs,
    where it is not the loss.
    Returns a record of what was done; the network then holds the exponential moving average of its weights.
    Raises UsageError for a batch that the processes cannot share, and for a state of another training; MtbenchError if the
    loss is no longer a number.
    """
    if config.batch % fabric.world_size:
        raise UsageError(
            f"{config.name}: a batch of {config.batch} cannot be shared out to {fabric.world_size} processes"
        )
    config.folder.mkdir(parents=True, exist_ok=True)
    network.to(fabric.device)
    ema = copy.deepcopy(network).requires_grad_(False)
    compiled = torch.compile(network) if config.compile else network  # with the network's own parameters
    objective, *optimizers = fabric.setup(_Objective(compiled, loss), *_optimizers(config, network))
    progress: dict[str, Any] = {"step": 0, "seconds": 0.0, "train_loss": math.nan, "validation_loss": math.nan}

    path = config.folder / "state.pt"
    if path.exists():
        try:
            stored = torch.load(path, map_location=fabric.device, weights_only=True)
            was, now = stored["config"], config.what_is_learnt
            if differ := [key for key in now if was.get(key) != now[key]]:
                raise ValueError(f"{', '.join(differ)}: not as they were")
            network.load_state_dict(stored["network"])
            ema.load_state_dict(stored["ema"])
            for optimizer, state in zip(optimizers, stored["optimizers"], strict=True):
                optimizer.load_state_dict(state)
            progress = stored["progress"]
            if opponent:
                opponent.load_state_dict(stored["opponent"])
        except (KeyError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UsageError(
                f"{path}: not a state of the training that {config.name} asks for ({reason}); "
                "put the config back, delete the file, or take another name"
            ) from error
        fabric.print(f"{config.name}: going on from step {progress['step']}")
    if fabric.is_global_zero:
        _forget_after(config.folder, progress["step"])

    def save() -> None:
        if fabric.is_global_zero:
            everything = {
                "config": config.what_is_learnt,
                "progress": progress,
                "network": network.state_dict(),
                "ema": ema.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            }
            if opponent:
                everything["opponent"] = opponent.state_dict()
            torch.save(everything, config.folder / "state.partial.pt")
            (config.folder / "state.partial.pt").rename(path)

    validation = torch.arange(songs - config.validation, songs)
    per_process = config.batch // fabric.world_size
    recent: list[Tensor] = []
    begun = time.monotonic() - progress["seconds"]

    def trained_for() -> float:
        """Seconds. Where they end the training or set its rate, they are the first process's in all of them."""
        seconds = time.monotonic() - begun
        return seconds if math.isinf(config.minutes) else fabric.broadcast(seconds)

    def has_ended() -> bool:
        return progress["step"] >= config.steps or seconds >= 60 * config.minutes

    def score() -> None:
        nonlocal begun
        due = scorer and (has_ended() or progress["step"] % config.score_every == 0)
        if due and not _is_logged(config.folder / "scores.csv", progress["step"]):
            paused = time.monotonic()
            _score(config, progress, ema, scorer)
            begun += time.monotonic() - paused  # the budget is training's alone

    seconds = trained_for()
    score()
    while not has_ended():
        step = progress["step"]
        learning_rate = config.learning_rate * _rate(config, step, seconds)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
        for part in range(config.accumulate):
            # The songs are the same in every process, each of which takes its own of them.
            draw = generator_of("cpu", config.seed, step, part)
            drawn = torch.randint(songs - config.validation, (per_process * fabric.world_size,), generator=draw)
            mine = drawn[fabric.global_rank :: fabric.world_size]
            # From 1 on: numbers that end in 0 give the stream that the songs were drawn from.
            noise = generator_of(fabric.device, config.seed, step, part, 1 + fabric.global_rank)
            with fabric.no_backward_sync(objective, enabled=part + 1 < config.accumulate), _attention(fabric.device):
                value = objective(mine, noise)
                fabric.backward(value / config.accumulate)
            recent.append(value.detach())
        if config.optimizer == "muon":  # whose matrices have their gradients only within its step
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        else:
            fabric.clip_gradients(objective, optimizers[0], max_norm=1.0, error_if_nonfinite=False)
        for optimizer in optimizers:
            optimizer.step()
        objective.zero_grad(set_to_none=True)
        if opponent:
            opponent.learn(learning_rate)
        progress["step"] += 1
        _average(ema, network, min(config.ema_decay, (1 + progress["step"]) / (10 + progress["step"])))
        seconds = trained_for()
        if progress["step"] % config.report_every == 0 or has_ended():
            progress["seconds"] = seconds
            progress["train_loss"] = float(fabric.all_reduce(torch.stack(recent).mean(), reduce_op="mean"))
            recent.clear()
            if not math.isfinite(progress["train_loss"]):
                raise MtbenchError(
                    f"{config.name}: the loss became {progress['train_loss']} before step {progress['step']}; "
                    "try a lower learning_rate"
                )
            progress["validation_loss"] = _validate(fabric, config, ema, validation_loss or loss, validation)
            _log(fabric, config, progress, opponent.losses() if opponent else {})
            save()
        score()
    network.load_state_dict(ema.state_dict())
    return progress


def _optimizers(config: TrainConfig, network: nn.Module) -> list[torch.optim.Optimizer]:
    """Of the network's trainable parameters, on their device: AdamW, and with `muon` Muon for the hidden layers' weights."""
    matrices, rest = [], []
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            is_matrix = parameter.ndim > 1 and min(parameter.flatten(1).shape) > 1  # gains of norms may have axes of 1
            hidden = config.optimizer == "muon" and is_matrix and not OUTER.search(name)
            (matrices if hidden else rest).append(parameter)
    adamw = torch.optim.AdamW(rest, lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay)
    return [adamw] + ([Muon(matrices, config.learning_rate, config.weight_decay)] if matrices else [])


def _attention(device: torch.device) -> AbstractContextManager:
    """On a CPU the fused attention's backward pass takes a third of a step of a small network, and its parts half of that."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def _rate(config: TrainConfig, step: int, seconds: float) -> float:
    risen = min((step + 1) / config.warm_up, 1.0)
    if config.schedule == "constant":
        return risen
    done = min(max(step / config.steps, seconds / (60 * config.minutes)), 1.0)
    return min(risen, 0.5 + 0.5 * math.cos(math.pi * done))


@torch.no_grad()
def _average(ema: nn.Module, network: nn.Module, decay: float) -> None:
    torch._foreach_lerp_(list(ema.parameters()), list(network.parameters()), 1.0 - decay)


@torch.no_grad()
def _validate(fabric: Fabric, config: TrainConfig, ema: nn.Module, loss: Loss, songs: Tensor) -> float:
    """The loss of the averaged weights on held-back songs, always with the same noise."""
    generator = generator_of(fabric.device, config.seed, 1 << 40)
    with fabric.autocast():
        parts = [(len(part), float(loss(ema, part, generator))) for part in songs.split(config.batch)]
    return sum(count * value for count, value in parts) / len(songs)


def _log(fabric: Fabric, config: TrainConfig, progress: dict[str, Any], more: dict[str, float]) -> None:
    if fabric.is_global_zero:
        _append(
            config.folder / "loss.csv",
            {
                "step": progress["step"],
                "seconds": round(progress["seconds"], 1),
                "train_loss": round(progress["train_loss"], 5),
                "validation_loss": round(progress["validation_loss"], 5),
                **{name: round(value, 5) for name, value in more.items()},
            },
        )
        print(
            f"{config.name}: step {progress['step']} of {config.steps}, {progress['seconds'] / 60:.1f} min, "
            f"train {progress['train_loss']:.4f}, validation {progress['validation_loss']:.4f}",
            flush=True,
        )


def _score(config: TrainConfig, progress: dict[str, Any], ema: nn.Module, scorer: Scorer) -> None:
    scores = scorer(ema, config.folder / "samples" / f"{progress['step']:06d}")
    _append(config.folder / "scores.csv", {"step": progress["step"], "seconds": round(progress["seconds"], 1)} | scores)
    print(
        f"{config.name}: step {progress['step']}, " + ", ".join(f"{k} {v:.3g}" for k, v in scores.items()), flush=True
    )


def _append(path: Path, row: dict[str, Any]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def _is_logged(path: Path, step: int) -> bool:
    return path.exists() and any(int(line.split(",")[0]) == step for line in path.read_text().splitlines()[1:])


def _forget_after(folder: Path, step: int) -> None:
    """Drop the lines of the logs that a killed run wrote after its last state."""
    for path in (folder / "loss.csv", folder / "scores.csv"):
        if path.exists():
            lines = path.read_text().splitlines(keepends=True)
            kept = lines[:1] + [line for line in lines[1:] if int(line.split(",")[0]) <= step]
            aside = path.with_suffix(".partial")
            aside.write_text("".join(kept))
            aside.rename(path)


def sized(config: TrainConfig, make: Callable[..., Sized]) -> Sized:
    """What `make` makes of the fields of `network`. Raises UsageError for a field that is not there or cannot be."""
    try:
        return make(**config.network)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{config.name}: network: {error}") from None


def train_diffusion(config: TrainConfig, network: nn.Module) -> None:
    """Train a denoising network on latents and export it, with the scale factor that sampling needs."""
    if config.vae is None:
        raise UsageError(f"{config.name}: a diffusion model needs `vae`, the checkpoint whose latents it learns")
    fabric, vae = launch(config), load_vae(config.vae)
    factor = vae.config.downsampling
    shape = (len(STEMS), vae.config.embed_dim, FRAMES // factor, N_MELS // factor)
    try:
        with torch.no_grad():
            network(torch.zeros(1, *shape), torch.zeros(1, dtype=torch.long))
    except (ValueError, RuntimeError) as error:
        raise UsageError(
            f"{config.name}: the network takes no latents of {config.vae} {list(shape)}: {str(error).splitlines()[0]}"
        ) from None
    with fabric.rank_zero_first():
        latents = training_latents(config, vae, fabric.device)
        mixtures = training_mixture_latents(config, vae, fabric.device) if config.without_mixture < 1 else None
    scale_factor = scale_factor_of(latents)
    if config.initial_weights:
        scale_factor = start_from(network, config.initial_weights) or scale_factor

    def sample(network: nn.Module, n: int) -> Iterator[StemSet]:
        model = LatentModel(network, vae, scale_factor, parameterization=config.parameterization)
        options = SamplingOptions(batch_size=config.score_songs)
        generator = LatentDiffusion(config.name, model, latents.shape[2:], {}, str(fabric.device), options)
        return generator.generate(n, STEMS)

    scorer = scorer_of(fabric, config, sample)
    loss = diffusion_loss(latents, scale_factor, mixtures, config.without_mixture, config.parameterization)
    progress = train(fabric, config, network, loss, len(latents), scorer)
    if fabric.is_global_zero:
        export(
            config,
            network,
            progress,
            scale_factor=scale_factor,
            vae_sha256=sha256(config.vae),
            mixture=mixtures is not None,
            parameterization=config.parameterization,
        )


def scorer_of(
    fabric: Fabric, config: TrainConfig, sample: Callable[[nn.Module, int], Iterable[StemSet]]
) -> Scorer | None:
    """What scores samples against the held-back songs, in the first process, if the config asks for scores."""
    if not (config.score_every and fabric.is_global_zero):
        return None
    songs = training_songs(config)
    scorer = Scorer(
        sample, Songs(range(len(songs) - config.validation, len(songs)), songs.__getitem__), config.score_songs
    )
    config.folder.mkdir(parents=True, exist_ok=True)
    (config.folder / "songs.yaml").write_text(yaml.safe_dump(scorer.songs_score))
    return scorer


def start_from(network: nn.Module, path: Path) -> float | None:
    """Take the tensors of another U-Net's checkpoint whose names and shapes fit, as published (MusicLDM's).

    Returns the scale factor of that checkpoint, where it has one: what latents are scaled by must stay the same.
    Raises UsageError for a file without weights, and if none of them fits.
    """
    checkpoint = load(path)
    if not isinstance(checkpoint.get("state_dict"), dict):
        raise UsageError(f"{path}: no checkpoint to start from (it has no state_dict)")
    held = {name.removeprefix(published.UNET): value for name, value in checkpoint["state_dict"].items()}
    own = network.state_dict()
    fitting = {name: value for name, value in held.items() if name in own and value.shape == own[name].shape}
    if not fitting:
        raise UsageError(f"{path}: none of its {len(held)} tensors fits this network")
    network.load_state_dict(own | fitting)
    print(f"{len(fitting)} of {len(own)} tensors from {path}", flush=True)
    scale_factor = held.get("scale_factor", checkpoint.get("scale_factor"))
    return None if scale_factor is None else float(scale_factor)


def export(config: TrainConfig, network: nn.Module, progress: dict[str, Any], **more: Any) -> None:
    """Write the checkpoint that ships: float16 weights, the network's config, and how they were made."""
    data = (
        f"mtbench band version {band.VERSION}, seeds {config.first_seed} to "
        if config.suite == "band"
        else config.suite
    )
    if config.suite == "band":
        data += str(config.first_seed + config.songs - config.validation - 1)
    checkpoint = {
        "config": asdict(network.config),
        "state_dict": {name: value.half().cpu() for name, value in network.state_dict().items()},
        **more,
        "metadata": {
            "name": config.name,
            "training_data": data,
            "seed": config.seed,
            "batch": config.batch * config.accumulate,
            "optimizer": config.optimizer,
            "learning_rate": config.learning_rate,
            "weights": f"exponential moving average, decay {config.ema_decay}",
            "steps": progress["step"],
            "minutes": round(progress["seconds"] / 60, 1),
            "train_loss": progress["train_loss"],
            "validation_loss": progress["validation_loss"],
        },
    }
    config.out.parent.mkdir(parents=True, exist_ok=True)
    aside = config.out.with_suffix(".partial")
    torch.save(checkpoint, aside)
    aside.rename(config.out)
    print(f"{config.name}: wrote {config.out} ({config.out.stat().st_size / 2**20:.1f} MiB)", flush=True)


def leave() -> None:
    """End the processes of a run together: one that goes while another still talks to it aborts that one."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def command(description: str, train_one: Callable[[TrainConfig], None]) -> None:
    """The command line that the trainings share: configs, one after the other."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="+", type=Path, help="what to train: a YAML file, as in configs/train-*.yaml")
    try:
        for config in [read_config(path) for path in parser.parse_args().config]:
            torch.manual_seed(config.seed)
            train_one(config)
            leave()
    except MtbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last state saved", file=sys.stderr)
        sys.exit(130)
