"""Checks of the arguments of `generate`, made before anything is computed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mtbench.errors import UsageError, unknown_name
from mtbench.stems import StemSet

MIXTURE = "mixture"  # the only stem of a clip to be separated
GivenTask = Literal["arrangement", "separation"]


def task_of(clip: StemSet) -> GivenTask:
    """Return the task for a given clip: separation if it has a mixture, otherwise arrangement around its stems."""
    return "separation" if MIXTURE in clip.stems else "arrangement"


@dataclass(frozen=True)
class Abilities:
    """What a model can generate: its name, its stems in order, and its tasks (total, arrangement, separation)."""

    model: str
    stems: tuple[str, ...]
    tasks: Collection[str]

    def check_asked(self, stems: Sequence[str], given: Sequence[StemSet] | None, end: int) -> None:
        """Raise UsageError unless the model can generate `stems` and `given`, if any, has at least `end` samples."""
        if not stems:
            raise UsageError("no stems were requested")
        for stem in stems:
            if stem not in self.stems:
                raise unknown_name("stem", stem, self.stems)
        if given is not None and len(given) < end:
            raise UsageError(f"given has only {len(given)} samples, but sample {end - 1} was requested")

    def check_given(self, clip: StemSet, number: int, task: str, samples: int, stems: Sequence[str]) -> None:
        """Raise UsageError, naming given[number], unless the model can perform `task` on `clip`.

        samples: required length of the clip's waves at clip.sample_rate. Their values must be within [-1, 1].
        stems: the requested stems, at least one of which must not be in the clip; empty for a sample that only fills
        up a batch.
        """
        where, separates = f"given[{number}] ('{clip.id}')", "separation" in self.tasks
        names = ", ".join(clip.stems)
        if not clip.stems:
            raise UsageError(f"{where} has no stems")
        if separates and task_of(clip) != task:
            raise UsageError(
                f"{where} contains {names}: all clips of a call must be mixtures to separate, or all must be stems to "
                "keep"
            )
        allowed = (MIXTURE,) if task == "separation" and separates else self.stems
        if unknown := [stem for stem in clip.stems if stem not in allowed]:
            others = f", or only {MIXTURE}" if separates else ""
            known = ", ".join(self.stems) + others
            raise UsageError(f"{where} contains '{unknown[0]}', but model '{self.model}' accepts {known}")
        for stem, wave in clip.stems.items():
            if np.shape(wave) != (samples,):
                raise UsageError(f"{where}: {stem} has shape {list(np.shape(wave))}, expected [{samples}]")
            if not np.abs(wave).max() <= 1.0:
                raise UsageError(f"{where}: {stem} has samples outside [-1, 1] or NaN")
        if stems and clip.stems.keys() >= set(stems):
            raise UsageError(f"{where} already contains {names}: there is nothing left to generate")
