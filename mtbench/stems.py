"""What is measured: stems that belong together, songs in their order, and the suites that hold them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

STEMS = ("bass", "drums", "guitar", "piano")  # of the papers
SAMPLE_RATE = 16000  # Hz
N_SAMPLES = 163840  # 10.24 s, the clip of the papers
FOLDER = "folder:"  # begins the name of a model or a suite that is a folder of audio
LENGTHS = {"": 1, "/30s": 3, "/60s": 6}  # what ends a suite's name, and how many times N_SAMPLES its clips then have
CLIPS_IN_WORDS = "10.24 s at 16 kHz; with /30s or /60s behind the name 30.72 or 61.44 s"


@dataclass(frozen=True)
class StemSet:
    """One sample: stems that belong together.

    stems: {name: float32 [samples]}, full scale at 1.0. Under the one name ``mixture`` it is what separation is given.
    """

    id: str
    stems: Mapping[str, NDArray[np.float32]]
    sample_rate: int

    @property
    def mixture(self) -> NDArray[np.float32]:
        """float32 [samples]: the sum of the stems, clipped to [-1, 1] as in the published protocol."""
        if "mixture" in self.stems:
            return self.stems["mixture"]
        total: NDArray[np.float32] = np.sum(list(self.stems.values()), axis=0, dtype=np.float32)
        return np.clip(total, -1.0, 1.0)


class Songs(Sequence[StemSet]):
    """Songs by number, each made or read when it is asked for.

    pieces: what each song is cut from, where several may be of one recording; None: no two are known to be.
    notices: what the user should know of them.
    """

    def __init__(
        self,
        keys: Sequence[Any],
        load: Callable[..., StemSet],
        pieces: Sequence[Any] | None = None,
        notices: Sequence[str] = (),
    ):
        self._keys, self._load, self.pieces, self.notices = keys, load, pieces, notices

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, index: int) -> StemSet: ...

    @overload
    def __getitem__(self, index: slice) -> "Songs": ...

    def __getitem__(self, index: int | slice) -> "StemSet | Songs":
        if isinstance(index, slice):
            pieces = None if self.pieces is None else self.pieces[index]
            return Songs(self._keys[index], self._load, pieces, self.notices)
        return self.loader(index)()

    def loader(self, number: int) -> Callable[[], StemSet]:
        """What makes or reads a song: for another process, which need not be sent the keys of all."""
        return partial(self._load, self._keys[number])


class Suite(Protocol):
    """A reference set.

    name: as on the command line; split: the part that is the reference; version: changes when the audio of its
    songs does; n_samples: of every stem, at `sample_rate` Hz. `reference()` and `heldout()` are lazy and share no song;
    `heldout()` is empty where the suite has none to spare.
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
