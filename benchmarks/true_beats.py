"""Compare tracked beats with the true beats of songs, per stem.

    python benchmarks/true_beats.py --suite band -n 60
    mtbench prepare midi FOLDER && python benchmarks/true_beats.py --suite midi/test -n 60

True beats are known of `band` and of suites that were rendered from MIDI files. F-measures are mir_eval's, with a
tolerance of 70 ms; "any level" is the highest one after halving, doubling, tripling or thirding the true beats, or
shifting them by half a beat. Beats are tracked at fps 100 and transition lambda 100, in real seconds.
"""

import argparse
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import mir_eval
import numpy as np

from mtbench import audio, beats
from mtbench.registry import open_suite
from mtbench.suites import midi
from mtbench.suites.band import seeds, song
from mtbench.suites.tracks import data_folder

LIVE = 1e-3  # RMS of a stem that plays


def clips(suite: str, n: int) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray, int]]:
    """Yield (stems, true beats in s, beats per bar) of up to `n` clips whose beats are known."""
    if suite == "band":
        for seed in seeds("heldout")[:n]:
            made = song(seed)
            yield made.stems, made.beats, made.meter
        return
    name, _, split = suite.partition("/")
    count = 0
    for clip in open_suite(suite).reference():
        true = midi.true_beats(data_folder() / name / split / clip.id.removesuffix("-000"))
        if true is not None and len(true) > 2 and count < n:
            count += 1
            yield clip.stems, true[:, 0], int(true[:, 1].max())


def levels(true: np.ndarray) -> list[np.ndarray]:
    """Return beats at other metrical levels: as they are, halved, doubled, in thirds, every third, and off the beat."""
    steps = np.arange(len(true))

    def at(positions: np.ndarray) -> np.ndarray:
        return np.interp(positions, steps, true)

    last = len(true) - 1
    divided = [at(np.arange(0, last + 1e-9, 1 / parts)) for parts in (2, 3)]
    every = [true[start::step] for step in (2, 3) for start in range(step)]
    return [true, *divided, *every, at(np.arange(0.5, last, 1))]


def f_measures(item: tuple[np.ndarray, np.ndarray]) -> tuple[float, float, float]:
    """Return (F-measure, highest F-measure at any level, CPU seconds) of one stem."""
    wave, true = item
    began = time.process_time()
    tracked = beats.track(audio.to_pcm16(wave), sample_rate=16000)
    cost = time.process_time() - began
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no beats at all
        scores = [mir_eval.beat.f_measure(level, tracked) for level in levels(true)]
    return scores[0], max(scores), cost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="band", help="band, or a suite rendered from MIDI files, such as midi/test")
    parser.add_argument("-n", type=int, default=60, help="number of clips")
    options = parser.parse_args()
    rows: dict[str, list[tuple[float, float, float]]] = {}
    tempi, meters, silent, work = [], [], {}, []
    for stems, true, meter in clips(options.suite, options.n):
        tempi.append(60 / float(np.median(np.diff(true))))
        meters.append(meter)
        for stem, wave in stems.items():
            live = np.sqrt(np.mean(np.square(wave))) >= LIVE
            silent.setdefault(stem, []).append(not live)
            if live:
                work.append((stem, wave, true))
    with ProcessPoolExecutor() as pool:
        for (stem, *_), scores in zip(work, pool.map(f_measures, [item[1:] for item in work], chunksize=4)):
            rows.setdefault(stem, []).append(scores)
    low, median, high = np.percentile(tempi, [10, 50, 90])
    counted = ", ".join(f"{meter}: {meters.count(meter)}" for meter in sorted(set(meters)))
    print(f"{options.suite}: {len(tempi)} clips with true beats")
    print(f"tempo, 10/50/90%: {low:.0f} / {median:.0f} / {high:.0f} BPM; beats per bar: {counted}\n")
    print("| stem | live | F-measure | at any level | CPU s per stem |\n|---|---:|---:|---:|---:|")
    for stem, scores in rows.items():
        f, best, cost = np.mean(scores, axis=0)
        print(f"| {stem} | {1 - np.mean(silent[stem]):.2f} | {f:.2f} | {best:.2f} | {cost:.2f} |")


if __name__ == "__main__":
    main()
