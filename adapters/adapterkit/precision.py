"""The precision, the memory layout and the threads that a network computes with."""

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

    float32: as it stands, also on a GPU, where torch lets convolutions take TF32 unless it is told. tf32: a GPU's
    products of float32 have 10 bits; nothing changes on a CPU. bfloat16: by autocast.
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
    """Let a network of less than 20 million parameters compute with one thread, and a larger one with all.

    The layers of a small network are too short to share. Where another program has a core, two threads that wait for
    each other at every layer took 5 to 20 times as long as one.
    """
    before = torch.get_num_threads()
    if sum(parameter.numel() for parameter in network.parameters()) < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_channels_last(network: ModuleT) -> ModuleT:
    """The same network with its 4-d weights stored channels last, in which 2-D convolutions are faster."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    return network
