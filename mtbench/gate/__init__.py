"""The gate: a finished run against a baseline, with a verdict on every score.

It works on tables, and never makes a run, reads audio or tracks beats. docs/gate.md explains the rule.
"""

from collections.abc import Sequence
from pathlib import Path

from mtbench.controls import CONTROLS
from mtbench.gate.baseline import (
    Baseline,
    baseline_of_run,
    default_tolerances,
    read_baseline,
    write_baseline,
)
from mtbench.gate.compare import FAILING, Incomparable, Outcome, changed_models, compare, mismatch
from mtbench.gate.render import DOCUMENTS, ERRORS_IN_WORDS, FORMATS, advice, as_json, cells, junit, markdown, summary
from mtbench.registry import open_suite
from mtbench.results.load import FinishedRun

__all__ = [
    "DOCUMENTS",
    "ERRORS_IN_WORDS",
    "FAILING",
    "FORMATS",
    "Baseline",
    "Incomparable",
    "Outcome",
    "advice",
    "as_json",
    "baseline_of_run",
    "cells",
    "changed_models",
    "changed_songs",
    "check",
    "compare",
    "default_tolerances",
    "junit",
    "markdown",
    "mismatch",
    "models_without_scores",
    "read_baseline",
    "summary",
    "write_baseline",
]


def check(baseline: Baseline, run: FinishedRun, failed: Sequence[str] = ()) -> Outcome:
    """Compare a finished run with a baseline. failed: a line for each model that has no scores.

    Raises Incomparable, saying why, if no score of the run can be compared with the baseline's.
    """
    if problem := mismatch(baseline, run.scores, run.suite_version):
        raise Incomparable(problem)
    seed = run.record["config"].get("seed")
    same_seed = seed == baseline.config.seed
    notes = changed_models(baseline, run.provenances)
    if not same_seed:
        words = "none" if seed is None else f"seed {seed}"
        notes.append(f"the baseline was made with seed {baseline.config.seed}, this run with {words}")
    table = compare(baseline, run.scores, run.samples, same_seed)
    return Outcome(table, baseline.error_rate, notes, failed)


def models_without_scores(run: FinishedRun) -> list[str]:
    """A line for each model of a finished run that has no scores."""
    silent = set(run.provenances) - set(run.scores["model"]) - set(CONTROLS)
    return [f"{name} has no scores in {run.path}" for name in sorted(silent)]


def changed_songs(baseline: Baseline, path: Path) -> str:
    """Why a run made here and now could not be compared with the baseline of this path: the songs of its suite are of
    another version. Empty if they are not. Raises UsageError if the suite is not there."""
    name, version = baseline.config.suite, open_suite(baseline.config.suite).version
    if baseline.suite_version in ("", version):
        return ""
    return (
        f"the songs of suite '{name}' changed since baseline {path}: it has version "
        f"{baseline.suite_version}, here is {version}; put them back, or --update the baseline"
    )
