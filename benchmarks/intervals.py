"""Measure how often the intervals of `mtbench.stats` contain the true value, and the rate of false alarms.

    python benchmarks/intervals.py        # 4 minutes on one core; the tables of docs/explanation/statistics.md
    python benchmarks/intervals.py --repetitions 200

A false alarm is a significant difference between two equal models. Rhythm metrics are inner-track rhythmic stability
(IRS), cross-track beat synchronization (CBS) and cross-track beat dispersion (CBD): a population of clips is created
from beats and scored by `mtbench.metrics`. A run draws n of them, so the true value is the score of the population.
Fréchet audio distance (FAD): the frames of a clip share a random shift, so that they are as similar as those of a piece
of music; the true value is the mean FAD of many runs of n clips against the same reference.
"""

import argparse
from functools import partial

import numpy as np

from mtbench import stats
from mtbench.metrics import cbd, cbs, fad, irs

CLIPS = (16, 32, 64)
POPULATION, FRAMES, REFERENCE = 4000, 10, 64  # clips; frames per clip; clips of the reference


def beats(random, jitter):
    """Return beats in s, at 20 intervals of 0.5 s with normally distributed jitter of this standard deviation."""
    return 1 + np.concatenate([[0], np.cumsum(np.maximum(0.5 + jitter * random.standard_normal(20), 0.05))])


def irs_of(random, jitters):
    return np.array([irs(beats(random, jitter)) for jitter in jitters])


def octave_errors(random):
    """Return jitters that are ten times as large in every fifth clip on average, as if the tracker lost beats."""
    return np.where(random.random(POPULATION) < 0.2, 0.1, 0.01) * random.gamma(4, 0.25, POPULATION)


def irs_of_stems(random):
    """Return IRS of four stems [clips, 4] that depend on the clip's jitter; one stem in ten has no beats."""
    jitters = random.exponential(0.03, POPULATION)
    stems = np.column_stack([irs_of(random, factor * jitters) for factor in (0.5, 1, 1, 2)])
    return np.where(random.random(stems.shape) < 0.1, np.nan, stems)


def cbs_of(random, least, most):
    """Return CBS of clips in which each of four stems has a beat in each of 60 windows with a clip-specific chance."""
    scores = []
    for chance in random.uniform(least, most, POPULATION):
        tracks = [(np.flatnonzero(random.random(60) < chance) + 0.5) * 0.15 for _ in range(4)]
        scores.append(cbs(tracks, 60 * 0.15, 0.15))
    return np.array(scores)


def cbd_of(random, statistic):
    """Return CBD of two stems, one of which is late in the second half: slightly in most clips, strongly in a few."""
    scores = []
    for late in 0.25 * random.beta(0.8, 3, POPULATION):
        steady = 0.5 * np.arange(20) + 1
        scores.append(getattr(cbd([steady, steady + late * (np.arange(20) >= 10)]), statistic))
    return np.array(scores)


def rhythm_cases(random):
    return {
        "IRS, similar jitter": irs_of(random, random.gamma(8, 0.005, POPULATION)),
        "IRS, very different jitter (exponential)": irs_of(random, random.exponential(0.03, POPULATION)),
        "IRS, octave errors in a fifth": irs_of(random, octave_errors(random)),
        "IRS over 4 stems, a tenth silent": irs_of_stems(random),
        "CBS, poor to medium": cbs_of(random, 0.1, 0.6),
        "CBS, medium to perfect": cbs_of(random, 0.5, 1.0),
        "CBD mean": cbd_of(random, "mean"),
        "CBD std": cbd_of(random, "std"),
        "CBD median": cbd_of(random, "median"),
    }


def clips_of(random, n, dimension, shift, scale, uneven):
    """Return float64 [n, FRAMES, dimension]; half of the variance is per clip. uneven: clips differ in their spread."""
    sizes = scale / np.sqrt(1 + np.arange(dimension))
    spread = np.exp(uneven * random.standard_normal((2, n, 1, 1)))
    of_clip = spread[0] * random.standard_normal((n, 1, dimension))
    of_frame = spread[1] * random.standard_normal((n, FRAMES, dimension))
    return shift / np.sqrt(dimension) + sizes * np.sqrt(0.5) * (of_clip + of_frame)


FAD_CASES = {
    "same as the reference": (0.0, 1.0, 0.0),
    "near": (1.0, 1.0, 0.0),
    "far": (3.0, 1.3, 0.0),
    "near, uneven clips": (1.0, 1.0, 0.5),
    "far, uneven clips": (3.0, 1.3, 0.5),
}


def percentile(random, clips, reference, replicates=200):
    """Return the interval of the plain percentile bootstrap of FAD, for comparison."""
    drawn = [
        fad(np.concatenate(clips[random.integers(len(clips), size=len(clips))]), reference) for _ in range(replicates)
    ]
    return stats.Interval(*np.quantile(drawn, [0.025, 0.975]))


