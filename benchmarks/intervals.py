"""How often the intervals of `mtbench.stats` hold the truth, and how often two equal models are called different.

    python benchmarks/intervals.py                       # the tables of docs/explanation/statistics.md; 4 min of a core
    python benchmarks/intervals.py --repetitions 200

Rhythm: a population of clips is made from beats and scored by `mtbench.metrics`. A run draws n of them, so the truth is
the population's own score. FAD: a clip's frames share a random shift, so that they are as alike as those of a piece of
music; the truth is the mean FAD of many runs of n clips against the same reference.
"""

import argparse
from functools import partial

import numpy as np

from mtbench import stats
from mtbench.metrics import cbd, cbs, fad, irs

CLIPS = (16, 32, 64)
POPULATION, FRAMES, REFERENCE = 4000, 10, 64  # clips; frames a clip; clips of the reference


def beats(random, jitter):
    """20 intervals of 0.5 s and as much jitter, in s."""
    return 1 + np.concatenate([[0], np.cumsum(np.maximum(0.5 + jitter * random.standard_normal(20), 0.05))])


def irs_of(random, jitters):
    return np.array([irs(beats(random, jitter)) for jitter in jitters])


def octave_errors(random):
    """One clip in five loses a beat now and then."""
    return np.where(random.random(POPULATION) < 0.2, 0.1, 0.01) * random.gamma(4, 0.25, POPULATION)


def irs_of_stems(random):
    """Four stems [clips, 4] of one clip's steadiness, some better than others; a stem in ten has no beats."""
    jitters = random.exponential(0.03, POPULATION)
    stems = np.column_stack([irs_of(random, factor * jitters) for factor in (0.5, 1, 1, 2)])
    return np.where(random.random(stems.shape) < 0.1, np.nan, stems)


def cbs_of(random, least, most):
    """Each of four stems beats in each of 60 windows with a probability that is the clip's own."""
    scores = []
    for chance in random.uniform(least, most, POPULATION):
        tracks = [(np.flatnonzero(random.random(60) < chance) + 0.5) * 0.15 for _ in range(4)]
        scores.append(cbs(tracks, 60 * 0.15, 0.15))
    return np.array(scores)


def cbd_of(random, statistic):
    """Two stems, of which one is late in the second half of a clip: by little in most clips, by much in a few."""
    scores = []
    for late in 0.25 * random.beta(0.8, 3, POPULATION):
        steady = 0.5 * np.arange(20) + 1
        scores.append(getattr(cbd([steady, steady + late * (np.arange(20) >= 10)]), statistic))
    return np.array(scores)


def rhythm_cases(random):
    return {
        "IRS, jitter differs a little": irs_of(random, random.gamma(8, 0.005, POPULATION)),
        "IRS, jitter differs much (exponential)": irs_of(random, random.exponential(0.03, POPULATION)),
        "IRS, octave errors in a fifth": irs_of(random, octave_errors(random)),
        "IRS over 4 stems, a tenth silent": irs_of_stems(random),
        "CBS, from poor to middling": cbs_of(random, 0.1, 0.6),
        "CBS, from middling to perfect": cbs_of(random, 0.5, 1.0),
        "CBD mean": cbd_of(random, "mean"),
        "CBD std": cbd_of(random, "std"),
        "CBD median": cbd_of(random, "median"),
    }


def clips_of(random, n, dimension, shift, scale, uneven):
    """float64 [n, FRAMES, dimension]; half of the variance is the clip's. uneven: clips differ in their spread."""
    sizes = scale / np.sqrt(1 + np.arange(dimension))
    spread = np.exp(uneven * random.standard_normal((2, n, 1, 1)))
    of_clip = spread[0] * random.standard_normal((n, 1, dimension))
    of_frame = spread[1] * random.standard_normal((n, FRAMES, dimension))
    return shift / np.sqrt(dimension) + sizes * np.sqrt(0.5) * (of_clip + of_frame)


