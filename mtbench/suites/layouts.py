"""Recognise how a folder of audio is laid out, from the names of its files alone.

=======================  =====================================================================
layout                   files
=======================  =====================================================================
one folder per stem      ``bass/0001.wav``, ``drums/0001.wav``; also ``stem_0/0001.wav``
one folder per song      ``song/bass.flac``, ``song/drums.flac``; also ``song/01_bass.flac``
the stems of a song      ``bass.wav``, ``drums.wav``: the folder is one song
files of several songs   ``song_bass.wav``, ``song_drums.wav``; or ``bass_song.wav``
mixtures                 ``0001.wav``, or ``mixture/0001.wav``, or ``song/mixture.wav``
=======================  =====================================================================

`recognise` lists the readings of a folder, each with the stems that it would have, and takes one of them by this rule:

1. If the user names the stems, only the readings count that have most of these stems.
2. The likelihood of a reading is the share of its stems whose names are known (`names.is_known`); a name that only
   contains a known word counts half. The likeliest reading is taken if no other is more than half as likely.
3. If no reading has a known name, that of folders per stem or song is taken whose stems are at most MOST_UNKNOWN, and
   whose clips are more than MOST_TRACKS, too many to be stems.
4. If there is none, files in the folder itself are mixtures, unless many of their names look like those of stems.

In all other cases, the folder is refused, since a wrong guess would only show in the scores.
"""

import difflib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePath

from mtbench.stems import MIXTURE
from mtbench.suites.names import (
    MIXTURES,
    NUMBERED,
    are_two_stems,
    bad_stems,
    is_known,
    is_mixture,
    is_sum,
    plain,
    words,
)
from mtbench.suites.readings import (
    MIXTURES_ALONE,
    PER_SONG,
    PER_STEM,
    Clips,
    Reading,
    by_file,
    counted,
    labels_in,
    readings_of,
)

MOST_UNKNOWN = 16
MOST_TRACKS = 32
MOST_KINDS = 5  # of files that are not used, in a message
OPTION = "--stems (stem_names in Python)"


class LayoutError(ValueError):
    """A layout that is not recognised, or that contains a name twice. The message does not name the folder."""


@dataclass(frozen=True)
class Layout:
    """A recognised layout.

    words: its name. stems: ``("mixture",)`` for mixtures. clips: {clip: {stem: file}} of all clips in the order of
    `in_order`, including those without all stems. found: all names of stems, including those that are not used.
    renamed: {name in the folder: stem} of numbered stems that are the expected ones. unused: the files that are not
    used, in words.
    """

    words: str
    stems: tuple[str, ...]
    clips: dict[str, dict[str, PurePath]]
    found: frozenset[str]
    renamed: Mapping[str, str]
    unused: tuple[str, ...] = ()


def in_order(names: Iterable[str]) -> list[str]:
    """Return the names of clips in the order in which they are used: that of the SHA-256 of each name.

    The alphabet is often the order of the clips' sources, so the first n clips in that order would be a biased sample.
    """
    return sorted(names, key=lambda name: sha256(name.encode(errors="surrogateescape")).digest())


def recognise(
    files: Iterable[PurePath], wanted: Sequence[str] = (), only_wanted: bool = False, name: str = "clip"
) -> Layout:
    """Return the layout of a folder.

    files: its audio files, relative to it, at most one subfolder deep. wanted: the names of stems that are expected.
    They are meant literally. If the folder has none of them, but ``stem_0``, ``stem_1`` ..., these are the expected
    stems in their order. only_wanted: use exactly the expected stems, and raise LayoutError if one is missing. name:
    the name of the folder, for the clip if the folder is a single song.

    Otherwise the stems are all expected ones that are found, and the others that at least half of the clips have (of
    those with two stems or more, if there are any). Sums of stems are not among them: see `_stems`. Raises LayoutError
    if the layout is not recognised.
    """
    files = sorted(files)
    if not files:
        raise LayoutError("no audio files in it or in its subfolders")
    expected = {plain(stem): stem for stem in wanted}
    reading = _chosen(readings_of(files, {*expected}, only_wanted, name), files, expected, only_wanted)
    renamed = numbered_stems(reading.labels, list(expected), only_wanted)
    clips = {
        clip: {renamed.get(label, label): these for label, these in of_clip.items()}
        for clip, of_clip in reading.clips.items()
    }
    found = labels_in(clips)
    if only_wanted:
        stems = list(expected)
        _refuse_missing(stems, found)
    elif not (stems := _stems(clips, {*expected})):
        raise LayoutError(_no_agreement(reading, files))
    if bad := bad_stems(stems):
        raise LayoutError(f"a stem cannot be named '{bad[0]}'; rename it")
    stems.sort(key=lambda stem: _place(stem, list(expected)))
    _refuse_twice(clips, stems, reading.words == PER_STEM)
    mixtures = len(stems) == 1 and is_mixture(stems[0])
    spelling = {stems[0]: MIXTURE} if mixtures else expected
    return Layout(
        MIXTURES_ALONE if mixtures else reading.words,
        tuple(spelling.get(stem, stem) for stem in stems),
        {
            clip: {spelling.get(stem, stem): clips[clip][stem][0] for stem in stems if stem in clips[clip]}
            for clip in in_order(clips)
        },
        frozenset(expected.get(label, label) for label in found),
        {name: expected.get(stem, stem) for name, stem in renamed.items() if stem in stems},
        (*_unused(clips, stems), *reading.others),
    )


