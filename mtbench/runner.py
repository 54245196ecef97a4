"""A run: plan, generate, analyse, score. What is done is on disk, so a run that was stopped goes on where it was."""

import hashlib
import json
import platform
import subprocess
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import torch
from joblib import Parallel, delayed

import mtbench
from mtbench import analysis, beats, generator, scores
from mtbench.analysis import Analysis, Clip, open_embedding
from mtbench.config import Grid, Model, RunConfig
from mtbench.errors import MtbenchError, UsageError
from mtbench.generator import Generator
from mtbench.store import Cache, ModelFolder, RunFolder
from mtbench.suites import N_SAMPLES, SAMPLE_RATE, Suite, open_suite
from mtbench.suites.folder import stem_folder

CLIPS_AT_ONCE = 2  # clips whose stems share a pass of the beat network: more is quicker, and coarser to interrupt

# Shows a stage of work to the user: stage(title, total) gives a function to call with the steps just done.
Stage = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True)
class Result:
    """What a run leaves: its folder, its scores (SCORE_COLUMNS), what its models are, what the user should know."""

    folder: Path
    scores: pd.DataFrame
    provenances: Mapping[str, Mapping[str, Any]]
    notices: list[str]


def default_folder(config: RunConfig) -> Path:
    """``runs/<suite>-<hash>``: the same for the same models, suite, task and seed, so that a rerun goes on."""
    named = json.dumps([config.suite, config.task, config.seed, [model.model_dump() for model in config.models]])
    suite = config.suite.replace("/", "-").replace(":", "-").strip("-")
    return Path("runs") / f"{suite}-{hashlib.sha256(named.encode()).hexdigest()[:8]}"


def run(config: RunConfig, folder: Path, device: str, stage: Stage) -> Result:
    """Generate what is missing, analyse it, score it, and write the run folder.

    Raises UsageError for names, options or a folder that do not fit, before anything is made, and MtbenchError
    if a generator yields what it was not asked for or no clip can be scored.
    """
    suite = open_suite(config.suite)
    for name in config.embeddings:
        open_embedding(name)
    _check_device(device)
    wanted = [model for model in config.models if model.name != "heldout" or len(suite.heldout())]
    models = [(model, _make(model, suite, device)) for model in wanted]
    target, cache = RunFolder(folder), Cache()
    folders = {}
    for model, made in models:
        folders[model.row] = ModelFolder(target, config.task, model.row, suite.stems)
        folders[model.row].claim({
            "model": model.name, "task": config.task, "suite": suite.name, "suite_version": suite.version,
            "seed": config.seed,
            "stems": list(suite.stems), "sample_rate": suite.sample_rate, "n_samples": suite.n_samples,
            "generator_sample_rate": made.sample_rate, "provenance": _plain(made.provenance),
        })

    for model, made in models:
        _generate(made, folders[model.row], suite, config, stage)

    reference = _reference(suite, config.embeddings, cache, stage)
    tables, samples, failures, notices = [], [], [], []
    if len(wanted) < len(config.models):
        notices.append(f"suite '{suite.name}' holds no songs outside its reference, so there is no control 'heldout'")
    for model, _ in models:
        clips = [
            analysis.clip_of_files(f"{i:05d}", folders[model.row].files(i), suite.sample_rate, suite.n_samples)
            for i in range(config.n)
        ]
        shared = {"task": config.task, "given": "", "model": model.row, "suite": suite.name}
        settings = config.grid.settings()
        analyses = list(_analyse(f"analyse {model.row}", clips, suite.sample_rate, settings, config.embeddings, cache, stage))
        part = _score(analyses, reference, shared, config.grid, target)
        samples.append(part.samples)
        tables.append(part.scores)
        failures.append(part.failures)
        notices += part.notices + _conversion_notices(model.row, folders[model.row], config.n)
    provenances = {model.row: _plain(made.provenance) for model, made in models}
    target.write_yaml("run.yaml", _record(config.model_dump(mode="json"), config.embeddings, provenances))
    return _finish(target, samples, tables, failures, provenances, notices)


