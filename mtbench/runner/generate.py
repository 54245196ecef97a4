"""Generate the missing samples. If a model fails, its failure is reported and the other models continue."""

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from mtbench import audio
from mtbench.errors import MtbenchError, one_line
from mtbench.execute import Stage
from mtbench.files import whole_file
from mtbench.generator import Generator
from mtbench.results.store import ModelFolder
from mtbench.runner.plan import Batch, Plan
from mtbench.stems import Songs, StemSet, optional_stems, with_silence


class Failure(NamedTuple):
    """The number of the first sample that could not be generated, and the reason."""

    number: int
    reason: str


@dataclass(frozen=True)
class Generated:
    """A batch whose samples are all in the run folder, or the failure that stopped it."""

    batch: Batch
    failure: Failure | None


def generate(plan: Plan, stage: Stage) -> Iterator[Generated]:
    """Generate the missing samples of every batch, in order."""
    if plan.given_songs:
        _keep_songs(plan, plan.given_songs, stage)
    for batch in plan.batches:
        given = None
        if batch.assignment.given:
            load = partial(_given, batch.folder, plan)
            given = Songs(range(len(plan.heldout)), load)
        yield Generated(batch, generate_batch(batch, given, plan.config.n, plan.config.seed, stage))


def _keep_songs(plan: Plan, folder: ModelFolder, stage: Stage) -> None:
    """Write the missing songs whose stems are given. All subsets and models read their given stems from these files."""
    n = plan.config.n
    missing = [i for i in range(n) if not folder.has(i)]
    with stage("given songs", n) as advance:
        advance(n - len(missing))
        for i in missing:
            folder.add(i, _song(plan, i))
            advance(1)


def _song(plan: Plan, number: int) -> StemSet:
    """Return a held-out song with all stems of the suite; missing optional stems are silent."""
    return with_silence(plan.heldout[number], plan.suite.stems, optional_stems(plan.suite))


def _given(folder: ModelFolder, plan: Plan, number: int) -> StemSet:
    """Return the given stems of song `number`.

    The first n songs are read from the run folder. The others are converted as they would be if they were written
    there. They are needed because a network that mixes the samples of a batch also uses the given stems of samples
    after the last requested one.
    """
    if number < plan.config.n:
        return folder.read_given(number)
    song = _song(plan, number)
    waves = {
        stem: audio.canonical(song.stems[stem], song.sample_rate, folder.rate, folder.length).samples
        for stem in folder.given
    }
    return StemSet(f"{number:05d}", {stem: audio.to_float(wave) for stem, wave in waves.items()}, folder.rate)


def generate_batch(batch: Batch, given: Songs | None, n: int, seed: int, stage: Stage) -> Failure | None:
    """Generate those of the first `n` samples of a batch that are missing. Return the failure, if there is one."""
    generator, folder = batch.row.generator, batch.folder
    missing = [i for i in range(n) if not folder.has(i)]
    trace = folder.path / "error.txt"
    trace.unlink(missing_ok=True)
    with stage(f"generate {batch.title}", n) as advance:
        advance(n - len(missing))
        if hasattr(generator, "on_step"):
            generator.on_step = lambda step, steps: advance(0, f"(step {step} of {steps})")
        for first, count in _stretches(missing):
            samples = _samples(generator, count, folder.made, given, seed, first)
            for number in range(first, first + count):
                try:
                    sample = next(samples)
                except StopIteration:
                    return Failure(
                        number, f"the generator stopped early (asked for samples {first} to {first + count - 1})"
                    )
                except (Exception, SystemExit) as error:
                    with whole_file(trace) as file:
                        file.write(traceback.format_exc().encode(errors="backslashreplace"))
                    return Failure(number, f"{one_line(error)} (traceback: {trace})")
                try:
                    folder.add(number, sample)
                except MtbenchError as error:
                    return Failure(number, str(error))
                advance(1)
    return None


def _samples(
    generator: Generator, n: int, stems: Sequence[str], given: Sequence[StemSet] | None, seed: int, start: int
) -> Iterator[StemSet]:
    # This is a generator function, so whatever `generate` raises is raised in next().
    yield from generator.generate(n, stems, given=given, seed=seed, start=start)


def _stretches(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, count) for each stretch of consecutive numbers."""
    start = 0
    for i in range(1, len(numbers) + 1):
        if i == len(numbers) or numbers[i] != numbers[i - 1] + 1:
            yield numbers[start], i - start
            start = i
