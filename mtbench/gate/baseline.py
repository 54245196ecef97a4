"""The baseline: what a run is compared with, as an object and as a JSON file that reads well in a diff.

`BaselineFile` is the file's format, and checks what is read. Only equal keys are ever compared, so a line holds the
whole key of its score.
"""

import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

import pandas as pd
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from mtbench.config import RunConfig, validate
from mtbench.controls import CONTROLS, Heldout
from mtbench.errors import UsageError
from mtbench.files import whole_file
from mtbench.metrics.record import Tolerance
from mtbench.registry import metrics
from mtbench.results.keys import KEY, NAN, is_empty, plain_key, with_plain_keys
from mtbench.results.load import FinishedRun
from mtbench.settings import STANDARD, canonical_timebase

FORMAT: Literal[2] = 2  # changes when older files cannot be read any more
ERROR_RATE = 0.01  # the chance that an honest rerun fails, whatever the number of scores
HARNESS = Heldout.name  # the control that is gated: its samples are the same in every run
BASELINE_COLUMNS = [*KEY, "value", "se", "n", "n_scored", "clips"]

Row = Mapping[str, Any]  # a row of a table by its columns
Key = tuple[Any, ...]  # the cells of KEY, as `plain_key` gives them


@dataclass(frozen=True)
class Baseline:
    """What a run is compared with.

    models: {model: provenance}. error_rate: the chance that an honest rerun fails. tolerances: {metric: tolerance};
    what has none is not gated. scores: BASELINE_COLUMNS, one row per score; clips is a list of n values by sample
    number (NaN where not defined), or None. suite_version: that of the suite, empty where it is not known.
    """

    config: RunConfig
    models: Mapping[str, Mapping[str, Any]]
    error_rate: float
    tolerances: Mapping[str, Tolerance]
    scores: pd.DataFrame
    suite_version: str = ""


def _nan_if_null(value: Any) -> Any:
    return NAN if value is None else value


def _text_if_empty(value: Any) -> Any:
    return "" if is_empty(value) else value


def _finite_amount(value: float) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError("a tolerance is not a finite number of at least 0")
    return value


Number = Annotated[float, BeforeValidator(_nan_if_null)]
Text = Annotated[str, BeforeValidator(_text_if_empty)]
Amount = Annotated[float, AfterValidator(_finite_amount)]


class _Entry(BaseModel):
    """A part of the file. Keys that it does not know are ignored."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


class ToleranceEntry(_Entry):
    """How much worse the scores of a metric may be: an amount, and a share of the baseline's value."""

    absolute: Amount
    relative: Amount


class ScoreEntry(_Entry):
    """A line of the file: a score with its key (KEY). What is not there is not defined: an empty text, or NaN.

    clips: the values by sample number, null where a clip has none; absent where the clips do not matter.
    """

    task: Text = ""
    given: Text = ""
    model: Text = ""
    suite: Text = ""
    reference: Text = ""
    metric: Text = ""
    version: Text = ""
    track: Text = ""
    fps: Number = NAN
    transition_lambda: Number = NAN
    window: Number = NAN
    timebase: Annotated[Text, BeforeValidator(canonical_timebase)] = ""
    embedding: Text = ""
    value: Number = Field(NAN, validate_default=True)
    se: Number = NAN
    n: int
    n_scored: int
    clips: list[Number] | None = None

    @field_validator("value")
    @classmethod
    def _has_a_value(cls, value: float) -> float:
        if not math.isfinite(value):
            raise ValueError("a score is without a value, so it would gate nothing")
        return value

    @field_validator("se")
    @classmethod
    def _error_is_a_size(cls, se: float) -> float:
        if math.isinf(se) or se < 0:
            raise ValueError("a standard error is not a finite number of at least 0")
        return se

    @model_validator(mode="after")
    def _as_many_clips_as_samples(self) -> Self:
        if self.clips is not None and len(self.clips) != self.n:
            raise ValueError("a score has more or fewer clips than its n")
        return self


