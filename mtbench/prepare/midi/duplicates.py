"""Find pieces that are in a collection more than once: under other names, transposed, or in another tempo.

A piece is described by its set of n-grams: 8 successive notes of one channel, as intervals of onset in sixteenths and
intervals of pitch. Two pieces are near-duplicates if the Jaccard similarity of their sets is at least 0.3. In 232 files
of games and of an accompaniment generator, arrangements of one tune have 0.41 to 1, and files of different tunes 0.14
at most. Sixteenths are coarse enough for files whose times are randomized: with 24ths of a quarter, those arrangements
have 0.13 and more. Sets are compared by MinHash signatures, so that 100,000 pieces take minutes.
"""

import hashlib
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mtbench.prepare.midi.reading import DRUM_CHANNEL, Piece

Id = TypeVar("Id")
Fingerprint = NDArray[np.uint64]

LENGTH = 8  # notes of an n-gram
STEPS = 4  # per quarter note, in which intervals of onset are counted
BANDS, ROWS = 42, 3  # pairs with a similarity of 0.4 share at least one band with a probability of 0.94, 0.5: 0.996
SIMILAR = 0.3  # Jaccard similarity of near-duplicates
MOST_IN_BUCKET = 100  # bounds the time if thousands of different pieces share a pattern

_ODD = np.frombuffer(hashlib.shake_128(b"mtbench").digest(16 * BANDS * ROWS), "<u8").reshape(2, -1) | np.uint64(1)


def ngrams(piece: Piece) -> NDArray[np.uint64]:
    """Return the set of a piece's n-grams, as sorted hashes, uint64 [n].

    All melodic channels count, of whatever stem; drum patterns are not specific to a piece. Of a chord, only the
    highest note counts.
    """
    notes = piece.notes[piece.notes["channel"] % 16 != DRUM_CHANNEL]
    notes = notes[np.lexsort((notes["pitch"], notes["tick"], notes["channel"]))]
    if len(notes) <= LENGTH:
        return np.zeros(0, np.uint64)
    same = (notes["channel"][1:] == notes["channel"][:-1]) & (notes["tick"][1:] == notes["tick"][:-1])
    notes = notes[np.append(~same, True)]  # the highest notes
    steps = np.round(notes["tick"] * (STEPS / piece.tempo.division)).astype(np.int64)
    intervals = np.stack([np.diff(steps), np.diff(notes["pitch"].astype(np.int64))], axis=1)
    if len(intervals) < LENGTH - 1:
        return np.zeros(0, np.uint64)
    hashes = np.zeros(len(intervals) - LENGTH + 2, np.uint64)
    for shift in range(LENGTH - 1):
        for value in intervals[shift : shift + len(hashes)].T.astype(np.uint64):
            hashes = _mixed(hashes ^ value)
    within = notes["channel"][: len(hashes)] == notes["channel"][LENGTH - 1 :]
    return np.unique(hashes[within])


def fingerprint(piece: Piece) -> Fingerprint:
    """Return the MinHash signature of a piece, uint64 [126]. Equal entries estimate the similarity of two pieces."""
    return signature(ngrams(piece))


def signature(hashes: NDArray[np.uint64]) -> Fingerprint:
    """Return the MinHash signature, uint64 [126], of a set of hashes; of no hashes, an empty array."""
    if not len(hashes):
        return np.zeros(0, np.uint64)
    return np.array([_mixed(hashes * a + b).min() for a, b in _ODD.T], np.uint64)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix the bits of 64-bit numbers (the finalizer of SplitMix64, Steele et al. 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class Leaders(Generic[Id]):
    """Pieces that are not near-duplicates of each other, each with a name."""

    def __init__(self) -> None:
        self._names: list[Id] = []
        self._prints: list[Fingerprint] = []
        self._buckets: dict[bytes, list[int]] = {}

    def find_or_add(self, name: Id, piece: Fingerprint) -> Id | None:
        """Return the name of an earlier piece that this one is a near-duplicate of; if there is none, add this one.

        A piece without n-grams is never a near-duplicate.
        """
        if not len(piece):
            return None
        keys = [bytes([band]) + rows.tobytes() for band, rows in enumerate(piece.reshape(BANDS, ROWS))]
        candidates = sorted({leader for key in keys for leader in self._buckets.get(key, ())})
        for leader in candidates:
            if np.mean(self._prints[leader] == piece) >= SIMILAR:
                return self._names[leader]
        for key in keys:
            bucket = self._buckets.setdefault(key, [])
            if len(bucket) < MOST_IN_BUCKET:
                bucket.append(len(self._names))
        self._names.append(name)
        self._prints.append(piece)
        return None
