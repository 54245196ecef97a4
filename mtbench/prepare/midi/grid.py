"""Decide whether the notes of a clip follow the beats of the tempo map.

Many MIDI files were played freely while a metronome that nobody heard was counting: their tempo map is not that of the
music. A clip's beats are trusted only if at least 90% of its onset times are on the grid: within 1/32 of a beat (16 ms
at 120 beats/min) of a sixteenth or a triplet sixteenth. Half of all random times are on this grid, so that 16 of them
reach 90% with a probability below 0.001. The check cannot detect beats that are twice as fast or slow as the music's,
or bars that begin on the wrong beat.
"""

import numpy as np
from numpy.typing import NDArray

GRID = np.unique([*(k / 4 for k in range(5)), *(k / 6 for k in range(7))])  # within a beat
TOLERANCE = 1 / 32  # of a beat
ON_GRID = 0.9  # share of the onset times
FEWEST_ONSETS = 16  # different times; fewer may be on the grid by chance
SLOWEST, FASTEST = 30.0, 300.0  # beats/min


def share_on_grid(beats: NDArray[np.float64]) -> float:
    """Return the share of the different times, [n] in beats, that are on the grid; 0 if there are none."""
    if not len(beats):
        return 0.0
    phases = np.unique(beats) % 1
    return float(np.mean(np.abs(phases[:, None] - GRID).min(axis=1) <= TOLERANCE + 1e-9))


def trusted(onsets: NDArray[np.float64], beats: NDArray[np.float64], seconds: float) -> bool:
    """Return whether beats are true, given the onsets [n] in beats and the beats [m, 2] of a clip of `seconds`."""
    tempo = 60 * len(beats) / seconds
    enough = len(np.unique(onsets)) >= FEWEST_ONSETS
    return enough and share_on_grid(onsets) >= ON_GRID and SLOWEST <= tempo <= FASTEST
