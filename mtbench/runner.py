"""A run: plan, generate, analyse, score. What is done is on disk, so a run that was stopped goes on where it was."""

import hashlib
import json
import platform
import subprocess
import tomllib
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

import mtbench
from mtbench import analysis, audio, beats, generator, scores
from mtbench.analysis import Analysis, Clip, open_embedding
from mtbench.config import Grid, Model, RunConfig
from mtbench.errors import MtbenchError, UsageError, one_line
from mtbench.generator import Generator, StemSet
from mtbench.store import Cache, ModelFolder, RunFolder, check_writable
from mtbench.suites import SAMPLE_RATE, Suite, open_suite
from mtbench.suites.folder import stem_folder

FAILURE_COLUMNS = ["task", "given", "model", "suite", "sample", "reason"]
CLIPS_AT_ONCE = 2  # clips whose stems share a pass of the beat network: more is quicker, and coarser to interrupt

# Shows a stage of work to the user: stage(title, total) gives a function to call with the steps just done and, where
# one takes long, a word on what goes on in it.
Stage = Callable[[str, int], AbstractContextManager[Callable[..., None]]]


@dataclass(frozen=True)
class Result:
    """What a run leaves: its folder, its scores (SCORE_COLUMNS), what its models are, what the user should know.

    failed: a line a model that has no scores, because it or all of its samples failed.
    """

    folder: Path
    scores: pd.DataFrame
    provenances: Mapping[str, Mapping[str, Any]]
    notices: list[str]
    failed: list[str]


def default_folder(config: RunConfig) -> Path:
    """``runs/<suite>-<hash>``: the same for the same models, suite, task and seed, so that a rerun goes on."""
    named = json.dumps([config.suite, config.task, config.seed, [model.model_dump() for model in config.models]])
    suite = config.suite.replace("/", "-").replace(":", "-").strip("-")[-60:]
    return Path("runs") / f"{suite}-{_short_hash(named)}"


def default_eval_folder(path: Path) -> Path:
    """``runs/eval-<name>-<hash>``: another one for a folder of the same name elsewhere."""
    path = path.resolve()
    return Path("runs") / f"eval-{path.name[-60:]}-{_short_hash(str(path))}"


def check_folder() -> Path:
    """``runs/check-<date>-<time>``: a new one, so that nothing in it was made by other code than that at hand."""
    return Path("runs") / f"check-{datetime.now():%Y%m%d-%H%M%S-%f}"