def evaluate(
    path: Path, reference: str | None, grid: Grid, embeddings: Sequence[str], folder: Path, stage: Stage
) -> Result:
    """Score a folder of stems. With a reference its clips take that suite's rate and duration, and FAD is added.

    Raises UsageError for a folder or suite that is not there, MtbenchError if no clip can be scored.
    """
    found = stem_folder(path)
    if (folder / "audio").exists():
        raise UsageError(f"{folder} is the folder of a run, whose scores this would replace; choose another --out")
    suite = open_suite(reference) if reference else None
    embeddings = tuple(embeddings) if suite else ()
    for name in embeddings:
        open_embedding(name)
    if not found.clips:
        raise UsageError(f"{path}: no clip is complete; {_incomplete(found.incomplete)}")
    rate, length = (suite.sample_rate, suite.n_samples) if suite else (SAMPLE_RATE, None)
    target, cache = RunFolder(folder), Cache()
    row = Path(path).resolve().name
    clips = [analysis.clip_of_files(name, files, rate, length) for name, files in found.clips.items()]
    held = _reference(suite, embeddings, cache, stage) if suite else None
    shared = {"task": "total", "given": "", "model": row, "suite": suite.name if suite else ""}
    analyses = list(_analyse(f"analyse {row}", clips, rate, grid.settings(), embeddings, cache, stage))
    part = _score(analyses, held, shared, grid, target)
    notices = part.notices + _length_notices(row, sum(done.cut for done in analyses), sum(done.padded for done in analyses))
    if found.incomplete:
        notices.insert(0, f"{len(found.incomplete)} incomplete clip(s) left out: {_incomplete(found.incomplete)}")
    asked = {"eval": str(path), "reference": reference, "grid": grid.model_dump(mode="json"), "embeddings": list(embeddings)}
    provenances = {row: {"what": "a folder of audio"}}
    target.write_yaml("run.yaml", _record(asked, embeddings, provenances))
    lacking = [{**shared, "sample": name, "reason": f"no {', '.join(lacks)}"} for name, lacks in found.incomplete.items()]
    failures = [part.failures, pd.DataFrame(lacking, columns=part.failures.columns)]
    return _finish(target, [part.samples], [part.scores], failures, provenances, notices)


@dataclass(frozen=True)
class _Part:
    samples: pd.DataFrame
    scores: pd.DataFrame
    failures: pd.DataFrame
    notices: list[str]


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch says "not compiled with CUDA" by an assertion
        raise UsageError(f"device '{device}' cannot be used here: {str(error).splitlines()[0]}") from None


def _make(model: Model, suite: Suite, device: str) -> Generator:
    made = generator.make(model.name, suite=suite, weights=model.weights, device=device, options=model.options)
    if missing := [stem for stem in suite.stems if stem not in made.stems]:
        raise UsageError(f"model '{model.row}' cannot make the stems {', '.join(missing)} of suite '{suite.name}'")
    if "total" not in made.tasks:
        raise UsageError(f"model '{model.row}' cannot do the task 'total' (it does {', '.join(sorted(made.tasks))})")
    return made


def _generate(made: Generator, folder: ModelFolder, suite: Suite, config: RunConfig, stage: Stage) -> None:
    missing = [i for i in range(config.n) if not folder.has(i)]
    with stage(f"generate {folder.path.name}", config.n) as advance:
        advance(config.n - len(missing))
        for first, count in _stretches(missing):
            number = first
            try:
                for sample in made.generate(count, suite.stems, seed=config.seed, start=first):
                    folder.add(number, sample, suite.sample_rate, suite.n_samples)
                    number += 1
                    advance(1)
                    if number == first + count:
                        break
            except MtbenchError:
                raise
            except Exception as error:
                trace = folder.path / "error.txt"
                trace.write_text(traceback.format_exc(), encoding="utf-8")
                raise MtbenchError(f"{folder.path.name} failed while making sample {number}: {type(error).__name__}: {error} "
                                   f"(its traceback: {trace})") from error
            if number < first + count:
                raise MtbenchError(f"{folder.path.name}: asked for samples {first} to {first + count - 1}, it stopped "
                                   f"before {number}")


