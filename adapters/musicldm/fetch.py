"""Fetch published weights: python -m musicldm.fetch synctrack

The files go to $MTBENCH_WEIGHTS, else to `mtbench/weights` in the user's cache folder, in a folder of their own. A
download that was cut goes on where it stopped (`<file>.part`), if the server still has the same file. Of an archive the
checkpoint is unpacked beside it that its authors' evaluation names.

Nobody has published checksums for them. So the SHA-256 of the first download is shown and kept in `<file>.sha256`;
whenever the file is fetched or loaded again it must be the same. Who knows it from elsewhere pins it with --sha256.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import re
import shutil
import sys
import tarfile
import time
import zlib
from collections.abc import Callable, Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import platformdirs
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from mtbench.errors import MtbenchError, UsageError

RECORDS = {  # weights: the record on Zenodo, and its files, the model first
    "synctrack": (18797721, ("synctrack_slakh2100_pretrained.ckpt", "vae-ckpt.ckpt", "hifigan-ckpt.ckpt")),
    "synctrack-training": (
        18797721,
        ("musicldm-ckpt.ckpt", "vae-ckpt.ckpt"),
    ),  # what training the paper's way starts from
    "musicldm": (10643148, ("vae-ckpt.ckpt", "hifigan-ckpt.ckpt")),
    "mt-musicldm": (13947715, ("2024-03-24T19-51-37_3_D_4_stems_slakh_uncond_ch=192_3e-05_.tar.gz",)),
    "mt-musicldm-clap": (13947715, ("2024-03-25T00-55-31_3_D_4_stems_slakh_with_CALP_ch=192_3e-05_.tar.gz",)),
    "clap": (10643148, ("clap-ckpt.pt",)),
}
ARCHIVED = {  # the checkpoint that the configs of mt-musicldm's evaluation take out of the folder of each archive's name
    "mt-musicldm": "checkpoint-fad-0.00-global_step=199999.ckpt",
    "mt-musicldm-clap": "last.ckpt",
}
TIMEOUT = 60  # s without a byte
PAUSES = (1, 4, 16)  # s before trying again; from the start of the list after every attempt that brought something
BLOCK = 1 << 20  # bytes

Advance = Callable[[int, int | None], None]  # (bytes that are here, bytes of the whole file: None where nobody says)


def weights_folder() -> Path:
    """Where published weights are kept: ``$MTBENCH_WEIGHTS``, else `weights` in the user's cache folder."""
    return Path(os.environ.get("MTBENCH_WEIGHTS") or Path(platformdirs.user_cache_dir("mtbench")) / "weights")


def files_of(weights: str) -> dict[Path, str]:
    """{where it is kept: where it comes from} of the files of `weights`."""
    record, names = RECORDS[weights]
    return {
        weights_folder() / weights / name: f"https://zenodo.org/records/{record}/files/{quote(name)}?download=1"
        for name in names
    }


def trained_model(weights: str) -> Path:
    """The file that holds the trained model. Raises UsageError if it is absent: what to fetch, where to put it."""
    (path, _), *_ = files_of(weights).items()
    path = path.with_name(ARCHIVED.get(weights, path.name))
    if not path.exists():
        record, names = RECORDS[weights]
        raise UsageError(
            f"no published weights of '{weights}' here: fetch them with `python -m musicldm.fetch "
            f"{weights}`, or put {', '.join(names)} of https://zenodo.org/records/{record} into "
            f"{path.parent}" + (f" and do the same, which unpacks {path.name}" if weights in ARCHIVED else "")
        )
    return path


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checked_sha256(path: Path) -> str:
    """The SHA-256 of a file. Raises UsageError if another one was noted when it was fetched."""
    found, noted = sha256(path), noted_sha256(path)
    if noted not in (None, found):
        raise _another(path, found, noted, f"noted in {_note(path)}")
    return found


def noted_sha256(path: Path) -> str | None:
    return (_note(path).read_text().split() or [None])[0] if _note(path).exists() else None


def fetch(
    url: str,
    path: Path,
    *,
    pinned: str | None = None,
    advance: Advance = lambda done, total: None,
    pauses: Sequence[float] = PAUSES,
) -> str:
    """Bring the file at `url` to `path` unless it is there, and return its SHA-256, which is noted beside it.

    pinned: the SHA-256 that it must have; without it the noted one, if there is one. `path` appears whole and checked
    or not at all. Raises MtbenchError if the file cannot be had after some attempts, UsageError if it is another file.
    """
    part, validator = path.with_name(path.name + ".part"), path.with_name(path.name + ".part.etag")
    expected, source = (pinned, "pinned") if pinned else (noted_sha256(path), f"noted in {_note(path)}")
    if path.exists():
        found = sha256(path)
        if expected not in (None, found):
            raise _another(path, found, expected, source)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(url, part, validator, advance, pauses)
        found = sha256(part)
        if expected not in (None, found):
            part.unlink()
            validator.unlink(missing_ok=True)
            raise UsageError(f"{url}: what came has the SHA-256 {found}, not {expected} ({source}); it was not kept")
        part.replace(path)
        validator.unlink(missing_ok=True)
    _note(path).write_text(f"{found}  {path.name}\n")
    return found


