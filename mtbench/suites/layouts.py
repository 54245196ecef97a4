"""Recognise how a folder of audio is laid out, from the names of its files alone.

====================  ========================================================================
layout                files
====================  ========================================================================
one folder per stem   ``bass/0001.wav``, ``drums/0001.wav``; also ``stem_0/0001.wav``
one folder per song   ``song/bass.flac``, ``song/drums.flac``; also ``song/01_bass.flac``
the stems of a song   ``bass.wav``, ``drums.wav``: the folder is one song
mixtures alone        ``0001.wav``, or ``mixture/0001.wav``, or ``song/mixture.wav``
====================  ========================================================================

The case of letters does not matter in the names of stems, which are lower case afterwards. A file of the sum of stems,
such as ``mixture``, is not a stem if there are stems.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePath
from typing import NamedTuple

from mtbench.stems import MIXTURE, has_stems

# Names that are taken for stems where nothing else shows what is a stem and what is a clip. Other names are fine, too.
# fmt: off
INSTRUMENTS = frozenset(
    {
        "accordion", "backing", "banjo", "bass", "beat", "brass", "cello", "choir", "chords", "clarinet",
        "cymbals", "drum", "drums", "fiddle", "flute", "fx", "guitar", "guitars", "harmony", "harp", "hihat",
        "horn", "horns", "instrumental", "keyboard", "keyboards", "keys", "kick", "lead", "leads", "loop",
        "marimba", "melody", "organ", "other", "others", "pad", "pads", "percussion", "perc", "piano", "rest",
        "rhythm", "sax", "saxophone", "singing", "snare", "strings", "sub", "synth", "synths", "tabla", "toms",
        "trombone", "trumpet", "tuba", "vibraphone", "viola", "violin", "vocal", "vocals", "voice", "vox",
        "winds", "woodwinds", "accompaniment", "no_vocals", "no_bass", "no_drums", "no_other",
    }
)
# fmt: on
MIXTURES = (MIXTURE, "linear_mixture")  # names of the sum of all stems
RESERVED = ("all", "generated")  # tracks of mtbench's tables
NUMBERED = re.compile(r"stem[\s._-]?(\d+)")
SEPARATORS = r"[\s._-]+"
MOST_STEMS = 16  # more folders than this are not taken for stems unless their names are known


class LayoutError(ValueError):
    """A layout that is not recognised, or that contains a name twice. The message does not name the folder."""


@dataclass(frozen=True)
class Layout:
    """A recognised layout.

    words: its name. stems: ``("mixture",)`` for mixtures alone. clips: {clip: {stem: file}} of all clips in the order
    of `in_order`, including those without all stems. ignored: what is in the folder and not used, in words.
    """

    words: str
    stems: tuple[str, ...]
    clips: dict[str, dict[str, PurePath]]
    ignored: tuple[str, ...] = ()


class _Reading(NamedTuple):
    """One way to read a listing. clips: {clip: {label of a stem: file}}. score: how many labels are known names."""

    words: str
    clips: dict[str, dict[str, PurePath]]
    score: tuple[float, float]

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys(label for files in self.clips.values() for label in files))


def in_order(names: Iterable[str]) -> list[str]:
    """Return the names of clips in the order in which they are used: that of the SHA-256 of each name.

    The alphabet is often the order of the clips' sources, so the first n clips in that order would be a biased sample.
    """
    return sorted(names, key=lambda name: sha256(name.encode(errors="surrogateescape")).digest())


def recognise(
    files: Iterable[PurePath], wanted: Sequence[str] = (), only_wanted: bool = False, name: str = "clip"
) -> Layout:
    """Return the layout of a folder.

    files: its audio files, relative to it, at most one subfolder deep. wanted: the names of stems that are expected. If
    all stems of the folder are expected, ``stem_0``, ``stem_1`` ... are the expected stems in their order. only_wanted:
    use exactly the expected stems, and raise LayoutError if one is missing. name: the name of the folder, for the clip
    if the folder is a single song.

    Otherwise the stems are all expected ones that are found, and the others that at least half of the clips have (of
    those with two stems, if there are any). Raises LayoutError if the layout is not recognised.
    """
    files = sorted(files)
    if not files:
        raise LayoutError("no audio files in it or in its subfolders")
    names = {plain(stem) for stem in wanted}
    reading, ignored = _reading(files, names, only_wanted, name)
    clips = _numbers_resolved(reading, [plain(stem) for stem in wanted], only_wanted)
    counts = Counter(label for labels in clips.values() for label in labels)
    if only_wanted:
        stems = [plain(stem) for stem in wanted]
        if missing := [stem for stem in stems if stem not in counts]:
            raise LayoutError(f"no stem {', '.join(missing)} (found: {', '.join(sorted(counts))})")
    else:
        stems = _stems(clips, names)
    ignored += [label for label in sorted(counts) if label not in stems]
    if bad := bad_stems(stems):
        raise LayoutError(f"a stem cannot be named '{bad[0]}'; rename it")
    spelling = {plain(stem): stem for stem in wanted}
    stems = sorted(stems, key=lambda stem: _place(stem, list(spelling)))
    if stems[0] in MIXTURES and len(stems) == 1 and not only_wanted:
        spelling |= {stems[0]: MIXTURE}
    chosen = {
        clip: {spelling.get(stem, stem): clips[clip][stem] for stem in stems if stem in clips[clip]}
        for clip in in_order(clips)
    }
    return Layout(
        "mixtures alone" if not has_stems(spelling.get(stem, stem) for stem in stems) else reading.words,
        tuple(spelling.get(stem, stem) for stem in stems),
        {clip: of_clip for clip, of_clip in chosen.items() if of_clip},
        tuple(ignored),
    )


def plain(name: str) -> str:
    """Return the name of a stem without number, in lower case: ``bass`` for ``01 Bass``, ``stem_0`` for ``Stem_00``."""
    name = unicodedata.normalize("NFC", name).casefold()
    if numbered := NUMBERED.fullmatch(name):
        return f"stem_{int(numbered[1])}"
    name = re.sub(rf"^\d+{SEPARATORS}", "", name) or name
    return MIXTURE if name == "mix" else name


def bad_stems(names: Iterable[str]) -> list[str]:
    """Return those names that a stem cannot have, because tables of scores use them or join names with ``+``."""
    return [name for name in names if not name or name in RESERVED or "+" in name]


def _reading(files: Sequence[PurePath], wanted: set[str], only_wanted: bool, name: str) -> tuple[_Reading, list[str]]:
    """Return the way to read a listing, and what it leaves out, in words."""
    direct = [file for file in files if len(file.parts) == 1]
    nested: dict[str, list[PurePath]] = {}
    for file in files:
        if len(file.parts) == 2:
            nested.setdefault(file.parts[0], []).append(file)

    def scored(words: str, clips: dict[str, dict[str, PurePath]]) -> _Reading:
        labels = list(dict.fromkeys(label for of_clip in clips.values() for label in of_clip))
        # A file that has the name of its folder, as in drums/01_drums.wav, does not show which of the two is the stem.
        elsewhere = {label for clip, of_clip in clips.items() for label in of_clip if label != plain(clip)}
        known = wanted if only_wanted else wanted | INSTRUMENTS | {*MIXTURES}
        is_known = [label in elsewhere and (label in known or bool(NUMBERED.fullmatch(label))) for label in labels]
        has_known = [label in elsewhere and bool({*re.split(SEPARATORS, label)} & known) for label in labels]
        return _Reading(words, clips, (sum(is_known) / len(labels), sum(has_known) / len(labels)))

    unknown = (0.0, 0.0)
    if nested:
        by_stem = scored("one folder per stem", _by_stem(nested))
        by_song = scored("one folder per song", _by_song(nested))
        n_stems, n_songs = len(by_stem.labels), len(by_song.labels)
        best: _Reading | None = max(by_stem, by_song, key=lambda reading: reading.score)
        if by_stem.score == by_song.score:  # usually, neither contains a known name
            candidate = by_stem if n_stems < n_songs else by_song
            few = min(n_stems, n_songs)
            is_clear = n_stems != n_songs and (candidate.score > unknown or 1 < few <= MOST_STEMS)
            best = candidate if is_clear else None
        if best and (best.score > unknown or not direct):
            outside = [f"{len(direct)} files that are in no subfolder"] if direct else []
            _refuse_twice(best.words, nested)
            return best, outside
        if not direct:
            raise LayoutError(_not_recognised(files, nested))
    song = scored("the stems of a song", {"": _labels_of_song(name, direct)})
    if len(direct) > 1 and song.score[0] == 1.0 and len(song.labels) == len(direct):
        return song._replace(clips={unicodedata.normalize("NFC", name): song.clips[""]}), sorted(
            f"{folder}/" for folder in nested
        )
    mixtures = {unicodedata.normalize("NFC", file.stem): {MIXTURE: file} for file in direct}
    if len(mixtures) < len(direct):
        _refuse_same(direct, "clip")
    return _Reading("mixtures alone", mixtures, unknown), sorted(f"{folder}/" for folder in nested)


def _by_stem(nested: Mapping[str, Sequence[PurePath]]) -> dict[str, dict[str, PurePath]]:
    clips: dict[str, dict[str, PurePath]] = {}
    for folder, files in nested.items():
        for clip, file in zip(_clip_names(plain(folder), files), files):
            clips.setdefault(clip, {}).setdefault(plain(folder), file)
    return clips


def _clip_names(stem: str, files: Sequence[PurePath]) -> list[str]:
    """Return the names of a stem's clips, without the name of the stem if all of them begin or end with it."""
    names = [unicodedata.normalize("NFC", file.stem) for file in files]
    word = re.escape(stem)
    for pattern in (rf"(.+?){SEPARATORS}{word}", rf"{word}{SEPARATORS}(.+)"):
        found = [re.fullmatch(pattern, name, re.IGNORECASE) for name in names]
        if all(found):
            return [match[1] for match in found if match]
    return names


