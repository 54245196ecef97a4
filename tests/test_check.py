"""The gate: verdicts on made-up scores that can be computed by hand, and regressions introduced into real audio."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import yaml
from scipy.signal import resample_poly
from typer.testing import CliRunner

from mtbench import audio, beats, cli, gate
from mtbench.analysis import Analysis
from mtbench.config import validate
from mtbench.errors import UsageError
from mtbench.metrics.intonation import tuning
from mtbench.registry import open_embedding
from mtbench.results.keys import COMPARISON_COLUMNS, SAMPLE_COLUMNS, SCORE_COLUMNS
from mtbench.results.load import FinishedRun
from mtbench.results.tables import Origin, Reference, fad_tables, pool, sample_table, score_table
from mtbench.settings import Decode
from mtbench.suites import band

CONFIG = validate({"models": ["m"], "n": 4}, "test")
TOLERANCES = {"irs": (0.01, 0.0), "cbs": (0.0, 0.1), "fad": (0.0, 0.1), "live": (0.02, 0.0)}


def row(metric, value, model="m", track="all", fps=100.0, window=np.nan, timebase="real", embedding="", **more):
    cells = {
        "task": "total",
        "given": "",
        "model": model,
        "suite": "band",
        "reference": "",
        "metric": metric,
        "version": "1",
        "track": track,
        "fps": fps,
        "transition_lambda": 100.0 if fps == fps else np.nan,
        "window": window,
        "timebase": timebase,
        "embedding": embedding,
        "value": value,
        "n": 4,
        "n_scored": 4,
        "se": 0.0,
    } | more
    return {column: cells.get(column, np.nan) for column in SCORE_COLUMNS}


def fad_row(value, **more):
    return row(
        "fad", value, **{"track": "mixture", "fps": np.nan, "timebase": "", "embedding": "log-mel-stats@1"} | more
    )


def table(*rows):
    return pd.DataFrame(rows, columns=SCORE_COLUMNS)


def baseline_of(*rows, clips=None, **more):
    fields = {
        "config": CONFIG,
        "models": {},
        "error_rate": 0.01,
        "tolerances": TOLERANCES,
        "scores": table(*rows).assign(clips=pd.Series([clips] * len(rows), dtype=object)),
    }
    return gate.Baseline(**fields | more)


def finished(scores, samples=None, models=None, **record):
    """Return a finished run as read from its folder."""
    record = {"config": CONFIG.model_dump(mode="json"), "models": models or {}} | record
    return FinishedRun(record, scores, pd.DataFrame(columns=COMPARISON_COLUMNS), samples, None, Path("run"))


def compared(baseline_rows, run_rows):
    return gate.compare(baseline_of(*baseline_rows), table(*run_rows))


def verdicts(baseline_rows, run_rows):
    return compared(baseline_rows, run_rows)["verdict"].tolist()


def sample_rows(values, metric="irs", track="all", window=np.nan):
    rows = [row(metric, value, track=track, window=window) | {"sample": f"{i:05d}"} for i, value in enumerate(values)]
    return pd.DataFrame(rows)[SAMPLE_COLUMNS]


@pytest.mark.parametrize(
    "metric, was, now, verdict",
    [
        ("irs", 0.02, 0.029, "ok"),
        ("irs", 0.02, 0.031, "worse"),
        ("irs", 0.02, 0.009, "better"),  # lower is better, 0.01 is tolerated
        ("cbs", 0.50, 0.46, "ok"),
        ("cbs", 0.50, 0.44, "worse"),
        ("cbs", 0.50, 0.56, "better"),  # higher is better, 10 % is tolerated
        ("live", 1.0, 0.99, "ok"),
        ("live", 1.0, 0.5, "moved"),
        ("live", 0.5, 1.0, "moved"),  # no direction
    ],
)
def test_directions_and_tolerances(metric, was, now, verdict):
    # With standard errors of 0, any difference is more than chance.
    window = 0.15 if metric == "cbs" else np.nan
    assert verdicts([row(metric, was, window=window)], [row(metric, now, window=window)]) == [verdict]


def test_p_is_welchs():
    random = np.random.default_rng(0)
    was, now = random.gamma(2, 0.02, 20), random.gamma(2, 0.03, 12)
    rows = [row("irs", clips.mean(), se=scipy.stats.sem(clips), n_scored=len(clips)) for clips in (was, now)]
    expected = scipy.stats.ttest_ind(now, was, equal_var=False, alternative="greater").pvalue
    assert compared(rows[:1], rows[1:])["p"].item() == pytest.approx(expected)
    live = [row("live", score["value"], se=score["se"], n_scored=score["n_scored"], track="drums") for score in rows]
    expected = scipy.stats.ttest_ind(now, was, equal_var=False).pvalue  # two-sided if there is no direction
    assert compared(live[:1], live[1:])["p"].item() == pytest.approx(expected)


def test_p_is_paired_if_the_samples_correspond():
    random = np.random.default_rng(1)
    was = random.gamma(2, 0.02, 20)
    now = was + 0.002 + 0.001 * random.standard_normal(20)  # small compared with the spread of the clips
    now[3] = np.nan
    rows = [
        row("irs", np.nanmean(v), se=scipy.stats.sem(v, nan_policy="omit"), n=20, n_scored=(~np.isnan(v)).sum())
        for v in (was, now)
    ]
    baseline = baseline_of(rows[0], clips=was.tolist())
    expected = scipy.stats.ttest_rel(now, was, alternative="greater", nan_policy="omit").pvalue
    samples = sample_rows(now)
    result = gate.compare(baseline, table(rows[1]), samples, same_seed=True)
    assert result["p"].item() == pytest.approx(expected) and result["paired"].item()
    apart = gate.compare(baseline, table(rows[1]), samples, same_seed=False)
    assert apart["p"].item() > 0.1 and not apart["paired"].item()
    # The rows of samples.csv need not be in the order of the samples.
    shuffled = gate.compare(baseline, table(rows[1]), samples[::-1], same_seed=True)
    assert shuffled["p"].item() == pytest.approx(expected)


def test_in_arrangement_samples_are_paired_for_any_seed():
    given = {"given": "drums+piano", "task": "arrangement", "n": 3, "n_scored": 3}
    baseline = baseline_of(row("cbs", 0.5, window=0.15, se=0.1, **given), clips=[0.4, 0.5, 0.6])
    now = sample_rows([0.30, 0.41, 0.52], "cbs", window=0.15).assign(given="drums+piano", task="arrangement")
    result = gate.compare(baseline, table(row("cbs", 0.41, window=0.15, se=0.1, **given)), now)
    assert result["paired"].item()
    # Differences -.10, -.09, -.08: mean -.09, standard error .01 / sqrt 3.
    assert result["p"].item() == pytest.approx(scipy.stats.t.sf(9 * 3**0.5, 2))


def gaps(was, now):
    """Compare the one CBS of a baseline with clips `was` and of a run with clips `now`, same seed; NaN: no value."""
    rows = [
        row(
            "cbs",
            np.nanmean(v),
            window=0.15,
            se=scipy.stats.sem(v, nan_policy="omit"),
            n=len(v),
            n_scored=(~np.isnan(v)).sum(),
        )
        for v in (was, now)
    ]
    baseline = baseline_of(rows[0], clips=was.tolist())
    return gate.compare(baseline, table(rows[1]), sample_rows(now, "cbs", window=0.15), same_seed=True)


def test_lost_hard_clips_do_not_hide_a_fall():
    # Clips change from .10 and .60 to none and .50, alternately .01 more or less: the score rises from .35 to .50
    # although each clip falls by .10.
    jitter = 0.01 * np.array([1, -1] * 5)
    was, now = np.repeat([0.10, 0.60], 10), np.r_[np.full(10, np.nan), 0.50 + jitter]
    result = gaps(was, now)
    assert result["verdict"].item() == "worse" and result["paired"].item()
    # The displayed scores are unchanged.
    assert result[["baseline", "value"]].iloc[0].tolist() == pytest.approx([0.35, 0.50])
    assert result["difference"].item() == pytest.approx(-0.10)
    assert result["tolerated"].item() == pytest.approx(0.06)  # a tenth of .60, the value over the common clips
    assert result["p"].item() == pytest.approx(scipy.stats.ttest_rel(now[10:], was[10:], alternative="less").pvalue)
    advice = " ".join(gate.advice(gate.Outcome(result, 0.01)))
    assert "over the clips that have a value in both" in advice
    # The reverse: a clip that gains a value does not make the others fall.
    assert gaps(now, was)["verdict"].item() == "better"
    assert gaps(np.r_[np.full(10, np.nan), was[10:]], was)["verdict"].item() == "ok"
    plain = gaps(was, was - 0.10 + 0.01 * np.array([1, -1] * 10))
    assert plain["verdict"].item() == "worse" and "value in both" not in " ".join(
        gate.advice(gate.Outcome(plain, 0.01))
    )


def test_too_few_common_clips_are_not_paired():
    baseline = baseline_of(row("irs", 0.1, se=0.01, n=5), clips=[0.1, 0.1, 0.1, np.nan, np.nan])
    run = table(row("irs", 0.2, se=0.01, n=5))
    now = sample_rows([np.nan, 0.2, 0.2, 0.2, 0.2])
    assert not gate.compare(baseline, run, now, same_seed=True)["paired"].item()


def test_an_undefined_standard_error_is_taken_from_the_other():
    # .1 with 4 clips; of 16 clips it would be half. t = .5 / sqrt(.01 + .0025), 3 degrees of freedom.
    known, unknown = row("irs", 0.5, se=0.1), row("irs", 1.0, se=np.nan, n_scored=16)
    expected = scipy.stats.t.sf(0.5 / 0.0125**0.5, 3)
    assert compared([known], [unknown])["p"].item() == pytest.approx(expected)
    assert compared([unknown], [row("irs", 1.5, se=0.1)])["p"].item() == pytest.approx(expected)
    # If both are undefined, only the tolerance decides.
    blind = compared([row("irs", 0.5, se=np.nan)], [row("irs", 0.511, se=np.nan)])
    assert np.isnan(blind["p"].item()) and blind["verdict"].item() == "worse"
    # The same holds for a metric without a direction.
    for now, verdict in ((0.99, "ok"), (0.5, "moved")):
        blind = compared([row("live", 1.0, se=np.nan)], [row("live", now, se=np.nan)])
        assert np.isnan(blind["p"].item()) and blind["verdict"].item() == verdict


def test_a_score_without_spread_is_compared_using_the_others_spread():
    result = compared([row("irs", 0.5, se=0.1)], [row("irs", 1.0, se=0.0)])
    assert result["p"].item() == pytest.approx(scipy.stats.t.sf(5, 3))


def test_the_error_rate_is_for_all_scores_together():
    # One score with t = 4 at 30 degrees of freedom, p 1.9e-4, among many that did not change.
    was = [row("irs", 0.1, se=0.01, n_scored=31, track=f"t{i}") for i in range(100)]
    now = [row("irs", 0.1, se=0.0, n_scored=31, track=f"t{i}") for i in range(100)]
    now[7]["value"] = 0.14
    p = scipy.stats.t.sf(4, 30)
    few, many = compared(was[:20], now[:20]), compared(was, now)
    assert few["p"].min() == pytest.approx(20 * p) and few["verdict"].tolist() == ["worse"] + 19 * ["ok"]
    assert many["p"].min() == pytest.approx(100 * p) and many["verdict"].tolist() == 100 * ["ok"]


def test_more_than_chance_but_tolerated_and_the_reverse():
    assert verdicts([row("irs", 0.5, se=1e-6)], [row("irs", 0.509, se=1e-6)]) == ["ok"]
    assert verdicts([row("irs", 0.5, se=0.2)], [row("irs", 0.9, se=0.2)]) == ["ok"]


def test_the_control_is_distinguished_from_the_models():
    # The songs are the same in every run, so only the tolerance decides, in both directions.
    was, same = row("irs", 0.02, model="heldout", se=0.5), row("irs", 0.5)
    result = compared([was, same], [row("irs", 0.009, model="heldout", se=0.5), same])
    assert result["verdict"].tolist() == ["moved", "ok"] and result["model"].tolist() == ["heldout", "m"]
    advice = " ".join(gate.advice(gate.Outcome(result, 0.01)))
    assert "heldout consists of the same songs in every run" in advice and "--update" in advice
    assert verdicts([was], [row("irs", 0.025, model="heldout")]) == ["ok"]


def test_only_equal_keys_are_compared():
    was = row("irs", 0.02)
    assert verdicts([was], [row("irs", 0.02, timebase="published")]) == ["missing"]
    assert verdicts([was], [row("irs", 0.02, track="drums"), row("irs", 0.02)]) == ["ok"]


@pytest.mark.parametrize(
    "column, was, now, said",
    [
        ("n", 32, 8, "the baseline has n 32, the run 8"),
        ("suite", "band", "folder:mine", "the baseline has suite band, the run folder:mine"),
        ("suite", "band", "", "the baseline has suite band, the run none"),
        ("task", "total", "arrangement", "the baseline has task total, the run arrangement"),
        ("reference", "test:64:aa", "test:64:bb", "the baseline has reference test:64:aa, the run test:64:bb"),
        ("version", "1", "2", "the baseline has metrics fad@1, the run fad@2"),
        ("embedding", "vggish@a", "vggish@b", "the baseline has embeddings vggish@a, the run vggish@b"),
    ],
)
def test_runs_that_cannot_be_compared(column, was, now, said):
    baseline = baseline_of(fad_row(3.0, **{column: was}))
    assert gate.mismatch(baseline, table(fad_row(3.0, **{column: now}))) == said
    # A run may contain more than the baseline.
    assert gate.mismatch(baseline, table(fad_row(3.0, **{column: was}), fad_row(3.0, **{column: now}))) == ""


def test_other_heldout_songs_are_reported():
    # No key contains them: with another bass in a held-out clip, for example, reference and numbers stay the same.
    score = fad_row(3.0, suite="folder:x")
    baseline, run = baseline_of(score, suite_version="aa"), table(score)
    assert gate.mismatch(baseline, run, "bb") == (
        "the songs of folder:x changed: the baseline has version aa, the run bb"
    )
    assert gate.mismatch(baseline, run, "aa") == ""
    # An unknown version is not a reason.
    assert gate.mismatch(baseline, run) == gate.mismatch(replace(baseline, suite_version=""), run, "bb") == ""


def test_a_score_over_fewer_samples_is_not_compared():
    run = [row("irs", 0.02, n=2), row("irs", 0.02, model="other", track="drums", n=4)]
    assert verdicts([row("irs", 0.02)], run) == ["missing", "new"]


def test_an_undefined_score_is_missing():
    result = compared([row("irs", 0.02)], [row("irs", np.nan)])
    assert result["verdict"].tolist() == ["missing"] and not gate.Outcome(result, 0.01).passed


def test_a_new_model_is_reported_and_passes():
    other = row("irs", 0.9, model="other", track="bass")
    result = compared([row("irs", 0.02)], [row("irs", 0.02), other])
    assert result["verdict"].tolist() == ["new", "ok"] and gate.Outcome(result, 0.01).passed
    assert verdicts([row("irs", 0.02)], [row("irs", 0.02), other | {"model": "noise"}]) == ["ok"]  # a control
    assert verdicts([row("irs", 0.02)], [row("irs", 0.02), other | {"fps": 150.0}]) == ["ok"]  # not gated


def test_worst_first():
    was = [row("irs", 0.1, se=0.01, n_scored=30, track=track) for track in "abcd"]
    now = [
        row("irs", value, se=0.01, n_scored=30, track=track) for track, value in zip("abcd", (0.1, 0.2, np.nan, 0.3))
    ]
    assert compared(was, now)["track"].tolist() == ["c", "d", "b", "a"]


def written(tolerance="0", score='"value": 1, "n": 4, "n_scored": 4', rate="0.01"):
    """Return the JSON of a baseline with one score."""
    head = f'"format": 2, "run": {{"models": ["a"]}}, "error_rate": {rate}'
    tolerances = f'{{"irs": {{"absolute": {tolerance}, "relative": 0}}}}'
    return f'{{{head}, "tolerances": {tolerances}, "scores": [{{"metric": "irs", {score}}}]}}'


@pytest.fixture
def gated_run():
    """A baseline with every kind of score, the run that it is from, and its samples."""
    run = table(
        row("irs", 0.0212345678, track="drums", se=0.00123456, n_scored=3),
        row("irs", 0.03),
        row("irs", 0.1, model="heldout", track="bass"),
        row("irs", 0.1, model="noise", track="bass"),
        row("irs", 0.2, fps=150.0, track="drums"),
        row("irs", 0.1, track="bass", n_scored=1),
        row("irs", 0.3, timebase="published", track="drums"),
        row("cbs", 0.5, window=0.15),
        row("cbs", 0.5, window=0.05),
        row("cbd_mean", 0.4),
        row("cbd_std", 0.4),
        row("live", 1.0, track="drums"),
        row("live", 1.0),
        fad_row(3.0),
        row("clipped", 0.0, track="mixture", fps=np.nan, timebase=""),
    )
    samples = sample_rows([0.01, np.nan, 0.03333333, 0.02], track="drums")
    return gate.baseline_of_run(finished(run, samples, {"m": {"weights_sha256": "ab"}, "noise": {}})), run, samples


def test_scores_that_a_run_gates(gated_run):
    baseline, _, _ = gated_run
    # The standard setting of the models and of the control; each stem by itself; no score with too few clips.
    assert baseline.scores[["model", "metric", "track"]].to_numpy().tolist() == [
        ["heldout", "irs", "bass"],
        ["m", "fad", "mixture"],
        ["m", "irs", "drums"],
        ["m", "cbs", "all"],
        ["m", "cbd_mean", "all"],
        ["m", "live", "drums"],
    ]
    assert baseline.models == {"m": {"weights_sha256": "ab"}} and baseline.error_rate == 0.01


def test_given_stems_are_not_gated():
    scores = table(
        row("live", 1.0, track="drums", given="drums+piano"), row("live", 1.0, track="bass", given="drums+piano")
    )
    assert gate.baseline_of_run(finished(scores)).scores["track"].tolist() == ["bass"]


def test_a_baseline_reads_back(gated_run, tmp_path):
    baseline, run, samples = gated_run
    gate.write_baseline(tmp_path / "b.json", baseline)
    again = gate.read_baseline(tmp_path / "b.json")
    assert (again.config, again.models, again.tolerances, again.error_rate) == (
        CONFIG,
        {"m": {"weights_sha256": "ab"}},
        gate.default_tolerances(),
        0.01,
    )
    result = gate.compare(again, run, samples, same_seed=True)
    assert set(result["verdict"]) == {"ok"} and gate.Outcome(result, 0.01).passed
    text = (tmp_path / "b.json").read_text()
    assert json.loads(text)["format"] == 2 and "NaN" not in text
    lines = [line for line in text.splitlines() if '"metric"' in line]
    assert len(lines) == 6  # one score per line
    assert '"value": 0.021235, "se": 0.001235, "n": 4, "n_scored": 3, "clips": [0.01, null, 0.03333, 0.02]}' in lines[2]
    gate.write_baseline(tmp_path / "again.json", again)
    assert (tmp_path / "again.json").read_text() == text
    assert again.suite_version == "" and "suite_version" not in text
    gate.write_baseline(tmp_path / "again.json", replace(again, suite_version="1234e56"))
    assert gate.read_baseline(tmp_path / "again.json").suite_version == "1234e56"
    # Manual changes are kept when it is updated.
    strict = gate.baseline_of_run(
        finished(run, samples), baseline_of(tolerances={"cbd_std": (0.0, 0.5)}, error_rate=0.2)
    )
    assert strict.scores["metric"].tolist() == ["cbd_std"] and strict.error_rate == 0.2


def test_other_weights_are_reported():
    baseline = baseline_of(models={"m": {"weights_sha256": "ab", "steps": 4}, "gone": {"steps": 1}})
    assert gate.changed_models(baseline, {"m": {"weights_sha256": "cd", "steps": 4}}) == [
        "m differs from the baseline's model in: weights_sha256"
    ]


@pytest.mark.parametrize(
    "text, problem",
    [
        ("{", "not valid JSON"),
        ('{"format": 1}', "format is not 2"),
        ('{"format": 2}', "not a baseline"),
        ("[]", "format is not 2"),
        (written().replace('"irs": {', '"cbs": {'), "irs"),
        (written().replace('"irs"', '"wit"'), "wit"),
        ('{"format": 2, "run": {"models": ["a"]}, "tolerances": {}, "scores": []}', "contains no scores"),
        (written(score='"n": 4, "n_scored": 4'), "a score has no value"),
        (written(tolerance="NaN"), "tolerance is not a finite number"),
        (written(score='"value": 1'), "scores.0 has no n)"),
        (written(score='"value": 1, "n": 4, "n_scored": 4, "fps": "abc"'), "'abc'"),
        (
            written(score='"value": 1, "n": 4, "n_scored": 4, "model": ["m"]'),
            "scores.0.model: Input should be a valid string, got ['m']",
        ),
        (written(score='"value": 1, "n": 4, "n_scored": 4, "se": -1'), "standard error is not"),
        (
            written(score='"value": 1, "n": 4, "n_scored": 4, "clips": [1]'),
            "the number of clips of a score is not equal to its n",
        ),
        (written(score='"value": 1, "n": 4, "n_scored": 4, "clips": 7'), "not a baseline"),
        (written(rate="1"), "error_rate must be between 0 and 1 (got 1)"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_a_bad_baseline_is_named(tmp_path, text, problem):
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(UsageError) as raised:
        gate.read_baseline(tmp_path / "b.json")
    assert problem in str(raised.value) and "b.json" in str(raised.value)


def test_an_old_baseline_has_true_for_real_seconds(gated_run, tmp_path):
    baseline, run, samples = gated_run
    baseline = replace(baseline, config=validate({"models": ["m"], "n": 4, "grid": {"timebase": "real"}}, "test"))
    gate.write_baseline(tmp_path / "b.json", baseline)
    text = (tmp_path / "b.json").read_text()
    assert text.count('"real"') == 6 and '"true"' not in text  # of the config and of five scores
    (tmp_path / "b.json").write_text(text.replace('"real"', '"true"'))
    again = gate.read_baseline(tmp_path / "b.json")
    assert again.config.grid.timebase == ("real",)
    assert set(gate.compare(again, run, samples, same_seed=True)["verdict"]) == {"ok"}
    gate.write_baseline(tmp_path / "b.json", again)
    assert (tmp_path / "b.json").read_text() == text


@pytest.mark.parametrize("name", ["band", "board"])
def test_a_committed_baseline_equals_its_rewritten_form(name, tmp_path):
    path = Path(__file__).resolve().parents[1] / "results" / "baselines" / f"{name}.json"
    gate.write_baseline(tmp_path / "again.json", gate.read_baseline(path))
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_a_finished_run_is_checked_without_torch_or_numba(gated_run, tmp_path):
    baseline, run, samples = gated_run
    gate.write_baseline(tmp_path / "b.json", baseline)
    folder = folder_of(tmp_path / "run", run, samples)
    code = f"""
