"""Plan a run and check it before anything is generated. Every usage error is raised here."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtbench import beats, registry
from mtbench.cache import Cache
from mtbench.config import Model, RunConfig, generated_stems
from mtbench.controls import CONTROLS
from mtbench.errors import UsageError
from mtbench.files import check_writable, read_yaml
from mtbench.folder import FolderModel
from mtbench.generator import Generator
from mtbench.results.store import ModelFolder, RunFolder
from mtbench.results.tables import Origin
from mtbench.runner.code import SOURCE, code_of, git_commit
from mtbench.stems import FOLDER, Songs, Suite, has_stems


@dataclass(frozen=True)
class Assignment:
    """The stems that models generate (`made`) and the stems that are `given`: none in total generation."""

    made: tuple[str, ...]
    given: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        return "arrangement" if self.given else "total"

    @property
    def folder(self) -> str:
        return f"{self.task}-{'+'.join(self.given)}" if self.given else self.task

    def title(self, row: str) -> str:
        """Return the name of a row for messages, with the generated and the given stems."""
        return f"{row} ({'+'.join(self.made)}, given {'+'.join(self.given)})" if self.given else row

    def origin(self, row: str, suite: Suite | None) -> Origin:
        return Origin(self.task, "+".join(self.given), row, suite.name if suite else "")


@dataclass(frozen=True)
class Row:
    """One row of the tables: a model that is ready to generate. code: the code that generates its samples."""

    model: Model
    generator: Generator
    code: str

    @property
    def name(self) -> str:
        return self.model.row


@dataclass(frozen=True)
class Batch:
    """The samples that one row generates for one assignment, and their folder."""

    row: Row
    assignment: Assignment
    folder: ModelFolder

    @property
    def title(self) -> str:
        return self.assignment.title(self.row.name)


@dataclass(frozen=True)
class Plan:
    """A checked run. given_songs: in arrangement, the folder of the songs whose stems are given."""

    config: RunConfig
    suite: Suite
    reference: Songs
    heldout: Songs
    rows: tuple[Row, ...]
    batches: tuple[Batch, ...]
    given_songs: ModelFolder | None
    target: RunFolder
    cache: Cache
    commit: str | None  # of mtbench's source tree
    notices: tuple[str, ...]

    @property
    def sums(self) -> dict[str, tuple[str, ...]]:
        """{track: stems} of the sums to embed. A single generated stem needs no sum, since every stem is embedded."""
        assignments = [batch.assignment for batch in self.batches]
        return {"+".join(a.made): a.made for a in assignments if a.given and len(a.made) > 1}


def default_folder(config: RunConfig) -> Path:
    """Return ``runs/<suite>-<hash>``.

    It is the same for the same models, suite, task, subsets and seed, so that a rerun resumes. A folder is the same
    however its path is written.
    """
    models = [model.model_dump(mode="json") for model in config.models]
    identity = json.dumps(
        [
            _resolved(config.suite),
            config.task,
            config.subsets,
            config.seed,
            [model | {"name": _resolved(model["name"])} for model in models],
        ]
    )
    is_folder = config.suite.startswith(FOLDER)
    suite = FOLDER + Path(_resolved(config.suite)).name if is_folder else config.suite
    suite = suite.replace("/", "-").replace(":", "-").strip("-")[:60]
    return Path("runs") / f"{suite}-{_short_hash(identity)}"


def default_eval_folder(paths: Sequence[Path]) -> Path:
    """Return ``runs/eval-<name>-<hash>``, which differs for folders with the same name in different places."""
    paths = [path.resolve() for path in paths]
    more = f"-and-{len(paths) - 1}-more" if len(paths) > 1 else ""
    return Path("runs") / f"eval-{paths[0].name[-60:]}{more}-{_short_hash(chr(0).join(map(str, paths)))}"


def _resolved(name: str) -> str:
    """Return the name of a model or suite, with the absolute path if it is a folder."""
    return f"{FOLDER}{Path(name.removeprefix(FOLDER)).resolve()}" if name.startswith(FOLDER) else name


def _identity(name: str) -> str:
    """Return the name of a model or suite that belongs to the identity of samples: of a folder, its content counts."""
    return FOLDER if name.startswith(FOLDER) else name


def check_folder() -> Path:
    """Return ``runs/check-<date>-<time>``, a new folder, so that the current code generates everything in it."""
    return Path("runs") / f"check-{datetime.now():%Y%m%d-%H%M%S-%f}"


def plan_run(config: RunConfig, folder: Path, device: str, cache: Cache) -> Plan:
    """Check everything that a run needs, and claim its folders.

    Raises UsageError for an invalid name, option or folder, and MtbenchError for a package that cannot be loaded.
    """
    if is_evaluation(folder):
        raise UsageError(f"{folder} contains an evaluation, whose scores would be overwritten; choose another --out")
    suite = registry.open_suite(config.suite)
    assignments = _assignments(config, suite)
    for name in config.embeddings:
        registry.open_embedding(name)
    check_device(device)
    reference, heldout = checked_reference(suite), suite.heldout()
    models = [model for model in config.models if len(heldout) >= _songs_needed(model)]
    is_arrangement = any(assignment.given for assignment in assignments)
    _check_songs(config, suite, heldout, models, is_arrangement)
    commit = git_commit(SOURCE)
    rows = tuple(
        Row(model, _make(model, suite, assignments, config.n, device), code_of(model.name, commit)) for model in models
    )
    target = writable(folder, cache)
    given_songs = _given_songs(target, suite) if is_arrangement else None
    batches = tuple(
        _batch(row, assignment, target, suite, given_songs, config.seed)
        for assignment in assignments
        for row in rows
        if assignment.task in row.generator.tasks  # a control may not support a task; `_make` refuses other models
    )
    few = "no held-out songs" if not len(heldout) else "only one held-out song"
    absent = [
        f"suite '{suite.name}' has {few}, so the control '{model.row}' is left out"
        for model in config.models
        if model not in models
    ]
    of_folders = [
        f"{row.name}: {notice}"
        for row in rows
        if isinstance(row.generator, FolderModel)
        for notice in row.generator.notices
    ]
    notices = (*slow_path_notices(), *reference.notices, *heldout.notices, *of_folders, *absent)
    return Plan(config, suite, reference, heldout, rows, batches, given_songs, target, cache, commit, notices)


def slow_path_notices() -> list[str]:
    """Return notices about slow code that has to replace fast code in this installation."""
    return [] if beats.is_compiled() else [beats.UNCOMPILED]


def metrics_of_audio() -> tuple[str, ...]:
    """Return the names of the metrics that are computed from the audio itself."""
    return tuple(name for name, metric in registry.metrics().items() if metric.needs == "audio")


def plain(value: Any, depth: int = 8) -> Any:
    """Convert the provenance of any generator to plain values that YAML can store and that are equal to themselves.

    A value that cannot be converted becomes the name of its type. depth: how many levels of nesting are kept.
    """
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
        return {str(key): plain(inner, depth - 1) for key, inner in value.items()}
    if isinstance(value, (list, tuple)) and depth:
        return [plain(inner, depth - 1) for inner in value]
    if isinstance(value, (set, frozenset)) and depth:
        return sorted(str(plain(inner, depth - 1)) for inner in value)
    return type(value).__name__


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]


def _assignments(config: RunConfig, suite: Suite) -> list[Assignment]:
    if config.task == "total":
        return [Assignment(suite.stems)]
    subsets = generated_stems(config.subsets, suite.stems)
    return [Assignment(made, tuple(stem for stem in suite.stems if stem not in made)) for made in subsets]


def writable(folder: Path, cache: Cache) -> RunFolder:
    """Return the run folder after checking that it and the cache can be written to."""
    check_cache(cache)
    check_writable(folder, "choose another --out")
    return RunFolder(folder)


def is_evaluation(folder: Path) -> bool:
    """Return whether a folder contains the result of an evaluation of existing stems."""
    record = folder / "run.yaml"
    return record.is_file() and "eval" in (read_yaml(record).get("config") or {})


def check_cache(cache: Cache) -> None:
    """Raise UsageError unless the cache can be written to."""
    check_writable(cache.path, "set MTBENCH_CACHE to use another cache folder")


def check_device(device: str) -> None:
    """Raise UsageError, listing the available devices, if torch cannot use the device."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):  # AssertionError: torch is not compiled with CUDA
        gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
        raise UsageError(f"device '{device}' cannot be used here; available: {', '.join(['cpu', *gpus])}") from None


