"""Choose clips: where a piece has enough stems, which split it is in, and whether its beats are known.

Everything that looks random here comes from the hash of the MIDI file's content: the split, the order, and the clips.
Names of files and folders play no role.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtbench.prepare.midi.duplicates import Fingerprint, Leaders, fingerprint
from mtbench.prepare.midi.grid import share_on_grid, trusted
from mtbench.prepare.midi.reading import OTHER, Piece, read
from mtbench.prepare.midi.smf import MOST_BYTES, MidiError
from mtbench.stems import N_SAMPLES, SAMPLE_RATE
from mtbench.suites.midi import STEMS

SECONDS = N_SAMPLES / SAMPLE_RATE  # length of a clip
MOST_CLIPS = 4  # per piece: more clips of one piece add little to a set of many pieces
FEWEST_STEMS = 3  # active in a clip
ACTIVE = 0.1  # share of the clip in which an active stem sounds
RING = 0.2  # s that a note sounds at least: the duration of a drum note says nothing
SPLITS = {"train": 0.8, "validation": 0.1, "test": 0.1}  # {split: share of the pieces}


@dataclass(frozen=True)
class Clip:
    """Where a clip is in its piece, before it is rendered.

    number: from 0 within the piece. start: s. active: names of the stems that sound in at least 10% of it. beats:
    float64 [n, 2], the time of each beat in s from the start of the clip and its position in the bar, from 1; None if
    they are unknown. on_grid: share of the onset times that are on the grid of the tempo map. metre: numerator and
    denominator at the start, by the tempo map.
    """

    number: int
    start: float
    active: tuple[str, ...]
    beats: NDArray[np.float64] | None
    on_grid: float
    metre: tuple[int, int]


@dataclass(frozen=True)
class Examined:
    """A MIDI file that clips can be rendered from. digest: SHA-256 of its bytes. split: a key of SPLITS."""

    path: Path
    digest: str
    split: str
    clips: tuple[Clip, ...]
    fingerprint: Fingerprint


@dataclass(frozen=True)
class Dropped:
    """A MIDI file that is not used, and the reason in words that continue "dropped: "."""

    path: Path
    reason: str


def examine(path: Path) -> Examined | Dropped:
    """Read one file and choose its clips. Never raises because of what is in the file, or if it cannot be read."""
    try:
        with path.open("rb") as file:
            piece = read(file.read(MOST_BYTES + 1))
        return Examined(path, piece.digest, split(piece.digest), tuple(clips(piece)), fingerprint(piece))
    except MidiError as error:
        return Dropped(path, str(error))
    except OSError as error:
        return Dropped(path, f"cannot be read ({error.strerror})")


def without_duplicates(pieces: Sequence[Examined]) -> tuple[list[Examined], list[Dropped]]:
    """Return the pieces in the order of their digests, without near-duplicates, and the near-duplicates.

    Of near-duplicates, the piece with the lowest digest is kept.
    """
    leaders: Leaders[Path] = Leaders()
    kept: list[Examined] = []
    dropped: list[Dropped] = []
    for piece in sorted(pieces, key=lambda piece: (piece.digest, str(piece.path))):
        twin = leaders.find_or_add(piece.path, piece.fingerprint)
        if twin is None:
            kept.append(piece)
        else:
            dropped.append(Dropped(piece.path, f"near-duplicate of {twin}"))
    return kept, dropped


def split(digest: str) -> str:
    """Return the split of a piece: a key of SPLITS, by the hash of its content."""
    share, below = fraction(digest), 0.0
    for name, part in SPLITS.items():
        below += part
        if share < below:
            return name
    return name


def fraction(digest: str) -> float:
    """Return a number in [0, 1) that depends only on a hash, in hexadecimal."""
    return int(digest[:13], 16) / 16**13


def clips(piece: Piece) -> list[Clip]:
    """Return up to 4 clips of a piece that do not overlap, spread over the piece. Raises MidiError if there are none.

    Windows of 10.24 s follow each other from near the first note; the digest of the piece sets where the first begins
    within the seconds that would be left over. Of the windows with at least three active stems, four are chosen at
    equal distances.
    """
    notes = piece.notes[piece.notes["stem"] != OTHER]
    present = [stem for number, stem in enumerate(STEMS) if np.any(notes["stem"] == number)]
    if len(present) < FEWEST_STEMS:
        raise MidiError(f"stems: {', '.join(present) or 'none'}; at least {FEWEST_STEMS} of {', '.join(STEMS)} needed")
    first, last = float(notes["onset"].min()), float(notes["end"].max())
    n_windows = int((last - first) / SECONDS)
    if not n_windows:
        raise MidiError(f"lasts {last - first:.1f} s; a clip has {SECONDS} s")
    chance = fraction(piece.digest[13:])
    starts = first + chance * (last - first - n_windows * SECONDS) + SECONDS * np.arange(n_windows)
    active = np.stack([_sounding(piece.of(stem), starts) >= ACTIVE * SECONDS for stem in STEMS], axis=1)
    usable = np.flatnonzero(active.sum(axis=1) >= FEWEST_STEMS)
    if not len(usable):
        raise MidiError(f"never {FEWEST_STEMS} stems at the same time")
    if len(usable) > MOST_CLIPS:
        usable = usable[((np.arange(MOST_CLIPS) + chance) * len(usable) / MOST_CLIPS).astype(int)]
    return [
        _clip(piece, notes, number, float(starts[window]), tuple(np.array(STEMS)[active[window]].tolist()))
        for number, window in enumerate(usable)
    ]


def _clip(piece: Piece, notes: NDArray[np.void], number: int, start: float, active: tuple[str, ...]) -> Clip:
    inside = (notes["onset"] >= start) & (notes["onset"] < start + SECONDS)
    onsets = piece.tempo.in_beats(notes["tick"][inside])
    beats = piece.tempo.beats(start, start + SECONDS)
    true = trusted(onsets, beats, SECONDS)
    beats[:, 0] = np.maximum(beats[:, 0] - start, 0)  # rounding can make the first one negative
    return Clip(number, start, active, beats if true else None, share_on_grid(onsets), piece.tempo.metre_at(start))


def _sounding(notes: NDArray[np.void], starts: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return for how many s at least one note sounds in each window; notes are sorted by onset."""
    if not len(notes):
        return np.zeros(len(starts))
    reach = np.maximum.accumulate(np.maximum(notes["end"], notes["onset"] + RING))
    begins = np.flatnonzero(np.append(True, notes["onset"][1:] > reach[:-1]))  # the first note after each silence
    onsets, ends = notes["onset"][begins], reach[np.append(begins[1:], len(notes)) - 1]
    total = np.concatenate([[0.0], np.cumsum(ends - onsets)])

    def before(times: NDArray[np.floating]) -> NDArray[np.float64]:
        at = np.searchsorted(onsets, times, side="right")
        sounding: NDArray[np.float64] = total[at] - np.where(at > 0, np.maximum(ends[at - 1] - times, 0), 0)
        return sounding

    return before(starts + SECONDS) - before(starts)
