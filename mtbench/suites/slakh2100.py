"""Slakh2100 in the layout that MSDM's data instructions make: ``<split>/<TrackNNNNN>/{bass,drums,guitar,piano}.wav``.

Cut as the data loader of the SyncTrack release cuts it for the evaluation: consecutive windows of 10.24 s from 0, the
tail dropped, songs skipped whose stems are missing, unequal, shorter than a window, or 640 s and longer.
Silent stems stay. ``slakh2100/<split>/30s`` and ``/60s`` are cut by the same rules into windows of 30.72 and 61.44 s.
"""

import os
from functools import partial
from pathlib import Path

import platformdirs

from mtbench import audio
from mtbench.errors import UsageError
from mtbench.stems import CLIPS_IN_WORDS, LENGTHS, N_SAMPLES, SAMPLE_RATE, STEMS, Songs, StemSet
from mtbench.suites import SuiteFamily

SPLITS = ("train", "validation", "test")
LONGEST = 640.0  # s


def data_folder() -> Path:
    """Where the data set is looked for: ``$MTBENCH_DATA/slakh2100``, else the user's data folder."""
    root = os.environ.get("MTBENCH_DATA") or platformdirs.user_data_dir("mtbench")
    return Path(root).absolute() / "slakh2100"


class Slakh2100:
    """One split as the reference; songs of another one are held out (validation for test, else test).

    length: one of LENGTHS.
    """

    stems, sample_rate, version = STEMS, SAMPLE_RATE, "3"

    def __init__(self, split: str, length: str = ""):
        self.name, self.split = f"slakh2100/{split}{length}", split
        self.n_samples = LENGTHS[length] * N_SAMPLES
        if not (data_folder() / split).is_dir():
            raise UsageError(
                f"suite '{self.name}': no folder {data_folder() / split}. Prepare Slakh2100 as MSDM's data "
                "instructions say, then put it there, or set MTBENCH_DATA to the folder that holds slakh2100/"
            )

    def reference(self) -> Songs:
        return self._songs(self._windows(self.split))

    def heldout(self) -> Songs:
        """The first window of each track before the second of any: windows of one track are one song, and the first n
        of what is held out should be n songs."""
        found = self._windows("validation" if self.split == "test" else "test")
        return self._songs(sorted(found, key=lambda window: window[1]))

    def _windows(self, split: str) -> list[tuple[Path, int]]:
        folder = data_folder() / split
        return windows(folder, self.n_samples) if folder.is_dir() else []

    def _songs(self, found: list[tuple[Path, int]]) -> Songs:
        return Songs(found, partial(_load, n_samples=self.n_samples), pieces=[track for track, _ in found])


def _open(name: str) -> Slakh2100:
    split = name.split("/")[1]
    return Slakh2100(split, name.removeprefix(f"slakh2100/{split}"))


def _describe() -> list[tuple[str, str, str]]:
    folders = {split: data_folder() / split for split in SPLITS}
    return [
        (
            f"slakh2100/{split}",
            f"Slakh2100: bass, drums, guitar and piano, as cut for MSDM, {CLIPS_IN_WORDS}",
            str(folder) if folder.is_dir() else f"not here: put it at {folder}, or set MTBENCH_DATA",
        )
        for split, folder in folders.items()
    ]


FAMILY = SuiteFamily(
    suites={f"slakh2100/{split}{end}": n * N_SAMPLES / SAMPLE_RATE for split in SPLITS for end, n in LENGTHS.items()},
    open=_open,
    describe=_describe,
)


def windows(split_folder: Path, n_samples: int) -> list[tuple[Path, int]]:
    """(track folder, number of its window) of every clip of a split, in the order of the tracks' names.

    n_samples: of a window at 16 kHz, whatever the rate of the files.
    """
    found, clip = [], n_samples / SAMPLE_RATE
    for track in sorted(path for path in split_folder.iterdir() if path.is_dir()):
        files = [track / f"{stem}.wav" for stem in STEMS]
        if not all(file.is_file() for file in files):
            continue
        lengths = {audio.info(file) for file in files}
        if len(lengths) != 1:
            continue
        ((frames, rate),) = lengths
        duration = frames / rate
        if clip <= duration < LONGEST:
            found += [(track, number) for number in range(1 + int((duration - clip) / clip))]
    return found


def _load(window: tuple[Path, int], n_samples: int) -> StemSet:
    (track, number), clip = window, n_samples / SAMPLE_RATE
    _, rate = audio.info(track / f"{STEMS[0]}.wav")  # that of every stem, or the track were not among the windows
    start, frames = int(number * clip * rate), round(clip * rate)
    waves = {}
    for stem in STEMS:
        done = audio.read_canonical(track / f"{stem}.wav", SAMPLE_RATE, n_samples, start, frames)
        waves[stem] = audio.to_float(done.samples)
    return StemSet(f"{track.name}-{number:03d}", waves, SAMPLE_RATE)
