"""mtbench: the benchmark for multi-track music generators."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("mtbench")
except PackageNotFoundError:  # run from a source tree that nobody installed
    __version__ = "0+unknown"