def _stretches(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(first, count) of each unbroken stretch of ascending numbers."""
    start = 0
    for i in range(1, len(numbers) + 1):
        if i == len(numbers) or numbers[i] != numbers[i - 1] + 1:
            yield numbers[start], i - start
            start = i


def _reference(suite: Suite, embeddings: Sequence[str], cache: Cache, stage: Stage) -> scores.Reference:
    songs = suite.reference()
    clips = [analysis.clip_of_song(songs, i) for i in range(len(songs))]
    analyses = list(_analyse(f"reference of {suite.name}", clips, suite.sample_rate, (), embeddings, cache, stage))
    if broken := [done for done in analyses if done.error]:
        raise MtbenchError(f"the reference of suite '{suite.name}' cannot be read: {broken[0].error}")
    digest = hashlib.sha256("\n".join(done.digest for done in analyses).encode()).hexdigest()
    frames = {
        (name, track): scores.pool(analyses, name, track) for name in embeddings for track in ("mixture", *suite.stems)
    }
    return scores.Reference(f"{suite.split}:{len(songs)}:{digest[:8]}", frames)


def _analyse(
    title: str, clips: list[Clip], rate: int, settings: Sequence, embeddings: Sequence[str], cache: Cache, stage: Stage
) -> Iterable[Analysis]:
    """Analyse clips in processes of one thread each, in order, with progress; few are in memory at once."""
    parts = [clips[i : i + CLIPS_AT_ONCE] for i in range(0, len(clips), CLIPS_AT_ONCE)]
    with stage(title, len(clips)) as advance:
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
            workers = Parallel(n_jobs=min(joblib.cpu_count(), len(parts)), return_as="generator", batch_size=1)
            for part in workers(delayed(analysis.analyse)(part, rate, settings, embeddings, cache) for part in parts):
                advance(len(part))
                yield from part


def _score(
    analyses: list[Analysis], reference: scores.Reference | None, shared: Mapping[str, str], grid: Grid,
    target: RunFolder,
) -> _Part:
    row = shared["model"]
    failures = pd.DataFrame(
        [{**shared, "sample": done.id, "reason": done.error} for done in analyses if done.error],
        columns=["task", "given", "model", "suite", "sample", "reason"],
    )
    if len(failures) == len(analyses):
        raise MtbenchError(f"{row}: none of its {len(analyses)} clips can be scored; the first: {analyses[0].error}")
    notices = [f"{row}: clip {done.id} not scored: {done.error}" for done in analyses if done.error]
    samples = scores.sample_table(analyses, grid.window, shared)
    table = scores.score_table(samples, len(analyses))
    if reference:
        distances, few = scores.fad_table(analyses, reference, shared)
        table = pd.concat([distances, table], ignore_index=True)
        notices += [f"{row}: {notice}" for notice in few]
    target.write_table(f"beats/{shared['task']}/{row}.csv", scores.beat_table([d for d in analyses if not d.error]))
    return _Part(samples, table, failures, notices)


def _finish(target: RunFolder, samples: list, tables: list, failures: list, provenances: Mapping, notices: list[str]) -> Result:
    table = pd.concat(tables, ignore_index=True)
    target.write_table("samples.csv", pd.concat(samples, ignore_index=True))
    target.write_table("failures.csv", pd.concat(failures, ignore_index=True))
    target.write_table("scores.csv", table)
    return Result(target.path, table, provenances, notices)


def _conversion_notices(row: str, folder: ModelFolder, n: int) -> list[str]:
    table = folder.conversions()
    table = table[table["sample"].isin([f"{i:05d}" for i in range(n)])]
    counts = {column: int((table[column] > 0).sum()) for column in ("cut", "padded", "not_finite")}
    notices = _length_notices(row, counts["cut"], counts["padded"])
    if counts["not_finite"]:
        notices.append(f"{row}: {counts['not_finite']} stems held NaN or infinite samples, made 0 or full scale")
    return notices


def _length_notices(row: str, cut: int, padded: int) -> list[str]:
    whats = ((cut, "stems longer than the suite's clip were cut"), (padded, "shorter stems were zero-padded"))
    return [f"{row}: {count} {what}" for count, what in whats if count]


def _incomplete(incomplete: Mapping[str, Sequence[str]]) -> str:
    named = [f"{name} (no {', '.join(lacks)})" for name, lacks in list(incomplete.items())[:5]]
    return "; ".join(named) + (f"; and {len(incomplete) - 5} more" if len(incomplete) > 5 else "")


def _record(
    config: Mapping[str, Any], embeddings: Sequence[str], models: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """What run.yaml holds."""
    packages = ("torch", "numpy", "scipy", "madmom", "soundfile")
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": dict(config),
        "models": dict(models),
        "beats": dict(beats.identity()),
        "embeddings": {name: open_embedding(name).version for name in embeddings},
        "versions": {"mtbench": mtbench.__version__, "python": platform.python_version()}
        | {package: version(package) for package in packages},
        "git_commit": _git_commit(),
    }


def _plain(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """A stranger's provenance as plain values that YAML holds; whatever else it has becomes its text."""
    return json.loads(json.dumps(dict(provenance), default=lambda value: str(value) if isinstance(value, (str, Path)) else type(value).__name__))


def _git_commit() -> str | None:
    """The commit of the source tree that mtbench runs from, or None where it runs from no checkout."""
    try:
        asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    except OSError:
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None
