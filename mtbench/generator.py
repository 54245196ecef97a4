"""The interface between the harness and the models: what a generator is.

A package adds a model by naming a factory in its entry points, group ``mtbench.generators``::

    [project.entry-points."mtbench.generators"]
    my-model = "my_package:make"

    def make(*, weights, device, suite, **options) -> Generator: ...

`weights` is a path or None (the generator's own default), `device` a torch device name, `suite` the Suite
whose stems, sample rate and duration are wanted, `options` what the user's config says under `options:`.
A folder of audio needs no package: it is the model ``folder:PATH``. docs/adding-a-model.md has the whole of it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, Protocol, runtime_checkable

from mtbench.stems import StemSet

__all__ = ["FIELDS", "Generator", "StemSet", "is_rate"]


@runtime_checkable
class Generator(Protocol):
    """A model behind the benchmark.

    name: as on the command line. sample_rate: Hz, the generator's own; the harness resamples.
    stems: what it can make. tasks: those of total, arrangement and separation that it can do.
    provenance: what its samples depend on (weights' SHA-256, training data and budget, form, batch size).

    A generator whose samples take long may have an attribute `on_step`, a function that it calls with (done, steps)
    on the way to the next sample; the harness puts its own there and shows it. One that has only so many samples may
    say in an attribute `available` how many, and a run that asks for more is refused before anything is made.
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

        Sample i depends on (weights, seed, i) alone, so that a run can stop, resume, or be split. `given[i]`
        holds the stems to keep (arrangement) or one stem named ``mixture`` (separation), by absolute sample number.
        """
        ...


def is_rate(value: Any) -> bool:
    """Is this a positive whole number (of Hz), of whatever numeric type?"""
    return isinstance(value, Real) and float(value) > 0 and float(value) % 1 == 0


def _are_names(value: Any) -> bool:
    return isinstance(value, (tuple, list, set, frozenset)) and all(isinstance(name, str) for name in value)


# What a generator must have: what it should be, and whether a value is that.
FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "name": ("a text", lambda value: isinstance(value, str) and value),
    "sample_rate": ("a positive whole number of Hz", is_rate),
    "stems": ("a tuple of names", _are_names),
    "tasks": ("a set of names", _are_names),
    "provenance": ("a mapping", lambda value: isinstance(value, Mapping)),
    "generate": ("a method", callable),
}
