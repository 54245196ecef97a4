"""MUSDB18 (``<split>/SONG.stem.mp4``) and MUSDB18-HQ (``<split>/SONG/{mixture,drums,bass,other,vocals}.wav``).

The 14 songs of the distributed ``train`` that the authors' package musdb takes for validation become the split
``validation``. The mixtures are not used: that of MUSDB18 is compressed, and so is not the sum of the stems.
"""

from pathlib import Path

from mtbench.execute import Stage
from mtbench.files import subfolders
from mtbench.prepare.mixing import mixed
from mtbench.prepare.recipe import Found, Recipe, Source, Track, split_folders
from mtbench.suites.musdb18 import STEMS, VALIDATION

SUFFIX = ".stem.mp4"
STREAMS = {"drums": 1, "bass": 2, "other": 3, "vocals": 4}  # stream 0 is the mixture


def find(raw: Path, stage: Stage) -> Found:
    """Return the songs of MUSDB18."""
    tracks = []
    for split, folder in split_folders(raw, ("test", "train")).items():
        for file in sorted(folder.iterdir()):
            if file.name.lower().endswith(SUFFIX) and not file.name.startswith("."):
                song = file.name[: -len(SUFFIX)]
                sources = {stem: [Source(file, STREAMS[stem])] for stem in STEMS}
                tracks.append(Track(_split(split, song), song, sources))
    return Found(tracks)


def find_hq(raw: Path, stage: Stage) -> Found:
    """Return the songs of MUSDB18-HQ. Those without all stems are damaged."""
    tracks, damaged = [], {}
    for split, parent in split_folders(raw, ("test", "train")).items():
        for folder in subfolders(parent):
            files = {stem: folder / f"{stem}.wav" for stem in STEMS}
            if missing := [file.name for file in files.values() if not file.is_file()]:
                damaged[f"{split}/{folder.name}"] = f"no {', '.join(missing)}"
            else:
                sources = {stem: [Source(file)] for stem, file in files.items()}
                tracks.append(Track(_split(split, folder.name), folder.name, sources))
    return Found(tracks, damaged=damaged)


def _split(split: str, song: str) -> str:
    return "validation" if split == "train" and song in VALIDATION else split


RECIPE = Recipe(
    "musdb18",
    "the folder of MUSDB18 as it is distributed, with train/ and test/, which contain *.stem.mp4",
    find,
    mixed,
)
HQ = Recipe(
    "musdb18-hq",
    "the folder of MUSDB18-HQ as it is distributed, with train/ and test/, which contain SONG/vocals.wav",
    find_hq,
    mixed,
)
