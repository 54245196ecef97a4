"""The record of a metric, which describes its function to the rest of mtbench.

Tables, the gate, the board and the docs read the record, so a new metric is a single file with a function and a record.
Each file in this package lists its records in ``METRICS``; other packages declare records as entry points in the group
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
    """How much worse a score may get before the gate tests whether chance explains it.

    This is an absolute amount plus a share of the baseline's value.
    """

    absolute: float
    relative: float


@dataclass(frozen=True)
class Metric:
    """The record of a metric, which is a number with a version.

    compute returns a float in [0, most], or NaN if undefined. Its arguments depend on `needs` and `scope`:

    ========  =======  ===================================================================================
    needs     scope    compute
    ========  =======  ===================================================================================
    beats     track    (times float64 [n] in s)
    beats     clip     ({stem: times}, duration in s), with `windowed` ({stem: times}, duration, window in s)
    audio     track    (wave float32 [samples], rate in Hz)
    audio     clip     ({stem: wave}, rate)
    frames    set      (embeddings [frames, dimension], the reference's embeddings); only for FAD
    ========  =======  ===================================================================================

    direction: -1 if lower is better, 1 if higher is better, 0 for neither. down_to_control: lower is better only down
    to the score of held-out songs. version: of the definition; scores of different versions are never compared. digits:
    number of decimals in tables. about: a description for tables and the board. paper: the source of the definition.
    tolerance: used by the gate; None if the metric is not gated. place: sort order in tables. summary: the tracks for
    which the metric is shown in the board's summary.

    track: the track name of a clip's score. skips: stems that have no such score. of_given: in arrangement, given stems
    are measured as well. over_stems: a row `all` contains the mean over stems.

    statistic: if `compute` returns several values at once, the attribute that has this metric's value.
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
        """An arrow in the direction of better values, appended to the title in tables; empty if there is none."""
        return {-1: " ↓", 1: " ↑", 0: ""}[self.direction]


def values_of(records: Sequence[Metric], *arguments: Any) -> list[float]:
    """Compute several metrics of the same arguments; metrics with the same `compute` share a single call.

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
        except (Exception, SystemExit) as error:  # metrics of other packages may raise anything
            raise MtbenchError(f"metric '{record.name}' failed: {one_line(error)}") from error
    return values
