import math

import numpy as np
import pytest

from goldens import GOLDENS, SETTINGS, seconds
from mtbench.metrics import cbd, cbd_per_reference, mean_of_defined


def same(statistics, golden):
    return all(
        math.isnan(value) if golden[name] is None else value == pytest.approx(golden[name], rel=0, abs=1e-9)
        for name, value in zip(("mean", "std", "median"), statistics)
    )


@pytest.mark.parametrize("case", GOLDENS["beat_lists"], ids=lambda case: case["name"])
def test_golden_beat_lists(case):
    assert same(cbd(case["tracks"]), case["cbd"])
    assert all(map(same, cbd_per_reference(case["tracks"]).values(), case["cbd_per_reference"]))


@pytest.mark.parametrize("setting", SETTINGS)
def test_golden_clips_and_aggregates(setting):
    values = {}
    for clip in GOLDENS["clips"]:
        tracks = seconds(setting, clip)
        golden = GOLDENS["per_clip"][setting][clip]
        values[clip] = cbd(tracks)
        assert same(values[clip], golden["cbd"]), clip
        if "cbd_per_reference" in golden:
            assert all(map(same, cbd_per_reference(tracks).values(), golden["cbd_per_reference"])), clip
    for kind, golden in GOLDENS["aggregate"][setting].items():
        chosen = [v for clip, v in values.items() if kind in ("all", GOLDENS["clips"][clip]["kind"])]
        assert same(map(mean_of_defined, zip(*chosen)), golden["cbd"]), kind


def test_identical_tracks_have_no_dispersion():
    assert cbd([[0.31, 0.82, 1.33, 4.04]] * 3) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "tracks",
    [
        [],
        [[0.5, 1.0]],  # no other track
        [[0.5, 1.0], [], []],  # no target with a beat
        [[0.5], [0.6]],  # no reference with two beats
        [[0.0, 1.0], [5.0, 5.2]],  # no beat within half an interval on either side
    ],
)
def test_undefined_without_a_pair(tracks):
    assert all(map(math.isnan, cbd(tracks)))


def test_hand_computed():
    tracks = {"a": [0.0, 1.0, 3.0], "b": [0.25, 0.75, 2.5]}
    # a, half-intervals 0.5 (before the first and after it) and 1 (the rest). 0.0 -> 0.25, 0.25/0.5 = 0.5;
    # 1.0 -> 0.75, 0.25/0.5 = 0.5; 3.0 -> 2.5, 0.5/1 = 0.5.
    # b, half-intervals 0.25 and 0.875. 0.25 -> 0.0, 0.25/0.25 = 1 (the left edge counts); 0.75 -> 1.0,
    # 0.25/0.875 = 2/7; 2.5 -> 3.0, 0.5/0.875 = 4/7.
    references = cbd_per_reference(tracks)
    assert references["a"] == (0.5, 0.0, 0.5)
    b = np.array([1, 2 / 7, 4 / 7])
    assert references["b"] == pytest.approx((b.mean(), math.sqrt(np.mean((b - b.mean()) ** 2)), 4 / 7), rel=1e-12)
    assert cbd(tracks) == pytest.approx([(x + y) / 2 for x, y in zip(references["a"], references["b"])], rel=1e-12)


def test_errors_of_all_targets_are_pooled():
    # Reference 0, 2, 4 with half-intervals 1. Target b is off by 0.5 once, c by 0, 0 and 0.25: pooled
    # 0.5, 0, 0, 0.25 (mean 0.1875), where the mean of the two targets' means would be 0.2917.
    pooled = cbd_per_reference([[0.0, 2.0, 4.0], [0.5], [0.0, 2.0, 4.25]])[0]
    assert pooled.mean == 0.1875
    assert pooled.median == 0.125
    assert pooled.std == pytest.approx(math.sqrt((0.3125**2 + 2 * 0.1875**2 + 0.0625**2) / 4), rel=1e-12)