FAD_CASES = {
    "as the reference": (0.0, 1.0, 0.0),
    "near": (1.0, 1.0, 0.0),
    "far": (3.0, 1.3, 0.0),
    "near, uneven clips": (1.0, 1.0, 0.5),
    "far, uneven clips": (3.0, 1.3, 0.5),
}


def percentile(random, clips, reference, replicates=200):
    """The plain percentile bootstrap of FAD, for comparison."""
    drawn = [
        fad(np.concatenate(clips[random.integers(len(clips), size=len(clips))]), reference) for _ in range(replicates)
    ]
    return stats.Interval(*np.quantile(drawn, [0.025, 0.975]))


def fad_coverage(random, n, dimension, case, repetitions, make=None):
    """The share of `repetitions` runs whose interval holds the expected FAD; `make`: another interval than ours."""
    draw = partial(clips_of, random, n, dimension, *FAD_CASES[case])
    reference = np.concatenate(clips_of(random, REFERENCE, dimension, 0, 1, FAD_CASES[case][2]))
    truth = np.mean([fad(np.concatenate(draw()), reference) for _ in range(1000 if dimension < 128 else 400)])
    make = make or (lambda clips, reference: stats.interval(stats.bootstrap(stats.fad_per_clip(clips, reference))))
    intervals = np.array([make(draw(), reference) for _ in range(repetitions)])
    return ((intervals[:, 0] <= truth) & (truth <= intervals[:, 1])).mean()


def coverage(random, population, n, repetitions):
    """(ours, percentile bootstrap's) shares of runs whose interval holds the population's score."""
    truth, hits = stats.bootstrap(population).value, np.zeros(2)
    for _ in range(repetitions):
        resampled = stats.bootstrap(population[random.integers(len(population), size=n)])
        low, high = stats.interval(resampled)
        plain = np.quantile(resampled.scores, [0.025, 0.975])
        hits += [low <= truth <= high, plain[0] <= truth <= plain[1]]
    return hits / repetitions


def false_alarms(random, population, n, repetitions):
    """The shares of pairs of equal models called different at p < 0.05: unpaired; paired, both following the clip."""
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
    """A markdown table; numbers are shares, shown in percent."""
    for row in (head, ["---"] * len(head), *rows):
        print(
            "| " + " | ".join(cell if isinstance(cell, str) else f"{100 * cell:.1f}" for cell in row) + " |", flush=True
        )
    print(flush=True)


def rhythm(cases, repetitions):
    print(
        f"Coverage of the 95% intervals in percent, {repetitions} repetitions; in brackets the percentile "
        "bootstrap's.\n"
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
        f"FAD, {repetitions} repetitions (dimension 128: {repetitions // 4}); columns: dimension, clips of {FRAMES} "
        f"frames; last, the percentile bootstrap's for dimension 32, n = 32, {repetitions // 5} repetitions.\n"
    )
    rows = []
    for case in FAD_CASES:
        random = np.random.default_rng(2)
        shares = [fad_coverage(random, n, dimension, case, some) for dimension, n, some in sizes]
        rows.append([case, *shares, fad_coverage(random, 32, 32, case, repetitions // 5, partial(percentile, random))])
    show(["case", *(f"{dimension}, n = {n}" for dimension, n, _ in sizes), "percentile"], *rows)


def alarms(cases, repetitions):
    print(f"Equal models called different at p < 0.05 in percent, {repetitions} repetitions, n = 32.\n")
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
    parser.add_argument("--repetitions", type=int, default=1000)
    repetitions = parser.parse_args().repetitions
    if repetitions < 10:  # some tables take a tenth of them
        parser.error("--repetitions must be at least 10")
    cases = rhythm_cases(np.random.default_rng(0))
    rhythm(cases, repetitions)
    distances(repetitions // 2)
    alarms(cases, repetitions // 2)


if __name__ == "__main__":
    main()
