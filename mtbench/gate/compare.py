"""Did a run's scores get worse than a baseline's by more than chance, and by more than is tolerated?

Only equal keys are compared, and only equal numbers of samples: FAD falls as they rise. docs/gate.md has the rule.

1. Chance. With the baseline's seed, or in arrangement, sample i of one run is sample i of the other: Student's paired
   t over the clips that have a value in both. Otherwise, or where the values are not known, Welch's t from both
   standard errors; one that is not defined is taken from the other run. One-sided by the metric's direction, two-sided
   where it has none, with Holm's correction over all gated scores.
2. Tolerance. A share of the baseline's value and an absolute amount, by metric; a smaller change passes. Of pairs the
   value and the change are over the clips that have both, too, or clips that lose theirs could hide a fall of the
   rest.

The control `heldout` is the same songs in every run, so chance has no part in it: beyond the tolerance, it moved.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtr

from mtbench import stats
from mtbench.controls import CONTROLS
from mtbench.errors import UsageError
from mtbench.gate.baseline import HARNESS, Baseline, Row, clip_values, is_gated, records
from mtbench.metrics.record import Tolerance
from mtbench.registry import metrics
from mtbench.results.keys import KEY, NAN, defined, with_plain_keys

FAILING = ("missing", "moved", "worse")
VERDICTS = ("ok", "better", "moved", "worse", "missing", "new")
ORDER = [*FAILING, "new", "better", "ok"]  # of the rows of a table
COMPARED = [*KEY, "n"]  # what must be equal
OUTCOME_COLUMNS = [
    *COMPARED,
    "baseline",
    "baseline_se",
    "value",
    "se",
    "difference",
    "tolerated",
    "p",
    "paired",
    "verdict",
]


class Incomparable(UsageError):
    """No score of a run can be compared with a baseline's; the message says why."""


@dataclass(frozen=True)
class Outcome:
    """A run beside a baseline. table: as `compare` gives it, worst first. notes: what a reader should know. failed: a
    line for each model that has no scores."""

    table: pd.DataFrame
    error_rate: float
    notes: Sequence[str] = ()
    failed: Sequence[str] = ()

    @property
    def failing(self) -> pd.DataFrame:
        """The rows of the table that fail the check."""
        return self.table[self.table["verdict"].isin(FAILING)]

    @property
    def passed(self) -> bool:
        return not self.failed and self.failing.empty


class Change(NamedTuple):
    """How a score changed. level: the baseline's value, of which the tolerance is a share. difference: now minus then.
    se: its standard error, NaN where chance cannot be judged. freedom: degrees of freedom. paired: by clip."""

    level: float
    difference: float
    se: float
    freedom: float
    paired: bool


def mismatch(baseline: Baseline, scores: pd.DataFrame, suite_version: str = "") -> str:
    """Why no score of a run (SCORE_COLUMNS) can be compared with the baseline's, or an empty text.

    Task, suite, reference, number of samples and the metrics' and embeddings' versions must be the same; a run may
    have others beside. So must the suite's version where both are known: its held-out songs, which no key holds, are
    those of the control and, in arrangement, what sample i is paired by.
    """
    ours, theirs = with_plain_keys(baseline.scores), with_plain_keys(scores)
    for column in ("task", "suite", "reference", "n"):
        was, now = set(ours[column]), set(theirs[column])
        if was - now:
            return f"the baseline has {column} {_listed(was - now)}, the run {_listed(now)}"
    if baseline.suite_version and suite_version and baseline.suite_version != suite_version:
        return (
            f"the songs of {_listed(ours['suite'])} changed: the baseline has version {baseline.suite_version} of "
            f"it, the run {suite_version}"
        )
    gated = theirs[theirs["metric"].isin(ours["metric"])]
    for title, versions in (("metrics", _metric_versions), ("embeddings", _embedding_versions)):
        of_baseline, of_run = versions(ours), versions(gated)
        if other := [name for name in of_baseline if name in of_run and not of_baseline[name] <= of_run[name]]:
            was, now = ({f"{name}@{v}" for name in other for v in of_side[name]} for of_side in (of_baseline, of_run))
            return f"the baseline has {title} {_listed(was)}, the run {_listed(now)}"
    return ""


def _metric_versions(table: pd.DataFrame) -> dict[str, set[str]]:
    return _versions(zip(table["metric"], table["version"]))


