"""The ways to read the names of the files of a folder: which part of a name is that of a stem, and which of a clip."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import PurePath
from typing import NamedTuple

from mtbench.stems import MIXTURE
from mtbench.suites.names import (
    NUMBERED,
    composed,
    has_known_word,
    is_known,
    is_mixture,
    is_sum,
    labels_of,
    plain,
    without_words,
    words,
)

PER_STEM, PER_SONG, ONE_SONG = "one folder per stem", "one folder per song", "the stems of a song"
STEM_LAST, STEM_FIRST = "files named <song>_<stem>", "files named <stem>_<song>"
MIXTURES_ALONE = "mixtures"

Clips = dict[str, dict[str, list[PurePath]]]


class Reading(NamedTuple):
    """One way to read a listing. clips: {clip: {label of a stem: files}}. others: files without a label, in words."""

    words: str
    clips: Clips
    others: tuple[str, ...] = ()

    @property
    def labels(self) -> list[str]:
        return labels_in(self.clips)

    def likelihood(self, wanted: Collection[str]) -> float:
        labels = self.labels
        known = [1.0 if is_known(label, wanted) else has_known_word(label, wanted) / 2 for label in labels]
        return sum(known) / len(labels)


def labels_in(clips: Mapping[str, Collection[str]]) -> list[str]:
    """Return the labels of all clips, each once."""
    return list(dict.fromkeys(label for of_clip in clips.values() for label in of_clip))


def counted(files: Sequence[PurePath], where: str = "") -> str:
    """Return ``6 files in subfolders, such as old/0001.wav``."""
    number = (
        f"{len(files)} files{where and ' '}{where}, such as" if len(files) > 1 else f"1 file{where and ' '}{where}:"
    )
    return f"{number} {files[0]}"


def readings_of(files: Sequence[PurePath], wanted: set[str], only_wanted: bool, name: str) -> list[Reading]:
    """Return the ways to read a listing; if it has files in no subfolder, the last one is that these are mixtures."""
    direct = [file for file in files if len(file.parts) == 1]
    nested: dict[str, list[PurePath]] = {}
    for file in files:
        if len(file.parts) > 1:
            nested.setdefault(file.parts[0], []).append(file)
    outside = (counted(direct, "outside the subfolders"),) if direct else ()
    below = (counted([file for inside in nested.values() for file in inside], "in subfolders"),) if nested else ()
    readings: list[Reading] = []
    if nested:
        readings.append(Reading(PER_STEM, _by_stem(nested, wanted), outside))
        readings.append(Reading(PER_SONG, _by_song(nested, wanted), outside))
    if direct:
        by_name = []
        for form, in_front in ((STEM_LAST, False), (STEM_FIRST, True)):
            clips, others = by_file(direct, wanted, only_wanted, in_front)
            unnamed = (counted(others, "without the name of a stem"),) if others else ()
            by_name += [Reading(form, clips, (*unnamed, *below))] if clips else []
        song = Reading(ONE_SONG, _by_song({name: direct}, wanted), below)
        # bass_1 and bass_2 may be stems of one song, or one stem of two.
        is_one_stem = len({tuple(word for word in words(label) if not word.isdigit()) for label in song.labels}) == 1
        is_numbered = any(NUMBERED.fullmatch(label) for label in song.labels)
        differ = len(song.labels) == len(direct) > 1 and (is_numbered or not is_one_stem)
        is_complete = differ and song.likelihood(wanted) == 1.0
        # bass_01, drums_01, bass_02 ... could be the stems of one song, but then not all would have the same numbers.
        if (is_complete and not any(map(_is_grid, by_name))) or (only_wanted and not wanted.isdisjoint(song.labels)):
            by_name = [song, *(reading for reading in by_name if len(reading.clips) > 1)]
        readings += by_name
        alone: Clips = {}
        for file in direct:
            alone.setdefault(composed(file.stem), {}).setdefault(MIXTURE, []).append(file)
        readings.append(Reading(MIXTURES_ALONE, alone, below))
    return readings


def _is_grid(reading: Reading) -> bool:
    """Return whether there are at least three songs, all with the same stems."""
    return len(reading.clips) > 2 and len({frozenset(of_clip) for of_clip in reading.clips.values()}) == 1


def _by_stem(nested: Mapping[str, Sequence[PurePath]], wanted: set[str]) -> Clips:
    """Return the clips of one folder per stem. Files with the same name belong to the same clip.

    If a name is in one folder only, a clip's name is without that of the stem: ``0001`` for ``0001_bass``.
    """
    labels = dict(zip(nested, labels_of({"": list(nested)}, wanted)[""]))
    names = {folder: {file: composed(file.stem) for file in files} for folder, files in nested.items()}
    taken = {folder: {*names[folder].values()} for folder in nested}
    seen = Counter(name for folder in nested if not is_sum(labels[folder]) for name in taken[folder])
    clips: Clips = {}
    for folder in nested:
        for file, name in names[folder].items():
            short = _without_stem(name, labels[folder])
            clip = name if seen[name] > 1 or short in taken[folder] else short
            clips.setdefault(clip, {}).setdefault(labels[folder], []).append(file)
    return clips


def _without_stem(clip: str, stem: str) -> str:
    of_clip, of_stem = words(clip), words(stem)
    size = len(of_stem)
    if not 0 < size < len(of_clip):
        return clip
    if of_clip[-size:] == of_stem:
        return without_words(clip, 0, size)
    return without_words(clip, size) if of_clip[:size] == of_stem else clip


def _by_song(nested: Mapping[str, Sequence[PurePath]], wanted: set[str]) -> Clips:
    labels = labels_of({folder: [file.stem for file in files] for folder, files in nested.items()}, wanted)
    clips: Clips = {}
    for folder, files in nested.items():
        of_clip = clips.setdefault(composed(folder), {})
        for label, file in zip(labels[folder], files):
            of_clip.setdefault(label, []).append(file)
    return clips


def by_file(
    files: Sequence[PurePath], wanted: set[str], only_wanted: bool, in_front: bool
) -> tuple[Clips, list[PurePath]]:
    """Return the clips of files that are named by song and stem, and the other files. There are no clips if this fails.

    Each song must have two stems, so that titles such as ``Slow Bass`` are not taken for stems. If the user names the
    stems, one is enough, and there may be other files. in_front: whether the stem is the first part of the name.
    """
    for longest in (False, True):  # Song_lead_vocals is the vocals of Song_lead only if this has other stems, too
        clips, others = _split(files, lambda part: is_known(part, wanted), in_front, longest)
        if not others and all(sum(not is_mixture(label) for label in of_clip) > 1 for of_clip in clips.values()):
            return clips, others
    return _split(files, lambda part: part in wanted, in_front, True) if only_wanted else ({}, [])


def _split(
    files: Sequence[PurePath], is_stem: Callable[[str], bool], in_front: bool, longest: bool
) -> tuple[Clips, list[PurePath]]:
    """Return the clips of the files in whose names there is a stem, and the other files."""
    clips: Clips = {}
    others = []
    for file in files:
        name = composed(file.stem)
        n_words = len(words(name))
        # {number of words of the stem: the stem}
        stems = {
            size: plain(without_words(name, 0, n_words - size) if in_front else without_words(name, n_words - size))
            for size in range(1, n_words)
        }
        if sizes := [size for size, stem in stems.items() if is_stem(stem)]:
            size = max(sizes) if longest else min(sizes)
            clip = without_words(name, size) if in_front else without_words(name, 0, size)
            clips.setdefault(clip, {}).setdefault(stems[size], []).append(file)
        else:
            others.append(file)
    for file in [file for file in others if composed(file.stem) in clips]:  # song.wav next to song_bass.wav
        clips[composed(file.stem)].setdefault(MIXTURE, []).append(file)
        others.remove(file)
    return clips, others
