"""The command line of a training, and its processes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from adapterkit.training.config import ConfigT, TrainConfig, read_config
from mtbench.errors import MtbenchError, UsageError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def command(description: str | None, train: Callable[[ConfigT], None], kind: type[ConfigT]) -> None:
    """Run `train` for the configs that the command line names, of this kind of training, one after the other."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="+", type=Path, help="what to train: a YAML file, as in configs/train-*.yaml")
    try:
        for config in [read_config(path, kind) for path in parser.parse_args().config]:
            torch.manual_seed(config.seed)
            train(config)
            leave()
    except MtbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("stopped; the same command resumes from the last state saved", file=sys.stderr)
        sys.exit(130)


def launch(config: TrainConfig) -> Fabric:
    """The processes and devices of a training: GPUs where torch finds one, else the CPU.

    Raises UsageError if lightning-fabric is not installed.
    """
    try:
        from lightning_fabric import Fabric
    except ImportError:
        raise UsageError("training needs lightning-fabric: pip install -e '.[train]' in mtbench's folder") from None
    torch.set_num_threads(config.threads)
    torch.set_float32_matmul_precision("high")
    fabric = Fabric(devices=config.devices, precision=config.precision)
    fabric.launch()
    return fabric


def leave() -> None:
    """End the processes of a training together: one that goes while another still talks to it aborts that one."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