def _embedding_versions(table: pd.DataFrame) -> dict[str, set[str]]:
    return _versions(value.rsplit("@", 1) for value in table["embedding"] if "@" in value)


def _versions(pairs: Iterable[Sequence[str]]) -> dict[str, set[str]]:
    """{name: its versions} of pairs (name, version)."""
    versions: dict[str, set[str]] = {}
    for name, version in pairs:
        versions.setdefault(name, set()).add(version)
    return versions


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(sorted({str(value) for value in values if value != ""})) or "none"


def changed_models(baseline: Baseline, models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A note for each model whose provenance in the run (run.yaml's) is not that of the baseline."""
    notes = []
    for name, was in baseline.models.items():
        now = models.get(name, was)
        if differs := [key for key in sorted({*was, *now}) if was.get(key) != now.get(key)]:
            verb = "differs" if len(differs) == 1 else "differ"
            notes.append(f"{name} is another than the baseline's: its {', '.join(differs)} {verb}")
    return notes


def compare(
    baseline: Baseline, scores: pd.DataFrame, samples: pd.DataFrame | None = None, same_seed: bool = False
) -> pd.DataFrame:
    """Each gated score beside the run's (OUTCOME_COLUMNS), worst first.

    scores: the run's (SCORE_COLUMNS). samples: its sample table (SAMPLE_COLUMNS), or None. same_seed: it was made
    with the baseline's seed.

    In the result `baseline` and `value` are the two scores, each with its standard error. Where `paired`, `difference`
    and `tolerated` are over the clips that have both. `p` is Holm's, of a change for the worse (of any change, where
    the metric has no better side), and NaN where chance has no part or cannot be judged: then the tolerance alone
    decides. `verdict`: ``ok``; ``worse`` or ``better``; ``moved``, for a score that should do neither; ``missing``
    where the run has no such key or no value; ``new`` for a score of a model that the baseline lacks.
    """
    now = {tuple(row[column] for column in COMPARED): row for row in records(with_plain_keys(scores))}
    values = {} if samples is None else clip_values(samples)
    rows, worse, better = [], [], []
    for was in records(with_plain_keys(baseline.scores)):
        key = tuple(was[column] for column in COMPARED)
        of_clips = values.get(key[:-1]) if same_seed or was["given"] else None
        change = _change(was, now.get(key), of_clips)
        rows.append(_row(key, was, now.get(key), change, baseline.tolerances[was["metric"]]))
        p_worse, p_better = _p_values(was, change)
        worse.append(p_worse)
        better.append(p_better)
    for row, p_worse, p_better in zip(rows, stats.holm(worse), stats.holm(better)):
        row["p"] = p_worse
        row["verdict"] = _verdict(row, p_better, baseline.error_rate)
    table = pd.DataFrame([*rows, *_new_rows(rows, now, baseline.tolerances)], columns=OUTCOME_COLUMNS)
    return _worst_first(table)


def _change(was: Row, now: Row | None, of_clips: Mapping[int, float] | None) -> Change:
    """The change of a score from the baseline's row to the run's, if there is one. of_clips: the run's {sample number:
    value}, where its samples are the baseline's."""
    if now is None or not defined(now["value"]):
        return Change(was["value"], NAN, NAN, NAN, paired=False)
    if was["model"] == HARNESS:
        return Change(was["value"], now["value"] - was["value"], NAN, NAN, paired=False)
    paired = None if was["clips"] is None or of_clips is None else _paired(was["clips"], of_clips)
    return paired or _unpaired(was, now)


def _paired(was: Sequence[float], now: Mapping[int, float]) -> Change | None:
    """The change over the clips that have a value in both runs, after Student; None if fewer than half of the clips
    have. was: [n] by sample number; now: {sample number: value}."""
    pairs = np.array([(value, now.get(number, NAN)) for number, value in enumerate(was)])  # [n, 2]
    pairs = pairs[~np.isnan(pairs).any(axis=1)]
    if len(pairs) < max(2, len(was) / 2):
        return None
    before, moves = pairs[:, 0], pairs[:, 1] - pairs[:, 0]
    se = float(moves.std(ddof=1)) / len(moves) ** 0.5
    return Change(float(before.mean()), float(moves.mean()), se, len(moves) - 1, paired=True)


def _unpaired(was: Row, now: Row) -> Change:
    """The change of two scores with standard errors, after Welch. A standard error that is not defined is the other's,
    for as many clips; without either it is NaN."""
    squares = np.array([was["se"], now["se"]], np.float64) ** 2
    clips = np.array([was["n_scored"], now["n_scored"]], np.float64)
    known = ~np.isnan(squares)
    if known.all():
        spread = (squares**2 / (clips - 1)).sum()
        freedom = squares.sum() ** 2 / spread if spread else 1.0
    else:
        squares[~known] = (squares * clips)[::-1][~known] / clips[~known]
        freedom = clips[known].sum() - 1
    return Change(was["value"], now["value"] - was["value"], squares.sum() ** 0.5, freedom, paired=False)


def _p_values(was: Row, change: Change) -> tuple[float, float]:
    """p of a change for the worse and of one for the better by chance; both of any change where the metric has no
    better side. NaN for the control, in which chance has no part, and where there is no value."""
    if was["model"] == HARNESS or not defined(change.difference):
        return NAN, NAN
    direction = metrics()[was["metric"]].direction
    fall, rise = _tails(change.difference * (direction or 1), change.se, change.freedom)
    if direction:
        return fall, rise
    either = min(1.0, 2 * min(fall, rise)) if defined(fall) else NAN  # min() takes the 1 beside a NaN
    return either, either


def _tails(gain: float, se: float, freedom: float) -> tuple[float, float]:
    """p of a fall and of a rise by chance. Where nothing varies any change is certain."""
    if np.isnan(se):
        return NAN, NAN
    if se == 0:
        return float(not gain < 0), float(not gain > 0)
    return float(stdtr(freedom, gain / se)), float(stdtr(freedom, -gain / se))


def _row(
    key: tuple[Any, ...], was: Row, now: Row | None, change: Change, tolerance: tuple[float, float]
) -> dict[str, Any]:
    """A row of the table, its p and its verdict still to come: Holm's correction needs the p of all rows."""
    absolute, relative = tolerance
    return {
        **dict(zip(COMPARED, key)),
        "baseline": was["value"],
        "baseline_se": was["se"],
        "value": NAN if now is None else now["value"],
        "se": NAN if now is None else now["se"],
        "difference": change.difference,
        "tolerated": absolute + relative * abs(change.level),
        "paired": change.paired,
    }


def _verdict(row: Row, p_better: float, error_rate: float) -> str:
    """The verdict on a row of the table. p_better: of a change for the better by chance, after Holm."""
    if not defined(row["value"]):
        return "missing"
    if not abs(row["difference"]) > row["tolerated"]:
        return "ok"
    if row["model"] == HARNESS:
        return "moved"
    direction = metrics()[row["metric"]].direction
    gain = row["difference"] * direction
    by_chance = p_better if gain > 0 else row["p"]
    if by_chance >= error_rate:  # not so where it is NaN: chance cannot be judged, so the tolerance decides
        return "ok"
    if not direction:
        return "moved"
    return "better" if gain > 0 else "worse"


def _new_rows(
    rows: Sequence[Row], now: Mapping[tuple[Any, ...], Row], tolerances: Mapping[str, Tolerance]
) -> list[dict[str, Any]]:
    """The scores of models that the baseline lacks. now: the run's rows by the cells of COMPARED."""
    known = {row["model"] for row in rows} | set(CONTROLS)
    return [
        {
            **dict(zip(COMPARED, key)),
            **dict.fromkeys(("baseline", "baseline_se", "difference", "tolerated", "p"), NAN),
            "value": row["value"],
            "se": row["se"],
            "paired": False,
            "verdict": "new",
        }
        for key, row in now.items()
        if row["model"] not in known and is_gated(row, tolerances)
    ]


def _worst_first(table: pd.DataFrame) -> pd.DataFrame:
    """By verdict, then the least likely by chance, then how many times what is tolerated."""
    order = table["verdict"].map(ORDER.index)
    beyond = table["difference"].abs() / table["tolerated"]
    table = table.assign(order=order, beyond=beyond)
    table = table.sort_values(["order", "p", "beyond"], ascending=[True, True, False], kind="stable")
    return table[OUTCOME_COLUMNS].reset_index(drop=True)
