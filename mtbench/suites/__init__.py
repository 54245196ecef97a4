"""Reference sets: the songs that models are measured against.

``band`` is embedded and needs nothing; ``slakh2100/<split>`` reads the data set from disk; ``folder:PATH`` is any
folder of stems; other packages add theirs by entry point. A suite gives its songs as StemSets at its own sample rate
and duration. That is 10.24 s; with ``/30s`` or ``/60s`` at the end of the first two names, 30.72 or 61.44 s.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mtbench.stems import Suite


@dataclass(frozen=True)
class SuiteFamily:
    """What an entry point of the group ``mtbench.suites`` names: suites whose names begin alike.

    suites: {name: length of its clips in s}; each name is the entry point's own or lies below it, as in ``band/30s``.
    open: makes the suite of a name; it raises UsageError where its files are not where they should be. describe: gives
    rows of (name, what it is, where it is or what to do about it) for ``mtbench suites``.
    """

    suites: Mapping[str, float]
    open: Callable[[str], Suite]
    describe: Callable[[], list[tuple[str, str, str]]]