# The choice of a reading


def _chosen(
    readings: Sequence[Reading], files: Sequence[PurePath], wanted: Collection[str], only_wanted: bool
) -> Reading:
    """Return the reading to use, by the rule at the top of this file. Raises LayoutError if it is not clear."""
    if only_wanted:
        renamed = [numbered_stems(reading.labels, list(wanted), True) for reading in readings]
        n_wanted = [
            len({*wanted} & {names.get(label, label) for label in reading.labels})
            for names, reading in zip(renamed, readings)
        ]
        if not max(n_wanted):
            best = max(readings, key=lambda reading: reading.likelihood(()))
            other = [] if best.likelihood(()) else [label for reading in readings for label in reading.labels]
            _refuse_missing(list(wanted), other or best.labels)
        readings = [reading for reading, count in zip(readings, n_wanted) if count == max(n_wanted)]
        if len(readings) == 1:
            return readings[0]
    alone = readings[-1] if readings[-1].words == MIXTURES_ALONE else None
    likely = sorted(
        ((reading.likelihood(wanted), reading) for reading in readings if reading is not alone),
        key=lambda pair: pair[0],
        reverse=True,
    )
    if likely and likely[0][0] > 0:
        if len(likely) > 1 and likely[1][0] > likely[0][0] / 2:
            remedy = "Rename some of them" if only_wanted else f"Name the stems with {OPTION}, or rename some of them"
            raise LayoutError(f"{_two_ways(likely[0][1], likely[1][1], files)}. {remedy}")
        best = likely[0][1]
        if best.words == PER_SONG and likely[0][0] < 1:
            _refuse_songs_in(files)
        return best
    if alone:
        _refuse_likely_stems(files, wanted)
        return alone
    if clear := [reading for _, reading in likely if _is_clear(reading)]:
        return clear[0]
    raise LayoutError(_not_recognised(files))


def _is_clear(reading: Reading) -> bool:
    """Return whether the stems of a reading are stems although their names are not known."""
    labels, clips = reading.labels, reading.clips
    filled = sum(map(len, clips.values())) / (len(labels) * len(clips))
    is_few = len(labels) <= MOST_UNKNOWN and len(clips) > MOST_TRACKS
    return is_few and filled > 0.5 and not any(label.isdigit() for label in labels)


def _refuse_songs_in(files: Sequence[PurePath]) -> None:
    """Raise LayoutError if each folder has the stems of several songs, named ``<song>_<stem>``."""
    folders: dict[str, list[PurePath]] = {}
    for file in files:
        if len(file.parts) > 1:
            folders.setdefault(file.parts[0], []).append(file)
    if all(len(by_file(inside, set(), False, False)[0]) > 1 for inside in folders.values()):
        folder, inside = next(iter(folders.items()))
        raise LayoutError(
            f"each subfolder has the stems of several songs, such as {_examples(inside)}; name one of its subfolders, "
            f"such as {folder}/, instead"
        )


