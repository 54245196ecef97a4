"""Prepare a data set: make the tracks that are missing, in parallel, and describe all of them in a manifest.

A track is made in a folder of its own, beside the finished ones, and renamed when it is complete; so an interrupted
preparation resumes. ``track.json`` in its folder says what it was made from. Tracks that turned out to be unusable are
remembered in ``.unusable``.
"""

import errno
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mtbench import audio
from mtbench.errors import MtbenchError, UsageError
from mtbench.execute import Stage, in_processes
from mtbench.files import check_writable, whole_file
from mtbench.prepare.recipe import Found, Recipe, Source, Track, Unusable
from mtbench.suites.tracks import MANIFEST
from mtbench.version import __version__

RECORD = "track.json"
UNUSABLE = ".unusable"  # folder with a file split/track for each track that cannot be used
LOCK = ".lock"
PARTIAL = ".partial-"  # prefix of the folder of a track that is being made


@dataclass(frozen=True)
class Prepared:
    """What was done. made, kept: numbers of tracks. records: {split/track: its record} of all tracks in the folder.

    dropped: {track or file: why it is not used}. failed: {track: why it could not be made}. others: tracks in the
    folder that are not in the raw folder.
    """

    folder: Path
    made: int
    kept: int
    records: Mapping[str, Mapping[str, Any]]
    dropped: Mapping[str, str]
    failed: Mapping[str, str]
    others: Sequence[str]


def prepare(recipe: Recipe, raw: Path, folder: Path, stage: Stage) -> Prepared:
    """Prepare the tracks of a raw folder in `folder`. Tracks that are already there are kept.

    Raises UsageError if the raw folder has no tracks or two of the same name, or if `folder` cannot be written to, has
    other audio, or is being prepared by another process.
    """
    if not raw.is_dir():
        raise UsageError(f"{raw}: {'not a folder' if raw.exists() else 'no such folder'}")
    if raw.resolve() == folder.resolve():
        raise UsageError(f"{raw}: the folder of the original files and that of the prepared ones must differ")
    found = recipe.find(raw, stage)
    if not found.tracks:
        raise UsageError(f"{raw}: {_nothing(found)}. Expected {recipe.expected}")
    names = Counter(track.id for track in found.tracks)
    if repeated := [name for name, count in names.items() if count > 1]:
        raise UsageError(f"{raw}: two tracks are named {repeated[0]}; remove one of them")
    check_writable(folder, "MTBENCH_DATA is the folder that contains it")
    _check_foreign(folder, found)
    try:
        with FileLock(folder / LOCK, timeout=0):
            return _prepare(recipe, found, raw, folder, stage)
    except Timeout:
        raise UsageError(f"{folder}: another mtbench prepare is at work on it") from None


def _prepare(recipe: Recipe, found: Found, raw: Path, folder: Path, stage: Stage) -> Prepared:
    for left_over in folder.glob(f"*/{PARTIAL}*"):
        shutil.rmtree(left_over)
    identities = {track.id: _identity(recipe, track, raw) for track in found.tracks}
    dropped = dict(found.dropped)
    dropped |= {
        track.id: why for track in found.tracks if (why := _known_unusable(folder, identities[track.id], track))
    }
    usable = [track for track in found.tracks if track.id not in dropped]
    records = _records(folder)
    missing = [
        track for track in usable if not _is_complete(folder / track.id, records.get(track.id), identities[track.id])
    ]
    work = partial(_make_all, recipe=recipe, folder=folder, identities=identities)
    failed = dict(found.damaged)
    made = 0
    # Before the work, too: what an earlier preparation has made of files that have changed is not used any more.
    records = _without(records, {*dropped, *failed, *(track.id for track in missing)})
    _write_manifest(folder, recipe, raw, records, dropped, failed)
    if missing:
        try:
            outcomes = in_processes(f"prepare {recipe.name}", work, missing, 1, stage)
            for outcome, track in zip(outcomes, missing):
                made += not (outcome.failure or outcome.unusable)
                if outcome.failure:
                    failed[track.id] = outcome.failure
                if outcome.unusable:
                    dropped[track.id] = outcome.unusable
        finally:
            records = _without(_records(folder), {*dropped, *failed})
            _write_manifest(folder, recipe, raw, records, dropped, failed)
    others = sorted(records.keys() - identities.keys())
    return Prepared(folder, made, len(usable) - len(missing), records, dropped, failed, others)


@dataclass(frozen=True)
class _Outcome:
    """Why a track could not be made, or cannot be used; both empty if it was made."""

    failure: str = ""
    unusable: str = ""


def _nothing(found: Found) -> str:
    unused = {**found.damaged, **found.dropped}
    if not unused:
        return "no tracks found"
    track, why = next(iter(unused.items()))
    several = f"none of its {len(unused)} tracks can be used, such as" if len(unused) > 1 else "its only track is"
    return f"{several} {track}: {why}"


def _check_foreign(folder: Path, found: Found) -> None:
    """Raise UsageError if a track to be made exists, but is not from here."""
    for track in found.tracks:
        path = folder / track.id
        if path.is_dir() and not (path / RECORD).is_file() and any(path.iterdir()):
            raise UsageError(
                f"{path}: contains files that mtbench prepare did not write; move them, or set MTBENCH_DATA to another "
                "folder"
            )


