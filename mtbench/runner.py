"""A run: plan, generate, analyse, score. What is done is on disk, so a run that was stopped goes on where it was."""

import hashlib
import json
import platform
import subprocess
import tomllib
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
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
from mtbench.cache import Cache
from mtbench.config import CONTROLS, Grid, Model, RunConfig, folder_row, generated_stems
from mtbench.errors import MtbenchError, UsageError, one_line
from mtbench.files import check_writable, whole_file
from mtbench.generator import Generator
from mtbench.stems import SAMPLE_RATE, STEMS, Songs, StemSet, Suite
from mtbench.store import ModelFolder, RunFolder
from mtbench.suites import open_suite
from mtbench.suites.folder import stem_folder

FAILURE_COLUMNS = ["task", "given", "model", "suite", "sample", "reason"]
CLIPS_AT_ONCE = 2  # clips whose stems share a pass of the beat network: more is quicker, and coarser to interrupt

# Shows a stage of work to the user: stage(title, total) gives a function to call with the steps just done and, where
# one takes long, a word on what goes on in it.
Stage = Callable[[str, int], AbstractContextManager[Callable[..., None]]]


@dataclass(frozen=True)
class Part:
    """What models are asked for: the stems `made` beside those `given`. With none given it is total generation."""

    made: tuple[str, ...]
    given: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        return "arrangement" if self.given else "total"

    @property
    def folder(self) -> str:
        return f"{self.task}-{'+'.join(self.given)}" if self.given else self.task

    def named(self, row: str) -> str:
        """A model in what is said to the user."""
        return f"{row} ({'+'.join(self.made)} beside {'+'.join(self.given)})" if self.given else row


@dataclass(frozen=True)
class Result:
    """What a run leaves: its folder, its scores (SCORE_COLUMNS) and their comparisons (COMPARISON_COLUMNS), what its
    models are, what the user should know.

    failed: a line a model that has no scores, because it or all of its samples failed.
    """

    folder: Path
    scores: pd.DataFrame
    comparisons: pd.DataFrame
    provenances: Mapping[str, Mapping[str, Any]]
    notices: list[str]
    failed: list[str]


def default_folder(config: RunConfig) -> Path:
    """``runs/<suite>-<hash>``: the same for the same models, suite, task, subsets and seed, so that a rerun goes on."""
    named = json.dumps(
        [
            config.suite,
            config.task,
            config.subsets,
            config.seed,
            [model.model_dump(mode="json") for model in config.models],
        ]
    )
    suite = config.suite.replace("/", "-").replace(":", "-").strip("-")[-60:]
    return Path("runs") / f"{suite}-{_short_hash(named)}"


def default_eval_folder(path: Path) -> Path:
    """``runs/eval-<name>-<hash>``: another one for a folder of the same name elsewhere."""
    path = path.resolve()
    return Path("runs") / f"eval-{path.name[-60:]}-{_short_hash(str(path))}"


def check_folder() -> Path:
    """``runs/check-<date>-<time>``: a new one, so that nothing in it was made by other code than that at hand."""
    return Path("runs") / f"check-{datetime.now():%Y%m%d-%H%M%S-%f}"


