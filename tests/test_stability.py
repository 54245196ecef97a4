import math

import numpy as np
import pytest

from goldens import GOLDENS, SETTINGS, seconds
from mtbench.metrics import cbd, cbs, folder_irs, irs, mean_of_defined


def same(value, golden):
    return math.isnan(value) if golden is None else value == pytest.approx(golden, rel=0, abs=1e-9)


@pytest.mark.parametrize("case", GOLDENS["beat_lists"], ids=lambda case: case["name"])
def test_golden_beat_lists(case):
    assert all(map(same, map(irs, case["tracks"]), case["irs_std"]))


@pytest.mark.parametrize("setting", SETTINGS)
def test_golden_clips_and_aggregates(setting):
    clips = {clip: [irs(beats) for beats in seconds(setting, clip)] for clip in GOLDENS["clips"]}
    for clip, values in clips.items():
        assert all(map(same, values, GOLDENS["per_clip"][setting][clip]["irs_std"])), clip
    for kind, golden in GOLDENS["aggregate"][setting].items():
        chosen = [v for clip, v in clips.items() if kind in ("all", GOLDENS["clips"][clip]["kind"])]
        by_stem = list(zip(*chosen))
        assert same(folder_irs(by_stem), golden["irs"]), kind
        assert all(map(same, map(mean_of_defined, by_stem), golden["irs_per_stem"])), kind


def test_even_beats_are_perfectly_stable():
    assert irs(np.arange(20) * 0.5) == 0.0


def test_two_beats_have_one_interval_and_no_deviation():
    assert irs([1.0, 1.7]) == 0.0


@pytest.mark.parametrize("beats", [[], [3.0], np.empty(0)])
def test_undefined_below_two_beats(beats):
    assert math.isnan(irs(beats))


def test_hand_computed():
    # Intervals 1, 3: mean 2, population deviation 1 (the sample deviation would be sqrt 2).
    assert irs([0.0, 1.0, 4.0]) == 1.0
    # Intervals 0.5, 0.5, 0.5, 0.9: mean 0.6, squared deviations 3 x 0.01 + 0.09 = 0.12, over 4 = 0.03.
    assert irs([0.0, 0.5, 1.0, 1.5, 2.4]) == pytest.approx(math.sqrt(0.03), rel=1e-12)


def test_repeated_times_are_allowed():
    assert irs([1.0, 1.0, 3.0]) == 1.0  # intervals 0, 2


def test_invariant_under_shift_and_proportional_to_time():
    beats = np.array([0.25, 0.75, 1.5, 1.75, 3.0])
    assert irs(beats + 4.0) == pytest.approx(irs(beats), rel=1e-12)
    assert irs(beats * 1.5) == pytest.approx(1.5 * irs(beats), rel=1e-12)
    # A time reversal keeps the set of intervals.
    assert irs(3.0 - beats[::-1]) == pytest.approx(irs(beats), rel=1e-12)


def test_folder_averages_clips_first_then_stems():
    nan = float("nan")
    # bass (1 + 3) / 2 = 2, drums 5, guitar without a value: (2 + 5) / 2. A mean over all clips would give 3.
    assert folder_irs({"bass": [1.0, 3.0, nan], "drums": [nan, 5.0], "guitar": [nan, nan]}) == 3.5
    assert math.isnan(folder_irs({"bass": [nan], "drums": []}))
    assert math.isnan(folder_irs({}))


def test_mean_of_defined():
    assert mean_of_defined([1.0, float("nan"), 2.0]) == 1.5
    assert math.isnan(mean_of_defined([]))
    assert math.isnan(mean_of_defined(iter([float("nan")])))


@pytest.mark.parametrize(
    "beats, reason",
    [
        ([0.5, float("nan")], "time 1 is nan"),
        ([0.5, float("inf")], "time 1 is inf"),
        ([0.5, 0.4], r"not sorted \(0\.5 s is followed by 0\.4 s\)"),
        ([-0.1, 0.4], r"negative time -0\.1"),
        ([[0.1, 0.2]], r"shape \(1, 2\)"),
        (0.5, r"shape \(\)"),
        (["early", "late"], "not a list of times"),
        ([[0.1], [0.2, 0.3]], "not a list of times"),
    ],
)
def test_bad_beats(beats, reason):
    with pytest.raises(ValueError, match=f"^beats: .*{reason}"):
        irs(beats)


@pytest.mark.parametrize("metric", [lambda tracks: cbs(tracks, 2.0, 1.0), cbd], ids=["cbs", "cbd"])
@pytest.mark.parametrize("beats", [[float("nan")], [0.5, 0.4], [-0.1]])
def test_bad_beats_are_named_by_track(metric, beats):
    with pytest.raises(ValueError, match="beats of track 'drums'"):
        metric({"bass": [0.5], "drums": beats})
    with pytest.raises(ValueError, match="beats of track 1"):
        metric([[0.5], beats])


def test_input_is_not_modified():
    beats = np.array([0, 1, 4])
    irs(beats)
    assert beats.tolist() == [0, 1, 4]
