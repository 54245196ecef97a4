"""The loops that Numba compiles. They make the beat engine fast; it works without them, too.

Every function has a plain NumPy version next to the code that calls it, which is used if Numba cannot be imported or
cannot compile (``AVAILABLE`` is False). A function is compiled on its first call and cached on disk: in ``__pycache__``
next to this file or, if that is not writable, in the user's cache folder. Everything here uses one thread; callers use
processes to run in parallel.

The annotations state what the callers pass. Numba ignores them and compiles for the actual argument types.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

try:
    import numba
except Exception as error:  # not installed, or built for another NumPy or Python, which can raise many errors
    AVAILABLE, reason = False, f"{type(error).__name__}: {error}"
else:
    AVAILABLE, reason = True, ""

P = ParamSpec("P")
R = TypeVar("R")
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]


UNCOMPILED = "Numba is not available, so the beat engine runs uncompiled (same beats, ten times slower)"


def is_compiled() -> bool:
    """Return whether Numba compiles the engine. If not, the beats are the same, but take ten times as long."""
    return AVAILABLE


def compiled(**options: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Apply numba.njit with these options. Without Numba, the function is returned unchanged.

    Checks that would prevent loops from being vectorised are off (``1 / 0`` is inf, as in NumPy).
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if not AVAILABLE:
            return function
        dispatcher: Callable[P, R]
        try:
            dispatcher = numba.njit(error_model="numpy", cache=True, **options)(function)
        except RuntimeError:  # no writable folder for the cache: compile in every process
            dispatcher = numba.njit(error_model="numpy", **options)(function)
        return dispatcher

    return decorate


LANES = 8  # of the default bars of 3 and 4 beats, plus one to fill a vector: see viterbi.py; other bars may have more
UNITS = 25  # of an LSTM layer, per direction
PADDED_UNITS = 32
GATES = 104  # 4 * 25, plus 4 to fill a vector
ZERO, ONE, TWO, HALF = np.float32(0), np.float32(1), np.float32(2), np.float32(0.5)
LOG2_E, LARGEST = np.float32(np.log2(np.e)), np.float32(126)
# Chebyshev fit of 2^r for r in [-1/2, 1/2], with a relative error of 2.6e-9
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
FUSED = {"contract"}  # the LLVM fast-math flag that rounds a multiply-add only once


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
    """Add eight frames of LANES lanes each. With a variable number of lanes, a decode takes three times as long."""
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
def first_exits(
    exits: Floats, density: Floats, variant: Integers, region: Integers, intervals: Integers, lanes: int
) -> None:
    """Fill in the exits of the beats that began before frame 0, when all states are equally probable.

    exits, density, variant, region, intervals: as for `forward`. lanes: number of lanes. Row 0 of `exits` contains the
    log-probabilities before frame 0; rows 1 ... longest interval - 1 are filled in.
    """
    for i in range(len(intervals)):
        tau = intervals[i]
        row = exits[i]
        for r in range(1, tau):
            for lane in range(lanes):
                row[lanes * r + lane] = row[lane]
        for p in range(1, tau):  # p is the position in the beat; its frame is p - tau + r
            pattern = variant[i, p] if p < region[i] else 0
            _add_frame(row[lanes * (tau - p) :], density[pattern], lanes * p)


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
    """Fill in the exits of the beats that begin within `frames` frames, starting at frame `first`.

    exits: float64 [I, rows * lanes]. Row r of tempo i contains, with one lane per beat of the bar, the log-probability
    that a beat of that tempo has ended in frame first + r - 1. density: float64 [V, frames * lanes], the log-density of
    each pattern of viterbi.Model, which also defines variant, region, intervals, transition and band. previous:
    [lanes], the lane of the preceding beat. block: number of frames processed together; at most the shortest beat, so
    that beats that begin in the same block do not depend on each other. Additions are in the same order as in madmom's
    HMM, so the sums are bit-identical.
    """
    lanes = len(previous)
    best = np.empty(lanes * block)
    for start in range(0, frames, block):
        n = lanes * min(block, frames - start)
        at = lanes * start
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

            sums = exits[i, at + lanes * intervals[i] :]
            d = density[variant[i, 0], lanes * first + at :]
            if lanes == LANES:
                for k in range(0, n, LANES):
                    for lane in range(LANES):
                        sums[k + lane] = best[k + previous[lane]] + d[k + lane]
            else:
                for k in range(0, n, lanes):
                    for lane in range(lanes):
                        sums[k + lane] = best[k + previous[lane]] + d[k + lane]
            for p in range(1, region[i]):
                _add_frame(sums, density[variant[i, p], lanes * (first + p) + at :], n)
            p = region[i]
            while lanes == LANES and p + 8 <= intervals[i]:
                _add_eight_frames(sums, density[0, lanes * (first + p) + at :], n)
                p += 8
            while p < intervals[i]:
                _add_frame(sums, density[0, lanes * (first + p) + at :], n)
                p += 1


@compiled()
def last_beat(exits: Floats, intervals: Integers, row: int, beats: Integers, lanes: int) -> tuple[float, int, int, int]:
    """Find the likeliest state in the last frame among the lanes `beats`, of `lanes` in total.

    Returns (log-probability, lane, tempo, number of frames since the beat began). row: the row of a beat that would
    begin after the last frame. If several states are equally likely, the first in madmom's order of states is returned.
    """
    best, best_lane, best_i, best_p = -np.inf, 0, 0, 0
    for lane in beats:
        for i in range(len(intervals)):
            for p in range(intervals[i]):
                value = exits[i, lanes * (row - 1 - p + intervals[i]) + lane]
                if value > best:
                    best, best_lane, best_i, best_p = value, lane, i, p
    return best, best_lane, best_i, best_p


@compiled()
def previous_tempo(exits: Floats, transition: Floats, density: float, row: int, lane: int, i: int, lanes: int) -> int:
    """Return the tempo of the beat that precedes a beat of tempo i in `row`; the first if several are equally likely,
    as in madmom.
    """
    best, best_j = -np.inf, 0
    for j in range(len(transition)):
        value = exits[j, lanes * row + lane] + transition[j, i] + density
        if value > best:
            best, best_j = value, j
    return best_j


@compiled(fastmath=FUSED)
def sigmoid(x: np.float32) -> np.float32:
    """Compute 1 / (1 + exp(-x)) in float32, with an error of at most 1e-7.

    Uses exp(x) = 2^n 2^r, with n written into the bits of the exponent.
    """
    y = min(max(x * LOG2_E, -LARGEST), LARGEST)
    n = np.floor(y + HALF)
    r = y - n
    exp: np.float32 = E0 + r * (E1 + r * (E2 + r * (E3 + r * (E4 + r * (E5 + r * E6)))))
    exp *= np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    return exp / (ONE + exp)


@compiled(fastmath=FUSED)
def tanh(x: np.float32) -> np.float32:
    """Compute tanh(x) = 2 sigmoid(2 x) - 1 in float32, with an error of at most 3e-7."""
    return TWO * sigmoid(TWO * x) - ONE


@compiled(fastmath=FUSED)
def lstm(z: Singles, b: Singles, R: Singles, p: Singles, h_out: Singles, direction: int) -> None:
    """Run one LSTM layer of one network in one direction (0 forward, 1 backward), given its input products.

    z: [K, 2 * GATES], both directions side by side; b: [GATES]; R: [UNITS, GATES]; p: [3, PADDED_UNITS]. All are
    float32. The order of the gates is i, f, o, c. Fills in this direction's half of h_out [K, 2 * UNITS]. The padding
    of vectors ends up with arbitrary numbers, which are never read.
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


@compiled(fastmath={"reassoc", "contract"})  # sums are exact (of whole numbers) or rounded later
def filtered(padded: Floats, bank: Floats, phase: int, fraction: int, step: int, whole: int, sums: Floats) -> None:
    """Fill in `sums` [n]: each output is the sum of the samples times one row (phase) of the bank. All are float64.

    padded: [samples]; bank: [phases, taps]. The first output is at sample 0 of `padded`, at `phase` plus
    `fraction` / `whole` of a phase; each following one is `step` / `whole` phases later.
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
    """Fill in `bands`, float32 [F, B]: the magnitudes of each frame, weighted and summed in bands.

    spectrum: float32 [F, 2 * bins], alternating real and imaginary parts; weights: float32 [B, width], where row b has
    the weights of band b for the bins from starts[b] on, followed by zeros; starts: int64 [B], ascending.
    """
    width = weights.shape[1]
    magnitude = np.zeros(spectrum.shape[1] // 2 + width, np.float32)
    bins = min(spectrum.shape[1] // 2, starts[-1] + width)  # no band uses the bins above
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
    except Exception as error:  # LLVM does not support this processor or is out of memory: treat Numba as missing
        AVAILABLE, reason = False, f"{type(error).__name__}: {error}"
