"""What the rest of mtbench knows of a metric: a record beside its function.

Tables, the gate, the board and the docs read the record, so a new metric is one file with its function and its record.
A file of this package lists its records in ``METRICS``; another package names one in its entry points, group
``mtbench.metrics``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, NamedTuple

from mtbench.errors import MtbenchError, one_line

Needs = Literal["beats", "audio", "frames"]
Scope = Literal["track", "clip", "set"]


class Tolerance(NamedTuple):
    """How much worse a score may become before the gate asks whether chance explains it: an absolute amount plus a
    share of the baseline's value."""

    absolute: float
    relative: float


@dataclass(frozen=True)
class Metric:
    """A number with a version.

    compute, by what it needs and its scope, always gives a float in [0, most], NaN where it is not defined:

    ========  =======  ===================================================================================
    needs     scope    compute
    ========  =======  ===================================================================================
    beats     track    (times float64 [n] in s)
    beats     clip     ({stem: times}, duration in s), with `windowed` ({stem: times}, duration, window in s)
    audio     track    (wave float32 [samples], rate in Hz)
    audio     clip     ({stem: wave}, rate)
    frames    set      (embeddings [frames, dimension], those of the reference): FAD alone
    ========  =======  ===================================================================================

    direction: -1 lower is better, 1 higher, 0 neither. down_to_control: lower is better only down to what held-out
    songs score. version: of the definition; scores of two versions are never compared. digits: after the point, in
    tables. about: a sentence for the board. paper: where the definition comes from. tolerance: the gate's; None: not
    gated. place: its order in tables. summary: it stands in the summary of the board, by these tracks.

    track: under which a clip's score stands. skips: stems that have no such score. of_given: in arrangement the stems
    that were given are measured too. over_stems: a row `all` holds the mean over stems.

    statistic: `compute` gives several values at once, and this one is the attribute of that name.
    """

    name: str
    title: str
    unit: str
    direction: Literal[-1, 0, 1]
    version: str
    needs: Needs
    scope: Scope
    compute: Callable[..., Any]
    digits: int
    about: str
    paper: str = ""
    most: float = inf
    down_to_control: bool = False
    tolerance: Tolerance | None = None
    place: int = 1000
    summary: tuple[str, ...] = ()
    windowed: bool = False
    track: str = "all"
    skips: tuple[str, ...] = ()
    of_given: bool = False
    over_stems: bool = False
    statistic: str = ""

    @property
    def arrow(self) -> str:
        """What follows the title in tables: an arrow to the better side, empty if there is none."""
        return {-1: " ↓", 1: " ↑", 0: ""}[self.direction]


def values_of(records: Sequence[Metric], *arguments: Any) -> list[float]:
    """The values of some metrics of the same arguments; those that share a `compute` share one call of it.

    Raises MtbenchError, naming the metric, if one fails.
    """
    results: dict[Callable[..., Any], Any] = {}
    values = []
    for record in records:
        try:
            if record.compute not in results:
                results[record.compute] = record.compute(*arguments)
            result = results[record.compute]
            values.append(float(getattr(result, record.statistic) if record.statistic else result))
        except (Exception, SystemExit) as error:  # it may be a stranger's
            raise MtbenchError(f"metric '{record.name}' failed: {one_line(error)}") from error
    return values
