"""The Python API: run, evaluate, load and compare; tables and figures of a Result."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

import mtbench
from conftest import STEMS, clicks, write_clips
from mtbench import cli
from mtbench.errors import UsageError
from mtbench.results.keys import COMPARISON_COLUMNS, SAMPLE_COLUMNS, SCORE_COLUMNS
from site_runs import make_run

SETTING = {"fps": 100, "window": 0.15, "timebase": "real", "progress": False}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "demo", audio=False)


def value(scores, model, metric, track="all"):
    row = scores[(scores["model"] == model) & (scores["metric"] == metric) & (scores["track"] == track)]
    return row["value"].item()


def test_importing_mtbench_imports_no_large_package():
    script = (
        "import sys, mtbench\n"
        "print(sorted({'pandas', 'numpy', 'torch', 'typer'} & set(sys.modules)))\n"
        "print(dir(mtbench))"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy, names = process.stdout.splitlines()
    assert heavy == "[]"
    assert names == "['Comparison', 'Result', '__version__', 'compare', 'evaluate', 'load', 'run']"
    with pytest.raises(AttributeError, match="module 'mtbench' has no attribute 'lode'"):
        _ = mtbench.lode


def test_a_finished_run_is_read_back(run):
    result = mtbench.load(run)
    assert result.folder == run and list(result.scores.columns) == SCORE_COLUMNS
    assert list(result.comparisons.columns) == COMPARISON_COLUMNS
    assert list(result.samples.columns) == SAMPLE_COLUMNS and len(result.samples) > 0
    fad = result.scores[(result.scores["metric"] == "fad") & (result.scores["track"] == "mixture")]
    assert dict(zip(fad["model"], fad["value"])) == {
        "alpha": 2.0,
        "beta": 4.0,
        "gamma": 5.0,
        "heldout": 1.0,
        "noise": 90.0,
    }
    assert repr(result) == f"Result in {run}: {len(result.scores)} scores of alpha, beta, gamma, heldout, noise"
    beats = result.beats
    assert set(beats["model"]) == {"alpha", "beta", "gamma", "heldout", "noise"} and set(beats["task"]) == {"total"}
    assert {"sample", "track", "fps", "transition_lambda", "timebase", "time", "position"} < set(beats.columns)


def test_a_folder_that_is_not_a_run_is_named(tmp_path, run):
    with pytest.raises(UsageError, match="no scores.csv"):
        mtbench.load(tmp_path)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for name in ("run.yaml", "scores.csv"):
        (damaged / name).write_bytes((run / name).read_bytes())
    kept_scores_only = mtbench.load(damaged)
    with pytest.raises(UsageError, match="no samples.csv found, so the scores of single clips are not available"):
        _ = kept_scores_only.samples
    with pytest.raises(UsageError, match="no beats in this run folder"):
        _ = kept_scores_only.beats
    with pytest.raises(UsageError, match="no samples.csv found in the run folder"):
        kept_scores_only.plot("distributions")
    pd.read_csv(run / "scores.csv").assign(value="much").to_csv(damaged / "scores.csv", index=False)
    with pytest.raises(UsageError, match="scores.csv: damaged: column value contains a non-numeric value"):
        mtbench.load(damaged)


def test_the_summary_has_one_row_per_model(run):
    """The values are those of `make_run`: FAD, FAD / 100 s, 1 / (1 + FAD) + window, FAD / 100."""
    values = pd.read_csv(pd.io.common.StringIO(mtbench.load(run).table("csv")))
    assert set(values["table"]) == {"Summary"}
    alpha = values[values["row"] == "alpha"].set_index("column")["value"]
    assert alpha.to_dict() == pytest.approx(
        {"FAD mixture ↓": 2.0, "IRS (s) ↓": 0.02, "CBS ↑": 1 / 3 + 0.15, "CBD mean ↓": 0.02}
    )
    assert values["row"].drop_duplicates().tolist() == ["alpha", "beta (synthetic songs)", "gamma", "heldout", "noise"]
    ranks = values[values["column"] == "FAD mixture ↓"].set_index("row")["rank"]
    assert (
        ranks[["alpha", "beta (synthetic songs)", "gamma"]].tolist() == [1, 2, 2]
        and ranks[["heldout", "noise"]].isna().all()
    )


def test_every_format_contains_the_table(run):
    result = mtbench.load(run)
    text, markdown, latex, html = (result.table(form) for form in ("text", "markdown", "latex", "html"))
    assert text.startswith("Summary (suite band; FAD with ") and str(result).startswith(text)
    lines = markdown.splitlines()
    assert lines[2].startswith("| model | FAD mixture ↓ | IRS (s) ↓ | CBS ↑ | CBD mean ↓ |")
    assert lines[3].startswith("| --- | ---: |") and lines[4].startswith("| alpha | 2.00 [1.80, 2.20] &#35;1 |")
    assert "model & FAD mixture $\\downarrow$ & IRS (s) $\\downarrow$ & CBS $\\uparrow$" in latex
    assert "alpha & 2.00 [1.80, 2.20] \\#1 &" in latex and latex.count("\\begin{tabular}") == 1
    assert (
        '<th scope="row">alpha</th><td style="white-space: nowrap">2.00 [1.80, 2.20] #1</td>' in html
        and result._repr_html_() == html
    )
    records = json.loads(result.table("json"))
    (fad,) = (record for record in records if record["row"] == "noise" and record["column"] == "FAD mixture ↓")
    assert fad["value"] == 90.0 and fad["rank"] is None
    with pytest.raises(UsageError, match="unknown format 'txt'. Did you mean 'text'"):
        result.table("txt")


def test_text_from_outside_is_escaped_in_every_format(run):
    result = mtbench.load(run)
    scores = result.scores.replace({"suite": {"band": "a&b_<i>[x](http://evil)|"}})
    result = replace(result, tables=replace(result.tables, scores=scores))
    assert "a&amp;b_&lt;i&gt;" in result.table("html") and "<i>" not in result.table("html")
    assert "a\\&b\\_$<$i$>$" in result.table("latex")
    assert "a&#38;b&#95;&#60;i&#62;[x]&#40;http" in result.table("markdown")
    assert "evil)&#124;" in result.table("markdown")


def test_show_prints_what_the_result_prints(run):
    result = mtbench.load(run)
    for form in ("markdown", "latex", "csv", "json", "html"):
        shown = CliRunner().invoke(cli.app, ["show", str(run), "--format", form, "--full"])
        assert shown.exit_code == 0 and shown.stdout == result.table(form, full=True)
    shown = CliRunner().invoke(cli.app, ["show", str(run)], env={"COLUMNS": "200"})
    assert shown.exit_code == 0 and "Summary" in shown.stdout and "2.00 [1.80, 2.20] #1" in shown.stdout
    assert result.table(full=True).count("Sensitivity of") == 3


@pytest.mark.parametrize("kind", ["intervals", "scatter", "distributions", "sensitivity"])
def test_every_plot_shows_the_models(run, kind, tmp_path):
    figure = mtbench.load(run).plot(kind)
    legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]
    words = {text.get_text() for legend in legends for text in legend.get_texts()}
    words |= {label.get_text() for ax in figure.axes for label in ax.get_yticklabels()}
    assert {"alpha", "beta (synthetic songs)", "gamma", "heldout", "noise"} <= words
    out = tmp_path / f"{kind}.svg"
    drawn = CliRunner().invoke(cli.app, ["plot", str(run), "--kind", kind, "--out", str(out)])
    assert drawn.exit_code == 0 and out.read_text().startswith("<?xml")


def test_a_plot_draws_scores_and_intervals(run):
    result = mtbench.load(run)
    (ax,) = result.plot("scatter").axes
    points = {line.get_label(): line for line in ax.containers}
    x, y = (points["alpha"].lines[0].get_data()[i][0] for i in (0, 1))
    assert (x, y) == pytest.approx((2.0, 1 / 3 + 0.15))
    low, high = points["alpha"].lines[2][0].get_segments()[0][:, 0]
    assert (low, high) == pytest.approx((1.8, 2.2))
    with pytest.raises(UsageError, match="unknown kind of plot 'scater'. Did you mean 'scatter'"):
        result.plot("scater")
    with pytest.raises(UsageError, match="no scores for the given stems 'bass'"):
        result.plot("intervals", given="bass")


def test_a_run_is_compared_with_another(run, tmp_path):
    """The FAD of beta falls from 4 to 2; that of alpha stays the same. The seed is the same, so clips are paired."""
    levels = {"alpha": 2.0, "beta": 2.0, "gamma": 5.0, "heldout": 1.0, "noise": 90.0}
    after = make_run(tmp_path / "after", levels, audio=False)
    comparison = mtbench.compare(run, after)
    table = comparison.differences.set_index(["model_b", "metric"])
    assert set(comparison.differences["model_a"]) == {"alpha", "beta", "gamma"}
    cbd = table.loc["beta", "cbd_mean"]
    # Samples are FAD / 100 (1 + i / 10), i = 0 ... 3: their mean is 1.15 times the score, in both runs.
    assert cbd["value_a"] == pytest.approx(0.04) and cbd["value_b"] == pytest.approx(0.02)
    assert cbd["difference"] == pytest.approx(-0.02 * 1.15) and bool(cbd["paired"])
    assert cbd["ci_low"] < cbd["difference"] < cbd["ci_high"] < 0 and cbd["verdict"] == "better"
    assert table.loc["alpha", "cbd_mean"]["difference"] == 0 and table.loc["alpha", "cbd_mean"]["verdict"] == "equal"
    shown = CliRunner().invoke(cli.app, ["compare", str(run), str(after)], env={"COLUMNS": "200"})
    assert shown.exit_code == 0 and "better" in shown.stdout
    assert comparison._repr_html_().startswith("<table>") and "beta" in str(comparison)
    csv = CliRunner().invoke(cli.app, ["compare", str(run), str(after), "--format", "csv"])
    assert csv.stdout == comparison.table("csv")


def test_runs_without_clips_are_compared_by_their_standard_errors(run, tmp_path):
    """alpha has FAD 2 and delta has FAD 3, each from 4 clips and with a standard error of FAD / 20."""
    other = make_run(tmp_path / "other", {"delta": 3.0, "heldout": 1.0, "noise": 90.0}, audio=False)
    one = make_run(tmp_path / "one", {"alpha": 2.0, "heldout": 1.0, "noise": 90.0}, audio=False)
    for folder in (other, one):
        (folder / "samples.csv").unlink()
    comparison = mtbench.compare(one, other)
    assert set(zip(comparison.differences["model_a"], comparison.differences["model_b"])) == {("alpha", "delta")}
    fad = comparison.differences.set_index("metric").loc["fad"]
    a, b = (mtbench.load(folder).scores for folder in (one, other))
    errors = [
        scores[(scores["model"] == model) & (scores["metric"] == "fad") & (scores["track"] == "mixture")]["se"].item()
        for scores, model in ((a, "alpha"), (b, "delta"))
    ]
    from scipy.stats import ttest_ind_from_stats

    peer = ttest_ind_from_stats(3.0, errors[1] * 2, 4, 2.0, errors[0] * 2, 4, equal_var=False)
    assert fad["difference"] == pytest.approx(1.0) and fad["p"] == pytest.approx(peer.pvalue)


def test_runs_that_cannot_be_compared_are_refused(run, tmp_path):
    other = make_run(tmp_path / "other", audio=False, suite="slakh2100/test")
    with pytest.raises(UsageError, match=r"no score in common: their suite differs \(band and slakh2100/test\)"):
        mtbench.compare(run, other)
    strange = make_run(tmp_path / "strange", {"delta": 1.0, "epsilon": 2.0}, audio=False)
    with pytest.raises(UsageError, match="no model in common: alpha, beta, gamma and delta, epsilon"):
        mtbench.compare(run, strange)


@pytest.fixture(scope="module")
def stems(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("audio") / "mine", ["a", "b", "c"])


def test_a_folder_and_its_arrays_get_the_same_scores(stems, suite_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    of_folder = mtbench.evaluate(stems, f"folder:{suite_folder}", **SETTING)
    clips = {
        clip: {stem: soundfile.read(stems / stem / f"{clip}.wav", dtype="int16")[0] for stem in STEMS}
        for clip in ("a", "b", "c")
    }
    of_arrays = mtbench.evaluate(clips, f"folder:{suite_folder}", sample_rate=16000, name="mine", **SETTING)
    pd.testing.assert_frame_equal(of_folder.scores, of_arrays.scores)
    pd.testing.assert_frame_equal(of_folder.beats, of_arrays.beats)
    assert list(dict.fromkeys(of_folder.scores["model"])) == ["mine", "heldout", "noise"]
    assert set(of_folder.scores["n"]) == {3} and of_folder.folder is None
    assert list(tmp_path.iterdir()) == []  # nothing is written unless `out` is given
    floats = {clip: {stem: wave / 32768 for stem, wave in of_clip.items()} for clip, of_clip in clips.items()}
    stereo = {clip: {stem: np.stack([w, w], axis=1) for stem, w in of_clip.items()} for clip, of_clip in floats.items()}
    again = mtbench.evaluate(stereo, f"folder:{suite_folder}", sample_rate=16000, name="mine", **SETTING)
    pd.testing.assert_frame_equal(of_folder.scores, again.scores)


def test_an_evaluation_is_written_to_out(stems, tmp_path):
    kept = mtbench.evaluate(stems, out=tmp_path / "kept", **SETTING)
    loaded = mtbench.load(tmp_path / "kept")
    assert kept.folder == loaded.folder
    pd.testing.assert_frame_equal(kept.scores, loaded.scores)
    pd.testing.assert_frame_equal(kept.beats, loaded.beats, check_dtype=False)
    assert set(kept.scores["model"]) == {"mine"} and "fad" not in set(kept.scores["metric"])  # no reference


def test_several_folders_are_several_rows(stems, tmp_path):
    other = write_clips(tmp_path / "other", ["x", "y"], seconds=4.0)
    result = mtbench.evaluate([stems, str(other)], **SETTING)
    assert list(dict.fromkeys(result.scores["model"])) == ["mine", "other"]
    assert {("mine", "other")} == set(zip(result.comparisons["model_a"], result.comparisons["model_b"]))
    with pytest.raises(UsageError, match="two of the sources are named 'mine'; rename one"):
        mtbench.evaluate([stems, stems], **SETTING)


def test_an_unreadable_source_among_others_is_named(stems, tmp_path):
    broken = write_clips(tmp_path / "broken", ["x"], seconds=1.0)
    (broken / "bass" / "x.wav").write_text("not audio")
    result = mtbench.evaluate([stems, broken], **SETTING)
    assert set(result.scores["model"]) == {"mine"}
    assert len(result.failed) == 1 and result.failed[0].startswith("broken: 0 of 1 clips could be scored; first error:")


def test_the_controls_of_an_evaluation_are_those_of_a_run(suite_folder, tmp_path):
    ran = mtbench.run("noise", suite=f"folder:{suite_folder}", n=3, out=tmp_path / "run", **SETTING)
    mine = write_clips(tmp_path / "mine", ["a", "b", "c"])
    evaluated = mtbench.evaluate(mine, f"folder:{suite_folder}", **SETTING)
    for control in ("heldout", "noise"):
        ours, theirs = (
            result.scores[result.scores["model"] == control].reset_index(drop=True) for result in (ran, evaluated)
        )
        pd.testing.assert_frame_equal(ours, theirs)
    more = write_clips(tmp_path / "more", [f"{i}" for i in range(5)], seconds=2.0)
    notices = mtbench.evaluate(more, f"folder:{suite_folder}", **SETTING).notices
    assert any(notice.startswith("the control 'heldout' has 4 clips instead of 5") for notice in notices)


@pytest.mark.parametrize(
    "arguments, options, said",
    [
        (({"a": {}},), {"sample_rate": 16000}, "clip 'a': expected a mapping .* got no stems"),
        (
            ({"a": {"bass": [0.0], "oud": [0.0]}, "b": {"bass": [0.0]}},),
            {"sample_rate": 16000},
            "clip 'b': expected the stems bass, oud, got bass",
        ),
        (({"a": {"bass": [0.0]}, "b": {"oud": [0.0]}},), {"sample_rate": 16000}, "expected the stems bass, got oud"),
        (({"a": {"bass": [0.0]}},), {"sample_rate": 16000, "stem_names": ["oud"]}, "the stems oud, got bass"),
        (({"a": {"bass": [0.0], "Bass": [0.0]}},), {"sample_rate": 16000}, "must have different names"),
        (({"a": {"all": [0.0]}},), {"sample_rate": 16000}, "not 'all' or 'generated' .got 'all'"),
        (({"a": {"mixture": [0.0]}},), {"sample_rate": 16000}, "mixtures without stems, .* use --reference"),
        (("absent",), {"stem_names": ["bass", "BASS"]}, "the stems to score must have different names"),
        (({},), {"sample_rate": 16000}, "there are no clips to score"),
        (([],), {}, "there are no folders to score"),
        (("absent",), {}, "absent: no such folder"),
        (("absent",), {"sample_rate": 16000}, "sample_rate is only for arrays"),
        (({"a": dict.fromkeys(STEMS, np.zeros(9))},), {}, "sample_rate is missing"),
        (
            ({"a": dict.fromkeys(STEMS, np.zeros(9))},),
            {"sample_rate": 0},
            "sample_rate must be a positive whole number",
        ),
        (({"a": dict.fromkeys(STEMS, np.zeros((2, 9)))},), {"sample_rate": 8000}, "more channels than samples"),
        (({"a": dict.fromkeys(STEMS, np.zeros(0))},), {"sample_rate": 8000}, r"'a', bass: .* got shape \[0\]"),
        (({"a": dict.fromkeys(STEMS, np.zeros(9, int))},), {"sample_rate": 8000}, "floating-point samples or int16"),
        (({"a": dict.fromkeys(STEMS, np.full(9, np.nan))},), {"sample_rate": 8000}, "contains NaN or infinite"),
        (
            ({"a": dict.fromkeys(STEMS, np.zeros(9))},),
            {"sample_rate": 8000, "name": "noise"},
            "'noise' is not a valid row name",
        ),
        (("absent",), {"fps": 5}, r"fps must be at least 10 \(got 5\)"),
        (("absent",), {"timebase": ["real", "unreal"]}, "timebase must be 'real' or 'published'"),
        (("absent",), {"embedding": "vggish"}, "embedding needs reference"),
        (("absent",), {"device": "abacus"}, "device 'abacus' cannot be used here; available: cpu"),
    ],
)
def test_invalid_arguments_of_evaluate_are_named(arguments, options, said):
    with pytest.raises(UsageError, match=said):
        mtbench.evaluate(*arguments, progress=False, **options)


def test_invalid_arguments_of_run_are_named(tmp_path):
    for options, said in (
        ({}, "nothing to run: pass models or config"),
        ({"models": "noise", "n": 0}, r"n must be at least 1 \(got 0\)"),
        ({"models": ["noise", "noise"]}, "models: 'noise' is used twice"),
        ({"models": [{"name": "noise", "lable": "x"}]}, "models: unknown key 'lable'. Did you mean 'label'"),
        ({"models": "synctrak"}, "unknown model 'synctrak'. Did you mean 'synctrack'"),
    ):
        with pytest.raises(UsageError, match=said):
            mtbench.run(**options, out=tmp_path / "run", progress=False)


def test_numpy_numbers_are_accepted(stems):
    settings = {
        **SETTING,
        "fps": np.array([100]),
        "window": np.linspace(0.1, 0.2, 3),
        "transition_lambda": np.float32(50),
    }
    scores = mtbench.evaluate(stems, **settings).scores
    assert sorted(scores["window"].dropna().unique()) == pytest.approx([0.1, 0.15, 0.2])
    assert set(scores["transition_lambda"].dropna()) == {50.0}


def test_the_device_is_passed_to_the_beat_networks(tmp_path, monkeypatch):
    """tests/test_beats_many.py compares the networks in torch with the usual ones on the CPU."""
    from mtbench.analysis import Request, analyse, clip_of_arrays
    from mtbench.beats import activations
    from mtbench.cache import Cache
    from mtbench.settings import Decode

    asked = []

    def spied(waves, rate, device):
        asked.append(device)
        return activations(waves, rate)

    monkeypatch.setattr("mtbench.beats.activations", spied)
    clip = clip_of_arrays("a", dict.fromkeys(STEMS, clicks(120, 2.0)), 16000, 16000, None)
    request = Request(16000, [Decode(100, 100, "real")], device="cuda:1")
    (analysis,) = analyse([clip], request, Cache(tmp_path))
    assert asked == ["cuda:1"] and len(analysis.beats) == 1 and not analysis.error


def test_light_commands_import_no_heavy_packages(run):
    """show, compare, site and check BASELINE RUN import neither torch, Numba, madmom nor matplotlib."""
    script = f"""
