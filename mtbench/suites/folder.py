"""A folder that holds a subfolder a stem, with the same file names in each: anybody's audio, as a suite or as a model."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mtbench import audio
from mtbench.errors import UsageError
from mtbench.stems import N_SAMPLES, SAMPLE_RATE, STEMS, Songs, StemSet


@dataclass(frozen=True)
class StemFolder:
    """The clips of a folder. clips: {clip: {stem: file}}, complete ones only; incomplete: {clip: stems it lacks}."""

    path: Path
    clips: dict[str, dict[str, Path]]
    incomplete: dict[str, list[str]]

    @property
    def left_out(self) -> str:
        """How many clips are incomplete, and which; empty if none is."""
        if not (count := len(self.incomplete)):
            return ""
        named = [f"{name} (no {', '.join(lacks)})" for name, lacks in list(self.incomplete.items())[:5]]
        return f"{count} incomplete clip{'s are' if count > 1 else ' is'} left out: {'; '.join(named)}" + (
            f"; and {count - 5} more" if count > 5 else ""
        )


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
            raise UsageError(
                f"{path}: no folder for the {stem} stem (looked for {' and '.join(f.name for f in folders)})"
            )
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


def clip_hashes(clips: Mapping[str, Mapping[str, Path]]) -> dict[str, str]:
    """{clip: SHA-256 of its stems' names and of the bytes of its files}, wherever the files lie."""
    hashes = {}
    for clip, files in clips.items():
        digest = hashlib.sha256()
        for stem, path in files.items():
            with path.open("rb") as file:
                digest.update(f"{stem} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
        hashes[clip] = digest.hexdigest()
    return hashes


class Folder:
    """The suite ``folder:PATH``. PATH holds the stem folders, or ``reference/`` and ``heldout/`` that each do.

    Its songs have notices of the clips that are cut, zero-padded or left out.
    Its version is a hash of the names and bytes of its clips, taken when it is first asked for: 10,000 clips of 10.24 s
    in PCM-16 at 16 kHz are 13 GB, which take 10 s of a core and what the disk needs.
    """

    stems, sample_rate, n_samples, split = STEMS, SAMPLE_RATE, N_SAMPLES, "all"

    def __init__(self, path: str | Path):
        self.name = f"folder:{path}"
        root = Path(path).absolute()  # its songs are read by processes that may have begun in another folder
        if not root.is_dir():
            raise UsageError(f"{path}: no such folder")
        split = (root / "reference").is_dir()
        self._reference = root / "reference" if split else root
        self._heldout = root / "heldout" if split and (root / "heldout").is_dir() else None

    @property
    def version(self) -> str:
        digest = hashlib.sha256()
        for part, hashes in self._hashes.items():
            for clip, content in hashes.items():
                digest.update(f"{part}\0{clip}\0{content}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()[:12]

    def reference(self) -> Songs:
        return self._reference_songs

    def heldout(self) -> Songs:
        """Raises UsageError, naming both, if one of its clips has the very files of a clip of the reference."""
        return self._heldout_songs

    # Both are asked for again and again, and take a look into every file.

    @cached_property
    def _reference_songs(self) -> Songs:
        return _songs(f"reference of {self.name}", _complete(self._reference))

    @cached_property
    def _heldout_songs(self) -> Songs:
        if self._heldout is None:
            return Songs([], _load)
        held, known = _complete(self._heldout), {content: clip for clip, content in self._hashes["reference"].items()}
        for clip, content in self._hashes["heldout"].items():
            if content in known:
                twin = _complete(self._reference).clips[known[content]]
                raise UsageError(
                    f"{held.clips[clip][STEMS[0]]} is {twin[STEMS[0]]}, and so are its other stems: a held-out "
                    "clip that the reference holds makes the control 'heldout' look perfect; remove one of "
                    "the two"
                )
        return _songs(f"heldout of {self.name}", held)

    @cached_property
    def _hashes(self) -> dict[str, dict[str, str]]:
        """{part: `clip_hashes`}."""
        parts = {"reference": self._reference} | ({"heldout": self._heldout} if self._heldout else {})
        return {part: clip_hashes(_complete(path).clips) for part, path in parts.items()}


def _complete(path: Path) -> StemFolder:
    """A folder with complete clips. Raises UsageError if it has none."""
    found = stem_folder(path)
    if not found.clips:
        raise UsageError(f"{path}: no clip has all of {', '.join(STEMS)}")
    return found


def _songs(named: str, found: StemFolder) -> Songs:
    """The songs of a folder, with notices of those that are not N_SAMPLES long, as their headers say, and left out."""
    lengths = [{_length(file) for file in files.values()} for files in found.clips.values()]
    cut = sum(max(samples) > N_SAMPLES for samples in lengths)
    padded = sum(min(samples) < N_SAMPLES for samples in lengths)
    seconds, of = f"{N_SAMPLES / SAMPLE_RATE:g} s", f"of {len(lengths)} clips"
    notices = [
        f"{named}: {count} {of} {'have' if count > 1 else 'has'} stems {which}"
        for count, which in (
            (cut, f"longer than {seconds}, which are cut"),
            (padded, f"shorter than {seconds}, which are zero-padded"),
        )
        if count
    ]
    if found.left_out:
        notices.append(f"{named}: {found.left_out}")
    return Songs(list(found.clips.items()), _load, notices=notices)


def _length(file: Path) -> int:
    """Samples of a file at SAMPLE_RATE; N_SAMPLES if it cannot be read, which whoever reads it will be told."""
    try:
        frames, rate = audio.info(file)
    except audio.AudioError:
        return N_SAMPLES
    return -(-frames * SAMPLE_RATE // rate)


def _load(clip: tuple[str, dict[str, Path]]) -> StemSet:
    name, files = clip
    read = {stem: audio.read_canonical(file, SAMPLE_RATE, N_SAMPLES) for stem, file in files.items()}
    return StemSet(name, {stem: audio.to_float(done.samples) for stem, done in read.items()}, SAMPLE_RATE)