import sys
from pathlib import Path
from mtbench.cli.check import check
check(Path({str(tmp_path / "b.json")!r}), Path({str(folder)!r}))
print(*sys.modules)
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    summary, modules = output.splitlines()
    assert summary.startswith("6 ok")
    slow = {"torch", "numba", "madmom", "mtbench.runner", "mtbench.beats", "scipy.stats", "scipy.signal"}
    assert not slow & set(modules.split())


def test_a_model_without_scores_is_reported(gated_run):
    _, run, samples = gated_run
    assert gate.models_without_scores(finished(run, samples, {"m": {}, "heldout": {}, "silent": {}})) == [
        "silent has no scores in run"
    ]


def test_a_run_is_checked_with_its_notes(gated_run):
    baseline, run, samples = gated_run
    other = finished(run, samples, {"m": {"weights_sha256": "cd"}}, config={"seed": 3})
    outcome = gate.check(baseline, other, ["silent failed"])
    assert not outcome.passed and outcome.failing.empty
    assert outcome.notes == [
        "m differs from the baseline's model in: weights_sha256",
        "the baseline was made with seed 0, this run with seed 3",
    ]
    assert not outcome.table["paired"].any()
    with pytest.raises(gate.Incomparable, match="has n 4, the run 8"):
        gate.check(baseline, finished(run.assign(n=8)))


