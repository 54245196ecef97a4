"""The gate: did a run's scores get worse than a baseline's by more than chance, and by more than is tolerated?

A baseline is a JSON file that reads well in a diff: a format version, the config of the run that makes it, its models'
provenance, an error rate, a tolerance a metric, and a line a score: key, value, standard error, and the clips' values.
Only equal keys meet, and only equal numbers of samples: FAD falls as they rise. docs/gate.md has the whole rule.

1. Chance. With the baseline's seed, or in arrangement, sample i of one run is sample i of the other: Student's paired t
   over the clips that have a value in both. Else, or where the values are not at hand, Welch's t from both standard
   errors; one that is not defined is taken from the other run. One-sided by the metric's direction, two-sided where it
   has none, with Holm's correction over all gated scores.
2. Tolerance. A share of the baseline's value and an absolute amount, by metric; a smaller change passes. Of pairs, too,
   the value and the change are over the clips that have both, or clips that lose theirs could hide a fall of the rest.

The control `heldout` is the same songs in every run, so chance has no part in it: beyond the tolerance, it moved.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
from scipy.special import stdtr

from mtbench import stats
from mtbench.config import RunConfig, validate
from mtbench.controls import CONTROLS
from mtbench.errors import UsageError
from mtbench.files import whole_file
from mtbench.registry import metrics
from mtbench.results.keys import KEY
from mtbench.settings import STANDARD

FORMAT = 2
FORMATS = ("text", "markdown", "json", "junit")
ERROR_RATE = 0.01  # the chance that an honest rerun fails, whatever the number of scores
# What is gated, and how much worse it may be: an absolute amount plus a share of the baseline's value.
TOLERANCES = {
    "fad": (0.0, 0.05),
    "irs": (0.001, 0.05),
    "cbs": (0.01, 0.02),
    "cbd_mean": (0.01, 0.02),
    "tuning": (5.0, 0.0),
    "live": (0.02, 0.0),
}
HARNESS = "heldout"  # the control whose samples are the same in every run
FAILING = ("missing", "moved", "worse")
VERDICTS = ("ok", "better", "moved", "worse", "missing", "new")
COMPARED = [*KEY, "n"]
NUMBERS = ("fps", "transition_lambda", "window")
NAN = float("nan")


@dataclass(frozen=True)
class Baseline:
    """What a run is held against.

    models: {model: provenance}; tolerances: {metric: (absolute, relative)}; scores: KEY, value, se, n, n_scored and
    clips, a list of n values by sample number (NaN where not defined) or None; suite_version: that of the suite, empty
    where it is not known.
    """

    config: RunConfig
    models: Mapping[str, Mapping[str, Any]]
    error_rate: float
    tolerances: Mapping[str, tuple[float, float]]
    scores: pd.DataFrame
    suite_version: str = ""


@dataclass(frozen=True)
class Outcome:
    """A run beside a baseline. table: as `compare` gives it, worst first; notes: what a reader should know;
    failed: a line a model that has no scores."""

    table: pd.DataFrame
    error_rate: float
    notes: Sequence[str] = ()
    failed: Sequence[str] = ()

    @property
    def passed(self) -> bool:
        return not self.failed and not self.table["verdict"].isin(FAILING).any()


def mismatch(baseline: Baseline, scores: pd.DataFrame, suite_version: str = "") -> str:
    """Why no score of this run can be held against the baseline, or an empty text.

    Task, suite, reference, number of samples and the metrics' and embeddings' versions must be the same; a run may
    have others beside. So must the suite's version where both are known: its held-out songs, which no key holds, are
    those of the control and, in arrangement, what sample i is paired by.
    """
    ours, theirs = _keyed(baseline.scores), _keyed(scores)
    gated = theirs[theirs["metric"].isin(ours["metric"])]
    for column in ("task", "suite", "reference", "n"):
        was, now = set(ours[column]), set(theirs[column])
        if was - now:
            return f"the baseline has {column} {_listed(was - now)}, the run {_listed(now)}"
    if baseline.suite_version and suite_version and baseline.suite_version != suite_version:
        return (
            f"the songs of {_listed(set(ours['suite']))} changed: the baseline has version {baseline.suite_version} of "
            f"it, the run {suite_version}"
        )
    for title, named in (("metrics", "metric"), ("embeddings", "embedding")):
        was, now = _versions(ours, named), _versions(gated, named)
        if other := {name: version for name, version in was.items() if name in now and not version <= now[name]}:
            return (
                f"the baseline has {title} {_listed({f'{name}@{v}' for name in other for v in was[name]})}, "
                f"the run {_listed({f'{name}@{v}' for name in other for v in now[name]})}"
            )
    return ""


def compare(
    baseline: Baseline, scores: pd.DataFrame, samples: pd.DataFrame | None = None, same_seed: bool = False
) -> pd.DataFrame:
    """Each gated score beside the run's, worst first.

    samples: the run's sample table, if at hand; same_seed: it was made with the baseline's seed. Columns: COMPARED,
    baseline, baseline_se, value, se, difference, tolerated, p, paired, verdict. baseline and value are the two scores;
    where paired, difference and tolerated are over the clips that have both. p is Holm's, of a change for the worse
    (of any change, where the metric has no better), and NaN where chance has no part or cannot be judged: then the
    tolerance alone decides. verdict: ``ok``; ``worse`` or ``better``; ``moved``, for a score that should do neither;
    ``missing`` where the run has no such key or no value; ``new`` where only the run has one that is gated elsewhere.
    """
    now = {tuple(row[column] for column in COMPARED): row for row in _keyed(scores).to_dict("records")}
    clips = {} if samples is None else _clips(samples)
    rows, worse, better = [], [], []
    for was in _keyed(baseline.scores).to_dict("records"):
        metric, key = metrics()[was["metric"]], tuple(was[column] for column in COMPARED)
        absolute, relative = baseline.tolerances[was["metric"]]
        found = now.get(key)
        value, se = (found["value"], found["se"]) if found is not None else (NAN, NAN)
        level, difference, paired, p = was["value"], value - was["value"], None, (NAN, NAN)
        if was["model"] != HARNESS and not np.isnan(value):
            held = clips.get(key[:-1]) if same_seed or was["given"] else None
            paired = None if held is None else _paired(was["clips"], held)
            level, difference, spread, freedom = paired or (level, difference, *_unpaired(was, found))
            p = _tails(difference * (metric.direction or 1), spread, freedom)
            if not metric.direction:
                p = (min(1.0, 2 * min(p)),) * 2
        worse.append(p[0])
        better.append(p[1])
        rows.append(
            [
                *key,
                was["value"],
                was["se"],
                value,
                se,
                difference,
                absolute + relative * abs(level),
                NAN,
                paired is not None,
            ]
        )
    columns = ["baseline", "baseline_se", "value", "se", "difference", "tolerated", "p", "paired"]
    table = pd.DataFrame(rows, columns=[*COMPARED, *columns])
    table["p"], better = stats.holm(worse), stats.holm(better)
    table["verdict"] = [_verdict(row, p, baseline.error_rate) for row, p in zip(table.to_dict("records"), better)]

    models, gated = set(table["model"]), {tuple(row) for row in table[COMPARED].itertuples(index=False)}
    for key, row in now.items():
        if key not in gated and row["model"] not in models | set(CONTROLS) and _is_gated(row, baseline.tolerances):
            table.loc[len(table)] = [*key, NAN, NAN, row["value"], row["se"], NAN, NAN, NAN, False, "new"]
    order = [*FAILING, "new", "better", "ok"]
    beyond = table["difference"].abs() / table["tolerated"]
    return (
        table.assign(order=table["verdict"].map(order.index), beyond=beyond)
        .sort_values(["order", "p", "beyond"], ascending=[True, True, False], kind="stable")
        .drop(columns=["order", "beyond"])
        .reset_index(drop=True)
    )


def changed_models(baseline: Baseline, models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A note for each model whose provenance in the run (run.yaml's) is not that of the baseline."""
    notes = []
    for name, was in baseline.models.items():
        now = models.get(name, was)
        if differs := [key for key in sorted({*was, *now}) if was.get(key) != now.get(key)]:
            notes.append(
                f"{name} is another than the baseline's: its {', '.join(differs)} differ"
                f"{'s' if len(differs) == 1 else ''}"
            )
    return notes


