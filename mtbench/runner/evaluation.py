"""Plan an evaluation of existing stems, and check it before anything is computed."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtbench import registry
from mtbench.analysis import Clip, Request, clip_of_arrays, clip_of_files, clip_of_sample
from mtbench.audio import HIGHEST_RATE, LOWEST_RATE, Gauge, to_float
from mtbench.cache import Cache
from mtbench.config import LONGEST_NAME, NAME, Grid, folder_row
from mtbench.controls import CONTROLS
from mtbench.errors import UsageError, one_line
from mtbench.generator import is_rate
from mtbench.results.store import RunFolder
from mtbench.results.tables import Origin
from mtbench.runner.plan import (
    Assignment,
    check_cache,
    check_device,
    checked_reference,
    metrics_of_audio,
    slow_path_notices,
    writable,
)
from mtbench.stems import MIXTURE, SAMPLE_RATE, Songs, Suite, has_stems, optional_stems
from mtbench.suites.folder import complete_clips
from mtbench.suites.layouts import in_order, numbered_stems
from mtbench.suites.names import bad_stems, plain


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
    """One row of an evaluation.

    stems: of every clip; ``("mixture",)`` for mixtures. left_out: {clip: why it is not scored}. notices: messages
    for the user.
    """

    name: str
    clips: Sequence[Clip]
    stems: tuple[str, ...]
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
        return Assignment(row.stems).origin(row.name, self.suite)


def plan_evaluation(
    sources: Sequence[Source],
    reference: str | None,
    grid: Grid,
    embeddings: Sequence[str],
    folder: Path | None,
    device: str,
    cache: Cache,
    stems: Sequence[str] | None = None,
) -> EvaluationPlan:
    """Check everything that an evaluation of existing stems needs.

    stems: as for `runner.evaluate`. Raises UsageError for a folder or suite that does not exist, a source without a
    complete clip, two sources with the same name, invalid arrays, or an output folder that contains a run.
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
    wanted = _Wanted.of(suite, stems)
    rows = [
        _row_of_arrays(source, wanted) if isinstance(source, Arrays) else _row_of_folder(source, wanted)
        for source in sources
    ]
    names = [row.name for row in rows]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"two of the sources are named '{repeated[0]}'; rename one of them")
    reference_songs = checked_reference(suite) if suite else None
    notices = [*slow_path_notices(), *(reference_songs.notices if reference_songs else ())]
    if not suite and (mixtures := [row.name for row in rows if not has_stems(row.stems)]):
        raise UsageError(
            f"'{mixtures[0]}' contains mixtures without stems, which have only a Fréchet audio distance (FAD) to a "
            "reference: use --reference (reference in Python)"
        )
    notices += _not_compared(rows, suite) if suite else _different_stems(rows)
    if suite:
        most_clips = max(len(row.clips) for row in rows)
        controls, absent = _control_rows(suite, most_clips)
        rows, notices = [*rows, *controls], notices + absent
    paths = [str(source) for source in sources if isinstance(source, Path)]
    check_cache(cache)
    target = writable(folder, cache) if folder else None
    return EvaluationPlan(
        tuple(rows),
        Request(wanted.rate, grid.decodes(), metrics_of_audio(), embeddings, device=device),
        suite,
        reference_songs,
        target,
        cache,
        {
            "eval": paths[0] if len(paths) == 1 else paths,  # an empty list for arrays
            "reference": reference,
            "grid": grid.model_dump(mode="json"),
            "embeddings": list(embeddings),
            **({"stems": list(stems)} if stems else {}),
        },
        tuple(notices),
    )


@dataclass(frozen=True)
class _Wanted:
    """What the clips of an evaluation must be.

    rate, length: in Hz and samples; the length may be None. stems: those that are expected. only: whether exactly these
    are scored. optional: stems that a clip may lack.
    """

    rate: int
    length: int | None
    stems: tuple[str, ...]
    only: bool
    optional: tuple[str, ...]

    @classmethod
    def of(cls, suite: Suite | None, stems: Sequence[str] | None) -> "_Wanted":
        """Raises UsageError for invalid names of stems."""
        rate, length = (suite.sample_rate, suite.n_samples) if suite else (SAMPLE_RATE, None)
        of_suite = suite.stems if suite else ()
        if stems is None:
            return cls(rate, length, of_suite, False, optional_stems(suite))
        names = [plain(stem) for stem in stems]
        if not stems or len({*names}) < len(stems) or bad_stems(names):
            raise UsageError(f"the stems to score {_must_differ(stems)}")
        if MIXTURE in names and len(names) > 1:
            raise UsageError(
                f"the stems to score are either '{MIXTURE}' alone or without it, because it is the sum of all stems "
                f"(got {', '.join(stems)})"
            )
        spelling = {plain(stem): stem for stem in of_suite}
        named_stems = tuple(spelling.get(name, name) for name in names)
        return cls(rate, length, named_stems, True, optional_stems(suite))


