"""Suites of rendered MIDI files: ``midi``, and any other name that ``mtbench prepare midi FOLDER --name NAME`` gave.

Each track is one clip of 10.24 s. Several clips may be from the same piece. Beside the stems, ``beats.csv`` has the
true beats of a clip, if they are known.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtbench.errors import UsageError
from mtbench.suites import SuiteFamily
from mtbench.suites.tracks import MANIFEST, DataSet, data_folder, family, read_manifest

STEMS = ("bass", "drums", "guitar", "piano")
NAME = "midi"
BEATS = "beats.csv"


def data_set(name: str) -> DataSet:
    """Return the data set that was prepared under a name, whether or not it exists."""
    option = "" if name == NAME else f" --name {name}"
    return DataSet(
        name,
        name,
        {stem: [stem] for stem in STEMS},
        what="your MIDI files, rendered by FluidSynth: bass, drums, guitar and piano, 10.24 s at 16 kHz",
        remedy=f"Render a folder of MIDI files with 'mtbench prepare midi FOLDER{option}'",
        version="1",
        lengths={"": 1},
    )


def names() -> list[str]:
    """Return the names of the prepared suites in the data folder, and ``midi`` even if it is not there."""
    folders = [path.parent for path in data_folder().glob(f"*/{MANIFEST}")]
    return sorted({NAME} | {folder.name for folder in folders if _is_midi(folder)})


def is_prepared(name: str) -> bool:
    """Return whether there is such a suite; ``midi`` counts even if it is not there."""
    return name == NAME or _is_midi(data_folder() / name)


def suites(name: str) -> SuiteFamily:
    """Return the suites that were prepared under a name."""
    return family([data_set(name)])


def _is_midi(folder: Path) -> bool:
    try:
        return read_manifest(folder).get("recipe") == NAME
    except UsageError:  # the suite says so when it is opened
        return True


def check_name(name: str, taken: Sequence[str]) -> None:
    """Raise UsageError if a name cannot be that of a suite. taken: names of other suites."""
    if name in taken:
        raise UsageError(f"--name {name!r} cannot be used: it is the name of another suite")
    if not name or not name[0].isalnum() or any(c in "/\\:," or c.isspace() for c in name):
        raise UsageError(f"--name {name!r} cannot be the name of a suite: use letters, digits, '.', '_' and '-'")


def true_beats(track: Path) -> NDArray[np.float64] | None:
    """Return the true beats of a clip, float64 [n, 2]: time in s and position in the bar. None if they are unknown."""
    path = track / BEATS
    return np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2) if path.is_file() else None