def of_run(
    config: RunConfig,
    models: Mapping[str, Mapping[str, Any]],
    scores: pd.DataFrame,
    samples: pd.DataFrame | None = None,
    like: Baseline | None = None,
    suite_version: str = "",
) -> Baseline:
    """The baseline that a run makes, with the error rate and tolerances of the one `like` which it replaces.

    It gates its models and the control `heldout`, on the metrics that have a tolerance: FAD per track, IRS and the share
    of live clips per generated stem, CBS and CBD, all at the standard setting in real seconds, where at least half of the
    clips have a value. Raises UsageError if there is none.
    """
    tolerances, rate = (like.tolerances, like.error_rate) if like else (TOLERANCES, ERROR_RATE)
    table = _keyed(scores)
    table = table[[_is_gated(row, tolerances) for row in table.to_dict("records")]]
    table = table[table["value"].notna() & ~table["model"].isin(set(CONTROLS) - {HARNESS})]
    if table["model"].isin(CONTROLS).all():
        raise UsageError("this run has no model beside the controls, or none at a standard setting: nothing to gate")
    clips = {} if samples is None else _clips(samples)
    table["clips"] = [
        None
        if (held := clips.get(tuple(row[column] for column in KEY))) is None or row["model"] == HARNESS
        else [held.get(number, NAN) for number in range(int(row["n"]))]
        for row in table.to_dict("records")
    ]
    table["order"] = table["metric"].map(list(metrics()).index)
    table = table.sort_values(["task", "given", "model", "order", "track"], kind="stable")
    gated = {name: models[name] for name in sorted(set(table["model"]) - set(CONTROLS)) if name in models}
    return Baseline(
        config, gated, rate, tolerances, table[[*KEY, "value", "se", "n", "n_scored", "clips"]], suite_version
    )