def test_an_evaluated_folder_cannot_become_a_baseline(gated_run):
    _, run, samples = gated_run
    with pytest.raises(UsageError, match="mtbench eval"):
        gate.baseline_of_run(finished(run, samples, config={"eval": "stems"}))


def test_a_run_of_controls_cannot_become_a_baseline():
    with pytest.raises(UsageError, match="nothing to gate"):
        gate.baseline_of_run(finished(table(row("irs", 0.02, model="heldout", track="bass"))))


@pytest.fixture
def outcome():
    """One score that got worse, of a model with a difficult name, one that is new and one that passed."""
    name = "<b>|@me_`x`\x07"
    was = [row("irs", 0.02, model=name, se=0.001, n_scored=30, track="drums"), row("cbs", 0.5, model=name, window=0.15)]
    now = [
        row("irs", 0.05, model=name, se=0.001, n_scored=30, track="drums"),
        was[1],
        row("irs", 0.5, model="n", track="bass"),
    ]
    return gate.Outcome(compared(was, now), 0.01, ["seeds differ"], ["other failed at sample 0: <oh>"])


def test_markdown_shows_failures_and_collapses_the_rest(outcome):
    text = gate.markdown(outcome)
    above, below = text.split("<details>")
    assert (
        text.startswith("### mtbench check: 2 failed\n")
        and "1 ok, 0 better, 0 moved, 1 worse, 0 missing, 1 new" in above
    )
    assert "IRS" in above and "CBS" not in above and "CBS" in below and "seeds differ" in above
    for text_of_half in (above, below):
        assert "<b>" not in text_of_half and "@" not in text_of_half.replace("&#64;", "") and "`" not in text_of_half
        lines = [line for line in text_of_half.splitlines() if line.startswith("|")]
        assert {line.count("|") for line in lines} == {10}  # nine cells, regardless of a model's name
    assert "&#60;oh&#62;" in above


