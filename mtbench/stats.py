"""Confidence intervals of scores, and tests of whether two models differ by more than chance.

A score is a mean over clips: either of one column (a metric, or the inner-track rhythmic stability (IRS) of one stem),
or the mean of several columns' means (IRS over stems, where each stem's mean is over the clips that have a value).
Fréchet audio distance (FAD) is not a mean, but to first order it changes with its clips like the mean of
`fad_per_clip`, so the same method applies to all scores.

The method is the bootstrap-t (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 12.5). Clips are
drawn with replacement, all columns of a clip together. Each resample gives t* = (score* - score) / se*. The interval is
score - t* se with the quantiles of t* instead of Student's, so it follows the skew of IRS and FAD. The standard error
se is the infinitesimal jackknife's. A resample of identical clips has se* = 0, so t* is limited to three times
Student's 97.5% quantile.

Everything is seeded, and nothing depends on the order of the clips. Intervals are 95%, p-values are two-sided, and the
interval of a difference excludes 0 exactly if p < 0.05. docs/explanation/statistics.md measures how well this works.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

from mtbench.metrics import fad

LEVEL = 0.05  # significance level of p; the intervals cover 1 - LEVEL
SEED = 0
LIMIT = 3.0  # of |t*|, as a multiple of Student's quantile
BLOCK = 2**16  # numbers in a block of resamples, so that it stays in a core's cache
NAN = float("nan")
Floats = NDArray[np.float64]
Signed = tuple[int, Floats]  # the sign of a score in a difference, and its clips float64 [n, columns]


class Interval(NamedTuple):
    """A 95% interval, in the unit of the score; NaN if undefined."""

    low: float
    high: float


class Difference(NamedTuple):
    """Score of a minus score of b, its interval and p-value; NaN if undefined."""

    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Resampled:
    """A score of `n` clips and its resamples. se: 0 if all clips are alike, NaN with fewer than two clips.

    scores, variances: float64 [replicates], of the resamples; empty if there is no spread to resample.
    """

    value: float
    se: float
    n: int
    scores: Floats
    variances: Floats


def bootstrap(clips: ArrayLike) -> Resampled:
    """Bootstrap one score. `clips` is [n] or [n, columns], NaN where a clip has no value.

    The score is the mean over columns of each column's mean over its values; columns without values are left out.
    A single value has no measurable spread, so se is NaN if any column has only one.
    """
    rows = _sorted(_columns(clips))
    value, se = _score([(1, rows)])
    if not se > 0:
        return Resampled(value, se, len(rows), np.empty(0), np.empty(0))
    return Resampled(value, se, len(rows), *_replicates([(1, rows)]))


def interval(score: Resampled) -> Interval:
    """Return the 95% interval of a score; NaN with fewer than two clips, or if all clips are alike (no spread)."""
    if not score.se > 0:
        return Interval(NAN, NAN)
    limit = _limit(score.n - 1)
    return _around(score.value, score.se, _studentised(score.scores - score.value, score.variances, limit))


def difference(a: Resampled, b: Resampled) -> Difference:
    """Test score a minus score b for unpaired clips. Degrees of freedom are Welch's (1947).

    If neither score has any spread, p is the share, among all ways to divide the clips into two groups of these sizes,
    of those that are as extreme.
    """
    value, variance = a.value - b.value, a.se**2 + b.se**2
    if not variance > 0:
        p = 2 / comb(a.n + b.n, a.n) if value else 1.0
        return Difference(value, NAN, NAN, NAN if np.isnan(variance) else min(1.0, p))
    freedom = variance**2 / sum(score.se**4 / (score.n - 1) for score in (a, b))
    size = min(len(score.scores) for score in (a, b) if score.se)
    (scores_a, variances_a), (scores_b, variances_b) = _first(a, size), _first(b, size)
    # Both scores use the same stream of random numbers; shifting one by one replicate makes them independent.
    scores_b, variances_b = np.roll(scores_b, 1), np.roll(variances_b, 1)
    limit = _limit(freedom)
    t = _studentised(scores_a - scores_b - value, variances_a + variances_b, limit)
    return Difference(value, *_around(value, variance**0.5, t), _p(value / variance**0.5, t, limit, freedom))


def welch_difference(a: float, se_a: float, n_a: float, b: float, se_b: float, n_b: float) -> Difference:
    """Score a minus score b, of which only values, standard errors and numbers of clips are known (Welch, 1947).

    NaN, except for the difference itself, where a standard error is not defined or both are 0.
    """
    value, variance = a - b, se_a**2 + se_b**2
    if not variance > 0:
        return Difference(value, NAN, NAN, NAN)
    freedom = variance**2 / (se_a**4 / (n_a - 1) + se_b**4 / (n_b - 1))
    reach = float(stdtrit(freedom, 1 - LEVEL / 2)) * variance**0.5
    p = float(2 * stdtr(freedom, -abs(value) / variance**0.5))
    return Difference(value, value - reach, value + reach, p)


def paired_difference(a: ArrayLike, b: ArrayLike) -> Difference:
    """Test score a minus score b where row i of both belongs to the same clip: rows are drawn together.

    a, b: [n] or [n, columns], as for `bootstrap`. A value that is missing on one side is left out on both; otherwise a
    model without values for the hard clips would have an advantage. If all rows differ by the same amount, p is that of
    the sign test. Raises ValueError unless a and b have the same number of rows.
    """
    a, b = _columns(a, drop=False), _columns(b, drop=False)
    if len(a) != len(b):
        raise ValueError(f"paired clips: a has {len(a)}, b has {len(b)}")
    rows = np.hstack([np.where(np.isnan(b), NAN, a), np.where(np.isnan(a), NAN, b)])
    rows = _sorted(rows[~np.isnan(rows).all(axis=1)])
    signed, n = [(1, rows[:, : a.shape[1]]), (-1, rows[:, a.shape[1] :])], len(rows)
    value, se = _score(signed)
    if not se > 0:
        return Difference(value, NAN, NAN, NAN if np.isnan(se) else 0.5 ** (n - 1) if value else 1.0)
    limit = _limit(n - 1)
    scores, variances = _replicates(signed)
    t = _studentised(scores - value, variances, limit)
    return Difference(value, *_around(value, se, t), _p(value / se, t, limit, n - 1))


def fad_per_clip(clips: Sequence[ArrayLike], reference: ArrayLike) -> Floats:
    """Compute the effect of each clip on the FAD of all clips: float64 [n], whose mean is that FAD.

    clips: [frames, dimension] of each; reference: [frames, dimension]. Raises ValueError like `fad`.

    This is the derivative of FAD with respect to the distribution of the frames (the infinitesimal jackknife). With the
    map T = S2^(1/2) (S2^(1/2) S1 S2^(1/2))^(-1/2) S2^(1/2), which is twice the derivative of tr (S1 S2)^(1/2) by S1, a
    frame at distance c from the mean adds 2 (mu1 - mu2) c + c (I - T) c. Clips are resampled as units, so the effects
    of a clip's frames are summed.
    """
    frames_of = [np.asarray(frames, np.float64) for frames in clips]
    counts = [len(frames) for frames in frames_of]
    pooled = np.concatenate(frames_of)
    reference = np.asarray(reference, np.float64)
    value = fad(pooled, reference)
    centred = pooled - pooled.mean(axis=0)
    root = _power(np.atleast_2d(np.cov(reference, rowvar=False)), 0.5)
    through = root @ _power(root @ np.atleast_2d(np.cov(pooled, rowvar=False)) @ root, -0.5) @ root
    shift = pooled.mean(axis=0) - reference.mean(axis=0)
    moves = 2 * centred @ shift + np.einsum("fd,fd->f", centred, centred - centred @ through)
    moves -= moves.mean()
    totals = np.add.reduceat(np.append(moves, 0.0), np.cumsum([0, *counts[:-1]])) * (np.array(counts) > 0)
    return value + totals * len(counts) / len(pooled)


def holm(p: ArrayLike) -> Floats:
    """Apply Holm's correction (1979) to p-values [m]; returns float64 [m].

    The smallest is multiplied by m, the next by m - 1, and so on; results never decrease and are at most 1. NaN stays
    NaN and does not count towards m.
    """
    p = np.asarray(p, np.float64)
    order = np.argsort(p)[: int((~np.isnan(p)).sum())]  # NaN is sorted last
    adjusted = np.full(p.shape, NAN)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted


def ranks(differences: ArrayLike, p: ArrayLike, direction: int) -> Floats:
    """Return 1 + the number of models that are significantly better: float64 [m]; NaN for a model without any test.

    differences: [m, m], the tested score of row minus score of column; p: [m, m], their adjusted p-values, NaN where
    there was no test; direction: 1 if higher is better, -1 if lower is better.
    """
    differences, p = np.asarray(differences, np.float64), np.asarray(p, np.float64)
    behind = (differences * direction < 0) & (p < LEVEL)
    return np.where(np.isnan(p).all(axis=1), NAN, 1.0 + behind.sum(axis=1))


def _columns(clips: ArrayLike, drop: bool = True) -> Floats:
    """Return the clips as float64 [n, columns]; with `drop`, without the clips that have no value at all."""
    clips = np.asarray(clips, np.float64)
    clips = clips[:, None] if clips.ndim == 1 else clips
    return clips[~np.isnan(clips).all(axis=1)] if drop else clips


def _sorted(rows: Floats) -> Floats:
    """Sort the rows, so that the draws do not depend on the caller's order."""
    return rows[np.lexsort(rows.T[::-1])]


