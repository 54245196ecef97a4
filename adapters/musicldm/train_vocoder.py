"""Train HiFi-GAN (Kong, Kim and Bae 2020) on pairs of log-mels and waves of a suite's songs.

    python -m musicldm.train_vocoder configs/train-vocoder-band.yaml      # a vocoder for the embedded checkpoints

With `vae` in the config, the input is that VAE's reconstruction of the log-mels, which resembles the output of a
generator; waves and losses remain those of the songs. `initial_weights` is the checkpoint of a vocoder to start from.
Run the same command again to resume an interrupted training.

As published: weight norm, AdamW, L1 of log-mels (weight 45), least-squares adversarial loss, feature matching
(weight 2). Not as published: the learning-rate schedule, the averaged weights, and that the generator is updated before
the discriminators.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from adapterkit.training.checkpoints import export
from adapterkit.training.command import command, launch
from adapterkit.training.config import VocoderTraining
from adapterkit.training.loop import train
from adapterkit.training.songs import Shards, training_waves
from adapterkit.weights import sha256
from mtbench.audio import to_float
from mtbench.errors import UsageError
from musicldm.caches import training_mels, training_reconstructions
from musicldm.discriminators import Discriminators, adversarial_loss, discriminator_loss, feature_loss
from musicldm.first_stage import load_vae, load_vocoder
from musicldm.generator import STEMS
from musicldm.hifigan import HiFiGAN, HiFiGANConfig
from musicldm.mel import HOP, N_MELS, log_mel

if TYPE_CHECKING:
    from lightning_fabric import Fabric

MEL_WEIGHT, FEATURE_WEIGHT = 45.0, 2.0
STFT_SIZES = ((512, 50, 240), (1024, 120, 600), (2048, 240, 1200))  # FFT, hop and window in samples, of stft_loss
STFT_FLOOR = math.sqrt(1e-7)
SHORTEST = 7  # frames: slightly more than half of the longest window, by which the ends are reflected


def train_vocoder(config: VocoderTraining) -> None:
    """Train the vocoder specified by a config and export it. Raises UsageError for an invalid config."""
    vocoder = _vocoder(config)
    vae = load_vae(config.vae) if config.vae else None
    fabric = launch(config)
    with fabric.rank_zero_first():
        # [songs, S, T, F] and [songs, S, samples]
        mels = training_reconstructions(config, vae, fabric.device) if vae else training_mels(config)
        waves = training_waves(config, STEMS)
    if not SHORTEST <= config.crop <= mels.shape[2]:
        raise UsageError(
            f"{config.name}: crop must be between {SHORTEST} and {mels.shape[2]} frames, got {config.crop}"
        )
    adversary = Adversary(fabric, config)

    def loss(vocoder: nn.Module, songs: Tensor, generator: torch.Generator) -> Tensor:
        mel, real = crops(mels, waves, songs, config.crop, generator)
        return adversary.loss(real, synthesised(vocoder, mel))

    def validation_loss(vocoder: nn.Module, songs: Tensor, generator: torch.Generator) -> Tensor:
        mel, real = crops(mels, waves, songs.repeat_interleave(mels.shape[1]), config.crop, generator)
        return mel_loss(real, synthesised(vocoder, mel))

    progress = train(fabric, config, vocoder, loss, len(waves), validation_loss=validation_loss, opponent=adversary)
    if fabric.is_global_zero:
        more = {"vae_sha256": sha256(config.vae)} if config.vae else {}
        export(config, vocoder.folded(), progress, **more)


def _vocoder(config: VocoderTraining) -> HiFiGAN:
    """Return the vocoder to train, with weight norm."""
    asked = config.sized(HiFiGANConfig)
    if (asked.num_mels, asked.hop_size) != (N_MELS, HOP):
        raise UsageError(
            f"{config.name}: network: num_mels and hop_size must be {N_MELS} and {HOP}, as in the log-mels; got "
            f"{asked.num_mels} and {asked.hop_size}"
        )
    if not config.initial_weights:
        return HiFiGAN(asked)
    vocoder = load_vocoder(config.initial_weights)
    if vocoder.config != asked:
        raise UsageError(f"{config.initial_weights}: the sizes differ from those of {config.name}: {vocoder.config}")
    return vocoder.with_weight_norm().requires_grad_(True).train()


class Adversary:
    """The discriminators: their judgement of the generator's waves, and their own training.

    They are not used in the first `adversarial_from` steps, in which the generator is trained on spectra alone.
    """

    COLUMNS = ("mel_loss", "stft_loss", "adversarial_loss", "feature_loss", "discriminator_loss")

    def __init__(self, fabric: Fabric, config: VocoderTraining):
        self._fabric, self._config = fabric, config
        try:
            self._discriminators = Discriminators(config.discriminator_width)
        except ValueError as error:
            raise UsageError(f"{config.name}: discriminator_width: {error}") from None
        optimizer = torch.optim.AdamW(
            self._discriminators.parameters(),
            lr=config.learning_rate,
            betas=config.betas,
            weight_decay=config.weight_decay,
        )
        self._objective, self._optimizer = fabric.setup(_Objective(self._discriminators), optimizer)
        self._steps = 0
        self._pairs: list[tuple[Tensor, Tensor]] = []
        self._recent: dict[str, list[Tensor]] = {column: [] for column in self.COLUMNS}

    def loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the generator's loss, float32, for waves [B, samples], divided by the mel loss's weight of 45."""
        terms = {"mel_loss": (MEL_WEIGHT, mel_loss(real, fake))}
        if self._config.stft_weight:
            terms["stft_loss"] = (self._config.stft_weight, stft_loss(real, fake))
        if self._steps >= self._config.adversarial_from:
            self._pairs.append((real[:, None], fake.detach()[:, None]))
            self._discriminators.requires_grad_(False)
            with torch.no_grad():
                judged_real = self._discriminators(real[:, None])
            judged_fake = self._discriminators(fake[:, None])
            terms["adversarial_loss"] = (1.0, adversarial_loss(judged_fake))
            terms["feature_loss"] = (FEATURE_WEIGHT, feature_loss(judged_real, judged_fake))
        for name, (_, value) in terms.items():
            self._recent[name].append(value.detach())
        return reduce(torch.add, (weight * value for weight, value in terms.values())) / MEL_WEIGHT

    def learn(self, learning_rate: float) -> None:
        """Update the discriminators, using the waves on which the generator's loss was just computed."""
        self._steps += 1
        if not self._pairs:
            return
        self._discriminators.requires_grad_(True)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        for number, (real, fake) in enumerate(self._pairs, 1):
            with self._fabric.no_backward_sync(self._objective, enabled=number < len(self._pairs)):
                value = self._objective(real, fake)
                self._fabric.backward(value / len(self._pairs))
            self._recent["discriminator_loss"].append(value.detach())
        self._pairs.clear()
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def losses(self) -> dict[str, float]:
        def mean(values: list[Tensor]) -> float:
            if not values:
                return math.nan
            reduced: Any = self._fabric.all_reduce(torch.stack(values).mean(), reduce_op="mean")
            return float(reduced)

        means = {name: mean(values) for name, values in self._recent.items()}
        self._recent = {name: [] for name in self.COLUMNS}
        return means

    def state_dict(self) -> dict[str, Any]:
        return {
            "discriminators": self._discriminators.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "steps": self._steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._discriminators.load_state_dict(state["discriminators"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._steps = state["steps"]


class _Objective(nn.Module):
    """The discriminators and their loss as one module, so that a parallel strategy sees one forward pass per step."""

    def __init__(self, discriminators: Discriminators):
        super().__init__()
        self.discriminators = discriminators

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        judged = self.discriminators(torch.cat([real, fake]))
        of_real, of_fake = ([[layer.chunk(2)[half] for layer in layers] for layers in judged] for half in (0, 1))
        return discriminator_loss(of_real, of_fake)


def crops(mels: Shards, waves: Shards, songs: Tensor, frames: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a random crop of one stem per song: float32 log-mels [B, F, frames], waves [B, 160 frames].

    The log-mels are cropped from those of the complete clip: computed from a cropped wave, they would contain
    reflections at both ends.
    """
    stems, starts = (
        torch.randint(stop, (len(songs),), generator=generator, device=generator.device).tolist()
        for stop in (mels.shape[1], mels.shape[2] - frames + 1)
    )
    places = list(zip(songs.tolist(), stems, starts))
    mel = np.stack([mels.song(i)[stem, start : start + frames] for i, stem, start in places])
    wave = np.stack([waves.song(i)[stem, start * HOP : (start + frames) * HOP] for i, stem, start in places])
    return (
        torch.from_numpy(mel).to(generator.device).float().transpose(1, 2),
        torch.from_numpy(to_float(wave)).to(generator.device),
    )


def synthesised(vocoder: nn.Module, mel: Tensor) -> Tensor:
    """Synthesise waves, float32 [B, 160 frames], from log-mels [B, 64, frames].

    Always in float32: the rounding of bfloat16 is noise at -50 dB, louder than the treble of a bass.
    """
    with torch.autocast(mel.device.type, enabled=False):
        return vocoder(mel)[:, 0, : HOP * mel.shape[2]]


def mel_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return the mean absolute difference of the log-mels of waves, each float32 [B, samples] within [-1, 1]."""
    with torch.autocast(real.device.type, enabled=False):
        frames = real.shape[1] // HOP
        return (log_mel(real, frames) - log_mel(fake, frames)).abs().mean()


def stft_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return the multi-resolution STFT loss of Parallel WaveGAN (Yamamoto, Song and Kim 2020).

    It is the sum of spectral convergence and mean absolute difference of log magnitudes, averaged over three windows.
    real, fake: float32 [B, samples].

    Spectral convergence is divided by the mean of both norms, not by the song's norm alone: that norm is almost zero
    when stems rest, and the published quotient would drown every other term.
    """
    with torch.autocast(real.device.type, enabled=False):
        total = torch.zeros((), device=real.device)
        for fft, hop, length in STFT_SIZES:
            window = torch.hann_window(length, device=real.device)
            X, Y = (
                torch.stft(waves, fft, hop, length, window, return_complex=True).abs().clamp(min=STFT_FLOOR)
                for waves in (real, fake)
            )
            norm = torch.linalg.vector_norm
            convergence = 2 * norm(X - Y) / (norm(X) + norm(Y))
            total = total + convergence + (X.log() - Y.log()).abs().mean()
        return total / len(STFT_SIZES)


if __name__ == "__main__":
    command(__doc__, train_vocoder, VocoderTraining)
