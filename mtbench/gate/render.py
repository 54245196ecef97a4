"""Render an outcome for people and programs: table cells, markdown, JSON and JUnit XML."""

import json
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from mtbench.gate.baseline import FORMAT, HARNESS, Row, records
from mtbench.gate.compare import FAILING, VERDICTS, Outcome
from mtbench.markdown import literal, markdown_table
from mtbench.registry import metrics
from mtbench.results.keys import NAN, defined, is_empty
from mtbench.settings import in_short

ERRORS_IN_WORDS = "± is the standard error"
CELL_COLUMNS = ["model", "score", "setting", "baseline", "now", "difference", "tolerated", "p", "verdict"]


def summary(outcome: Outcome) -> str:
    """Return one line with the number of scores per verdict."""
    counts = outcome.table["verdict"].value_counts()
    return ", ".join(f"{counts.get(name, 0)} {name}" for name in VERDICTS)


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """Return an outcome's table with readable text cells, one row per score."""
    return pd.DataFrame([_cells_of_row(row) for row in records(table)], columns=CELL_COLUMNS)


def _cells_of_row(row: Row) -> dict[str, str]:
    metric = metrics()[row["metric"]]
    return {
        "model": row["model"],
        "score": f"{metric.title}{metric.arrow} {row['track']}",
        "setting": _setting(row),
        "baseline": _with_error(row["baseline"], row["baseline_se"]),
        "now": _with_error(row["value"], row["se"]),
        "difference": f"{row['difference']:+.3g}" if defined(row["difference"]) else "-",
        "tolerated": f"{row['tolerated']:.3g}" if defined(row["tolerated"]) else "-",
        "p": _p_in_words(row["p"]),
        "verdict": row["verdict"],
    }


def _setting(row: Row) -> str:
    """Return what distinguishes scores of one metric and track: given stems, rhythm setting, and embedding."""
    given = f"given {row['given']}," if row["given"] else ""
    numbers = (NAN if is_empty(row[name]) else row[name] for name in ("fps", "transition_lambda", "window"))
    rhythm = in_short(row["timebase"], *numbers) if row["timebase"] else ""
    return " ".join(text for text in (given, rhythm, row["embedding"]) if text)


def _with_error(value: float, se: float) -> str:
    if not defined(value):
        return "-"
    return f"{value:.4g} ± {se:.2g}" if defined(se) else f"{value:.4g}"


def _p_in_words(p: float) -> str:
    if not defined(p):
        return "-"
    return "<0.0001" if p < 1e-4 else f"{p:.2g}"


def advice(outcome: Outcome) -> list[str]:
    """Return lines that explain the failures and state what to do about them."""
    failing = outcome.failing
    lines = []
    if (failing["model"] == HARNESS).any():
        lines.append(
            f"The control {HARNESS} consists of the same songs in every run, but its scores changed: the harness, the "
            "metrics or the suite changed, independently of the models."
        )
    if ((failing["verdict"] == "moved") & (failing["metric"] == "live")).any():
        lines.append(
            "The share of live stems changed. IRS, CBS and CBD are computed over live stems only, so interpret them "
            "with care."
        )
    off = (failing["value"] - failing["baseline"] - failing["difference"]).abs()
    if (failing["paired"] & (off > failing["tolerated"])).any():
        lines.append(
            "Differences are over the clips that have a value in both runs. Here, a difference is not equal to that of "
            "the two scores, because clips gained or lost their value."
        )
    if len(failing):
        lines.append("If the change is intended, update the baseline: mtbench check BASELINE RUN --update")
    return lines


def markdown(outcome: Outcome) -> str:
    """Return markdown for a pull request: the failures, and the complete table in a collapsed section."""
    table = cells(outcome.table)
    failures = len(outcome.failing) + len(outcome.failed)
    blocks = [f"### mtbench check: {'passed' if outcome.passed else f'{failures} failed'}", literal(summary(outcome))]
    blocks += [f"**Failed:** {literal(line)}" for line in outcome.failed]
    if len(outcome.failing):
        blocks.append(_table(cells(outcome.failing)))
    blocks += [literal(line) for line in (*advice(outcome), *outcome.notes)]
    blocks.append(
        f"<details><summary>All {len(table)} scores</summary>\n\n{_table(table)}\n\n"
        f"{ERRORS_IN_WORDS}. If samples are paired, difference and tolerance are over the clips that have a "
        "value in both runs. p is the p-value of a change for the worse, corrected for all scores (Holm). "
        f"A score fails if p &lt; {outcome.error_rate:g} and the difference exceeds the tolerance."
        "\n\n</details>"
    )
    return "\n\n".join(blocks) + "\n"


def _table(table: pd.DataFrame) -> str:
    return markdown_table(list(table.columns), table.astype(str).itertuples(index=False))


def as_json(outcome: Outcome) -> str:
    """Return everything about every score as JSON; undefined values are null."""
    rows = [{name: None if is_empty(value) else value for name, value in row.items()} for row in records(outcome.table)]
    document = {
        "format": FORMAT,
        "passed": outcome.passed,
        "error_rate": outcome.error_rate,
        "counts": outcome.table["verdict"].value_counts().to_dict(),
        "notes": list(outcome.notes),
        "failed": list(outcome.failed),
        "scores": rows,
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def junit(outcome: Outcome) -> str:
    """Return JUnit XML for CI, with one test case per score and one per failed model."""
    table = cells(outcome.table)
    suite = ElementTree.Element(
        "testsuite",
        name="mtbench check",
        tests=str(len(table) + len(outcome.failed)),
        failures=str(len(outcome.failing)),
        errors=str(len(outcome.failed)),
        skipped=str(int((table["verdict"] == "new").sum())),
    )
    for row in records(table):
        name = _printable(f"{row['score']} ({row['setting']})")
        case = ElementTree.SubElement(suite, "testcase", classname=_printable(row["model"]), name=name)
        if row["verdict"] in FAILING:
            ElementTree.SubElement(case, "failure", message=_failure(row))
        if row["verdict"] == "new":
            ElementTree.SubElement(case, "skipped", message="new: not in the baseline")
    for line in outcome.failed:
        case = ElementTree.SubElement(suite, "testcase", classname="run", name="generate and score")
        ElementTree.SubElement(case, "error", message=_printable(line))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _failure(row: Row) -> str:
    return (
        f"{row['verdict']}: baseline {row['baseline']}, now {row['now']}, difference {row['difference']}, "
        f"tolerated {row['tolerated']}, p {row['p']} ({ERRORS_IN_WORDS})"
    )


def _printable(text: Any) -> str:
    return "".join(c if c.isprintable() else "?" for c in str(text))


DOCUMENTS: dict[str, Callable[[Outcome], str]] = {"markdown": markdown, "json": as_json, "junit": junit}
FORMATS = ("text", *DOCUMENTS)  # `text` is for the terminal, and is drawn from `cells`
