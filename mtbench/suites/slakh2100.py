"""Slakh2100 in the layout that MSDM's data instructions make: ``<split>/<TrackNNNNN>/{bass,drums,guitar,piano}.wav``.

Cut as the published evaluation cuts it (parity facts, section 7): consecutive windows of 10.24 s from 0, the
tail dropped, songs skipped whose stems are missing, unequal, shorter than a window, or 640 s and longer.
Silent stems stay.
"""

import os
from pathlib import Path

import platformdirs

from mtbench import audio
from mtbench.errors import UsageError
from mtbench.generator import StemSet
from mtbench.suites import N_SAMPLES, SAMPLE_RATE, STEMS, Songs

SPLITS = ("train", "validation", "test")
CLIP = 10.24  # s
LONGEST = 640.0  # s


def data_folder() -> Path:
    """Where the data set is looked for: ``$MTBENCH_DATA/slakh2100``, else the user's data folder."""
    root = os.environ.get("MTBENCH_DATA") or platformdirs.user_data_dir("mtbench")
    return Path(root).absolute() / "slakh2100"


class Slakh2100:
    """One split as the reference; songs of another one are held out (validation for test, else test)."""

    stems, sample_rate, n_samples, version = STEMS, SAMPLE_RATE, N_SAMPLES, "1"

    def __init__(self, split: str):
        self.name, self.split = f"slakh2100/{split}", split
        if not (data_folder() / split).is_dir():
            raise UsageError(f"suite '{self.name}': no folder {data_folder() / split}. Prepare Slakh2100 as MSDM's data "
                             "instructions say, then put it there, or set MTBENCH_DATA to the folder that holds slakh2100/")

    def reference(self) -> Songs:
        return Songs(windows(data_folder() / self.split), _load)

    def heldout(self) -> Songs:
        other = data_folder() / ("validation" if self.split == "test" else "test")
        return Songs(windows(other) if other.is_dir() else [], _load)


def windows(split_folder: Path) -> list[tuple[Path, int]]:
    """(track folder, number of its window) of every clip of a split, in the order of the tracks' names."""
    found = []
    for track in sorted(path for path in split_folder.iterdir() if path.is_dir()):
        files = [track / f"{stem}.wav" for stem in STEMS]
        if not all(file.is_file() for file in files):
            continue
        lengths = {audio.info(file) for file in files}
        if len(lengths) != 1:
            continue
        (frames, rate), = lengths
        duration = frames / rate
        if CLIP <= duration < LONGEST:
            found += [(track, number) for number in range(1 + int((duration - CLIP) / CLIP))]
    return found


def _load(window: tuple[Path, int]) -> StemSet:
    track, number = window
    _, rate = audio.info(track / f"{STEMS[0]}.wav")  # that of every stem, or the track were not among the windows
    start, frames = int(number * CLIP * rate), round(CLIP * rate)
    waves = {}
    for stem in STEMS:
        done = audio.read_canonical(track / f"{stem}.wav", SAMPLE_RATE, N_SAMPLES, start, frames)
        waves[stem] = audio.to_float(done.samples)
    return StemSet(f"{track.name}-{number:03d}", waves, SAMPLE_RATE)
