"""Downloads that resume and are checked: a file appears under its name whole, with the right SHA-256, or not at all.

A download that was cut resumes where it stopped (`<file>.part`), if the server still has the same file. The SHA-256 of
the first download is noted in `<file>.sha256`; whenever the file is fetched or loaded again it must be the same.
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

TIMEOUT = 60  # s without a byte
PAUSES = (1, 4, 16)  # s before trying again; from the start of the list after every attempt that brought something
BLOCK = 1 << 20  # bytes

Advance = Callable[[int, int | None], None]  # (bytes that are here, bytes of the whole file: None if unknown)


def fetch(
    url: str,
    path: Path,
    *,
    pinned: str | None = None,
    advance: Advance = lambda received, total: None,
    pauses: Sequence[float] = PAUSES,
) -> str:
    """Bring the file at `url` to `path` unless it is there, and return its SHA-256, which is noted beside it.

    pinned: the SHA-256 that it must have; without it the noted one, if there is one. pauses: seconds before each
    further attempt. Raises MtbenchError if the file cannot be had after some attempts, UsageError if it is another
    file.
    """
    partial, version = path.with_name(path.name + ".part"), path.with_name(path.name + ".part.etag")
    expected, source = (pinned, "pinned") if pinned else (noted_sha256(path), f"noted in {sha256_file(path)}")
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
            raise UsageError(f"{url}: what came has the SHA-256 {digest}, not {expected} ({source}); it was not kept")
        partial.replace(path)
        version.unlink(missing_ok=True)
    note_sha256(path, digest)
    return digest


def unpack(archive: Path, name: str) -> Path:
    """Bring the file `name` of a tar, in whatever folder it lies there, to beside the tar and note its SHA-256.

    Raises MtbenchError if the tar is damaged or does not hold just one file of that name.
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
                    f"{archive} holds {len(matching)} files {name}; its checkpoints are "
                    f"{', '.join(others) or 'none'}: unpack one with tar and name it as the model's weights"
                )
            source = tar.extractfile(matching[0])
            assert source is not None  # it is a file
            with source, whole_file(path) as file:
                shutil.copyfileobj(source, file, BLOCK)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise MtbenchError(f"{archive} is no whole archive ({error}): delete it and fetch it again") from error
    note_sha256(path, sha256(path))
    return path


class _Lost(Exception):
    """An attempt ended before the file did; another one may bring the rest."""


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
                    f"{url}: {lost}. The same command goes on after the {kept} bytes that came; or put "
                    f"the file at {partial.with_suffix('')} yourself"
                ) from None
            time.sleep(left.pop(0))


def _kept(partial: Path, version: Path) -> int:
    """The bytes to resume after: none if nothing tells whether the server still has the same file."""
    return partial.stat().st_size if partial.exists() and version.exists() else 0


def _receive(url: str, partial: Path, version: Path, advance: Advance) -> None:
    """Ask once for what is missing. The file `version` holds the ETag or date of the file that `partial` begins."""
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
                raise _Lost("the server sent another part than was asked for")
            total, mode = int(span[1]), "ab"
        else:
            length = response.headers.get("Content-Length")
            total, mode, kept = int(length) if length else None, "wb", 0
        with partial.open(mode) as file:
            if mode == "wb":  # after the old bytes are gone: else the next attempt would add the new file to them
                version.write_text(now) if now else version.unlink(missing_ok=True)
            advance(kept, total)
            while block := _block(response):
                file.write(block)
                kept += len(block)
                advance(kept, total)
    if total is not None and kept < total:
        raise _Lost(f"the connection ended after {kept} of {total} bytes")


def _answer(url: str, partial: Path, kept: int, since: str) -> HTTPResponse | None:
    """The server's answer to the question for what comes after `kept` bytes; None if nothing does."""
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
    """What names this version of the file for If-Range, which takes no weak ETag."""
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")


def _block(response: HTTPResponse) -> bytes:
    try:
        return response.read1(BLOCK)
    except (OSError, HTTPException) as error:
        raise _Lost(str(error) or type(error).__name__) from None