def _songs_needed(model: Model) -> int:
    """Return the number of held-out songs that a control needs; 0 for any other model."""
    needed = (c.songs for c in CONTROLS.values() if c.model == model.name and c.options == model.options)
    return max(needed, default=0)


def checked_reference(suite: Suite) -> Songs:
    """Return the reference songs of a suite. Raises UsageError if there are none."""
    songs = suite.reference()
    if not len(songs):
        raise UsageError(f"suite '{suite.name}' has no songs in its reference")
    return songs


def _check_songs(
    config: RunConfig, suite: Suite, heldout: Songs, models: Sequence[Model], is_arrangement: bool
) -> None:
    if is_arrangement and not len(heldout):
        raise UsageError(
            f"suite '{suite.name}' has no held-out songs, so the task 'arrangement' is not possible; in a folder "
            "suite, such songs are in heldout/, next to reference/"
        )
    if len(heldout) < config.n and (is_arrangement or any(map(_songs_needed, models))):
        use = "for the given stems" if is_arrangement else "for the control 'heldout'"
        raise UsageError(
            f"suite '{suite.name}' has only {len(heldout)} held-out songs, but {config.n} samples per model "
            f"need {config.n} {use}; use -n {len(heldout)} or less"
        )


def _make(model: Model, suite: Suite, assignments: Sequence[Assignment], n: int, device: str) -> Generator:
    generator = registry.make_model(
        model.name, suite=suite, weights=model.weights, device=device, options=model.options
    )
    needed = {stem for assignment in assignments for stem in assignment.made}
    if missing := [stem for stem in suite.stems if stem in needed and stem not in generator.stems]:
        raise UsageError(_cannot_generate(model, generator, suite, missing))
    lacking = {assignment.task for assignment in assignments} - set(generator.tasks)
    if lacking and model.row not in CONTROLS:
        is_arrangement = any(assignment.given for assignment in assignments)
        leave_out = is_arrangement and lacking == {"total"}
        remedy = "; use --subsets to leave out the subset of all stems" if leave_out else ""
        raise UsageError(
            f"model '{model.row}' does not support the task '{min(lacking)}' (it supports "
            f"{', '.join(sorted(generator.tasks))}){remedy}"
        )
    available = getattr(generator, "available", n)
    if n > available:
        raise UsageError(
            f"model '{model.row}' has only {available} samples, but {n} were requested; use -n {available} or less"
        )
    return generator