def _refuse_likely_stems(files: Sequence[PurePath], wanted: Collection[str]) -> None:
    """Raise LayoutError if files that would be mixtures are likely to be stems, or to be the mixtures of stems."""
    direct = [file for file in files if len(file.parts) == 1]
    stems = [
        file
        for file in direct
        if not is_mixture(plain(file.stem))
        and any(is_known(word, wanted) for word in (*words(file.stem)[:1], *words(file.stem)[-1:]))
    ]
    if len(stems) * 2 >= len(direct):
        raise LayoutError(
            f"{counted(stems, 'named like stems')}. Files in one folder are only taken for stems if they are those of "
            "one song (bass.wav, drums.wav), or if all are named <song>_<stem> or <stem>_<song>, with at least two "
            f"stems per song. Move the stems to one folder per song or stem, or name them with {OPTION}. If the files "
            "are mixtures, move them to a subfolder mixture/, or use --stems mixture"
        )
    folders: dict[str, set[str]] = {}
    for file in files:
        if len(file.parts) > 1:
            folders.setdefault(file.stem, set()).add(file.parts[0])
    if several := [clip for clip, inside in folders.items() if len(inside) > 1]:
        shared = [file for file in files if len(file.parts) > 1 and file.stem == several[0]]
        raise LayoutError(
            f"this folder has both {counted(direct)}, and subfolders that look like stems, such as {_examples(shared)}."
            f" If they are stems, name them with {OPTION}. Otherwise move one of the two elsewhere"
        )


# The stems of a reading


def _stems(clips: Mapping[str, Collection[str]], wanted: set[str]) -> list[str]:
    """Return the stems of clips: those that are expected, and those that at least half of the clips have.

    Sums are not stems if there are stems, unless they are expected, because the mixture would have them twice. The sum
    of all stems but one is a stem next to this one alone.
    """
    wanted = wanted - {MIXTURE}
    of_clips = [[label for label in labels if label in wanted or not is_sum(label)] for labels in clips.values()]
    stems = _frequent(of_clips, wanted)
    if len(stems) == 1:
        stems += [label for label in labels_in(clips) if label not in stems and are_two_stems(stems[0], label)][:1]
    if stems or any(of_clips):
        return stems
    of_clips = [[label for label in labels if not is_mixture(label)] for labels in clips.values()]
    if any(of_clips):
        return _frequent(of_clips, set())
    return [next(name for name in MIXTURES if name in labels_in(clips))]


def _frequent(of_clips: Sequence[Sequence[str]], wanted: set[str]) -> list[str]:
    several = [labels for labels in of_clips if len(labels) > 1] or [labels for labels in of_clips if labels]
    counts = Counter(label for labels in several for label in labels)
    anywhere = dict.fromkeys(label for labels in of_clips for label in labels)
    return [label for label in anywhere if label in wanted or counts[label] * 2 >= len(several)]


def numbered_stems(labels: Collection[str], wanted: Sequence[str], only_wanted: bool) -> dict[str, str]:
    """Return {``stem_0``: the first expected stem, ...} if the folder has these stems and no others, and {} otherwise.

    If exactly these stems are scored, there may be more numbered ones, but no other names: one of these may be what the
    user meant. A numbered stem that is itself expected is meant literally. If only the mixture is expected, it may have
    any of its names.
    """
    if [*wanted] == [MIXTURE]:
        names = [name for name in MIXTURES if name in labels]
        return {names[0]: MIXTURE} if only_wanted and names and names[0] != MIXTURE else {}
    if any(NUMBERED.fullmatch(stem) for stem in wanted):
        return {}
    numbers = {f"stem_{number}": stem for number, stem in enumerate(wanted)}
    labels = {label for label in labels if not is_sum(label)}
    resolved = {numbers.get(label, label) for label in labels}
    others = {label for label in labels if not NUMBERED.fullmatch(label)}
    is_complete = resolved >= {*wanted} if only_wanted else resolved == {*wanted}
    if not is_complete or not others <= {*wanted}:
        return {}
    return {number: stem for number, stem in numbers.items() if number in labels and stem not in labels}


def _place(stem: str, wanted: Sequence[str]) -> tuple[int, int, str]:
    """Return the sort key of a stem: expected stems in their order, then ``stem_0`` ..., then the alphabet."""
    if stem in wanted:
        return (0, wanted.index(stem), "")
    numbered = NUMBERED.fullmatch(stem)
    return (1, int(numbered[1]), "") if numbered else (2, 0, stem)


