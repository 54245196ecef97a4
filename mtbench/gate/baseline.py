"""The baseline that runs are compared with, as an object and as a JSON file with readable diffs.

`BaselineFile` defines the file's format and validates its content. Only scores with equal keys are compared, so each
line contains the complete key of its score.
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

FORMAT: Literal[2] = 2  # changes when older files can no longer be read
ERROR_RATE = 0.01  # probability that an honest rerun fails, regardless of the number of scores
HARNESS = Heldout.name  # the control that is gated; its samples are the same in every run
BASELINE_COLUMNS = [*KEY, "value", "se", "n", "n_scored", "clips"]

Row = Mapping[str, Any]  # {column: cell} of a table row
Key = tuple[Any, ...]  # the cells of KEY, from `plain_key`


@dataclass(frozen=True)
class Baseline:
    """The scores that a run is compared with.

    models: {model: provenance}. error_rate: the probability that an honest rerun fails. tolerances: {metric:
    tolerance}; other metrics are not gated. scores: BASELINE_COLUMNS, one row per score; clips is a list of n values by
    sample number (NaN if undefined), or None. suite_version: the version of the suite; empty if unknown.
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
        raise ValueError("a tolerance is not a finite number >= 0")
    return value


Number = Annotated[float, BeforeValidator(_nan_if_null)]
Text = Annotated[str, BeforeValidator(_text_if_empty)]
Amount = Annotated[float, AfterValidator(_finite_amount)]


class _Entry(BaseModel):
    """A part of the file. Unknown keys are ignored."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


class ToleranceEntry(_Entry):
    """How much worse a metric's scores may be: an absolute amount plus a share of the baseline's value."""

    absolute: Amount
    relative: Amount


class ScoreEntry(_Entry):
    """A line of the file: a score with its key (KEY). Missing fields are undefined: an empty string, or NaN.

    clips: the values by sample number, null where a clip has none; omitted if the clips do not matter.
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
            raise ValueError("a score has no value, so it would gate nothing")
        return value

    @field_validator("se")
    @classmethod
    def _error_is_a_size(cls, se: float) -> float:
        if math.isinf(se) or se < 0:
            raise ValueError("a standard error is not a finite number >= 0")
        return se

    @model_validator(mode="after")
    def _as_many_clips_as_samples(self) -> Self:
        if self.clips is not None and len(self.clips) != self.n:
            raise ValueError("the number of clips of a score is not equal to its n")
        return self


class BaselineFile(_Entry):
    """The complete file. run: the config of the run that the baseline is from; `config.validate` checks it."""

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
            raise ValueError(f"error_rate must be between 0 and 1 (got {rate:g})")
        return rate

    @field_validator("scores")
    @classmethod
    def _some_scores(cls, scores: list[ScoreEntry]) -> list[ScoreEntry]:
        if not scores:
            raise ValueError("it contains no scores, so it would gate nothing")
        return scores

    @model_validator(mode="after")
    def _metrics_are_known(self) -> Self:
        without_tolerance = {score.metric for score in self.scores} - set(self.tolerances)
        if unknown := without_tolerance | (set(self.tolerances) - set(metrics())):
            raise ValueError(f"no tolerance for, or no metric named, {', '.join(sorted(unknown))}")
        return self


