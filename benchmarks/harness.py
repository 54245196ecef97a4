"""Measure how long each adapter takes per second of music, and the overhead of the harness.

    python benchmarks/harness.py                              # the embedded checkpoints, 16 samples each
    python benchmarks/harness.py --models synctrack --n 32

One process generates samples as `mtbench run` does (generate, convert, write). It measures the total time, the time
spent in the generator, and the time spent in the generator's networks and vocoder. The difference between the last two
is the sampler (noise and arithmetic); the rest of the total is the harness (conversion to the canonical form, writing
WAV files). The real-time factor is the computing time per second of a sample, which has four stems.
"""

import argparse
import os
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import torch

import musicldm.generator
from mtbench import registry
from mtbench.config import Model
from mtbench.registry import open_suite
from mtbench.results.store import ModelFolder
from mtbench.runner.generate import generate_batch
from mtbench.runner.plan import Assignment, Batch, Row


class Clock:
    """Counts the seconds spent in the wrapped functions."""

    def __init__(self):
        self.seconds = 0.0

    def around(self, function):
        def clocked(*arguments, **options):
            begun = time.perf_counter()
            result = function(*arguments, **options)
            self.seconds += time.perf_counter() - begun
            return result

        return clocked

    def within(self, iterate):
        def clocked(*arguments, **options):
            samples = iterate(*arguments, **options)
            while (sample := self.around(next)(samples, None)) is not None:
                yield sample

        return clocked


@contextmanager
def stage(title, total):
    yield lambda *steps: None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="synctrack,msg-ld,mt-musicldm,msdm", help="models, separated by commas")
    parser.add_argument("--n", type=int, default=16, help="number of samples per model")
    options = parser.parse_args()
    suite = open_suite("band")
    seconds = suite.n_samples / suite.sample_rate
    print(
        f"{options.n} samples of {seconds:g} s, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f} at "
        "the start\n"
    )
    print("| model | seconds per sample | real-time factor | networks | sampler | harness | overhead of the harness |")
    print("|---|---|---|---|---|---|---|")
    for name in options.models.split(","):
        generator, networks, whole = registry.make_model(name, suite=suite, device="cpu"), Clock(), Clock()
        generator.generate = whole.within(generator.generate)
        generator._network.forward = networks.around(generator._network.forward)
        if hasattr(generator, "_vae"):
            generator._vae.decode = networks.around(generator._vae.decode)
        vocoder = networks.around(musicldm.generator.griffin_lim)
        with tempfile.TemporaryDirectory() as folder, patch.object(musicldm.generator, "griffin_lim", vocoder):
            target = ModelFolder(Path(folder), suite.stems, suite.sample_rate, suite.n_samples)
            begun = time.perf_counter()
            batch = Batch(Row(Model(name=name), generator, code=""), Assignment(suite.stems), target)
            failure = generate_batch(batch, None, options.n, 0, stage)
            total = time.perf_counter() - begun
        assert failure is None, failure
        print(
            f"| {name} | {total / options.n:.2f} | {total / options.n / seconds:.3f} | {networks.seconds:.1f} s | "
            f"{whole.seconds - networks.seconds:.2f} s | {total - whole.seconds:.2f} s | "
            f"{total / whole.seconds - 1:.1%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
