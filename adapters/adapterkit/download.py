"""Resumable, verified downloads: a file appears under its final name only when complete and with the right SHA-256.

An interrupted download resumes from `<file>.part` if the file on the server has not changed. The SHA-256 of the first
download is recorded in `<file>.sha256`, and is checked whenever the file is fetched or loaded again.
"""

from __future__ import annotations

import gzip
import re
import shutil
import tarfile
import time
import zlib
from collections.abc import Callable, Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from adapterkit.weights import another_sha256, note_sha256, noted_sha256, sha256, sha256_file
from mtbench.errors import MtbenchError, UsageError
from mtbench.files import whole_file

TIMEOUT = 60  # s without receiving a byte
PAUSES = (1, 4, 16)  # s before each retry; the list starts over after an attempt that received something
BLOCK = 1 << 20  # bytes

Advance = Callable[[int, int | None], None]  # (bytes received so far, size of the complete file or None if unknown)


def fetch(
    url: str,
    path: Path,
    *,
    pinned: str | None = None,
    advance: Advance = lambda received, total: None,
    pauses: Sequence[float] = PAUSES,
) -> str:
    """Download `url` to `path` unless `path` exists, and return its SHA-256, which is recorded next to the file.

    pinned: the required SHA-256 (default: the recorded one, if any). pauses: seconds before each retry.
    Raises MtbenchError if the download fails after all retries, UsageError if the SHA-256 does not match.
    """
    partial, version = path.with_name(path.name + ".part"), path.with_name(path.name + ".part.etag")
    expected, source = (pinned, "pinned") if pinned else (noted_sha256(path), f"recorded in {sha256_file(path)}")
    if path.exists():
        digest = sha256(path)
        if expected not in (None, digest):
            raise another_sha256(path, digest, expected, source)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(url, partial, version, advance, pauses)
        digest = sha256(partial)
        if expected not in (None, digest):
            partial.unlink()
            version.unlink(missing_ok=True)
            raise UsageError(
                f"{url}: the downloaded file has SHA-256 {digest}, expected {expected} ({source}); it was deleted"
            )
        partial.replace(path)
        version.unlink(missing_ok=True)
    note_sha256(path, digest)
    return digest


def unpack(archive: Path, name: str) -> Path:
    """Extract the file `name`, from whichever folder of a tar archive, next to the archive and record its SHA-256.

    Raises MtbenchError if the archive is damaged or does not contain exactly one file of that name.
    """
    path = archive.with_name(name)
    if path.exists():
        return path
    try:
        with tarfile.open(archive) as tar:
            files = [member for member in tar if member.isfile()]
            matching = [member for member in files if PurePosixPath(member.name).name == name]
            if len(matching) != 1:
                others = [member.name for member in files if member.name.endswith((".ckpt", ".pt"))]
                raise MtbenchError(
                    f"{archive} contains {len(matching)} files named {name}, expected 1. It has these checkpoints: "
                    f"{', '.join(others) or 'none'}. Extract one with tar and pass it as the model's weights"
                )
            source = tar.extractfile(matching[0])
            assert source is not None  # it is a file
            with source, whole_file(path) as file:
                shutil.copyfileobj(source, file, BLOCK)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise MtbenchError(
            f"{archive} is not a complete tar archive ({error}): delete it and fetch it again"
        ) from error
    note_sha256(path, sha256(path))
    return path


class _Lost(Exception):
    """The connection failed before the download was complete; a retry may succeed."""


def _download(url: str, partial: Path, version: Path, advance: Advance, pauses: Sequence[float]) -> None:
    most, left = 0, list(pauses)
    while True:
        try:
            return _receive(url, partial, version, advance)
        except _Lost as lost:
            kept = _kept(partial, version)
            if kept > most:
                most, left = kept, list(pauses)
            if not left:
                raise MtbenchError(
                    f"{url}: {lost}. Run the same command again to resume after the {kept} bytes received so far, or "
                    f"put the file at {partial.with_suffix('')} yourself"
                ) from None
            time.sleep(left.pop(0))


def _kept(partial: Path, version: Path) -> int:
    """Return the number of bytes to resume after: 0 if we cannot tell whether the file on the server has changed."""
    return partial.stat().st_size if partial.exists() and version.exists() else 0


def _receive(url: str, partial: Path, version: Path, advance: Advance) -> None:
    """Request the missing bytes once. `version` stores the ETag or the date of the file that `partial` is a part of."""
    kept = _kept(partial, version)
    since = version.read_text() if kept else ""
    response = _answer(url, partial, kept, since)
    if response is None:
        return
    total: int | None
    with response:
        now = _version_of(response)
        if response.status == 206:
            span = re.fullmatch(rf"bytes {kept}-\d+/(\d+)", response.headers.get("Content-Range", ""))
            if not span or now not in ("", since):
                partial.unlink(missing_ok=True)
                raise _Lost("the server sent a different range than the one requested")
            total, mode = int(span[1]), "ab"
        else:
            length = response.headers.get("Content-Length")
            total, mode, kept = int(length) if length else None, "wb", 0
        with partial.open(mode) as file:
            if mode == "wb":  # only once the old bytes are gone, or the next attempt would append the new file to them
                version.write_text(now) if now else version.unlink(missing_ok=True)
            advance(kept, total)
            while block := _block(response):
                file.write(block)
                kept += len(block)
                advance(kept, total)
    if total is not None and kept < total:
        raise _Lost(f"the connection ended after {kept} of {total} bytes")


def _answer(url: str, partial: Path, kept: int, since: str) -> HTTPResponse | None:
    """Return the server's response to a request for everything after `kept` bytes; None if nothing is missing."""
    headers = {"User-Agent": "mtbench", "Accept-Encoding": "identity"}
    if kept:
        headers |= {"Range": f"bytes={kept}-", "If-Range": since}
    try:
        response: HTTPResponse = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
        return response
    except HTTPError as error:
        if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{kept}":
            return None
        if error.code == 416:
            partial.unlink()
        if error.code in (408, 416, 429) or error.code >= 500:
            raise _Lost(f"{error.code} {error.reason}") from None
        raise MtbenchError(f"{url}: {error.code} {error.reason}") from None
    except (OSError, HTTPException) as error:
        raise _Lost(str(error.reason if isinstance(error, URLError) else error)) from None


def _version_of(response: HTTPResponse) -> str:
    """Return the identifier of this version of the file for If-Range, which does not accept weak ETags."""
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")


def _block(response: HTTPResponse) -> bytes:
    try:
        return response.read1(BLOCK)
    except (OSError, HTTPException) as error:
        raise _Lost(str(error) or type(error).__name__) from None
