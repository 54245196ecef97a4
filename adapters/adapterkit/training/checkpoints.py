"""The checkpoint that a training writes at the end, and the one that it may start from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from adapterkit.training.config import TrainConfig
from adapterkit.training.songs import data_in_words
from adapterkit.training.state import Progress
from adapterkit.weights import load
from mtbench.errors import UsageError
from mtbench.files import whole_file


def export(config: TrainConfig, network: nn.Module, progress: Progress, **more: Any) -> None:
    """Write the final checkpoint: float16 weights, the network's config, and metadata of the training.

    network: must have a dataclass `config`. more: further entries needed for sampling, of types that torch's safe
    loader can read.
    """
    sizes: Any = network.config
    checkpoint = {
        "config": asdict(sizes),
        "state_dict": {name: value.half().cpu() for name, value in network.state_dict().items()},
        **more,
        "metadata": {
            "name": config.name,
            "training_data": data_in_words(config),
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
    with whole_file(config.out) as file:
        torch.save(checkpoint, file)
    print(f"{config.name}: wrote {config.out} ({config.out.stat().st_size / 2**20:.1f} MiB)", flush=True)


def start_from(network: nn.Module, path: Path, below: str = "") -> dict[str, Any]:
    """Initialise the network with all tensors of another checkpoint that match in name and shape.

    below: a prefix to remove from the checkpoint's tensor names. Returns the checkpoint.
    Raises UsageError for a file without weights, and if no tensor matches.
    """
    checkpoint = load(path)
    if not isinstance(checkpoint.get("state_dict"), dict):
        raise UsageError(f"{path} is not a checkpoint to start from (it has no state_dict)")
    state = {name.removeprefix(below): value for name, value in checkpoint["state_dict"].items()}
    own = network.state_dict()
    fitting = {name: value for name, value in state.items() if name in own and value.shape == own[name].shape}
    if not fitting:
        raise UsageError(f"{path}: none of its {len(state)} tensors matches this network in name and shape")
    network.load_state_dict(own | fitting)
    print(f"initialised {len(fitting)} of {len(own)} tensors from {path}", flush=True)
    return checkpoint
