import math

import numpy as np
import pytest

from goldens import GOLDENS
from mtbench.metrics import fad, frames_needed


def golden_sets(case):
    """Return the two sets of a golden case, drawn according to its recipe."""
    rng = np.random.default_rng(case["seed"])
    rank = case["rank"] or case["dim"]
    mixing = rng.standard_normal((rank, case["dim"])) / np.sqrt(rank)
    mean = rng.standard_normal(case["dim"]) * case["shift"]
    x = rng.standard_normal((case["n1"], rank)) @ mixing
    y = case["scale2"] * (rng.standard_normal((case["n2"], rank)) @ mixing) + mean
    return x, y


@pytest.mark.parametrize("case", GOLDENS["frechet"]["cases"], ids=lambda case: f"seed{case['seed']}")
def test_goldens(case):
    x, y = golden_sets(case)
    assert x[0, :3] == pytest.approx(case["first_x"], abs=1e-6)
    assert y[-1, -3:] == pytest.approx(case["last_y"], abs=1e-6)
    assert (x.sum(), y.sum()) == pytest.approx((case["sum_x"], case["sum_y"]), abs=1e-6)
    assert fad(x, y) == pytest.approx(case["closed_form"], rel=1e-6)
    assert fad(y, x) == pytest.approx(case["closed_form"], rel=1e-6)


def sets(n1=40, n2=25, dimension=6):
    rng = np.random.default_rng(7)
    x = rng.standard_normal((n1, dimension)) @ rng.standard_normal((dimension, dimension))
    y = rng.standard_normal((n2, dimension)) * 1.5 + 0.3
    return x, y


def test_one_dimension_by_hand():
    # {-1, 1}: mean 0, variance 2 (ddof 1). {3, 5, 7}: mean 5, variance 4. 25 + (sqrt 2 - 2)^2.
    assert fad([[-1.0], [1.0]], [[3.0], [5.0], [7.0]]) == pytest.approx(25 + (math.sqrt(2) - 2) ** 2, rel=1e-12)


def test_independent_dimensions_add_up():
    # Four corners of a box are uncorrelated: variances 4/3 of the half-widths squared, here (1, 2) against
    # (3, 2), means apart by (0, 1): 4/3 (1 - 3)^2 + 0 + 1.
    corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
    assert fad(corners * [1, 2], corners * [3, 2] + [0, 1]) == pytest.approx(16 / 3 + 1, rel=1e-12)


def test_covariances_that_do_not_commute():
    # S1 = diag(4, 1), S2 = [[2, 1], [1, 2]]: S1 S2 has trace 10 and determinant 12, so its eigenvalues are
    # 5 +- sqrt 13, and tr (S1 S2)^(1/2) = sqrt(trace + 2 sqrt det).
    corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) * math.sqrt(3 / 4)  # unit covariance
    x = corners * [2, 1]
    y = corners @ np.linalg.cholesky([[2, 1], [1, 2]]).T
    assert fad(x, y) == pytest.approx(5 + 4 - 2 * math.sqrt(10 + 2 * math.sqrt(12)), rel=1e-12)


@pytest.mark.parametrize("n, dimension", [(40, 6), (5, 6), (2, 300), (300, 128)])
def test_identical_sets_are_at_distance_zero(n, dimension):
    x, _ = sets(n, 2, dimension)
    distance = fad(x, x)
    assert 0 <= distance <= 1e-5
    assert fad(x, x[::-1]) == pytest.approx(0, abs=1e-9 * np.sum(x**2))


def test_constant_sets_have_the_distance_of_their_means():
    assert fad(np.zeros((3, 2)), np.full((5, 2), 2.0)) == 8.0


def test_symmetric_and_independent_of_the_order_of_frames():
    x, y = sets()
    assert fad(x, y) == pytest.approx(fad(y, x), rel=1e-12)
    assert fad(x[::-1], y) == pytest.approx(fad(x, y), rel=1e-12)


@pytest.mark.parametrize("n1, n2", [(40, 25), (4, 3), (4, 25)])
def test_invariant_under_a_common_rotation_and_shift(n1, n2):
    x, y = sets(n1, n2)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((6, 6)))
    assert fad(x @ rotation, y @ rotation) == pytest.approx(fad(x, y), rel=1e-10)
    assert fad(x + 100, y + 100) == pytest.approx(fad(x, y), rel=1e-10)
    assert fad(x + 1, y) != pytest.approx(fad(x, y), rel=1e-3)


@pytest.mark.parametrize("scale", [-1.0, 0.01, 32.0])
def test_scales_with_the_square(scale):
    x, y = sets()
    assert fad(scale * x, scale * y) == pytest.approx(scale**2 * fad(x, y), rel=1e-12)


def test_singular_covariances():
    # Two frames each, on orthogonal unit axes: the variance is 2 along each, and nothing is shared.
    assert fad([[-1, 0, 0], [1, 0, 0]], [[0, -1, 0], [0, 1, 0]]) == pytest.approx(4.0, rel=1e-12)
    # An unused dimension has no effect, no matter how the sets are rotated into it.
    x, y = sets()
    rotation, _ = np.linalg.qr(np.random.default_rng(2).standard_normal((9, 9)))
    padded = [np.pad(frames, ((0, 0), (0, 3))) @ rotation for frames in (x, y)]
    assert fad(*padded) == pytest.approx(fad(x, y), rel=1e-10)


def test_float32_input_is_computed_in_float64():
    x, y = (frames.astype(np.float32) for frames in sets())
    assert fad(x, y) == fad(x.astype(np.float64), y.astype(np.float64))


@pytest.mark.parametrize(
    "x, y, reason",
    [
        (np.zeros((1, 3)), np.zeros((4, 3)), "embeddings_a: .*at least 2 frames, got 1"),
        (np.zeros((4, 3)), np.zeros((0, 3)), "embeddings_b: .*at least 2 frames, got 0"),
        (np.zeros((4, 3)), np.zeros((4, 2)), "dimensions differ: embeddings_a has 3, embeddings_b has 2"),
        (np.zeros(6), np.zeros((4, 2)), r"embeddings_a: expected shape \[frames, dimension\], got \(6,\)"),
        (np.zeros((4, 0)), np.zeros((4, 0)), r"got \(4, 0\)"),
        (np.zeros((2, 2)), np.array([[0, 1], [np.nan, 0]]), "embeddings_b: frame 1 contains a value that"),
        (np.array([[np.inf, 1], [1, 0]]), np.zeros((2, 2)), "embeddings_a: frame 0"),
    ],
)
def test_bad_input(x, y, reason):
    with pytest.raises(ValueError, match=reason):
        fad(x, y)


def test_frames_needed_gives_a_covariance_of_full_rank():
    dimension = 12
    x, _ = sets(frames_needed(dimension), 2, dimension)
    assert np.linalg.matrix_rank(np.cov(x.T)) == dimension
    assert np.linalg.matrix_rank(np.cov(x[:-1].T)) == dimension - 1
