"""The controls, which give the scores a scale: songs that a perfect generator could have made, and noise."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mtbench.errors import UsageError
from mtbench.stems import StemSet, Suite, optional_stems, with_silence

NOISE_LEVEL = 0.1


class Heldout:
    """Songs of the suite that are not in its reference: they score what a perfect generator would score.

    In arrangement, sample i is the song whose stems are given. With `shuffled`, it is a different song: each stem is
    perfect by itself, but it is in time with the given stems only by chance. The other song is half the suite further
    on, because neighbouring songs may be cut from the same piece. If the suite states that this song, too, is cut from
    the same piece, the next song from a different piece is used. Raises UsageError if the suite has too few songs.
    """

    name = "heldout"

    def __init__(self, suite: Suite, shuffled: bool = False):
        self._songs = suite.heldout()
        if len(self._songs) < 1 + shuffled:
            row, few = ("shuffled", "fewer than two") if shuffled else ("heldout", "no")
            raise UsageError(f"suite '{suite.name}' has {few} held-out songs, so the control '{row}' is not possible")
        self.sample_rate, self.stems = suite.sample_rate, suite.stems
        self.tasks = frozenset({"arrangement"} if shuffled else {"total", "arrangement"})
        self._shuffled, self._optional = shuffled, optional_stems(suite)
        what = "stems of another held-out song than the given ones" if shuffled else "held-out songs of the suite"
        self.provenance: Mapping[str, Any] = {"what": what, "songs": len(self._songs)}

    def generate(
        self, n: int, stems: Sequence[str], *, given: Sequence[StemSet] | None = None, seed: int = 0, start: int = 0
    ) -> Iterator[StemSet]:
        """Yield songs start ... start + n - 1. Raises UsageError if the suite does not have that many."""
        if start + n > len(self._songs):
            raise UsageError(f"'heldout' has {len(self._songs)} songs; sample {start + n - 1} does not exist")
        for i in range(start, start + n):
            song = self._songs[self._other(i) if self._shuffled else i]
            song = with_silence(song, stems, self._optional)
            yield StemSet(song.id, {stem: song.stems[stem] for stem in stems}, song.sample_rate)

    def _other(self, i: int) -> int:
        """Return the number of a song that is cut from another piece than song i, if there is one."""
        count, pieces = len(self._songs), self._songs.pieces
        half = (i + count // 2) % count
        if pieces is None:
            return half
        return next((j for j in (*range(half, count), *range(half)) if pieces[j] != pieces[i]), half)


class Noise:
    """White Gaussian noise at about the level of music (standard deviation 0.1), independent in every stem."""

    name = "noise"
    tasks = frozenset({"total", "arrangement"})

    def __init__(self, suite: Suite):
        self.sample_rate, self.stems, self._length = suite.sample_rate, suite.stems, suite.n_samples
        self.provenance: Mapping[str, Any] = {"what": f"white noise, standard deviation {NOISE_LEVEL}"}

    def generate(
        self, n: int, stems: Sequence[str], *, given: Sequence[StemSet] | None = None, seed: int = 0, start: int = 0
    ) -> Iterator[StemSet]:
        """Yield samples start ... start + n - 1.

        A stem depends only on the seed, the number of the sample, and the stem's index in the suite.
        """
        for i in range(start, start + n):
            waves = {}
            for stem in stems:
                random = np.random.default_rng([seed, i, self.stems.index(stem)])
                waves[stem] = (NOISE_LEVEL * random.standard_normal(self._length)).astype(np.float32)
            yield StemSet(f"{i:05d}", waves, self.sample_rate)


@dataclass(frozen=True)
class Control:
    """A row that the harness generates itself.

    model: the name of its generator, which is created with `options`. tasks: the tasks in which it appears. songs: the
    number of held-out songs that it needs.
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
    """Create the generator ``heldout``. Raises UsageError like `Heldout`."""
    return Heldout(suite, shuffled)


def make_noise(*, weights: str | None, device: str, suite: Suite) -> Noise:
    """Create the generator ``noise``."""
    return Noise(suite)
