"""Data sets on disk: tracks of any length, cut into windows.

A data set is a folder ``<split>/<track>/<stem>.wav`` (or ``.flac``) in the data folder, as `mtbench.prepare` writes it.
Beside it, ``manifest.json`` describes what was prepared, with a checksum of every file. A data set that was prepared in
another way has the same layout without a manifest.

Tracks are cut as in the evaluation of the published SyncTrack code: into consecutive windows from the start, without
the remainder. Tracks with missing stems, stems of unequal length, or less than one window are skipped. Silent stems are
kept.
"""

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import platformdirs
from numpy.typing import NDArray

from mtbench import audio
from mtbench.errors import UsageError
from mtbench.files import subfolders
from mtbench.stems import LENGTHS, N_SAMPLES, SAMPLE_RATE, Songs, StemSet
from mtbench.suites import SuiteFamily

MANIFEST = "manifest.json"
SUFFIXES = (".wav", ".flac")
HELDOUT = {"test": "validation", "train": "test", "validation": "test"}  # {split: the split of its held-out songs}


@dataclass(frozen=True)
class DataSet:
    """How a data set becomes a suite.

    folder: its name in the data folder. stems: {stem: the files whose sum it is, without suffix}. what: a description.
    remedy: how to get it. version: of these rules. optional: stems that a track may lack. longest: tracks of this many
    seconds or more are skipped. left_out: names of tracks that are not used. lengths: of its clips, as in LENGTHS.
    """

    name: str
    folder: str
    stems: Mapping[str, Sequence[str]]
    what: str
    remedy: str
    version: str
    optional: tuple[str, ...] = ()
    longest: float = math.inf
    left_out: frozenset[str] = field(default=frozenset(), repr=False)
    lengths: Mapping[str, int] = field(default_factory=lambda: LENGTHS)

    @property
    def path(self) -> Path:
        return data_folder() / self.folder


class Tracks:
    """One split of a data set as the reference. The held-out songs are from another split.

    length: one of the data set's lengths. Raises UsageError if the folder of the split is missing. `reference` raises
    UsageError if no track can be used, and AudioError for a file whose header cannot be read.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, data: DataSet, split: str, length: str = ""):
        self._data, self.split, self.name = data, split, f"{data.name}/{split}{length}"
        self.n_samples = data.lengths[length] * N_SAMPLES
        self.stems, self.optional_stems = tuple(data.stems), data.optional
        if not (data.path / split).is_dir():
            raise UsageError(f"suite '{self.name}': {data.path / split}: no such folder. {data.remedy}")

    @cached_property
    def version(self) -> str:
        """The version of the rules, followed by a hash of the checksums of this and the held-out split, if known."""
        splits = {self.split, HELDOUT[self.split]}
        lines = [
            f"{track} {file} {entry['sha256']}\n"
            for track, record in sorted(self._records.items())
            if track.partition("/")[0] in splits
            for file, entry in sorted(record["files"].items())
        ]
        digest = hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()
        return f"{self._data.version}-{digest[:12]}" if lines else self._data.version

    def reference(self) -> Songs:
        """Return the windows of each track, sorted by track name."""
        found = self._windows(self.split)
        if not found.windows:
            folder = self._data.path / self.split
            why = "; ".join(_tracks(count, reason) for reason, count in found.skipped.items())
            why = f"skipped: {why}" if why else f"it has no tracks. {self._data.remedy}"
            raise UsageError(f"suite '{self.name}': no clips in {folder}: {why}")
        return self._songs(found, f"reference of {self.name}")

    def heldout(self) -> Songs:
        """Return the first windows of all pieces, then the second windows, and so on.

        Windows of one track belong to the same song, and the first n held-out windows should be from n songs.
        """
        found = self._windows(HELDOUT[self.split])
        turns: Counter[str] = Counter()
        turn = {}
        for window in found.windows:
            piece = self._piece(window)
            turn[window] = turns[piece]
            turns[piece] += 1
        in_turn = sorted(found.windows, key=lambda window: turn[window])
        return self._songs(Windows(in_turn, found.skipped), f"heldout of {self.name}")

    def _windows(self, split: str) -> "Windows":
        folder = self._data.path / split
        return windows(folder, self._data, self.n_samples, self._records) if folder.is_dir() else Windows([], Counter())

    def _songs(self, found: "Windows", named: str) -> Songs:
        notices = [f"{named}: skipped: {_tracks(count, reason)}" for reason, count in found.skipped.items()]
        load = partial(_load, stems=self._data.stems, n_samples=self.n_samples)
        return Songs(found.windows, load, [self._piece(window) for window in found.windows], notices)

    def _piece(self, window: "Window") -> str:
        """Return the piece of music that a window is cut from. Tracks that are clips of one piece share it."""
        track = window[0]
        record = self._records.get(f"{track.parent.name}/{track.name}", {})
        return str(record.get("piece", track.name))

    @cached_property
    def _records(self) -> Mapping[str, Any]:
        tracks: Mapping[str, Any] = read_manifest(self._data.path).get("tracks", {})
        return tracks


Window = tuple[Path, int]  # a track's folder, and the number of the window


@dataclass(frozen=True)
class Windows:
    """The clips of a split, sorted by track name. skipped: {why: number of tracks}."""

    windows: list[Window]
    skipped: Counter[str]


def data_folder() -> Path:
    """Return the folder of all data sets: ``$MTBENCH_DATA`` or, if it is not set, the user's data folder."""
    return Path(os.environ.get("MTBENCH_DATA") or platformdirs.user_data_dir("mtbench")).absolute()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a prepared data set; empty if there is none. Raises UsageError if it is damaged."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        records = manifest["tracks"].values()
        if all(isinstance(entry["sha256"], str) for record in records for entry in record["files"].values()):
            return dict(manifest)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise UsageError(f"{path}: not a manifest of mtbench prepare; run mtbench prepare again")


