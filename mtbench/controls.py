"""The controls that bound every table: songs that a perfect generator could have made, and noise."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mtbench.errors import UsageError
from mtbench.stems import StemSet, Suite

NOISE_LEVEL = 0.1


class Heldout:
    """Songs of the suite that its reference does not hold: what a perfect generator would score.

    In arrangement, sample i is the song whose stems are given. With `shuffled` it is another song: each stem by itself
    is perfect, and in time with the given stems by chance alone. That song is half the suite further on, since
    neighbours may be cut from one piece. Where the suite knows that both songs are cut from one piece, it is the next
    song that is not. Raises UsageError if the suite has too few songs.
    """

    name = "heldout"

    def __init__(self, suite: Suite, shuffled: bool = False):
        self._songs = suite.heldout()
        if len(self._songs) < 1 + shuffled:
            row, few = ("shuffled", "fewer than two") if shuffled else ("heldout", "no")
            raise UsageError(
                f"suite '{suite.name}' holds {few} songs outside its reference, so it has no '{row}' control"
            )
        self.sample_rate, self.stems = suite.sample_rate, suite.stems
        self.tasks = frozenset({"arrangement"} if shuffled else {"total", "arrangement"})
        self._shuffled = shuffled
        what = "stems of another held-out song than the given ones" if shuffled else "held-out songs of the suite"
        self.provenance: Mapping[str, Any] = {"what": what, "songs": len(self._songs)}

    def generate(
        self, n: int, stems: Sequence[str], *, given: Sequence[StemSet] | None = None, seed: int = 0, start: int = 0
    ) -> Iterator[StemSet]:
        """Songs start ... start + n - 1. Raises UsageError if the suite has not so many."""
        if start + n > len(self._songs):
            raise UsageError(f"'heldout' has {len(self._songs)} songs; sample {start + n - 1} does not exist")
        for i in range(start, start + n):
            song = self._songs[self._other(i) if self._shuffled else i]
            yield StemSet(song.id, {stem: song.stems[stem] for stem in stems}, song.sample_rate)

    def _other(self, i: int) -> int:
        """The number of a song that is not cut from the piece of song i, if there is any."""
        count, pieces = len(self._songs), self._songs.pieces
        half = (i + count // 2) % count
        if pieces is None:
            return half
        return next((j for j in (*range(half, count), *range(half)) if pieces[j] != pieces[i]), half)


class Noise:
    """White Gaussian noise at a level like that of music (standard deviation 0.1), independent in every stem."""

    name = "noise"
    tasks = frozenset({"total", "arrangement"})

    def __init__(self, suite: Suite):
        self.sample_rate, self.stems, self._length = suite.sample_rate, suite.stems, suite.n_samples
        self.provenance: Mapping[str, Any] = {"what": f"white noise, standard deviation {NOISE_LEVEL}"}

    def generate(
        self, n: int, stems: Sequence[str], *, given: Sequence[StemSet] | None = None, seed: int = 0, start: int = 0
    ) -> Iterator[StemSet]:
        """Samples start ... start + n - 1, which depend on the seed, their number and the place of the stem alone."""
        for i in range(start, start + n):
            waves = {}
            for stem in stems:
                random = np.random.default_rng([seed, i, self.stems.index(stem)])
                waves[stem] = (NOISE_LEVEL * random.standard_normal(self._length)).astype(np.float32)
            yield StemSet(f"{i:05d}", waves, self.sample_rate)


@dataclass(frozen=True)
class Control:
    """A row that the harness makes itself.

    model: the generator behind it, made with `options`. tasks: those in which it appears. songs: how many held-out
    songs it needs.
    """

    model: str
    tasks: frozenset[str]
    options: Mapping[str, Any] = field(default_factory=dict)
    songs: int = 0


CONTROLS = {
    "heldout": Control("heldout", frozenset({"total", "arrangement"}), songs=1),
    "shuffled": Control("heldout", frozenset({"arrangement"}), {"shuffled": True}, songs=2),
    "noise": Control("noise", frozenset({"total", "arrangement"})),
}


def make_heldout(*, weights: str | None, device: str, suite: Suite, shuffled: bool = False) -> Heldout:
    """The factory of ``heldout``. Raises UsageError as `Heldout` does."""
    return Heldout(suite, shuffled)


def make_noise(*, weights: str | None, device: str, suite: Suite) -> Noise:
    """The factory of ``noise``."""
    return Noise(suite)