def run(config: RunConfig, folder: Path, device: str, stage: Stage) -> Result:
    """Generate what is missing, analyse it, score it, and write the run folder.

    A model that fails has no scores and a line in `failed`; the others are not touched by it.
    Raises UsageError for names, options or a folder that do not fit, before anything is made, and MtbenchError
    if the reference cannot be read or every model failed.
    """
    suite = open_suite(config.suite)
    for name in config.embeddings:
        open_embedding(name)
    _check_device(device)
    songs, spare = suite.reference(), len(suite.heldout())
    wanted = [model for model in config.models if model.name != "heldout" or spare]
    if spare < config.n and "heldout" in [model.name for model in wanted]:
        raise UsageError(f"suite '{suite.name}' holds {spare} songs outside its reference for the control 'heldout', "
                         f"and {config.n} samples a model are asked for: give -n {spare} or less")
    models = [(model, _make(model, suite, device)) for model in wanted]
    target, cache = RunFolder(folder), Cache()
    _check_writable(target, cache)
    folders, form = {}, (suite.stems, suite.sample_rate, suite.n_samples)
    for model, made in models:
        folders[model.row] = ModelFolder(target, config.task, model.row, *form)
        folders[model.row].claim({
            "model": model.name, "task": config.task, "suite": suite.name, "suite_version": suite.version,
            "seed": config.seed,
            "stems": list(suite.stems), "sample_rate": suite.sample_rate, "n_samples": suite.n_samples,
            "generator_sample_rate": int(made.sample_rate), "provenance": _plain(made.provenance),
        })

    reference = _reference(suite, songs, config.embeddings, cache, stage)
    tables, samples, failures, notices, failed = [], [], [], [], []
    for model, made in models:
        if failure := _generate(made, folders[model.row], suite, config, stage):
            number, reason = failure
            failed.append(f"{model.row} failed at sample {number}: {reason}")
            del folders[model.row]
            failures.append(_failures([(f"{number:05d}", reason)], _shared(config.task, model.row, suite)))

    if len(wanted) < len(config.models):
        notices.append(f"suite '{suite.name}' holds no songs outside its reference, so there is no control 'heldout'")
    for row, made_by in folders.items():
        clips = [
            analysis.clip_of_files(f"{i:05d}", made_by.files(i), suite.sample_rate, suite.n_samples)
            for i in range(config.n)
        ]
        settings = config.grid.settings()
        analyses = list(_analyse(f"analyse {row}", clips, suite.sample_rate, settings, config.embeddings, cache, stage))
        part = _score(analyses, reference, _shared(config.task, row, suite), config.grid, target)
        failures.append(part.failures)
        conversions = made_by.conversions(config.n)
        target.write_table(f"audio/{config.task}/{row}/conversions.csv", conversions)
        notices += part.notices + _conversion_notices(row, conversions)
        if part.scores.empty:
            failed.append(_nothing_scored(part.failures))
            continue
        samples.append(part.samples)
        tables.append(part.scores)
    provenances = {model.row: _plain(made.provenance) for model, made in models}
    target.write_yaml("run.yaml", _record(config.model_dump(mode="json"), config.embeddings, provenances))
    return _finish(target, samples, tables, failures, provenances, notices, failed)


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
    _check_writable(target, cache)
    row = Path(path).resolve().name
    clips = [analysis.clip_of_files(name, files, rate, length) for name, files in found.clips.items()]
    held = _reference(suite, suite.reference(), embeddings, cache, stage) if suite else None
    shared = _shared("total", row, suite)
    analyses = list(_analyse(f"analyse {row}", clips, rate, grid.settings(), embeddings, cache, stage))
    part = _score(analyses, held, shared, grid, target)
    if part.scores.empty:
        raise MtbenchError(_nothing_scored(part.failures))
    notices = part.notices + _length_notices(row, sum(done.cut for done in analyses), sum(done.padded for done in analyses))
    if found.incomplete:
        notices.insert(0, f"{len(found.incomplete)} incomplete clip(s) left out: {_incomplete(found.incomplete)}")
    asked = {"eval": str(path), "reference": reference, "grid": grid.model_dump(mode="json"), "embeddings": list(embeddings)}
    provenances = {row: {"what": "a folder of audio"}}
    target.write_yaml("run.yaml", _record(asked, embeddings, provenances))
    incomplete = [(name, f"no {', '.join(lacks)}") for name, lacks in found.incomplete.items()]
    failures = [part.failures, _failures(incomplete, shared)]
    return _finish(target, [part.samples], [part.scores], failures, provenances, notices, [])


@dataclass(frozen=True)
class _Part:
    samples: pd.DataFrame
    scores: pd.DataFrame
    failures: pd.DataFrame
    notices: list[str]


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]


def _check_writable(target: RunFolder, cache: Cache) -> None:
    check_writable(cache.path, "MTBENCH_CACHE moves the cache")
    check_writable(target.path, "choose another --out")


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


def _generate(
    made: Generator, folder: ModelFolder, suite: Suite, config: RunConfig, stage: Stage
) -> tuple[int, str] | None:
    """Make the samples that are missing. Returns the number of the first that could not be made, and why."""
    missing = [i for i in range(config.n) if not folder.has(i)]
    trace = folder.path / "error.txt"
    trace.unlink(missing_ok=True)
    with stage(f"generate {folder.path.name}", config.n) as advance:
        advance(config.n - len(missing))
        if hasattr(made, "on_step"):
            made.on_step = lambda done, steps: advance(0, f"(step {done} of {steps})")
        for first, count in _stretches(missing):
            made_now = _samples(made, count, suite.stems, config.seed, first)
            for number in range(first, first + count):
                try:
                    sample = next(made_now)
                except StopIteration:
                    return number, f"asked for the samples {first} to {first + count - 1}, it stopped before"
                except (Exception, SystemExit) as error:
                    with audio.whole_file(trace) as file:
                        file.write(traceback.format_exc().encode(errors="backslashreplace"))
                    return number, f"{one_line(error)} (its traceback: {trace})"
                try:
                    folder.add(number, sample)
                except MtbenchError as error:
                    return number, str(error)
                advance(1)
    return None


def _samples(made: Generator, n: int, stems: Sequence[str], seed: int, start: int) -> Iterator[StemSet]:
    # It is called within next(), so that all it raises is met there.
    yield from made.generate(n, stems, seed=seed, start=start)