def family(sets: Sequence[DataSet]) -> SuiteFamily:
    """Return the suites of data sets, for every split and length."""
    by_name = {
        f"{data.name}/{split}{length}": (data, split, length)
        for data in sets
        for split in HELDOUT
        for length in data.lengths
    }

    def describe() -> list[tuple[str, str, str]]:
        rows = []
        for data in sets:
            names = f"{data.name}/{', /'.join(HELDOUT)}"
            splits = [split for split in HELDOUT if (data.path / split).is_dir()]
            where = f"{data.path} ({', '.join(splits)})" if splits else f"missing. {data.remedy}"
            rows.append((names, data.what, where))
        return rows

    return SuiteFamily(
        suites={
            name: data.lengths[length] * N_SAMPLES / SAMPLE_RATE for name, (data, split, length) in by_name.items()
        },
        open=lambda name: Tracks(*by_name[name]),
        describe=describe,
    )


def _tracks(count: int, reason: str) -> str:
    return f"{count} {'track' if count == 1 else 'tracks'} ({reason})"


def windows(
    split_folder: Path, data: DataSet, n_samples: int, records: Mapping[str, Any] = MappingProxyType({})
) -> Windows:
    """Return the windows of a split.

    n_samples: length of a window at 16 kHz, whatever the files' sample rate is. records: of the manifest; if there are
    any, other tracks are skipped.
    """
    clips: list[Window] = []
    skipped: Counter[str] = Counter()
    seconds = n_samples / SAMPLE_RATE
    for track in subfolders(split_folder):
        if track.name in data.left_out:
            skipped["a duplicate of another track"] += 1
            continue
        if records and f"{split_folder.name}/{track.name}" not in records:
            skipped["not listed in manifest.json; run mtbench prepare again"] += 1
            continue
        files = _files(track, data.stems)
        if missing := [stem for stem, found in files.items() if not found and stem not in data.optional]:
            skipped[f"no {', '.join(missing)}"] += 1
            continue
        lengths = {audio.info(file) for found in files.values() for file in found}
        if len(lengths) != 1:
            skipped["stems of different lengths" if lengths else "no stems"] += 1
            continue
        ((frames, rate),) = lengths
        duration = frames / rate
        if duration < seconds:
            skipped[f"shorter than {seconds:g} s"] += 1
        elif duration >= data.longest:
            skipped[f"{data.longest:g} s or longer"] += 1
        else:
            clips += [(track, number) for number in range(1 + int((duration - seconds) / seconds))]
    return Windows(clips, skipped)


def _files(track: Path, stems: Mapping[str, Sequence[str]]) -> dict[str, list[Path]]:
    """Return {stem: the files whose sum it is} of those that exist."""

    def file(part: str) -> list[Path]:
        return [path for suffix in SUFFIXES if (path := track / f"{part}{suffix}").is_file()][:1]

    return {stem: [path for part in parts for path in file(part)] for stem, parts in stems.items()}


def _load(window: Window, stems: Mapping[str, Sequence[str]], n_samples: int) -> StemSet:
    (track, number), seconds = window, n_samples / SAMPLE_RATE
    files = _files(track, stems)
    _, rate = audio.info(next(file for found in files.values() for file in found))  # `windows` skips unequal stems
    start, frames = int(number * seconds * rate), round(seconds * rate)
    waves: dict[str, NDArray[np.float32]] = {}
    for stem, found in files.items():
        for file in found:
            wave = audio.to_float(audio.read_canonical(file, SAMPLE_RATE, n_samples, start, frames).samples)
            waves[stem] = waves[stem] + wave if stem in waves else wave
    return StemSet(f"{track.name}-{number:03d}", waves, SAMPLE_RATE)
