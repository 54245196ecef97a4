"""Tidy tables from made-up analyses whose numbers can be computed by hand."""

import numpy as np
import pandas as pd
import pytest

from mtbench.analysis import Analysis
from mtbench.errors import UsageError
from mtbench.metrics import fad, folder_irs
from mtbench.results import tables
from mtbench.results.keys import COMPARISON_COLUMNS, SAMPLE_COLUMNS, SCORE_COLUMNS
from mtbench.results.load import load_run
from mtbench.results.store import RunFolder
from mtbench.results.tables import Origin, Reference
from mtbench.settings import Decode

DECODE = Decode(100, 100.0, "real")
ORIGIN = Origin("total", "", "m", "band")


def analysis(name, drums, bass, frames=None):
    beats = {"bass": bass, "drums": drums}
    tracked = {stem: np.column_stack([times, np.ones(len(times))]) for stem, times in beats.items()}
    embeddings = {"log-mel-stats": {"mixture": frames}} if frames is not None else {}
    return Analysis(
        name, duration=2.0, beats={DECODE: tracked}, embeddings=embeddings, of_audio={"clipped": {"mixture": 0.25}}
    )


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
    # drums: 0 and 0.1, mean 0.05; bass: only one file has beats, 0. Over stems (0.05 + 0) / 2, not over three files.
    samples = tables.sample_table([analysis("a", STEADY, STEADY), analysis("b", UNEVEN, NONE)], [0.5], ORIGIN)
    table = tables.score_table(samples, 2)
    drums, bass, both = (value(table, metric="irs", track=track) for track in ("drums", "bass", "all"))
    assert (drums["value"], drums["n"], drums["n_scored"]) == (pytest.approx(0.05), 2, 2)
    assert (bass["value"], bass["n_scored"]) == (pytest.approx(0.0), 1)
    assert both["value"] == pytest.approx(0.025)
    held = samples[samples["metric"] == "irs"]
    assert both["value"] == folder_irs([part["value"] for _, part in held.groupby("track")])


def test_the_row_of_all_stems_counts_clips_with_any_value():
    # Of three clips, one has beats only in the drums, one only in the bass, one in neither: the mean is over two clips.
    clips = [analysis("a", STEADY, NONE), analysis("b", NONE, UNEVEN), analysis("c", NONE, NONE)]
    table = tables.score_table(tables.sample_table(clips, [0.5], ORIGIN), 3)
    both = value(table, metric="irs", track="all")
    assert both["value"] == pytest.approx(0.05) and (both["n"], both["n_scored"]) == (3, 2)


def test_undefined_is_left_out_and_counted():
    # With one live track, CBS and CBD are undefined; the folder value is that of the other clip, 1 of 2 is scored.
    samples = tables.sample_table([analysis("a", STEADY, STEADY), analysis("b", UNEVEN, NONE)], [0.5], ORIGIN)
    table = tables.score_table(samples, 2)
    cbs = value(table, metric="cbs", window=0.5)
    assert cbs["value"] == pytest.approx(1.0) and (cbs["n"], cbs["n_scored"]) == (2, 1)
    cbd = value(table, metric="cbd_mean")
    assert cbd["value"] == 0.0 and cbd["n_scored"] == 1
    live = value(table, metric="live", track="all")
    assert live["value"] == pytest.approx(0.75)  # bass in 1 of 2 clips, drums in 2 of 2
    assert samples["value"].isna().sum() == 5  # clip b: irs of bass, cbs, and three statistics of cbd


def test_columns_are_the_published_contract():
    samples = tables.sample_table([analysis("a", STEADY, STEADY)], [0.5], ORIGIN)
    assert list(tables.score_table(samples, 1).columns) == [
        "task",
        "given",
        "model",
        "suite",
        "reference",
        "metric",
        "version",
        "track",
        "fps",
        "transition_lambda",
        "window",
        "timebase",
        "embedding",
        "value",
        "se",
        "ci_low",
        "ci_high",
        "n",
        "n_scored",
    ]


def test_broken_clips_have_no_rows_but_count():
    broken = Analysis("b", error="b.wav: truncated")
    samples = tables.sample_table([analysis("a", STEADY, STEADY), broken], [0.5], ORIGIN)
    assert set(samples["sample"]) == {"a"}
    assert set(tables.score_table(samples, 2)["n"]) == {2}


