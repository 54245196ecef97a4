"""Plan an evaluation of existing stems, and check it before anything is computed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtbench import registry
from mtbench.analysis import Clip, Request, clip_of_arrays, clip_of_files, clip_of_sample
from mtbench.audio import to_float
from mtbench.cache import Cache
from mtbench.config import NAME, Grid, folder_row
from mtbench.controls import CONTROLS
from mtbench.errors import UsageError, one_line
from mtbench.generator import is_rate
from mtbench.results.store import RunFolder
from mtbench.results.tables import Origin
from mtbench.runner.plan import Assignment, check_cache, check_device, metrics_of_audio, slow_path_notices, writable
from mtbench.stems import SAMPLE_RATE, STEMS, Songs, Suite
from mtbench.suites.folder import stem_folder

SAMPLE_RATES = (1000, 768_000)  # Hz, of arrays; any other is taken for a mistake, such as 16 for 16 kHz


@dataclass(frozen=True)
class Arrays:
    """Stems in memory to score.

    name: the name of their row. clips: {clip: {stem: waveform}}. Each waveform has the shape [samples] or [samples,
    channels]; it is floating-point with full scale at 1.0, or int16. sample_rate: of all waveforms, in Hz.
    """

    name: str
    clips: Mapping[str, Mapping[str, ArrayLike]]
    sample_rate: int


Source = Path | Arrays


@dataclass(frozen=True)
class EvaluatedRow:
    """One row of an evaluation. left_out: {clip: why it is not scored}. notices: messages for the user."""

    name: str
    clips: Sequence[Clip]
    provenance: Mapping[str, Any]
    left_out: Mapping[str, str] = field(default_factory=dict)
    notices: Sequence[str] = ()


@dataclass(frozen=True)
class EvaluationPlan:
    """A checked evaluation of existing stems.

    suite, reference: None without a reference for the Fréchet audio distance (FAD). target: None if nothing is written.
    settings: as they are recorded in run.yaml.
    """

    rows: tuple[EvaluatedRow, ...]
    request: Request
    suite: Suite | None
    reference: Songs | None
    target: RunFolder | None
    cache: Cache
    settings: Mapping[str, Any]
    notices: tuple[str, ...]

    def origin(self, row: EvaluatedRow) -> Origin:
        return Assignment(STEMS).origin(row.name, self.suite)


def plan_evaluation(
    sources: Sequence[Source],
    reference: str | None,
    grid: Grid,
    embeddings: Sequence[str],
    folder: Path | None,
    device: str,
    cache: Cache,
) -> EvaluationPlan:
    """Check everything that an evaluation of existing stems needs.

    Raises UsageError for a folder or suite that does not exist, a source without a complete clip, two sources with the
    same name, invalid arrays, or an output folder that contains a run.
    """
    if folder and (folder / "audio").exists():
        raise UsageError(f"{folder} contains a run, whose scores would be overwritten; choose another --out")
    if folder and folder.resolve() in [source.resolve() for source in sources if isinstance(source, Path)]:
        raise UsageError(f"{folder} is a folder of stems to score; choose another --out")
    suite = registry.open_suite(reference) if reference else None
    embeddings = tuple(embeddings) if suite else ()
    for name in embeddings:
        registry.open_embedding(name)
    check_device(device)
    rate, length = (suite.sample_rate, suite.n_samples) if suite else (SAMPLE_RATE, None)
    rows = [
        _row_of_arrays(source, rate, length) if isinstance(source, Arrays) else _row_of_folder(source, rate, length)
        for source in sources
    ]
    names = [row.name for row in rows]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"two of the sources are named '{repeated[0]}'; rename one of them")
    reference_songs = suite.reference() if suite else None
    notices = [*slow_path_notices(), *(reference_songs.notices if reference_songs else ())]
    if suite:
        most_clips = max(len(row.clips) for row in rows)
        controls, absent = _control_rows(suite, most_clips)
        rows, notices = [*rows, *controls], notices + absent
    paths = [str(source) for source in sources if isinstance(source, Path)]
    check_cache(cache)
    target = writable(folder, cache) if folder else None
    return EvaluationPlan(
        tuple(rows),
        Request(rate, grid.decodes(), metrics_of_audio(), embeddings, device=device),
        suite,
        reference_songs,
        target,
        cache,
        {
            "eval": paths[0] if len(paths) == 1 else paths,  # an empty list for arrays
            "reference": reference,
            "grid": grid.model_dump(mode="json"),
            "embeddings": list(embeddings),
        },
        tuple(notices),
    )


def _row_of_folder(path: Path, rate: int, length: int | None) -> EvaluatedRow:
    stems = stem_folder(path)
    if not stems.clips:
        raise UsageError(f"{path}: no complete clips; {stems.left_out}")
    name = folder_row(path)
    return EvaluatedRow(
        name,
        [clip_of_files(clip, files, rate, length) for clip, files in stems.clips.items()],
        {"what": "a folder of audio"},
        {clip: f"no {', '.join(lacks)}" for clip, lacks in stems.incomplete.items()},
        [f"{name}: {stems.left_out}"] if stems.left_out else [],
    )


def _row_of_arrays(arrays: Arrays, rate: int, length: int | None) -> EvaluatedRow:
    low, high = SAMPLE_RATES
    if isinstance(arrays.sample_rate, bool) or not is_rate(arrays.sample_rate):
        raise UsageError(f"sample_rate must be a positive whole number of Hz (got {arrays.sample_rate!r})")
    if not low <= arrays.sample_rate <= high:
        raise UsageError(f"sample_rate must be from {low} to {high} Hz (got {arrays.sample_rate})")
    if not re.fullmatch(NAME, str(arrays.name)) or arrays.name in CONTROLS:
        raise UsageError(
            f"'{arrays.name}' is not a valid row name: use letters, digits, '.', '_' and '-', and not the name of a "
            "control"
        )
    if not arrays.clips:
        raise UsageError("there are no clips to score")
    clips, names, loudest = [], set(), 0.0
    for clip, stems in arrays.clips.items():
        if str(clip) in names:
            raise UsageError(f"two clips are named '{clip}'")
        names.add(str(clip))
        if not isinstance(stems, Mapping) or set(stems) != set(STEMS):
            given = ", ".join(map(str, stems)) if isinstance(stems, Mapping) else type(stems).__name__
            raise UsageError(f"clip '{clip}': expected the stems {', '.join(STEMS)}, got {given or 'none'}")
        waves = {stem: _wave(stems[stem], f"clip '{clip}', {stem}") for stem in STEMS}
        clips.append(clip_of_arrays(str(clip), waves, int(arrays.sample_rate), rate, length))
        loudest = max(loudest, *(float(np.abs(wave).max()) for wave in waves.values()))
    notices = (
        [f"{arrays.name}: samples up to {loudest:g} are clipped to full scale, which is 1.0"] if loudest > 1 else []
    )
    return EvaluatedRow(str(arrays.name), clips, {"what": "arrays in memory"}, notices=notices)


def _wave(values: ArrayLike, named: str) -> NDArray[np.float32]:
    """Return a waveform as float32 [samples], with its channels averaged. Raises UsageError if it is not valid."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # a ragged list, or a tensor that NumPy cannot read
        raise UsageError(f"{named}: not an array ({one_line(error)})") from None
    if array.ndim not in (1, 2) or not array.size:
        raise UsageError(f"{named}: expected an array [samples] or [samples, channels], got shape {list(array.shape)}")
    if array.ndim == 2 and array.shape[1] > array.shape[0]:
        raise UsageError(f"{named}: shape {list(array.shape)} has more channels than samples; transpose it")
    if array.dtype == np.int16:
        array = to_float(array)
    elif not np.issubdtype(array.dtype, np.floating):
        raise UsageError(f"{named}: expected floating-point samples or int16, got {array.dtype}")
    with np.errstate(over="ignore"):
        mono: NDArray[np.float32] = array.astype(np.float32)
    if not np.isfinite(mono).all():
        raise UsageError(f"{named}: contains NaN or infinite samples")
    return mono.mean(axis=1, dtype=np.float32) if mono.ndim == 2 else mono


def _control_rows(suite: Suite, n: int) -> tuple[list[EvaluatedRow], list[str]]:
    """Return the controls that give an evaluation a scale, and notices about controls with fewer clips or none.

    Each control has `n` clips, or as many as the suite has held-out songs if it needs them and they are fewer.
    """
    rows, notices = [], []
    n_songs = len(suite.heldout())
    for name, control in CONTROLS.items():
        if "total" not in control.tasks:
            continue
        if n_songs < control.songs:
            notices.append(f"suite '{suite.name}' has no held-out songs, so the control '{name}' is left out")
            continue
        n_clips = min(n, n_songs) if control.songs else n
        if n_clips < n:
            notices.append(
                f"the control '{name}' has {n_clips} clips instead of {n}, because suite '{suite.name}' has no more "
                "held-out songs; FAD is higher with fewer clips"
            )
        generator = registry.make_model(control.model, suite=suite, options=control.options)
        clips = [
            clip_of_sample(generator, number, suite.stems, suite.sample_rate, suite.n_samples)
            for number in range(n_clips)
        ]
        rows.append(EvaluatedRow(name, clips, generator.provenance))
    return rows, notices
