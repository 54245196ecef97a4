"""Models, suites, embeddings and metrics from the entry points of installed packages, including mtbench itself.

======================  ============================================================================
group                   an entry point refers to
======================  ============================================================================
`mtbench.generators`    a factory, ``make(*, weights, device, suite, **options) -> Generator``
`mtbench.suites`        a `SuiteFamily`
`mtbench.embeddings`    a factory without arguments that returns an `Embedding`
`mtbench.metrics`       a `Metric`
======================  ============================================================================

Listing models and embeddings imports no package; each is imported when it is requested. docs/how-to/your-model.md has
examples.
"""

import importlib
import inspect
import pkgutil
import reprlib
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import mtbench.metrics
from mtbench.errors import MtbenchError, UsageError, one_line, unknown_name
from mtbench.folder import FolderModel
from mtbench.generator import FIELDS, Generator
from mtbench.metrics import Metric
from mtbench.metrics.embeddings import EMBEDDING_NAMES, Embedding, embedding
from mtbench.stems import FOLDER, Suite
from mtbench.suites import SuiteFamily, midi
from mtbench.suites.folder import Folder


def models() -> dict[str, EntryPoint]:
    """Return the installed models by name, without importing any."""
    return _points("mtbench.generators")


def make_model(
    name: str,
    *,
    suite: Suite,
    weights: str | None = None,
    device: str = "cpu",
    options: Mapping[str, Any] | None = None,
) -> Generator:
    """Create the generator installed under `name`, or the one for ``folder:PATH``.

    Raises UsageError if the name is not installed or its factory does not accept the options, and MtbenchError if its
    package cannot be imported or its factory fails or does not return a Generator.
    """
    if name.startswith(FOLDER) and name != FOLDER:
        if weights or options:
            raise UsageError(f"model '{name}' accepts neither weights nor options")
        return FolderModel(name.removeprefix(FOLDER), suite)
    points = models()
    if name not in points:
        raise unknown_name("model", name, [*points, f"{FOLDER}PATH"])
    factory = _load("model", points[name])
    arguments = dict(options or {})
    if taken := sorted(arguments.keys() & {"weights", "device", "suite"}):
        raise UsageError(f"model '{name}': {', '.join(taken)} cannot be set under options")
    arguments |= {"weights": weights, "device": device, "suite": suite}
    try:
        inspect.signature(factory).bind(**arguments)
    except (TypeError, ValueError) as error:
        raise UsageError(f"model '{name}' does not accept these options: {error}") from error
    generator: Generator = _call("model", name, factory, arguments)
    for field, (wanted, is_right) in FIELDS.items():
        try:
            value = getattr(generator, field)
        except Exception as error:  # it may be a property
            why = f"the object that its factory returned has no {field} ({one_line(error)})"
            raise MtbenchError(f"model '{name}': {why}") from error
        if not is_right(value):
            raise MtbenchError(f"model '{name}': {field} must be {wanted} (got {reprlib.repr(value)})")
    return generator


def open_suite(name: str) -> Suite:
    """Return the suite of this name. Raises UsageError if the name is unknown or the suite's files are missing."""
    if name.startswith(FOLDER) and name != FOLDER:
        return Folder(name.removeprefix(FOLDER))
    points = _points("mtbench.suites")
    family_name = name.partition("/")[0]
    # A suite of MIDI files is only looked up under its own name, since a manifest can be large.
    if family_name in points or midi.is_prepared(family_name):
        family = _suite_family(points[family_name]) if family_name in points else midi.suites(family_name)
        if name in family.suites:
            return family.open(name)
        base, _, length = name.rpartition("/")
        if lengths := {suite: s for suite, s in family.suites.items() if suite == base or suite.startswith(f"{base}/")}:
            listed = ", ".join(f"{suite} ({seconds:g} s)" for suite, seconds in lengths.items())
            raise UsageError(f"suite '{base}' has no clips of length '{length}'. Available: {listed}.")
    known = [suite for family in _families() for suite in family.suites]
    raise unknown_name("suite", name, [*known, f"{FOLDER}PATH"])


def describe_suites() -> list[tuple[str, str, str]]:
    """Return (name, description, where its files are or how to get them) of every suite."""
    rows = [row for family in _families() for row in family.describe()]
    return [
        *rows,
        (
            f"{FOLDER}PATH",
            "your own audio: one subfolder per stem or per song, or mixtures without stems",
            "any folder",
        ),
    ]


def embeddings() -> list[str]:
    """Return the names of all embeddings: mtbench's own, then those of other packages."""
    return [*EMBEDDING_NAMES, *_points("mtbench.embeddings")]


@cache
def open_embedding(name: str) -> Embedding:
    """Return the embedding of this name, ready to call. Each network is loaded once per process.

    Raises UsageError for an unknown name, and MtbenchError if its package, files or weights are missing.
    """
    points = _points("mtbench.embeddings")
    if name in EMBEDDING_NAMES:
        return embedding(name)
    if name not in points:
        raise unknown_name("embedding", name, embeddings())
    opened: Embedding = _call("embedding", name, _load("embedding", points[name]), {})
    return opened


@lru_cache(maxsize=1)
def metrics() -> dict[str, Metric]:
    """Return every metric by name, from `mtbench.metrics` and from other packages, in the order of tables.

    Raises MtbenchError for an entry point that cannot be imported, is not a Metric, or has the name of another metric.
    """
    records = [
        record
        for module in pkgutil.iter_modules(mtbench.metrics.__path__)
        for record in getattr(importlib.import_module(f"mtbench.metrics.{module.name}"), "METRICS", ())
    ]
    for point in _points("mtbench.metrics").values():
        record = _load("metric", point)
        if not isinstance(record, Metric):
            raise MtbenchError(f"metric '{point.name}': {point.value} is {type(record).__name__}, not a Metric")
        records.append(record)
    by_name = {record.name: record for record in sorted(records, key=lambda record: (record.place, record.name))}
    if len(by_name) < len(records):
        names = [record.name for record in records]
        raise MtbenchError(f"two metrics are named '{next(name for name in names if names.count(name) > 1)}'")
    return by_name


def _points(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in sorted(entry_points(group=group), key=lambda point: point.name)}


def _load(kind: str, point: EntryPoint) -> Any:
    try:
        return point.load()
    except (Exception, SystemExit) as error:  # other packages may raise anything
        raise MtbenchError(f"{kind} '{point.name}': {point.value} cannot be imported ({one_line(error)})") from error


def _call(kind: str, name: str, factory: Any, arguments: Mapping[str, Any]) -> Any:
    try:
        return factory(**arguments)
    except MtbenchError:
        raise
    except (Exception, SystemExit) as error:
        raise MtbenchError(f"{kind} '{name}': cannot be created ({one_line(error)})") from error


def suite_families() -> list[str]:
    """Return the names of the installed families of suites, without those that were rendered from MIDI files."""
    return list(_points("mtbench.suites"))


def _families() -> list[SuiteFamily]:
    """Return all families of suites: those rendered from MIDI files, and those of packages."""
    points = _points("mtbench.suites")
    rendered = [midi.suites(name) for name in midi.names() if name not in points]
    return rendered + [_suite_family(point) for point in points.values()]


def _suite_family(point: EntryPoint) -> SuiteFamily:
    family = _load("suite", point)
    if not isinstance(family, SuiteFamily):
        raise MtbenchError(f"suite '{point.name}': {point.value} is {type(family).__name__}, not a SuiteFamily")
    return family