def test_fad_pools_frames_over_clips_and_refuses_too_few():
    random = np.random.default_rng(0)
    reference = Reference(
        "r:1:abc", {("log-mel-stats", "mixture"): random.standard_normal((40, 32))}, {"log-mel-stats": "1"}
    )
    half = [
        analysis(str(i), STEADY, STEADY, part)
        for i, part in enumerate(np.split(reference.frames["log-mel-stats", "mixture"], 2))
    ]
    table, per_clip, notices = tables.fad_tables(half, reference, ORIGIN)
    assert table["value"].item() == pytest.approx(0, abs=1e-9) and not notices  # the reference itself, in two clips
    assert table["reference"].item() == "r:1:abc" and table["n_scored"].item() == 2
    assert per_clip["sample"].tolist() == ["0", "1"] and per_clip["value"].mean() == pytest.approx(
        table["value"].item()
    )
    frames = random.standard_normal((70, 32)) + 0.5  # in clips of unequal length
    clips = [analysis(str(i), STEADY, STEADY, part) for i, part in enumerate(np.split(frames, [20, 25, 60]))]
    value = tables.fad_tables(clips, reference, ORIGIN)[0]["value"].item()
    assert value == pytest.approx(fad(frames, reference.frames["log-mel-stats", "mixture"]), rel=1e-12)
    table, per_clip, notices = tables.fad_tables(half[:1], reference, ORIGIN)
    assert (
        table[["value", "se", "ci_low", "ci_high"]].isna().all(axis=None)
        and table["n_scored"].item() == 0
        and per_clip.empty
    )
    assert "33 frames" in notices[0] and "model has 20" in notices[0]


def uneven(late):
    """Return beats with intervals 0.5 - late and 0.5 + late, so that IRS is `late`."""
    return np.array([0.0, 0.5 - late, 1.0])


def samples_of(model, lates, **more):
    clips = [analysis(f"{i:05d}", uneven(late), uneven(late / 2)) for i, late in enumerate(lates)]
    return tables.sample_table(clips, [0.5], ORIGIN._replace(model=model, **more))


def test_a_score_has_a_standard_error_and_an_interval():
    lates = [0.01, 0.02, 0.03, 0.06]
    table = tables.score_table(samples_of("m", lates), 4)
    drums, bass, both = (value(table, metric="irs", track=track) for track in ("drums", "bass", "all"))
    # s^2 = (0.02^2 + 0.01^2 + 0 + 0.03^2) / 3, over 4 clips; the bass has half of it, so the mean has three quarters.
    se = np.sqrt((0.0004 + 0.0001 + 0.0009) / 3 / 4)
    assert [row["se"] for row in (drums, bass, both)] == pytest.approx([se, se / 2, 0.75 * se])
    assert drums["ci_low"] < 0.03 < drums["ci_high"]
    live = value(table, metric="live", track="all")
    assert (
        live["se"] == 0 and np.isnan(live["ci_low"]) and np.isnan(live["ci_high"])
    )  # all stems are live, so there is no spread


def test_every_pair_is_compared_under_every_key():
    lates = np.linspace(0.01, 0.05, 8)
    samples = pd.concat([samples_of("a", lates), samples_of("b", lates + 0.1), samples_of("noise", lates)])
    table = tables.comparison_table(samples)
    assert list(table.columns) == COMPARISON_COLUMNS
    drums = table[(table["metric"] == "irs") & (table["track"] == "drums")].set_index(["model_a", "model_b"])
    assert drums.index.tolist() == [("a", "b"), ("a", "noise"), ("b", "noise")] and not drums["paired"].any()
    assert drums["difference"].tolist() == pytest.approx([-0.1, 0, 0.1])
    assert drums.loc[("a", "b"), "p_adjusted"] == 3 * drums["p"].min() < 0.05 < drums.loc[("a", "noise"), "p_adjusted"]
    assert drums.loc[("a", "b"), "ci_high"] < 0 < drums.loc[("b", "noise"), "ci_low"]
    all_stems = table[(table["metric"] == "irs") & (table["track"] == "all")]
    assert all_stems["difference"].tolist() == pytest.approx([-0.075, 0, 0.075])
    shuffled = samples.sample(frac=1, random_state=0).sort_values("model", kind="stable")
    pd.testing.assert_frame_equal(
        tables.comparison_table(shuffled).sort_values(COMPARISON_COLUMNS, ignore_index=True),
        table.sort_values(COMPARISON_COLUMNS, ignore_index=True),
    )


def test_arrangements_of_the_same_given_stems_pair_up():
    lates = np.linspace(0.01, 0.05, 8)
    near = lates + 0.001 * np.array([1, 2, 1, 2, 1, 2, 1, 2])
    for task, paired in (("total", False), ("arrangement", True)):
        table = tables.comparison_table(
            pd.concat([samples_of("a", lates, task=task), samples_of("b", near, task=task)])
        )
        found = value(table, metric="irs", track="drums")
        assert found["paired"] == paired and (found["p"] < 0.05) == paired


def test_ranks_are_among_the_given_models_and_shared_within_chance():
    table = pd.DataFrame(
        [
            {"model": model, "metric": "irs", "task": "total", "track": "all", "value": value}
            for model, value in (("a", 0.3), ("b", 0.2), ("c", 0.1), ("d", np.nan))
        ]
    ).reindex(columns=SCORE_COLUMNS)
    pairs = [
        ("a", "b", 0.1, 0.2),
        ("a", "c", 0.2, 0.001),
        ("b", "c", 0.1, 0.3),
        ("a", "d", np.nan, np.nan),
        ("c", "noise", -0.2, 0.001),
    ]
    comparisons = pd.DataFrame(
        [
            {
                "metric": "irs",
                "task": "total",
                "track": "all",
                "model_a": a,
                "model_b": b,
                "difference": difference,
                "p_adjusted": p,
            }
            for a, b, difference, p in pairs
        ]
    )
    comparisons = comparisons.reindex(columns=COMPARISON_COLUMNS)
    assert tables.rank(table, comparisons).tolist()[:3] == [2, 1, 1] and np.isnan(tables.rank(table, comparisons)[3])
    assert tables.rank(table, comparisons.iloc[:0]).isna().all()  # nothing was compared
    assert (
        tables.rank(table.assign(metric="live"), comparisons.assign(metric="live")).isna().all()
    )  # neither side is better