import sys
from typer.testing import CliRunner
from mtbench.cli import app

def mtbench(*arguments):
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output

mtbench("show", {str(run)!r}, "--full")
mtbench("compare", {str(run)!r}, {str(run)!r})
mtbench("site", {str(run)!r}, "--out", {str(run.parent / "site")!r})
mtbench("check", {str(run.parent / "baseline.json")!r}, {str(run)!r}, "--update")
mtbench("check", {str(run.parent / "baseline.json")!r}, {str(run)!r})
print(sorted({{"torch", "numba", "madmom", "matplotlib", "seaborn"}} & set(sys.modules)))
"""
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip().splitlines()[-1] == "[]"


def test_a_cache_that_cannot_be_written_is_named(stems, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MTBENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UsageError, match="cache: cannot be written to .*set MTBENCH_CACHE"):
        mtbench.evaluate(stems, **SETTING)


SILENCE = np.zeros(160, np.float32)


@pytest.mark.parametrize(
    "stems, options, said",
    [
        (None, {}, r"expected a folder of stems, a list of folders, or arrays .* \(got NoneType\)"),
        ([1], {}, r"expected a folder of stems.* \(got list\)"),
        (SILENCE, {"sample_rate": 16000}, r"expected a folder of stems.* \(got ndarray\)"),
        ({"a": dict.fromkeys(STEMS, SILENCE)}, {"sample_rate": True}, "sample_rate must be a positive whole number"),
        ({"a": dict.fromkeys(STEMS, SILENCE)}, {"sample_rate": 16}, r"from 1000 to 768000 Hz \(got 16\)"),
        ({"a": dict.fromkeys(STEMS, SILENCE)}, {"sample_rate": 16000, "name": 5.5 + 2j}, "not a valid row name"),
        ({"a": {stem: [[0.0], [0.0, 1.0]] for stem in STEMS}}, {"sample_rate": 16000}, "clip 'a', bass: not an array"),
        ({"a": dict.fromkeys(STEMS, np.full(9, 1e300))}, {"sample_rate": 16000}, "contains NaN or infinite samples"),
        (dict.fromkeys((0, "0"), dict.fromkeys(STEMS, SILENCE)), {"sample_rate": 16000}, "two clips are named '0'"),
    ],
)
def test_values_that_are_not_stems_are_named(stems, options, said):
    with pytest.raises(UsageError, match=said):
        mtbench.evaluate(stems, progress=False, **options)


def test_values_that_are_not_runs_are_named(run):
    for wrong in (None, 5, b"runs"):
        with pytest.raises(UsageError, match=f"expected a run folder .got {type(wrong).__name__}"):
            mtbench.load(wrong)
        with pytest.raises(UsageError, match="expected a run folder"):
            mtbench.compare(run, wrong)
    with pytest.raises(UsageError, match="config must be a YAML file .got dict"):
        mtbench.run(config={})
    with pytest.raises(UsageError, match="models: must name at least one model"):
        mtbench.run([])
    with pytest.raises(UsageError, match="models must consist of letters, digits"):
        mtbench.run("noise,msdm")
    with pytest.raises(UsageError, match="no stems were given in this run"):
        mtbench.load(run).plot(given="none")


def test_arrays_beyond_full_scale_are_noted():
    loud = {"a": {"bass": np.float32(8000 * [0.5, 1000, -1000, 1.0]), "drums": clicks(120, 2.0)}}
    (notice,) = mtbench.evaluate(loud, sample_rate=16000, **SETTING).notices
    assert notice == "stems: 1 stem has samples beyond full scale (1.0), which are saturated (a, bass: 50%)"


def test_a_folder_keeps_the_results_of_one_kind(stems, suite_folder, tmp_path):
    other = write_clips(tmp_path / "other", ["x", "y"], seconds=2.0)
    for folder in (stems, other):
        result = mtbench.evaluate(folder, out=tmp_path / "out", **SETTING)
    # The beats of the first evaluation are still there, but they are not those of the scores.
    assert set(mtbench.load(tmp_path / "out").beats["model"]) == set(result.beats["model"]) == {"other"}
    with pytest.raises(UsageError, match="out contains an evaluation, whose scores would be overwritten"):
        mtbench.run("noise", suite=f"folder:{suite_folder}", n=1, out=tmp_path / "out", **SETTING)
    with pytest.raises(UsageError, match="other is a folder of stems to score; choose another --out"):
        mtbench.evaluate(other, out=other, **SETTING)


def test_a_path_is_a_reference(stems, suite_folder):
    by_path = mtbench.evaluate(stems, suite_folder, **SETTING)
    pd.testing.assert_frame_equal(by_path.scores, mtbench.evaluate(stems, f"folder:{suite_folder}", **SETTING).scores)


def test_committed_scores_without_clips_are_compared_by_their_standard_errors(run, tmp_path):
    """Only the standard settings keep their clips, as under results/."""
    kept = make_run(tmp_path / "kept", audio=False)
    samples = pd.read_csv(kept / "samples.csv")
    samples[samples["fps"].isna() | (samples["fps"] == 100)].to_csv(kept / "samples.csv", index=False)
    differences = mtbench.compare(kept, kept, full=True).differences
    assert set(differences["fps"].dropna()) == {100, 150} and set(differences["verdict"]) == {"equal"}
