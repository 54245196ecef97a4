"""A benchmark for multi-track music generators.

``mtbench.run(["synctrack"], n=8)`` generates and scores samples, ``mtbench.evaluate("my_stems/", reference="band")``
scores audio that exists already, ``mtbench.load("runs/demo")`` reads a finished run, and ``mtbench.compare(a, b)``
compares two. The first three return a `Result`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtbench.api import evaluate, run
    from mtbench.report.result import Comparison, Result, compare, load
    from mtbench.version import __version__

__all__ = ["Comparison", "Result", "__version__", "compare", "evaluate", "load", "run"]

# Imported when they are first used, so that `import mtbench` costs nothing.
HOMES = {
    "Comparison": "mtbench.report.result",
    "Result": "mtbench.report.result",
    "__version__": "mtbench.version",
    "compare": "mtbench.report.result",
    "evaluate": "mtbench.api",
    "load": "mtbench.report.result",
    "run": "mtbench.api",
}


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    raise AttributeError(f"module 'mtbench' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