def read_baseline(path: Path) -> Baseline:
    """Read a baseline. Raises UsageError, with the file and the problem, if it is not valid."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"baseline {path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"baseline {path}: not valid JSON ({error})") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise UsageError(
            f"baseline {path}: its format is not {FORMAT}; if it is an old baseline, delete it and create "
            "a new one from a run: mtbench check BASELINE RUN --update"
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
    """Describe a problem of a file in one line, preferring violations of the rules above to values of a wrong type."""
    problems = error.errors()
    problem = next((problem for problem in problems if problem["type"] == "value_error"), problems[0])
    place = ".".join(map(str, problem["loc"]))
    if problem["type"] == "value_error":
        return ": ".join(text for text in (place, str(problem["ctx"]["error"])) if text)
    if problem["type"] == "missing":
        owner, _, field = place.rpartition(".")
        return f"not a baseline ({owner or 'the file'} has no {field})"
    return f"not a baseline ({place}: {problem['msg']}, got {reprlib.repr(problem['input'])})"


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline with one score per line, so that a diff shows which scores changed."""
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
    """Return a score as written to the file: without undefined cells, and rounded to far below its standard error."""
    line = {name: value for name, value in row.items() if not is_empty(value)}
    line |= {name: _rounded(row[name], digits) for name, digits in (("value", 5), ("se", 4)) if name in line}
    if "clips" in line:
        line["clips"] = [None if is_empty(value) else _rounded(value, 4) for value in line["clips"]]
    return line


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def baseline_of_run(run: FinishedRun, like: Baseline | None = None) -> Baseline:
    """Create a baseline from a run, with the error rate and the tolerances of the baseline `like` if it replaces one.

    It gates those scores of the run's models and of the control `heldout` that have a value and that `is_gated`
    selects. Raises UsageError if there are none, or if the run is from `mtbench eval`, which cannot be repeated from
    its record.
    """
    if "eval" in run.record["config"]:
        raise UsageError(f"{run.path}: a baseline needs a run of `mtbench run`; this one is from `mtbench eval`")
    config: RunConfig = validate(run.record["config"], str(run.path))
    tolerances, rate = (like.tolerances, like.error_rate) if like else (default_tolerances(), ERROR_RATE)
    table = with_plain_keys(run.scores)
    table = table[[is_gated(row, tolerances) for row in records(table)]]
    table = table[table["value"].notna() & ~table["model"].isin(set(CONTROLS) - {HARNESS})]
    if table["model"].isin(list(CONTROLS)).all():
        raise UsageError("nothing to gate: this run has no model except controls, or none at a standard setting")
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
    """Return the values of a score's clips by sample number; None for the control, which does not vary by chance."""
    of_score = values.get(tuple(row[column] for column in KEY))
    if of_score is None or row["model"] == HARNESS:
        return None
    return [of_score.get(number, NAN) for number in range(int(row["n"]))]


def default_tolerances() -> dict[str, Tolerance]:
    """Return {metric: tolerance} for the metrics that are gated by default, which are those with a tolerance."""
    return {name: metric.tolerance for name, metric in metrics().items() if metric.tolerance is not None}


def is_gated(row: Row, tolerances: Mapping[str, Tolerance]) -> bool:
    """Return whether a score, with a key from `with_plain_keys`, is gated by default.

    Its metric must have a tolerance, and at least half of the clips must have a value; with fewer, the score may be
    undefined in the next run by chance. Rhythm metrics are gated at the standard setting in real seconds. Metrics of
    single stems are gated for each stem that the model generated, since given stems are the same in every run.
    """
    if row["metric"] not in tolerances or row["n_scored"] * 2 < row["n"]:
        return False
    if not row["timebase"]:  # not a rhythm metric
        return True
    track, given = row["track"], row["given"].split("+")
    if metrics()[row["metric"]].over_stems and (track == "all" or track in given):
        return False
    standard = STANDARD["real"]
    decode = (row["timebase"], row["fps"], row["transition_lambda"])
    at_standard = decode == (standard.timebase, standard.fps, standard.transition_lambda)
    return at_standard and row["window"] in (standard.window, "")


def clip_values(samples: pd.DataFrame) -> dict[Key, dict[int, float]]:
    """Return {key: {sample number: value}} for a run's sample table (SAMPLE_COLUMNS).

    Samples whose name is not a number are left out, since they are not from a run.
    """
    numbered = samples[samples["sample"].astype(str).str.fullmatch("[0-9]+")]
    values: dict[Key, dict[int, float]] = {}
    for key, of_key in numbered.groupby(KEY, dropna=False, sort=False):
        of_score = zip(of_key["sample"].astype(int), of_key["value"])
        values.setdefault(plain_key(key), {}).update(of_score)
    return values


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as dicts {column: cell}."""
    return cast(list[dict[str, Any]], table.to_dict("records"))
