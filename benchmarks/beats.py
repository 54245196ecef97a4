"""Measure the cost of beat tracking with mtbench.beats, with madmom and in the published way, on the same files.

    python benchmarks/beats.py            # prints tables; writes benchmarks/results/beats.md and docs/beats-cost.png

- ours: mtbench.beats, with networks once per stem and one decode per setting.
- madmom: its own file reading (ffmpeg), networks once per stem, its HMM classes per setting and bar length. (Its DBN
  processor, which does not run on current NumPy, consists of these classes and the same two decodes.)
- published: like the metric scripts of the papers, which repeat everything for each of three metrics and each setting.
  Measured on a few stems.

The metrics are inner-track rhythmic stability (IRS), cross-track beat synchronization (CBS) and cross-track beat
dispersion (CBD). The benchmark needs ffmpeg. Without Numba it measures the NumPy version of mtbench.beats, and states
this first.

CPU seconds include all threads of a process and its children (ffmpeg); each process uses one thread. Settings are in
the published time base: fps 100, 150, 200 x transition lambda 100, 50.
"""

import argparse
import multiprocessing
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
import soundfile  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

SETTINGS = [(100, 100), (150, 100), (200, 100), (100, 50), (150, 50), (200, 50)]
METRICS = 3  # IRS, CBS and CBD, with one script each
LENGTHS = (10, 30, 60, 120, 300, 600)  # s


class Stages:
    """Wall and CPU seconds by stage."""

    def __init__(self):
        self.seconds = defaultdict(lambda: np.zeros(2))
        self.last = self.now()

    @staticmethod
    def now():
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return np.array([time.perf_counter(), time.process_time() + children.ru_utime + children.ru_stime])

    def done(self, stage):
        now = self.now()
        self.seconds[stage] += now - self.last
        self.last = now


def ours(file, settings):
    from mtbench import beats
    from mtbench.beats.network import network_outputs

    stages = Stages()
    signal = beats.read_44100(file)
    stages.done("read and resample")
    features = beats.features(signal)
    stages.done("features")
    activations = np.ascontiguousarray(network_outputs(features[None])[0].mean(axis=0)[:, 1:])
    stages.done("networks")
    beat_times = []
    for fps, transition_lambda in settings:
        beat_times.append(np.rint(fps * beats.decode(activations, fps, transition_lambda, "published")[0]).tolist())
        stages.done("decode")
    return dict(stages.seconds), beat_times


@lru_cache(maxsize=1)
def _madmom_processor():
    import beats_peers

    return beats_peers.processor()


def madmom(file, settings, stages=None):
    import beats_peers

    processor = _madmom_processor()
    stages = stages or Stages()
    signal = processor.processors[0].processors[0](str(file))
    stages.done("read and resample")
    outputs = signal
    for step in processor.processors[0].processors[1:]:
        outputs = step(outputs)
    stages.done("features")
    for step in processor.processors[1:]:
        outputs = step(outputs)
    stages.done("networks")
    beat_times = []
    for fps, transition_lambda in settings:
        beat_times.append(beats_peers.decode(np.ascontiguousarray(outputs), fps, transition_lambda)[0].tolist())
        stages.done("decode")
    return dict(stages.seconds), beat_times


def published(file, settings):
    stages = Stages()
    for _ in range(METRICS):
        beat_times = [madmom(file, [setting], stages)[1][0] for setting in settings]
    return dict(stages.seconds), beat_times


def run(way, files, settings, jobs):
    """Return ({stage: [wall, CPU] s summed over the files}, total wall s, beats per file), in warmed-up processes."""
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        for ready in [pool.submit(_warm_up, way, files[0]) for _ in range(jobs)]:
            ready.result()
        start = time.perf_counter()
        results = list(pool.map(way, files, [settings] * len(files)))
        wall = time.perf_counter() - start
    total = defaultdict(lambda: np.zeros(2))
    for stages, _ in results:
        for stage, seconds in stages.items():
            total[stage] += seconds
    return total, wall, [beat_times for _, beat_times in results]


def _warm_up(way, file):
    way_of_one = madmom if way is published else way
    way_of_one(file, SETTINGS)
    time.sleep(0.5)  # so that each process gets one of these calls


def write_stems(folder, count):
    from mtbench.suites import band

    files = []
    for seed in band.seeds("heldout"):
        for stem, wave in band.song(seed).stems.items():
            if len(files) == count:
                return files
            files.append(folder / f"{seed}-{stem}.wav")
            soundfile.write(files[-1], wave, band.SAMPLE_RATE, subtype="PCM_16")


def first_call(folder, file):
    """Return wall seconds of two calls in a process that tracks one file: without and with a cache of compiled code."""
    code = (
        f"import time; t = time.perf_counter(); from mtbench.beats import track; track({str(file)!r}); "
        f"a = time.perf_counter(); track({str(file)!r}); print(a - t, time.perf_counter() - a)"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder / "numba"), "PYTHONPATH": str(ROOT)}
    lines = [
        subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    return [[float(text) for text in line] for line in lines]


def cost_of_length(folder, seconds):
    """Return [CPU s of the activations, of a decode at fps 100 and of six decodes, growth of the memory in MB]."""
    from mtbench.suites import band

    songs = [band.song(seed).stems["drums"] for seed in band.seeds("heldout")[:4]]
    wave = np.resize(np.concatenate(songs), seconds * band.SAMPLE_RATE)
    file = folder / f"{seconds}.wav"
    soundfile.write(file, wave, band.SAMPLE_RATE, subtype="PCM_16")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_cost_of_file, file).result()


