"""The loops that Numba compiles: nothing here is needed to get a result, only to get it fast.

Every function has a plain NumPy form beside the code that calls it, taken where Numba cannot be imported
(``AVAILABLE`` is False). A function is compiled when it is first called and kept on disk: in ``__pycache__`` beside
this file, or in the user's cache folder where that cannot be written. One thread; callers run processes.
"""

import numpy as np

try:
    from numba import njit
except Exception as error:  # absent, or made for another NumPy or Python: it says so in many ways
    AVAILABLE, reason = False, f"{type(error).__name__}: {error}"

    def njit(**options):
        return lambda function: function
else:
    AVAILABLE, reason = True, ""


def compiled(**options):
    """njit without the checks that keep loops from being vectorised (``1 / 0`` is inf, as in NumPy)."""
    def decorate(function):
        try:
            return njit(error_model="numpy", cache=True, **options)(function)
        except RuntimeError:  # no folder for the cache can be written: compile in every process
            return njit(error_model="numpy", **options)(function)
    return decorate


LANES = 8  # beats of the bars of 3 and 4, and one to fill a vector: see viterbi.py


@compiled()
def _keep_larger(best, exits, log_a, n):
    for k in range(n):
        value = exits[k] + log_a
        best[k] = best[k] if best[k] > value else value


@compiled()
def _keep_largest_of_four(best, exits0, exits1, exits2, exits3, log_a0, log_a1, log_a2, log_a3, n):
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
def _add_frame(sums, d, n):
    for k in range(n):
        sums[k] += d[k]


@compiled()
def _add_eight_frames(sums, d, n):
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
def first_exits(exits, density, variant, region, intervals):
    """Beats that began before frame 0: their exits, from equal probabilities (given in row 0) before frame 0."""
    for i in range(len(intervals)):
        tau = intervals[i]
        row = exits[i]
        for r in range(1, tau):
            for lane in range(LANES):
                row[LANES * r + lane] = row[lane]
        for p in range(1, tau):  # the position in the beat; its frame is p - tau + r
            pattern = variant[i, p] if p < region[i] else 0
            _add_frame(row[LANES * (tau - p):], density[pattern], LANES * p)


@compiled()
def forward(exits, density, variant, region, intervals, transition, band, previous, first, frames, block):
    """The beats that begin in `frames` frames from frame `first` on: fill in their exits.

    exits: float64 [I, rows * 8]; row r of tempo i holds, a lane a beat of the bar, the log-probability in frame
    first + r - 1 of having come to the end of a beat then, with that tempo. density: [V, frames * 8]. Within a
    block (no beat is shorter) the beats that begin do not depend on each other, so all loops run over the frames
    and lanes of a block at once. The order of the additions is that of madmom's HMM: bit for bit the same sums.
    """
    best = np.empty(LANES * block)
    for start in range(0, frames, block):
        n = LANES * min(block, frames - start)
        at = LANES * start
        for i in range(len(intervals)):
            best[:n] = -np.inf
            j, stop = band[i]
            while j + 4 <= stop:
                _keep_largest_of_four(best, exits[j, at:], exits[j + 1, at:], exits[j + 2, at:], exits[j + 3, at:],
                                      transition[j, i], transition[j + 1, i], transition[j + 2, i],
                                      transition[j + 3, i], n)
                j += 4
            while j < stop:
                _keep_larger(best, exits[j, at:], transition[j, i], n)
                j += 1

            sums = exits[i, at + LANES * intervals[i]:]
            d = density[variant[i, 0], LANES * first + at:]
            for k in range(0, n, LANES):
                for lane in range(LANES):
                    sums[k + lane] = best[k + previous[lane]] + d[k + lane]
            for p in range(1, region[i]):
                _add_frame(sums, density[variant[i, p], LANES * (first + p) + at:], n)
            p = region[i]
            while p + 8 <= intervals[i]:
                _add_eight_frames(sums, density[0, LANES * (first + p) + at:], n)
                p += 8
            while p < intervals[i]:
                _add_frame(sums, density[0, LANES * (first + p) + at:], n)
                p += 1


@compiled()
def last_beat(exits, intervals, row, lanes):
    """The likeliest state in the last frame, of the beats `lanes`: (log-probability, lane, tempo, frames before).

    row: that of a beat that would begin after the last frame. Of equals the first in madmom's order of states.
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
def previous_tempo(exits, transition, density, row, lane, i):
    """The tempo of the beat before one of tempo i that begins in `row`; of equals the first, as in madmom."""
    best, best_j = -np.inf, 0
    for j in range(len(transition)):
        value = exits[j, LANES * row + lane] + transition[j, i] + density
        if value > best:
            best, best_j = value, j
    return best_j