def test_json_is_complete(outcome):
    document = json.loads(gate.as_json(outcome))
    assert document["passed"] is False and document["counts"] == {"worse": 1, "new": 1, "ok": 1}
    worst = document["scores"][0]
    assert (worst["verdict"], worst["baseline"], worst["value"], worst["n"]) == ("worse", 0.02, 0.05, 4)
    assert worst["difference"] == pytest.approx(0.03) and worst["tolerated"] == 0.01 and worst["window"] is None
    assert document["notes"] == ["seeds differ"] and document["failed"] == ["other failed at sample 0: <oh>"]


def test_junit_has_a_testcase_per_score(outcome):
    suite = ElementTree.fromstring(gate.junit(outcome))
    assert suite.attrib == {"name": "mtbench check", "tests": "4", "failures": "1", "errors": "1", "skipped": "1"}
    names = [case.get("name") for case in suite]
    assert names == [
        "IRS ↓ drums (real 100 / 100)",
        "IRS ↓ bass (real 100 / 100)",
        "CBS ↑ all (real 100 / 100 / 0.15)",
        "generate and score",
    ]
    assert suite[0].get("classname") == "<b>|@me_`x`?" and suite[0].find("failure").get("message").startswith(
        "worse: baseline 0.02"
    )


def folder_of(path, run, samples=None, seed=0, **more):
    """Write the part of a run folder that the gate reads."""
    path.mkdir()
    run.to_csv(path / "scores.csv", index=False)
    if samples is not None:
        samples.to_csv(path / "samples.csv", index=False)
    record = {
        "config": CONFIG.model_dump(mode="json") | {"seed": seed},
        "models": {"m": {}},
        "versions": {},
        "git_commit": None,
    }
    (path / "run.yaml").write_text(yaml.safe_dump(record | more))
    return path


