"""Run the benchmark from Python. The command line calls the same functions."""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mtbench import config as configs
from mtbench import runner
from mtbench.errors import UsageError
from mtbench.execute import Stage
from mtbench.progress import hidden, shown
from mtbench.report import site
from mtbench.report.result import Result
from mtbench.stems import FOLDER

Clips = Mapping[str, Mapping[str, ArrayLike]]
SINGLE = (str, Mapping)  # iterable types that count as a single value


def run(
    models: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]] | None = None,
    *,
    config: str | Path | None = None,
    suite: str | None = None,
    task: str | None = None,
    subsets: str | Sequence[str] | None = None,
    n: int | None = None,
    seed: int | None = None,
    fps: float | Sequence[float] | None = None,
    transition_lambda: float | Sequence[float] | None = None,
    window: float | Sequence[float] | None = None,
    timebase: str | Sequence[str] | None = None,
    embedding: str | Sequence[str] | None = None,
    out: str | Path | None = None,
    device: str = "cpu",
    progress: bool = True,
) -> Result:
    """Generate samples with each model, score them, and return the Result, as `mtbench run` does.

    An interrupted run resumes when it is called again with the same arguments.

    models: names of installed models, ``folder:PATH`` for a folder of audio, or mappings with the keys name, label,
    weights and options. The controls of the task are added.
    config: a YAML file with these settings; arguments override it.
    suite: the source of the reference and the held-out songs; the default is ``band``.
    task: ``total`` (the default) or ``arrangement``. subsets: the sets of stems that arrangement generates, such as
    ``["B", "BP"]``.
    n: samples per model and subset; the default is 32. seed: random seed for generation; the default is 0.
    fps, transition_lambda, window, timebase: the settings of the rhythm metrics, each one value or several, as in
    `mtbench.config.Grid`. embedding: one or several embeddings for the Fréchet audio distance (FAD); the default is
    ``log-mel-stats``.
    out: the run folder, which also gets a page with tables and audio, ``site/index.html``; the default is
    ``runs/<suite>-<hash>``. device: the torch device for generation.
    progress: show progress on standard error.

    Raises UsageError for invalid arguments, before anything is generated, and MtbenchError if the reference cannot be
    read or every model failed. If only some models fail, they are named in ``Result.failed``.
    """
    options = {
        "models": _as_list(models),
        "suite": suite,
        "task": task,
        "subsets": _as_list(subsets),
        "n": n,
        "seed": seed,
        "embeddings": _as_list(embedding),
        "grid": _grid(fps, transition_lambda, window, timebase) or None,
    }
    values = {name: value for name, value in options.items() if value is not None}
    if config is not None and not isinstance(config, (str, PathLike)):
        raise UsageError(f"config must be a YAML file (got {type(config).__name__}); pass settings as arguments")
    if config is None and models is None:
        raise UsageError("nothing to run: pass models or config")
    return run_values(values, config, out, device, shown if progress else hidden, as_argument)


def evaluate(
    stems: str | Path | Sequence[str | Path] | Clips,
    reference: str | Path | None = None,
    *,
    fps: float | Sequence[float] | None = None,
    transition_lambda: float | Sequence[float] | None = None,
    window: float | Sequence[float] | None = None,
    timebase: str | Sequence[str] | None = None,
    embedding: str | Sequence[str] | None = None,
    stem_names: str | Sequence[str] | None = None,
    sample_rate: int | None = None,
    name: str = "stems",
    out: str | Path | None = None,
    device: str = "cpu",
    progress: bool = True,
) -> Result:
    """Score existing stems, and return the Result, as `mtbench eval` does.

    stems: a folder with one subfolder per stem or per song, with files named by song and stem, or with mixtures, or a
    list of such folders, each of which becomes one row. Or arrays, ``{clip: {stem: waveform}}``, which become one row
    with the given `name`. Each waveform has the shape [samples] or [samples, channels] at `sample_rate` Hz; it is
    floating-point with full scale at 1.0, or int16.
    reference: a suite, ``folder:PATH``, or a Path. It adds the Fréchet audio distance (FAD) of the mixture and of the
    stems that both sides have, and the controls, which show what songs and noise score; clips are cut or zero-padded to
    the suite's length. Mixtures without stems need a reference, and get only the FAD of the mixture.
    stem_names: the stems to score, such as ``["vocals", "drums"]``, or ``"mixture"``. They are meant literally, apart
    from the case of letters. If there are ``stem_0``, ``stem_1`` ... instead, these are the given stems in their order;
    a notice says which is which. The default is the stems that are found, which a notice names.
    fps, transition_lambda, window, timebase: the settings of the rhythm metrics, each one value or several, as in
    `mtbench.config.Grid`. embedding: one or several embeddings for FAD; the default is ``log-mel-stats``.
    out: the folder for the tables; by default, nothing is written. device: the torch device of the beat networks.
    progress: show progress on standard error.

    Raises UsageError for invalid arguments, and MtbenchError if no clip can be scored.
    """
    sources = _sources(stems, sample_rate, name)
    grid = _grid(fps, transition_lambda, window, timebase)
    embeddings = _as_list(embedding)
    names = _as_list(stem_names)
    return evaluate_sources(
        sources, reference, grid, embeddings, out, device, shown if progress else hidden, as_argument, names
    )


