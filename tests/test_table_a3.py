"""Table A3 of the SyncTrack paper compared with measurements of the network."""

import io
import subprocess
import sys

import pytest
from rich.console import Console

from synctrack import SyncTrackConfig, table_a3
from synctrack.table_a3 import PAPER, closing, differences, measure, table, unexplained


@pytest.fixture(scope="module")
def ours():
    return measure(SyncTrackConfig(), PAPER)


def test_the_papers_rows_add_up():
    # The complete module has 369,437,228 parameters, of which 128,122,532 are frozen: the first row and `switcher`.
    counts = [row.parameters for row in PAPER if row.parameters]
    assert len(counts) == 35
    assert sum(counts) == 369_437_228
    assert counts[0] + 16 == 128_122_532


def test_all_rows_agree(ours):
    assert {row.index: unexplained(row, mine) for row, mine in zip(PAPER, ours) if unexplained(row, mine)} == {}
    assert closing(PAPER, ours).startswith("34 of 34 rows with parameters agree")
    assert sum(mine.parameters or 0 for mine in ours[1:]) == 241_314_712  # no parameter is left out or counted twice


def test_the_notes_explain_all_differences(ours):
    notes = {row.index: set(differences(row, mine).values()) for row, mine in zip(PAPER, ours)}
    explained = {index: numbers for index, numbers in notes.items() if numbers}
    assert explained == {"-": {1}, "2-1": {2}, "3-1": {3}, "4-1": {3}, "4-2": {3}, "4-3": {3}}


@pytest.mark.parametrize("column, wrong", [("parameters", 3_681_281), ("input", (4, 128, 64, 64)), ("output", None)])
def test_a_planted_wrong_row_is_reported(ours, column, wrong):
    i = [row.index for row in PAPER].index("4-11")
    rows = [*PAPER[:i], PAPER[i]._replace(**{column: wrong}), *PAPER[i + 1 :]]
    assert [(row.index, *unexplained(row, mine)) for row, mine in zip(rows, ours) if unexplained(row, mine)] == [
        ("4-11", column)
    ]
    assert closing(rows, ours).startswith("33 of 34 rows")
    console = Console(width=200, file=io.StringIO())
    console.print(table(rows, ours))
    assert [line.split()[-2:] for line in console.file.getvalue().splitlines() if "≠" in line] == [["≠", column]]


def test_our_values_are_measured():
    rows = {row.index: mine for row, mine in zip(PAPER, measure(SyncTrackConfig(cross_track="time"), PAPER))}
    # Without the global attention, block 4-11 with 256 channels has four matrices, one bias and one layer norm less.
    assert rows["4-11"].parameters == 3_681_280 - 4 * 256**2 - 3 * 256
    assert rows["4-8"].parameters == 426_880


def test_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["table_a3"])
    with pytest.raises(SystemExit) as stop:
        table_a3.main()
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "34 of 34 rows with parameters agree" in printed
    assert "241,314,712 parameters in the paper and 241,314,712 here" in printed
    assert "≠" not in printed and max(map(len, printed.splitlines())) <= 120

    monkeypatch.setattr(table_a3, "PAPER", (*PAPER[:-1], PAPER[-1]._replace(parameters=9_225)))
    with pytest.raises(SystemExit) as stop:
        table_a3.main()
    assert stop.value.code == 1
    (planted,) = (line for line in capsys.readouterr().out.splitlines() if "≠" in line)
    assert planted.split()[-4:] == ["9,225", "9,224", "≠", "parameters"]


def test_help_has_an_example():
    shown = subprocess.run([sys.executable, "-m", "synctrack.table_a3", "--help"], capture_output=True, text=True)
    assert shown.returncode == 0
    assert "Example: python -m synctrack.table_a3" in shown.stdout