def test_the_command(gated_run, tmp_path):
    _, run, samples = gated_run
    good, bad = folder_of(tmp_path / "good", run, samples), run.copy()
    bad.loc[bad["metric"] == "cbs", "value"] = 0.1
    bad = folder_of(tmp_path / "bad", bad, samples)
    (good / "failures.csv").write_text("damaged")  # the gate does not read it
    baseline = tmp_path / "b.json"

    def run_check(*arguments):
        result = CliRunner().invoke(cli.app, ["check", str(baseline), *map(str, arguments)], env={"COLUMNS": "200"})
        return result.exit_code, result.stdout, result.stderr

    assert run_check(good, "--update")[0] == 0
    code, out, err = run_check(good)
    assert (code, out) == (0, "6 ok, 0 better, 0 moved, 0 worse, 0 missing, 0 new\n")
    code, out, err = run_check(bad)
    assert code == 1 and "CBS" in out and "FAD" not in out and "1 worse" in out and "--update" in out
    code, out, err = run_check(bad, "--format", "junit")
    assert code == 1 and ElementTree.fromstring(out).get("failures") == "1"
    code, out, err = run_check(bad, "--format", "json")
    assert code == 1 and json.loads(out)["counts"] == {"worse": 1, "ok": 5}
    code, out, err = run_check(bad, "--format", "markdown")
    assert code == 1 and out.startswith("### mtbench check: 1 failed")
    code, out, err = run_check(good, "--format", "html")
    assert code == 2 and "--format must be text, markdown, json, junit, not 'html'" in err and out == ""
    shifted = folder_of(tmp_path / "shifted", run, samples, seed=3)
    code, out, err = run_check(shifted)
    assert code == 0 and "made with seed 0, this run with seed 3" in err
    before = baseline.read_text()
    code, out, err = run_check(bad, "--update")
    assert code == 0 and "CBS" in out and "FAD" in out and "wrote" in out  # the complete difference
    changed = set(baseline.read_text().splitlines()) - set(before.splitlines())
    assert len(changed) == 1 and '"metric": "cbs"' in changed.pop()
    assert run_check(bad)[0] == 0
    first, other = (folder_of(tmp_path / version, run, samples, suite_version=version) for version in ("aa", "bb"))
    assert run_check(first, "--update")[0] == run_check(first)[0] == run_check(good)[0] == 0
    code, out, err = run_check(other)
    assert code == 2 and "the songs of band changed: the baseline has version aa, the run bb" in " ".join(err.split())
    assert run_check(other, "--update")[0] == run_check(other)[0] == 0


