"""The installed version of mtbench."""

from importlib.metadata import version

__version__ = version("mtbench")
