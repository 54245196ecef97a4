"""Folders of audio, used as a suite or a model: one subfolder per stem, with the same file names in each."""

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mtbench import audio
from mtbench.errors import UsageError
from mtbench.stems import FOLDER, N_SAMPLES, SAMPLE_RATE, STEMS, Songs, StemSet


@dataclass(frozen=True)
class StemFolder:
    """The clips of a folder. clips: {clip: {stem: file}} for complete clips. incomplete: {clip: missing stems}."""

    path: Path
    clips: dict[str, dict[str, Path]]
    incomplete: dict[str, list[str]]

    @property
    def left_out(self) -> str:
        """A message with the number and the names of incomplete clips; empty if there are none."""
        if not (count := len(self.incomplete)):
            return ""
        named = [f"{clip} (no {', '.join(lacks)})" for clip, lacks in list(self.incomplete.items())[:5]]
        return f"{count} incomplete clip{'s are' if count > 1 else ' is'} left out: {'; '.join(named)}" + (
            f"; and {count - 5} more" if count > 5 else ""
        )


def stem_folder(path: str | Path) -> StemFolder:
    """Find the clips of a folder with subfolders named after the stems, or ``stem_0`` ... ``stem_3`` as published.

    The name of a clip is its file name without the suffix, in Unicode normal form C. Raises UsageError, with the
    reason, if there is no such folder, a stem has no subfolder, no subfolder contains audio, or a subfolder contains
    two files for the same clip.
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
            clip = unicodedata.normalize("NFC", file.stem)  # macOS may have written the same name decomposed
            if clip in files[stem]:
                other = files[stem][clip].name
                raise UsageError(f"{file}: same clip as {other} in the same folder; remove one of them")
            files[stem][clip] = file
    names = sorted(set().union(*files.values()))
    if not names:
        raise UsageError(f"{path}: no audio files ({', '.join(audio.SUFFIXES)}) in its stem folders")
    missing = {name: [stem for stem in STEMS if name not in files[stem]] for name in names}
    return StemFolder(
        path,
        clips={name: {stem: files[stem][name] for stem in STEMS} for name in names if not missing[name]},
        incomplete={name: lacks for name, lacks in missing.items() if lacks},
    )


def complete_clips(path: str | Path) -> StemFolder:
    """Like `stem_folder`, but raise UsageError if there is no complete clip."""
    folder = stem_folder(path)
    if not folder.clips:
        raise UsageError(f"{path}: no clip has all stems ({', '.join(STEMS)})")
    return folder


def clip_hashes(clips: Mapping[str, Mapping[str, Path]]) -> dict[str, str]:
    """Return {clip: SHA-256 in hex of its stems' names and its files' bytes}; the files' location does not matter."""
    hashes = {}
    for clip, files in clips.items():
        digest = hashlib.sha256()
        for stem, path in files.items():
            with path.open("rb") as file:
                digest.update(f"{stem} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
        hashes[clip] = digest.hexdigest()
    return hashes


class Folder:
    """The suite ``folder:PATH``. PATH contains the stem folders, or ``reference/`` and ``heldout/`` that contain them.

    Its songs have notices about clips that are cut, zero-padded or left out. Raises UsageError if there is no such
    folder. All methods and properties that read the clips raise UsageError like `complete_clips`.
    """

    stems: tuple[str, ...] = STEMS
    sample_rate = SAMPLE_RATE
    n_samples = N_SAMPLES
    split = "all"

    def __init__(self, path: str | Path):
        self.name = f"{FOLDER}{path}"
        root = Path(path).absolute()  # worker processes may have a different working directory
        if not root.is_dir():
            raise UsageError(f"{path}: no such folder")
        split = (root / "reference").is_dir()
        self._reference = root / "reference" if split else root
        self._heldout = root / "heldout" if split and (root / "heldout").is_dir() else None

    @property
    def version(self) -> str:
        """12 hex digits of a hash of the names and bytes of all clips, computed on first access.

        10,000 clips of 10.24 s in PCM-16 at 16 kHz are 13 GB; hashing them takes 10 s on one core, plus reading time.
        """
        digest = hashlib.sha256()
        for role, hashes in self._hashes.items():
            for clip, content in hashes.items():
                digest.update(f"{role}\0{clip}\0{content}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()[:12]

    def reference(self) -> Songs:
        """Return the complete clips, sorted by name."""
        return self._reference_songs

    def heldout(self) -> Songs:
        """Return the complete clips in ``heldout/``, or none if there is no such folder.

        Raises UsageError, naming both clips, if a clip's files are identical to those of a reference clip.
        """
        return self._heldout_songs

    # Both are cached because they are used repeatedly and have to look into every file.

    @cached_property
    def _reference_songs(self) -> Songs:
        return _songs(f"reference of {self.name}", complete_clips(self._reference))

    @cached_property
    def _heldout_songs(self) -> Songs:
        if self._heldout is None:
            return Songs([], _load)
        folder = complete_clips(self._heldout)
        known = {content: clip for clip, content in self._hashes["reference"].items()}
        for clip, content in self._hashes["heldout"].items():
            if content in known:
                twin = complete_clips(self._reference).clips[known[content]]
                raise UsageError(
                    f"{folder.clips[clip][STEMS[0]]} is identical to {twin[STEMS[0]]}, and so are its other stems: a "
                    "held-out clip that is also in the reference makes the control 'heldout' look perfect; remove one "
                    "of the two"
                )
        return _songs(f"heldout of {self.name}", folder)

    @cached_property
    def _hashes(self) -> dict[str, dict[str, str]]:
        """{"reference": its `clip_hashes`, "heldout": its `clip_hashes`, if there are held-out clips}."""
        folders = {"reference": self._reference} | ({"heldout": self._heldout} if self._heldout else {})
        return {role: clip_hashes(complete_clips(path).clips) for role, path in folders.items()}


def _songs(named: str, folder: StemFolder) -> Songs:
    """Return the songs of a folder, with notices about clips that are left out or whose headers state another length
    than N_SAMPLES.
    """
    lengths = [{_length(file) for file in files.values()} for files in folder.clips.values()]
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
    if folder.left_out:
        notices.append(f"{named}: {folder.left_out}")
    return Songs(list(folder.clips.items()), _load, notices=notices)


def _length(file: Path) -> int:
    """Return the number of samples of a file at SAMPLE_RATE.

    Returns N_SAMPLES if the header cannot be read; reading the file will raise the error later.
    """
    try:
        frames, rate = audio.info(file)
    except audio.AudioError:
        return N_SAMPLES
    return -(-frames * SAMPLE_RATE // rate)


def _load(clip: tuple[str, dict[str, Path]]) -> StemSet:
    name, files = clip
    waves = {stem: audio.read_canonical(file, SAMPLE_RATE, N_SAMPLES) for stem, file in files.items()}
    return StemSet(name, {stem: audio.to_float(wave.samples) for stem, wave in waves.items()}, SAMPLE_RATE)
