"""The interface between the harness and the models.

A package adds a model by declaring a factory as an entry point in the group ``mtbench.generators``::

    [project.entry-points."mtbench.generators"]
    my-model = "my_package:make"

    def make(*, weights, device, suite, **options) -> Generator: ...

`weights` is a path, or None for the generator's default; `device` is a torch device name; `suite` is the Suite whose
stems, sample rate and duration are required; `options` are those under `options:` in the user's config. A folder of
audio needs no package: it is the model ``folder:PATH``. docs/how-to/your-model.md describes all of this.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, Protocol, runtime_checkable

from mtbench.stems import StemSet

__all__ = ["FIELDS", "Generator", "StemSet", "is_rate"]


@runtime_checkable
class Generator(Protocol):
    """A model as the harness sees it.

    name: as on the command line. sample_rate: the rate of its samples in Hz; the harness resamples them. stems: the
    stems that it can generate. tasks: the tasks that it supports (total, arrangement, separation). provenance:
    everything its samples depend on (weights' SHA-256, training data and budget, form, batch size).

    A generator whose samples take long may have an attribute `on_step`: the harness sets it to a function, which the
    generator calls with (done, steps) while it works on a sample, to show progress. A generator with a limited number
    of samples may state that number in an attribute `available`; a run that asks for more is then refused before
    anything is generated.
    """

    name: str
    sample_rate: int
    stems: tuple[str, ...]
    tasks: frozenset[str]
    provenance: Mapping[str, Any]

    def generate(
        self, n: int, stems: Sequence[str], *, given: Sequence[StemSet] | None = None, seed: int = 0, start: int = 0
    ) -> Iterator[StemSet]:
        """Yield samples start ... start + n - 1, each with exactly `stems`, of the suite's duration.

        Sample i must depend only on (weights, seed, i), so that a run can be stopped, resumed or split. `given[i]`,
        where i is the absolute sample number, contains the stems to keep (arrangement) or one stem named ``mixture``
        (separation).
        """
        ...


def is_rate(value: Any) -> bool:
    """Return whether a value is a positive whole number (of Hz), of any numeric type."""
    return isinstance(value, Real) and float(value) > 0 and float(value) % 1 == 0


def _are_names(value: Any) -> bool:
    return isinstance(value, (tuple, list, set, frozenset)) and all(isinstance(name, str) for name in value)


# The attributes that a generator must have: {name: (what it must be, in words; a function that checks a value)}.
FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "name": ("a non-empty string", lambda value: isinstance(value, str) and value),
    "sample_rate": ("a positive whole number of Hz", is_rate),
    "stems": ("a tuple of strings", _are_names),
    "tasks": ("a set of strings", _are_names),
    "provenance": ("a mapping", lambda value: isinstance(value, Mapping)),
    "generate": ("a method", callable),
}
