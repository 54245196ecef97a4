"""The loops that Numba compiles. Nothing here is needed to get a result, only to get it fast.

Every function has a plain NumPy form beside the code that calls it, taken where Numba cannot be imported or cannot
compile (``AVAILABLE`` is False). A function is compiled when it is first called and kept on disk: in ``__pycache__``
beside this file, or in the user's cache folder where that cannot be written. One thread; callers run processes.

The annotations say what the callers hand over. Numba ignores them and compiles for the types that come.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

try:
    import numba
except Exception as error:  # absent, or built for another NumPy or Python, which raises many kinds of error
    AVAILABLE, reason = False, f"{type(error).__name__}: {error}"
else:
    AVAILABLE, reason = True, ""

P = ParamSpec("P")
R = TypeVar("R")
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]


UNCOMPILED = "Numba is not available, so the beat engine runs uncompiled: the same beats, ten times slower"


def is_compiled() -> bool:
    """Whether Numba compiles the engine here. Where it does not, beats are the same and take ten times as long."""
    return AVAILABLE


def compiled(**options: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """numba.njit with these options, without the checks that keep loops from being vectorised (``1 / 0`` is inf, as in
    NumPy). Without Numba the function stays as it is.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if not AVAILABLE:
            return function
        dispatcher: Callable[P, R]
        try:
            dispatcher = numba.njit(error_model="numpy", cache=True, **options)(function)
        except RuntimeError:  # no folder for the cache can be written: compile in every process
            dispatcher = numba.njit(error_model="numpy", **options)(function)
        return dispatcher

    return decorate


LANES = 8  # beats of the bars of 3 and 4, and one to fill a vector: see viterbi.py
UNITS = 25  # of an LSTM layer, in one direction
PADDED_UNITS = 32
GATES = 104  # 4 * 25, and 4 to fill a vector
ZERO, ONE, TWO, HALF = np.float32(0), np.float32(1), np.float32(2), np.float32(0.5)
LOG2_E, LARGEST = np.float32(np.log2(np.e)), np.float32(126)
# 2^r for r in [-1/2, 1/2], relative error 2.6e-9: a Chebyshev fit
E0, E1, E2, E3, E4, E5, E6 = (
    np.float32(coefficient)
    for coefficient in (
        0.9999999999595284,
        0.693147206721804,
        0.2402265121378999,
        0.055503271903494016,
        0.009618025577022826,
        0.0013400441709382337,
        0.00015469740271933206,
    )
)
FUSED = {"contract"}  # of LLVM's fast-math flags: a multiply-add is rounded once


@compiled()
def _keep_larger(best: Floats, exits: Floats, log_a: float, n: int) -> None:
    for k in range(n):
        value = exits[k] + log_a
        best[k] = best[k] if best[k] > value else value


@compiled()
def _keep_largest_of_four(
    best: Floats,
    exits0: Floats,
    exits1: Floats,
    exits2: Floats,
    exits3: Floats,
    log_a0: float,
    log_a1: float,
    log_a2: float,
    log_a3: float,
    n: int,
) -> None:
    for k in range(n):
        largest = best[k]
        value = exits0[k] + log_a0
        largest = largest if largest > value else value
        value = exits1[k] + log_a1
        largest = largest if largest > value else value
        value = exits2[k] + log_a2
        largest = largest if largest > value else value
        value = exits3[k] + log_a3
        best[k] = largest if largest > value else value


@compiled()
def _add_frame(sums: Floats, d: Floats, n: int) -> None:
    for k in range(n):
        sums[k] += d[k]


@compiled()
def _add_eight_frames(sums: Floats, d: Floats, n: int) -> None:
    for k in range(n):
        s = sums[k] + d[k]
        s += d[k + LANES]
        s += d[k + 2 * LANES]
        s += d[k + 3 * LANES]
        s += d[k + 4 * LANES]
        s += d[k + 5 * LANES]
        s += d[k + 6 * LANES]
        sums[k] = s + d[k + 7 * LANES]


@compiled()
def first_exits(exits: Floats, density: Floats, variant: Integers, region: Integers, intervals: Integers) -> None:
    """Fill in the exits of the beats that began before frame 0, where all states were equally probable.

    exits, density, variant, region, intervals: as for `forward`. Row 0 of `exits` holds the log-probabilities before
    frame 0; rows 1 ... longest interval - 1 are filled.
    """
    for i in range(len(intervals)):
        tau = intervals[i]
        row = exits[i]
        for r in range(1, tau):
            for lane in range(LANES):
                row[LANES * r + lane] = row[lane]
        for p in range(1, tau):  # the position in the beat; its frame is p - tau + r
            pattern = variant[i, p] if p < region[i] else 0
            _add_frame(row[LANES * (tau - p) :], density[pattern], LANES * p)


