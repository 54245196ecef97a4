"""The objects that are measured: sets of stems, sequences of songs, and the suites that provide them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from mtbench.errors import MtbenchError

MIXTURE = "mixture"  # the sum of a clip's stems, and the name of the only track of a clip without stems
SAMPLE_RATE = 16000  # Hz
N_SAMPLES = 163840  # 10.24 s, the length of the papers' clips
FOLDER = "folder:"  # prefix of the name of a model or suite that is a folder of audio
LENGTHS = {"": 1, "/30s": 3, "/60s": 6}  # {suffix of a suite's name: length of its clips in units of N_SAMPLES}
CLIPS_IN_WORDS = "10.24 s at 16 kHz; add /30s or /60s to the name for 30.72 or 61.44 s"


@dataclass(frozen=True)
class StemSet:
    """One sample: stems that belong together.

    stems: {name: float32 [samples]}, full scale at 1.0. The input of separation has the single stem ``mixture``.
    cancelled: stems that are silent because the channels of their files cancel.
    """

    id: str
    stems: Mapping[str, NDArray[np.float32]]
    sample_rate: int
    cancelled: Sequence[str] = ()

    @property
    def mixture(self) -> NDArray[np.float32]:
        """The sum of the stems, float32 [samples], clipped to [-1, 1] as in the published protocol."""
        if MIXTURE in self.stems:
            return self.stems[MIXTURE]
        total: NDArray[np.float32] = np.sum(list(self.stems.values()), axis=0, dtype=np.float32)
        return np.clip(total, -1.0, 1.0)


class Songs(Sequence[StemSet]):
    """Songs by number, each generated or read on access.

    pieces: for each song, the recording that it is cut from; songs with equal pieces share a recording. None if no two
    songs are known to share one. notices: messages about these songs for the user. files: for each song that is read
    from files, its name and {stem: file}; None for songs that are not.
    """

    def __init__(
        self,
        keys: Sequence[Any],
        load: Callable[..., StemSet],
        pieces: Sequence[Any] | None = None,
        notices: Sequence[str] = (),
        files: Sequence[tuple[str, Mapping[str, Path]]] | None = None,
    ):
        self._keys, self._load, self.pieces, self.notices, self.files = keys, load, pieces, notices, files

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, index: int) -> StemSet: ...

    @overload
    def __getitem__(self, index: slice) -> "Songs": ...

    def __getitem__(self, index: int | slice) -> "StemSet | Songs":
        if isinstance(index, slice):
            pieces = None if self.pieces is None else self.pieces[index]
            files = None if self.files is None else self.files[index]
            return Songs(self._keys[index], self._load, pieces, self.notices, files)
        return self.loader(index)()

    def loader(self, number: int) -> Callable[[], StemSet]:
        """Return a function that generates or reads one song, to send to another process without all the keys."""
        return partial(self._load, self._keys[number])


class Suite(Protocol):
    """A source of clips: a reference set, and held-out songs.

    name: as on the command line. split: the part that is the reference. version: changes when the audio of its songs
    changes. stems: ``("mixture",)`` for songs without stems. n_samples: length of every stem, at `sample_rate` Hz.
    `reference()` and `heldout()` are lazy and have no song in common; `heldout()` is empty if the suite has no held-out
    songs.

    A suite whose songs may lack some stems names these stems in an attribute `optional_stems`. A missing stem is then
    silent.
    """

    @property
    def name(self) -> str: ...

    @property
    def split(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def stems(self) -> tuple[str, ...]: ...

    @property
    def sample_rate(self) -> int: ...

    @property
    def n_samples(self) -> int: ...

    def reference(self) -> Songs: ...

    def heldout(self) -> Songs: ...


def has_stems(stems: Iterable[str]) -> bool:
    """Return whether the tracks of a clip are stems, and not a mixture alone."""
    return set(stems) != {MIXTURE}


def optional_stems(suite: Suite | None) -> tuple[str, ...]:
    """Return the stems that a song of the suite may lack: its attribute `optional_stems`, by default none."""
    return tuple(getattr(suite, "optional_stems", ()))


def with_silence(song: StemSet, stems: Sequence[str], optional: Sequence[str]) -> StemSet:
    """Return a song with all of `stems`; a missing stem is silent. Raises MtbenchError if it is not optional."""
    if not (missing := [stem for stem in stems if stem not in song.stems]):
        return song
    if not song.stems or (needed := [stem for stem in missing if stem not in optional]):
        raise MtbenchError(f"song '{song.id}' has no stem {', '.join(needed if song.stems else missing)}")
    length = max(len(wave) for wave in song.stems.values())
    silent = {stem: np.zeros(length, np.float32) for stem in missing}
    return StemSet(song.id, {**song.stems, **silent}, song.sample_rate, song.cancelled)