class BaselineFile(_Entry):
    """The whole file. run: the config of the run that the baseline was made from, checked by `config.validate`."""

    format: Literal[2]
    run: dict[str, Any] = {}
    suite_version: str = Field("", coerce_numbers_to_str=True)
    models: dict[str, dict[str, Any]] = {}
    error_rate: float
    tolerances: dict[str, ToleranceEntry]
    scores: list[ScoreEntry]

    @field_validator("error_rate")
    @classmethod
    def _rate_is_a_probability(cls, rate: float) -> float:
        if not 0 < rate < 1:
            raise ValueError(f"its error_rate is {rate:g}, not between 0 and 1")
        return rate

    @field_validator("scores")
    @classmethod
    def _some_scores(cls, scores: list[ScoreEntry]) -> list[ScoreEntry]:
        if not scores:
            raise ValueError("it holds no scores, so it would gate nothing")
        return scores

    @model_validator(mode="after")
    def _metrics_are_known(self) -> Self:
        without_tolerance = {score.metric for score in self.scores} - set(self.tolerances)
        if unknown := without_tolerance | (set(self.tolerances) - set(metrics())):
            raise ValueError(f"no tolerance or no metric for {', '.join(sorted(unknown))}")
        return self


def read_baseline(path: Path) -> Baseline:
    """Read a baseline. Raises UsageError, naming the file and what is wrong with it."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"baseline {path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"baseline {path}: not valid JSON ({error})") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise UsageError(
            f"baseline {path}: its format is not {FORMAT}; if it is an old baseline, remove it, and write "
            "it anew from a run: mtbench check BASELINE RUN --update"
        )
    try:
        file = BaselineFile.model_validate(document)
    except ValidationError as error:
        raise UsageError(f"baseline {path}: {_problem(error)}") from None
    config: RunConfig = validate(file.run, f"baseline {path}, run")
    tolerances = {name: Tolerance(entry.absolute, entry.relative) for name, entry in file.tolerances.items()}
    scores = pd.DataFrame([score.model_dump() for score in file.scores], columns=BASELINE_COLUMNS)
    scores["clips"] = pd.Series([score.clips for score in file.scores], dtype=object)
    return Baseline(config, file.models, file.error_rate, tolerances, scores, file.suite_version)


def _problem(error: ValidationError) -> str:
    """What is wrong with a file, in one line: rather one of the rules above than a value of the wrong type."""
    problems = error.errors()
    problem = next((problem for problem in problems if problem["type"] == "value_error"), problems[0])
    place = ".".join(map(str, problem["loc"]))
    if problem["type"] == "value_error":
        return ": ".join(text for text in (place, str(problem["ctx"]["error"])) if text)
    if problem["type"] == "missing":
        owner, _, field = place.rpartition(".")
        return f"not a baseline ({owner or 'it'} does not say its {field})"
    return f"not a baseline ({place}: {problem['msg']}, got {reprlib.repr(problem['input'])})"


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline, one score per line, so that a diff shows which moved."""
    lines = [json.dumps(_line(row)) for row in records(baseline.scores[BASELINE_COLUMNS])]
    head = {
        "format": FORMAT,
        "run": baseline.config.model_dump(mode="json", exclude_defaults=True),
        **({"suite_version": baseline.suite_version} if baseline.suite_version else {}),
        "models": baseline.models,
        "error_rate": baseline.error_rate,
        "tolerances": {name: Tolerance(*amounts)._asdict() for name, amounts in baseline.tolerances.items()},
    }
    text = json.dumps(head, indent=1)[:-2] + ',\n "scores": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"
    with whole_file(path) as file:
        file.write(text.encode())


