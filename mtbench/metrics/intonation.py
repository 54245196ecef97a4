"""Tuning: the distance of a clip's partials from equal temperament at A = 440 Hz, in cents.

Partials are the peaks of the magnitude spectrum between 80 and 2000 Hz, located with a parabola through the logarithms
of the magnitudes. A partial at f Hz is a point at the angle 2 pi 12 log2(f / 440) on a circle whose circumference is
one semitone. The clip's tuning is the angle of the mean of these points, weighted by magnitude. Shifts by whole
semitones have no effect. Based on Dressler and Streich, "Tuning frequency estimation using circular statistics" (ISMIR
2007).
"""

import numpy as np
from numpy.typing import ArrayLike

from mtbench.metrics.record import Metric, Tolerance

WINDOW = 0.512  # s: long enough to separate partials one semitone apart from 80 Hz upwards
BAND = (80.0, 2000.0)  # Hz
FLOOR = 0.02  # relative to the loudest peak; lower peaks are treated as noise
AGREE = 0.2  # minimum length of the mean vector: 1 if all partials agree, about 0.03 for noise


def tuning(wave: ArrayLike, rate: int) -> float:
    """Return the distance in cents, 0 to 50, of a waveform [samples] at `rate` Hz.

    Returns NaN if the tuning cannot be determined: the waveform is shorter than 0.512 s or silent, or its partials do
    not agree.
    """
    wave = np.asarray(wave, np.float64)
    size = round(WINDOW * rate)
    if len(wave) < size or not wave.any():
        return float("nan")
    frames = np.lib.stride_tricks.sliding_window_view(wave, size)[:: size // 2]
    magnitude = np.abs(np.fft.rfft(frames * np.hanning(size)))
    left, peak, right = magnitude[:, :-2], magnitude[:, 1:-1], magnitude[:, 2:]
    frame, column = np.nonzero((peak > left) & (peak >= right) & (peak > FLOOR * magnitude.max()))
    a, b, c = (np.log(side[frame, column] + 1e-12) for side in (left, peak, right))
    frequency = (column + 1 + (a - c) / (2 * (a - 2 * b + c))) * rate / size
    kept = (frequency > BAND[0]) & (frequency < BAND[1])
    weight = peak[frame, column][kept]
    if not len(weight):
        return float("nan")
    mean = np.average(np.exp(2j * np.pi * 12 * np.log2(frequency[kept] / 440)), weights=weight)
    return float(abs(np.angle(mean)) * 50 / np.pi) if abs(mean) > AGREE else float("nan")


METRICS = (
    Metric(
        name="tuning",
        title="Tuning",
        unit="cents",
        direction=-1,
        version="1",
        needs="audio",
        scope="track",
        compute=tuning,
        digits=1,
        about="Distance of a track's partials from equal temperament at A = 440 Hz",
        paper="Dressler and Streich, ISMIR 2007",
        most=50.0,
        tolerance=Tolerance(5.0, 0.0),
        place=70,
        skips=("drums",),
    ),
)
