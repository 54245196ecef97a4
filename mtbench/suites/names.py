"""The names of stems: which are known, and which words of a file's name are that of its stem."""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from mtbench.stems import MIXTURE

# Names that are taken for stems where nothing else shows what is a stem and what is a clip. Other names are fine, too.
# fmt: off
INSTRUMENTS = frozenset(
    {
        "accordion", "backing", "banjo", "bass", "bassoon", "beat", "brass", "cello", "choir", "chords", "clarinet",
        "cymbals", "drum", "drums", "fiddle", "flute", "fx", "guitar", "guitars", "harmony", "harp", "hihat",
        "horn", "horns", "keyboard", "keyboards", "keys", "kick", "lead", "leads", "loop", "marimba", "melody",
        "oboe", "organ", "other", "others", "pad", "pads", "percussion", "perc", "piano", "rest", "rhythm", "sax",
        "saxophone", "singing", "snare", "strings", "sub", "synth", "synths", "tabla", "toms", "trombone", "trumpet",
        "tuba", "vibraphone", "viola", "violin", "vocal", "vocals", "voice", "vox", "winds", "woodwinds",
    }
)
# fmt: on
VOCALS = frozenset({"vocal", "vocals", "voice", "vox", "singing"})
MIXTURES = (MIXTURE, "linear_mixture", "full_mixture", "full_mix", "fullmix", "mixdown", "master")  # of all stems
WITHOUT_VOCALS = frozenset({"accompaniment", "instrumental", "instrumentals", "karaoke", "minus_one", "no_vocals"})
RESERVED = ("all", "generated")  # tracks of mtbench's tables
NUMBERED = re.compile(r"stem[\s._-]?(\d+)")
WORD = re.compile(r"[^\s._()\[\]{}-]+")
NUMBER = re.compile(r"0\d+|\d{1,2}")  # of a track; 808 is the name of an instrument


def composed(name: str) -> str:
    """Return a name in the Unicode form NFC; macOS writes NFD."""
    return unicodedata.normalize("NFC", name)


def plain(name: str) -> str:
    """Return the name of a stem in lower case and without brackets: ``vocals`` for ``(Vocals)``.

    ``stem_0`` for ``Stem 00``, and ``mixture`` for ``mix``, ``mixes`` and ``mixtures``.
    """
    name = without_words(composed(name).casefold())
    if numbered := NUMBERED.fullmatch(name):
        return f"stem_{int(numbered[1])}"
    return MIXTURE if name in ("mix", "mixes", "mixtures") else name


def words(name: str) -> list[str]:
    """Return the words of a name in lower case: the parts between spaces, ``_``, ``-``, ``.`` and brackets."""
    return WORD.findall(composed(name).casefold())


def without_words(name: str, front: int = 0, back: int = 0) -> str:
    """Return a name without its first and last words, and without the separators around the rest."""
    spans = [match.span() for match in WORD.finditer(name)]
    kept = spans[front : len(spans) - back]
    return name[kept[0][0] : kept[-1][1]] if kept else name


def is_known(name: str, wanted: Collection[str] = ()) -> bool:
    """Return whether a name is that of a stem.

    It is in `wanted`, or an instrument (``bass``, ``lead vocals``, ``guitar 2``), a sum, or numbered (``stem_0``).
    """
    parts = words(name)
    parts = parts[:-1] if len(parts) > 1 and re.fullmatch(r"\d\d?", parts[-1]) else parts
    is_numbered = bool(NUMBERED.fullmatch(name) or re.fullmatch(r"s\d\d", name))  # Slakh has S00, S01 ...
    is_instrument = bool(parts) and INSTRUMENTS.issuperset(parts)
    return name in wanted or is_numbered or is_instrument or is_sum(name)


def has_known_word(name: str, wanted: Collection[str] = ()) -> bool:
    """Return whether one of the words of a name is that of a stem."""
    return any(word in INSTRUMENTS or word in wanted for word in words(name))


def is_mixture(name: str) -> bool:
    """Return whether a name is that of the sum of all stems."""
    return "_".join(words(name)) in MIXTURES


def is_sum(name: str) -> bool:
    """Return whether a name is that of the sum of all stems, or of all but one: ``accompaniment``, ``no_drums``."""
    parts = words(name)
    without_one = len(parts) == 2 and parts[0] == "no" and parts[1] in INSTRUMENTS
    return is_mixture(name) or "_".join(parts) in WITHOUT_VOCALS or without_one


