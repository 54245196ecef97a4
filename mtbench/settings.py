"""The settings of the rhythm metrics: how beats are decoded, and how they are counted; said in words here alone."""

import math
from typing import Any, NamedTuple

# `real` decodes in real seconds; `published` as the papers' scripts do, whose second is fps / 100 s.
TIMEBASES = ("real", "published")
TIMEBASE_WORDS = {"real": "real seconds", "published": "published timebase"}


class Decode(NamedTuple):
    """How beats are decoded from activations. fps: frames/s; transition_lambda: the penalty of tempo changes."""

    fps: float
    transition_lambda: float
    timebase: str


class Setting(NamedTuple):
    """What a rhythm score is decoded and counted with; window: of CBS in s, NaN where there is none."""

    timebase: str
    fps: float
    transition_lambda: float
    window: float

    @property
    def words(self) -> str:
        """``real seconds, 100 fps, lambda 100, window 0.15 s``."""
        return in_words(self.timebase, self.fps, self.transition_lambda, self.window)


# The setting of the rhythm metrics that is gated, and shown where a table has room for one, by timebase: in real
# seconds, and as the papers print their numbers.
STANDARD = {
    "real": Setting("real", 100, 100.0, 0.15),
    "published": Setting("published", 150, 100.0, 0.15),
}


def canonical_timebase(word: Any) -> Any:
    """The word of today for a timebase: ``real`` was called ``true``, which YAML reads as a boolean. What is neither
    comes back as it is."""
    return "real" if word is True or word == "true" else word


def in_words(timebase: str, fps: float, transition_lambda: float, window: float = math.nan) -> str:
    """A setting as a person reads it; without a window where that is NaN."""
    counted = "" if math.isnan(window) else f", window {window:g} s"
    return f"{TIMEBASE_WORDS[timebase]}, {fps:g} fps, lambda {transition_lambda:g}{counted}"


def in_short(timebase: str, fps: float, transition_lambda: float, window: float = math.nan) -> str:
    """``real 100 / 100 / 0.15``: a setting as the label of a row, where the table's head says what the numbers are."""
    numbers = [fps, transition_lambda] + ([] if math.isnan(window) else [window])
    return f"{timebase} {' / '.join(f'{number:g}' for number in numbers)}"