def _by_song(nested: Mapping[str, Sequence[PurePath]]) -> dict[str, dict[str, PurePath]]:
    return {unicodedata.normalize("NFC", folder): _labels_of_song(folder, files) for folder, files in nested.items()}


def _labels_of_song(song: str, files: Sequence[PurePath]) -> dict[str, PurePath]:
    """Return {stem: file} of one song, without the numbers, the song's name and the words that all files begin with."""
    return dict(zip(reversed(_labels(song, files)), reversed(files)))  # of two files, the first


def _labels(song: str, files: Sequence[PurePath]) -> list[str]:
    whole = [plain(file.stem) for file in files]
    word = re.escape(plain(song))
    pattern = rf"^{word}{SEPARATORS}(?=\D)|(?<=\D){SEPARATORS}{word}$"
    labels = [plain(re.sub(pattern, "", label)) for label in whole]
    words = [re.split(SEPARATORS, label) for label in labels]
    n_common = 0
    while len(words) > 1 and all(len(w) > n_common + 1 and w[n_common] == words[0][n_common] for w in words):
        n_common += 1
    n_end = 0
    while len(words) > 1 and all(
        len(w) > n_common + n_end + 1 and w[-1 - n_end] == words[0][-1 - n_end] and w[-1 - n_end].isdigit()
        for w in words
    ):
        n_end += 1
    short = ["_".join(w[n_common : len(w) - n_end]) for w in words]
    is_numbered = any(NUMBERED.fullmatch(label) for label in labels)
    if n_common + n_end and not is_numbered and not any(label.isdigit() for label in short):
        return short
    return labels


