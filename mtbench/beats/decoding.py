"""Decode beat and downbeat activations into beats with the bar-pointer hidden Markov model.

Krebs, Böck and Widmer, "An Efficient State Space Model for Joint Tempo and Meter Tracking", ISMIR 2015; Böck, Krebs and
Widmer, ISMIR 2016. By default there are two models, for bars of 3 and of 4 beats, each with 60 tempi between 30 and 300
BPM; the more likely path is chosen (viterbi.py). Each beat is the frame with the largest activation in a decoded beat
region. Beats and positions are exactly those of madmom 0.16.1 for the same activations.

Activations are always at 100 frames/s, regardless of ``fps``. There are two ways to decode them at another rate:

- ``timebase="published"``: frame k is treated as time k / fps, as in the scripts behind published numbers. In real
  time, the tempo range is then 30-300 BPM times 100 / fps, and the returned beat times are real times multiplied by
  100 / fps.
- ``timebase="real"``: the activations are interpolated to ``fps``, so that times are real seconds. Its former name
  ``"true"`` is still accepted.
"""

from math import isfinite

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtbench.beats import viterbi
from mtbench.beats.frontend import FRAME_RATE
from mtbench.beats.viterbi import DEFAULT_METER, Meter
from mtbench.settings import TIMEBASES, canonical_timebase

THRESHOLD = 0.05  # lower activations at either end are cut off, as in madmom
LARGEST_FPS = 1000  # frames/s; limits the size of the model's tables
MOST_BEATS, LONGEST_BEAT = 32, 6000  # beats of all bar lengths together, and frames per beat; for the same reason


def decode(
    activations: NDArray[np.float32],
    fps: float = 100,
    transition_lambda: float = 100,
    timebase: str = "real",
    meter: Meter = DEFAULT_METER,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Decode activations into beats.

    Parameters: ``activations`` float32 [K, 2], probabilities of beat and downbeat at 100 frames/s; ``fps``, the frame
    rate of the model; ``transition_lambda`` >= 0, where larger values keep the tempo steadier; ``timebase``, see above;
    ``meter``, the possible bar lengths and tempi, like madmom's beats_per_bar, min_bpm and max_bpm.
    Returns (times float64 [n] in seconds, positions int64 [n] of the beats in the bar, from 1); both are empty if no
    activation reaches 0.05. Raises ValueError for activations of another shape or outside [0, 1], or for which no path
    has a probability above zero; also for settings that `check_settings` refuses.
    """
    timebase = canonical_timebase(timebase)
    check_settings(fps, transition_lambda, timebase, meter)
    activations = _checked_activations(activations)
    if timebase == "real":
        activations = to_frame_rate(activations, fps)
    frames, positions = decode_frames(activations, fps, transition_lambda, meter)
    return frames / float(fps), positions


def check_settings(fps: float, transition_lambda: float, timebase: str, meter: Meter = DEFAULT_METER) -> None:
    """Raise ValueError, naming the setting, for a setting that `decode` does not accept.

    These are: ``fps`` below max_bpm / 60 (a beat would be shorter than a frame; 5 by default) or above 1000, a negative
    ``transition_lambda``, an unknown ``timebase``; bar lengths that are not positive or more than 32 beats in total;
    and tempi that are not positive, in the wrong order, or so slow that a beat has more than 6000 frames.
    """
    beats, min_bpm, max_bpm = meter
    if not beats or any(not isinstance(n, int) or n < 1 for n in beats) or sum(beats) > MOST_BEATS:
        raise ValueError(f"beats_per_bar must be positive whole numbers, {MOST_BEATS} in total (got {list(beats)})")
    if not (isfinite(min_bpm) and isfinite(max_bpm) and 0 < min_bpm <= max_bpm):
        raise ValueError(f"min_bpm must be positive and not larger than max_bpm (got {min_bpm:g} and {max_bpm:g})")
    if not (isfinite(fps) and max_bpm / 60 <= fps <= LARGEST_FPS):
        raise ValueError(f"fps must be from {max_bpm / 60:g} to {LARGEST_FPS} frames/s (got {fps})")
    if 60 * fps / min_bpm > LONGEST_BEAT:
        raise ValueError(f"min_bpm must be at least {60 * fps / LONGEST_BEAT:g} at {fps:g} frames/s (got {min_bpm:g})")
    if not (isfinite(transition_lambda) and transition_lambda >= 0):
        raise ValueError(f"transition_lambda must be finite and not negative (got {transition_lambda})")
    if canonical_timebase(timebase) not in TIMEBASES:
        raise ValueError(f"timebase must be one of {', '.join(TIMEBASES)} (got {timebase!r})")


def to_frame_rate(activations: NDArray[np.float32], fps: float) -> NDArray[np.float32]:
    """Interpolate float32 [K, 2] linearly from times k / 100 to j / fps, j = 0 ... floor((K - 1) fps / 100).

    The result is computed in float64 and rounded once to float32. Values at coinciding times are unchanged.
    """
    if fps == FRAME_RATE:
        return activations
    last = len(activations) - 1
    k = np.arange(int(np.floor(last * fps / FRAME_RATE)) + 1) * float(FRAME_RATE) / fps
    left = np.minimum(k.astype(np.int64), max(last - 1, 0))
    right = np.minimum(left + 1, last)
    weight = (k - left)[:, None]
    interpolated: NDArray[np.float64] = (1 - weight) * activations[left] + weight * activations[right]
    return interpolated.astype(np.float32)


def decode_frames(
    activations: NDArray[np.float32], fps: float, transition_lambda: float, meter: Meter = DEFAULT_METER
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Decode activations float32 [K, 2] at ``fps``.

    Returns (beat frames int64 [n], positions in the bar int64 [n]). Raises ValueError if no path has a probability
    above zero.
    """
    above = np.nonzero(activations >= THRESHOLD)[0]
    if not above.any():  # as in madmom: if frame 0 is the only one, it does not count either
        return np.empty(0, np.int64), np.empty(0, np.int64)
    first = above[0]
    activations = np.ascontiguousarray(activations[first : above[-1] + 1])

    tables = viterbi.model(fps, transition_lambda, meter)
    path, _ = viterbi.likeliest_beats(activations, tables)
    if path is None:
        raise ValueError("activations allow no path: beats are certain (1) at frames that no tempo of the model allows")
    lengths = np.diff(np.maximum(path.first, 0), append=len(activations))  # in frames, of the beats in the path
    position = np.arange(len(activations)) - np.repeat(path.first, lengths)
    is_beat = (position < np.repeat(tables.lane_region[path.lane, path.tempo], lengths)).astype(np.int8)
    edges = np.flatnonzero(np.diff(is_beat, prepend=0, append=0))
    beats = np.array(
        [
            left + np.argmax(activations[left:right]) // 2  # the row of the largest value in either column
            for left, right in edges.reshape(-1, 2)
        ],
        np.int64,
    )
    positions = 1 + np.repeat(tables.beat[path.lane], lengths)[beats]
    return first + beats, positions


def _checked_activations(activations: ArrayLike) -> NDArray[np.float32]:
    activations = np.asarray(activations, np.float32)
    if activations.ndim != 2 or activations.shape[1] != 2 or len(activations) == 0:
        raise ValueError(f"activations must be of shape [K, 2] with K > 0 (got {list(activations.shape)})")
    if not ((activations >= 0) & (activations <= 1)).all():  # NaN fails this test, too
        raise ValueError("activations must be probabilities within [0, 1], without NaN")
    return activations