def write(path: Path, baseline: Baseline) -> None:
    """Write a baseline, a score a line, so that a diff shows which moved."""
    lines = []
    for row in baseline.scores[[*KEY, "value", "se", "n", "n_scored", "clips"]].to_dict("records"):
        line = {name: value for name, value in row.items() if not _empty(value)}
        line |= {name: _rounded(row[name], digits) for name, digits in (("value", 5), ("se", 4)) if name in line}
        if "clips" in line:
            line["clips"] = [None if np.isnan(value) else _rounded(value, 4) for value in line["clips"]]
        lines.append(json.dumps(line))
    head = {
        "format": FORMAT,
        "run": baseline.config.model_dump(mode="json", exclude_defaults=True),
        **({"suite_version": baseline.suite_version} if baseline.suite_version else {}),
        "models": baseline.models,
        "error_rate": baseline.error_rate,
        "tolerances": {name: {"absolute": a, "relative": r} for name, (a, r) in baseline.tolerances.items()},
    }
    text = json.dumps(head, indent=1)[:-2] + ',\n "scores": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"
    with whole_file(path) as file:
        file.write(text.encode())


def read(path: Path) -> Baseline:
    """Read a baseline. Raises UsageError, naming the file and what is wrong with it."""
    try:
        held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"baseline {path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"baseline {path}: not valid JSON ({error})") from None
    if not isinstance(held, dict) or held.get("format") != FORMAT:
        raise UsageError(
            f"baseline {path}: its format is not {FORMAT}; if it is an old baseline, remove it, and write "
            "it anew from a run: mtbench check BASELINE RUN --update"
        )
    try:
        tolerances = {name: (float(t["absolute"]), float(t["relative"])) for name, t in held["tolerances"].items()}
        scores = pd.DataFrame(held["scores"], columns=[*KEY, "value", "se", "n", "n_scored", "clips"])
        if unknown := set(scores["metric"]) - set(tolerances) | set(tolerances) - set(metrics()):
            raise UsageError(f"baseline {path}: no tolerance or no metric for {', '.join(sorted(map(str, unknown)))}")
        for column in (*NUMBERS, "value", "se", "n", "n_scored"):
            scores[column] = scores[column].astype(float)
        for column in (column for column in KEY if column not in NUMBERS):
            if not all(isinstance(value, str) for value in scores[column] if not _empty(value)):
                raise UsageError(f"baseline {path}: the {column} of a score is no text")
        if scores[["n", "n_scored"]].isna().any(axis=None):
            raise UsageError(
                f"baseline {path}: a score does not say its n and n_scored, of samples and of those with a value"
            )
        scores[["n", "n_scored"]] = scores[["n", "n_scored"]].astype(int)
        scores["clips"] = [
            None if _empty(clips) else [NAN if value is None else float(value) for value in clips]
            for clips in scores["clips"]
        ]
        if any(clips is not None and len(clips) != n for clips, n in zip(scores["clips"], scores["n"])):
            raise UsageError(f"baseline {path}: a score has more or fewer clips than its n")
        if scores.empty or not np.isfinite(scores["value"]).all():
            raise UsageError(f"baseline {path}: holds no scores, or one without a value, so it would gate nothing")
        if np.isinf(scores["se"]).any() or (scores["se"] < 0).any():
            raise UsageError(f"baseline {path}: a standard error is not a finite number of at least 0")
        if not np.isfinite(list(tolerances.values())).all() or np.min(list(tolerances.values())) < 0:
            raise UsageError(f"baseline {path}: a tolerance is not a finite number of at least 0")
        if not 0 < (rate := float(held["error_rate"])) < 1:
            raise UsageError(f"baseline {path}: its error_rate is {rate:g}, not between 0 and 1")
        models = {str(name): dict(provenance) for name, provenance in held.get("models", {}).items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"baseline {path}: not a baseline ({type(error).__name__}: {error})") from None
    config = validate(held.get("run", {}), f"baseline {path}, run")
    return Baseline(config, models, rate, tolerances, scores, str(held.get("suite_version", "")))