def run(config: RunConfig, folder: Path, device: str, stage: Stage, cache: Cache | None = None) -> Result:
    """Generate what is missing, analyse it, score it, and write the run folder.

    cache: of what was worked out from audio; as a rule the user's.
    A model that fails has no scores and a line in `failed`; the others are not touched by it.
    Raises UsageError for names, options or a folder that do not fit, before anything is made, and MtbenchError
    if the reference cannot be read or every model failed.
    """
    suite = open_suite(config.suite)
    parts = _parts(config, suite)
    for name in config.embeddings:
        open_embedding(name)
    _check_device(device)
    reference_songs, heldout = suite.reference(), suite.heldout()
    wanted = [model for model in config.models if len(heldout) >= _songs_needed(model)]
    arranging = any(part.given for part in parts)
    if arranging and not len(heldout):
        raise UsageError(
            f"suite '{suite.name}' holds no songs outside its reference to be given; a folder suite takes them "
            "from heldout/ beside reference/"
        )
    if len(heldout) < config.n and (arranging or any(map(_songs_needed, wanted))):
        use = "to be given" if arranging else "for the control 'heldout'"
        raise UsageError(
            f"suite '{suite.name}' holds {len(heldout)} songs outside its reference {use}, and {config.n} "
            f"samples a model are asked for: give -n {len(heldout)} or less"
        )
    models = [(model, _make(model, suite, parts, config.n, device)) for model in wanted]
    target, cache = RunFolder(folder), cache or Cache()
    _check_writable(target, cache)
    audio_folder, form = target.path / "audio", (suite.stems, suite.sample_rate, suite.n_samples)
    origin = {"suite": suite.name, "suite_version": suite.version}
    given_songs = ModelFolder(audio_folder / "songs", *form)
    if arranging:
        given_songs.claim({"songs": "held out", **origin})
    commit = _git_commit(Path(__file__).resolve().parents[1])
    folders, codes = {}, {model.row: _code(model, commit) for model, _ in models}
    for part in parts:
        for model, made in models:
            if part.task not in made.tasks:  # a control, or it would have been refused
                continue
            held = ModelFolder(audio_folder / part.folder / model.row, *form, given_songs, part.given, codes[model.row])
            held.claim(
                {
                    "model": model.name,
                    "task": part.task,
                    **origin,
                    "seed": config.seed,
                    "options": _plain(model.options),
                    "stems": list(suite.stems),
                    "sample_rate": suite.sample_rate,
                    "n_samples": suite.n_samples,
                    "generator_sample_rate": int(made.sample_rate),
                    "provenance": _plain(made.provenance),
                }
            )
            folders[part, model.row] = held

    # A sum of stems is its stems' names; where one stem is made alone, its own embedding is there.
    sums = {"+".join(part.made): part.made for part in parts if part.given and len(part.made) > 1}
    reference = _reference(suite, reference_songs, sums, config.embeddings, cache, stage)
    if arranging:
        _keep_songs(heldout, given_songs, config.n, stage)
    done, failures, notices, failed = [], [], [*reference_songs.notices, *heldout.notices], []
    makers = {model.row: made for model, made in models}
    for (part, row), held in list(folders.items()):
        given = Songs(range(len(heldout)), partial(_given, held, heldout, config.n)) if part.given else None
        if failure := _generate(makers[row], held, part.named(row), given, config, stage):
            number, reason = failure
            failed.append(f"{part.named(row)} failed at sample {number}: {reason}")
            del folders[part, row]
            failures.append(_failures([(f"{number:05d}", reason)], _shared(part, row, suite)))

    for model in config.models:
        if model not in wanted:
            few = "no songs" if not len(heldout) else "one song"
            notices.append(
                f"suite '{suite.name}' holds {few} outside its reference, so there is no control '{model.row}'"
            )
    samples_by: dict[str, Counter] = {}
    for (part, row), held in folders.items():
        clips = [
            analysis.clip_of_files(f"{i:05d}", held.files(i), suite.sample_rate, suite.n_samples)
            for i in range(config.n)
        ]
        analyses = list(
            _analyse(
                f"analyse {part.named(row)}",
                clips,
                suite.sample_rate,
                config.grid.settings(),
                config.embeddings,
                {"generated": part.made} if part.given else {},
                cache,
                stage,
            )
        )
        scored = _score(analyses, _reference_of(reference, part), part, row, suite, config.grid, target)
        failures.append(scored.failures)
        conversions = held.conversions(config.n)
        target.write_table(f"audio/{part.folder}/{row}/conversions.csv", conversions)
        samples_by.setdefault(row, Counter()).update(conversions.drop_duplicates("sample")["made_by"])
        notices += scored.notices + _conversion_notices(part.named(row), conversions)
        if scored.scores.empty:
            failed.append(_nothing_scored(part.named(row), scored.failures))
            continue
        done.append(scored)
    provenances = {model.row: _plain(made.provenance) for model, made in models}
    record = _record(config.model_dump(mode="json"), config.embeddings, provenances) | {"suite_version": suite.version}
    if older := {row: by for row, by in samples_by.items() if by.keys() - {"", codes[row]}}:
        record["samples_made_by"] = {row: {code: by[code] for code in sorted(by) if code} for row, by in older.items()}
        notices += _code_notices(older, codes)
    return _finish(target, record, done, failures, provenances, list(dict.fromkeys(notices)), failed)


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
        raise UsageError(f"{path}: no clip is complete; {found.left_out}")
    rate, length = (suite.sample_rate, suite.n_samples) if suite else (SAMPLE_RATE, None)
    target, cache = RunFolder(folder), Cache()
    _check_writable(target, cache)
    row = folder_row(path)
    clips = [analysis.clip_of_files(name, files, rate, length) for name, files in found.clips.items()]
    songs = suite.reference() if suite else None
    held = _reference(suite, songs, {}, embeddings, cache, stage) if suite else None
    part = Part(STEMS)
    analyses = list(_analyse(f"analyse {row}", clips, rate, grid.settings(), embeddings, {}, cache, stage))
    scored = _score(analyses, held, part, row, suite, grid, target)
    if scored.scores.empty:
        raise MtbenchError(_nothing_scored(row, scored.failures))
    notices = scored.notices + _length_notices(
        row, sum(done.cut for done in analyses), sum(done.padded for done in analyses)
    )
    notices = [*(songs.notices if songs else ()), *([f"{row}: {found.left_out}"] if found.left_out else ()), *notices]
    asked = {
        "eval": str(path),
        "reference": reference,
        "grid": grid.model_dump(mode="json"),
        "embeddings": list(embeddings),
    }
    provenances = {row: {"what": "a folder of audio"}}
    incomplete = [(name, f"no {', '.join(lacks)}") for name, lacks in found.incomplete.items()]
    failures = [scored.failures, _failures(incomplete, _shared(part, row, suite))]
    return _finish(target, _record(asked, embeddings, provenances), [scored], failures, provenances, notices, [])


