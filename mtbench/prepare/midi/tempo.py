"""The tempo map of a MIDI file: from ticks to seconds, and the times of its beats.

A beat is the beat of the metre. It is the note of the denominator, except in compound metres (6, 9, 12, ... over 8 or
more), where it is three of them: 6/8 has two beats of a dotted quarter. In irregular metres such as 7/8, a MIDI file
does not say how the eighths are grouped, so that every eighth is a beat; 5/4 has five quarters. A time signature begins
a new bar, unless it repeats the metre in force. A file without time signatures is in 4/4.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

DEFAULT_TEMPO = 500_000  # microseconds per quarter note, by the standard
DEFAULT_METRE = (4, 4)
LARGEST_DENOMINATOR = 64
MOST_BEATS = 1000  # within one call of `beats`; limits time and memory for an absurd tempo


@dataclass(frozen=True)
class TempoMap:
    """Tempo and metre of a piece.

    division: ticks per quarter note. ticks, starts: where each tempo begins, int64 [n] in ticks and float64 [n] in s;
    the first is 0. per_tick: s per tick, float64 [n]. metres: (tick, numerator, denominator), the first at tick 0.
    """

    division: int
    ticks: NDArray[np.int64]
    starts: NDArray[np.float64]
    per_tick: NDArray[np.float64]
    metres: tuple[tuple[int, int, int], ...]

    def seconds(self, ticks: ArrayLike) -> NDArray[np.float64]:
        """Convert ticks, [n], to s, float64 [n]."""
        ticks = np.asarray(ticks)
        at = np.searchsorted(self.ticks, ticks, side="right") - 1
        seconds: NDArray[np.float64] = self.starts[at] + (ticks - self.ticks[at]) * self.per_tick[at]
        return seconds

    def tick(self, seconds: float) -> float:
        """Convert s to ticks."""
        at = max(int(np.searchsorted(self.starts, seconds, side="right")) - 1, 0)
        return float(self.ticks[at] + (seconds - self.starts[at]) / self.per_tick[at])

    def in_beats(self, ticks: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the times of ticks, [n], in beats since the beginning of the metre in force, float64 [n]."""
        begins = np.array([tick for tick, _, _ in self.metres])
        lengths = np.array([beat_length(*metre) for _, *metre in self.metres]) * self.division
        at = np.searchsorted(begins, ticks, side="right") - 1
        beats: NDArray[np.float64] = (ticks - begins[at]) / lengths[at]
        return beats

    def metre_at(self, seconds: float) -> tuple[int, int]:
        """Return numerator and denominator of the metre in force at a time in s."""
        tick = self.tick(seconds)
        return next(((n, d) for begin, n, d in reversed(self.metres) if begin <= tick), self.metres[0][1:])

    def beats(self, start: float, end: float) -> NDArray[np.float64]:
        """Return the beats in [start, end), in s: float64 [n, 2] of the time in s and the position in the bar from 1.

        At most 1000 beats are returned, so that an absurd tempo costs neither time nor memory.
        """
        first, last = self.tick(start), self.tick(end)
        ticks: list[NDArray[Any]] = []
        positions: list[NDArray[np.int64]] = []
        begins = [tick for tick, _, _ in self.metres]
        for (begin, numerator, denominator), until in zip(self.metres, [*begins[1:], np.inf]):
            if until <= first:
                continue
            if begin >= last or sum(map(len, ticks)) >= MOST_BEATS:
                break
            length = beat_length(numerator, denominator) * self.division
            in_bar = round(numerator * 4 / denominator * self.division / length)
            low = max(int(np.ceil((first - begin) / length - 1e-9)), 0)
            high = int(np.ceil((min(last, until) - begin) / length - 1e-9))
            numbers = np.arange(low, min(high, low + MOST_BEATS))
            if len(numbers):
                ticks.append(begin + numbers * length)
                positions.append(numbers % in_bar + 1)
        if not ticks:
            return np.zeros((0, 2))
        times = self.seconds(np.concatenate(ticks))
        return np.stack([times, np.concatenate(positions)], axis=1)[:MOST_BEATS]


def beat_length(numerator: int, denominator: int) -> float:
    """Return the length of a beat of a metre, in quarter notes."""
    compound = denominator >= 8 and numerator >= 6 and numerator % 3 == 0
    return (3 if compound else 1) * 4 / denominator


def tempo_map(division: int, tempos: list[tuple[int, int]], metres: list[tuple[int, int, int]]) -> TempoMap:
    """Build a tempo map from events sorted by tick: (tick, microseconds per quarter), (tick, numerator, denominator).

    Impossible events (0 microseconds, numerator 0, a denominator above 64) are ignored; of several at the same tick,
    the last counts.
    """
    by_tick = {0: DEFAULT_TEMPO} | {tick: tempo for tick, tempo in tempos if tempo}
    ticks = np.array(list(by_tick), np.int64)
    per_tick = np.array(list(by_tick.values())) / 1e6 / division
    starts = np.concatenate([[0.0], np.cumsum(np.diff(ticks) * per_tick[:-1])])
    possible = {tick: metre for tick, *metre in metres if metre[0] and metre[1] <= LARGEST_DENOMINATOR}
    changes = [(0, *DEFAULT_METRE)]
    for tick, (numerator, denominator) in possible.items():
        if tick == 0:
            changes = [(0, numerator, denominator)]
        elif changes[-1][1:] != (numerator, denominator):
            changes.append((tick, numerator, denominator))
    return TempoMap(division, ticks, starts, per_tick, tuple(changes))
