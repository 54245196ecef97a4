"""Write files atomically, read YAML safely, list folders, and check that they are writable."""

import io
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from mtbench.errors import UsageError


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[io.BufferedWriter]:
    """Open a binary file that appears at `path` only once it is complete.

    It is written to a temporary file in the same folder, which is then renamed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        Path(aside).chmod(0o644)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)  # it may already have been renamed
        raise


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that contains a mapping. Raises UsageError, naming the file, if that fails."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise UsageError(f"{where}: not valid YAML ({error.problem or error.context})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: invalid UTF-8, or 31 February
        raise UsageError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise UsageError(f"{path}: contains {type(values).__name__}, expected a mapping of keys to values")
    return values


def write_yaml(path: Path, values: Mapping[str, Any]) -> None:
    """Write a mapping as YAML, keeping the order of its keys."""
    with whole_file(path) as file:
        file.write(yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True).encode())


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link `source` to `target`, replacing any existing target; copy it if the file system cannot link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        with whole_file(target) as file:
            file.write(source.read_bytes())


def subfolders(path: Path) -> list[Path]:
    """Return the folders in a folder, sorted, without hidden ones; none if there is no such folder."""
    inside = path.iterdir() if path.is_dir() else ()
    return sorted(folder for folder in inside if folder.is_dir() and not folder.name.startswith("."))


def check_writable(folder: Path, remedy: str) -> None:
    """Create a folder, and raise UsageError if it cannot be created or written to.

    remedy: what the user should do then; it ends the message.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written to ({error.strerror}); {remedy}") from None
