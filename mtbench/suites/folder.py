"""Folders of audio, used as a suite or a model. `mtbench.suites.layouts` describes how they may be laid out."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath

from mtbench import audio
from mtbench.errors import UsageError
from mtbench.stems import FOLDER, N_SAMPLES, SAMPLE_RATE, Songs, StemSet, has_stems
from mtbench.suites.layouts import LayoutError, recognise
from mtbench.suites.readings import PER_SONG, PER_STEM, counted

# Suffixes of audio and video that mtbench does not read. Such files are counted, since they are probably stems.
# fmt: off
OTHER_SUFFIXES = frozenset(
    {
        ".3gp", ".aac", ".ac3", ".aifc", ".amr", ".ape", ".au", ".avi", ".dsf", ".m4b", ".m4v", ".mka", ".mkv", ".mov",
        ".mp2", ".mp4", ".mpc", ".mpga", ".oga", ".rf64", ".snd", ".spx", ".tta", ".webm", ".wma", ".wv",
    }
)
# fmt: on
DEEPEST = 6  # levels of subfolders in which files that are not used are counted


@dataclass(frozen=True)
class StemFolder:
    """The clips of a folder, in the order of `layouts.in_order`.

    layout: its name. stems: ``("mixture",)`` for mixtures. clips: {clip: {stem: file}} for clips with all stems except
    optional ones. incomplete: {clip: missing stems}. found: all names of stems, including those that are not used.
    renamed: {name in the folder: stem} of stems with another name. unused: the files that are not used, in words.
    """

    path: Path
    layout: str
    stems: tuple[str, ...]
    clips: dict[str, dict[str, Path]]
    incomplete: dict[str, list[str]] = field(default_factory=dict)
    found: frozenset[str] = frozenset()
    renamed: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()

    @property
    def left_out(self) -> str:
        """A message with the number and the names of incomplete clips; empty if there are none."""
        if not (count := len(self.incomplete)):
            return ""
        named = [f"{clip} (no {', '.join(self.incomplete[clip])})" for clip in sorted(self.incomplete)[:5]]
        return f"{count} incomplete clip{'s are' if count > 1 else ' is'} left out: {'; '.join(named)}" + (
            f"; and {count - 5} more" if count > 5 else ""
        )

    @property
    def in_words(self) -> str:
        """The stems, the layout, the clips and what is not used.

        ``stems bass, drums (one folder per stem); 9 clips, such as 0001; not used: 9 files, such as mixture/0001.wav``
        """
        example = min(self.clips or self.incomplete)
        if has_stems(self.stems):
            names = ", ".join(f"{name} = {stem}" for name, stem in self.renamed.items())
            found = f"stems {', '.join(self.stems)} ({self.layout}{names and '; '}{names})"
            found += f"; {_number(len(self.clips), 'clip')} {example}"
        else:
            file = self.clips[example][self.stems[0]].relative_to(self.path) if self.clips else example
            found = f"{_number(len(self.clips), 'mixture')} {file}"
        return found + (f"; not used: {'; '.join(self.unused)}" if self.unused else "")


def _number(count: int, what: str) -> str:
    return f"1 {what}:" if count == 1 else f"{count} {what}s, such as"


def stem_folder(
    path: str | Path, wanted: Sequence[str] = (), only_wanted: bool = False, optional: Sequence[str] = ()
) -> StemFolder:
    """Find the clips of a folder in any layout of `layouts`.

    wanted, only_wanted: as for `layouts.recognise`. optional: stems that a clip may lack. Raises UsageError, with the
    reason, if there is no such folder, it contains no audio, its layout is not recognised, or two of its files are the
    same stem of the same clip.
    """
    path = Path(path)
    if not path.is_dir():
        raise UsageError(f"{path}: no such folder")
    listing = audio_files(path)
    if not listing.files:
        raise UsageError(f"{path}: {_nothing_in(path, listing)}")
    try:
        layout = recognise(listing.files, wanted, only_wanted, path.resolve().name)
    except LayoutError as error:
        raise UsageError(f"{path}: {error}{_and_more(listing)}") from None
    missing = {
        clip: [stem for stem in layout.stems if stem not in of_clip and (stem not in optional or not of_clip)]
        for clip, of_clip in layout.clips.items()
    }
    return StemFolder(
        path,
        layout.words,
        layout.stems,
        clips={
            clip: {stem: path / file for stem, file in of_clip.items()}
            for clip, of_clip in layout.clips.items()
            if not missing[clip]
        },
        incomplete={clip: lacks for clip, lacks in missing.items() if lacks},
        found=layout.found,
        renamed=layout.renamed,
        unused=(*layout.unused, *listing.unused),
    )


@dataclass(frozen=True)
class Listing:
    """The audio files of a folder, relative to it. Hidden ones are left out.

    files: those that can be stems, at most one subfolder deep. deeper: those in subfolders of subfolders. other: those
    of formats that mtbench does not read, in the folder and its subfolders.
    """

    files: Sequence[PurePath]
    deeper: Sequence[PurePath]
    other: Sequence[PurePath]

    @property
    def unused(self) -> tuple[str, ...]:
        """The files that cannot be stems, in words."""
        kinds = ((self.deeper, "in subfolders of subfolders"), (self.other, "of a format that is not read"))
        return tuple(counted(files, where) for files, where in kinds if files)


def audio_files(path: Path) -> Listing:
    """List the audio files of a folder."""
    files: list[PurePath] = []
    deeper: list[PurePath] = []
    other: list[PurePath] = []
    for folder, below, names in os.walk(path):
        where = Path(folder).relative_to(path)
        below[:] = sorted(name for name in below if not name.startswith(".")) if len(where.parts) < DEEPEST else []
        for file in (where / name for name in sorted(names) if not name.startswith(".")):
            suffix = file.suffix.lower()
            if suffix in audio.SUFFIXES:
                (files if len(file.parts) <= 2 else deeper).append(PurePath(file))
            elif suffix in OTHER_SUFFIXES and len(file.parts) <= 2:
                other.append(PurePath(file))
    return Listing(files, deeper, other)


def _nothing_in(path: Path, listing: Listing) -> str:
    """Return why there are no clips in a folder without audio files that can be stems."""
    if listing.deeper:
        file = listing.deeper[0]
        return (
            f"no audio files in it or in its subfolders, but deeper, such as {file}; name one of its subfolders, such "
            f"as {path.joinpath(*file.parts[:-2])}"
        )
    if listing.other:
        return (
            f"no audio files that mtbench reads ({', '.join(audio.SUFFIXES)}), but "
            f"{counted(listing.other, 'of other formats')}; convert them, for example to FLAC"
        )
    return f"no audio files ({', '.join(audio.SUFFIXES)}) in it or in its subfolders"


def _and_more(listing: Listing) -> str:
    return f". The folder also has {' and '.join(listing.unused)}" if listing.unused else ""


def complete_clips(
    path: str | Path, wanted: Sequence[str] = (), only_wanted: bool = False, optional: Sequence[str] = ()
) -> StemFolder:
    """Like `stem_folder`, but raise UsageError if there is no complete clip."""
    return with_clips(stem_folder(path, wanted, only_wanted, optional))


def with_clips(folder: StemFolder) -> StemFolder:
    """Return the folder. Raises UsageError if it has no complete clip."""
    if not folder.clips:
        matched = {
            PER_STEM: "; files of the same clip need the same name in every subfolder",
            PER_SONG: "; files of the same stem need the same name in every song",
        }
        raise UsageError(
            f"{folder.path}: no clip has all stems ({', '.join(folder.stems)}){matched.get(folder.layout, '')}. "
            f"{folder.left_out}"
        )
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
    """The suite ``folder:PATH``. PATH contains clips, or ``reference/`` and ``heldout/`` that contain them.

    Its stems are those of the reference. Its songs have notices about clips that are cut, zero-padded or left out.
    Raises UsageError if there is no such folder. All methods and properties that read the clips raise UsageError like
    `complete_clips`.
    """

    sample_rate = SAMPLE_RATE
    n_samples = N_SAMPLES
    split = "all"

    def __init__(self, path: str | Path):
        self.name = f"{FOLDER}{os.path.normpath(path)}"
        root = Path(path).absolute()  # worker processes may have a different working directory
        if not root.is_dir():
            raise UsageError(f"{path}: no such folder")
        split = (root / "reference").is_dir()
        self._reference_path = root / "reference" if split else root
        self._heldout_path = root / "heldout" if split and (root / "heldout").is_dir() else None

    @property
    def stems(self) -> tuple[str, ...]:
        """The stems of the reference; ``("mixture",)`` for mixtures."""
        return self._reference.stems

    @property
    def version(self) -> str:
        """12 hex digits of a hash of the names and bytes of all clips in their order, computed on first access.

        10,000 clips of 10.24 s in PCM-16 at 16 kHz are 13 GB; hashing them takes 10 s on one core, plus reading time.
        """
        digest = hashlib.sha256()
        for role, hashes in self._hashes.items():
            for clip, content in hashes.items():
                digest.update(f"{role}\0{clip}\0{content}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()[:12]

    def reference(self) -> Songs:
        """Return the complete clips, in the order of `layouts.in_order`."""
        return self._reference_songs

    def heldout(self) -> Songs:
        """Return the complete clips in ``heldout/``, or none if there is no such folder.

        Raises UsageError, naming both clips, if a clip's files are identical to those of a reference clip.
        """
        return self._heldout_songs

    # All are cached because they are used repeatedly and have to look into every file.

    @cached_property
    def _reference(self) -> StemFolder:
        return complete_clips(self._reference_path)

    @cached_property
    def _heldout(self) -> StemFolder | None:
        return complete_clips(self._heldout_path, self.stems, only_wanted=True) if self._heldout_path else None

    @cached_property
    def _reference_songs(self) -> Songs:
        return _songs(f"reference of {self.name}", self._reference)

    @cached_property
    def _heldout_songs(self) -> Songs:
        if self._heldout is None:
            return Songs([], _load)
        known = {content: clip for clip, content in self._hashes["reference"].items()}
        for clip, content in self._hashes["heldout"].items():
            if content in known:
                file = self._heldout.clips[clip][self.stems[0]]
                twin = self._reference.clips[known[content]][self.stems[0]]
                others = ", and so are its other stems" if len(self.stems) > 1 else ""
                raise UsageError(
                    f"{file} is identical to {twin}{others}: a held-out clip that is also in the reference makes the "
                    "control 'heldout' look perfect; remove one of the two"
                )
        return _songs(f"heldout of {self.name}", self._heldout)

    @cached_property
    def _hashes(self) -> dict[str, dict[str, str]]:
        """{"reference": its `clip_hashes`, "heldout": its `clip_hashes`, if there are held-out clips}."""
        heldout = {"heldout": clip_hashes(self._heldout.clips)} if self._heldout else {}
        return {"reference": clip_hashes(self._reference.clips), **heldout}


def _songs(named: str, folder: StemFolder) -> Songs:
    """Return the songs of a folder, with notices about clips that are left out or whose headers state another length
    than N_SAMPLES.
    """
    lengths = [{_length(file) for file in files.values()} for files in folder.clips.values()]
    cut = sum(max(samples) > N_SAMPLES for samples in lengths)
    padded = sum(min(samples) < N_SAMPLES for samples in lengths)
    seconds, of = f"{N_SAMPLES / SAMPLE_RATE:g} s", f"of {len(lengths)} clips"
    verbs = ("has stems", "have stems") if has_stems(folder.stems) else ("is", "are")
    notices = [
        f"{named}: {count} {of} {verbs[count > 1]} {which}"
        for count, which in (
            (cut, f"longer than {seconds}, which are cut"),
            (padded, f"shorter than {seconds}, which are zero-padded"),
        )
        if count
    ]
    if folder.left_out:
        notices.append(f"{named}: {folder.left_out}")
    notices.append(f"{named}: {folder.in_words}")
    clips = list(folder.clips.items())
    return Songs(clips, _load, notices=notices, files=clips)


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
