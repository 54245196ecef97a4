"""Muon (Jordan et al. 2024) for networks with convolutions."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn


class Muon(torch.optim.Muon):
    """torch's Muon, which takes matrices, for weights of more dimensions too: a matrix with a row an output channel.

    A step's momentum is made orthogonal, so that all its directions count alike, and scaled to the size of AdamW's
    steps (Liu et al. 2025): both take the same learning rate. weights: contiguous parameters of two or more dimensions, on
    their device already. Raises ValueError for others.
    """

    def __init__(self, weights: Iterable[nn.Parameter], lr: float, weight_decay: float):
        self._weights = list(weights)
        for weight in self._weights:
            if weight.ndim < 2 or not weight.is_contiguous():
                raise ValueError(f"Muon takes contiguous weights of two or more dimensions, got {list(weight.shape)}")
        # The matrices share the weights' memory: what changes the ones changes the others.
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
        return super().step(closure)