# The following tests introduce regressions into real audio: songs of `band` are used as a model's samples.

SETTING = Decode(100, 100.0, "real")
CLIPS = 24


def late_drums(stems):
    """Delay by 40 ms at 16 kHz."""
    return stems | {"drums": np.concatenate([np.zeros(640, np.float32), stems["drums"][:-640]])}


def detuned(stems):
    """Raise the pitch by half a semitone."""
    return {
        stem: np.resize(resample_poly(wave, 100, 103), len(wave)).astype(np.float32) for stem, wave in stems.items()
    }


def tuning_scores(seeds, change=lambda stems: stems):
    """Return (scores, samples) for the stems that have a pitch."""
    songs_of_seeds = [change(band.song(seed).stems) for seed in seeds]
    tables = []
    for stem in ("bass", "guitar", "piano"):
        values = [tuning(stems[stem], band.SAMPLE_RATE) for stems in songs_of_seeds]
        tables.append(sample_rows(values, "tuning", stem).assign(fps=np.nan, transition_lambda=np.nan, timebase=""))
    samples = pd.concat(tables, ignore_index=True)
    return score_table(samples, len(songs_of_seeds)), samples


@cache
def beats_of(pcm):
    """Cache by the bytes of a stem, so that stems that a regression does not change are tracked only once."""
    activations = beats.activations([np.frombuffer(pcm, np.int16)], band.SAMPLE_RATE)
    return np.column_stack(beats.decode(activations[0], *SETTING))


