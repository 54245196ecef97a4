"""Checkpoints: reading them without running code, filling networks with them strictly, and knowing them by SHA-256."""

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
    """Where published weights are kept: ``$MTBENCH_WEIGHTS``, else `weights` in the user's cache folder."""
    return Path(os.environ.get("MTBENCH_WEIGHTS") or Path(platformdirs.user_cache_dir("mtbench")) / "weights")


class _Object:
    """Stands in for an object of a checkpoint that is not a tensor or a plain container. It is empty; nothing runs."""

    def __new__(cls, *arguments: Any, **named: Any) -> _Object:
        return object.__new__(cls)

    def __init__(self, *arguments: Any, **named: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


class _Mapping:
    """The same for subclasses of dict, which torch fills only where it finds a plain one."""

    def __new__(cls, *arguments: Any) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        return OrderedDict()


def _stand_in(name: str) -> Callable[..., Any]:
    return _Mapping if "dict" in name.rsplit(".", 1)[-1].lower() else _Object


def load(path: Path) -> dict[str, Any]:
    """The dict in a checkpoint, its tensors on the CPU and memory-mapped where the file's form allows.

    Training frameworks leave objects of their own in their files. These are neither needed nor imported: something
    empty stands in for each. Raises UsageError if there is no such file, or it is not such a checkpoint.
    """
    if not path.exists():
        raise UsageError(f"no checkpoint {path}")
    try:
        zipped = zipfile.is_zipfile(path)
        strangers = get_unsafe_globals_in_checkpoint(path) if zipped else []
        with safe_globals([(_stand_in(name), name) for name in strangers]):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # torch raises what its unpickler meets
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:100]
        raise UsageError(
            f"{path} cannot be read as a checkpoint: it is none, is damaged, or holds objects that come "
            f"to life only by running code ({reason})"
        ) from error
    if not isinstance(checkpoint, dict):
        raise UsageError(f"{path} cannot be read as a checkpoint (it holds {type(checkpoint).__name__}, not a dict)")
    return checkpoint


def has_names_below(prefix: str, checkpoint: Mapping[str, Any]) -> bool:
    """Whether the state dict of a checkpoint has names that begin with `prefix`, as a Lightning file's have."""
    state = checkpoint.get("state_dict", ())
    return isinstance(state, Mapping) and any(name.startswith(prefix) for name in state)


def below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def without(state: Mapping[str, Tensor], prefixes: tuple[str, ...], names: Iterable[str] = ()) -> dict[str, Tensor]:
    """The tensors whose names neither begin with one of `prefixes` nor are among `names`."""
    names = frozenset(names)
    return {name: value for name, value in state.items() if not name.startswith(prefixes) and name not in names}


def filled(path: Path, make: Callable[[], ModuleT], state: Mapping[str, Tensor]) -> ModuleT:
    """The module of `make` with exactly this state, in float32 and evaluation mode.

    Its weights are copies of the state's, which may be a mapped file. path: where the state is from, for messages.
    Raises UsageError naming what is missing, unexpected or of another shape.
    """
    with torch.device("meta"):
        module = make()
    check_shapes(path, state, {name: value.shape for name, value in module.state_dict().items()})
    module.load_state_dict({name: value.to(torch.float32, copy=True) for name, value in state.items()}, assign=True)
    return module.eval()


def check_shapes(path: Path, state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> None:
    """Raise UsageError unless `state`, which is from `path`, has just these names and shapes."""
    faults = {
        "missing": [name for name in shapes if name not in state],
        "unexpected": [name for name in state if name not in shapes],
        "of another shape": [
            f"{name} {list(state[name].shape)} for {list(shapes[name])}"
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
        raise UsageError(f"{path} does not hold the expected weights: {'; '.join(listed)}")


def trained_network(
    model: str, path: Path, checkpoint: Mapping[str, Any], make: Callable[[Mapping[str, Any]], ModuleT]
) -> tuple[ModuleT, dict[str, Any]]:
    """The network of a checkpoint that mtbench trained, and what the provenance says of its training.

    make: the network for its config. Raises UsageError if mtbench did not write the checkpoint, or for another model.
    """
    if not {"config", "state_dict", "metadata"} <= checkpoint.keys():
        raise UsageError(f"{path} is neither a checkpoint that mtbench trained nor a published one")
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
        raise UsageError(f"{path} is no checkpoint of model '{model}' ({error})") from error


def short_path(path: Path) -> str:
    """The last three names of a path: what a provenance says of where weights lie."""
    return "/".join(path.parts[-3:])


def sha256(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_file(path: Path) -> Path:
    """The file in which the SHA-256 of a fetched file is noted."""
    return path.with_name(path.name + ".sha256")


def noted_sha256(path: Path) -> str | None:
    """The SHA-256 that was noted when a file was fetched, or None."""
    words = sha256_file(path).read_text().split() if sha256_file(path).exists() else []
    return words[0] if words else None


def note_sha256(path: Path, digest: str) -> None:
    """Note the SHA-256 of a file beside it, in the form that `sha256sum --check` reads."""
    sha256_file(path).write_text(f"{digest}  {path.name}\n")


def checked_sha256(path: Path) -> str:
    """The SHA-256 of a file. Raises UsageError if another one was noted when it was fetched."""
    digest, noted = sha256(path), noted_sha256(path)
    if noted not in (None, digest):
        raise another_sha256(path, digest, noted, f"noted in {sha256_file(path)}")
    return digest


def another_sha256(path: Path, digest: str, expected: str, source: str) -> UsageError:
    """The error for a file whose SHA-256 is not the expected one, of which `source` says where it is from."""
    return UsageError(
        f"{path} has the SHA-256 {digest}, not {expected} ({source}): delete it and fetch it again, or, "
        "if this file is the right one, correct that SHA-256"
    )