@dataclass(frozen=True)
class _Scored:
    samples: pd.DataFrame
    scores: pd.DataFrame
    failures: pd.DataFrame
    notices: list[str]
    fad_per_clip: pd.DataFrame


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


def _parts(config: RunConfig, suite: Suite) -> list[Part]:
    if config.task == "total":
        return [Part(suite.stems)]
    subsets = generated_stems(config.subsets, suite.stems)
    return [Part(made, tuple(stem for stem in suite.stems if stem not in made)) for made in subsets]


def _songs_needed(model: Model) -> int:
    """Held-out songs without which there is no such control."""
    return 0 if model.name != "heldout" else 2 if model.options.get("shuffled") else 1


def _make(model: Model, suite: Suite, parts: Sequence[Part], n: int, device: str) -> Generator:
    made = generator.make(model.name, suite=suite, weights=model.weights, device=device, options=model.options)
    needed = {stem for part in parts for stem in part.made}
    if missing := [stem for stem in suite.stems if stem in needed and stem not in made.stems]:
        raise UsageError(f"model '{model.row}' cannot make the stems {', '.join(missing)} of suite '{suite.name}'")
    lacking = {part.task for part in parts} - set(made.tasks)
    if lacking and model.row not in CONTROLS:
        arranging = any(part.given for part in parts)
        remedy = "; leave the subset of all stems out with --subsets" if arranging and lacking == {"total"} else ""
        raise UsageError(
            f"model '{model.row}' cannot do the task '{min(lacking)}' (it does {', '.join(sorted(made.tasks))}){remedy}"
        )
    available = getattr(made, "available", n)
    if n > available:
        raise UsageError(
            f"model '{model.row}' has {available} samples, and {n} are asked for: give -n {available} or less"
        )
    return made


def _keep_songs(songs: Sequence[StemSet], folder: ModelFolder, n: int, stage: Stage) -> None:
    """Write the songs whose stems are given that are not there yet: every subset and model reads them."""
    missing = [i for i in range(n) if not folder.has(i)]
    with stage("given songs", n) as advance:
        advance(n - len(missing))
        for i in missing:
            folder.add(i, songs[i])
            advance(1)


def _given(folder: ModelFolder, songs: Sequence[StemSet], kept: int, number: int) -> StemSet:
    """The stems of song `number` that are given: as the disk holds the first `kept` songs, and the others would be read
    back from it.

    A network that mixes the samples of a batch looks at what the ones after the last asked for are given.
    """
    if number < kept:
        return folder.read_given(number)
    song = songs[number]
    waves = {
        stem: audio.canonical(song.stems[stem], song.sample_rate, folder.rate, folder.length).samples
        for stem in folder.given
    }
    return StemSet(f"{number:05d}", {stem: audio.to_float(wave) for stem, wave in waves.items()}, folder.rate)


def _generate(
    made: Generator, folder: ModelFolder, title: str, given: Sequence[StemSet] | None, config: RunConfig, stage: Stage
) -> tuple[int, str] | None:
    """Make the samples that are missing. Returns the number of the first that could not be made, and why."""
    missing = [i for i in range(config.n) if not folder.has(i)]
    trace = folder.path / "error.txt"
    trace.unlink(missing_ok=True)
    with stage(f"generate {title}", config.n) as advance:
        advance(config.n - len(missing))
        if hasattr(made, "on_step"):
            made.on_step = lambda done, steps: advance(0, f"(step {done} of {steps})")
        for first, count in _stretches(missing):
            made_now = _samples(made, count, folder.made, given, config.seed, first)
            for number in range(first, first + count):
                try:
                    sample = next(made_now)
                except StopIteration:
                    return number, f"asked for the samples {first} to {first + count - 1}, it stopped before"
                except (Exception, SystemExit) as error:
                    with whole_file(trace) as file:
                        file.write(traceback.format_exc().encode(errors="backslashreplace"))
                    return number, f"{one_line(error)} (its traceback: {trace})"
                try:
                    folder.add(number, sample)
                except MtbenchError as error:
                    return number, str(error)
                advance(1)
    return None


