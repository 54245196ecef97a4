"""Find the likeliest path through the bar-pointer model, with numbers bit-identical to those of madmom's HMM.

The model is that of Krebs, Böck and Widmer, "An Efficient State Space Model for Joint Tempo and Meter Tracking", ISMIR
2015. A state is a place in a bar: the beat in the bar, the tempo i (a beat of tau_i frames), and the position p in that
beat. With each frame p grows by one; the only choice is the tempo of the next beat, at the end of each beat. A path is
therefore a list of beats, and it is enough to compute for each beat when it begins:

    V(t, b, i) = max_j [E(t, b - 1, j) + log a_ji] + d(t)                a beat begins in frame t
    E(t + tau_i, b, i) = V(t, b, i) + d(t + 1) + ... + d(t + tau_i - 1)  the same beat ends

where d is the log-density of the activations at that place and a_ji the probability of the tempo change. Sums are
computed from left to right, and taking a maximum does not round, so V and E are bit-identical to the values that madmom
computes for its 33,000 states (at fps 100). If several j are equal, the first is used, as in madmom.

All bar lengths are decoded together: their beats, three and four by default, are lanes of one vector.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtbench.beats import compiled

TEMPI = 60
OBSERVATION_LAMBDA = 16  # a beat region is 1/16 of a beat
VECTOR = compiled.LANES  # the number of lanes is a multiple of this, so that a frame fills vectors of the processor
CHUNK = 1 << 14  # number of frames whose exits are in memory at a time (63 MB)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Meter(NamedTuple):
    """beats_per_bar: the possible bar lengths. min_bpm, max_bpm: the range of tempi."""

    beats_per_bar: tuple[int, ...] = (3, 4)
    min_bpm: float = 30.0
    max_bpm: float = 300.0


DEFAULT_METER = Meter()


class Model(NamedTuple):
    """The tables of the hidden Markov model for I tempi, which depend on fps, transition lambda and meter.

    intervals: int64 [I], tau in frames. transition: float64 [I from, I to], log a. band: int64 [I to, 2], the range of
    j with a > 0. pointers: [I] of int64 [tau, lanes], which density applies at a place: 0 no beat, 1 beat, 2 downbeat.
    patterns: int64 [V, lanes], the distinct rows of the pointers; the first is all 0. variant: int64 [I, R], the
    pattern at each place of a beat region; region: int64 [I], the length of that region. Because of madmom's rounding,
    the length may differ by one between lanes; lane_region: int64 [lanes, I]. bar_lanes: the lanes of each bar length.
    beat, previous: int64 [lanes], the position of each lane's beat in its bar, and the lane of the preceding beat.
    Lanes that belong to no bar only fill a vector.
    """

    intervals: Integers
    transition: Floats
    band: Integers
    pointers: list[Integers]
    patterns: Integers
    variant: Integers
    region: Integers
    lane_region: Integers
    bar_lanes: tuple[Integers, ...]
    beat: Integers
    previous: Integers


class Beats(NamedTuple):
    """A path as its n beats, all int64 [n]: first frame (the first beat may begin before frame 0), lane, tempo."""

    first: Integers
    lane: Integers
    tempo: Integers


@lru_cache(maxsize=32)
def model(fps: float, transition_lambda: float, meter: Meter = DEFAULT_METER) -> Model:
    """Compute the tables of madmom's BarStateSpace, BarTransitionModel and RNNDownBeatTrackingObservationModel.

    fps: frames/s of the activations. transition_lambda: controls the probability of tempo changes, which is
    exp(-lambda |tau_i / tau_j - 1|), normalised over i.
    """
    intervals = _intervals(60.0 * fps / meter.max_bpm, 60.0 * fps / meter.min_bpm)
    bar_lanes, beat, previous = _lanes(meter.beats_per_bar)

    ratio = intervals.astype(float) / intervals.astype(float)[:, None]
    probability = np.exp(-transition_lambda * abs(ratio - 1.0))
    probability[probability <= np.spacing(1)] = 0
    probability /= np.sum(probability, axis=1)[:, None]
    transition = np.full(probability.shape, -np.inf)
    transition[probability != 0] = np.log(probability[probability != 0])
    possible = probability.T != 0
    band = np.column_stack([possible.argmax(axis=1), len(intervals) - possible[:, ::-1].argmax(axis=1)])

    border = 1.0 / OBSERVATION_LAMBDA
    pointers = []
    for tau in intervals:
        position = np.linspace(0, 1, tau, endpoint=False)[:, None] + beat.astype(float)
        pointers.append(np.where(position < border, 2, np.where(position % 1 < border, 1, 0)))
    lane_region = np.array([(table > 0).sum(axis=0) for table in pointers]).T
    region = lane_region.max(axis=0)
    patterns = np.unique(np.concatenate([np.zeros((1, len(beat)), int), *pointers]), axis=0)
    variant = np.zeros((len(intervals), region.max()), int)
    for i, table in enumerate(pointers):
        for p in range(region[i]):
            variant[i, p] = np.flatnonzero((patterns == table[p]).all(axis=1))[0]
    return Model(
        intervals, transition, band, pointers, patterns, variant, region, lane_region, bar_lanes, beat, previous
    )


def _lanes(beats_per_bar: Sequence[int]) -> tuple[tuple[Integers, ...], Integers, Integers]:
    """Return bar_lanes, beat and previous of a Model."""
    firsts = np.concatenate([[0], np.cumsum(beats_per_bar)])
    bar_lanes = tuple(np.arange(first, first + beats) for first, beats in zip(firsts, beats_per_bar))
    lanes = -(-firsts[-1] // VECTOR) * VECTOR
    beat, previous = np.zeros(lanes, int), np.arange(lanes)
    for bar in bar_lanes:
        beat[bar], previous[bar] = np.arange(len(bar)), np.roll(bar, 1)
    return bar_lanes, beat, previous


def _intervals(shortest: float, longest: float) -> Integers:
    """Return whole numbers of frames from the shortest to the longest interval, int64 [I].

    These are all whole numbers if there are at most TEMPI; otherwise TEMPI or a few more, approximately log-spaced.
    """
    intervals = np.arange(np.round(shortest), np.round(longest) + 1)
    points = TEMPI
    if len(intervals) > TEMPI:
        intervals = np.empty(0)
        while len(intervals) < TEMPI:
            intervals = np.unique(np.round(np.logspace(np.log2(shortest), np.log2(longest), points, base=2)))
            points += 1
    return np.ascontiguousarray(intervals, dtype=np.int64)


def log_densities(activations: NDArray[np.float32]) -> Floats:
    """Convert activations float32 [K, 2] to log-densities of (no beat, beat, downbeat), float64 [K, 3].

    Rounding is the same as in madmom. If rounding makes the probability of "no beat" negative, madmom gets NaN, which
    is never the maximum; here it is -inf.
    """
    densities = np.empty((len(activations), 3))
    with np.errstate(divide="ignore", invalid="ignore"):
        densities[:, 0] = np.log((1.0 - np.sum(activations, axis=1)) / (OBSERVATION_LAMBDA - 1))
        densities[:, 1] = np.log(activations[:, 0])
        densities[:, 2] = np.log(activations[:, 1])
    densities[np.isnan(densities)] = -np.inf
    return densities


def likeliest_beats(activations: NDArray[np.float32], tables: Model) -> tuple[Beats | None, float]:
    """Return the likeliest path for activations float32 [K, 2] and its log-probability.

    Returns (None, -inf) if no path is possible. Activations must be at the frame rate of the tables.
    """
    search = _search if compiled.AVAILABLE else _search_plain
    return search(log_densities(activations), tables)


def _uniform(tables: Model) -> Floats:
    """Return the log-probability of every state before frame 0: float64 [lanes]."""
    start = np.zeros(len(tables.beat))
    for lanes in tables.bar_lanes:
        start[lanes] = np.log(1.0 / (len(lanes) * tables.intervals.sum()))
    return start


def _search(densities: Floats, tables: Model) -> tuple[Beats | None, float]:
    """`likeliest_beats` with the compiled loops, from log-densities float64 [K, 3]."""
    intervals, frames, width = tables.intervals, len(densities), len(tables.beat)
    longest, block = intervals[-1], max(intervals[0], 1)
    density = np.zeros((len(tables.patterns), frames + longest + block, width))  # 0 after the end keeps sums unchanged
    for of_pattern, pattern in zip(density, tables.patterns):
        of_pattern[:frames] = densities[:, pattern]
    density = density.reshape(len(density), -1)

    exits = np.empty((len(intervals), (min(CHUNK, frames) + longest) * width))
    exits[:, :width] = _uniform(tables)
    compiled.first_exits(exits, density, tables.variant, tables.region, intervals, width)

    def go_through(first: int) -> None:
        compiled.forward(
            exits,
            density,
            tables.variant,
            tables.region,
            intervals,
            tables.transition,
            tables.band,
            tables.previous,
            first,
            min(CHUNK, frames - first),
            block,
        )

    begins = []  # the first rows of every chunk except the last, used to recompute it
    for first in range(0, frames, CHUNK):
        if first > 0:
            exits[:, : longest * width] = exits[:, CHUNK * width :]
        if first + CHUNK < frames:
            begins.append(exits[:, : longest * width].copy())
        go_through(first)

    ends = [compiled.last_beat(exits, intervals, frames - first, lanes, width) for lanes in tables.bar_lanes]
    best, lane, i, p = max(ends, key=lambda end: end[0])  # the first if equal
    if best == -np.inf:
        return None, best
    path = [(frames - 1 - p, lane, i)]
    while True:
        while path[-1][0] >= max(first, 1):
            start, lane, i = path[-1]
            i = compiled.previous_tempo(
                exits,
                tables.transition,
                densities[start, tables.pointers[i][0, lane]],
                start - first,
                tables.previous[lane],
                i,
                width,
            )
            path.append((start - intervals[i], tables.previous[lane], i))
        if first == 0:
            return Beats(*np.array(path[::-1], int).T), best
        first -= CHUNK
        exits[:, : longest * width] = begins.pop()
        go_through(first)


def _search_plain(densities: Floats, tables: Model) -> tuple[Beats | None, float]:
    """`likeliest_beats` in NumPy, by definition: frame by frame, for all states v [lanes, states of a beat]."""
    intervals, frames = tables.intervals, len(densities)
    used = np.concatenate(tables.bar_lanes)
    pointers = np.concatenate(tables.pointers)[:, used].T  # [used, states]
    last = np.cumsum(intervals) - 1
    first = last - intervals + 1
    v = np.repeat(_uniform(tables)[used, None], pointers.shape[1], axis=1)
    chosen = np.empty((frames, len(used), len(intervals)), np.uint8)  # the tempo of the preceding beat
    for t, density in enumerate(densities):
        d = density[pointers]
        change = v[tables.previous[used]][:, last, None] + tables.transition  # [used, from, to]
        change += d[:, None, first]
        v[:, 1:] = v[:, :-1] + d[:, 1:]
        chosen[t] = change.argmax(axis=1)
        v[:, first] = change.max(axis=1)

    ends = [(v[lanes].max(), lanes[0], v[lanes].argmax()) for lanes in tables.bar_lanes]
    best, lane, state = max(ends, key=lambda end: end[0])
    if best == -np.inf:
        return None, best
    lane, state = lane + state // v.shape[1], state % v.shape[1]
    i = np.searchsorted(last, state)
    path = [(frames - 1 - (state - first[i]), lane, i)]
    while path[-1][0] > 0:
        start, lane, i = path[-1]
        i = chosen[start, lane, i]
        path.append((start - intervals[i], tables.previous[lane], i))
    return Beats(*np.array(path[::-1], int).T), best
