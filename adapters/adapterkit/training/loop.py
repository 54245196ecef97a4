"""The training loop, which resumes from the last saved state.

All files are in the training's folder: `state.pt` (everything needed to resume), `loss.csv`, `scores.csv` and
`samples/`.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from adapterkit.randomness import generator_of
from adapterkit.training.config import TrainConfig
from adapterkit.training.logs import Log
from adapterkit.training.optimisers import optimisers_of
from adapterkit.training.state import Progress, State, Stateful
from mtbench.errors import MtbenchError, UsageError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

# loss(network, songs, generator): the loss (0-d) of the songs with these numbers, int64 [B]. It draws all random
# numbers from the generator and computes on the generator's device.
Loss = Callable[[nn.Module, Tensor, torch.Generator], Tensor]


class Opponent(Stateful, Protocol):
    """An adversary of the network, such as a discriminator: in every step it is trained after the network."""

    def learn(self, learning_rate: float) -> None: ...

    def losses(self) -> dict[str, float]:
        """Return additional columns of loss.csv, always the same: means over the steps since the last call."""
        ...


@dataclass(frozen=True)
class Scoring:
    """Every `every` steps, score(network, folder) writes samples to the folder and returns {column: score}."""

    score: Callable[[nn.Module, Path], dict[str, float]]
    every: int


class _Objective(nn.Module):
    """A network and its loss as one module, so that a parallel strategy sees one forward pass per step."""

    def __init__(self, network: nn.Module, loss: Loss):
        super().__init__()
        self.network, self._loss = network, loss

    def forward(self, songs: Tensor, generator: torch.Generator) -> Tensor:
        return self._loss(self.network, songs, generator)


class _Stopwatch:
    """Measures the seconds of training, without pauses.

    If the training has a time limit, which also determines its learning rate, all processes use the time of the first.
    """

    def __init__(self, fabric: Fabric, config: TrainConfig, seconds: float):
        self._fabric, self._shared = fabric, not math.isinf(config.minutes)
        self._start = time.monotonic() - seconds

    def seconds(self) -> float:
        seconds = time.monotonic() - self._start
        return float(self._fabric.broadcast(seconds)) if self._shared else seconds

    @contextmanager
    def paused(self) -> Iterator[None]:
        start = time.monotonic()
        yield
        self._start += time.monotonic() - start


def train(
    fabric: Fabric,
    config: TrainConfig,
    network: nn.Module,
    loss: Loss,
    songs: int,
    scoring: Scoring | None = None,
    *,
    validation_loss: Loss | None = None,
    opponent: Opponent | None = None,
) -> Progress:
    """Train `network`, resuming from the saved state if there is one.

    songs: number of songs; all except the last config.validation are used for training. scoring: only in the first
    process; the others wait for it. validation_loss: measured on the validation songs (default: the loss).
    Returns the progress; afterwards the network has the exponential moving average of its weights.
    Raises UsageError if the batch cannot be divided among the processes, and for a state of another training;
    MtbenchError if the loss is no longer finite.
    """
    if config.batch % fabric.world_size:
        raise UsageError(
            f"{config.name}: batch must be a multiple of the number of processes, {fabric.world_size}, "
            f"got {config.batch}"
        )
    state, objective = _resumed(fabric, config, network, loss, opponent)
    log, clock = Log(config), _Stopwatch(fabric, config, state.progress["seconds"])
    if fabric.is_global_zero:
        log.forget_after(state.progress["step"])
    validation = torch.arange(songs - config.validation, songs)
    losses: list[Tensor] = []
    seconds = clock.seconds()

    def has_ended() -> bool:
        return state.progress["step"] >= config.steps or seconds >= 60 * config.minutes

    def score_if_due() -> None:
        at = state.progress["step"]
        if scoring and (has_ended() or at % scoring.every == 0) and not log.has_scores(at):
            with clock.paused():  # the time limit is for training only
                log.scores(state.progress, scoring.score(state.ema, config.folder / "samples" / f"{at:06d}"))

    score_if_due()
    while not has_ended():
        losses += step(fabric, config, state, objective, songs - config.validation, seconds, opponent)
        seconds = clock.seconds()
        if state.progress["step"] % config.report_every == 0 or has_ended():
            state.progress["seconds"] = seconds
            state.progress["train_loss"] = _mean(fabric, config, state, losses)
            losses.clear()
            state.progress["validation_loss"] = validate(fabric, config, state.ema, validation_loss or loss, validation)
            more = opponent.losses() if opponent else {}
            if fabric.is_global_zero:
                log.losses(state.progress, more)
                state.save(config.folder / "state.pt")
        score_if_due()
    network.load_state_dict(state.ema.state_dict())
    return state.progress


def _resumed(
    fabric: Fabric, config: TrainConfig, network: nn.Module, loss: Loss, opponent: Opponent | None
) -> tuple[State, Any]:
    """Return the state to train from, and the network with its loss as set up by fabric."""
    config.folder.mkdir(parents=True, exist_ok=True)
    network.to(fabric.device)
    ema = copy.deepcopy(network).requires_grad_(False)
    compiled: Any = torch.compile(network) if config.compile else network  # shares the network's parameters
    objective, *optimisers = fabric.setup(_Objective(compiled, loss), *optimisers_of(config, network))
    state, path = State(config, network, ema, optimisers, opponent), config.folder / "state.pt"
    if path.exists():
        state.resume(path, fabric.device)
        fabric.print(f"{config.name}: resuming from step {state.progress['step']}")
    return state, objective


def step(
    fabric: Fabric,
    config: TrainConfig,
    state: State,
    objective: Any,
    songs: int,
    seconds: float,
    opponent: Opponent | None = None,
) -> list[Tensor]:
    """Do one step: compute the gradients of `accumulate` batches, update network, opponent and averaged weights.

    objective: network and loss as set up by fabric. songs: number of songs to draw from. seconds: duration of the
    training so far. Returns the losses of the batches, each 0-d.
    """
    number, losses = state.progress["step"], []
    rate = config.learning_rate * share_of_learning_rate(config, number, seconds)
    optimisers: Any = state.optimisers
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = rate
    for batch in range(config.accumulate):
        # All processes draw the same songs, and each uses its share of them.
        draw = generator_of("cpu", config.seed, number, batch)
        drawn = torch.randint(songs, (config.batch,), generator=draw)
        mine = drawn[fabric.global_rank :: fabric.world_size]
        # Starts at 1, because trailing zeros do not change the stream: 0 would be the stream that drew the songs.
        noise = generator_of(fabric.device, config.seed, number, batch, 1 + fabric.global_rank)
        accumulating = fabric.no_backward_sync(objective, enabled=batch + 1 < config.accumulate)
        with accumulating, attention_for(fabric.device):
            value = objective(mine, noise)
            fabric.backward(value / config.accumulate)
        losses.append(value.detach())
    if config.optimizer == "muon":  # its matrices have gradients only within its step, so fabric cannot clip them
        nn.utils.clip_grad_norm_(state.network.parameters(), 1.0)
    else:
        fabric.clip_gradients(objective, optimisers[0], max_norm=1.0, error_if_nonfinite=False)
    for optimiser in optimisers:
        optimiser.step()
    objective.zero_grad(set_to_none=True)
    if opponent:
        opponent.learn(rate)
    state.progress["step"] = taken = number + 1
    average(state.ema, state.network, min(config.ema_decay, (1 + taken) / (10 + taken)))
    return losses


def attention_for(device: torch.device) -> AbstractContextManager[None]:
    """Disable fused attention on a CPU.

    There its backward pass takes a third of a training step of a small network; unfused attention takes half of that.
    """
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def share_of_learning_rate(config: TrainConfig, step: int, seconds: float) -> float:
    """Return the factor in (0, 1] on the learning rate at a step, after `seconds` of training."""
    risen = min((step + 1) / config.warm_up, 1.0)
    if config.schedule == "constant":
        return risen
    past = min(max(step / config.steps, seconds / (60 * config.minutes)), 1.0)
    return min(risen, 0.5 + 0.5 * math.cos(math.pi * past))


@torch.no_grad()
def average(ema: nn.Module, network: nn.Module, decay: float) -> None:
    """Update the averaged weights to decay times themselves plus (1 - decay) times the network's weights."""
    torch._foreach_lerp_(list(ema.parameters()), list(network.parameters()), 1.0 - decay)


@torch.no_grad()
def validate(fabric: Fabric, config: TrainConfig, ema: nn.Module, loss: Loss, songs: Tensor) -> float:
    """Return the loss of the averaged weights on held-back songs, always with the same noise."""
    generator = generator_of(fabric.device, config.seed, 1 << 40)
    with fabric.autocast():
        batches = torch.split(songs, config.batch)
        total = sum(len(batch) * float(loss(ema, batch, generator)) for batch in batches)
    return total / len(songs)


def _mean(fabric: Fabric, config: TrainConfig, state: State, losses: list[Tensor]) -> float:
    """Return the mean loss over steps and processes. Raises MtbenchError if it is not finite."""
    reduced: Any = fabric.all_reduce(torch.stack(losses).mean(), reduce_op="mean")
    mean = float(reduced)
    if not math.isfinite(mean):
        raise MtbenchError(
            f"{config.name}: the loss became {mean} by step {state.progress['step']}; try a lower learning_rate"
        )
    return mean
