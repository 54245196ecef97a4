"""A folder that holds a subfolder a stem, with the same file names in each: anybody's audio, as a suite or as a model."""

from dataclasses import dataclass
from pathlib import Path

from mtbench import audio
from mtbench.errors import UsageError
from mtbench.generator import StemSet
from mtbench.suites import N_SAMPLES, SAMPLE_RATE, STEMS, Songs


@dataclass(frozen=True)
class StemFolder:
    """The clips of a folder. clips: {clip: {stem: file}}, complete ones only; incomplete: {clip: stems it lacks}."""

    path: Path
    clips: dict[str, dict[str, Path]]
    incomplete: dict[str, list[str]]


def stem_folder(path: str | Path) -> StemFolder:
    """Find the clips of a folder whose subfolders are named by instrument, or ``stem_0`` ... ``stem_3`` as published.

    A clip is a file name without its suffix. Raises UsageError, naming what is missing, if there is no such
    folder, a stem has no subfolder, or one subfolder holds two files for one clip.
    """
    path = Path(path)
    if not path.is_dir():
        raise UsageError(f"{path}: no such folder")
    files: dict[str, dict[str, Path]] = {}
    for number, stem in enumerate(STEMS):
        folders = [path / stem, path / f"stem_{number}"]
        folder = next((folder for folder in folders if folder.is_dir()), None)
        if folder is None:
            raise UsageError(f"{path}: no folder for the {stem} stem (looked for {' and '.join(f.name for f in folders)})")
        files[stem] = {}
        for file in sorted(folder.iterdir()):
            if file.suffix.lower() not in audio.SUFFIXES or file.name.startswith("."):
                continue
            if file.stem in files[stem]:
                raise UsageError(f"{file}: {files[stem][file.stem].name} beside it is the same clip")
            files[stem][file.stem] = file
    names = sorted(set().union(*files.values()))
    if not names:
        raise UsageError(f"{path}: its stem folders hold no audio ({', '.join(audio.SUFFIXES)})")
    missing = {name: [stem for stem in STEMS if name not in files[stem]] for name in names}
    return StemFolder(
        path,
        clips={name: {stem: files[stem][name] for stem in STEMS} for name in names if not missing[name]},
        incomplete={name: lacks for name, lacks in missing.items() if lacks},
    )


class Folder:
    """The suite ``folder:PATH``. PATH holds the stem folders, or ``reference/`` and ``heldout/`` that each do."""

    stems, sample_rate, n_samples, split, version = STEMS, SAMPLE_RATE, N_SAMPLES, "all", "1"

    def __init__(self, path: str | Path):
        self.name = f"folder:{path}"
        self._path = Path(path).absolute()  # its songs are read by processes that may have begun in another folder
        self._split = (self._path / "reference").is_dir()
        if not self._path.is_dir():
            raise UsageError(f"{path}: no such folder")

    def reference(self) -> Songs:
        return self._songs(self._path / "reference" if self._split else self._path)

    def heldout(self) -> Songs:
        folder = self._path / "heldout"
        return self._songs(folder) if self._split and folder.is_dir() else Songs([], _load)

    def _songs(self, path: Path) -> Songs:
        clips = stem_folder(path).clips
        if not clips:
            raise UsageError(f"{path}: no clip has all of {', '.join(STEMS)}")
        return Songs(list(clips.items()), _load)


def _load(clip: tuple[str, dict[str, Path]]) -> StemSet:
    name, files = clip
    read = {stem: audio.read_canonical(file, SAMPLE_RATE, N_SAMPLES) for stem, file in files.items()}
    return StemSet(name, {stem: audio.to_float(done.samples) for stem, done in read.items()}, SAMPLE_RATE)