def summary(outcome: Outcome) -> str:
    """One line."""
    counts = outcome.table["verdict"].value_counts()
    return ", ".join(f"{counts.get(name, 0)} {name}" for name in VERDICTS)


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """The table as a person reads it: texts, a row a score."""
    return pd.DataFrame(
        {
            "model": table["model"],
            "score": [
                f"{metrics()[row.metric].title}{metrics()[row.metric].arrow} {row.track}" for row in table.itertuples()
            ],
            "setting": [_setting(row) for row in table.itertuples()],
            "baseline": [_with_error(row.baseline, row.baseline_se) for row in table.itertuples()],
            "now": [_with_error(row.value, row.se) for row in table.itertuples()],
            "difference": ["-" if np.isnan(value) else f"{value:+.3g}" for value in table["difference"]],
            "tolerated": ["-" if np.isnan(value) else f"{value:.3g}" for value in table["tolerated"]],
            "p": ["-" if np.isnan(p) else "<0.0001" if p < 1e-4 else f"{p:.2g}" for p in table["p"]],
            "verdict": table["verdict"],
        }
    )


def advice(outcome: Outcome) -> list[str]:
    """What the failures mean and what to do about them, a line each."""
    failing = outcome.table[outcome.table["verdict"].isin(FAILING)]
    lines = []
    if (failing["model"] == HARNESS).any():
        lines.append(
            f"The control {HARNESS} is the same songs in every run, and it changed: the harness, the metrics or the "
            "suite did, whatever the models did."
        )
    if ((failing["verdict"] == "moved") & (failing["metric"] == "live")).any():
        lines.append(
            "The share of live stems changed, and IRS, CBS and CBD are taken over live stems: read them with care."
        )
    off = (failing["value"] - failing["baseline"] - failing["difference"]).abs()
    if (failing["paired"] & (off > failing["tolerated"])).any():
        lines.append(
            "A difference is over the clips that have a value in both runs. Here it is not that of the two scores: "
            "clips gained or lost their value."
        )
    if len(failing):
        lines.append("If the change is meant, write the baseline anew: mtbench check BASELINE RUN --update")
    return lines


