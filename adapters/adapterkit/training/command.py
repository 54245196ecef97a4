"""The command line and the processes of a training."""

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
    """Run `train` for each config file on the command line, one after the other. kind: the class of the configs."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="+", type=Path, help="YAML file of the training, such as configs/train-*.yaml")
    try:
        for config in [read_config(path, kind) for path in parser.parse_args().config]:
            torch.manual_seed(config.seed)
            train(config)
            leave()
    except MtbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("stopped; run the same command again to resume from the last saved state", file=sys.stderr)
        sys.exit(130)


def launch(config: TrainConfig) -> Fabric:
    """Start the processes of a training, on GPUs if torch finds any, otherwise on the CPU.

    Raises UsageError if lightning-fabric is not installed.
    """
    try:
        from lightning_fabric import Fabric
    except ImportError:
        raise UsageError(
            "training needs the package lightning-fabric. Run in mtbench's checkout: "
            'python -m pip install -c constraints.txt -e ".[train]"'
        ) from None
    torch.set_num_threads(config.threads)
    torch.set_float32_matmul_precision("high")
    fabric = Fabric(devices=config.devices, precision=config.precision)
    fabric.launch()
    return fabric


def leave() -> None:
    """End all processes of a training together: exiting while another one is still communicating aborts the other."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