def _samples(
    made: Generator, n: int, stems: Sequence[str], given: Sequence[StemSet] | None, seed: int, start: int
) -> Iterator[StemSet]:
    # It is called within next(), so that all it raises is met there.
    yield from made.generate(n, stems, given=given, seed=seed, start=start)


def _stretches(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(first, count) of each unbroken stretch of ascending numbers."""
    start = 0
    for i in range(1, len(numbers) + 1):
        if i == len(numbers) or numbers[i] != numbers[i - 1] + 1:
            yield numbers[start], i - start
            start = i


def _reference(
    suite: Suite,
    songs: Songs,
    sums: Mapping[str, Sequence[str]],
    embeddings: Sequence[str],
    cache: Cache,
    stage: Stage,
) -> scores.Reference:
    clips = [analysis.clip_of_song(songs, i) for i in range(len(songs))]
    analyses = list(
        _analyse(f"reference of {suite.name}", clips, suite.sample_rate, (), embeddings, sums, cache, stage)
    )
    if broken := [done for done in analyses if done.error]:
        raise MtbenchError(f"the reference of suite '{suite.name}' cannot be read: {broken[0].error}")
    digest = hashlib.sha256("\n".join(done.digest for done in analyses).encode()).hexdigest()
    frames = {
        (name, track): scores.pool(analyses, name, track)
        for name in embeddings
        for track in ("mixture", *suite.stems, *sums)
    }
    return scores.Reference(f"{suite.split}:{len(songs)}:{digest[:8]}", frames)


def _reference_of(reference: scores.Reference, part: Part) -> scores.Reference:
    """The tracks of a reference that models are measured on: the mixture, where stems are given the sum of those made
    (`generated`), and each stem made."""
    tracks = {"mixture": "mixture"} | ({"generated": "+".join(part.made)} if part.given else {})
    tracks |= {stem: stem for stem in part.made}
    names = dict.fromkeys(name for name, _ in reference.frames)
    frames = {(name, track): reference.frames[name, source] for name in names for track, source in tracks.items()}
    return replace(reference, frames=frames)


def _analyse(
    title: str,
    clips: list[Clip],
    rate: int,
    settings: Sequence,
    embeddings: Sequence[str],
    sums: Mapping[str, Sequence[str]],
    cache: Cache,
    stage: Stage,
) -> Iterable[Analysis]:
    """Analyse clips in processes of one thread each, in order, with progress; few are in memory at once."""
    parts = [clips[i : i + CLIPS_AT_ONCE] for i in range(0, len(clips), CLIPS_AT_ONCE)]
    with stage(title, len(clips)) as advance:
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
            workers = Parallel(n_jobs=min(joblib.cpu_count(), len(parts)), return_as="generator", batch_size=1)
            jobs = (delayed(analysis.analyse)(part, rate, settings, embeddings, sums, cache) for part in parts)
            try:
                for part in workers(jobs):
                    advance(len(part))
                    yield from part
            except TerminatedWorkerError:
                raise MtbenchError(f"{title}: a process was killed, perhaps for want of memory") from None


def _score(
    analyses: list[Analysis],
    reference: scores.Reference | None,
    part: Part,
    row: str,
    suite: Suite | None,
    grid: Grid,
    target: RunFolder,
) -> _Scored:
    """The tables of one model's clips; `scores` is empty if none can be scored."""
    shared = _shared(part, row, suite)
    failures = _failures([(done.id, done.error) for done in analyses if done.error], shared)
    if len(failures) == len(analyses):
        return _Scored(pd.DataFrame(), pd.DataFrame(), failures, [], pd.DataFrame())
    notices = [f"{part.named(row)}: clip {done.id} not scored: {done.error}" for done in analyses if done.error]
    samples = scores.sample_table(analyses, grid.window, shared)
    table, fad_per_clip = scores.score_table(samples, len(analyses)), pd.DataFrame()
    if reference:
        distances, fad_per_clip, few = scores.fad_table(analyses, reference, shared)
        table = pd.concat([distances, table], ignore_index=True)
        notices += [f"{part.named(row)}: {notice}" for notice in few]
    target.write_table(f"beats/{part.folder}/{row}.csv", scores.beat_table([d for d in analyses if not d.error]))
    return _Scored(samples, table, failures, notices, fad_per_clip)


def _finish(
    target: RunFolder,
    record: Mapping[str, Any],
    done: Sequence[_Scored],
    failures: list,
    provenances: Mapping,
    notices: list[str],
    failed: list[str],
) -> Result:
    """Write the tables, which stand for one run: all that takes long is done before the first of them.

    Those of an earlier run in the folder go first, so that a run which fails wholly, or is killed here, does not stand
    beside another one's scores. What they were worked out from stays.
    """
    if done:
        table = pd.concat([one.scores for one in done], ignore_index=True)
        samples = pd.concat([part for one in done for part in (one.samples, one.fad_per_clip)], ignore_index=True)
        comparisons = scores.comparison_table(samples)
    for name in ("scores.csv", "comparisons.csv", "samples.csv"):
        target.remove(name)
    target.write_yaml("run.yaml", record)
    target.write_table("failures.csv", pd.concat(failures, ignore_index=True))
    if not done:
        raise MtbenchError(f"no model could be scored: {'; '.join(failed)}")
    target.write_table("samples.csv", samples)
    target.write_table("comparisons.csv", comparisons)
    target.write_table("scores.csv", table)
    return Result(target.path, table, comparisons, provenances, notices, failed)


def _shared(part: Part, row: str, suite: Suite | None) -> dict[str, str]:
    """What the keys of all scores of a model have in common."""
    return {"task": part.task, "given": "+".join(part.given), "model": row, "suite": suite.name if suite else ""}


def _failures(rows: Sequence[tuple[str, str]], shared: Mapping[str, str]) -> pd.DataFrame:
    """failures.csv of a model: (sample, reason) of what could not be made or scored."""
    named = [{**shared, "sample": sample, "reason": reason} for sample, reason in rows]
    return pd.DataFrame(named, columns=FAILURE_COLUMNS)


def _nothing_scored(named: str, failures: pd.DataFrame) -> str:
    return f"{named}: none of its {len(failures)} clips can be scored; the first: {failures.iloc[0]['reason']}"


def _conversion_notices(named: str, table: pd.DataFrame) -> list[str]:
    counts = {column: int((table[column] > 0).sum()) for column in ("cut", "padded", "not_finite")}
    notices = _length_notices(named, counts["cut"], counts["padded"])
    if counts["not_finite"]:
        notices.append(f"{named}: {counts['not_finite']} stems held NaN or infinite samples, made 0 or full scale")
    return notices


def _length_notices(named: str, cut: int, padded: int) -> list[str]:
    whats = ((cut, "stems longer than the suite's clip were cut"), (padded, "shorter stems were zero-padded"))
    return [f"{named}: {count} {what}" for count, what in whats if count]


def _code_notices(older: Mapping[str, Mapping[str, int]], codes: Mapping[str, str]) -> list[str]:
    """A line for each code other than that at hand which made samples. older: {row: {code: samples}}; codes: {row: that
    at hand}."""
    told: dict[tuple[str, str], list[str]] = {}
    for row, by in older.items():
        for code in sorted(by.keys() - {"", codes[row]}):
            told.setdefault((code, codes[row]), []).append(f"{by[code]} of {row}")
    return [
        f"samples made by {code}, not by the code at hand ({at_hand}), are scored as they are ({', '.join(rows)}): "
        "choose another --out to make them anew"
        for (code, at_hand), rows in told.items()
    ]


def _code(model: Model, commit: str | None) -> str:
    """What a model's samples are made by: the version of mtbench, its commit where that is known, and the version of
    the package that brings the model."""
    point = generator.installed().get(model.name)
    code = f"mtbench {mtbench.__version__}" + (f" at commit {commit}" if commit else "")
    brought = point.dist if point else None
    return f"{code}, {brought.name} {brought.version}" if brought and brought.name != "mtbench" else code


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
    """The commit of mtbench's source tree, or None if `source` is not the top of a checkout of it. Where code has changed
    since, a hash of the changes stands behind it."""
    try:
        question = ["git", "rev-parse", "--show-toplevel", "HEAD"]
        asked = subprocess.run(question, cwd=source, capture_output=True, text=True)
        top, commit = asked.stdout.splitlines()
        project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
        changes = subprocess.run(
            ["git", "diff", "HEAD", "--", "mtbench", "adapters"], cwd=source, capture_output=True
        ).stdout
    except (OSError, ValueError, KeyError):  # no git, no checkout, no pyproject
        return None
    if Path(top).resolve() != source.resolve() or project != "mtbench":
        return None
    return f"{commit}+{hashlib.sha256(changes).hexdigest()[:8]}" if changes else commit
