"""MoisesDB as it is distributed: ``moisesdb_v0.1/<song ID>/{data.json, <stem>/<file ID>.wav}``.

Each stem is the sum of its files. The data set has no splits; a hash of the song's ID puts 80% of the songs into
``train`` and 10% each into ``validation`` and ``test``.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from mtbench.errors import MtbenchError
from mtbench.execute import Stage
from mtbench.files import subfolders
from mtbench.prepare.mixing import mixed
from mtbench.prepare.recipe import Found, Recipe, Source, Track
from mtbench.suites.moisesdb import STEMS

MOST = 1 << 24  # bytes of a data.json that is read


def find(raw: Path, stage: Stage) -> Found:
    """Return the songs, in the folder or one folder below. Songs whose data.json is invalid are damaged."""
    tracks, damaged = [], {}
    folders = [inner for folder in subfolders(raw) for inner in (folder, *subfolders(folder))]
    for path in [folder / "data.json" for folder in folders if (folder / "data.json").is_file()]:
        song = path.parent.name
        try:
            tracks.append(Track(split_of(song), song, _sources(path)))
        except MtbenchError as error:
            damaged[song] = str(error)
    return Found(tracks, damaged=damaged)


def split_of(song: str) -> str:
    """Return the split of a song: its ID's SHA-256, as a number, modulo 10 is 0 for test and 1 for validation."""
    number = int(hashlib.sha256(song.encode()).hexdigest(), 16) % 10
    return {0: "test", 1: "validation"}.get(number, "train")


def _sources(path: Path) -> dict[str, list[Source]]:
    """Return the files of each stem of a song. Raises MtbenchError, naming the file, if it cannot be used."""
    sources: dict[str, list[Source]] = {}
    try:
        with path.open("rb") as file:
            listed: Any = json.loads(file.read(MOST))["stems"]
        for stem in listed:
            files = sources.setdefault(stem["stemName"].replace(" ", "_"), [])
            files += [
                Source(path.parent / stem["stemName"] / f"{track['id']}.{track['extension']}")
                for track in stem["tracks"]
            ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MtbenchError(f"{path}: not MoisesDB's description of a song ({type(error).__name__}: {error})") from None
    if unknown := sorted(sources.keys() - {*STEMS}):
        raise MtbenchError(f"{path}: unknown stem {', '.join(unknown)}")
    every = [source.path for files in sources.values() for source in files]
    if outside := [file for file in every if path.parent.resolve() not in file.resolve().parents]:
        raise MtbenchError(f"{path}: refers to {outside[0]}, which is outside of its folder")
    if missing := [file for file in every if not file.is_file()]:
        raise MtbenchError(f"{missing[0]}: no such file, although data.json lists it")
    if not every:
        raise MtbenchError(f"{path}: it lists no stems")
    return {stem: list(dict.fromkeys(files)) for stem, files in sources.items() if files}


RECIPE = Recipe(
    "moisesdb",
    "the folder of MoisesDB as it is distributed, with moisesdb_v0.1/, which contains ID/data.json and ID/drums/*.wav",
    find,
    mixed,
)
