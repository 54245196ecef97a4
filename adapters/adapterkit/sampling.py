"""The options that samples are made with, as one object that is checked once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from adapterkit.precision import PRECISIONS
from mtbench.errors import UsageError


@dataclass(frozen=True)
class SamplingOptions:
    """How samples are made. A factory's signature says which of these a model takes.

    steps: of the sampler; None: the model's default. batch_size: samples denoised together; None: the model's default.
    precision: of the network, one of PRECISIONS; all except float32 change samples beyond rounding.
    compile: let torch compile the network, which takes a minute and pays where many batches follow.
    guidance_scale: how far samples follow their condition, from 0 (not at all) over 1 (as trained) to more.

    Raises ValueError for a value that cannot be.
    """

    steps: int | None = None
    batch_size: int | None = None
    precision: str = "float32"
    compile: bool = False
    guidance_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.batch_size is not None and not (isinstance(self.batch_size, int) and self.batch_size >= 1):
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size!r}")
        if self.steps is not None and not isinstance(self.steps, int):
            raise ValueError(f"steps must be a whole number, got {self.steps!r}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got '{self.precision}'")
        scale = self.guidance_scale
        if not (isinstance(scale, (int, float)) and math.isfinite(scale) and scale >= 0):
            raise ValueError(f"guidance_scale must be a number from 0 on, got {scale!r}")

    @classmethod
    def of(cls, model: str, check_steps: Callable[[int], object], **options: Any) -> SamplingOptions:
        """The options that a factory was given, checked.

        check_steps: raises ValueError for a number of steps that the model's sampler cannot take.
        Raises UsageError, naming the model, for a value that cannot be.
        """
        try:
            chosen = cls(**options)
            if chosen.steps is not None:
                check_steps(chosen.steps)
        except ValueError as error:
            raise UsageError(f"model '{model}': {error}") from None
        return chosen

    def or_else(self, **defaults: Any) -> SamplingOptions:
        """The same options with `defaults` for those of them that are None."""
        return replace(self, **{name: value for name, value in defaults.items() if getattr(self, name) is None})
