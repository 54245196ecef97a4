"""Suites: the reference sets that models are measured against.

``band`` is embedded and needs no files; ``slakh2100/<split>`` reads the data set from disk; ``folder:PATH`` is any
folder of stems; other packages can add suites as entry points. A suite provides its songs as StemSets at its own sample
rate and duration. The duration is 10.24 s; add ``/30s`` or ``/60s`` to the first two names for 30.72 or 61.44 s.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mtbench.stems import Suite


@dataclass(frozen=True)
class SuiteFamily:
    """A family of suites whose names have the same prefix: the object of an entry point in ``mtbench.suites``.

    suites: {name: length of its clips in s}. Each name is the name of the entry point, or starts with it and a slash,
    as in ``band/30s``. open: returns the suite of a name; raises UsageError if its files are missing. describe: returns
    rows of (name, description, where its files are or how to get them) for ``mtbench suites``.
    """

    suites: Mapping[str, float]
    open: Callable[[str], Suite]
    describe: Callable[[], list[tuple[str, str, str]]]