@compiled()
def forward(
    exits: Floats,
    density: Floats,
    variant: Integers,
    region: Integers,
    intervals: Integers,
    transition: Floats,
    band: Integers,
    previous: Integers,
    first: int,
    frames: int,
    block: int,
) -> None:
    """Fill in the exits of the beats that begin in `frames` frames from frame `first` on.

    exits: float64 [I, rows * 8]. Row r of tempo i holds, in one lane per beat of the bar, the log-probability that a
    beat of that tempo has come to its end in frame first + r - 1. density: float64 [V, frames * 8], the log-density of
    each pattern of viterbi.Model, which also says what variant, region, intervals, transition and band are. previous:
    [8], the lane of the beat before. block: frames at once, at most the shortest beat, so that the beats that begin in
    it do not depend on each other. The additions are in the order of madmom's HMM: the same sums bit for bit.
    """
    best = np.empty(LANES * block)
    for start in range(0, frames, block):
        n = LANES * min(block, frames - start)
        at = LANES * start
        for i in range(len(intervals)):
            best[:n] = -np.inf
            j, stop = band[i]
            while j + 4 <= stop:
                _keep_largest_of_four(
                    best,
                    exits[j, at:],
                    exits[j + 1, at:],
                    exits[j + 2, at:],
                    exits[j + 3, at:],
                    transition[j, i],
                    transition[j + 1, i],
                    transition[j + 2, i],
                    transition[j + 3, i],
                    n,
                )
                j += 4
            while j < stop:
                _keep_larger(best, exits[j, at:], transition[j, i], n)
                j += 1

            sums = exits[i, at + LANES * intervals[i] :]
            d = density[variant[i, 0], LANES * first + at :]
            for k in range(0, n, LANES):
                for lane in range(LANES):
                    sums[k + lane] = best[k + previous[lane]] + d[k + lane]
            for p in range(1, region[i]):
                _add_frame(sums, density[variant[i, p], LANES * (first + p) + at :], n)
            p = region[i]
            while p + 8 <= intervals[i]:
                _add_eight_frames(sums, density[0, LANES * (first + p) + at :], n)
                p += 8
            while p < intervals[i]:
                _add_frame(sums, density[0, LANES * (first + p) + at :], n)
                p += 1


@compiled()
def last_beat(exits: Floats, intervals: Integers, row: int, lanes: Integers) -> tuple[float, int, int, int]:
    """The likeliest state in the last frame, among the beats `lanes`: (log-probability, lane, tempo, frames before).

    row: that of a beat that would begin after the last frame. Among equals the first in madmom's order of states.
    """
    best, best_lane, best_i, best_p = -np.inf, 0, 0, 0
    for lane in lanes:
        for i in range(len(intervals)):
            for p in range(intervals[i]):
                value = exits[i, LANES * (row - 1 - p + intervals[i]) + lane]
                if value > best:
                    best, best_lane, best_i, best_p = value, lane, i, p
    return best, best_lane, best_i, best_p


@compiled()
def previous_tempo(exits: Floats, transition: Floats, density: float, row: int, lane: int, i: int) -> int:
    """The tempo of the beat before one of tempo i that begins in `row`; among equals the first, as in madmom."""
    best, best_j = -np.inf, 0
    for j in range(len(transition)):
        value = exits[j, LANES * row + lane] + transition[j, i] + density
        if value > best:
            best, best_j = value, j
    return best_j


@compiled(fastmath=FUSED)
def sigmoid(x: np.float32) -> np.float32:
    """1 / (1 + exp(-x)) in float32, off by at most 1e-7: exp(x) = 2^n 2^r, n put into the exponent's bits."""
    y = min(max(x * LOG2_E, -LARGEST), LARGEST)
    n = np.floor(y + HALF)
    r = y - n
    exp: np.float32 = E0 + r * (E1 + r * (E2 + r * (E3 + r * (E4 + r * (E5 + r * E6)))))
    exp *= np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    return exp / (ONE + exp)


@compiled(fastmath=FUSED)
def tanh(x: np.float32) -> np.float32:
    """2 sigmoid(2 x) - 1 in float32, off by at most 3e-7."""
    return TWO * sigmoid(TWO * x) - ONE


