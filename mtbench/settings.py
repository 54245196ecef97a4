"""The settings of the rhythm metrics, which control how beats are decoded and scored, and their names in words."""

import math
from typing import Any, NamedTuple

# `real` decodes in real seconds; `published` decodes like the papers' scripts, whose second is fps / 100 s.
TIMEBASES = ("real", "published")
TIMEBASE_WORDS = {"real": "real seconds", "published": "published timebase"}


class Decode(NamedTuple):
    """How beats are decoded from activations. fps: frames/s; transition_lambda: the penalty on tempo changes."""

    fps: float
    transition_lambda: float
    timebase: str


class Setting(NamedTuple):
    """The setting of a rhythm score: its decode, and the window of cross-track beat synchronization (CBS).

    window: in s; NaN for metrics without one.
    """

    timebase: str
    fps: float
    transition_lambda: float
    window: float

    @property
    def words(self) -> str:
        """``real seconds, 100 fps, lambda 100, window 0.15 s``."""
        return in_words(self.timebase, self.fps, self.transition_lambda, self.window)


# The standard setting of each timebase: in real seconds, and as the papers print their numbers. It is used by the gate,
# and in tables with room for only one setting.
STANDARD = {
    "real": Setting("real", 100, 100.0, 0.15),
    "published": Setting("published", 150, 100.0, 0.15),
}


def canonical_timebase(word: Any) -> Any:
    """Return the current name of a timebase. ``real`` used to be called ``true``, which YAML reads as a boolean.

    Any other value is returned unchanged.
    """
    return "real" if word is True or word == "true" else word


def in_words(timebase: str, fps: float, transition_lambda: float, window: float = math.nan) -> str:
    """Return a setting in words; the window is left out if it is NaN."""
    counted = "" if math.isnan(window) else f", window {window:g} s"
    return f"{TIMEBASE_WORDS[timebase]}, {fps:g} fps, lambda {transition_lambda:g}{counted}"


def in_short(timebase: str, fps: float, transition_lambda: float, window: float = math.nan) -> str:
    """Return a setting as a row label, like ``real 100 / 100 / 0.15``; the table's header explains the numbers."""
    numbers = [fps, transition_lambda] + ([] if math.isnan(window) else [window])
    return f"{timebase} {' / '.join(f'{number:g}' for number in numbers)}"
