"""The documentation against the code: links lead somewhere, and the tables of columns are those of the code."""

import json
import re
from pathlib import Path

import pytest

from mtbench.gate.baseline import BaselineFile
from mtbench.results import keys

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(page):
    links = re.findall(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def columns(heading: str) -> list[str]:
    """The names in the first column of the first table under a heading of the page on file formats, in its order."""
    page = (DOCS / "reference" / "file-formats.md").read_text(encoding="utf-8")
    section = page.split(f"# {heading}\n", 1)[1].split("\n#", 1)[0]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert table
    return [name for row in table[0].splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("The key of a score", keys.KEY),
        ("scores.csv", keys.SCORE_COLUMNS[len(keys.KEY) :]),
        ("samples.csv", keys.SAMPLE_COLUMNS[len(keys.KEY) :]),
        ("comparisons.csv", keys.COMPARISON_COLUMNS[len(keys.COLUMN) :]),
        ("failures.csv", keys.FAILURE_COLUMNS),
        ("beats/*.csv", keys.BEAT_COLUMNS),
        ("Baseline", list(BaselineFile.model_fields)),
    ],
)
def test_the_tables_of_columns_are_those_of_the_code(heading, expected):
    assert columns(heading) == expected


@pytest.mark.parametrize(
    "file",
    [
        "docs/explanation/good-scores.md",
        "docs/explanation/statistics.md",
        "docs/how-to/publish-the-board.md",
        "docs/results.md",
        "docs/tutorial.ipynb",
        "leaderboard/index.html",
    ],
)
def test_pages_define_a_rank_as_the_code_does(file):
    # `stats.ranks` counts better models. A difference that could be chance does not imply equal ranks.
    text = (ROOT / file).read_text(encoding="utf-8")
    if file.endswith(".ipynb"):
        text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    text = " ".join(text.split())
    assert re.search(r"(1|one) plus the number of models that are better by more than chance", text)
    assert not re.search(r"chance share a rank|share a rank if", text)
