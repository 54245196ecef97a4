"""The configuration of a run, from a YAML file or from the command line, as one validated object."""

import hashlib
import re
import reprlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from mtbench.controls import CONTROLS
from mtbench.errors import UsageError, unknown_name
from mtbench.files import read_yaml
from mtbench.settings import Decode, canonical_timebase
from mtbench.stems import FOLDER

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
LONGEST_NAME = 100  # bytes of a row's name, which is part of the names of files and folders
Name = Annotated[str, Field(pattern=f"^{NAME}$", max_length=LONGEST_NAME)]
ModelName = Annotated[str, Field(pattern=f"^({FOLDER}.+|{NAME})$")]
Timebase = Annotated[Literal["real", "published"], BeforeValidator(canonical_timebase)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def _listed(values: Any) -> Any:
    return values if isinstance(values, (list, tuple)) else [values]


class Grid(Strict):
    """The settings of the rhythm metrics. Every combination is scored.

    fps: frames/s of the beat decoder. transition_lambda: the decoder's penalty on tempo changes; larger values keep the
    tempo steadier. window: width of the windows of cross-track beat synchronization (CBS), in seconds. timebase: `real`
    decodes in real seconds, `published` as the SyncTrack scripts do.
    """

    fps: tuple[Annotated[int, Field(ge=10, le=1000)], ...] = (100, 150)
    transition_lambda: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = (100.0,)
    window: tuple[Annotated[float, Field(ge=0.001, le=10)], ...] = (0.05, 0.10, 0.15, 0.20)
    timebase: tuple[Timebase, ...] = ("real", "published")

    _one_is_a_list_of_one = field_validator("*", mode="before")(_listed)

    @field_validator("*")
    @classmethod
    def _some_and_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if not values:
            raise ValueError("needs at least one value")
        return tuple(dict.fromkeys(values))

    def decodes(self) -> list[Decode]:
        """Return every combination of fps, transition lambda and timebase."""
        return [Decode(fps, tl, base) for fps in self.fps for tl in self.transition_lambda for base in self.timebase]


def folder_row(path: str | Path) -> str:
    """Return the row name of a folder of audio: the folder's name.

    A folder named like a control is prefixed with its parent's name, as in ``DATA-heldout``. A name that is too long is
    cut and ends with a hash.
    """
    path = Path(path).resolve()
    name = f"{path.parent.name}-{path.name}" if path.name in CONTROLS else path.name
    encoded = name.encode(errors="surrogateescape")
    if len(encoded) <= LONGEST_NAME:
        return name
    return f"{encoded[: LONGEST_NAME - 9].decode(errors='ignore')}-{hashlib.sha256(encoded).hexdigest()[:8]}"


class Model(Strict):
    """One row of the tables.

    name: an installed generator, or ``folder:PATH``. label: the name of the row; the default is the generator's name,
    or the folder's (`folder_row`). weights: a checkpoint; the default is the generator's own. options: keyword
    arguments of the generator's factory.
    """

    name: ModelName
    label: Name | None = None
    weights: str | None = None
    options: dict[str, Any] = {}

    @property
    def row(self) -> str:
        if self.label is None and self.name.startswith(FOLDER):
            return folder_row(self.name.removeprefix(FOLDER))
        return self.label or self.name


class RunConfig(Strict):
    """Everything that determines the scores of a run.

    task: `total` generates all stems; `arrangement` generates some stems to accompany the others, which are given.
    models: the rows; the controls of the task are added. suite: the source of reference and held-out songs. subsets: in
    arrangement, the sets of stems to generate, in the notation of `generated_stems`. n: samples per model and subset.
    seed: random seed for generation. grid: the settings of the rhythm metrics. embeddings: the embeddings for the
    Fréchet audio distance (FAD).
    """

    task: Literal["total", "arrangement"] = "total"  # before the fields whose validators need it
    models: tuple[Model, ...]
    suite: str = "band"
    subsets: tuple[str | tuple[str, ...], ...] = ()
    n: Annotated[int, Field(ge=1, le=100_000)] = 32  # file names have five digits
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    grid: Grid = Grid()
    embeddings: tuple[str, ...] = ("log-mel-stats",)

    _one_is_a_list_of_one = field_validator("embeddings", "subsets", mode="before")(_listed)

    @field_validator("models", mode="before")
    @classmethod
    def _names_are_models(cls, models: Any) -> Any:
        if not isinstance(models, (list, tuple)):
            raise ValueError("must be a list of names, or of mappings with a name")
        if not models:
            raise ValueError("must name at least one model")
        return tuple(_named(model) if isinstance(model, str) else model for model in models)

    @field_validator("models")
    @classmethod
    def _rows_differ_and_controls(cls, models: tuple[Model, ...], info: ValidationInfo) -> tuple[Model, ...]:
        rows = [model.row for model in models]
        for row, model in zip(rows, models):
            if not re.fullmatch(NAME, row):
                raise ValueError(f"the folder name '{row}' of {model.name} is not a valid row name; set a label")
            if row in CONTROLS and model != Model(**_named(row)):
                raise ValueError(f"'{row}' is the name of a control; set another label for {model.name}")
            if row in CONTROLS and info.data.get("task", "total") not in CONTROLS[row].tasks:
                tasks = " and ".join(sorted(CONTROLS[row].tasks))
                raise ValueError(f"the control '{row}' exists only in the task {tasks}")
            if rows.count(row) > 1:
                raise ValueError(f"'{row}' is used twice; set a label for one of them")
        task = info.data.get("task", "total")
        joining = [row for row, control in CONTROLS.items() if task in control.tasks and row not in rows]
        return models + tuple(Model(**_named(row)) for row in joining)

    @field_validator("subsets")
    @classmethod
    def _subsets_are_of_an_arrangement(
        cls, subsets: tuple[str | tuple[str, ...], ...], info: ValidationInfo
    ) -> tuple[str | tuple[str, ...], ...]:
        if subsets and info.data.get("task") != "arrangement":
            raise ValueError("only the task arrangement has subsets")
        return subsets


def generated_stems(subsets: Sequence[str | Sequence[str]], stems: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the stems that each subset of an arrangement run generates, in the order of `stems`.

    A subset is a list of names, names joined by ``+``, or initials: ``BP`` is bass and piano. An empty list means every
    subset, smallest first; with four stems these are the 14 subsets of MT-MusicLDM's Table 3 and the total generation
    of SyncTrack's Table A5. Raises UsageError for an invalid subset.
    """
    if len(stems) < 2:
        raise UsageError(f"the task 'arrangement' needs at least two stems (the suite has {', '.join(stems)})")
    if not subsets:
        return [subset for size in range(1, len(stems) + 1) for subset in combinations(stems, size)]
    initials = [stem[0].upper() for stem in stems]
    by = f"by their initials ({', '.join(initials)}) or " if len(set(initials)) == len(stems) else ""
    chosen = []
    for subset in subsets:
        if not isinstance(subset, str):
            names = list(subset)
        elif len(set(initials)) == len(stems) and set(subset) <= set(initials):
            names = [stems[initials.index(letter)] for letter in subset]
        else:
            names = subset.split("+")
        if not names or len(set(names)) < len(names) or not set(names) <= set(stems):
            raise UsageError(
                f"subset '{subset if isinstance(subset, str) else '+'.join(subset)}': name the stems to generate {by}"
                f"in full, as in {'+'.join(stems[:2])} (stems: {', '.join(stems)})"
            )
        chosen.append(tuple(stem for stem in stems if stem in names))
    return list(dict.fromkeys(chosen))


ConfigT = TypeVar("ConfigT", bound=Strict)
Location = Sequence[str | int]  # the keys and indices that lead to a value of a config
Naming = Callable[[Location], str]  # how an error message names the value at a location


def load(path: str | Path, overrides: dict[str, Any], name_override: Naming | None = None) -> RunConfig:
    """Read a RunConfig from a YAML file. `overrides` take precedence over the file's values (`grid` key by key).

    If a file like ``band.yaml`` or ``configs/band.yaml`` does not exist, the config of that name that is installed with
    mtbench is used. Raises UsageError, naming the file and the key, or the override as `name_override` names it; for an
    unknown key, the error suggests the most similar known one.
    """
    path = Path(path)
    bundled = Path(str(files("mtbench.configs") / path.name))
    if not path.exists() and path.parent in (Path(), Path("configs")) and bundled.is_file():
        path = bundled
    in_file = naming_in(str(path))

    def naming(location: Location) -> str:
        is_override = bool(location) and location[0] in overrides
        if is_override and location[0] == "grid":
            is_override = len(location) > 1 and location[1] in overrides["grid"]
        return name_override(location) if is_override and name_override else in_file(location)

    return validate(_laid_over(read_yaml(path), overrides), naming)


def naming_in(where: str) -> Naming:
    """Return a Naming that names values by the path of their file and their keys: ``band.yaml: grid.fps``."""
    return lambda location: f"{where}: {'.'.join(map(str, location))}" if location else where


def validate(values: dict[str, Any], naming: Naming | str) -> RunConfig:
    """Return the RunConfig of plain values.

    naming: how an error message names an invalid value; a string is the source of the values, as for `naming_in`.
    Raises UsageError for an invalid value.
    """
    return validated(RunConfig, values, naming)


def validated(kind: type[ConfigT], values: dict[str, Any], naming: Naming | str) -> ConfigT:
    """Like `validate`, but for any class of config."""
    naming = naming_in(naming) if isinstance(naming, str) else naming
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = error.errors()
        # A misspelt key is also missing under its right name. The misspelling is the helpful message.
        problem = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
        location = problem["loc"]
        if problem["type"] == "extra_forbidden":
            inner: dict[str, type[Strict]] = {"grid": Grid, "models": Model}
            known = inner[str(location[0])] if len(location) > 1 else kind
            unknown = unknown_name("key", str(location[-1]), known.model_fields)
            raise UsageError(f"{naming(location[:-1])}: {unknown}") from None
        while len(location) > 1 and isinstance(location[-1], int):
            location = location[:-1]  # the value shows which item of a list is meant
        raise UsageError(f"{naming(location)}{_problem_in_words(problem)}") from None


def _problem_in_words(problem: ErrorDetails) -> str:
    """Return what follows the name of a value in an error message, like `` must be at least 1 (got 0)``."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "value_error":  # our own message, which already contains the invalid value
        return f": {context['error']}"
    if kind == "missing":
        return " is missing"
    if kind == "string_pattern_mismatch":
        words = "must consist of letters, digits, '.', '_' and '-' and start with a letter or digit"
        words += "" if problem["loc"][-1:] == ("label",) else "; a model may also be folder:PATH"
    else:
        words = PROBLEMS.get(kind, problem["msg"][:1].lower() + problem["msg"][1:]).format(**context)
    return f" {words} (got {reprlib.repr(problem['input'])})"


# {pydantic's error type: our message}.
PROBLEMS = {
    "greater_than_equal": "must be at least {ge:g}",
    "greater_than": "must be greater than {gt:g}",
    "less_than_equal": "must be at most {le:g}",
    "less_than": "must be less than {lt:g}",
    "finite_number": "must be finite",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "string_type": "must be a string",
    "string_too_long": "must have at most {max_length} characters",
    "bool_parsing": "must be true or false",
    "literal_error": "must be {expected}",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
}


def _named(row: str) -> dict[str, Any]:
    """Return the fields of the Model for a bare name. A control may use a generator of another name, with options."""
    control = CONTROLS.get(row)
    if control is None or control.model == row:
        return {"name": row}
    return {"name": control.model, "label": row, "options": dict(control.options)}


def _laid_over(values: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    merged = {**values, **overrides}
    if isinstance(values.get("grid"), dict) and "grid" in overrides:
        merged["grid"] = {**values["grid"], **overrides["grid"]}
    return merged
