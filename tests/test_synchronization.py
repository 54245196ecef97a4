import math

import numpy as np
import pytest

from goldens import GOLDENS, SETTINGS, seconds
from mtbench.metrics import cbs, mean_of_defined


def same(value, golden):
    return math.isnan(value) if golden is None else value == pytest.approx(golden, rel=0, abs=1e-9)


@pytest.mark.parametrize("case", GOLDENS["beat_lists"], ids=lambda case: case["name"])
def test_golden_beat_lists(case):
    for window, golden in case["cbs"].items():
        assert same(cbs(case["tracks"], max(case["durations_s"]), float(window)), golden), window


@pytest.mark.parametrize("setting", SETTINGS)
def test_golden_clips_and_aggregates(setting):
    for window in next(iter(GOLDENS["per_clip"][setting].values()))["cbs"]:
        values = {}
        for clip in GOLDENS["clips"]:
            values[clip] = cbs(seconds(setting, clip), GOLDENS["duration_s"], float(window))
            assert same(values[clip], GOLDENS["per_clip"][setting][clip]["cbs"][window]), (clip, window)
        for kind, golden in GOLDENS["aggregate"][setting].items():
            chosen = [v for clip, v in values.items() if kind in ("all", GOLDENS["clips"][clip]["kind"])]
            assert same(mean_of_defined(chosen), golden["cbs"][window]), (kind, window)


@pytest.mark.parametrize("window", [0.05, 0.07, 0.15, 1.0, 30.0])
def test_identical_tracks_are_perfectly_synchronous(window):
    beats = [0.31, 0.82, 1.33, 4.04]
    assert cbs([beats] * 4, 10.24, window) == pytest.approx(1.0, rel=0, abs=1e-9)


def test_tracks_without_common_windows_reach_the_minimum():
    # One track in each counted window: 1/V, here a third.
    assert cbs([[0.5], [1.5], [2.5]], 4.0, 1.0) == pytest.approx(1 / 3, abs=1e-9)


@pytest.mark.parametrize("tracks", [[], [[]], [[], [], []], [[0.5, 1.0], [], []], [[0.5]]])
def test_undefined_below_two_live_tracks(tracks):
    assert math.isnan(cbs(tracks, 10.24, 0.15))


def test_hand_computed():
    # Windows of 1 s; V = 3, since the fourth track is silent. Window 0 has tracks a, b, c (a twice, which counts
    # once), window 2 has a and c, window 3 has b: (3/3 + 2/3 + 1/3) / 3; windows 1 and 4 are empty.
    tracks = {"a": [0.1, 0.9, 2.0], "b": [0.2, 3.5], "c": [0.3, 2.999], "d": []}
    assert cbs(tracks, 5.0, 1.0) == pytest.approx(2 / 3, abs=1e-9)


def test_a_silent_track_does_not_count_as_disagreement():
    tracks = [[0.1, 1.1], [0.2, 1.2, 2.2]]
    assert cbs(tracks, 3.0, 1.0) == cbs([*tracks, []], 3.0, 1.0)


def test_empty_windows_are_not_counted():
    tracks = [[0.1, 1.1], [0.2, 2.2]]
    assert cbs(tracks, 3.0, 1.0) == cbs(tracks, 300.0, 1.0)


def test_windows_are_half_open():
    # A beat on an edge belongs to the window that starts there: 1.0 is with 1.5, not with 0.5.
    assert cbs([[1.0], [1.5]], 3.0, 1.0) == pytest.approx(1.0, abs=1e-9)
    assert cbs([[1.0], [0.5]], 3.0, 1.0) == pytest.approx(0.5, abs=1e-9)


def test_edges_are_the_doubles_i_w_and_i_w_plus_w():
    w = 0.15
    # 6w is one step below 5w + w, so a beat there is in windows 5 and 6, together with one of track b in each.
    # Windows that end at (i + 1) w would leave b alone in window 5: 0.75.
    assert 6 * w < 5 * w + w
    assert cbs([[6 * w], [0.8, 1.0]], 1.5, w) == pytest.approx(1.0, abs=1e-9)
    # 9w + w is one step below 10w, so a beat there is in no window, and b is alone in both.
    assert 9 * w + w < 10 * w
    assert cbs([[9 * w + w], [1.4, 1.6]], 3.0, w) == pytest.approx(0.5, abs=1e-9)


def test_beats_past_the_last_window_make_a_track_live_but_count_nowhere():
    # L = 2.5, w = 1: ceil(1.5) + 1 = 3 windows, the last overhanging to 3.0.
    assert cbs([[0.5], [2.9]], 2.5, 1.0) == pytest.approx(0.5, abs=1e-9)
    assert cbs([[0.5, 3.0], [0.6, 3.0]], 2.5, 1.0) == pytest.approx(1.0, abs=1e-9)
    assert cbs([[3.0], [3.0]], 2.5, 1.0) == 0.0
    # Track c lowers the score through V alone: 2/3.
    assert cbs([[0.5], [0.6], [9.0]], 2.5, 1.0) == pytest.approx(2 / 3, abs=1e-9)


def test_a_clip_shorter_than_the_window_is_one_window():
    assert cbs([[0.1], [0.9]], 0.5, 1.0) == pytest.approx(1.0, abs=1e-9)


def test_repeated_times_are_allowed():
    assert cbs([[0.5, 0.5], [0.5]], 2.0, 1.0) == cbs([[0.5], [0.5]], 2.0, 1.0)


def test_invariant_under_the_order_of_tracks_and_a_common_unit_of_time_only():
    rng = np.random.default_rng(3)
    tracks = [np.sort(rng.uniform(0, 8, 12)) for _ in range(4)]
    value = cbs(tracks, 8.0, 0.25)
    assert cbs(tracks[::-1], 8.0, 0.25) == value
    assert cbs(dict(zip("dcba", tracks)), 8.0, 0.25) == value
    # Powers of two do not affect rounding: the same clip in another unit, and shifted by whole windows.
    assert cbs([2 * beats for beats in tracks], 16.0, 0.5) == value
    on_grid = [np.round(beats * 64) / 64 for beats in tracks]
    assert cbs([beats + 2 for beats in on_grid], 10.0, 0.25) == cbs(on_grid, 8.0, 0.25)
    # A shift that is not a multiple of the window moves beats across edges.
    assert cbs([[0.9], [1.1]], 3.0, 1.0) != cbs([[1.0], [1.2]], 3.0, 1.0)


@pytest.mark.parametrize("name", ["duration", "window"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_duration_or_window(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be a positive"):
        cbs([[0.5], [0.5]], **{"duration": 2.0, "window": 1.0, name: value})
