"""What a run is asked to do: a YAML file, or the options of the command line, as one validated object."""

import re
import reprlib
from collections.abc import Sequence
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from mtbench.controls import CONTROLS
from mtbench.errors import UsageError, unknown_name
from mtbench.files import read_yaml
from mtbench.settings import Decode, canonical_timebase
from mtbench.stems import FOLDER

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
Name = Annotated[str, Field(pattern=f"^{NAME}$")]
ModelName = Annotated[str, Field(pattern=f"^({FOLDER}.+|{NAME})$")]
Timebase = Annotated[Literal["real", "published"], BeforeValidator(canonical_timebase)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def _listed(values: Any) -> Any:
    return values if isinstance(values, (list, tuple)) else [values]


class Grid(Strict):
    """The settings of the rhythm metrics; every combination is scored.

    fps: frames/s of the beat decoder. transition_lambda: its tempo-change penalty. window: CBS, in seconds.
    timebase: `real` decodes in real seconds, `published` as the SyncTrack scripts do.
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
        """Every combination of fps, transition lambda and timebase."""
        return [Decode(fps, tl, base) for fps in self.fps for tl in self.transition_lambda for base in self.timebase]


def folder_row(path: str | Path) -> str:
    """What the row of a folder of audio is called: the folder's name, behind that of its parent where it alone is a
    control's, as in ``DATA-heldout``."""
    path = Path(path).resolve()
    return f"{path.parent.name}-{path.name}" if path.name in CONTROLS else path.name


class Model(Strict):
    """One row of the tables. name: the installed generator, or ``folder:PATH``; label: what the row is called, when
    not the name or `folder_row`."""

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
    """Everything that decides a run's numbers. The task's controls join the models unless they are there.

    subsets: of the task arrangement, what to make beside the stems that are given, each as `generated_stems` takes it.
    """

    task: Literal["total", "arrangement"] = "total"  # before what depends on it
    models: tuple[Model, ...]
    suite: str = "band"
    subsets: tuple[str | tuple[str, ...], ...] = ()
    n: Annotated[int, Field(ge=1, le=100_000)] = 32  # their numbers have five digits
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    grid: Grid = Grid()
    embeddings: tuple[str, ...] = ("log-mel-stats",)

    _one_is_a_list_of_one = field_validator("embeddings", "subsets", mode="before")(_listed)

    @field_validator("models", mode="before")
    @classmethod
    def _names_are_models(cls, models: Any) -> Any:
        if not isinstance(models, (list, tuple)):
            raise ValueError("is a list of names, or of mappings with a name")
        return tuple(_named(model) if isinstance(model, str) else model for model in models)

    @field_validator("models")
    @classmethod
    def _rows_differ_and_controls(cls, models: tuple[Model, ...], info: ValidationInfo) -> tuple[Model, ...]:
        rows = [model.row for model in models]
        for row, model in zip(rows, models):
            if not re.fullmatch(NAME, row):
                raise ValueError(f"'{row}', the name of the folder of {model.name}, cannot name a row; give it a label")
            if row in CONTROLS and model != Model(**_named(row)):
                raise ValueError(f"'{row}' is the name of a control; give {model.name} another label")
            if row in CONTROLS and info.data.get("task", "total") not in CONTROLS[row].tasks:
                raise ValueError(f"the control '{row}' is one of the task {' and '.join(sorted(CONTROLS[row].tasks))}")
            if rows.count(row) > 1:
                raise ValueError(f"'{row}' stands twice; give one of them a label")
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
    """The stems that each subset of an arrangement run generates, in the order of `stems`.

    A subset is a list of names, a text of names joined by ``+``, or a text of their initials: ``BP`` is bass and piano.
    None at all stand for every subset there is, the smallest first; of four stems they are the 14 of MT-MusicLDM's
    Table 3 and the total generation of SyncTrack's Table A5. Raises UsageError, naming it, for any other.
    """
    if not subsets:
        return [subset for size in range(1, len(stems) + 1) for subset in combinations(stems, size)]
    initials = [stem[0].upper() for stem in stems]
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
                f"subset '{subset if isinstance(subset, str) else '+'.join(subset)}': give stems to generate "
                f"by their initials ({', '.join(initials)}) or by name, as in {'+'.join(stems[:2])}"
            )
        chosen.append(tuple(stem for stem in stems if stem in names))
    return list(dict.fromkeys(chosen))


ConfigT = TypeVar("ConfigT", bound=Strict)


def load(path: str | Path, overrides: dict[str, Any]) -> RunConfig:
    """A RunConfig from a YAML file, with the values that the command line gave laid over it (`grid` key by key).

    Where there is no file ``band.yaml`` or ``configs/band.yaml``, the one that came with mtbench is taken.
    Raises UsageError naming the file and the key; an unknown key is answered with the nearest known one.
    """
    path = Path(path)
    bundled = Path(str(files("mtbench.configs") / path.name))
    if not path.exists() and path.parent in (Path(), Path("configs")) and bundled.is_file():
        path = bundled
    return validate(_laid_over(read_yaml(path), overrides), str(path))


def validate(values: dict[str, Any], where: str) -> RunConfig:
    """What a run is asked to do, from plain values. `where` names their source in the UsageError of bad ones."""
    return validated(RunConfig, values, where)


def validated(kind: type[ConfigT], values: dict[str, Any], where: str) -> ConfigT:
    """`validate`, for any kind of config object."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = error.errors()
        # A misspelt key is also missing under its right name: say the former.
        problem = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
        key = ".".join(str(name) for name in problem["loc"])
        if problem["type"] == "extra_forbidden":
            inner: dict[str, type[Strict]] = {"grid": Grid, "models": Model}
            known = inner[str(problem["loc"][0])] if len(problem["loc"]) > 1 else kind
            raise UsageError(f"{where}: {unknown_name('key', key.rsplit('.', 1)[-1], known.model_fields)}") from None
        if problem["type"] == "value_error":  # our own, which says what it got
            raise UsageError(f"{where}: {key}: {problem['ctx']['error']}") from None
        got = "" if problem["type"] == "missing" else f" (got {reprlib.repr(problem['input'])})"
        message = problem["msg"]
        if problem["type"] == "string_pattern_mismatch":
            message = (
                "letters, digits, '.', '_' and '-' make a name, the first a letter or digit; a model may be folder:PATH"
            )
        raise UsageError(f"{where}: {key or 'config'}: {message}{got}") from None


def _named(row: str) -> dict[str, Any]:
    """The Model that a mere name stands for: a control may be another model's with options of its own."""
    control = CONTROLS.get(row)
    if control is None or control.model == row:
        return {"name": row}
    return {"name": control.model, "label": row, "options": dict(control.options)}


def _laid_over(values: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    merged = {**values, **overrides}
    if isinstance(values.get("grid"), dict) and "grid" in overrides:
        merged["grid"] = {**values["grid"], **overrides["grid"]}
    return merged