def _cost_of_file(file):
    from mtbench import beats

    short, rate = soundfile.read(file, frames=16000, dtype="int16")
    for setting in SETTINGS:
        beats.track(short, *setting, "published", sample_rate=rate)  # warm-up: compile and load everything
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stages = Stages()
    (activations,) = beats.activations([beats.read_44100(file)], 44100)
    stages.done("activations")
    beats.decode(activations)
    stages.done("a decode")
    for setting in SETTINGS:
        beats.decode(activations, *setting, "published")
    stages.done("six decodes")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return [stages.seconds[stage][1] for stage in ("activations", "a decode", "six decodes")] + [grown]


def draw(lengths, costs, counts, seconds, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for column, label in enumerate(("activations", "one decode, fps 100", "six decodes, fps 100, 150, 200")):
        left.plot(lengths, [cost[column] for cost in costs], "o-", label=label)
    left.set(xlabel="length of the file (s)", ylabel="CPU s")
    right.plot(counts, seconds, "o-", color="C3", label="activations and six decodes")
    right.set(xlabel="stems of 10.24 s", ylabel="CPU s")
    for axes in (left, right):
        axes.set(xlim=0, ylim=0)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stems", type=int, default=12, help="number of stems (10.24 s, 16 kHz, suite band)")
    parser.add_argument("--published-stems", type=int, default=1, help="how many of them to track in the published way")
    options = parser.parse_args()
    if shutil.which("ffmpeg") is None:
        sys.exit("benchmarks/beats.py needs ffmpeg, with which madmom reads files: apt-get install ffmpeg")
    from mtbench import beats as engine
    from mtbench.beats import compiled

    lines = []

    def say(line=""):
        print(line, flush=True)
        lines.append(line)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_stems(folder, options.stems)
        few = files[: options.published_stems]
        say("# Cost of beat tracking")
        say()
        if engine.is_compiled():
            say("Measured: mtbench.beats compiled by Numba.")
        else:
            say(
                "**Not compiled**: this measures the NumPy version of mtbench.beats, which is many times slower. "
                f"Message from Numba: {compiled.reason}"
            )
        say()
        say(
            f"`python benchmarks/beats.py --stems {options.stems} --published-stems {options.published_stems}`: "
            f"{len(files)} stems of 10.24 s, 16 kHz, 16 bits. {platform.machine()}, {os.cpu_count()} cores, load "
            f"{os.getloadavg()[0]:.1f} at the start, Python {platform.python_version()}, NumPy {np.__version__}. "
            "Times are in milliseconds per stem; CPU time includes all threads and ffmpeg."
        )
        say()
        cold, warm = first_call(folder, files[0])
        say(
            f"Wall time of the first call in a new process, including imports: {cold[0]:.1f} s if everything must be "
            f"compiled, {warm[0]:.1f} s with cached code. The second call takes {1000 * warm[1]:.0f} ms."
        )
        say()

        say("| way | settings | processes | read, resample | features | networks | decodes | CPU | wall |")
        say("|---|---|---|---|---|---|---|---|---|")
        cpu, beats = {}, {}
        for way, those in ((ours, files), (madmom, files), (published, few)):
            for settings in (SETTINGS[:1], SETTINGS[:2], SETTINGS):
                for jobs in (1, 2):
                    if way is published and (jobs == 2 or len(settings) == 2):
                        continue
                    stages, wall, beat_times = run(way, those, settings, jobs)
                    each = {stage: 1000 * seconds[1] / len(those) for stage, seconds in stages.items()}
                    cpu[way, len(settings), jobs] = sum(each.values())
                    beats[way, len(settings)] = beat_times
                    say(
                        f"| {way.__name__} | {len(settings)} | {jobs} | "
                        + " | ".join(
                            f"{each[stage]:.1f}" for stage in ("read and resample", "features", "networks", "decode")
                        )
                        + f" | {sum(each.values()):.0f} | {1000 * wall / len(those):.0f} |"
                    )
        say()
        same = sum(a == b for ours_, theirs in zip(beats[ours, 6], beats[madmom, 6]) for a, b in zip(ours_, theirs))
        say(f"Our beats equal madmom's for {same} of {6 * len(files)} pairs of stem and setting.")
        say()
        mine = cpu[ours, 6, 1]
        say(
            f"For six settings in one process, ours takes {cpu[madmom, 6, 1] / mine:.1f} times less CPU time than "
            f"madmom with reused activations, and {cpu[published, 6, 1] / mine:.0f} times less than the published way "
            f"(measured on {len(few)} stem(s))."
        )
        say()

        say(
            "| length (s) | activations, CPU s | one decode (fps 100), CPU s | six decodes, CPU s "
            "| memory growth (MB) |"
        )
        say("|---|---|---|---|---|")
        costs = [cost_of_length(folder, seconds) for seconds in LENGTHS]
        for seconds, cost in zip(LENGTHS, costs):
            say(f"| {seconds} | {cost[0]:.3f} | {cost[1]:.3f} | {cost[2]:.3f} | {cost[3]:.0f} |")
        counts = (1, 2, 4, 8, 16, 32)
        seconds = []
        for count in counts:
            stages, _, _ = run(ours, [files[i % len(files)] for i in range(count)], SETTINGS, 1)
            seconds.append(sum(spent[1] for spent in stages.values()))
        say()
        say("| stems | " + " | ".join(map(str, counts)) + " |")
        say("|---" * (len(counts) + 1) + "|")
        say("| CPU s, six settings | " + " | ".join(f"{spent:.2f}" for spent in seconds) + " |")
        draw(LENGTHS, costs, counts, seconds, ROOT / "docs" / "beats-cost.png")
    target = ROOT / "benchmarks" / "results" / "beats.md"
    target.parent.mkdir(exist_ok=True)
    target.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
