"""The version of mtbench that is installed."""

from importlib.metadata import version

__version__ = version("mtbench")
