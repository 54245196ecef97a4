"""mtbench: the benchmark for multi-track music generators."""

from importlib.metadata import version

__version__ = version("mtbench")
