"""Tuning of tones with a known distance from equal temperament."""

import numpy as np
import pytest

from mtbench.metrics.intonation import tuning

RATE = 16000
TIME = np.arange(4 * RATE) / RATE


def chord(cents, keys=(-12, -5, 4, 7), gain=0.1):
    """Return sines at these distances in semitones from A = 440 Hz, all sharp by `cents`."""
    return gain * sum(np.sin(2 * np.pi * 440 * 2 ** ((key + cents / 100) / 12) * TIME + key) for key in keys)


@pytest.mark.parametrize("cents, distance", [(0, 0), (7, 7), (-20, 20), (45, 45), (60, 40), (100, 0), (-130, 30)])
def test_a_chord_out_of_tune(cents, distance):
    assert tuning(chord(cents), RATE) == pytest.approx(distance, abs=0.5)


def test_neither_gain_nor_rate_matters():
    assert tuning(chord(20, gain=1e-4), RATE) == pytest.approx(tuning(chord(20), RATE), abs=1e-3)
    half = tuning(chord(20, keys=(-12, -5))[::2], RATE // 2)
    assert half == pytest.approx(20, abs=0.5)


@pytest.mark.parametrize(
    "wave",
    [np.zeros(40000), np.ones(100), np.random.default_rng(0).standard_normal(80000)],
    ids=["silence", "too short", "noise"],
)
def test_audio_without_tuning(wave):
    assert np.isnan(tuning(wave, RATE))
