"""Latent models that differ in their denoising network, and how their checkpoints are opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from torch import Tensor, nn

from adapterkit.sampling import SamplingOptions
from adapterkit.weights import checked_sha256, load, short_path, trained_network
from mtbench.errors import UsageError
from mtbench.stems import Suite
from musicldm import published
from musicldm.diffusion import Parameterization, ddim_schedule
from musicldm.first_stage import first_stage_of
from musicldm.generator import LatentDiffusion, LatentModel
from musicldm.mel import HOP, SAMPLE_RATE

PUBLISHED_STEPS, PUBLISHED_BATCH_SIZE = 200, 16

Condition = tuple[Tensor, dict[str, Any]]  # the embeddings of a LatentModel, and their entries in the provenance


@dataclass(frozen=True)
class Family:
    """The parts specific to a latent model: how to create its network, and how to read its checkpoints' properties.

    trained: creates the network from a config written by mtbench's training. lightning: creates the network from the
    state dict of a published Lightning file, using the shapes. form and mixes_samples are functions of the network's
    config, separates of the checkpoint, and condition of both; condition returns the embeddings if the network takes
    any, and may raise UsageError.
    """

    name: str
    trained: Callable[[Mapping[str, Any]], nn.Module]
    lightning: Callable[[Mapping[str, Tensor]], nn.Module]
    form: Callable[[Any], str] = lambda config: "published"
    mixes_samples: Callable[[Any], bool] = lambda config: False
    separates: Callable[[Mapping[str, Any]], bool] = lambda checkpoint: False
    condition: Callable[[Mapping[str, Any], Any], Condition | None] = lambda checkpoint, config: None

    def options(self, **options: Any) -> SamplingOptions:
        """Return the sampling options passed to a factory. Raises UsageError for an invalid one."""
        return SamplingOptions.of(self.name, _check_steps, **options)

    def open(self, path: Path, options: SamplingOptions, device: str, suite: Suite) -> LatentDiffusion:
        """Return a generator from a checkpoint written by mtbench's training, or from a published Lightning file.

        Options that are None default to the published values: 200 steps of DDIM for a Lightning file, and a batch size
        of 16 for a network that mixes the samples of a batch. Clips have the suite's length.
        Raises UsageError if the file does not exist, is neither of the two, or belongs to another model.
        """
        checkpoint = load(path)
        if published.is_lightning(checkpoint):
            model, digests, origin = self._of_lightning(path, checkpoint)
            options = options.or_else(steps=PUBLISHED_STEPS)
        else:
            model, digests, origin = self._of_training(path, checkpoint)
        config: Any = model.network.config
        embeddings, conditions = self.condition(checkpoint, config) or (None, {})
        mixes = self.mixes_samples(config)
        if mixes:
            options = options.or_else(batch_size=PUBLISHED_BATCH_SIZE)
        model = replace(model, mixes_samples=mixes, separates=self.separates(checkpoint), embeddings=embeddings)
        provenance = {
            "weights": short_path(path),
            **{f"{what}_sha256": value for what, value in digests.items()},
            **origin,
            "form": self.form(config),
            "parameters": sum(p.numel() for p in model.network.parameters()),
            **conditions,
        }
        samples = -(-suite.n_samples * SAMPLE_RATE // suite.sample_rate)
        trained_on = config.latent_t * model.vae.config.downsampling * HOP
        if samples != trained_on:
            seconds = f"{samples / SAMPLE_RATE:g} s by a model trained on {trained_on / SAMPLE_RATE:g} s"
            provenance["duration"] = seconds
        return LatentDiffusion(
            self.name, model, model.latent_shape(samples), provenance, device, options, samples=samples
        )

    def _of_lightning(
        self, path: Path, checkpoint: Mapping[str, Any]
    ) -> tuple[LatentModel, Mapping[str, str], dict[str, Any]]:
        """Return the model, the SHA-256 of its files, and its origin."""
        state = {
            name: value
            for name, value in checkpoint["state_dict"].items()
            if not name.startswith(published.CONDITIONER)
        }
        files = published.read(path, {"state_dict": state}, self.lightning)
        model = LatentModel(files.network, files.vae, files.scale_factor, files.vocoder)
        return model, files.sha256, {"trained_on": "Slakh2100"}

    def _of_training(
        self, path: Path, checkpoint: Mapping[str, Any]
    ) -> tuple[LatentModel, Mapping[str, str], dict[str, Any]]:
        """Return the same for a checkpoint trained by mtbench."""
        network, origin = trained_network(self.name, path, checkpoint, self.trained)
        parameterization = checkpoint.get("parameterization", "eps")
        if parameterization not in get_args(Parameterization):
            raise UsageError(
                f"{path}: the network predicts '{parameterization}', but model '{self.name}' supports only "
                f"{' and '.join(get_args(Parameterization))}"
            )
        if not isinstance(checkpoint.get("scale_factor"), (int, float, Tensor)):
            raise UsageError(f"{path} is not a checkpoint of model '{self.name}' (it has no scale_factor)")
        vae, vocoder, digests = first_stage_of(path, checkpoint.get("vae_sha256"))
        model = LatentModel(network, vae, float(checkpoint["scale_factor"]), vocoder, parameterization)
        return model, {"weights": checked_sha256(path), **digests}, origin


def _check_steps(steps: int) -> None:
    """Raise ValueError for a number of steps that DDIM does not support."""
    try:
        ddim_schedule(steps)
    except ValueError as error:
        raise ValueError(f"steps: {error}") from None