def fad_coverage(random, n, dimension, case, repetitions, make=None):
    """Return the share of runs whose interval contains the expected FAD; `make`: compute another interval than ours."""
    draw = partial(clips_of, random, n, dimension, *FAD_CASES[case])
    reference = np.concatenate(clips_of(random, REFERENCE, dimension, 0, 1, FAD_CASES[case][2]))
    truth = np.mean([fad(np.concatenate(draw()), reference) for _ in range(1000 if dimension < 128 else 400)])
    make = make or (lambda clips, reference: stats.interval(stats.bootstrap(stats.fad_per_clip(clips, reference))))
    intervals = np.array([make(draw(), reference) for _ in range(repetitions)])
    return ((intervals[:, 0] <= truth) & (truth <= intervals[:, 1])).mean()


def coverage(random, population, n, repetitions):
    """Return the shares of runs whose interval (ours, percentile bootstrap) contains the population's score."""
    truth, hits = stats.bootstrap(population).value, np.zeros(2)
    for _ in range(repetitions):
        resampled = stats.bootstrap(population[random.integers(len(population), size=n)])
        low, high = stats.interval(resampled)
        plain = np.quantile(resampled.scores, [0.025, 0.975])
        hits += [low <= truth <= high, plain[0] <= truth <= plain[1]]
    return hits / repetitions


def false_alarms(random, population, n, repetitions):
    """Return the shares of false alarms at p < 0.05: unpaired, and paired with both models depending on the clip."""
    alarms = np.zeros(2)
    for _ in range(repetitions):
        a, b, given = (population[random.integers(len(population), size=n)] for _ in range(3))
        alarms += [
            stats.difference(stats.bootstrap(a), stats.bootstrap(b)).p < stats.LEVEL,
            stats.paired_difference(given + a, given + b).p < stats.LEVEL,
        ]
    return alarms / repetitions


def fad_false_alarms(random, n, case, repetitions, dimension=32):
    reference, alarms = np.concatenate(clips_of(random, REFERENCE, dimension, 0, 1, FAD_CASES[case][2])), 0
    for _ in range(repetitions):
        a, b = (
            stats.bootstrap(stats.fad_per_clip(clips_of(random, n, dimension, *FAD_CASES[case]), reference))
            for _ in "ab"
        )
        alarms += stats.difference(a, b).p < stats.LEVEL
    return alarms / repetitions


def show(head, *rows):
    """Print a markdown table; numbers are shares, printed in percent."""
    for row in (head, ["---"] * len(head), *rows):
        print(
            "| " + " | ".join(cell if isinstance(cell, str) else f"{100 * cell:.1f}" for cell in row) + " |", flush=True
        )
    print(flush=True)


def rhythm(cases, repetitions):
    print(
        f"Coverage of the 95% intervals in percent, {repetitions} repetitions; in brackets, that of the percentile "
        "bootstrap.\n"
    )
    rows = []
    for name, population in cases.items():
        random = np.random.default_rng(1)
        some = repetitions if population.ndim == 1 else repetitions // 4  # gaps in columns are slow
        shares = [coverage(random, population, n, some) for n in CLIPS]
        rows.append([name, *(f"{100 * ours:.1f} ({100 * plain:.1f})" for ours, plain in shares)])
    show(["case", *(f"n = {n}" for n in CLIPS)], *rows)


def distances(repetitions):
    sizes = [
        (8, 32, repetitions),
        (32, 8, repetitions),
        (32, 16, repetitions),
        (32, 32, repetitions),
        (32, 64, repetitions),
        (128, 32, repetitions // 4),
    ]
    print(
        f"FAD, {repetitions} repetitions (dimension 128: {repetitions // 4}). Columns: dimension, n clips of {FRAMES} "
        f"frames; last column: percentile bootstrap, dimension 32, n = 32, {repetitions // 5} repetitions.\n"
    )
    rows = []
    for case in FAD_CASES:
        random = np.random.default_rng(2)
        shares = [fad_coverage(random, n, dimension, case, some) for dimension, n, some in sizes]
        rows.append([case, *shares, fad_coverage(random, 32, 32, case, repetitions // 5, partial(percentile, random))])
    show(["case", *(f"{dimension}, n = {n}" for dimension, n, _ in sizes), "percentile"], *rows)


def alarms(cases, repetitions):
    print(f"False alarms (equal models, p < 0.05) in percent, {repetitions} repetitions, n = 32.\n")
    rows = [
        [name, *false_alarms(np.random.default_rng(4), population, 32, repetitions)]
        for name, population in cases.items()
        if population.ndim == 1
    ]
    rows += [
        [f"FAD, {case}", fad_false_alarms(np.random.default_rng(5), 32, case, repetitions), "-"] for case in FAD_CASES
    ]
    show(["case", "unpaired", "paired"], *rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=1000, help="number of simulated runs")
    repetitions = parser.parse_args().repetitions
    if repetitions < 10:  # some tables use a tenth of them
        parser.error("--repetitions must be at least 10")
    cases = rhythm_cases(np.random.default_rng(0))
    rhythm(cases, repetitions)
    distances(repetitions // 2)
    alarms(cases, repetitions // 2)


if __name__ == "__main__":
    main()