def _must_differ(names: Iterable[str]) -> str:
    got = ", ".join(map(repr, names)) or "none"
    return f"must have different names, without '+', and not 'all' or 'generated' (got {got})"


def _row_of_folder(path: Path, wanted: _Wanted) -> EvaluatedRow:
    folder = complete_clips(path, wanted.stems, wanted.only, wanted.optional)
    name = folder_row(path)
    return EvaluatedRow(
        name,
        [clip_of_files(clip, files, wanted.rate, wanted.length, folder.stems) for clip, files in folder.clips.items()],
        folder.stems,
        {"what": "a folder of audio"},
        {clip: f"no {', '.join(lacks)}" for clip, lacks in folder.incomplete.items()},
        [f"{name}: {folder.in_words}"] + ([f"{name}: {folder.left_out}"] if folder.left_out else []),
    )


def _row_of_arrays(arrays: Arrays, wanted: _Wanted) -> EvaluatedRow:
    low, high = LOWEST_RATE, HIGHEST_RATE  # any other is taken for a mistake, such as 16 for 16 kHz
    if isinstance(arrays.sample_rate, bool) or not is_rate(arrays.sample_rate):
        raise UsageError(f"sample_rate must be a positive whole number of Hz (got {arrays.sample_rate!r})")
    if not low <= arrays.sample_rate <= high:
        raise UsageError(f"sample_rate must be from {low} to {high} Hz (got {arrays.sample_rate})")
    if not re.fullmatch(NAME, str(arrays.name)) or arrays.name in CONTROLS or len(str(arrays.name)) > LONGEST_NAME:
        raise UsageError(
            f"'{arrays.name}' is not a valid row name: use at most {LONGEST_NAME} letters, digits, '.', '_' and '-', "
            "and not the name of a control"
        )
    if not arrays.clips:
        raise UsageError("there are no clips to score")
    by_name: dict[str, Mapping[str, ArrayLike]] = {}
    for clip, of_clip in arrays.clips.items():
        if str(clip) in by_name:
            raise UsageError(f"two clips are named '{clip}'")
        by_name[str(clip)] = of_clip
    of_clips, renamed = _spelled(by_name, wanted)
    stems = _stems_of_arrays(of_clips, wanted)
    clips = []
    for clip in in_order(of_clips):
        of_clip = of_clips[clip]
        found = {stem: _wave(of_clip[stem], f"clip '{clip}', {stem}") for stem in stems if stem in of_clip}
        waves, cancelled = {stem: wave for stem, (wave, _) in found.items()}, [stem for stem in found if found[stem][1]]
        rate = int(arrays.sample_rate)
        clips.append(clip_of_arrays(clip, waves, rate, wanted.rate, wanted.length, stems, cancelled))
    unused = Counter(stem for of_clip in of_clips.values() for stem in of_clip if stem not in stems)
    notices = [f"{arrays.name}: {', '.join(f'{name} = {stem}' for name, stem in renamed.items())}"] if renamed else []
    if unused:
        counts = (f"{stem} of {count} clip{'s' if count > 1 else ''}" for stem, count in unused.items())
        notices.append(f"{arrays.name}: stems {', '.join(stems)}; not used: {', '.join(counts)}")
    return EvaluatedRow(str(arrays.name), clips, stems, {"what": "arrays in memory"}, notices=notices)


def _stems_of_arrays(clips: Mapping[str, Mapping[str, ArrayLike]], wanted: _Wanted) -> tuple[str, ...]:
    """Return the stems of arrays: the expected ones if only these are scored, and otherwise those of the first clip.

    A mixture next to stems is not one of them. Raises UsageError for a clip with other stems; it may lack optional
    ones.
    """
    names: list[str] = []
    is_alone = not any(has_stems(of_clip) for of_clip in clips.values())
    for clip, of_clip in clips.items():
        stems = [stem for stem in of_clip if is_alone or wanted.only or stem != MIXTURE]
        names += [
            stem for stem in stems if stem not in names and (stem in wanted.optional or clip == next(iter(clips)))
        ]
        needed = [stem for stem in (wanted.stems if wanted.only else names) if stem not in wanted.optional]
        others = [] if wanted.only else [stem for stem in stems if stem not in names]
        if others or not {*needed} <= {*stems}:
            raise UsageError(f"clip '{clip}': expected the stems {', '.join(needed)}, got {', '.join(of_clip)}")
    if wanted.only:
        return wanted.stems
    return tuple(
        [stem for stem in wanted.stems if stem in names] + [stem for stem in names if stem not in wanted.stems]
    )


