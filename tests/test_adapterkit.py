"""adapterkit: what a model is asked and given, and the options that it samples with."""

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
        ({"guidance_scale": -1}, "guidance_scale must be a number from 0 on, got -1"),
    ],
)
def test_options_that_cannot_be_are_refused_once_and_by_name(options, message):
    with pytest.raises(UsageError, match=f"model 'duo': {message}"):
        SamplingOptions.of("duo", even_steps, **options)


def test_defaults_take_the_place_of_options_that_are_open():
    options = SamplingOptions.of("duo", even_steps, steps=4, compile=True)
    assert options.or_else(steps=200, batch_size=16) == SamplingOptions(steps=4, batch_size=16, compile=True)


def test_what_a_model_of_two_stems_is_asked_and_given():
    assert task_of(clip("mixture")) == "separation" and task_of(clip("bass")) == "arrangement"
    DUO.check_asked(["drums"], [clip("bass")], 1)
    DUO.check_given(clip("bass"), 0, "arrangement", 100, ["drums"])
    with pytest.raises(UsageError, match="unknown stem 'guitar'.*Available: bass, drums"):
        DUO.check_asked(["guitar"], None, 1)
    with pytest.raises(UsageError, match=r"given\[0\] \('song'\) holds 'piano'; model 'duo' can be given bass, drums$"):
        DUO.check_given(clip("piano"), 0, "arrangement", 100, ["drums"])