def _refuse_missing(stems: Sequence[str], found: Sequence[str]) -> None:
    if missing := [stem for stem in stems if stem not in found]:
        near = [match for stem in missing for match in difflib.get_close_matches(stem, found, 1) if match not in stems]
        hint = f". Did you mean {', '.join(near)}?" if near else ""
        raise LayoutError(f"no stem {', '.join(missing)} (found: {_few(sorted(found), 20)}){hint}")


def _refuse_twice(clips: Clips, stems: Sequence[str], is_per_stem: bool) -> None:
    """Raise LayoutError if two files are the same stem of a clip, or two folders the same stem."""
    folders: dict[str, str] = {}
    for of_clip in clips.values():
        for stem in stems:
            first, *more = of_clip.get(stem, [None])
            for file in filter(None, [first, *more] if is_per_stem else ()):
                folder = folders.setdefault(stem, file.parts[0])
                if folder != file.parts[0]:
                    raise LayoutError(
                        f"two folders for the stem {stem}, {folder} and {file.parts[0]}; remove one of them"
                    )
            if first and more:
                what = "clip" if is_per_stem or (len(first.parts) == 1 and stem == MIXTURE) else "stem"
                raise LayoutError(f"{more[0]}: same {what} as {first.name} in the same folder; remove one of them")


# In words


def _unused(clips: Clips, stems: Sequence[str]) -> list[str]:
    """Return the number of files of each label that is not a stem, with an example.

    Single files are counted together, and so are the files of all labels after the first MOST_KINDS.
    """
    unused: dict[str, list[PurePath]] = {}
    for of_clip in clips.values():
        for label, files in of_clip.items():
            if label not in stems:
                unused.setdefault(label, []).extend(files)
    groups = [sorted(files) for _, files in sorted(unused.items())]
    several = [files for files in groups if len(files) > 1]
    others = sorted(file for files in groups if len(files) == 1 for file in files)
    others += [file for files in several[MOST_KINDS:] for file in files]
    return [*map(counted, several[:MOST_KINDS]), *([counted(others)] if others else [])]


def _few(names: Sequence[str], most: int) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _examples(files: Sequence[PurePath], spread: bool = False) -> str:
    """Return the names of three files; if `spread`, of different folders."""
    names = (
        list({file.parts[0]: str(file) for file in reversed(files)}.values())[::-1] if spread else [*map(str, files)]
    )
    return ", ".join(names[:3]) + (", ..." if len(files) > 3 else "")


def _two_ways(one: Reading, other: Reading, files: Sequence[PurePath]) -> str:
    ways = " or as ".join(f"{each.words} with the stems {_few(each.labels, 4)}" for each in (one, other))
    return (
        f"this folder can be read in two ways: as {ways}. Found: {len(files)} audio files, such as {_examples(files)}"
    )


def _no_agreement(reading: Reading, files: Sequence[PurePath]) -> str:
    if reading.words == PER_STEM:
        rule = "files of the same clip need the same name in every subfolder (bass/0001.wav, drums/0001.wav)"
    else:
        rule = "files of the same stem need the same name in every song (a/bass.wav, b/bass.wav)"
    return (
        f"no stem is in half of the clips, because the names of the files do not agree. As {reading.words}, {rule}. "
        f"Found: {len(files)} audio files, such as {_examples(files, spread=True)}"
    )


def _not_recognised(files: Sequence[PurePath]) -> str:
    folders = list(dict.fromkeys(file.parts[0] for file in files if len(file.parts) > 1))
    names = list(dict.fromkeys(file.stem for file in files))
    several = len(folders) > 1
    itself = f". If {folders[0]}/ is a complete folder, name it instead" if not several else ""
    return (
        f"this layout is not recognised, because no name in it is known as that of a stem. Found: {len(files)} audio "
        f"files in {len(folders)} subfolder{'s' if several else ''} ({_few(folders, 4)}), such as {_examples(files)}. "
        "Expected: one folder per stem (bass/0001.wav, drums/0001.wav; also stem_0/, stem_1/ ...), one folder per song "
        "(song/bass.wav, song/drums.wav), or mixtures (0001.wav, 0002.wav). If some of the names found are those of "
        f"stems, such as {_few(folders, 3)} or {_few(names, 3)}, name the stems with {OPTION}{itself}"
    )
