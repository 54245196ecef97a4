"""The sampling options, as one object that is validated once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from adapterkit.precision import PRECISIONS
from mtbench.errors import UsageError


@dataclass(frozen=True)
class SamplingOptions:
    """How samples are generated. The signature of a model's factory shows which of these options it accepts.

    steps: number of sampler steps (None: the model's default). batch_size: samples denoised together (None: the
    model's default). precision: precision of the network, one of PRECISIONS; all except float32 change samples by more
    than rounding. compile: compile the network with torch, which takes a minute and pays off over many batches.
    guidance_scale: how strongly samples follow their condition: 0 ignores it, 1 is as trained, larger values are
    stronger.

    Raises ValueError for an invalid value.
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
            raise ValueError(f"guidance_scale must be a finite number of at least 0, got {scale!r}")

    @classmethod
    def of(cls, model: str, check_steps: Callable[[int], object], **options: Any) -> SamplingOptions:
        """Validate the options passed to a factory.

        check_steps: raises ValueError for a number of steps that the model's sampler does not support.
        Raises UsageError, naming the model, for an invalid value.
        """
        try:
            chosen = cls(**options)
            if chosen.steps is not None:
                check_steps(chosen.steps)
        except ValueError as error:
            raise UsageError(f"model '{model}': {error}") from None
        return chosen

    def or_else(self, **defaults: Any) -> SamplingOptions:
        """Return the same options, with those that are None replaced by `defaults`."""
        return replace(self, **{name: value for name, value in defaults.items() if getattr(self, name) is None})
