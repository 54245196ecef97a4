"""Slakh2100 as it is distributed: ``<split>/TrackNNNNN/{metadata.yaml, mix.flac, stems/SNN.flac}``.

Stems are the sums of the distributed stems of an instrument family, as MSDM's data and slakh-utils' submixes have them:
MIDI programmes 0 to 7 are the piano, 24 to 31 the guitar, 32 to 39 the bass, and the drums are marked. Other
instruments are not used. A track without an instrument gets a silent stem. MIDI files are not read.
"""

from pathlib import Path
from typing import Any

from mtbench.errors import MtbenchError
from mtbench.execute import Stage
from mtbench.files import read_yaml, subfolders
from mtbench.prepare.instruments import PROGRAMMES
from mtbench.prepare.mixing import mixed
from mtbench.prepare.recipe import Found, Recipe, Source, Track, split_folders
from mtbench.suites.slakh2100 import STEMS
from mtbench.suites.tracks import HELDOUT

DRUMS = 128  # the number of the drums, which are not a General MIDI programme
SUFFIXES = (".flac", ".wav")


def find(raw: Path, stage: Stage) -> Found:
    """Return the tracks of the splits. The folder ``omitted`` has duplicates and belongs to no split."""
    tracks: list[Track] = []
    dropped: dict[str, str] = {}
    damaged: dict[str, str] = {}
    folders = split_folders(raw, sorted(HELDOUT))
    for split, parent in folders.items():
        for folder in subfolders(parent):
            try:
                sources = _sources(folder)
            except MtbenchError as error:
                damaged[f"{split}/{folder.name}"] = str(error)
                continue
            if any(sources.values()):
                tracks.append(Track(split, folder.name, sources))
            else:
                dropped[f"{split}/{folder.name}"] = "it has no bass, drums, guitar or piano"
    for parent in {folder.parent for folder in folders.values()}:
        for folder in subfolders(parent / "omitted"):
            dropped[f"omitted/{folder.name}"] = "a duplicate that Slakh2100-redux omits"
    return Found(tracks, dropped, damaged)


def _sources(folder: Path) -> dict[str, list[Source]]:
    """Return the files of each stem. Raises MtbenchError if the metadata or a file is missing or unreadable."""
    path = folder / "metadata.yaml"
    listed = read_yaml(path).get("stems")
    if not isinstance(listed, dict) or not all(isinstance(stem, dict) for stem in listed.values()):
        raise MtbenchError(f"{path}: it lists no stems")
    sources: dict[str, list[Source]] = {stem: [] for stem in STEMS}
    for name, stem in sorted(listed.items(), key=str):
        instrument, is_rendered = _instrument(stem, f"{path}: stem {name}")
        if instrument is None or not is_rendered:
            continue
        files = _existing(folder / "stems" / str(name))
        if not files:
            raise MtbenchError(f"{folder / 'stems' / str(name)}.flac: no such file, although the metadata lists it")
        sources[instrument].append(Source(files[0]))
    return sources


def _existing(path: Path) -> list[Path]:
    files = [path.with_name(path.name + suffix) for suffix in SUFFIXES]
    return [file for file in files if file.is_file()][:1]


def _instrument(stem: dict[str, Any], named: str) -> tuple[str | None, bool]:
    """Return the instrument of a stem, None if it is not used, and whether it has a file.

    Raises MtbenchError if the metadata has values of the wrong type, which would be taken for another instrument.
    """
    programme, is_drum = stem.get("program_num"), stem.get("is_drum", False)
    is_rendered = stem.get("audio_rendered", True)
    if not isinstance(is_drum, bool) or not isinstance(is_rendered, bool):
        raise MtbenchError(f"{named}: is_drum and audio_rendered must be true or false (got {is_drum}, {is_rendered})")
    if isinstance(programme, bool) or not isinstance(programme, int) or not 0 <= programme <= DRUMS:
        raise MtbenchError(f"{named}: program_num must be a whole number from 0 to {DRUMS} (got {programme!r})")
    if is_drum or programme == DRUMS:
        return "drums", is_rendered
    return next((name for name, family in PROGRAMMES.items() if programme in family), None), is_rendered


RECIPE = Recipe(
    "slakh2100",
    "the folder of Slakh2100 as it is distributed, with train/, validation/ and test/, which contain "
    "Track00001/metadata.yaml and Track00001/stems/S00.flac",
    find,
    mixed,
)