def _cannot_generate(model: Model, generator: Generator, suite: Suite, missing: Sequence[str]) -> str:
    """Return why a model cannot take part in a run with the stems of a suite."""
    if not isinstance(generator, FolderModel):
        if not has_stems(suite.stems):
            return (
                f"suite '{suite.name}' has mixtures without stems, which model '{model.row}' cannot generate; score "
                "its stems with mtbench eval, which compares their sum with the mixtures"
            )
        return f"model '{model.row}' cannot generate these stems of suite '{suite.name}': {', '.join(missing)}"
    if not has_stems(generator.stems):
        return f"{generator.name}: the folder has mixtures without stems; use mtbench eval, which computes their FAD"
    if not has_stems(suite.stems):
        return f"{generator.name}: the folder has stems and no mixture; use mtbench eval, which compares their sum"
    return (
        f"{generator.name}: the folder has no {', '.join(missing)} (found: {', '.join(generator.stems)}), and suite "
        f"'{suite.name}' has; use mtbench eval, which compares the other stems"
    )


def _given_songs(target: RunFolder, suite: Suite) -> ModelFolder:
    folder = ModelFolder(target.path / "audio" / "songs", suite.stems, suite.sample_rate, suite.n_samples)
    folder.claim({"songs": "held out", "suite": _identity(suite.name), "suite_version": suite.version})
    return folder


def _batch(
    row: Row, assignment: Assignment, target: RunFolder, suite: Suite, given_songs: ModelFolder | None, seed: int
) -> Batch:
    folder = ModelFolder(
        target.path / "audio" / assignment.folder / row.name,
        suite.stems,
        suite.sample_rate,
        suite.n_samples,
        given_songs,
        assignment.given,
        row.code,
    )
    folder.claim(
        {
            "model": _identity(row.model.name),
            "task": assignment.task,
            "suite": _identity(suite.name),
            "suite_version": suite.version,
            "seed": seed,
            "options": plain(row.model.options),
            "stems": list(suite.stems),
            "sample_rate": suite.sample_rate,
            "n_samples": suite.n_samples,
            "generator_sample_rate": int(row.generator.sample_rate),
            "provenance": plain(row.generator.provenance),
        }
    )
    return Batch(row, assignment, folder)