def _spelled(
    clips: Mapping[str, Mapping[str, ArrayLike]], wanted: _Wanted
) -> tuple[dict[str, dict[str, ArrayLike]], dict[str, str]]:
    """Return the clips with the names of stems in lower case, or as they are expected, and {numbered name: stem}.

    Raises UsageError for invalid names.
    """
    for clip, waves in clips.items():
        if not isinstance(waves, Mapping) or not waves or not all(isinstance(stem, str) for stem in waves):
            got = "no stems" if isinstance(waves, Mapping) and not waves else type(waves).__name__
            raise UsageError(f"clip '{clip}': expected a mapping of names of stems to waveforms, got {got}")
        names = [plain(stem) for stem in waves]
        if len({*names}) < len(names) or bad_stems(names):
            raise UsageError(f"clip '{clip}': its stems {_must_differ(waves)}")
    expected = {plain(stem): stem for stem in wanted.stems}
    found = dict.fromkeys(plain(stem) for waves in clips.values() for stem in waves)
    renamed = numbered_stems(found, list(expected), wanted.only)
    spelling = {name: expected.get(renamed.get(name, name), name) for name in found}
    return (
        {clip: {spelling[plain(stem)]: wave for stem, wave in waves.items()} for clip, waves in clips.items()},
        {name: spelling[name] for name in renamed},
    )


def _different_stems(rows: Sequence[EvaluatedRow]) -> list[str]:
    """Return a notice if the rows do not have the same stems."""
    if len({frozenset(row.stems) for row in rows}) < 2:
        return []
    return ["the rows have different stems, so their rhythm scores over all stems are not comparable"]


def _not_compared(rows: Sequence[EvaluatedRow], suite: Suite) -> list[str]:
    """Return a notice for each row that does not have the same stems as the suite."""
    notices = []
    for row in rows:
        only_row = [stem for stem in row.stems if stem not in suite.stems and stem != MIXTURE]
        only_suite = [stem for stem in suite.stems if stem not in row.stems and stem != MIXTURE]
        sides = [
            f"{', '.join(stems)} (only in {name})"
            for stems, name in ((only_row, row.name), (only_suite, suite.name))
            if stems
        ]
        if sides:
            rhythm = (
                "; rhythm scores over all stems are not comparable with those of the controls, which have other stems"
                if has_stems(row.stems) and has_stems(suite.stems)
                else ""
            )
            notices.append(f"{row.name}: FAD is not compared for {' and '.join(sides)}{rhythm}")
    return notices


def _wave(values: ArrayLike, named: str) -> tuple[NDArray[np.float32], bool]:
    """Return a waveform as float32 [samples], with its channels averaged, and whether they cancel.

    Raises UsageError if it is not valid.
    """
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # a ragged list, or a tensor that NumPy cannot read
        raise UsageError(f"{named}: not an array ({one_line(error)})") from None
    if array.ndim not in (1, 2) or not array.size:
        raise UsageError(f"{named}: expected an array [samples] or [samples, channels], got shape {list(array.shape)}")
    if array.ndim == 2 and array.shape[1] > array.shape[0]:
        raise UsageError(f"{named}: shape {list(array.shape)} has more channels than samples; transpose it")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype == np.int16:
        array = to_float(array)
    elif not np.issubdtype(array.dtype, np.floating):
        raise UsageError(f"{named}: expected floating-point samples or int16, got {array.dtype}")
    with np.errstate(over="ignore"):
        samples: NDArray[np.float32] = array.astype(np.float32)
    if not np.isfinite(samples).all():
        raise UsageError(f"{named}: contains NaN or infinite samples")
    gauge = Gauge()
    return (samples, False) if samples.ndim == 1 else (gauge.mono(samples), gauge.levels.cancelled)


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
        rows.append(EvaluatedRow(name, clips, suite.stems, generator.provenance))
    return rows, notices
