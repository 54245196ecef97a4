"""mtbench: the benchmark for multi-track music generators.

``mtbench.load("runs/demo")`` reads a finished run back; what it gives prints as the run's summary tables.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtbench.api import Result, load
    from mtbench.version import __version__

__all__ = ["Result", "__version__", "load"]


def __getattr__(name: str) -> Any:
    # Imported when they are first asked for, so that `import mtbench` costs nothing.
    if name == "__version__":
        from mtbench.version import __version__

        return __version__
    if name in __all__:
        from mtbench import api

        return getattr(api, name)
    raise AttributeError(f"module 'mtbench' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
