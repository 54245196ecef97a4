"""An outcome as a person or a program reads it: texts of a table, markdown, JSON and JUnit's XML."""

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
    """One line: how many scores got each verdict."""
    counts = outcome.table["verdict"].value_counts()
    return ", ".join(f"{counts.get(name, 0)} {name}" for name in VERDICTS)


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """The table of an outcome as a person reads it: texts, one row per score."""
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
    """What tells scores of one metric and track apart: the given stems, the setting of the rhythm, the embedding."""
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
    """What the failures mean and what to do about them, one line each."""
    failing = outcome.failing
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
    failures = len(outcome.failing) + len(outcome.failed)
    blocks = [f"### mtbench check: {'passed' if outcome.passed else f'{failures} failed'}", literal(summary(outcome))]
    blocks += [f"**Failed:** {literal(line)}" for line in outcome.failed]
    if len(outcome.failing):
        blocks.append(_table(cells(outcome.failing)))
    blocks += [literal(line) for line in (*advice(outcome), *outcome.notes)]
    blocks.append(
        f"<details><summary>All {len(table)} scores</summary>\n\n{_table(table)}\n\n"
        f"{ERRORS_IN_WORDS}; where samples pair up, difference and tolerance are over the clips that have a "
        "value in both runs; p is of a change for the worse by chance, corrected for all scores (Holm); "
        f"a score fails where p &lt; {outcome.error_rate:g} and the difference is more than is tolerated."
        "\n\n</details>"
    )
    return "\n\n".join(blocks) + "\n"


def _table(table: pd.DataFrame) -> str:
    return markdown_table(list(table.columns), table.astype(str).itertuples(index=False))


def as_json(outcome: Outcome) -> str:
    """All that is known of every score; null where a value is not defined."""
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
    """JUnit's XML, for a CI: one test case per score, and one per model that failed."""
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
            ElementTree.SubElement(case, "skipped", message="new: the baseline has no such score")
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
FORMATS = ("text", *DOCUMENTS)  # `text` is for the terminal, which draws it from `cells`
