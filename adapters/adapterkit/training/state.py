"""The state of a training: everything needed to resume, in one file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypedDict

import torch
from torch import nn

from adapterkit.training.config import TrainConfig
from mtbench.errors import UsageError
from mtbench.files import whole_file


class Progress(TypedDict):
    """The progress of a training: steps, seconds of training, and the last logged losses."""

    step: int
    seconds: float
    train_loss: float
    validation_loss: float


class Stateful(Protocol):
    """An object that can be saved and resumed, such as torch's optimisers."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


class State:
    """A network in training, its averaged weights, its optimisers, its progress and torch's random state.

    opponent: the adversary of the network, if any. The training's config is stored too, so that no other training can
    resume from this state.
    """

    def __init__(
        self,
        config: TrainConfig,
        network: nn.Module,
        ema: nn.Module,
        optimisers: Sequence[Stateful],
        opponent: Stateful | None = None,
    ):
        self.network, self.ema, self.optimisers, self.opponent = network, ema, optimisers, opponent
        self.progress = Progress(step=0, seconds=0.0, train_loss=math.nan, validation_loss=math.nan)
        self._name, self._fingerprint = config.name, config.fingerprint

    def save(self, path: Path) -> None:
        """Write everything to one file, which appears only when complete."""
        everything = {
            "config": self._fingerprint,
            "progress": dict(self.progress),
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizers": [optimiser.state_dict() for optimiser in self.optimisers],
            "random": _random_state(),
        }
        if self.opponent:
            everything["opponent"] = self.opponent.state_dict()
        with whole_file(path) as file:
            torch.save(everything, file)

    def resume(self, path: Path, device: torch.device) -> None:
        """Restore everything from a file. Raises UsageError if it is not the state of this training."""
        try:
            stored = torch.load(path, map_location=device, weights_only=True)
            before, now = stored["config"], self._fingerprint
            if differing := [key for key in now if before.get(key) != now[key]]:
                raise ValueError(f"changed since: {', '.join(differing)}")
            self.network.load_state_dict(stored["network"])
            self.ema.load_state_dict(stored["ema"])
            for optimiser, state in zip(self.optimisers, stored["optimizers"], strict=True):
                optimiser.load_state_dict(state)
            if self.opponent:
                self.opponent.load_state_dict(stored["opponent"])
            _set_random_state(stored.get("random", {}))  # states of earlier versions have none
            self.progress = stored["progress"]
        except Exception as error:  # torch passes on whatever its unpickler raises
            reason = " ".join(str(error).split())[:200]
            raise UsageError(
                f"{path}: {self._name} cannot resume from this state ({reason}). Restore the config, delete the file, "
                "or choose another name"
            ) from error


def _random_state() -> dict[str, Any]:
    """Return the state of torch's default generators, from which a network's layers may draw; ours are per step."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _set_random_state(state: dict[str, Any]) -> None:
    setters: dict[str, Callable[[torch.Tensor], None]] = {"cpu": torch.set_rng_state}
    if torch.cuda.is_available():
        setters["cuda"] = torch.cuda.set_rng_state
    for device, setter in setters.items():
        if device in state:
            setter(state[device].cpu())
