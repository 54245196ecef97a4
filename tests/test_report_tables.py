"""Tables for the terminal and for papers, compared with texts computed by hand."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import strangers
from mtbench import registry
from mtbench.report import selection, text
from mtbench.report.formats import FORMATS, render
from mtbench.report.tables import paper_tables, run_tables, sensitivity_tables, summary_table
from mtbench.results.keys import COMPARISON_COLUMNS, NAN, SCORE_COLUMNS

NO_COMPARISONS = pd.DataFrame(columns=COMPARISON_COLUMNS)
REAL = {"fps": 100.0, "transition_lambda": 100.0, "timebase": "real"}


@pytest.fixture(autouse=True)
def fresh_metrics():
    yield
    registry.metrics.cache_clear()


def scores(*rows: dict) -> pd.DataFrame:
    """Return a table of scores of total generation. Columns that a row does not name are empty."""
    texts = {"task": "total", "given": "", "suite": "band", "reference": "", "version": "1", "embedding": ""}
    numbers = dict.fromkeys(("fps", "transition_lambda", "window", "value", "se", "ci_low", "ci_high"), NAN)
    complete = [{**texts, **numbers, "timebase": "", "n": 8, "n_scored": 8, **row} for row in rows]
    return pd.DataFrame(complete)[SCORE_COLUMNS]


@pytest.mark.parametrize(
    "value, low, high, digits, shown",
    [
        (0.0738, 0.0671, 0.0805, 4, "0.0738 [0.0671, 0.0805]"),  # half-width 0.0067: two digits are four decimals
        (0.4832, 0.4349, 0.5315, 3, "0.483 [0.435, 0.531]"),  # half-width 0.048
        (0.4832, 0.4829, 0.4837, 3, "0.483 [0.483, 0.484]"),  # never more decimals than the metric has
        (71.23, 70.04, 72.14, 3, "71.2 [70.0, 72.1]"),  # half-width 1.05
        (38.9, 7.61, 173.2, 3, "39 [7.6, 173]"),  # skewed, half-width 83: the low end keeps two digits
        (19.5, 0.0, 33.2, 3, "20 [0, 33]"),  # cut at 0
        (1.42, 0.0, 3.91, 3, "1.4 [0.0, 3.9]"),
        (2.0, 1.8, 2.2, 3, "2.00 [1.80, 2.20]"),  # half-width 0.2: its two digits are 0.20
        (5.02, 0.0412, 10.0, 3, "5.0 [0.04, 10.0]"),  # one more decimal, not two
        (1234.5, 900.2, 1500.7, 3, "1234 [900, 1501]"),  # whole numbers stay whole
        (0.5, 0.5, 0.5, 2, "0.50 [0.50, 0.50]"),
        (0.4832, NAN, NAN, 3, "0.483"),
        (0.4832, 0.4, np.inf, 3, "0.483"),
        (NAN, NAN, NAN, 3, "–"),
    ],
)
def test_intervals_are_rounded_to_significant_digits(value, low, high, digits, shown):
    assert text.with_interval(value, low, high, digits) == shown


def test_undefined_values_are_shown_as_a_dash():
    assert text.number(NAN, 2) == text.number(np.inf, 2) == text.coverage(NAN, 4) == text.MISSING
    assert text.number(1.005, 1) == "1.0" and text.coverage(3, 4) == "3/4" and text.ends(0.1, NAN, 2) is None


def test_interval_rank_and_coverage():
    fad = {"metric": "fad", "track": "mixture", "embedding": "e@1", "reference": "r:1:abc"}
    irs = {"metric": "irs", **REAL}
    table = scores(
        {**fad, "model": "good", "value": 38.9, "ci_low": 7.61, "ci_high": 173.2},
        {**fad, "model": "bad", "value": 400.0, "ci_low": 380.0, "ci_high": 420.0},
        {**fad, "model": "noise", "value": 1.0},
        {**irs, "model": "good", "track": "drums", "value": 0.03, "ci_low": 0.01, "ci_high": 0.05, "n_scored": 7},
        {**irs, "model": "good", "track": "all", "value": 0.031, "n_scored": 8},
        {"metric": "live", **REAL, "model": "good", "track": "all", "value": 1.0},
        {"metric": "live", **REAL, "model": "good", "track": "drums", "value": 0.5},
    )
    pair = {**table.iloc[0].to_dict(), "model_a": "good", "model_b": "bad", "difference": -361.1, "p_adjusted": 0.01}
    shown = paper_tables(table, pd.DataFrame([pair]).reindex(columns=COMPARISON_COLUMNS))
    assert [(each.title, each.note) for each in shown] == [
        ("FAD", "embedding e@1, reference band r:1:abc"),
        ("IRS in s", "real seconds, 100 fps, lambda 100"),
    ]
    fad_rows, irs_rows = shown[0].rows, shown[1].rows
    assert fad_rows["mixture ↓"].to_dict() == {"good": "39 [7.6, 173] #1", "bad": "400 [380, 420] #2", "noise": "1.000"}
    assert irs_rows.loc["good"].to_dict() == {
        "drums ↓": "0.030 [0.010, 0.050]",
        "all ↓": "0.0310",
        "Live stems": "1.00",
        "scored": "7/8",  # of the two scores with a value, the one with fewer clips
    }
    assert "39 [7.6, 173] #1" in render(shown[:1], "text")


def test_a_summary_without_main_scores_names_the_models():
    table = summary_table(scores({"metric": "clipped", "track": "all", "model": "m", "value": 0.1}), NO_COMPARISONS, {})
    assert table.rows.index.tolist() == ["m"] and table.values.empty
    for form in FORMATS:
        assert render([table], form)


def test_paper_tables_never_mix_timebases():
    rows = []
    for model in ("a", "b"):
        for fps, timebase, value in ((100, "real", 0.2), (150, "published", 0.3)):
            for metric, window in (("irs", NAN), ("cbs", 0.15), ("cbd_mean", NAN)):
                setting = {"fps": fps, "transition_lambda": 100.0, "timebase": timebase, "window": window}
                rows.append({"model": model, "metric": metric, "track": "all", **setting, "value": value})
    irs = {table.note: table.rows for table in paper_tables(scores(*rows), NO_COMPARISONS) if table.title == "IRS in s"}
    assert {note: rows.loc["a", "all ↓"] for note, rows in irs.items()} == {
        "real seconds, 100 fps, lambda 100": "0.2000",
        "published timebase, 150 fps, lambda 100; its second lasts 1.5 s": "0.3000",
    }


@pytest.mark.parametrize("windows, ends", [((0.1, 0.5), ("0.1", "0.5")), ((0.05, 0.051), ("0.05", "0.051"))])
def test_sensitivity_has_a_row_per_setting(windows, ends):
    cbs = {"model": "a", "metric": "cbs", "track": "all", **REAL}
    irs = {
        "model": "a",
        "metric": "irs",
        "track": "all",
        **REAL,
        "value": 0.1,
    }  # has only one setting, so it has no table
    (table,) = sensitivity_tables(scores(irs, *({**cbs, "window": window, "value": 0.5} for window in windows)))
    assert table.title == "Sensitivity of CBS ↑" and table.note == "timebase, fps / transition lambda / window in s"
    assert table.rows["a"].to_dict() == {f"real 100 / 100 / {end}": "0.500" for end in ends}


def test_training_data_are_added_to_the_name_of_a_model():
    row = {"metric": "cbd_mean", "track": "all", **REAL, "value": 0.5}
    (table,) = run_tables(scores({**row, "model": "a"}), NO_COMPARISONS, {"a": {"trained_on": "synthetic songs"}})
    assert table.rows.index.tolist() == ["a (synthetic songs)"]


def test_metrics_of_other_packages_have_tables(monkeypatch):
    strangers.offer(monkeypatch)
    slow = {**REAL, "fps": 50.0}
    cells = {"model": "m", "value": 0.5, "ci_low": 0.45, "ci_high": 0.55}
    table = scores(
        *strangers.rows_of(cells, ("bass", "drums"), [REAL, slow], (0.05, 0.15)),
        {**cells, "metric": "of a later version", "track": "all", **REAL},
    )
    shown = {each.title: each for each in paper_tables(table, NO_COMPARISONS)}
    value = "0.50 [0.45, 0.55]"
    assert {title: each.rows.loc["m"].to_dict() for title, each in shown.items()} == {
        "Pulse in 1/s <s>": {"all ↑": value, "bass ↑": value, "drums ↑": value, "Share": "0.50", "scored": "8/8"},
        "Across stems": {"Groove ↓": value, "Swing ↑": value, "Share": "0.50", "scored": "8/8"},
        "Hiss in dB": {"bass ↓": value, "drums ↓": value, "scored": "8/8"},
        "The audio of a clip": {"Loudness": value, "scored": "8/8"},
    }
    assert shown["Hiss in dB"].note == "What hiss says"
    assert shown["Across stems"].note == "real seconds, 100 fps, lambda 100, window 0.15 s"
    # Only the metrics of the summary have sensitivity tables.
    assert [each.title for each in sensitivity_tables(table)] == ["Sensitivity of Groove ↓", "Sensitivity of Pulse ↑"]
    assert [metric.name for metric in selection.rhythm() if metric.name in strangers.RECORDS] == [
        "groove",
        "pulse",
        "swing",
    ]


def test_tables_and_pages_start_without_the_heavy_packages():
    code = (
        "import sys, mtbench.report.site, mtbench.report.tables, mtbench.cli.tables; "
        "print(sorted({'torch', 'numba', 'madmom', 'matplotlib', 'seaborn', 'mtbench.beats'} & set(sys.modules)))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"
