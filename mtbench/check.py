"""The gate: are a run's scores worse than a baseline's by more than is tolerated?

A baseline is a JSON file that reads well in a diff: a format version, the config of the run that makes it, a
tolerance a metric, and the scores it gates, each with its whole key. Only equal keys are compared, and only equal
numbers of samples: FAD falls as they rise. Seeds may differ: that is what a rerun is for.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mtbench import audio
from mtbench.config import CONTROLS, RunConfig, validate
from mtbench.errors import UsageError
from mtbench.report.tables import STANDARD
from mtbench.scores import KEY, METRICS, SCORE_COLUMNS

FORMAT = 1
COMPARED = [*KEY, "n"]
# How much worse a score may be: an absolute amount plus a share of the baseline's value.
TOLERANCES = {
    "fad": (0.0, 0.10), "irs": (0.002, 0.10), "cbs": (0.01, 0.02),
    "cbd_mean": (0.01, 0.05), "cbd_std": (0.01, 0.05), "cbd_median": (0.01, 0.05),
}


@dataclass(frozen=True)
class Baseline:
    """What a run is held against. tolerances: {metric: (absolute, relative)}; scores: SCORE_COLUMNS' key and value."""

    config: RunConfig
    tolerances: Mapping[str, tuple[float, float]]
    scores: pd.DataFrame


def mismatch(baseline: Baseline, scores: pd.DataFrame) -> str:
    """Why no score of this run can be held against the baseline, or an empty text.

    Both must have the same task, suite, reference and number of samples; a run may have others beside.
    """
    ours, theirs = _keyed(baseline.scores), _keyed(scores)
    for column in ("task", "suite", "reference", "n"):
        was, now = set(ours[column]), set(theirs[column])
        if was - now:
            return f"the baseline has {column} {_listed(was - now)}, the run {_listed(now)}"
    return ""


def _listed(values: set) -> str:
    return ", ".join(sorted(str(value) for value in values if value != "")) or "none"


def compare(baseline: Baseline, scores: pd.DataFrame) -> pd.DataFrame:
    """Each gated score beside the run's: COMPARED, baseline, value, allowed, verdict.

    allowed is the worst value that passes. verdict: ``ok``, ``better`` or ``worse`` (beyond the tolerance),
    ``missing`` where the run has no such key or no value, ``new`` where only the run has one that is gated elsewhere.
    """
    keys = [tuple(row) for row in _keyed(baseline.scores)[COMPARED].itertuples(index=False)]
    now = {tuple(row[:-1]): row[-1] for row in _keyed(scores)[[*COMPARED, "value"]].itertuples(index=False)}
    rows = []
    for key, was in zip(keys, baseline.scores["value"]):
        metric = key[KEY.index("metric")]
        absolute, relative = baseline.tolerances[metric]
        room = absolute + relative * abs(was)
        direction = METRICS[metric].direction
        value = now.get(key, float("nan"))
        gain = (value - was) * direction
        verdict = "missing" if np.isnan(value) else "worse" if gain < -room else "better" if gain > room else "ok"
        rows.append([*key, was, value, was - direction * room, verdict])
    gated = set(keys)
    models = {key[KEY.index("model")] for key in keys}
    for key, value in now.items():
        if key not in gated and key[KEY.index("model")] not in models | set(CONTROLS) and _is_gated(key):
            rows.append([*key, float("nan"), value, float("nan"), "new"])
    return pd.DataFrame(rows, columns=[*COMPARED, "baseline", "value", "allowed", "verdict"])


def of_run(config: RunConfig, scores: pd.DataFrame) -> Baseline:
    """The baseline that a run makes: its models' (not the controls') FAD, IRS, CBS and CBD at the standard settings."""
    held = scores[[_is_gated(tuple(row)) for row in _keyed(scores)[KEY].itertuples(index=False)]]
    held = held[~held["model"].isin(CONTROLS) & held["value"].notna()]
    if held.empty:
        raise UsageError("this run has no model beside the controls, or none at a standard setting: nothing to gate")
    return Baseline(config, TOLERANCES, held[SCORE_COLUMNS].reset_index(drop=True))


def write(path: Path, baseline: Baseline) -> None:
    """Write a baseline, a score a line, so that a diff shows which moved."""
    rows = [
        json.dumps({column: value for column, value in row.items() if not _empty(value)})
        for row in baseline.scores[[*KEY, "value", "n", "n_scored"]].to_dict("records")
    ]
    head = {
        "format": FORMAT, "run": baseline.config.model_dump(mode="json", exclude_defaults=True),
        "tolerances": {name: {"absolute": a, "relative": r} for name, (a, r) in baseline.tolerances.items()},
    }
    text = json.dumps(head, indent=1)[:-2] + ',\n "scores": [\n  ' + ",\n  ".join(rows) + "\n ]\n}\n"
    with audio.whole_file(path) as file:
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
        raise UsageError(f"baseline {path}: its format is not {FORMAT}; if it is an old baseline, remove it, and write "
                         "it anew with --update")
    try:
        tolerances = {name: (float(t["absolute"]), float(t["relative"])) for name, t in held["tolerances"].items()}
        scores = pd.DataFrame(held["scores"], columns=SCORE_COLUMNS)
        if unknown := set(scores["metric"]) - set(tolerances) | set(scores["metric"]) - set(METRICS):
            raise UsageError(f"baseline {path}: no tolerance or no metric for {', '.join(sorted(map(str, unknown)))}")
        for column in ("fps", "transition_lambda", "window", "value", "n"):
            scores[column] = scores[column].astype(float)
        for column in ("task", "given", "model", "suite", "reference", "version", "track", "timebase", "embedding"):
            if not all(isinstance(value, str) for value in scores[column] if not _empty(value)):
                raise UsageError(f"baseline {path}: the {column} of a score is no text")
        if scores["n"].isna().any():
            raise UsageError(f"baseline {path}: a score does not say its n, the number of samples")
        scores["n"] = scores["n"].astype(int)
        if scores.empty or not np.isfinite(scores["value"]).all():
            raise UsageError(f"baseline {path}: holds no scores, or one without a value, so it would gate nothing")
        if not np.isfinite(list(tolerances.values())).all() or np.min(list(tolerances.values())) < 0:
            raise UsageError(f"baseline {path}: a tolerance is not a finite number of at least 0")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"baseline {path}: not a baseline ({type(error).__name__}: {error})") from None
    return Baseline(validate(held.get("run", {}), f"baseline {path}, run"), tolerances, scores)


def _is_gated(key: tuple) -> bool:
    named = dict(zip(KEY, key))
    if named["metric"] not in TOLERANCES:
        return False
    if named["metric"] == "fad":
        return True
    fps, tl, window = STANDARD.get(named["timebase"], (None, None, None))
    standard = (named["fps"], named["transition_lambda"]) == (fps, tl)
    return standard and named["window"] in (window, "")


def _keyed(scores: pd.DataFrame) -> pd.DataFrame:
    """The table with empty key cells as '' (NaN equals nothing) and its numbers as floats."""
    table = scores.copy()
    for column in KEY:
        table[column] = ["" if _empty(value) else float(value) if column in ("fps", "transition_lambda", "window") else value
                         for value in table[column]]
    return table


def _empty(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and np.isnan(value))
