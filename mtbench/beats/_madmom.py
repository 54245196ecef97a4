"""Access to the installed madmom 0.16.1: its import and its weights. No other module touches madmom.

madmom was written for Python 2.7-3.9 and NumPy < 1.20. Names that are missing from current versions are defined
temporarily while madmom is imported, and removed again afterwards, so that no other code in the process sees them:

- ``collections.MutableSequence`` (moved to ``collections.abc`` in Python 3.10);
- ``numpy.float`` and ``numpy.int`` (removed in NumPy 1.24; used in module bodies for dtypes);
- ``pkg_resources`` (removed in setuptools 81; madmom uses it only to get its own version);
- ``distutils.version`` (removed from the standard library in Python 3.12; madmom uses it to compare SciPy's version).

Some of madmom's functions also use ``np.float`` and ``np.int`` at run time. In madmom's modules, the global ``np`` is
therefore replaced by a module that has both names and forwards all others to numpy.
"""

import collections
import collections.abc
import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

NETWORKS = 8

Array = NDArray[np.float32]


# The parts of madmom's objects that are used here. H = 25 units; all weights are float32.


class Gate(Protocol):
    """A gate of an LSTM layer, or its cell (which has no peephole weights)."""

    weights: Array  # [F, H]
    recurrent_weights: Array  # [H, H]
    bias: Array  # [H]
    peephole_weights: Array  # [H]


class Direction(Protocol):
    """An LSTM layer in one direction."""

    input_gate: Gate
    forget_gate: Gate
    output_gate: Gate
    cell: Gate


class Bidirectional(Protocol):
    fwd_layer: Direction
    bwd_layer: Direction


class Output(Protocol):
    """The softmax: weights [2H, 3], bias [3]."""

    weights: Array
    bias: Array


class Network(Protocol):
    """layers: three Bidirectional, then one Output."""

    layers: list[Any]


class _NumPyWithAliases(types.ModuleType):
    float = float
    int = int

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def _stub_pkg_resources() -> dict[str, types.ModuleType]:
    stub = types.ModuleType("pkg_resources")
    vars(stub)["get_distribution"] = lambda name: types.SimpleNamespace(version=importlib.metadata.version(name))
    return {"pkg_resources": stub}


def _stub_distutils() -> dict[str, types.ModuleType]:
    package, version = types.ModuleType("distutils"), types.ModuleType("distutils.version")
    vars(version)["LooseVersion"] = lambda text: tuple(int(number) for number in text.split(".")[:2])
    vars(package)["version"] = version
    return {"distutils": package, "distutils.version": version}


@contextmanager
def _lent_names() -> Iterator[None]:
    """Define the names listed in the module's docstring, and restore the previous state afterwards."""
    modules = _stub_pkg_resources()
    if importlib.util.find_spec("distutils") is None:
        modules |= _stub_distutils()
    attributes: list[tuple[types.ModuleType, str, Any]] = [
        (collections, "MutableSequence", collections.abc.MutableSequence),
        (np, "float", float),
        (np, "int", int),
    ]
    attributes = [(owner, name, value) for owner, name, value in attributes if name not in vars(owner)]
    before = {name: sys.modules[name] for name in modules if name in sys.modules}
    sys.modules.update(modules)
    for owner, name, value in attributes:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, _ in attributes:
            delattr(owner, name)
        for name in modules:
            del sys.modules[name]
        sys.modules.update(before)


@cache
def madmom() -> types.ModuleType:
    """Import madmom with the missing names defined. Raises ImportError if it is not installed."""
    with _lent_names(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SyntaxWarning and DeprecationWarning, which only madmom could fix
        package = importlib.import_module("madmom")
        importlib.import_module("madmom.ml.nn")
    stand_in = _NumPyWithAliases("numpy")
    for name, module in list(sys.modules.items()):
        if name.startswith("madmom.") and getattr(module, "np", None) is np:
            vars(module)["np"] = stand_in
    return package


def weight_files() -> list[Path]:
    """Return the eight files of ``madmom.models.DOWNBEATS_BLSTM`` without importing madmom.

    Raises ImportError if madmom is not installed, and FileNotFoundError, naming the files, if any are missing.
    """
    spec = importlib.util.find_spec("madmom")
    if spec is None or spec.origin is None:
        raise ImportError("beat tracking needs madmom's trained networks: pip install madmom==0.16.1")
    folder = Path(spec.origin).parent / "models" / "downbeats" / "2016"
    files = [folder / f"downbeats_blstm_{i}.pkl" for i in range(1, NETWORKS + 1)]
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise FileNotFoundError(f"madmom is installed without its models; missing: {', '.join(missing)}")
    return files


@cache
def weights_sha256() -> str:
    """Return the SHA-256 of the bytes of the eight weight files, in order."""
    digest = hashlib.sha256()
    for file in weight_files():
        digest.update(file.read_bytes())
    return digest.hexdigest()


def load_networks() -> list[Network]:
    """Load madmom's eight ``NeuralNetwork`` objects with madmom's own loader. Raises like `weight_files`."""
    madmom()
    from madmom.ml.nn import NeuralNetwork

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns about dtypes that were pickled before NumPy 2.4
        return [NeuralNetwork.load(str(file)) for file in weight_files()]