@compiled(fastmath=FUSED)
def lstm(z: Singles, b: Singles, R: Singles, p: Singles, h_out: Singles, direction: int) -> None:
    """One LSTM layer of one network in one direction (0 forward, 1 backward), from its input products.

    z: float32 [K, 2 * GATES], both directions side by side; b: [GATES]; R: [UNITS, GATES]; p: [3, PADDED_UNITS]. The
    gates stand in the order i, f, o, c. All are float32. Fills its half of h_out [K, 2 * UNITS]. The places that only
    fill up vectors come to hold numbers that nothing reads.
    """
    gates = np.zeros(3 * UNITS + PADDED_UNITS, np.float32)
    z_i, z_f, z_o, z_c = gates, gates[UNITS:], gates[2 * UNITS :], gates[3 * UNITS :]
    p_i, p_f, p_o = p[0], p[1], p[2]
    h, c, c_new = (
        np.zeros(PADDED_UNITS, np.float32),
        np.zeros(PADDED_UNITS, np.float32),
        np.zeros(PADDED_UNITS, np.float32),
    )
    for k in range(len(z)):
        t = len(z) - 1 - k if direction else k
        z_t = z[t, direction * GATES :]
        for g in range(GATES):
            gates[g] = z_t[g] + b[g]
        for j in range(0, UNITS, 5):
            h0, h1, h2, h3, h4 = h[j], h[j + 1], h[j + 2], h[j + 3], h[j + 4]
            R0, R1, R2, R3, R4 = R[j], R[j + 1], R[j + 2], R[j + 3], R[j + 4]
            for g in range(GATES):
                s = gates[g] + h0 * R0[g]
                s += h1 * R1[g]
                s += h2 * R2[g]
                s += h3 * R3[g]
                gates[g] = s + h4 * R4[g]
        for u in range(PADDED_UNITS):
            i = sigmoid(z_i[u] + p_i[u] * c[u])
            f = sigmoid(z_f[u] + p_f[u] * c[u])
            c_new[u] = f * c[u] + i * tanh(z_c[u])
        for u in range(PADDED_UNITS):
            c[u] = c_new[u]
            h[u] = sigmoid(z_o[u] + p_o[u] * c[u]) * tanh(c[u])
        for u in range(UNITS):
            h_out[t, direction * UNITS + u] = h[u]


@compiled(fastmath={"reassoc", "contract"})  # the sums are of whole numbers and exact, or rounded later
def filtered(padded: Floats, bank: Floats, phase: int, fraction: int, step: int, whole: int, sums: Floats) -> None:
    """Fill `sums` [n]: for each output, the sum of the samples times a row of the bank, which is a phase. All float64.

    padded: [samples]; bank: [phases, taps]. The first output is at sample 0 of `padded`, at `phase` and
    `fraction` / `whole` of a phase; the next is `step` / `whole` phases further on.
    """
    phases, taps = bank.shape
    phase_step, fraction_step = step // whole, step % whole
    at = 0
    for n in range(len(sums)):
        window, row = padded[at : at + taps], bank[phase]
        total = 0.0
        for i in range(taps):
            total += window[i] * row[i]
        sums[n] = total
        fraction += fraction_step
        phase += phase_step
        if fraction >= whole:
            fraction -= whole
            phase += 1
        while phase >= phases:
            phase -= phases
            at += 1


@compiled(fastmath={"reassoc", "contract"})
def banded(spectrum: Singles, weights: Singles, starts: Integers, bands: Singles) -> None:
    """Fill `bands`, float32 [F, B]: the magnitudes of each frame, weighted and summed in bands.

    spectrum: float32 [F, 2 * bins], real and imaginary parts in turn; weights: float32 [B, width], those of band b for
    the bins from starts[b] on, then zeros; starts: int64 [B], ascending.
    """
    width = weights.shape[1]
    magnitude = np.zeros(spectrum.shape[1] // 2 + width, np.float32)
    bins = min(spectrum.shape[1] // 2, starts[-1] + width)  # there are no bands above
    for f in range(len(spectrum)):
        parts = spectrum[f]
        for k in range(bins):
            magnitude[k] = np.sqrt(parts[2 * k] * parts[2 * k] + parts[2 * k + 1] * parts[2 * k + 1])
        for b in range(len(weights)):
            inside, row, total = magnitude[starts[b] :], weights[b], np.float32(0)
            for k in range(width):
                total += inside[k] * row[k]
            bands[f, b] = total


if AVAILABLE:
    try:
        sigmoid(ZERO)
    except Exception as error:  # LLVM lacks this processor, or there is no memory for it: as good as absent
        AVAILABLE, reason = False, f"{type(error).__name__}: {error}"