def markdown(outcome: Outcome) -> str:
    """For a pull request: what failed, and the whole table folded away."""
    table = cells(outcome.table)
    bad = outcome.table["verdict"].isin(FAILING).to_numpy()
    failed = bad.sum() + len(outcome.failed)
    parts = [f"### mtbench check: {'passed' if outcome.passed else f'{failed} failed'}", _literal(summary(outcome))]
    parts += [f"**Failed:** {_literal(line)}" for line in outcome.failed]
    if bad.any():
        parts.append(_markdown_table(table[bad]))
    parts += [_literal(line) for line in (*advice(outcome), *outcome.notes)]
    parts.append(
        f"<details><summary>All {len(table)} scores</summary>\n\n{_markdown_table(table)}\n\n"
        "± is the standard error; where samples pair up, difference and tolerance are over the clips that have a "
        "value in both runs; p is of a change for the worse by chance, corrected for all scores (Holm); "
        f"a score fails where p &lt; {outcome.error_rate:g} and the difference is more than is tolerated."
        "\n\n</details>"
    )
    return "\n\n".join(parts) + "\n"


def as_json(outcome: Outcome) -> str:
    """All that is known of every score."""
    rows = [
        {name: None if _empty(value) else value for name, value in row.items()}
        for row in outcome.table.to_dict("records")
    ]
    counts = outcome.table["verdict"].value_counts().to_dict()
    document = {
        "format": FORMAT,
        "passed": outcome.passed,
        "error_rate": outcome.error_rate,
        "counts": counts,
        "notes": list(outcome.notes),
        "failed": list(outcome.failed),
        "scores": rows,
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def junit(outcome: Outcome) -> str:
    """A testcase a score."""
    table = cells(outcome.table)
    failures = int(table["verdict"].isin(FAILING).sum())
    suite = ElementTree.Element(
        "testsuite",
        name="mtbench check",
        tests=str(len(table) + len(outcome.failed)),
        failures=str(failures),
        errors=str(len(outcome.failed)),
        skipped=str(int((table["verdict"] == "new").sum())),
    )
    for row in table.to_dict("records"):
        case = ElementTree.SubElement(
            suite, "testcase", classname=_printable(row["model"]), name=_printable(f"{row['score']} ({row['setting']})")
        )
        if row["verdict"] in FAILING:
            said = (
                f"{row['verdict']}: baseline {row['baseline']}, now {row['now']}, difference {row['difference']}, "
                f"tolerated {row['tolerated']}, p {row['p']}"
            )
            ElementTree.SubElement(case, "failure", message=said)
        if row["verdict"] == "new":
            ElementTree.SubElement(case, "skipped", message="new: the baseline has no such score")
    for line in outcome.failed:
        case = ElementTree.SubElement(suite, "testcase", classname="run", name="generate and score")
        ElementTree.SubElement(case, "error", message=_printable(line))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _paired(was: Sequence[float] | None, now: Mapping[int, float]) -> tuple[float, float, float, float] | None:
    """(mean of the baseline's, mean difference, its standard error, degrees of freedom) over the clips that have both
    values, if half do."""
    if was is None:
        return None
    pairs = np.array([(value, now.get(number, NAN)) for number, value in enumerate(was)])
    pairs = pairs[~np.isnan(pairs).any(axis=1)]
    if len(pairs) < max(2, len(was) / 2):
        return None
    apart = pairs[:, 1] - pairs[:, 0]
    return pairs[:, 0].mean(), apart.mean(), apart.std(ddof=1) / len(apart) ** 0.5, len(apart) - 1


def _unpaired(was: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[float, float]:
    """(standard error of the difference, degrees of freedom) of two values with standard errors, after Welch. One that
    is not defined is the other's, for as many clips; without either it is NaN."""
    squares = np.array([was["se"], now["se"]], np.float64) ** 2
    clips = np.array([was["n_scored"], now["n_scored"]], np.float64)
    known = ~np.isnan(squares)
    if known.all():
        spread = (squares**2 / (clips - 1)).sum()
        freedom = squares.sum() ** 2 / spread if spread else 1.0
    else:
        squares[~known] = (squares * clips)[::-1][~known] / clips[~known]
        freedom = clips[known].sum() - 1
    return squares.sum() ** 0.5, freedom


def _tails(gain: float, se: float, freedom: float) -> tuple[float, float]:
    """p of a fall and of a rise by chance; without spread any change is certain."""
    if np.isnan(se):
        return NAN, NAN
    if se == 0:
        return float(not gain < 0), float(not gain > 0)
    return float(stdtr(freedom, gain / se)), float(stdtr(freedom, -gain / se))


def _verdict(row: Mapping[str, Any], p_better: float, error_rate: float) -> str:
    if np.isnan(row["value"]):
        return "missing"
    if not abs(row["difference"]) > row["tolerated"]:
        return "ok"
    direction = metrics()[row["metric"]].direction
    gain = row["difference"] * direction
    if row["model"] == HARNESS:
        return "moved"
    by_chance = p_better if gain > 0 else row["p"]
    if by_chance >= error_rate:  # NaN: chance cannot be judged
        return "ok"
    return "moved" if not direction else "better" if gain > 0 else "worse"


def _is_gated(row: Mapping[str, Any], tolerances: Mapping[str, tuple[float, float]]) -> bool:
    """Is this score, with keys as `_keyed` gives them, one to gate unless a person says otherwise?"""
    if row["metric"] not in tolerances or row["n_scored"] * 2 < row["n"]:
        return False
    if not row["timebase"]:  # no metric of rhythm
        return True
    if row["metric"] in [name for name, metric in metrics().items() if metric.over_stems] and (
        row["track"] == "all" or row["track"] in row["given"].split("+")
    ):
        return False
    _, fps, transition_lambda, window = STANDARD["real"]
    setting = (row["timebase"], row["fps"], row["transition_lambda"])
    return setting == ("real", fps, transition_lambda) and row["window"] in (window, "")


def _keyed(table: pd.DataFrame) -> pd.DataFrame:
    """A table with empty key cells as '' (NaN equals nothing) and its numbers as floats."""
    table = table.copy()
    for column in KEY:
        table[column] = pd.Series(
            ["" if _empty(value) else float(value) if column in NUMBERS else value for value in table[column]],
            index=table.index,
            dtype=object,
        )
    return table


def _clips(samples: pd.DataFrame) -> dict[tuple, dict[int, float]]:
    """{key: {sample number: value}} of a run's sample table; samples that have no number are no run's."""
    numbered = samples[samples["sample"].astype(str).str.fullmatch("[0-9]+")]
    return {
        key: dict(zip(part["sample"].astype(int), part["value"]))
        for key, part in _keyed(numbered).groupby(KEY, sort=False)
    }


def _versions(table: pd.DataFrame, named: str) -> dict[str, set[str]]:
    """{name: its versions} of the metrics or the embeddings of a table."""
    if named == "metric":
        pairs = zip(table["metric"], table["version"])
    else:
        pairs = (value.rsplit("@", 1) for value in table["embedding"] if "@" in value)
    versions: dict[str, set[str]] = {}
    for name, version in pairs:
        versions.setdefault(name, set()).add(version)
    return versions


def _listed(values: set) -> str:
    return ", ".join(sorted(str(value) for value in values if value != "")) or "none"


def _setting(row: Any) -> str:
    numbers = " / ".join(f"{value:g}" for value in (row.fps, row.transition_lambda, row.window) if value != "")
    parts = (f"given {row.given}," if row.given else "", row.timebase, numbers, row.embedding)
    return " ".join(part for part in parts if part)


def _with_error(value: float, se: float) -> str:
    if np.isnan(value):
        return "-"
    return f"{value:.4g}" if np.isnan(se) else f"{value:.4g} ± {se:.2g}"


def _markdown_table(table: pd.DataFrame) -> str:
    rows = [table.columns, ["---"] * len(table.columns)]
    rows += [[_literal(str(value)) for value in row] for row in table.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _literal(text: str) -> str:
    """Text that markdown shows as it is, and that calls nobody: all but plain characters as entities."""
    return "".join(c if c.isalnum() or c in " .,:/+-%()" else f"&#{ord(c)};" if c.isprintable() else " " for c in text)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value == "") or (isinstance(value, float) and np.isnan(value))
