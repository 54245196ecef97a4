"""What a run is asked to do: a YAML file, or the options of the command line, as one validated object."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from mtbench.errors import UsageError, unknown_name

CONTROLS = ("heldout", "noise")
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
# YAML reads a bare `true` as a boolean, and `timebase: true` is the natural thing to write.
Timebase = Annotated[Literal["true", "published"], BeforeValidator(lambda value: "true" if value is True else value)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Grid(Strict):
    """The settings of the rhythm metrics; every combination is scored.

    fps: frames/s of the beat decoder. transition_lambda: its tempo-change penalty. window: CBS, in seconds.
    timebase: `true` decodes in real seconds, `published` as the SyncTrack scripts do.
    """

    fps: tuple[Annotated[int, Field(ge=10, le=1000)], ...] = (100, 150)
    transition_lambda: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = (100.0,)
    window: tuple[Annotated[float, Field(ge=0.001, le=10)], ...] = (0.05, 0.10, 0.15, 0.20)
    timebase: tuple[Timebase, ...] = ("true", "published")

    @field_validator("*")
    @classmethod
    def _some_and_once(cls, values: tuple) -> tuple:
        if not values:
            raise ValueError("needs at least one value")
        return tuple(dict.fromkeys(values))

    def settings(self) -> list[tuple[int, float, str]]:
        """(fps, transition lambda, timebase) of every decode."""
        return [(fps, tl, base) for fps in self.fps for tl in self.transition_lambda for base in self.timebase]


class Model(Strict):
    """One row of the tables. name: the installed generator; label: what the row is called, when not the name."""

    name: Name
    label: Name | None = None
    weights: str | None = None
    options: dict[str, Any] = {}

    @property
    def row(self) -> str:
        return self.label or self.name


class RunConfig(Strict):
    """Everything that decides a run's numbers. The two controls join the models unless they are there."""

    models: tuple[Model, ...]
    suite: str = "band"
    task: Literal["total"] = "total"
    n: Annotated[int, Field(ge=1)] = 32
    seed: Annotated[int, Field(ge=0)] = 0
    grid: Grid = Grid()
    embeddings: tuple[str, ...] = ("log-mel-stats",)

    @field_validator("models", mode="before")
    @classmethod
    def _names_are_models(cls, models: Any) -> Any:
        if not isinstance(models, (list, tuple)):
            raise ValueError("is a list of names, or of mappings with a name")
        return tuple({"name": model} if isinstance(model, str) else model for model in models)

    @field_validator("models")
    @classmethod
    def _rows_differ_and_controls(cls, models: tuple[Model, ...]) -> tuple[Model, ...]:
        rows = [model.row for model in models]
        for row in rows:
            if rows.count(row) > 1:
                raise ValueError(f"'{row}' stands twice; give one of them a label")
        return models + tuple(Model(name=name) for name in CONTROLS if name not in rows)


ConfigT = TypeVar("ConfigT", bound=Strict)


def load(path: str | Path, overrides: dict[str, Any]) -> RunConfig:
    """A RunConfig from a YAML file, with the values that the command line gave laid over it (`grid` key by key).

    Where there is no such file, the config of that name that came with mtbench is taken (``configs/band.yaml``).
    Raises UsageError naming the file and the key; an unknown key is answered with the nearest known one.
    """
    path = Path(path)
    bundled = files("mtbench.configs") / path.name
    try:
        source = bundled if not path.exists() and bundled.is_file() else path
        values = yaml.safe_load(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"config {path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"config {path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise UsageError(f"config {path}: holds {type(values).__name__}, not a mapping of keys to values")
    return validate(_laid_over(values, overrides), str(path))


def validate(values: dict[str, Any], where: str, kind: type[ConfigT] = RunConfig) -> ConfigT:
    """A config object from plain values. `where` names their source in the UsageError that bad ones raise."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            known = {"grid": Grid, "models": Model}[str(problem["loc"][0])] if len(problem["loc"]) > 1 else kind
            raise UsageError(f"{where}: {unknown_name('key', key.rsplit('.', 1)[-1], known.model_fields)}") from None
        raise UsageError(f"{where}: {key or 'config'}: {problem['msg']} (got {problem.get('input')!r})") from None


def _laid_over(values: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    merged = {**values, **overrides}
    if isinstance(values.get("grid"), dict) and "grid" in overrides:
        merged["grid"] = {**values["grid"], **overrides["grid"]}
    return merged