def _score(signed: Sequence[Signed]) -> tuple[float, float]:
    """Return the score and its standard error, which is 0 if it is only rounding error and NaN if undefined."""
    n = len(signed[0][1])
    if not n:
        return NAN, NAN
    values, variances = _weighted(signed, np.ones((1, n)))
    counts = np.concatenate([(~np.isnan(clips)).sum(axis=0) for _, clips in signed])
    if n < 2 or (counts == 1).any() or np.isnan(values[0]):
        return float(values[0]), NAN
    size = max(np.nanmax(np.abs(clips)) for _, clips in signed)
    se = float(np.sqrt(variances[0]))
    return float(values[0]), se if se > 1e-12 * size else 0.0


def _first(score: Resampled, size: int) -> tuple[Floats, Floats]:
    """Return scores and variances of the first `size` resamples; a score without spread is the same in all of them."""
    if score.se:
        return score.scores[:size], score.variances[:size]
    return np.full(size, score.value), np.zeros(size)


def _replicates(signed: Sequence[Signed]) -> tuple[Floats, Floats]:
    """Return the scores and variances of the resamples, float64 [replicates]."""
    counts = _draws(len(signed[0][1]))
    of_block: Callable[[Floats], tuple[Floats, Floats]]
    if any(np.isnan(clips).any() for _, clips in signed):
        of_block = partial(_weighted, signed)
    else:  # without gaps, the score is the plain mean of one number per clip
        of_block = partial(_plain, np.sum([sign * clips.mean(axis=1) for sign, clips in signed], axis=0))
    step = max(1, BLOCK // counts.shape[1])
    blocks = [of_block(counts[i : i + step].astype(np.float64)) for i in range(0, len(counts), step)]
    scores, variances = zip(*blocks)
    return np.concatenate(scores), np.concatenate(variances)


def _plain(values: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """`_weighted` for a single column [n] without gaps."""
    n, centre = len(values), values.mean()
    means, squares = (counts @ np.column_stack([values - centre, (values - centre) ** 2]) / n).T
    return centre + means, np.maximum(squares - means**2, 0.0) / (n - 1)


def _weighted(signed: Sequence[Signed], counts: Floats) -> tuple[Floats, Floats]:
    """Return scores and their variances, float64 [b], of the resamples that contain clip i counts[b, i] times.

    The score is the signed sum of the scores. A clip changes it by z, the sum over columns of
    (value - mean) / (number of values) / (number of columns). The variance is that of the sum of z, with a factor
    N / (N - 1) for each column's N values; for a single column this is s^2 / N.
    """
    total, moves = np.zeros(len(counts)), np.zeros(counts.shape)
    for sign, clips in signed:
        defined = ~np.isnan(clips)
        centre = np.nanmean(clips) if defined.any() else 0.0
        filled = np.where(defined, clips - centre, 0.0)
        number = counts @ defined.astype(np.float64)  # [b, columns]
        with np.errstate(divide="ignore", invalid="ignore"):
            means = counts @ filled / number
            columns = (number > 0).sum(axis=1)
            total += sign * (centre + np.where(number > 0, means, 0.0).sum(axis=1) / columns)
            weights = np.where(number > 1, 1 / np.sqrt(number * (number - 1)) / columns[:, None], 0.0)
        for column in range(clips.shape[1]):
            away = filled[:, column] - np.where(number[:, column] > 0, means[:, column], 0.0)[:, None]
            moves += sign * weights[:, column, None] * away * defined[:, column]
    return total, np.einsum("bi,bi->b", counts, moves**2)


@lru_cache(maxsize=8)
def _draws(n: int) -> NDArray[np.uint8]:
    """Return how often each of n clips is in each resample, [replicates, n]. With many clips, fewer resamples do."""
    replicates = 9999 if n <= 1000 else 999
    random, step = np.random.default_rng(SEED), max(1, BLOCK // n)
    blocks = []
    for i in range(0, replicates, step):
        size = min(step, replicates - i)
        drawn = random.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        blocks.append(np.bincount(drawn.ravel(), minlength=n * size).reshape(size, n).astype(np.uint8))
    return np.concatenate(blocks)


def _limit(freedom: float) -> float:
    """Return the largest |t*| that a resample may have."""
    return LIMIT * float(stdtrit(freedom, 1 - LEVEL / 2))


def _studentised(away: Floats, variances: Floats, limit: float) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        t = away / np.sqrt(variances)
    return np.clip(np.nan_to_num(t, nan=0.0, posinf=limit, neginf=-limit), -limit, limit)


def _around(value: float, se: float, t: Floats) -> Interval:
    """Return the interval of a score from the t* of its resamples."""
    # The number of replicates is one less than a multiple of 40, so that quantiles are replicates and agree with _p.
    tail = round((len(t) + 1) * LEVEL / 2)
    t = np.partition(t, (tail - 1, len(t) - tail))
    return Interval(float(value - t[-tail] * se), float(value - t[tail - 1] * se))


def _p(observed: float, t: Floats, limit: float, freedom: float) -> float:
    """Return the two-sided p-value of an observed t, from the t* of resamples."""
    if abs(observed) > limit:  # beyond any resample
        return float(2 * stdtr(freedom, -abs(observed)))
    return float(min(1.0, 2 * (min((t >= observed).sum(), (t <= observed).sum()) + 1) / (len(t) + 2)))


def _power(matrix: Floats, exponent: float) -> Floats:
    """Raise a symmetric positive semidefinite matrix [d, d] to a power, restricted to its range."""
    values, vectors = np.linalg.eigh(matrix)
    positive = values > len(values) * np.finfo(np.float64).eps * max(values[-1], 0.0)
    power: Floats = (vectors[:, positive] * values[positive] ** exponent) @ vectors[:, positive].T
    return power
