"""adapterkit: checks of the requested stems, of the given clips and of the sampling options."""

import numpy as np
import pytest

from adapterkit.asked import Abilities, task_of
from adapterkit.sampling import SamplingOptions
from mtbench.errors import UsageError
from mtbench.stems import StemSet

DUO = Abilities("duo", ("bass", "drums"), frozenset({"total", "arrangement"}))


def even_steps(steps: int) -> None:
    if steps % 2:
        raise ValueError(f"steps must be even, got {steps}")


def clip(*stems: str) -> StemSet:
    return StemSet("song", {stem: np.zeros(100, np.float32) for stem in stems}, 16000)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"steps": 3}, "steps must be even, got 3"),
        ({"steps": 2.0}, "steps must be a whole number, got 2.0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"batch_size": "8"}, "batch_size must be at least 1, got '8'"),
        ({"precision": "int8"}, "precision must be one of float32, tf32, bfloat16, got 'int8'"),
        ({"guidance_scale": -1}, "guidance_scale must be a finite number of at least 0, got -1"),
    ],
)
def test_invalid_options_are_named(options, message):
    with pytest.raises(UsageError, match=f"model 'duo': {message}"):
        SamplingOptions.of("duo", even_steps, **options)


def test_defaults_replace_options_that_are_none():
    options = SamplingOptions.of("duo", even_steps, steps=4, compile=True)
    assert options.or_else(steps=200, batch_size=16) == SamplingOptions(steps=4, batch_size=16, compile=True)


def test_requested_and_given_stems_are_checked():
    assert task_of(clip("mixture")) == "separation" and task_of(clip("bass")) == "arrangement"
    DUO.check_asked(["drums"], [clip("bass")], 1)
    DUO.check_given(clip("bass"), 0, "arrangement", 100, ["drums"])
    with pytest.raises(UsageError, match="unknown stem 'guitar'.*Available: bass, drums"):
        DUO.check_asked(["guitar"], None, 1)
    message = r"given\[0\] \('song'\) contains 'piano', but model 'duo' accepts bass, drums$"
    with pytest.raises(UsageError, match=message):
        DUO.check_given(clip("piano"), 0, "arrangement", 100, ["drums"])
