"""Tidy tables from made-up analyses whose numbers can be worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from mtbench import scores
from mtbench.analysis import Analysis
from mtbench.metrics import folder_irs
from mtbench.report.tables import paper_tables, sensitivity_tables

SETTING = (100, 100.0, "true")
SHARED = {"task": "total", "given": "", "model": "m", "suite": "band"}


def analysis(name, drums, bass, frames=None):
    beats = {"bass": bass, "drums": drums}
    tracked = {stem: np.column_stack([times, np.ones(len(times))]) for stem, times in beats.items()}
    embeddings = {"log-mel-stats": {"mixture": frames}} if frames is not None else {}
    return Analysis(name, duration=2.0, beats={SETTING: tracked}, embeddings=embeddings, clipped=0.25)


STEADY = np.array([0.0, 0.5, 1.0, 1.5])
UNEVEN = np.array([0.0, 0.4, 1.0])  # intervals 0.4 and 0.6: mean 0.5, population standard deviation 0.1
NONE = np.empty(0)


def value(table, **where):
    held = table
    for column, wanted in where.items():
        held = held[held[column].isna()] if wanted is None else held[held[column] == wanted]
    assert len(held) == 1, held
    return held.iloc[0]


def test_files_first_then_stems():
    # drums: 0 and 0.1, mean 0.05; bass: only one file has beats, 0. Over stems (0.05 + 0) / 2, not over the three files.
    samples = scores.sample_table([analysis("a", STEADY, STEADY), analysis("b", UNEVEN, NONE)], [0.5], SHARED)
    table = scores.score_table(samples, 2)
    drums, bass, both = (value(table, metric="irs", track=track) for track in ("drums", "bass", "all"))
    assert (drums["value"], drums["n"], drums["n_scored"]) == (pytest.approx(0.05), 2, 2)
    assert (bass["value"], bass["n_scored"]) == (pytest.approx(0.0), 1)
    assert both["value"] == pytest.approx(0.025)
    held = samples[samples["metric"] == "irs"]
    assert both["value"] == folder_irs([part["value"] for _, part in held.groupby("track")])


def test_undefined_is_left_out_and_counted():
    # With one live track CBS and CBD are undefined; the folder value is the other clip's, scored 1 of 2.
    samples = scores.sample_table([analysis("a", STEADY, STEADY), analysis("b", UNEVEN, NONE)], [0.5], SHARED)
    table = scores.score_table(samples, 2)
    cbs = value(table, metric="cbs", window=0.5)
    assert cbs["value"] == pytest.approx(1.0) and (cbs["n"], cbs["n_scored"]) == (2, 1)
    cbd = value(table, metric="cbd_mean")
    assert cbd["value"] == 0.0 and cbd["n_scored"] == 1
    live = value(table, metric="live", track="all")
    assert live["value"] == pytest.approx(0.75)  # bass in 1 of 2 clips, drums in 2 of 2
    assert samples["value"].isna().sum() == 5  # clip b: irs of bass, cbs, and three statistics of cbd


def test_columns_are_the_published_contract():
    samples = scores.sample_table([analysis("a", STEADY, STEADY)], [0.5], SHARED)
    assert list(scores.score_table(samples, 1).columns) == (
        "task given model suite reference metric version track fps transition_lambda window timebase embedding "
        "value ci_low ci_high n n_scored").split()


def test_broken_clips_have_no_rows_but_count():
    broken = Analysis("b", error="b.wav: truncated")
    samples = scores.sample_table([analysis("a", STEADY, STEADY), broken], [0.5], SHARED)
    assert set(samples["sample"]) == {"a"}
    assert set(scores.score_table(samples, 2)["n"]) == {2}


def test_fad_pools_frames_over_clips_and_refuses_too_few():
    random = np.random.default_rng(0)
    reference = scores.Reference("r:1:abc", {("log-mel-stats", "mixture"): random.standard_normal((40, 32))})
    half = [analysis(str(i), STEADY, STEADY, part) for i, part in
            enumerate(np.split(reference.frames["log-mel-stats", "mixture"], 2))]
    table, notices = scores.fad_table(half, reference, SHARED)
    assert table["value"].item() == pytest.approx(0, abs=1e-9) and not notices  # the reference itself, in two clips
    assert table["reference"].item() == "r:1:abc" and table["n_scored"].item() == 2
    table, notices = scores.fad_table(half[:1], reference, SHARED)
    assert table["value"].isna().all() and table["n_scored"].item() == 0
    assert "33 frames" in notices[0] and "model has 20" in notices[0]


def test_paper_tables_never_mix_timebases():
    rows = []
    for model in ("a", "b"):
        for fps, timebase, offset in ((100, "true", 0.0), (150, "published", 0.1)):
            for metric, track, window in (("irs", "all", None), ("cbs", "all", 0.15), ("cbd_mean", "all", None)):
                rows.append({"model": model, "metric": metric, "track": track, "fps": fps, "transition_lambda": 100.0,
                             "window": window, "timebase": timebase, "value": 0.2 + offset})
    tables = paper_tables(pd.DataFrame(rows).reindex(columns=scores.SCORE_COLUMNS))
    by_timebase = {("published" if "published" in table.note else "true"): table for table in tables if table.title == "IRS in s"}
    assert by_timebase["true"].rows.loc["a"].tolist() == [0.2]
    assert by_timebase["published"].rows.loc["a"].tolist() == [pytest.approx(0.3)]


def test_sensitivity_has_a_row_a_setting():
    samples = scores.sample_table([analysis("a", STEADY, UNEVEN)], [0.1, 0.5], SHARED)
    (table,) = sensitivity_tables(scores.score_table(samples, 1))  # IRS and CBD have one setting each: nothing to show
    assert table.rows.index.tolist() == ["true 100 / 100 / 0.1", "true 100 / 100 / 0.5"]


def test_near_windows_stay_apart():
    samples = scores.sample_table([analysis("a", STEADY, UNEVEN)], [0.05, 0.051], SHARED)
    (table,) = sensitivity_tables(scores.score_table(samples, 1))
    assert table.rows.index.tolist() == ["true 100 / 100 / 0.05", "true 100 / 100 / 0.051"]