def _refuse_twice(words: str, nested: Mapping[str, Sequence[PurePath]]) -> None:
    """Raise LayoutError if two files are the same stem of the same clip."""
    if words == "one folder per stem":
        for files in nested.values():
            _refuse_same(files, "clip")
        labels: dict[str, str] = {}
        for folder in nested:
            stem = plain(folder)
            if stem in labels:
                raise LayoutError(f"two folders for the stem {stem}, {labels[stem]} and {folder}; remove one of them")
            labels[stem] = folder
    else:
        for song, files in nested.items():
            of_label: dict[str, PurePath] = {}
            for label, file in zip(_labels(song, files), files):
                if label in of_label:
                    raise LayoutError(
                        f"{file}: same stem as {of_label[label].name} in the same folder; remove one of them"
                    )
                of_label[label] = file


def _refuse_same(files: Iterable[PurePath], what: str) -> None:
    first: dict[str, PurePath] = {}
    for file in files:
        clip = unicodedata.normalize("NFC", file.stem)
        if clip in first:
            raise LayoutError(f"{file}: same {what} as {first[clip].name} in the same folder; remove one of them")
        first[clip] = file


def _numbers_resolved(reading: _Reading, wanted: Sequence[str], only_wanted: bool) -> dict[str, dict[str, PurePath]]:
    """Replace ``stem_0``, ``stem_1`` ... by the expected stems, if the folder has these stems and no others."""
    names = {f"stem_{number}": stem for number, stem in enumerate(wanted)}
    labels = {label for label in reading.labels if label not in MIXTURES}
    resolved = {names.get(label, label) for label in labels}
    if not labels & names.keys() or not (resolved == {*wanted} or (only_wanted and resolved >= {*wanted})):
        return reading.clips
    return {
        clip: {names[label]: file for label, file in files.items() if label in names}
        | {label: file for label, file in files.items() if label not in names}
        for clip, files in reading.clips.items()
    }


