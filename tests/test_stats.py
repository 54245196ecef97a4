"""Intervals, comparisons and ranks, checked by hand, against peers, and in simulations with known answers."""

import numpy as np
import pytest
from scipy.stats import ttest_ind

from mtbench import stats
from mtbench.metrics import fad

RANDOM = np.random.default_rng


def skewed(random, *shape):
    return random.exponential(1.0, shape)


def test_value_and_standard_error_of_one_column():
    found = stats.bootstrap([1.0, 2.0, np.nan, 3.0, 6.0])
    assert (found.value, found.n) == (3.0, 4)  # s^2 = (4 + 1 + 0 + 9) / 3
    assert found.se == pytest.approx(np.sqrt(14 / 3 / 4))


def test_value_and_standard_error_over_columns():
    # Columns of 3 and 2 values: means 2 and 5, so 3.5. Clip by clip the influences are (v - 2) / 3 * sqrt(3 / 2) / 2
    # and (v - 5) / 2 * sqrt(2) / 2: those of the second clip are summed.
    clips = np.array([[1.0, np.nan], [2.0, 4.0], [3.0, 6.0]])
    a, b = np.sqrt(3 / 2) / 6, np.sqrt(2) / 4
    found = stats.bootstrap(clips)
    assert found.value == 3.5
    assert found.se == pytest.approx(np.sqrt(a**2 + b**2 + (a + b) ** 2))


def test_the_general_code_agrees_with_the_fast_code():
    # A column of NaN has no effect, but forces the general code to run.
    clips = skewed(RANDOM(0), 12)
    slow = stats._weighted([(1, np.sort(clips)[:, None])], stats._draws(12).astype(float))
    found = stats.bootstrap(clips)
    np.testing.assert_allclose(found.scores, slow[0], rtol=1e-12)
    np.testing.assert_allclose(found.variances, slow[1], rtol=1e-9, atol=1e-15)


def test_symmetric_clips_get_students_interval():
    # For the mean of many normal values, bootstrap-t agrees with Student's t up to chance.
    values = RANDOM(1).standard_normal(200)
    low, high = stats.interval(stats.bootstrap(values))
    half = 1.972 * values.std(ddof=1) / np.sqrt(200)  # Student's 97.5% quantile at 199 degrees of freedom
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_order_shift_and_gain():
    random = RANDOM(2)
    clips = skewed(random, 20, 3)
    clips[random.random(clips.shape) < 0.2] = np.nan
    original = stats.bootstrap(clips)
    again = stats.bootstrap(random.permutation(clips))
    assert (again.value, again.se, stats.interval(again)) == (original.value, original.se, stats.interval(original))
    moved = stats.interval(stats.bootstrap(5 * clips + 7))
    assert moved == pytest.approx([5 * end + 7 for end in stats.interval(original)])


@pytest.mark.parametrize(
    "clips, value, se",
    [
        ([], np.nan, np.nan),
        ([np.nan, np.nan], np.nan, np.nan),
        ([2.0], 2.0, np.nan),
        ([2.0, np.nan], 2.0, np.nan),
        ([0.1, 0.1, 0.1], 0.1, 0.0),
        ([0.0, 0.0], 0.0, 0.0),
        ([[1.0, 1.0], [2.0, np.nan]], 1.25, np.nan),
    ],
)
def test_without_spread_there_is_no_interval(clips, value, se):
    found = stats.bootstrap(np.array(clips, float))
    assert (found.value, found.se) == pytest.approx((value, se), nan_ok=True)
    assert np.isnan(stats.interval(found)).all()
    other = stats.bootstrap([1.0, 2.0, 4.0])
    assert np.isnan(stats.difference(found, other).p) == np.isnan(se)


def test_one_outlier_does_not_blow_up_the_interval():
    low, high = stats.interval(stats.bootstrap([1.0] * 31 + [0.0]))  # a third of the resamples have no spread
    assert 0.7 < low < 31 / 32 < high < 1.05