def run_values(
    values: dict[str, Any],
    config: str | Path | None,
    out: str | Path | None,
    device: str,
    stage: Stage,
    naming: configs.Naming,
) -> Result:
    """Run the configuration of a file, if there is one, overridden by `values` (fields of RunConfig).

    naming: how error messages name a value.
    """
    wanted = configs.load(config, values, naming) if config else configs.validate(values, naming)
    folder = Path(out) if out else runner.default_folder(wanted)
    outcome = runner.run(wanted, folder, device, stage)
    site.write([folder], folder / "site")
    return _result(outcome)


def evaluate_sources(
    sources: Sequence[runner.Source],
    reference: str | Path | None,
    grid: dict[str, Any],
    embeddings: Sequence[str] | None,
    out: str | Path | None,
    device: str,
    stage: Stage,
    naming: configs.Naming,
    stems: Sequence[str] | None = None,
) -> Result:
    """Evaluate sources with the settings `grid` (fields of Grid).

    naming: how error messages name a value. stems: the stems to score; the default is those that are found.
    """
    settings = configs.validated(configs.Grid, grid, naming)
    if embeddings and not reference:
        raise UsageError(
            f"{naming(['embeddings'])} needs {naming(['reference'])}: embeddings are only used for the Fréchet audio "
            "distance (FAD) to a reference"
        )
    if isinstance(reference, PathLike):
        reference = f"{FOLDER}{fspath(reference)}"
    folder = Path(out) if out else None
    return _result(
        runner.evaluate(sources, reference, settings, embeddings or ["log-mel-stats"], folder, stage, device, stems)
    )


def as_argument(location: configs.Location) -> str:
    """Return the name of the argument of `run` or `evaluate` that contains a value of a config."""
    name = next((str(key) for key in reversed(location) if isinstance(key, str)), "the arguments")
    return {"embeddings": "embedding", "name": "models", "label": "models: label"}.get(name, name)


def _result(outcome: runner.RunResult) -> Result:
    return Result(outcome, outcome.folder, outcome.notices, outcome.failed, outcome.beats)


def _sources(stems: Any, sample_rate: int | None, name: str) -> list[runner.Source]:
    if isinstance(stems, Mapping):
        if sample_rate is None:
            raise UsageError("sample_rate is missing: it is required for arrays")
        return [runner.Arrays(name, stems, sample_rate)]
    folders = [stems] if isinstance(stems, (str, PathLike)) else stems
    if not isinstance(folders, (list, tuple)) or not all(isinstance(folder, (str, PathLike)) for folder in folders):
        raise UsageError(
            "expected a folder of stems, a list of folders, or arrays as {clip: {stem: array}} "
            f"(got {type(stems).__name__})"
        )
    if sample_rate is not None:
        raise UsageError("sample_rate is only for arrays; audio files contain their sample rate")
    if not folders:
        raise UsageError("there are no folders to score")
    return [Path(folder) for folder in folders]


def _grid(fps: Any, transition_lambda: Any, window: Any, timebase: Any) -> dict[str, Any]:
    settings = {"fps": fps, "transition_lambda": transition_lambda, "window": window, "timebase": timebase}
    return {name: _as_list(values) for name, values in settings.items() if values is not None}


def _as_list(values: Any) -> list[Any] | None:
    if values is None:
        return None
    if isinstance(values, np.ndarray):
        values = values.ravel()
    several = [values] if isinstance(values, SINGLE) or not isinstance(values, Iterable) else list(values)
    return [value.item() if isinstance(value, np.generic) else value for value in several]