def are_two_stems(stem: str, rest: str) -> bool:
    """Return whether `rest` is the sum of all other stems, as Demucs and Spleeter write it: ``vocals, no_vocals``."""
    return "_".join(words(rest)) == f"no_{stem}" or (stem in VOCALS and "_".join(words(rest)) in WITHOUT_VOCALS)


def bad_stems(names: Iterable[str]) -> list[str]:
    """Return those names that a stem cannot have, because tables of scores use them or join names with ``+``."""
    return [name for name in names if not name or name in RESERVED or "+" in name]


def labels_of(songs: Mapping[str, Sequence[str]], wanted: Collection[str]) -> dict[str, list[str]]:
    """Return {song: the stem that each of its names is of}, in their order.

    songs: {song: names of its files}; "" for files of no song. These parts of a name are not of the stem:

    - the name of the song. A file that has only this name is the mixture.
    - words that all names of all songs begin or end with, up to the first word that is an instrument. (The words of
      sums such as ``mixture`` do not count.)
    - a number of at most two digits in front, if all names have one or the rest is known, and the names of each song
      stay different.

    A name of `wanted` is kept as it is.
    """
    labels = {song: [plain(name) for name in names] for song, names in songs.items()}
    shorter = {
        song: {name: _without_song(song, name, names) for name in names if _may_change(name, wanted)}
        for song, names in labels.items()
    }
    labels = {song: [plain(shorter[song].get(name, name)) for name in names] for song, names in labels.items()}
    for step in (_numbered, _with_common_words, _numbered):
        names = {name for of_song in labels.values() for name in of_song if _may_change(name, wanted)}
        changed = step(names, labels.values())
        labels = {song: [plain(changed.get(name, name)) for name in of_song] for song, of_song in labels.items()}
    return labels


def _may_change(name: str, wanted: Collection[str]) -> bool:
    return name not in wanted and not is_sum(name) and not NUMBERED.fullmatch(name)


def _without_song(song: str, name: str, names: Sequence[str]) -> str:
    of_song, of_name = words(song), words(name)
    size = len(of_song)
    if not of_song or (of_name == of_song and is_known(name)):
        return name
    if of_name == of_song:
        return MIXTURE
    # The song may be called Bass. Its name is then not removed from bass_left, unless all names have it.
    all_have = all(words(each)[:size] == of_song for each in names if not is_sum(each))
    if has_known_word(song) and not all_have:
        return name
    if of_name[:size] == of_song:
        return without_words(name, size)
    if of_name[-size:] == of_song:
        return without_words(name, 0, size)
    numbered = len(of_name) > size + 1 and NUMBER.fullmatch(of_name[0]) and of_name[1 : size + 1] == of_song
    return without_words(name, size + 1) if numbered else name


def _numbered(names: Collection[str], songs: Collection[Sequence[str]]) -> dict[str, str]:
    """Return {name: the name without its number} for the names whose number can be removed."""
    rest = {
        name: without_words(name, 1)
        for name in names
        if len(words(name)) > 1 and NUMBER.fullmatch(words(name)[0]) and not words(name)[1].isdigit()
    }
    if len(rest) < len(names):
        rest = {name: short for name, short in rest.items() if is_known(short)}
    counts = (Counter(rest.get(name, name) for name in {*of_song}) for of_song in songs)
    clashing = {name for of_song in counts for name, count in of_song.items() if count > 1}
    return {name: short for name, short in rest.items() if short not in clashing}


def _with_common_words(names: Collection[str], _: Collection[Sequence[str]]) -> dict[str, str]:
    """Return {name: the name without the words that all names begin or end with}."""
    parts = [words(name) for name in names]
    if len(parts) < 2:
        return {}
    front, back = 0, 0
    while _is_common([w[front] if len(w) > front + 1 else "" for w in parts]):
        front += 1
    while front and any(all(word.isdigit() for word in w[front:]) for w in parts):  # stem_0 and take 1 keep their word
        front -= 1
    while _is_common([w[-1 - back] if len(w) > front + back + 1 else "" for w in parts]):
        back += 1
    while back and any(all(word.isdigit() for word in w[front : len(w) - back]) for w in parts):
        back -= 1
    return {name: without_words(name, front, back) for name in names}


def _is_common(column: Sequence[str]) -> bool:
    return len({*column}) == 1 and bool(column[0]) and column[0] not in INSTRUMENTS