def _stretches(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(first, count) of each unbroken stretch of ascending numbers."""
    start = 0
    for i in range(1, len(numbers) + 1):
        if i == len(numbers) or numbers[i] != numbers[i - 1] + 1:
            yield numbers[start], i - start
            start = i


def _reference(
    suite: Suite, songs: Sequence[StemSet], embeddings: Sequence[str], cache: Cache, stage: Stage
) -> scores.Reference:
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
            jobs = (delayed(analysis.analyse)(part, rate, settings, embeddings, cache) for part in parts)
            try:
                for part in workers(jobs):
                    advance(len(part))
                    yield from part
            except TerminatedWorkerError:
                raise MtbenchError(f"{title}: a process was killed, perhaps for want of memory; what was finished is "
                                   "kept, and the same command goes on from there") from None


def _score(
    analyses: list[Analysis], reference: scores.Reference | None, shared: Mapping[str, str], grid: Grid,
    target: RunFolder,
) -> _Part:
    """The tables of one model's clips; `scores` is empty if none can be scored."""
    row = shared["model"]
    failures = _failures([(done.id, done.error) for done in analyses if done.error], shared)
    if len(failures) == len(analyses):
        return _Part(pd.DataFrame(), pd.DataFrame(), failures, [])
    notices = [f"{row}: clip {done.id} not scored: {done.error}" for done in analyses if done.error]
    samples = scores.sample_table(analyses, grid.window, shared)
    table = scores.score_table(samples, len(analyses))
    if reference:
        distances, few = scores.fad_table(analyses, reference, shared)
        table = pd.concat([distances, table], ignore_index=True)
        notices += [f"{row}: {notice}" for notice in few]
    target.write_table(f"beats/{shared['task']}/{row}.csv", scores.beat_table([d for d in analyses if not d.error]))
    return _Part(samples, table, failures, notices)


def _finish(
    target: RunFolder, samples: list, tables: list, failures: list, provenances: Mapping, notices: list[str],
    failed: list[str],
) -> Result:
    target.write_table("failures.csv", pd.concat(failures, ignore_index=True))
    if not tables:
        raise MtbenchError(f"no model could be scored: {'; '.join(failed)}")
    table = pd.concat(tables, ignore_index=True)
    target.write_table("samples.csv", pd.concat(samples, ignore_index=True))
    target.write_table("scores.csv", table)
    return Result(target.path, table, provenances, notices, failed)


def _shared(task: str, row: str, suite: Suite | None) -> dict[str, str]:
    """The part of the key that all scores of a model share."""
    return {"task": task, "given": "", "model": row, "suite": suite.name if suite else ""}


def _failures(rows: Sequence[tuple[str, str]], shared: Mapping[str, str]) -> pd.DataFrame:
    """failures.csv of a model: (sample, reason) of what could not be made or scored."""
    named = [{**shared, "sample": sample, "reason": reason} for sample, reason in rows]
    return pd.DataFrame(named, columns=FAILURE_COLUMNS)


def _nothing_scored(failures: pd.DataFrame) -> str:
    first = failures.iloc[0]
    return f"{first['model']}: none of its {len(failures)} clips can be scored; the first: {first['reason']}"


def _conversion_notices(row: str, table: pd.DataFrame) -> list[str]:
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
        "git_commit": _git_commit(Path(__file__).resolve().parents[1]),
    }


def _plain(value: Any, depth: int = 8) -> Any:
    """A stranger's provenance as plain values that YAML holds and that equal themselves; what else it has becomes
    the name of its type."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and isfinite(value):
        return float(value)
    if isinstance(value, (str, float, Path)):
        return str(value)
    if isinstance(value, Mapping) and depth:
        return {str(key): _plain(held, depth - 1) for key, held in value.items()}
    if isinstance(value, (list, tuple)) and depth:
        return [_plain(held, depth - 1) for held in value]
    if isinstance(value, (set, frozenset)) and depth:
        return sorted(str(_plain(held, depth - 1)) for held in value)
    return type(value).__name__


def _git_commit(source: Path) -> str | None:
    """The commit of mtbench's source tree, or None if `source` is not the top of a checkout of it."""
    try:
        question = ["git", "rev-parse", "--show-toplevel", "HEAD"]
        asked = subprocess.run(question, cwd=source, capture_output=True, text=True)
        top, commit = asked.stdout.splitlines()
        project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    except (OSError, ValueError, KeyError):  # no git, no checkout, no pyproject
        return None
    return commit if Path(top).resolve() == source.resolve() and project == "mtbench" else None
