"""Checkpoints: read them without running code, load them strictly into networks, identify them by SHA-256."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import platformdirs
import torch
from torch import Tensor, nn
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from mtbench.errors import UsageError

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def weights_folder() -> Path:
    """Return the folder of published weights: ``$MTBENCH_WEIGHTS``, or `weights` in mtbench's user cache folder."""
    return Path(os.environ.get("MTBENCH_WEIGHTS") or Path(platformdirs.user_cache_dir("mtbench")) / "weights")


class _Object:
    """An empty placeholder for an object in a checkpoint that is not a tensor or a plain container. It runs no code."""

    def __new__(cls, *arguments: Any, **named: Any) -> _Object:
        return object.__new__(cls)

    def __init__(self, *arguments: Any, **named: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


class _Mapping:
    """The same for subclasses of dict: torch fills only plain dicts."""

    def __new__(cls, *arguments: Any) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        return OrderedDict()


def _stand_in(name: str) -> Callable[..., Any]:
    return _Mapping if "dict" in name.rsplit(".", 1)[-1].lower() else _Object


def load(path: Path) -> dict[str, Any]:
    """Return the dict in a checkpoint, with tensors on the CPU, memory-mapped if the file format allows it.

    Training frameworks store objects of their own in checkpoints. They are neither needed nor imported: an empty
    placeholder replaces each of them. Raises UsageError if the file does not exist or is not such a checkpoint.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such checkpoint")
    try:
        zipped = zipfile.is_zipfile(path)
        strangers = get_unsafe_globals_in_checkpoint(path) if zipped else []
        with safe_globals([(_stand_in(name), name) for name in strangers]):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # torch passes on whatever its unpickler raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:100]
        raise UsageError(
            f"{path} cannot be read as a checkpoint: it is not one, is damaged, or contains objects that "
            f"can only be loaded by running code ({reason})"
        ) from error
    if not isinstance(checkpoint, dict):
        raise UsageError(f"{path} is not a checkpoint (it contains {type(checkpoint).__name__}, not a dict)")
    return checkpoint


def has_names_below(prefix: str, checkpoint: Mapping[str, Any]) -> bool:
    """Return whether the checkpoint's state dict has names that start with `prefix`, as in a Lightning file."""
    state = checkpoint.get("state_dict", ())
    return isinstance(state, Mapping) and any(name.startswith(prefix) for name in state)


def below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with `prefix`, with the prefix removed from their names."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def without(state: Mapping[str, Tensor], prefixes: tuple[str, ...], names: Iterable[str] = ()) -> dict[str, Tensor]:
    """Return the tensors whose names neither start with one of `prefixes` nor are in `names`."""
    names = frozenset(names)
    return {name: value for name, value in state.items() if not name.startswith(prefixes) and name not in names}


def filled(path: Path, make: Callable[[], ModuleT], state: Mapping[str, Tensor]) -> ModuleT:
    """Return the module created by `make` with exactly this state, in float32 and evaluation mode.

    The weights are copied, since the state may be memory-mapped. path: the file of the state, for error messages.
    Raises UsageError naming the tensors that are missing, unexpected or of the wrong shape.
    """
    with torch.device("meta"):
        module = make()
    check_shapes(path, state, {name: value.shape for name, value in module.state_dict().items()})
    module.load_state_dict({name: value.to(torch.float32, copy=True) for name, value in state.items()}, assign=True)
    return module.eval()


def check_shapes(path: Path, state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> None:
    """Raise UsageError unless `state`, read from `path`, has exactly these names and shapes."""
    faults = {
        "missing": [name for name in shapes if name not in state],
        "unexpected": [name for name in state if name not in shapes],
        "of the wrong shape": [
            f"{name} {list(state[name].shape)} instead of {list(shapes[name])}"
            for name in shapes
            if name in state and state[name].shape != shapes[name]
        ],
    }
    if any(faults.values()):
        listed = [
            f"{len(names)} {fault} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
            for fault, names in faults.items()
            if names
        ]
        raise UsageError(f"{path} does not contain the expected weights: {'; '.join(listed)}")


def trained_network(
    model: str, path: Path, checkpoint: Mapping[str, Any], make: Callable[[Mapping[str, Any]], ModuleT]
) -> tuple[ModuleT, dict[str, Any]]:
    """Return the network of a checkpoint trained by mtbench, and the provenance of its training.

    make: creates the network from its config. Raises UsageError if the checkpoint was not written by mtbench, or
    belongs to another model.
    """
    if not {"config", "state_dict", "metadata"} <= checkpoint.keys():
        raise UsageError(f"{path} is neither a checkpoint trained by mtbench nor a published one")
    try:
        network = filled(path, lambda: make(checkpoint["config"]), checkpoint["state_dict"])
        metadata, data = checkpoint["metadata"], checkpoint["metadata"]["training_data"]
        return network, {
            "trained_on": "synthetic songs" if data.startswith("mtbench band") else data,
            "training_data": data,
            "training_steps": metadata["steps"],
            "training_minutes": metadata["minutes"],
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} is not a checkpoint of model '{model}' ({error})") from error


def short_path(path: Path) -> str:
    """Return the last three components of a path, which identify a weights file in the provenance."""
    return "/".join(path.parts[-3:])


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_file(path: Path) -> Path:
    """Return the path of the file that records the SHA-256 of a fetched file."""
    return path.with_name(path.name + ".sha256")


def noted_sha256(path: Path) -> str | None:
    """Return the SHA-256 recorded when the file was fetched, or None."""
    words = sha256_file(path).read_text().split() if sha256_file(path).exists() else []
    return words[0] if words else None


def note_sha256(path: Path, digest: str) -> None:
    """Record the SHA-256 of a file next to it, in the format of `sha256sum --check`."""
    sha256_file(path).write_text(f"{digest}  {path.name}\n")


def checked_sha256(path: Path) -> str:
    """Return the SHA-256 of a file. Raises UsageError if it differs from the one recorded when it was fetched."""
    digest, noted = sha256(path), noted_sha256(path)
    if noted not in (None, digest):
        raise another_sha256(path, digest, noted, f"recorded in {sha256_file(path)}")
    return digest


def another_sha256(path: Path, digest: str, expected: str, source: str) -> UsageError:
    """Return the error for a file with an unexpected SHA-256; `source` says where the expected one comes from."""
    return UsageError(
        f"{path} has SHA-256 {digest}, expected {expected} ({source}). Delete the file and fetch it again or, "
        "if this file is the right one, correct the expected SHA-256"
    )
