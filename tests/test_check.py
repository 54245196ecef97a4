"""The gate on made-up scores, whose verdicts can be worked out by hand."""

import json

import numpy as np
import pandas as pd
import pytest

from mtbench import check
from mtbench.config import validate
from mtbench.errors import UsageError
from mtbench.scores import SCORE_COLUMNS


def written(tolerance="0", score='"value": 1, "n": 4'):
    """A baseline of one score."""
    return ('{"format": 1, "run": {"models": ["a"]}, "tolerances": {"irs": {"absolute": %s, "relative": 0}}, '
            '"scores": [{"metric": "irs", %s}]}' % (tolerance, score))


CONFIG = validate({"models": ["synctrack"], "n": 4}, "test")


def row(metric, value, model="m", track="all", fps=100.0, window=np.nan, timebase="true", embedding="", **more):
    held = {"task": "total", "given": "", "model": model, "suite": "band", "reference": "", "metric": metric, "version": "1",
            "track": track, "fps": fps, "transition_lambda": 100.0 if fps == fps else np.nan, "window": window,
            "timebase": timebase, "embedding": embedding, "value": value, "n": 4, "n_scored": 4} | more
    return {column: held.get(column, np.nan) for column in SCORE_COLUMNS}


def table(*rows):
    return pd.DataFrame(rows, columns=SCORE_COLUMNS)


def verdicts(baseline_rows, run_rows, tolerances=None):
    baseline = check.Baseline(CONFIG, tolerances or {"irs": (0.01, 0.0), "cbs": (0.0, 0.1), "fad": (0.0, 0.1)}, table(*baseline_rows))
    return check.compare(baseline, table(*run_rows))["verdict"].tolist()


@pytest.mark.parametrize("metric, was, now, verdict", [
    ("irs", 0.02, 0.029, "ok"), ("irs", 0.02, 0.031, "worse"), ("irs", 0.02, 0.009, "better"),  # lower is better, 0.01 allowed
    ("cbs", 0.50, 0.46, "ok"), ("cbs", 0.50, 0.44, "worse"), ("cbs", 0.50, 0.56, "better"),  # higher is better, 10 % allowed
])
def test_directions_and_tolerances(metric, was, now, verdict):
    window = 0.15 if metric == "cbs" else np.nan
    assert verdicts([row(metric, was, window=window)], [row(metric, now, window=window)]) == [verdict]


def test_only_equal_keys_meet():
    was = row("irs", 0.02)
    assert verdicts([was], [row("irs", 0.02, timebase="published")]) == ["missing"]
    assert verdicts([was], [row("irs", 0.02, track="drums"), row("irs", 0.02)]) == ["ok"]


@pytest.mark.parametrize("column, was, now, said", [
    ("n", 32, 8, "the baseline has n 32, the run 8"),
    ("suite", "band", "folder:mine", "the baseline has suite band, the run folder:mine"),
    ("suite", "band", "", "the baseline has suite band, the run none"),
    ("task", "total", "arrangement", "the baseline has task total, the run arrangement"),
    ("reference", "test:64:aa", "test:64:bb", "the baseline has reference test:64:aa, the run test:64:bb"),
])
def test_what_no_score_can_be_held_against(column, was, now, said):
    baseline = check.Baseline(CONFIG, {}, table(row("fad", 3.0, **{column: was})))
    assert check.mismatch(baseline, table(row("fad", 3.0, **{column: now}))) == said
    # A run may hold more than the baseline's part.
    assert check.mismatch(baseline, table(row("fad", 3.0, **{column: was}), row("fad", 3.0, **{column: now}))) == ""


def test_a_score_over_fewer_samples_is_no_equal():
    run = [row("irs", 0.02, n=2), row("irs", 0.02, model="other", n=4)]
    assert verdicts([row("irs", 0.02)], run)[0] == "missing"


def test_an_undefined_score_is_missing():
    assert verdicts([row("irs", 0.02)], [row("irs", np.nan)]) == ["missing"]


def test_a_new_model_is_said():
    assert verdicts([row("irs", 0.02)], [row("irs", 0.02), row("irs", 0.9, model="other")]) == ["ok", "new"]
    assert verdicts([row("irs", 0.02)], [row("irs", 0.02), row("irs", 0.9, model="noise")]) == ["ok"]  # a control


def test_a_baseline_reads_back(tmp_path):
    scores = table(row("irs", 0.02), row("cbs", 0.5, window=0.15), row("irs", 0.1, model="heldout"), row("irs", 0.2, fps=150.0),
                   row("fad", 3.0, track="mixture", fps=np.nan, timebase="", embedding="log-mel-stats@1"))
    made = check.of_run(CONFIG, scores)
    # Gated: the standard settings of the models; not the control, not the odd setting.
    assert made.scores["metric"].tolist() == ["irs", "cbs", "fad"]
    check.write(tmp_path / "b.json", made)
    held = check.read(tmp_path / "b.json")
    assert held.config == CONFIG and held.tolerances == check.TOLERANCES
    assert check.compare(held, scores)["verdict"].tolist() == ["ok"] * 3
    text = (tmp_path / "b.json").read_text()
    assert json.loads(text)["format"] == 1 and "NaN" not in text
    assert sum('"metric"' in line for line in text.splitlines()) == 3  # a score a line


@pytest.mark.parametrize("text, problem", [
    ("{", "not valid JSON"), ('{"format": 2}', "format is not 1"), ('{"format": 1}', "not a baseline"), ("[]", "format is not 1"),
    ('{"format": 1, "run": {"models": ["a"]}, "tolerances": {}, "scores": [{"metric": "irs", "value": 1}]}', "irs"),
    ('{"format": 1, "run": {"models": ["a"]}, "tolerances": {}, "scores": []}', "holds no scores"),
    (written(score='"n": 4'), "without a value"), (written(tolerance="NaN"), "tolerance is not a finite number"),
    (written(score='"value": 1'), "does not say its n"), (written(score='"value": 1, "n": 4, "fps": "abc"'), "'abc'"),
    (written(score='"value": 1, "n": 4, "model": ["m"]'), "the model of a score is no text"),
    ("[" * 100_000, "not valid JSON"),
])
def test_a_bad_baseline_is_named(tmp_path, text, problem):
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(UsageError) as raised:
        check.read(tmp_path / "b.json")
    assert problem in str(raised.value) and "b.json" in str(raised.value)


def test_a_run_of_controls_makes_no_baseline():
    with pytest.raises(UsageError, match="nothing to gate"):
        check.of_run(CONFIG, table(row("irs", 0.02, model="heldout")))