def _stems(clips: Mapping[str, Mapping[str, PurePath]], wanted: set[str]) -> list[str]:
    """Return the stems of a folder: those that are expected, and those that at least half of the clips have."""
    of_clips = [[label for label in files if label not in MIXTURES] for files in clips.values()]
    several = [labels for labels in of_clips if len(labels) > 1] or [labels for labels in of_clips if labels]
    if not several:
        return [next(name for name in MIXTURES if any(name in files for files in clips.values()))]
    counts = Counter(label for labels in several for label in labels)
    anywhere = {label for labels in of_clips for label in labels}
    stems = [label for label in anywhere if label in wanted or counts[label] * 2 >= len(several)]
    if len(stems) > 3 and "accompaniment" not in wanted:
        stems = [stem for stem in stems if stem != "accompaniment"]  # museval's sum of all stems but the vocals
    return stems


def _place(stem: str, wanted: Sequence[str]) -> tuple[int, int, str]:
    """Return the sort key of a stem: expected stems in their order, then ``stem_0`` ..., then the alphabet."""
    if stem in wanted:
        return (0, wanted.index(stem), "")
    numbered = NUMBERED.fullmatch(stem)
    return (1, int(numbered[1]), "") if numbered else (2, 0, stem)


def _not_recognised(files: Sequence[PurePath], nested: Mapping[str, Sequence[PurePath]]) -> str:
    folders = ", ".join(list(nested)[:4]) + (f" and {len(nested) - 4} more" if len(nested) > 4 else "")
    names = ", ".join(str(file) for file in files[:3]) + (", ..." if len(files) > 3 else "")
    several = len(nested) > 1
    return (
        f"this layout is not recognised. Found: {len(files)} audio files in {len(nested)} "
        f"subfolder{'s' if several else ''} ({folders}), such as {names}. Expected: one folder per stem "
        "(bass/0001.wav, drums/0001.wav; also stem_0/, stem_1/ ...), one folder per song (song/bass.wav, "
        "song/drums.wav), or mixtures alone (0001.wav, 0002.wav). If some of the names found are those of stems, name "
        "the stems with --stems (stem_names in Python)"
    )