def test_a_tie_goes_to_the_later_beat():
    # 2.0 is midway between 1.5 and 2.5. Its half-intervals are 1 before and 2 after: the later match gives
    # 0.5 / 2, the earlier would give 0.5 / 1. The other reference beats, 0.0 and 6.0, have no match in their windows.
    assert cbd_per_reference([[0.0, 2.0, 6.0], [1.5, 2.5]])[0].mean == 0.25
    # If it is one step nearer, the earlier beat is the match.
    assert cbd_per_reference([[0.0, 2.0, 6.0], [np.nextafter(1.5, 2), 2.5]])[0].mean == pytest.approx(0.5)


def test_the_window_includes_only_its_left_edge():
    assert cbd_per_reference([[2.0, 4.0], [1.0]])[0] == (1.0, 0.0, 1.0)
    assert math.isnan(cbd_per_reference([[2.0, 4.0], [np.nextafter(1.0, 0)]])[0].mean)
    assert math.isnan(cbd_per_reference([[2.0, 4.0], [5.0]])[0].mean)
    assert cbd_per_reference([[2.0, 4.0], [np.nextafter(5.0, 0)]])[0].mean == pytest.approx(1.0)


def test_the_window_is_asymmetric_like_the_intervals():
    # 1.0, with intervals 1 and 4 around it, has a window from 0.5 before to 2 after.
    reference = [0.0, 1.0, 5.0]
    assert cbd_per_reference([reference, [2.5]])[0].mean == 0.75
    assert cbd_per_reference([[10.0, 14.0, 15.0], [12.5]])[0].mean == 0.75  # mirrored: 14.0 has 2 before and 0.5 after


def test_a_target_beat_midway_belongs_only_to_the_later_reference_beat():
    # Both 2.0 and 4.0 match it; windows are half-open, so one error is pooled, not two (0.5 would show in std).
    assert cbd_per_reference([[0.0, 2.0, 4.0], [0.5, 3.0]])[0] == (0.75, 0.25, 0.75)


def test_repeated_times():
    # Of the two beats at 1.0, only the later has a window, [1.0, 1.5), that contains 1.25.
    assert cbd_per_reference([[0.0, 1.0, 1.0, 2.0], [1.25]])[0] == (0.5, 0.0, 0.5)
    # A track with only zero intervals has no matches, and there is no division by zero.
    with np.errstate(all="raise"):
        references = cbd_per_reference([[1.0, 1.0], [1.0, 2.0]])
    assert all(map(math.isnan, references[0]))
    assert references[1] == (0.0, 0.0, 0.0)


def test_invariant_under_shift_unit_and_order():
    rng = np.random.default_rng(5)
    tracks = [np.sort(rng.uniform(0, 8, n)) for n in (12, 15, 1, 9)]
    value = cbd(tracks)
    assert cbd([beats + 3 for beats in tracks]) == pytest.approx(value, rel=1e-9)
    assert cbd([beats * (2 / 3) for beats in tracks]) == pytest.approx(value, rel=1e-9)
    assert cbd([tracks[i] for i in (2, 0, 3, 1)]) == pytest.approx(value, rel=1e-12)
    assert cbd(dict(zip("abcd", tracks))) == value
    assert all(0 <= statistic <= 1 for statistic in value)
    # CBD measures a shift of one track alone.
    assert cbd([tracks[0] + 0.05, *tracks[1:]]) != pytest.approx(value, rel=1e-3)


def test_a_constant_delay_is_its_share_of_half_an_interval():
    beats = np.arange(16) * 0.5
    # 50 ms of 250 ms on either side.
    assert cbd([beats, beats + 0.05]) == pytest.approx((0.2, 0.0, 0.2), abs=1e-12)


def test_a_silent_track_changes_nothing():
    tracks = [[0.1, 1.0, 2.2], [0.2, 1.3]]
    assert cbd([*tracks, []]) == cbd(tracks)