def clips_of(model, values, task="arrangement"):
    """Return a sample table of CBS, with NaN for clips without a value."""
    rows = [
        {
            "task": task,
            "model": model,
            "suite": "band",
            "metric": "cbs",
            "version": "1",
            "track": "all",
            "sample": f"{i:05d}",
            "value": clip,
        }
        for i, clip in enumerate(values)
    ]
    texts = dict.fromkeys(("given", "reference", "timebase", "embedding"), "")
    return pd.DataFrame(rows).assign(**texts).reindex(columns=SAMPLE_COLUMNS)


def ranks_of(samples):
    """Return {model: rank} for sample tables of one key."""
    samples = pd.concat(samples, ignore_index=True)
    table = tables.score_table(samples, samples["sample"].nunique())
    return dict(zip(table["model"], tables.rank(table, tables.comparison_table(samples))))


def test_ranks_use_the_clips_that_were_compared():
    # On common clips, a has .60 and b .66, alternately a little more or less; on the hard ones, b has .10, a none.
    jitter = 0.001 * np.array([1, -1] * 5)
    a, b = np.r_[np.full(10, np.nan), np.full(10, 0.60)], np.r_[np.full(10, 0.10), 0.66 + jitter]
    held = [clips_of("a", a), clips_of("b", b)]
    table = tables.comparison_table(pd.concat(held))
    assert table["difference"].item() == pytest.approx(-0.06) and table["p_adjusted"].item() < 0.001
    assert np.nanmean(a) > b.mean()  # the scores are in the opposite order
    assert ranks_of(held) == {"a": 2, "b": 1} == ranks_of(held[::-1])


@pytest.mark.parametrize("task", ["total", "arrangement"])
def test_models_without_a_test_have_no_rank(task):
    assert [np.isnan(rank) for rank in ranks_of([clips_of("a", [0.2], task), clips_of("b", [0.8], task)]).values()] == [
        True
    ] * 2
    # c has only one clip with a value, so the spread of its clips is unknown.
    three = [
        clips_of("a", [0.2, 0.21, 0.2, 0.21, 0.2, 0.21], task),
        clips_of("b", [0.8, 0.8, 0.81, 0.81, 0.8, 0.8], task),
        clips_of("c", [0.9, *[np.nan] * 5], task),
    ]
    found = ranks_of(three)
    assert (found["a"], found["b"]) == (2, 1) and np.isnan(found["c"])


def test_an_unknown_timebase_is_damage(tmp_path):
    table = tables.score_table(samples_of("m", [0.01, 0.02]), 2)
    run_folder(tmp_path).write_table("scores.csv", table.assign(timebase="unreal"))
    with pytest.raises(UsageError, match="scores.csv: damaged: column timebase contains 'unreal'"):
        load_run(tmp_path)


def test_the_timebase_real_was_once_called_true(tmp_path):
    table = tables.score_table(samples_of("m", [0.01, 0.02]), 2)
    old = table.assign(timebase=table["timebase"].replace("real", "true"))
    run_folder(tmp_path).write_table("scores.csv", old)
    assert set(load_run(tmp_path).scores["timebase"]) == {"", "real"}  # shares of clipped samples have no timebase
    # If the column has only the old name, pandas would read it as a boolean, which is not equal to any string.
    only = old[old["timebase"] == "true"]
    run_folder(tmp_path).write_table("scores.csv", only)
    scores = load_run(tmp_path).scores
    assert len(scores[scores["timebase"] == "real"]) == len(only) > 0


def test_old_and_single_runs_read(tmp_path):
    folder = run_folder(tmp_path)
    table = tables.score_table(samples_of("m", [0.01, 0.02]), 2)
    folder.write_table("scores.csv", table.drop(columns="se"))
    run = load_run(tmp_path)
    assert run.scores["se"].isna().all() and list(run.scores.columns) == SCORE_COLUMNS
    assert run.comparisons.empty and run.samples is None and run.failures is None
    folder.write_table("comparisons.csv", tables.comparison_table(samples_of("m", [0.01, 0.02])))
    assert load_run(tmp_path).comparisons.empty
    two = tables.comparison_table(pd.concat([samples_of("m", [0.01, 0.02]), samples_of("1", [0.01, 0.03])]))
    folder.write_table("comparisons.csv", two)
    assert load_run(tmp_path).comparisons["model_b"].unique().tolist() == ["1"]  # a name, not a number


def run_folder(path):
    """Write a run folder with everything except its tables."""
    folder = RunFolder(path)
    folder.write_yaml("run.yaml", {"config": {}, "models": {}, "versions": {}, "git_commit": None})
    return folder
