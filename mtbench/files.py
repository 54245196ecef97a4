"""Files that appear whole or not at all, YAML that is read safely, and folders that can be written."""

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
    """A binary file that appears under its name only once it is complete: written aside, then renamed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        Path(aside).chmod(0o644)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)  # it may have its name already
        raise


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping. Raises UsageError, naming the file, if it does not."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise UsageError(f"{where}: not valid YAML ({error.problem or error.context})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: broken UTF-8, or the 31st of February
        raise UsageError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise UsageError(f"{path}: holds {type(values).__name__}, not a mapping of keys to values")
    return values


def write_yaml(path: Path, values: Mapping[str, Any]) -> None:
    """Write a mapping as YAML, its keys in their order."""
    with whole_file(path) as file:
        file.write(yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True).encode())


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, replacing what had it; where the disk cannot, copy the file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        with whole_file(target) as file:
            file.write(source.read_bytes())


def check_writable(folder: Path, remedy: str) -> None:
    """Make a folder, and raise UsageError if it cannot be made or nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror}); {remedy}") from None
