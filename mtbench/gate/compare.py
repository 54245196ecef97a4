"""Test whether a run's scores are worse than a baseline's by more than chance and by more than the tolerance.

Only scores with equal keys and equal numbers of samples are compared, since Fréchet audio distance (FAD) falls as the
number of samples rises. docs/how-to/ci.md explains the rule.

1. Chance. With the baseline's seed, or in arrangement, sample i of both runs corresponds: Student's paired t is used,
   over the clips that have a value in both. Otherwise, or if the values are not known, Welch's t is computed from both
   standard errors; an undefined one is replaced by that of the other run. The test is one-sided in the metric's
   direction, or two-sided if it has none, with Holm's correction over all gated scores.
2. Tolerance. Each metric has a tolerance: a share of the baseline's value plus an absolute amount. Smaller changes
   pass. For paired samples, the value and the change are also computed over the clips that have a value in both runs;
   otherwise, clips that lose their value could hide a decline of the others.

The control `heldout` is the same songs in every run and does not vary by chance: any change beyond the tolerance gives
the verdict `moved`.
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
ORDER = [*FAILING, "new", "better", "ok"]  # order of the rows in a table
COMPARED = [*KEY, "n"]  # columns that must be equal
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
    """No score of a run can be compared with a baseline; the message is the reason."""


@dataclass(frozen=True)
class Outcome:
    """The comparison of a run with a baseline.

    table: from `compare`, worst scores first. notes: messages for the reader. failed: one line per model without
    scores.
    """

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
    """The change of a score.

    level: the baseline's value, to which the relative tolerance applies. difference: the run's value minus the
    baseline's. se: standard error of the difference; NaN if chance cannot be assessed. freedom: degrees of freedom.
    paired: whether clips are paired.
    """

    level: float
    difference: float
    se: float
    freedom: float
    paired: bool


def mismatch(baseline: Baseline, scores: pd.DataFrame, suite_version: str = "") -> str:
    """Return the reason why no score of a run (SCORE_COLUMNS) can be compared with the baseline, or an empty string.

    The run must have the baseline's tasks, suites, references, numbers of samples, and versions of metrics and
    embeddings; it may also have others. The suite's version must also be the same, if both are known. No key contains
    the suite's held-out songs, but the control consists of them and, in arrangement, samples are paired by them.
    """
    ours, theirs = with_plain_keys(baseline.scores), with_plain_keys(scores)
    for column in ("task", "suite", "reference", "n"):
        was, now = set(ours[column]), set(theirs[column])
        if was - now:
            return f"the baseline has {column} {_listed(was - now)}, the run {_listed(now)}"
    if baseline.suite_version and suite_version and baseline.suite_version != suite_version:
        return (
            f"the songs of {_listed(ours['suite'])} changed: the baseline has version {baseline.suite_version}, "
            f"the run {suite_version}"
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
    """Collect pairs (name, version) into {name: versions}."""
    versions: dict[str, set[str]] = {}
    for name, version in pairs:
        versions.setdefault(name, set()).add(version)
    return versions


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(sorted({str(value) for value in values if value != ""})) or "none"


def changed_models(baseline: Baseline, models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a note for each model whose provenance in the run (from run.yaml) differs from the baseline's."""
    notes = []
    for name, was in baseline.models.items():
        now = models.get(name, was)
        if differs := [key for key in sorted({*was, *now}) if was.get(key) != now.get(key)]:
            notes.append(f"{name} differs from the baseline's model in: {', '.join(differs)}")
    return notes


