"""What a data set needs to be prepared: where its tracks are, and how their stems are made."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtbench.audio import Int16
from mtbench.errors import MtbenchError, UsageError
from mtbench.execute import Stage
from mtbench.files import subfolders


class Unusable(MtbenchError):
    """A track that is not used, although nothing is wrong with its files."""


@dataclass(frozen=True)
class Source:
    """An audio file, or one of the audio streams of an MP4 file (from 0)."""

    path: Path
    stream: int | None = None


@dataclass(frozen=True)
class Track:
    """A track to prepare.

    split, name: of its folder. sources: {stem: the files whose sum it is}; a stem without files is silent. piece:
    tracks of the same piece share it; "" is the track's name. detail: what else its audio depends on, as plain values.
    payload: anything else that `Recipe.make` needs.
    """

    split: str
    name: str
    sources: Mapping[str, Sequence[Source]]
    piece: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    payload: Any = None

    @property
    def id(self) -> str:
        return f"{self.split}/{self.name}"


@dataclass(frozen=True)
class Found:
    """The tracks of a raw folder.

    dropped: {track or file: why it is not used}. damaged: {track: why it cannot be read}.
    """

    tracks: Sequence[Track]
    dropped: Mapping[str, str] = field(default_factory=dict)
    damaged: Mapping[str, str] = field(default_factory=dict)


def split_folders(raw: Path, splits: Iterable[str]) -> dict[str, Path]:
    """Return {split: folder} of a raw folder, or of its only subfolder with splits, whatever the case of letters.

    Raises UsageError if several subfolders have splits.
    """
    roots = [{folder.name.casefold(): folder for folder in subfolders(root)} for root in (raw, *subfolders(raw))]
    found = [{split: root[split] for split in splits if split in root} for root in roots]
    if found[0]:
        return found[0]
    if len(several := [folders for folders in found if folders]) > 1:
        names = ", ".join(str(next(iter(folders.values())).parent) for folders in several)
        raise UsageError(f"{raw}: several of its folders look like the data set; name one of them: {names}")
    return several[0] if several else {}


@dataclass(frozen=True)
class Product:
    """A file of a prepared track: a stem, int16 [samples] at `rate` Hz, or the bytes of any other file.

    clipped: share of the stem's samples that were beyond full scale.
    """

    name: str
    content: Int16 | bytes
    rate: int = 0
    clipped: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """How to prepare a data set.

    expected: the layout of the raw folder, in words. find: returns its tracks; may raise UsageError. make: returns the
    files of a track; raises MtbenchError, naming the file, for audio that cannot be read, and Unusable. version:
    changes when `make` makes other audio. about: what else the manifest states.
    """

    name: str
    expected: str
    find: Callable[[Path, Stage], Found]
    make: Callable[[Track], Iterator[Product]]
    version: str = "1"
    about: Mapping[str, Any] = field(default_factory=dict)
