"""Optimisers: AdamW, and Muon (Jordan et al. 2024) extended to convolutions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from adapterkit.training.config import TrainConfig


class Muon(torch.optim.Muon):
    """torch's Muon, extended from matrices to weights of more dimensions: a matrix has one row per output channel.

    The momentum is orthogonalised, which gives all directions the same weight, and scaled to the size of AdamW's steps
    (Liu et al. 2025), so both optimisers use the same learning rate.
    weights: contiguous parameters of two or more dimensions, already on their device. Raises ValueError for others.
    """

    def __init__(self, weights: Iterable[nn.Parameter], lr: float, weight_decay: float):
        self._weights = list(weights)
        for weight in self._weights:
            if weight.ndim < 2 or not weight.is_contiguous():
                raise ValueError(f"Muon needs contiguous weights of two or more dimensions, got {list(weight.shape)}")
        # The matrices share memory with the weights, so updating them updates the weights.
        super().__init__(
            [weight.detach().flatten(1) for weight in self._weights],
            lr=lr,
            weight_decay=weight_decay,
            adjust_lr_fn="match_rms_adamw",
        )

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        (group,) = self.param_groups
        for matrix, weight in zip(group["params"], self._weights, strict=True):
            matrix.grad = None if weight.grad is None else weight.grad.flatten(1)
        return super().step(closure)  # type: ignore[no-untyped-call]


def optimisers_of(config: TrainConfig, network: nn.Module) -> list[torch.optim.Optimizer]:
    """Return AdamW for the trainable parameters of the network and, with `muon`, Muon for the hidden layers' weights.

    The parameters must be on their device. The other layers (those that read the input, compute the output or embed a
    condition) are identified by the network's attribute `outer_layers`, a regular expression searched in the
    parameters' names. Without this attribute, all layers are hidden.
    """
    outer = re.compile(getattr(network, "outer_layers", "(?!)"))
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            # The gains of norms may have axes of size 1.
            is_matrix = parameter.ndim > 1 and min(parameter.flatten(1).shape) > 1
            hidden = config.optimizer == "muon" and is_matrix and not outer.search(name)
            (matrices if hidden else rest).append(parameter)
    adamw = torch.optim.AdamW(rest, lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay)
    return [adamw, Muon(matrices, config.learning_rate, config.weight_decay)] if matrices else [adamw]