def test_differences_without_spread_have_exact_p():
    ones, twos = stats.bootstrap([1.0] * 4), stats.bootstrap([2.0] * 4)
    assert stats.difference(ones, twos).p == pytest.approx(
        2 / 70
    )  # 2 of the 70 ways to halve eight clips are as extreme
    assert stats.difference(ones, ones).p == 1
    found = stats.paired_difference([1.0, 2.0, 4.0, 3.0, 5.0], [0.5, 1.5, 3.5, 2.5, 4.5])
    assert found.value == 0.5 and found.p == pytest.approx(2 / 2**5) and np.isnan(found.low)
    assert stats.paired_difference([1.0, 2.0], [1.0, 2.0])[0::3] == (0, 1)


def test_interval_and_p_agree():
    random = RANDOM(3)
    seen = set()
    for shift in np.linspace(0, 2, 41):
        a, b = skewed(random, 16) + shift, skewed(random, 16)
        for found in (stats.difference(stats.bootstrap(a), stats.bootstrap(b)), stats.paired_difference(a, b)):
            assert (found.p < 0.05) == (not found.low <= 0 <= found.high)
            seen.add(found.p < 0.05)
    assert seen == {True, False}


def test_p_is_near_welchs_for_normal_clips():
    random = RANDOM(4)
    a, b = random.standard_normal(100), 2 * random.standard_normal(60) + 0.5
    assert stats.difference(stats.bootstrap(a), stats.bootstrap(b)).p == pytest.approx(
        ttest_ind(a, b, equal_var=False).pvalue, abs=0.02
    )


def test_pairing_narrows_correlated_scores():
    random = RANDOM(5)
    given = skewed(random, 32)
    a, b = given + 0.1 * skewed(random, 32) + 0.1, given + 0.1 * skewed(random, 32)
    paired, apart = stats.paired_difference(a, b), stats.difference(stats.bootstrap(a), stats.bootstrap(b))
    assert paired.value == pytest.approx(apart.value) == pytest.approx(a.mean() - b.mean())
    assert paired.high - paired.low < 0.3 * (apart.high - apart.low)
    assert paired.p < 0.05 < apart.p
    with pytest.raises(ValueError, match="a has 32, b has 31"):
        stats.paired_difference(a, b[1:])


def test_paired_with_gaps_uses_the_values_that_both_have():
    random = RANDOM(6)
    a, b = skewed(random, 20, 4), skewed(random, 20, 4)
    a[3, 1] = a[5] = b[7, 0] = np.nan
    both = [np.where(np.isnan(a) | np.isnan(b), np.nan, one) for one in (a, b)]
    assert stats.paired_difference(a, b).value == pytest.approx(
        stats.bootstrap(both[0]).value - stats.bootstrap(both[1]).value
    )
    equal = np.where(
        b > np.quantile(b, 0.75), np.nan, b
    )  # equally good on every clip, but without values for the hard ones
    assert stats.paired_difference(equal, b).value == 0 and stats.paired_difference(equal, b).p == 1
    nothing = stats.paired_difference([1, 2, np.nan, np.nan], [np.nan, np.nan, 3, 4])
    assert np.isnan(nothing.value) and np.isnan(nothing.p)
    order = random.permutation(20)
    assert stats.paired_difference(a[order], b[order]) == stats.paired_difference(a, b)


def test_holm():
    # Sorted 0.01, 0.02, 0.03, 0.04, times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.04, made non-decreasing.
    assert stats.holm([0.03, 0.01, np.nan, 0.04, 0.02]) == pytest.approx([0.06, 0.04, np.nan, 0.06, 0.06], nan_ok=True)
    assert stats.holm([0.5, 0.9]).tolist() == [1, 1] and stats.holm([]).size == 0


def test_ranks():
    values = np.array([3, 2, 1, np.nan])
    p = np.full((4, 4), np.nan)
    for a, b, chance in ((0, 1, 0.2), (0, 2, 0.001), (1, 2, 0.3)):
        p[a, b] = p[b, a] = chance
    # Lower is better. Only model 2 is significantly better than model 0. Ties need not be transitive. Model 3 was not
    # tested against any other.
    differences = values[:, None] - values[None, :]
    assert stats.ranks(differences, p, -1) == pytest.approx([2, 1, 1, np.nan], nan_ok=True)
    assert stats.ranks(differences, p, 1) == pytest.approx([1, 1, 2, np.nan], nan_ok=True)
    assert np.isnan(stats.ranks(differences, np.full((4, 4), np.nan), 1)).all()