def analysed(seeds, change=lambda stems: stems, with_beats=True):
    embed, analyses = open_embedding("log-mel-stats"), []
    for i, seed in enumerate(seeds):
        pcm = {stem: audio.to_pcm16(wave) for stem, wave in change(band.song(seed).stems).items()}
        mixture, clipped = audio.mix(list(pcm.values()))
        tracks = {"mixture": mixture} | {stem: audio.to_float(wave) for stem, wave in pcm.items()}
        tracked = {SETTING: {stem: beats_of(wave.tobytes()) for stem, wave in pcm.items()}} if with_beats else {}
        analyses.append(
            Analysis(
                f"{i:05d}",
                duration=10.24,
                beats=tracked,
                embeddings={"log-mel-stats": {track: embed(wave) for track, wave in tracks.items()}},
                of_audio={"clipped": {"mixture": clipped}},
            )
        )
    return analyses


def scored(analyses, reference):
    """Return (scores, samples) like those of a run."""
    origin = Origin("total", "", "m", "band")
    samples = sample_table(analyses, [0.15], origin)
    distances = fad_tables(analyses, reference, origin).scores
    return pd.concat([distances, score_table(samples, len(analyses))], ignore_index=True), samples


def reference_of(analyses):
    tracks = ("mixture", *band.STEMS)
    frames = {("log-mel-stats", track): pool(analyses, "log-mel-stats", track) for track in tracks}
    return Reference("test", frames, {"log-mel-stats": "1"})


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """The baseline from songs, their analyses, and the reference."""
    reference = reference_of(analysed(band.seeds("reference")[:CLIPS], with_beats=False))
    clips = analysed(band.seeds("heldout")[:CLIPS])
    path = tmp_path_factory.mktemp("baseline") / "b.json"
    gate.write_baseline(path, gate.baseline_of_run(finished(*scored(clips, reference))))
    return gate.read_baseline(path), clips, reference


def failures_against(baseline, run, samples, same_seed=True):
    """Return {(metric, track): verdict} for the scores that did not pass."""
    assert gate.mismatch(baseline, run) == ""
    result = gate.compare(baseline, run, samples, same_seed)
    failing = result[result["verdict"].isin(gate.FAILING)]
    return dict(zip(zip(failing["metric"], failing["track"]), failing["verdict"]))


def test_the_same_samples_pass(songs):
    baseline, clips, reference = songs
    assert failures_against(baseline, *scored(clips, reference)) == {}


def test_late_drums_are_caught(songs):
    baseline, _, reference = songs
    late = analysed(band.seeds("heldout")[:CLIPS], late_drums)
    failures = failures_against(baseline, *scored(late, reference))
    assert failures == {("cbs", "all"): "worse", ("cbd_mean", "all"): "worse"}