def _line(row: Row) -> dict[str, Any]:
    """A score as the file holds it: without what is not defined, its values rounded far below their standard errors."""
    line = {name: value for name, value in row.items() if not is_empty(value)}
    line |= {name: _rounded(row[name], digits) for name, digits in (("value", 5), ("se", 4)) if name in line}
    if "clips" in line:
        line["clips"] = [None if is_empty(value) else _rounded(value, 4) for value in line["clips"]]
    return line


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def baseline_of_run(run: FinishedRun, like: Baseline | None = None) -> Baseline:
    """The baseline that a run makes, with the error rate and the tolerances of the one `like` which it replaces.

    It gates the run's models and the control `heldout`, in the scores that `is_gated` names and that have a value.
    Raises UsageError if there is none, or if the run is of `mtbench eval`, which cannot be made again from its record.
    """
    if "eval" in run.record["config"]:
        raise UsageError(f"{run.path} is the folder of an `mtbench eval`; a baseline is made from one of `mtbench run`")
    config: RunConfig = validate(run.record["config"], str(run.path))
    tolerances, rate = (like.tolerances, like.error_rate) if like else (default_tolerances(), ERROR_RATE)
    table = with_plain_keys(run.scores)
    table = table[[is_gated(row, tolerances) for row in records(table)]]
    table = table[table["value"].notna() & ~table["model"].isin(set(CONTROLS) - {HARNESS})]
    if table["model"].isin(list(CONTROLS)).all():
        raise UsageError("this run has no model beside the controls, or none at a standard setting: nothing to gate")
    values = {} if run.samples is None else clip_values(run.samples)
    clips = [_clips_of_score(row, values) for row in records(table)]
    table = table.assign(
        clips=pd.Series(clips, index=table.index, dtype=object), order=table["metric"].map(list(metrics()).index)
    )
    table = table.sort_values(["task", "given", "model", "order", "track"], kind="stable")
    gated = sorted(set(table["model"]) - set(CONTROLS))
    models = {name: run.provenances[name] for name in gated if name in run.provenances}
    return Baseline(config, models, rate, tolerances, table[BASELINE_COLUMNS], run.suite_version)


def _clips_of_score(row: Row, values: Mapping[Key, Mapping[int, float]]) -> list[float] | None:
    """The values of a score's clips by sample number; None for the control, in which chance has no part."""
    of_score = values.get(tuple(row[column] for column in KEY))
    if of_score is None or row["model"] == HARNESS:
        return None
    return [of_score.get(number, NAN) for number in range(int(row["n"]))]


def default_tolerances() -> dict[str, Tolerance]:
    """{metric: tolerance} of every metric that is gated unless a person says otherwise: each that has a tolerance."""
    return {name: metric.tolerance for name, metric in metrics().items() if metric.tolerance is not None}


def is_gated(row: Row, tolerances: Mapping[str, Tolerance]) -> bool:
    """Is this score, with a key as `with_plain_keys` gives it, one to gate unless a person says otherwise?

    It is if its metric has a tolerance and at least half of the clips have a value: a score of fewer may be undefined
    next time by chance. Rhythm is gated at the standard setting in real seconds; a metric of stems by itself in each
    that the model made, since the given ones are the same in every run.
    """
    if row["metric"] not in tolerances or row["n_scored"] * 2 < row["n"]:
        return False
    if not row["timebase"]:  # not a metric of rhythm
        return True
    track, given = row["track"], row["given"].split("+")
    if metrics()[row["metric"]].over_stems and (track == "all" or track in given):
        return False
    standard = STANDARD["real"]
    decode = (row["timebase"], row["fps"], row["transition_lambda"])
    at_standard = decode == (standard.timebase, standard.fps, standard.transition_lambda)
    return at_standard and row["window"] in (standard.window, "")


def clip_values(samples: pd.DataFrame) -> dict[Key, dict[int, float]]:
    """{key: {sample number: value}} of a run's sample table (SAMPLE_COLUMNS). A sample that has no number is left out:
    no run made it."""
    numbered = samples[samples["sample"].astype(str).str.fullmatch("[0-9]+")]
    values: dict[Key, dict[int, float]] = {}
    for key, of_key in numbered.groupby(KEY, dropna=False, sort=False):
        of_score = zip(of_key["sample"].astype(int), of_key["value"])
        values.setdefault(plain_key(key), {}).update(of_score)
    return values


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, each by its columns."""
    return cast(list[dict[str, Any]], table.to_dict("records"))
