"""Training on a CPU: the data caches, the loop, and the export that VAE, SyncTrack and MSG-LD share.

Everything lies in one work folder: `mels-*.npy` (log-mels of the training songs), `latents-*.npz` (their posteriors),
and `<name>/` with `state.pt` (all that going on needs) and `loss.csv`. Files are written aside and renamed, so a
killed training goes on from its last state when the same command is run again.
"""

from __future__ import annotations

import copy
import csv
import math
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from mtbench.suites import band
from musicldm.diffusion import TRAIN_STEPS, noise_schedule
from musicldm.generator import sha256
from musicldm.mel import FRAMES, N_MELS, log_mel
from musicldm.vae import VAE, VAEConfig


class TrainConfig(BaseModel):
    """A training run, as written in configs/train-*.yaml. Unknown keys are refused.

    The run ends at `steps` or after `minutes` of training, whichever comes first; the learning rate rises over
    `warm_up` steps and falls along a half cosine to zero at that end. The last `validation` of the `songs` are held
    back to measure the loss on. `network` holds the fields of the network's config; `vae` the checkpoint whose
    latents a diffusion model learns; `kl_weight` belongs to the VAE, and so does `crop`: the frames of a stem that it
    sees at a time (being convolutional, it learns more from many short ones).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    network: dict[str, Any]
    out: Path
    work: Path = Path("work")
    vae: Path | None = None
    songs: int = Field(ge=2)
    first_seed: int
    validation: int = Field(default=32, ge=1)
    seed: int = 0
    steps: int = Field(ge=1)
    minutes: float = Field(gt=0)
    batch: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    warm_up: int = Field(default=100, ge=1)
    weight_decay: float = 0.01
    ema_decay: float = Field(default=0.999, gt=0, lt=1)
    kl_weight: float = 0.0
    crop: int = Field(default=FRAMES, ge=1, le=FRAMES)
    report_every: int = Field(default=100, ge=1)
    threads: int = Field(default=1, ge=1)

    @classmethod
    def read(cls, path: Path) -> TrainConfig:
        return cls(**yaml.safe_load(path.read_text()))




def _song_mels(seed: int) -> np.ndarray:
    torch.set_num_threads(1)
    song = band.song(seed)
    waves = np.stack([song.stems[stem] for stem in band.STEMS])
    return log_mel(torch.from_numpy(waves)).numpy().astype(np.float16)  # [S, T, F]


def training_mels(config: TrainConfig, processes: int = 2) -> np.ndarray:
    """Log-mels of the training songs, float16 [songs, S, 1024, 64], memory-mapped; rendered at the first call."""
    seeds = range(config.first_seed, config.first_seed + config.songs)
    allowed = band.seeds("train")
    if seeds[0] not in allowed or seeds[-1] not in allowed:
        raise ValueError(f"training seeds {seeds[0]} to {seeds[-1]} are not all in band's training range, {allowed}")
    path = config.work / f"mels-band{band.VERSION}-{config.first_seed}-{config.songs}.npy"
    if not path.exists():
        config.work.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".partial.npy")
        shape = (config.songs, len(band.STEMS), FRAMES, N_MELS)
        mels = np.lib.format.open_memmap(aside, mode="w+", dtype=np.float16, shape=shape)
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            for i, song in enumerate(pool.imap(_song_mels, seeds, chunksize=8)):
                mels[i] = song
                if (i + 1) % 250 == 0:
                    print(f"rendered {i + 1} of {config.songs} songs", flush=True)
        mels.flush()
        aside.rename(path)
    return np.load(path, mmap_mode="r")


@torch.no_grad()
def training_latents(config: TrainConfig) -> tuple[Tensor, Tensor, float]:
    """Posterior mean and standard deviation of every training song, float16 [songs, S, C, T, F], and the scale
    factor: 1 / std of the sampled latents, as published."""
    mels = training_mels(config)
    digest = sha256(config.vae)[:12]
    path = config.work / f"latents-{digest}-{config.first_seed}-{config.songs}.npz"
    if not path.exists():
        vae = load_vae(config.vae).to(memory_format=torch.channels_last)
        posteriors: list[list[Tensor]] = []
        for i, song in enumerate(mels):
            with torch.autocast("cpu", torch.bfloat16):
                posterior = vae.encode(torch.from_numpy(song[:, None].astype(np.float32)))
            posteriors.append([value.half() for value in posterior])
            if (i + 1) % 250 == 0:
                print(f"encoded {i + 1} of {config.songs} songs", flush=True)
        mean, logvar = (torch.stack(x) for x in zip(*posteriors))
        aside = path.with_suffix(".partial.npz")
        np.savez(aside, mean=mean.numpy(), std=(logvar.float() / 2).exp().half().numpy())
        aside.rename(path)
    with np.load(path) as arrays:
        mean, std = (torch.from_numpy(arrays[key]) for key in ("mean", "std"))
    sampled_std = (mean.float().var() + std.float().square().mean()).sqrt()
    return mean, std, 1.0 / float(sampled_std)



LossFunction = Callable[[nn.Module, Tensor, torch.Generator], Tensor]


def train(config: TrainConfig, network: nn.Module, loss: LossFunction) -> dict[str, Any]:
    """Train `network`, going on from the last state in the work folder; returns a record of what was done.

    `loss(network, songs, generator)` is the loss of the songs with these numbers, its randomness drawn from the
    generator. On return the network holds the exponential moving average of its weights.
    """
    torch.set_num_threads(config.threads)
    folder = config.work / config.name
    folder.mkdir(parents=True, exist_ok=True)
    ema = copy.deepcopy(network).requires_grad_(False)
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=config.learning_rate, weight_decay=config.weight_decay)
    generator = torch.Generator().manual_seed(config.seed)
    state: dict[str, Any] = {"step": 0, "seconds": 0.0, "train_loss": math.nan, "validation_loss": math.nan}

    path = folder / "state.pt"
    if path.exists():
        stored = torch.load(path, weights_only=True)
        network.load_state_dict(stored["network"])
        ema.load_state_dict(stored["ema"])
        optimizer.load_state_dict(stored["optimizer"])
        generator.set_state(stored["generator"])
        state = stored["progress"]
        print(f"{config.name}: going on from step {state['step']}", flush=True)

    def save() -> None:
        everything = {"network": network.state_dict(), "ema": ema.state_dict(), "optimizer": optimizer.state_dict(),
                      "generator": generator.get_state(), "progress": state}
        torch.save(everything, folder / "state.partial.pt")
        (folder / "state.partial.pt").rename(path)

    training_songs = config.songs - config.validation
    validation_songs = torch.arange(training_songs, config.songs)
    recent: list[float] = []
    begun = time.monotonic() - state["seconds"]
    while state["step"] < config.steps and (time.monotonic() - begun) < 60 * config.minutes:
        done = max(state["step"] / config.steps, (time.monotonic() - begun) / (60 * config.minutes))
        rate = min((state["step"] + 1) / config.warm_up, 0.5 + 0.5 * math.cos(math.pi * min(done, 1.0)))
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * rate
        songs = torch.randint(training_songs, (config.batch,), generator=generator)
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(network, songs, generator)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        state["step"] += 1
        decay = min(config.ema_decay, (1 + state["step"]) / (10 + state["step"]))
        with torch.no_grad():
            for average, parameter in zip(ema.parameters(), network.parameters()):
                average.lerp_(parameter, 1.0 - decay)
        recent.append(float(value.detach()))
        if not math.isfinite(recent[-1]):
            raise RuntimeError(f"{config.name}: the loss became {recent[-1]} at step {state['step']}")
        state["seconds"] = time.monotonic() - begun
        if state["step"] % config.report_every == 0:
            _report(config, folder, state, recent, ema, loss, validation_songs)
            save()
            recent.clear()
    if recent:
        _report(config, folder, state, recent, ema, loss, validation_songs)
        save()
    network.load_state_dict(ema.state_dict())
    return state


@torch.no_grad()
def _report(config: TrainConfig, folder: Path, state: dict[str, Any], recent: list[float], ema: nn.Module,
            loss: LossFunction, songs: Tensor) -> None:
    """A line of the log; the validation loss is that of the averaged weights, always with the same noise."""
    generator = torch.Generator().manual_seed(config.seed + 1)
    with torch.autocast("cpu", torch.bfloat16):
        values = [float(loss(ema, part, generator)) for part in songs.split(config.batch)]
    state["train_loss"] = float(np.mean(recent))
    state["validation_loss"] = float(np.mean(values))
    log = folder / "loss.csv"
    new = not log.exists()
    with log.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["step", "seconds", "train_loss", "validation_loss"])
        writer.writerow([state["step"], round(state["seconds"], 1), round(state["train_loss"], 5),
                         round(state["validation_loss"], 5)])
    print(f"{config.name}: step {state['step']}, {state['seconds'] / 60:.1f} min, train {state['train_loss']:.4f}, "
          f"validation {state['validation_loss']:.4f}", flush=True)




def diffusion_loss(mean: Tensor, std: Tensor, scale_factor: float) -> LossFunction:
    """The mean squared error of the noise estimate, on scaled posterior samples.

    Timesteps are spread evenly over a batch (one of each B-th of the schedule), which lowers the loss's variance.
    """
    schedule = noise_schedule()

    def loss(network: nn.Module, songs: Tensor, generator: torch.Generator) -> Tensor:
        B = len(songs)
        posterior_noise = torch.randn(B, *mean.shape[1:], generator=generator)
        x0 = scale_factor * (mean[songs].float() + std[songs].float() * posterior_noise)  # [B, S, C, T, F]
        t = (torch.arange(B) + torch.rand(B, generator=generator)) / B * TRAIN_STEPS
        t = t.long().clamp(max=TRAIN_STEPS - 1)[torch.randperm(B, generator=generator)]
        noise = torch.randn(x0.shape, generator=generator)
        return (network(schedule.add_noise(x0, noise, t), t).float() - noise).square().mean()

    return loss


def train_diffusion(config: TrainConfig, network: nn.Module) -> None:
    """Train a denoising network on latents and export it, with the scale factor that sampling needs."""
    mean, std, scale_factor = training_latents(config)
    progress = train(config, network, diffusion_loss(mean, std, scale_factor))
    export(config, network, progress, scale_factor=scale_factor, vae_sha256=sha256(config.vae))




def export(config: TrainConfig, network: nn.Module, progress: dict[str, Any], **more: Any) -> None:
    """Write the checkpoint that ships: float16 weights, the network's config, and how they were made."""
    checkpoint = {
        "config": asdict(network.config),
        "state_dict": {name: value.half() for name, value in network.state_dict().items()},
        **more,
        "metadata": {
            "name": config.name,
            "training_data": f"mtbench band version {band.VERSION}, seeds {config.first_seed} to "
                             f"{config.first_seed + config.songs - config.validation - 1}",
            "seed": config.seed, "batch": config.batch, "learning_rate": config.learning_rate,
            "weights": f"exponential moving average, decay {config.ema_decay}",
            "steps": progress["step"], "minutes": round(progress["seconds"] / 60, 1),
            "train_loss": progress["train_loss"], "validation_loss": progress["validation_loss"],
        },
    }
    config.out.parent.mkdir(parents=True, exist_ok=True)
    aside = config.out.with_suffix(".partial")
    torch.save(checkpoint, aside)
    aside.rename(config.out)
    print(f"{config.name}: wrote {config.out} ({config.out.stat().st_size / 2**20:.1f} MiB)", flush=True)


def load_vae(path: Path) -> VAE:
    """The VAE of a checkpoint that `export` wrote, in float32 and evaluation mode."""
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    vae = VAE(VAEConfig(**checkpoint["config"]))
    vae.load_state_dict(checkpoint["state_dict"])
    return vae.eval()