def test_a_detuned_vocoder_is_caught(monkeypatch):
    # FAD of the default embedding does not detect it (docs/how-to/ci.md), but tuning does.
    seeds = band.seeds("heldout")[:8]
    baseline = gate.baseline_of_run(finished(*tuning_scores(seeds)))
    assert len(baseline.scores) == 3
    for same_seed in (True, False):
        failures = failures_against(baseline, *tuning_scores(seeds, detuned), same_seed)
        assert failures == {("tuning", stem): "worse" for stem in ("bass", "guitar", "piano")}
    assert failures_against(baseline, *tuning_scores(seeds)) == {}
    assert failures_against(baseline, *tuning_scores(band.seeds("heldout")[8:16]), False) == {}


@pytest.mark.parametrize("which", range(0, CLIPS, 4))
def test_a_repeated_sample_is_caught(songs, which):
    # Its clips have no spread at all, and its rhythm may be good.
    baseline, clips, reference = songs
    run, samples = scored([replace(clips[which], id=f"{i:05d}") for i in range(CLIPS)], reference)
    for same_seed in (True, False):
        failures = failures_against(baseline, run, samples, same_seed)
        assert sum(metric == "fad" for metric, _ in failures) >= 2


def simulated(random, n=32):
    """Draw the scores of a model with known truth: skewed IRS, bounded CBS, occasionally silent stems."""
    rows = []
    for track in band.STEMS:
        irs = np.where(random.random(n) < 0.06, np.nan, random.lognormal(-3, 0.5, n))
        for metric, values in (("irs", irs), ("live", (~np.isnan(irs)).astype(float))):
            rows.append((row(metric, 0, track=track), values))
    rows.append((row("cbs", 0, window=0.15), random.beta(3, 5, n)))
    rows.append((row("cbd_mean", 0), random.beta(4, 8, n)))
    rows += [(fad_row(0, track=track), random.gamma(1.5, 4.0, n)) for track in ("mixture", *band.STEMS)]
    cells = [
        key
        | {
            "value": np.nanmean(v),
            "se": scipy.stats.sem(v, nan_policy="omit"),
            "n": n,
            "n_scored": (~np.isnan(v)).sum(),
        }
        for key, v in rows
    ]
    return table(*(row_cells | {"model": "m"} for row_cells in cells))


def test_honest_reruns_raise_few_alarms():
    random = np.random.default_rng(0)
    baseline = gate.baseline_of_run(finished(simulated(random)))
    assert len(baseline.scores) == 15
    alarms = sum(not gate.Outcome(gate.compare(baseline, simulated(random)), 0.01).passed for _ in range(50))
    assert alarms <= 2


@pytest.mark.slow
def test_honest_reruns_of_audio_raise_few_alarms(songs):
    # Every rerun has different songs, as with another seed.
    baseline, _, reference = songs
    seeds = band.seeds("heldout")[CLIPS:]
    reruns = [seeds[i * CLIPS : (i + 1) * CLIPS] for i in range(50)]
    failures = [failures_against(baseline, *scored(analysed(rerun), reference), same_seed=False) for rerun in reruns]
    assert sum(map(bool, failures)) <= 2, list(filter(None, failures))


WORKFLOW = Path(__file__).resolve().parents[1] / ".github" / "workflows" / "benchmark.yml"


def test_the_workflow_does_what_it_says():
    # The safe loader would read `on` as a boolean; this one reads only strings.
    workflow = yaml.load(WORKFLOW.read_text(), yaml.BaseLoader)
    gate_job, comment_job = workflow["jobs"]["gate"], workflow["jobs"]["comment"]
    # Not pull_request_target, which has access to the repository's token.
    assert workflow["on"] == "pull_request" and workflow["permissions"] == {}
    assert gate_job["permissions"] == {"contents": "read"} and comment_job["permissions"] == {"pull-requests": "write"}
    assert int(gate_job["timeout-minutes"]) <= 10
    steps = gate_job["steps"] + comment_job["steps"]
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]) for step in steps if "uses" in step)
    assert not any(
        "run" in step or "checkout" in step["uses"] for step in comment_job["steps"]
    )  # the job with write permission
    assert "head.repo.full_name == github.repository" in comment_job["if"]
    said = "\n".join(step["run"] for step in steps if "run" in step)
    assert "make setup" in said and "\nsetup:" in (WORKFLOW.parents[2] / "Makefile").read_text()
    (command,) = re.findall(r"\.venv/bin/mtbench (.*?)(?: >|$)", said, re.MULTILINE)
    name, baseline, *options = command.split()
    assert gate.read_baseline(WORKFLOW.parents[2] / baseline).scores["model"].nunique() > 1
    help_text = CliRunner().invoke(cli.app, [name, "--help"], env={"COLUMNS": "200"}).stdout
    assert all(option in help_text for option in options if option.startswith("--"))
    assert options[options.index("--format") + 1] in gate.FORMATS
