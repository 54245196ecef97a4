"""What a call of `generate` asks for and is given, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mtbench.errors import UsageError, unknown_name
from mtbench.stems import StemSet

MIXTURE = "mixture"  # the one stem of a clip to separate
GivenTask = Literal["arrangement", "separation"]


def task_of(clip: StemSet) -> GivenTask:
    """What a call does with a clip that it is given: separate it if it is a mixture, else keep its stems."""
    return "separation" if MIXTURE in clip.stems else "arrangement"


@dataclass(frozen=True)
class Abilities:
    """What a model can make: its name, its stems in their order, and its tasks of total, arrangement and separation."""

    model: str
    stems: tuple[str, ...]
    tasks: Collection[str]

    def check_asked(self, stems: Sequence[str], given: Sequence[StemSet] | None, end: int) -> None:
        """Raise UsageError unless the model makes `stems`, and `given`, if any, holds all samples before `end`."""
        if not stems:
            raise UsageError("no stem was asked for")
        for stem in stems:
            if stem not in self.stems:
                raise unknown_name("stem", stem, self.stems)
        if given is not None and len(given) < end:
            raise UsageError(f"given holds {len(given)} samples, sample {end - 1} was asked for")

    def check_given(self, clip: StemSet, number: int, task: str, samples: int, stems: Sequence[str]) -> None:
        """Raise UsageError, naming given[number], unless the model can do `task` with `clip`.

        samples: the length that its waves must have at clip.sample_rate; their values lie within [-1, 1].
        stems: what is asked for, of which the clip must leave something to make; empty for a sample that only fills
        up a batch.
        """
        where, separates = f"given[{number}] ('{clip.id}')", "separation" in self.tasks
        names = ", ".join(clip.stems)
        if not clip.stems:
            raise UsageError(f"{where} holds no stem")
        if separates and task_of(clip) != task:
            raise UsageError(f"{where} holds {names}: a call is given mixtures to separate or stems to keep, not both")
        allowed = (MIXTURE,) if task == "separation" and separates else self.stems
        if strange := [stem for stem in clip.stems if stem not in allowed]:
            others = f", or {MIXTURE} alone" if separates else ""
            known = ", ".join(self.stems) + others
            raise UsageError(f"{where} holds '{strange[0]}'; model '{self.model}' can be given {known}")
        for stem, wave in clip.stems.items():
            if np.shape(wave) != (samples,):
                raise UsageError(f"{where}: its {stem} has the shape {list(np.shape(wave))}, not [{samples}]")
            if not np.abs(wave).max() <= 1.0:
                raise UsageError(f"{where}: its {stem} has samples outside [-1, 1], or NaN")
        if stems and clip.stems.keys() >= set(stems):
            raise UsageError(f"{where} holds {names}: nothing is left to make")
