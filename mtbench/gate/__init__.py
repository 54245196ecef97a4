"""The gate: compare a finished run with a baseline and give a verdict on every score.

It works only on tables; it never generates samples, reads audio or tracks beats. docs/how-to/ci.md explains the rule.
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
    """Compare a finished run with a baseline. failed: one line per model without scores.

    Raises Incomparable, with the reason, if no score of the run can be compared with the baseline.
    """
    if problem := mismatch(baseline, run.scores, run.suite_version):
        raise Incomparable(problem)
    seed = run.record["config"].get("seed")
    same_seed = seed == baseline.config.seed
    notes = changed_models(baseline, run.provenances)
    if not same_seed:
        words = "no seed" if seed is None else f"seed {seed}"
        notes.append(f"the baseline was made with seed {baseline.config.seed}, this run with {words}")
    table = compare(baseline, run.scores, run.samples, same_seed)
    return Outcome(table, baseline.error_rate, notes, failed)


def models_without_scores(run: FinishedRun) -> list[str]:
    """Return one line per model of a finished run that has no scores."""
    silent = set(run.provenances) - set(run.scores["model"]) - set(CONTROLS)
    return [f"{name} has no scores in {run.path}" for name in sorted(silent)]


def changed_songs(baseline: Baseline, path: Path) -> str:
    """Return the reason if a run with the current suite could not be compared with the baseline at this path.

    This is the case if the version of the suite's songs has changed; otherwise, the text is empty. Raises UsageError if
    the suite is missing.
    """
    name, version = baseline.config.suite, open_suite(baseline.config.suite).version
    if baseline.suite_version in ("", version):
        return ""
    return (
        f"the songs of suite '{name}' changed since baseline {path}: the baseline has version "
        f"{baseline.suite_version}, the suite has {version}; restore the songs, or --update the baseline"
    )