def unpack(archive: Path, name: str) -> Path:
    """Bring the file `name` of a tar, in whatever folder it lies there, to beside the tar and note its SHA-256.

    Raises MtbenchError if the tar is damaged or does not hold just one file of that name.
    """
    path = archive.with_name(name)
    if path.exists():
        return path
    part = path.with_name(name + ".part")
    try:
        with tarfile.open(archive) as tar:
            files = [member for member in tar if member.isfile()]
            found = [member for member in files if PurePosixPath(member.name).name == name]
            if len(found) != 1:
                others = [member.name for member in files if member.name.endswith((".ckpt", ".pt"))]
                raise MtbenchError(
                    f"{archive} holds {len(found)} files {name}; its checkpoints are "
                    f"{', '.join(others) or 'none'}: unpack one with tar and name it as the model's weights"
                )
            with tar.extractfile(found[0]) as source, part.open("wb") as file:
                shutil.copyfileobj(source, file, BLOCK)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise MtbenchError(f"{archive} is no whole archive ({error}): delete it and fetch it again") from error
    part.replace(path)
    _note(path).write_text(f"{sha256(path)}  {name}\n")
    return path


def _note(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _another(path: Path, found: str, expected: str, source: str) -> UsageError:
    return UsageError(
        f"{path} has the SHA-256 {found}, not {expected} ({source}): delete it and fetch it again, or, "
        "if this file is the right one, correct that SHA-256"
    )


class _Lost(Exception):
    """An attempt ended before the file did; another one may bring the rest."""


def _download(url: str, part: Path, validator: Path, advance: Advance, pauses: Sequence[float]) -> None:
    most, left = 0, list(pauses)
    while True:
        try:
            return _receive(url, part, validator, advance)
        except _Lost as lost:
            have = _kept(part, validator)
            if have > most:
                most, left = have, list(pauses)
            if not left:
                raise MtbenchError(
                    f"{url}: {lost}. The same command goes on after the {have} bytes that came; or put "
                    f"the file at {part.with_suffix('')} yourself"
                ) from None
            time.sleep(left.pop(0))


def _kept(part: Path, validator: Path) -> int:
    """The bytes to go on after: none if nothing tells whether the server still has the same file."""
    return part.stat().st_size if part.exists() and validator.exists() else 0


def _receive(url: str, part: Path, validator: Path, advance: Advance) -> None:
    """One request for what is missing. The file `validator` holds the ETag or date of what `part` is a part of."""
    have = _kept(part, validator)
    headers = {"User-Agent": "mtbench", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator.read_text()}
    try:
        response = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{have}":
            return  # nothing comes after what is here
        if error.code == 416:
            part.unlink()
        if error.code in (408, 416, 429) or error.code >= 500:
            raise _Lost(f"{error.code} {error.reason}") from None
        raise MtbenchError(f"{url}: {error.code} {error.reason}") from None
    except (OSError, HTTPException) as error:
        raise _Lost(str(error.reason if isinstance(error, URLError) else error)) from None
    with response:
        now = _validator(response)
        if response.status == 206:
            span = re.fullmatch(rf"bytes {have}-\d+/(\d+)", response.headers.get("Content-Range", ""))
            if not span or now not in ("", headers.get("If-Range")):
                part.unlink(missing_ok=True)
                raise _Lost("the server sent another part than was asked for")
            total, mode = int(span[1]), "ab"
        else:
            length = response.headers.get("Content-Length")
            total, mode, have = int(length) if length else None, "wb", 0
        with part.open(mode) as file:
            if mode == "wb":  # after the old part is gone: else it would go on as a part of the new file
                validator.write_text(now) if now else validator.unlink(missing_ok=True)
            advance(have, total)
            while block := _block(response):
                file.write(block)
                have += len(block)
                advance(have, total)
    if total is not None and have < total:
        raise _Lost(f"the connection ended after {have} of {total} bytes")


def _validator(response: HTTPResponse) -> str:
    """What names this version of the file for If-Range, which takes no weak ETag."""
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")


def _block(response: HTTPResponse) -> bytes:
    try:
        return response.read1(BLOCK)
    except (OSError, HTTPException) as error:
        raise _Lost(str(error) or type(error).__name__) from None


def _pins(texts: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    pins = {}
    for text in texts:
        name, _, digest = text.rpartition("=")
        if name not in names:
            raise UsageError(f"--sha256 {text}: '{name}' is none of the files, {', '.join(names)}")
        if not re.fullmatch("[0-9a-fA-F]{64}", digest):
            raise UsageError(f"--sha256 {text}: a SHA-256 is 64 hexadecimal digits")
        pins[name] = digest.lower()
    return pins


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m musicldm.fetch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n  python -m musicldm.fetch synctrack\n"
        "  MTBENCH_WEIGHTS=/data/weights python -m musicldm.fetch musicldm\n"
        "  python -m musicldm.fetch synctrack --sha256 vae-ckpt.ckpt=<64 hexadecimal digits>",
    )
    files = "; ".join(f"{weights}: {', '.join(names)}" for weights, (_, names) in RECORDS.items())
    parser.add_argument("weights", choices=RECORDS, help=files)
    parser.add_argument("--sha256", metavar="NAME=HEX", action="append", default=[], help="what a file must have")
    asked = parser.parse_args(arguments)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        pins = _pins(asked.sha256, RECORDS[asked.weights][1])
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
            for path, url in files_of(asked.weights).items():
                task = progress.add_task(path.name, total=None)
                digest = fetch(
                    url,
                    path,
                    pinned=pins.get(path.name),
                    advance=lambda done, total: progress.update(task, completed=done, total=total),
                )
                progress.console.print(f"{path}\n  SHA-256 {digest}", markup=False)
                if asked.weights in ARCHIVED:
                    progress.console.print(f"unpacked: {unpack(path, ARCHIVED[asked.weights])}", markup=False)
    except MtbenchError as error:
        console.print(f"error: {error}", markup=False)
        sys.exit(error.exit_code)
    except OSError as error:
        console.print(f"error: {error.filename or weights_folder()}: {error.strerror}", markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on from what has come", markup=False)
        sys.exit(130)


if __name__ == "__main__":
    main()
