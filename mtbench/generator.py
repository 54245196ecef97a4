"""The interface between the harness and the models: what a generator is, and how one is found.

A package adds a model by naming a factory in its entry points, group ``mtbench.generators``::

    [project.entry-points."mtbench.generators"]
    my-model = "my_package:make"

    def make(*, weights, device, suite, **options) -> Generator: ...

`weights` is a path or None (the generator's own default), `device` a torch device name, `suite` the Suite
whose stems, sample rate and duration are wanted, `options` what the user's config says under `options:`.
A folder of audio needs no package: it is the model ``folder:PATH``. docs/adding-a-model.md has the whole of it.
"""

import inspect
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from numbers import Real
from typing import Any, Protocol, runtime_checkable

from mtbench.errors import MtbenchError, UsageError, one_line, unknown_name
from mtbench.stems import StemSet, Suite

__all__ = ["FOLDER", "GROUP", "Generator", "StemSet", "installed", "is_rate", "make"]

GROUP = "mtbench.generators"
FOLDER = "folder:"  # begins the name of a model that is a folder of audio


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

        Sample i depends on (weights, seed, i) alone, so that a run can stop, go on, or be split. `given[i]`
        holds the stems to keep (arrangement) or one stem named ``mixture`` (separation), by absolute sample number.
        """
        ...


def installed() -> dict[str, EntryPoint]:
    """The generators that installed packages offer, by name, without importing any."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def make(
    name: str,
    *,
    suite: Suite,
    weights: str | None = None,
    device: str = "cpu",
    options: Mapping[str, Any] | None = None,
) -> Generator:
    """Make the generator installed under `name`, or that of ``folder:PATH``.

    Raises UsageError for a name that is not installed or options that its factory refuses, MtbenchError if its
    package cannot be imported or its factory fails or returns what is no Generator.
    """
    if name.startswith(FOLDER) and name != FOLDER:
        from mtbench.folder import FolderModel  # imports what is here

        if weights or options:
            raise UsageError(f"model '{name}' takes neither weights nor options")
        return FolderModel(name.removeprefix(FOLDER), suite)
    points = installed()
    if name not in points:
        raise unknown_name("model", name, [*points, f"{FOLDER}PATH"])
    try:
        factory = points[name].load()
    except (Exception, SystemExit) as error:  # a stranger's module may raise anything
        raise MtbenchError(f"model '{name}': {points[name].value} cannot be imported ({one_line(error)})") from error
    arguments = dict(options or {})
    if taken := sorted(arguments.keys() & {"weights", "device", "suite"}):
        raise UsageError(f"model '{name}': {', '.join(taken)} cannot be among its options")
    arguments |= {"weights": weights, "device": device, "suite": suite}
    try:
        inspect.signature(factory).bind(**arguments)
    except (TypeError, ValueError) as error:
        raise UsageError(f"model '{name}' does not take these options: {error}") from error
    try:
        generator = factory(**arguments)
    except MtbenchError:
        raise
    except (Exception, SystemExit) as error:
        raise MtbenchError(f"model '{name}': cannot be made ({one_line(error)})") from error
    for field, (wanted, right) in _FIELDS.items():
        try:
            value = getattr(generator, field)
        except Exception as error:  # it may be a property
            why = f"what its factory made is without {field} ({one_line(error)})"
            raise MtbenchError(f"model '{name}': {why}") from error
        if not right(value):
            raise MtbenchError(f"model '{name}': its {field} is {reprlib.repr(value)}, not {wanted}")
    return generator


def is_rate(value: Any) -> bool:
    """Is this a positive whole number (of Hz), of whatever numeric type?"""
    return isinstance(value, Real) and value > 0 and value % 1 == 0


def _are_names(value: Any) -> bool:
    return isinstance(value, (tuple, list, set, frozenset)) and all(isinstance(name, str) for name in value)


# What a generator must have: what it should be, and whether a value is that.
_FIELDS = {
    "name": ("a text", lambda value: isinstance(value, str) and value),
    "sample_rate": ("a positive whole number of Hz", is_rate),
    "stems": ("a tuple of names", _are_names),
    "tasks": ("a set of names", _are_names),
    "provenance": ("a mapping", lambda value: isinstance(value, Mapping)),
    "generate": ("a method", callable),
}
