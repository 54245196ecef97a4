"""Models that denoise latents with a network of their own, and opening their checkpoints."""

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

Condition = tuple[Tensor, dict[str, Any]]  # the embeddings of a LatentModel, and what the provenance says of them


@dataclass(frozen=True)
class Family:
    """What sets a latent model apart: how its network is made, and what its checkpoints say of themselves.

    trained: the network for its config, as mtbench's training writes it; lightning: the network for the shapes in the
    state dict of a published Lightning file. form and mixes_samples answer for the network's config, separates for
    the checkpoint, condition for both: the embeddings, if the network takes any. A condition may raise UsageError.
    """

    name: str
    trained: Callable[[Mapping[str, Any]], nn.Module]
    lightning: Callable[[Mapping[str, Tensor]], nn.Module]
    form: Callable[[Any], str] = lambda config: "published"
    mixes_samples: Callable[[Any], bool] = lambda config: False
    separates: Callable[[Mapping[str, Any]], bool] = lambda checkpoint: False
    condition: Callable[[Mapping[str, Any], Any], Condition | None] = lambda checkpoint, config: None

    def options(self, **options: Any) -> SamplingOptions:
        """The sampling options that a factory was given. Raises UsageError for one that cannot be."""
        return SamplingOptions.of(self.name, _check_steps, **options)

    def open(self, path: Path, options: SamplingOptions, device: str, suite: Suite) -> LatentDiffusion:
        """A generator from a checkpoint that mtbench's training wrote, or from a published Lightning file.

        Where the options leave them open, a Lightning file takes the published 200 steps of DDIM, and a network that
        mixes the samples of a batch the published 16 samples a batch. Clips have the suite's length.
        Raises UsageError for a file that is not there, or is neither, or is another model's.
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
        """The model, the SHA-256 of its files, and where it comes from."""
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
        """The same of a checkpoint that mtbench trained."""
        network, origin = trained_network(self.name, path, checkpoint, self.trained)
        parameterization = checkpoint.get("parameterization", "eps")
        if parameterization not in get_args(Parameterization):
            raise UsageError(
                f"{path}: its network predicts '{parameterization}', which model '{self.name}' cannot sample with; it "
                f"knows {' and '.join(get_args(Parameterization))}"
            )
        if not isinstance(checkpoint.get("scale_factor"), (int, float, Tensor)):
            raise UsageError(f"{path} is no checkpoint of model '{self.name}' (it has no scale_factor)")
        vae, vocoder, digests = first_stage_of(path, checkpoint.get("vae_sha256"))
        model = LatentModel(network, vae, float(checkpoint["scale_factor"]), vocoder, parameterization)
        return model, {"weights": checked_sha256(path), **digests}, origin


def _check_steps(steps: int) -> None:
    """Raise ValueError for a number of steps that DDIM cannot take."""
    try:
        ddim_schedule(steps)
    except ValueError as error:
        raise ValueError(f"steps: {error}") from None
