"""Prepare a data set: make the tracks that are missing, in parallel, and describe all of them in a manifest.

A track is made in a folder of its own, beside the finished ones, and renamed when it is complete; so an interrupted
preparation resumes. ``track.json`` in its folder says what it was made from. Tracks that turned out to be unusable are
remembered in ``.unusable``.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mtbench import audio
from mtbench.errors import MtbenchError, UsageError
from mtbench.execute import Stage, in_processes
from mtbench.files import check_writable, whole_file
from mtbench.prepare.recipe import Found, Recipe, Source, Track, Unusable
from mtbench.suites.tracks import MANIFEST
from mtbench.version import __version__

RECORD = "track.json"
UNUSABLE = ".unusable"  # folder with a file split/track for each track that cannot be used
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

    Raises UsageError if the raw folder has no tracks, or `folder` cannot be written to or has other audio.
    """
    if not raw.is_dir():
        raise UsageError(f"{raw}: no such folder")
    found = recipe.find(raw, stage)
    if not found.tracks:
        raise UsageError(f"{raw}: {_nothing(found)}. Expected {recipe.expected}")
    check_writable(folder, "MTBENCH_DATA is the folder that contains it")
    _check_foreign(folder, found)
    for left_over in folder.glob(f"*/{PARTIAL}*"):
        shutil.rmtree(left_over)
    identities = {track.id: _identity(recipe, track, raw) for track in found.tracks}
    dropped = dict(found.dropped)
    dropped |= {
        track.id: why for track in found.tracks if (why := _known_unusable(folder, identities[track.id], track))
    }
    usable = [track for track in found.tracks if track.id not in dropped]
    missing = [track for track in usable if not _is_complete(folder / track.id, identities[track.id])]
    work = partial(_make_all, recipe=recipe, folder=folder, identities=identities)
    failed: dict[str, str] = {}
    made = 0
    try:
        if missing:
            for track, outcome in zip(missing, in_processes(f"prepare {recipe.name}", work, missing, 1, stage)):
                made += not (outcome.failure or outcome.unusable)
                if outcome.failure:
                    failed[track.id] = outcome.failure
                if outcome.unusable:
                    dropped[track.id] = outcome.unusable
    finally:
        records = _records(folder)
        _write_manifest(folder, recipe, raw, records, dropped, failed)
    others = sorted(records.keys() - identities.keys())
    return Prepared(folder, made, len(usable) - len(missing), records, dropped, failed, others)


@dataclass(frozen=True)
class _Outcome:
    """Why a track could not be made, or cannot be used; both empty if it was made."""

    failure: str = ""
    unusable: str = ""


def _nothing(found: Found) -> str:
    if not found.dropped:
        return "no tracks found"
    track, why = next(iter(found.dropped.items()))
    return f"none of its {len(found.dropped)} tracks can be used (first: {track}: {why})"


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


def _is_complete(path: Path, identity: Mapping[str, Any]) -> bool:
    record = _read_record(path)
    return (
        bool(record)
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
        record = json.loads((path / RECORD).read_text(encoding="utf-8"))
        return record if {"made_from", "files"} <= record.keys() else {}
    except (OSError, ValueError, AttributeError):
        return {}


def _make_all(
    tracks: Sequence[Track], recipe: Recipe, folder: Path, identities: Mapping[str, Mapping[str, Any]]
) -> list[_Outcome]:
    return [_make(track, recipe, folder, identities[track.id]) for track in tracks]


def _make(track: Track, recipe: Recipe, folder: Path, identity: Mapping[str, Any]) -> _Outcome:
    target = folder / track.id
    partial_target = target.with_name(f"{PARTIAL}{target.name}")
    partial_target.mkdir(parents=True, exist_ok=True)
    files: dict[str, dict[str, Any]] = {}
    try:
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
    record = {"made_from": identity, "piece": track.piece or track.name, "files": files}
    with whole_file(partial_target / RECORD) as file:
        file.write(json.dumps(record).encode())
    if target.exists():  # made from other files, or by an older recipe
        shutil.rmtree(target)
    partial_target.rename(target)
    return _Outcome()


def _records(folder: Path) -> dict[str, dict[str, Any]]:
    paths = sorted(path.parent for path in folder.glob(f"*/*/{RECORD}") if not path.parent.name.startswith("."))
    records = {f"{path.parent.name}/{path.name}": _read_record(path) for path in paths}
    return {track: record for track, record in records.items() if record}


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
                **record["made_from"].get("detail", {}),
                "files": record["files"],
            }
            for track, record in records.items()
        },
    }
    content = json.dumps(manifest, indent=1, ensure_ascii=False).encode(errors="surrogateescape")
    path = folder / MANIFEST
    if not (path.is_file() and path.read_bytes() == content):
        with whole_file(path) as file:
            file.write(content)