def _identity(recipe: Recipe, track: Track, raw: Path) -> dict[str, Any]:
    """Return what the audio of a track depends on. A source is identified by its path, size and time of change."""

    def of(source: Source) -> list[Any]:
        status = source.path.stat()
        return [source.path.relative_to(raw).as_posix(), source.stream, status.st_size, status.st_mtime_ns]

    return {
        "recipe": [recipe.name, recipe.version],
        "sources": {stem: [of(source) for source in sources] for stem, sources in track.sources.items()},
        "detail": dict(track.detail),
    }


def _is_complete(path: Path, record: Mapping[str, Any] | None, identity: Mapping[str, Any]) -> bool:
    return (
        record is not None
        and record["made_from"] == json.loads(json.dumps(identity))
        and all(
            (path / name).is_file() and (path / name).stat().st_size == file["bytes"]
            for name, file in record["files"].items()
        )
    )


def _known_unusable(folder: Path, identity: Mapping[str, Any], track: Track) -> str:
    """Return why a track cannot be used, if an earlier preparation has found that out; otherwise ""."""
    try:
        known = json.loads((folder / UNUSABLE / track.id).read_text(encoding="utf-8"))
        return str(known["why"]) if known["made_from"] == json.loads(json.dumps(identity)) else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _read_record(path: Path) -> dict[str, Any]:
    """Return the record of a track; empty if there is none, or it is damaged."""
    try:
        record: dict[str, Any] = json.loads((path / RECORD).read_text(encoding="utf-8"))
        files = record["files"].values()
        is_valid = isinstance(record["made_from"].get("detail"), dict) and all(
            isinstance(file["bytes"], int) and isinstance(file["sha256"], str) for file in files
        )
        return record if is_valid else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _make_all(
    tracks: Sequence[Track], recipe: Recipe, folder: Path, identities: Mapping[str, Mapping[str, Any]]
) -> list[_Outcome]:
    return [_make(track, recipe, folder, identities[track.id]) for track in tracks]


def _make(track: Track, recipe: Recipe, folder: Path, identity: Mapping[str, Any]) -> _Outcome:
    target = folder / track.id
    partial_target = target.with_name(f"{PARTIAL}{target.name}")
    files: dict[str, dict[str, Any]] = {}
    try:
        partial_target.mkdir(parents=True, exist_ok=True)
        for product in recipe.make(track):
            path = partial_target / product.name
            if isinstance(product.content, bytes):
                with whole_file(path) as file:
                    file.write(product.content)
                files[product.name] = {}
            else:
                audio.write_wav(path, product.content, product.rate)
                files[product.name] = {
                    "frames": len(product.content),
                    "rate": product.rate,
                    "silent": not product.content.any(),
                    "clipped": product.clipped,
                }
            with path.open("rb") as written:
                digest = hashlib.file_digest(written, "sha256").hexdigest()
            files[product.name] |= {"bytes": path.stat().st_size, "sha256": digest}
    except Unusable as error:
        shutil.rmtree(partial_target)
        with whole_file(folder / UNUSABLE / track.id) as file:
            file.write(json.dumps({"made_from": identity, "why": str(error)}).encode())
        return _Outcome(unusable=str(error))
    except MtbenchError as error:
        shutil.rmtree(partial_target)
        return _Outcome(failure=str(error))
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL):  # of this track alone
            raise
        return _Outcome(failure=f"its folder cannot be made ({error.strerror}); rename the track")
    record = {"made_from": identity, "piece": track.piece or track.name, "files": files}
    with whole_file(partial_target / RECORD) as file:
        file.write(json.dumps(record).encode())
    if target.exists():  # made from other files, or by an older recipe
        older = target.with_name(f"{PARTIAL}old-{target.name}")
        target.rename(older)
        partial_target.rename(target)
        shutil.rmtree(older)
    else:
        partial_target.rename(target)
    return _Outcome()


def _records(folder: Path) -> dict[str, dict[str, Any]]:
    """Return {split/track: its record} of the tracks in a folder."""
    paths = sorted(path.parent for path in folder.glob(f"*/*/{RECORD}") if not path.parent.name.startswith("."))
    records = {f"{path.parent.name}/{path.name}": _read_record(path) for path in paths}
    return {track: record for track, record in records.items() if record}


def _without(records: Mapping[str, dict[str, Any]], tracks: Collection[str]) -> dict[str, dict[str, Any]]:
    return {track: record for track, record in records.items() if track not in tracks}


def _write_manifest(
    folder: Path,
    recipe: Recipe,
    raw: Path,
    records: Mapping[str, Mapping[str, Any]],
    dropped: Mapping[str, str],
    failed: Mapping[str, str],
) -> None:
    manifest = {
        "recipe": recipe.name,
        "recipe_version": recipe.version,
        "mtbench": __version__,
        **recipe.about,
        "raw_folder": str(raw.absolute()),
        "dropped": dict(dropped),
        "failed": dict(failed),
        "tracks": {
            track: {
                "piece": record.get("piece", ""),
                **record["made_from"]["detail"],
                "files": record["files"],
            }
            for track, record in records.items()
        },
    }
    content = json.dumps(manifest, indent=1).encode()  # ASCII, since names of files may not be valid UTF-8
    path = folder / MANIFEST
    if not (path.is_file() and path.read_bytes() == content):
        with whole_file(path) as file:
            file.write(content)