def compare(
    baseline: Baseline, scores: pd.DataFrame, samples: pd.DataFrame | None = None, same_seed: bool = False
) -> pd.DataFrame:
    """Compare each gated score with the run's; return a table (OUTCOME_COLUMNS) with the worst scores first.

    scores: the run's scores (SCORE_COLUMNS). samples: its sample table (SAMPLE_COLUMNS), or None. same_seed: whether it
    was generated with the baseline's seed.

    In the result, `baseline` and `value` are the two scores, each with its standard error. If `paired`, `difference`
    and `tolerated` are over the clips that have a value in both runs. `p` is the p-value, after Holm's correction, of a
    change for the worse (of any change if the metric has no direction). It is NaN if the score does not vary by chance
    or chance cannot be assessed; then only the tolerance decides. `verdict` is ``ok``; ``worse`` or ``better``;
    ``moved`` for scores that should not change in either direction; ``missing`` if the run has no score with this key
    or no value; ``new`` for a score of a model that is not in the baseline.
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
    """Compute the change of a score from the baseline's row to the run's row, if there is one.

    of_clips: the run's {sample number: value}, if its samples correspond to the baseline's.
    """
    if now is None or not defined(now["value"]):
        return Change(was["value"], NAN, NAN, NAN, paired=False)
    if was["model"] == HARNESS:
        return Change(was["value"], now["value"] - was["value"], NAN, NAN, paired=False)
    paired = None if was["clips"] is None or of_clips is None else _paired(was["clips"], of_clips)
    return paired or _unpaired(was, now)


def _paired(was: Sequence[float], now: Mapping[int, float]) -> Change | None:
    """Compute the change over the clips that have a value in both runs (Student); None if fewer than half do.

    was: [n] by sample number; now: {sample number: value}.
    """
    pairs = np.array([(value, now.get(number, NAN)) for number, value in enumerate(was)])  # [n, 2]
    pairs = pairs[~np.isnan(pairs).any(axis=1)]
    if len(pairs) < max(2, len(was) / 2):
        return None
    before, moves = pairs[:, 0], pairs[:, 1] - pairs[:, 0]
    se = float(moves.std(ddof=1)) / len(moves) ** 0.5
    return Change(float(before.mean()), float(moves.mean()), se, len(moves) - 1, paired=True)


def _unpaired(was: Row, now: Row) -> Change:
    """Compute the change between two scores with standard errors (Welch).

    An undefined standard error is replaced by the other, rescaled to the number of clips; if both are undefined, the
    result is NaN.
    """
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
    """Return the p-values of a change for the worse and of a change for the better.

    If the metric has no direction, both are the p-value of any change. They are NaN for the control, which does not
    vary by chance, and if there is no value.
    """
    if was["model"] == HARNESS or not defined(change.difference):
        return NAN, NAN
    direction = metrics()[was["metric"]].direction
    fall, rise = _tails(change.difference * (direction or 1), change.se, change.freedom)
    if direction:
        return fall, rise
    either = min(1.0, 2 * min(fall, rise)) if defined(fall) else NAN  # min(1.0, NaN) would be 1
    return either, either


def _tails(gain: float, se: float, freedom: float) -> tuple[float, float]:
    """Return the p-values of a fall and of a rise. With a standard error of 0, any change is significant."""
    if np.isnan(se):
        return NAN, NAN
    if se == 0:
        return float(not gain < 0), float(not gain > 0)
    return float(stdtr(freedom, gain / se)), float(stdtr(freedom, -gain / se))


def _row(
    key: tuple[Any, ...], was: Row, now: Row | None, change: Change, tolerance: tuple[float, float]
) -> dict[str, Any]:
    """Return a row of the table without p and verdict, since Holm's correction needs the p of all rows."""
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
    """Return the verdict for a row of the table. p_better: p of a change for the better, after Holm's correction."""
    if not defined(row["value"]):
        return "missing"
    if not abs(row["difference"]) > row["tolerated"]:
        return "ok"
    if row["model"] == HARNESS:
        return "moved"
    direction = metrics()[row["metric"]].direction
    gain = row["difference"] * direction
    by_chance = p_better if gain > 0 else row["p"]
    if by_chance >= error_rate:  # False for NaN: chance cannot be assessed, so only the tolerance decides
        return "ok"
    if not direction:
        return "moved"
    return "better" if gain > 0 else "worse"


def _new_rows(
    rows: Sequence[Row], now: Mapping[tuple[Any, ...], Row], tolerances: Mapping[str, Tolerance]
) -> list[dict[str, Any]]:
    """Return rows for the scores of models that are not in the baseline.

    now: the run's rows by the cells of COMPARED.
    """
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
    """Sort rows by verdict, then by p, then by the ratio of difference to tolerance."""
    order = table["verdict"].map(ORDER.index)
    beyond = table["difference"].abs() / table["tolerated"]
    table = table.assign(order=order, beyond=beyond)
    table = table.sort_values(["order", "p", "beyond"], ascending=[True, True, False], kind="stable")
    return table[OUTCOME_COLUMNS].reset_index(drop=True)
