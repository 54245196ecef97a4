"""Precision, memory layout and number of threads of a network's computations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

PRECISIONS = ("float32", "tf32", "bfloat16")
SMALL = 20_000_000  # parameters

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@contextmanager
def reduced_precision(precision: str, device: torch.device) -> Iterator[None]:
    """Compute in one of PRECISIONS.

    float32: full float32, also for convolutions on a GPU, for which torch uses TF32 by default. tf32: products of
    float32 numbers on a GPU have a 10-bit mantissa; no effect on a CPU. bfloat16: via autocast.
    """
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@contextmanager
def threads_for(network: nn.Module) -> Iterator[None]:
    """Use one thread for a network of fewer than 20 million parameters, and all threads for a larger one.

    The layers of a small network are too short to be worth splitting. While another program occupied a core, two
    threads that waited for each other at every layer took 5 to 20 times as long as one.
    """
    before = torch.get_num_threads()
    if sum(parameter.numel() for parameter in network.parameters()) < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_channels_last(network: ModuleT) -> ModuleT:
    """Store the network's 4-d weights channels last, which makes 2-D convolutions faster, and return the network."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing from torch's stubs
    return network
