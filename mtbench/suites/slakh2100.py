"""Slakh2100, prepared according to MSDM's data instructions: ``<split>/<TrackNNNNN>/{bass,drums,guitar,piano}.wav``.

Slakh2100 is by Manilow et al., "Cutting Music Source Separation Some Slakh", WASPAA 2019. Songs are cut as in the
evaluation of the published SyncTrack code: into consecutive windows of 10.24 s from the start, without the remainder.
Songs with missing stems, stems of unequal length, less than one window, or at least 640 s are skipped. Silent stems are
kept. ``slakh2100/<split>/30s`` and ``/60s`` are cut by the same rules into windows of 30.72 and 61.44 s.
"""

import os
from functools import partial
from pathlib import Path

import platformdirs

from mtbench import audio
from mtbench.errors import UsageError
from mtbench.stems import CLIPS_IN_WORDS, LENGTHS, N_SAMPLES, SAMPLE_RATE, Songs, StemSet
from mtbench.suites import SuiteFamily

STEMS = ("bass", "drums", "guitar", "piano")
SPLITS = ("train", "validation", "test")
LONGEST = 640.0  # s


def data_folder() -> Path:
    """Return the folder of the data set: ``slakh2100`` in ``$MTBENCH_DATA`` or, if unset, in the user's data folder."""
    root = os.environ.get("MTBENCH_DATA") or platformdirs.user_data_dir("mtbench")
    return Path(root).absolute() / "slakh2100"


class Slakh2100:
    """One split as the reference. The held-out songs are from another split (validation for test, otherwise test).

    split: one of SPLITS. length: one of LENGTHS. Raises UsageError if the folder of the split is missing.
    """

    stems: tuple[str, ...] = STEMS
    sample_rate = SAMPLE_RATE
    version = "3"

    def __init__(self, split: str, length: str = ""):
        self.name, self.split = f"slakh2100/{split}{length}", split
        self.n_samples = LENGTHS[length] * N_SAMPLES
        if not (data_folder() / split).is_dir():
            raise UsageError(
                f"suite '{self.name}': {data_folder() / split}: no such folder. Prepare Slakh2100 according to MSDM's "
                "data instructions and put it there, or set MTBENCH_DATA to the folder that contains slakh2100/"
            )

    def reference(self) -> Songs:
        """Return the windows of each track, sorted by track name."""
        return self._songs(self._windows(self.split))

    def heldout(self) -> Songs:
        """Return the first windows of all tracks, then the second windows, and so on.

        Windows of one track belong to the same song, and the first n held-out windows should be from n songs.
        """
        in_order = self._windows("validation" if self.split == "test" else "test")
        return self._songs(sorted(in_order, key=lambda window: window[1]))

    def _windows(self, split: str) -> list[tuple[Path, int]]:
        folder = data_folder() / split
        return windows(folder, self.n_samples) if folder.is_dir() else []

    def _songs(self, of_split: list[tuple[Path, int]]) -> Songs:
        return Songs(of_split, partial(_load, n_samples=self.n_samples), pieces=[track for track, _ in of_split])


def _open(name: str) -> Slakh2100:
    split = name.split("/")[1]
    return Slakh2100(split, name.removeprefix(f"slakh2100/{split}"))


def _describe() -> list[tuple[str, str, str]]:
    folders = {split: data_folder() / split for split in SPLITS}
    return [
        (
            f"slakh2100/{split}",
            f"Slakh2100: bass, drums, guitar and piano, cut as for MSDM, {CLIPS_IN_WORDS}",
            str(folder) if folder.is_dir() else f"missing: put it at {folder}, or set MTBENCH_DATA",
        )
        for split, folder in folders.items()
    ]


FAMILY = SuiteFamily(
    suites={f"slakh2100/{split}{end}": n * N_SAMPLES / SAMPLE_RATE for split in SPLITS for end, n in LENGTHS.items()},
    open=_open,
    describe=_describe,
)


def windows(split_folder: Path, n_samples: int) -> list[tuple[Path, int]]:
    """Return (track folder, number of the window) for every clip of a split, sorted by track name.

    n_samples: length of a window at 16 kHz, regardless of the files' sample rate. Raises AudioError for a file whose
    header cannot be read.
    """
    clips: list[tuple[Path, int]] = []
    seconds = n_samples / SAMPLE_RATE
    for track in sorted(path for path in split_folder.iterdir() if path.is_dir()):
        files = [track / f"{stem}.wav" for stem in STEMS]
        if not all(file.is_file() for file in files):
            continue
        lengths = {audio.info(file) for file in files}
        if len(lengths) != 1:
            continue
        ((frames, rate),) = lengths
        duration = frames / rate
        if seconds <= duration < LONGEST:
            clips += [(track, number) for number in range(1 + int((duration - seconds) / seconds))]
    return clips


def _load(window: tuple[Path, int], n_samples: int) -> StemSet:
    (track, number), seconds = window, n_samples / SAMPLE_RATE
    _, rate = audio.info(track / f"{STEMS[0]}.wav")  # equal for all stems, since `windows` skips other tracks
    start, frames = int(number * seconds * rate), round(seconds * rate)
    waves = {}
    for stem in STEMS:
        wave = audio.read_canonical(track / f"{stem}.wav", SAMPLE_RATE, n_samples, start, frames)
        waves[stem] = audio.to_float(wave.samples)
    return StemSet(f"{track.name}-{number:03d}", waves, SAMPLE_RATE)