def pieces(random, n, dimension=8, shift=1.0, frames=10):
    """Return clips whose frames share a random shift, like those of a piece of music: [n, frames, dimension]."""
    return shift + random.standard_normal((n, 1, dimension)) + random.standard_normal((n, frames, dimension))


def test_effect_of_each_clip_on_fad():
    random = RANDOM(7)
    reference, clips = pieces(random, 40, shift=0).reshape(-1, 8), pieces(random, 30)
    found, value = stats.fad_per_clip(clips, reference), fad(clips.reshape(-1, 8), reference)
    assert found.mean() == pytest.approx(value)
    # The jackknife, which leaves one clip out, agrees to first order.
    without = np.array([fad(np.delete(clips, i, axis=0).reshape(-1, 8), reference) for i in range(30)])
    jackknife = value + 29 * (value - without)
    assert np.corrcoef(found, jackknife)[0, 1] > 0.99
    assert found.std() == pytest.approx(jackknife.std(), rel=0.1)


def test_fad_of_means_alone_by_hand():
    # One dimension, reference N(0, 1) up to its sample: FAD = m^2 + (s - 1)^2, so a frame at c from the mean adds
    # 2 m c + (1 - 1 / s) (c^2 - s^2) minus its mean, where s^2 is the variance (ddof 1).
    reference = np.array([[-1.0], [1.0]]) / np.sqrt(2)
    clips = [np.array([[1.0], [2.0]]), np.array([[4.0], [5.0]]), np.array([[3.0]]), np.empty((0, 1))]
    m, s = 3.0, np.sqrt(2.5)
    c = np.array([-2.0, -1.0, 1.0, 2.0, 0.0])
    moves = 2 * m * c + (1 - 1 / s) * c**2
    moves -= moves.mean()
    by_hand = m**2 + (s - 1) ** 2 + 4 / 5 * np.array([moves[0] + moves[1], moves[2] + moves[3], moves[4], 0.0])
    np.testing.assert_allclose(stats.fad_per_clip(clips, reference), by_hand)


def test_fad_of_silence_is_finite():
    reference = pieces(RANDOM(8), 10).reshape(-1, 8)
    assert np.isfinite(stats.fad_per_clip(np.zeros((5, 4, 8)), reference)).all()


def holds(intervals, truth):
    return np.mean([low <= truth <= high for low, high in intervals])


def test_intervals_of_means_cover_the_truth():
    """A short version of docs/explanation/statistics.md.

    Of 400 intervals at 95%, the share that covers the truth is within 0.95 +- 0.033 except 3 times in 1000.
    """
    random = RANDOM(9)
    found = [stats.bootstrap(skewed(random, 24)) for _ in range(400)]
    assert 0.917 <= holds(map(stats.interval, found), 1.0) <= 0.983
    alarms = np.mean([stats.difference(a, b).p < 0.05 for a, b in zip(found[::2], found[1::2])])
    assert alarms < 0.1  # of 200 pairs of equal models


def test_intervals_of_fad_cover_the_expectation_and_percentile_bootstraps_do_not():
    random, n = RANDOM(10), 16
    reference = pieces(random, 64, shift=0.0).reshape(-1, 8)
    truth = np.mean([fad(pieces(random, n, shift=0.3).reshape(-1, 8), reference) for _ in range(1000)])
    ours, percentile = [], []
    for run in range(300):
        clips = pieces(random, n, shift=0.3)
        ours.append(stats.interval(stats.bootstrap(stats.fad_per_clip(clips, reference))))
        if run < 60:
            drawn = [fad(clips[random.integers(n, size=n)].reshape(-1, 8), reference) for _ in range(60)]
            percentile.append(np.quantile(drawn, [0.025, 0.975]))
    assert 0.91 <= holds(ours, truth) <= 0.99
    assert holds(percentile, truth) < 0.9
