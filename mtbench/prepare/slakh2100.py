"""Slakh2100 as it is distributed: ``<split>/TrackNNNNN/{metadata.yaml, mix.flac, stems/SNN.flac}``.

Stems are the sums of the distributed stems of an instrument family, as MSDM's data and slakh-utils' submixes have them:
MIDI programmes 0 to 7 are the piano, 24 to 31 the guitar, 32 to 39 the bass, and the drums are marked. Other
instruments are not used. A track without an instrument gets a silent stem. MIDI files are not read.
"""

from pathlib import Path
from typing import Any

from mtbench.errors import MtbenchError
from mtbench.execute import Stage
from mtbench.files import read_yaml
from mtbench.prepare.mixing import mixed
from mtbench.prepare.recipe import Found, Recipe, Source, Track
from mtbench.suites.slakh2100 import HELDOUT, STEMS

FAMILIES = {"piano": range(8), "guitar": range(24, 32), "bass": range(32, 40)}
DRUMS = 128  # the number of the drums, which are not a General MIDI programme
SUFFIXES = (".flac", ".wav")


def find(raw: Path, stage: Stage) -> Found:
    """Return the tracks of the splits. The folder ``omitted`` has duplicates and belongs to no split."""
    root = next(
        (folder for folder in (raw, *_folders(raw)) if any((folder / split).is_dir() for split in HELDOUT)), raw
    )
    tracks: list[Track] = []
    dropped: dict[str, str] = {}
    for split in sorted(HELDOUT):
        for folder in _folders(root / split):
            try:
                sources = _sources(folder)
            except MtbenchError as error:
                dropped[f"{split}/{folder.name}"] = str(error)
                continue
            mix = [Source(file) for file in _existing(folder / "mix")]
            tracks.append(Track(split, folder.name, sources, also=mix))
    for folder in _folders(root / "omitted"):
        dropped[f"omitted/{folder.name}"] = "a duplicate that Slakh2100-redux omits"
    return Found(tracks, dropped)


def _folders(path: Path) -> list[Path]:
    return (
        sorted(folder for folder in path.iterdir() if folder.is_dir() and folder.name[0] != ".")
        if path.is_dir()
        else []
    )


def _sources(folder: Path) -> dict[str, list[Source]]:
    """Return the files of each stem. Raises MtbenchError if the metadata or a file is missing or unreadable."""
    path = folder / "metadata.yaml"
    listed = read_yaml(path).get("stems")
    if not isinstance(listed, dict) or not all(isinstance(stem, dict) for stem in listed.values()):
        raise MtbenchError(f"{path}: it lists no stems")
    sources: dict[str, list[Source]] = {stem: [] for stem in STEMS}
    for name, stem in sorted(listed.items()):
        instrument = _instrument(stem)
        if instrument is None or not stem.get("audio_rendered", True):
            continue
        files = _existing(folder / "stems" / str(name))
        if not files:
            raise MtbenchError(f"{folder / 'stems' / str(name)}.flac: no such file, although the metadata lists it")
        sources[instrument].append(Source(files[0]))
    if not any(sources.values()):
        raise MtbenchError("no bass, drums, guitar or piano")
    return sources


def _existing(path: Path) -> list[Path]:
    files = [path.with_name(path.name + suffix) for suffix in SUFFIXES]
    return [file for file in files if file.is_file()][:1]


def _instrument(stem: dict[str, Any]) -> str | None:
    programme = stem.get("program_num")
    if stem.get("is_drum") or programme == DRUMS:
        return "drums"
    return next((name for name, family in FAMILIES.items() if programme in family), None)


RECIPE = Recipe(
    "slakh2100",
    "the folder of Slakh2100 as it is distributed, with train/, validation/ and test/, which contain "
    "Track00001/metadata.yaml and Track00001/stems/S00.flac",
    find,
    mixed,
)
