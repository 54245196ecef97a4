"""The same model on clips of other lengths: Table A6 and Figure A8 of the SyncTrack paper as ours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mtbench.controls import CONTROLS
from mtbench.registry import metrics
from mtbench.report import models
from mtbench.report.figures import Sample
from mtbench.report.sources import Run
from mtbench.report.tables import DIGITS, at_setting, standard_setting
from mtbench.settings import Setting
from mtbench.stems import LENGTHS, N_SAMPLES, SAMPLE_RATE

ACROSS = ("cbs", "cbd_mean", "cbd_std", "cbd_median")  # of all stems together; IRS is of each
SHOWN = ("cbs", "cbd_mean", "irs")  # Figure A8's three metrics


@dataclass(frozen=True)
class Lengths:
    """One model in total generation on suites that differ in the length of their clips alone.

    suite: their name without it; measured: what else must be the same for scores to stand in one table; runs: {length in
    s: (run, name of the suite)}, two or more, shortest first.
    """

    suite: str
    measured: tuple
    model: str
    runs: dict[float, tuple[Run, str]]


def find(runs: Sequence[Run]) -> list[Lengths]:
    """Every model that the runs hold at two or more lengths; of two runs of one length the first.

    The runs have one beat engine, one version of each rhythm metric and of the suite; where a run's version of the suite
    is not known, it counts as the first that is. It is one model if it is a control, or if its row's name, its options
    and the hashes of its weights are the same. One without such a hash, or a folder of audio, is never known to be the same.
    """
    held: dict[tuple, list[tuple[float, Run, str, Sequence[str]]]] = {}
    for run in runs:
        total = run.scores[(run.scores["task"] == "total") & (run.scores["given"] == "")]
        for suite, part in total.groupby("suite", sort=False):
            base, seconds = _length(suite)
            if base:
                held.setdefault((base, *_measured(run, part)), []).append((seconds, run, suite, part["model"].unique()))
    found: dict[tuple, dict[float, tuple[Run, str]]] = {}
    for (base, *measured), alike in held.items():
        versions = [str(run.record.get("suite_version") or "") for _, run, *_ in alike]
        first = next(filter(None, versions), "")
        for (seconds, run, suite, names), version in zip(alike, versions):
            for model in names:
                identity = () if model in CONTROLS else _identity(run, model)
                if identity is not None:
                    key = (base, (*measured, version or first), model, identity)
                    found.setdefault(key, {}).setdefault(seconds, (run, suite))
    return [Lengths(*key[:3], dict(sorted(of_model.items()))) for key, of_model in found.items() if len(of_model) > 1]


def by_suite(found: Sequence[Lengths]) -> list[dict[str, Any]]:
    """For each suite the tables, one a timebase, and the figures of the first of them, three a model.

    Runs that were not measured alike have tables of their own, and `suite` then names them.
    """
    made = []
    groups = list(dict.fromkeys((one.suite, one.measured) for one in found))
    for suite, measured in groups:
        held = [one for one in found if (one.suite, one.measured) == (suite, measured)]
        if sum(suite == other for other, _ in groups) > 1:
            suite += f", runs {', '.join(dict.fromkeys(run.name for one in held for run, _ in one.runs.values()))}"
        scores = _shared(
            pd.concat(
                [
                    _of(run.scores, name, one.model).assign(of=i, seconds=seconds)
                    for i, one in enumerate(held)
                    for seconds, (run, name) in one.runs.items()
                ]
            )
        )
        settings = [standard_setting(part) for _, part in scores.groupby("timebase", sort=False)]
        settings.sort(key=lambda setting: setting.timebase != "real")
        if settings:
            made.append(
                {
                    "suite": suite,
                    "tables": [_table(held, scores, setting) for setting in settings],
                    "panels": _panels(held, settings[0]),
                    "setting": settings[0].words,
                }
            )
    return made


def _length(suite: str) -> tuple[str, float]:
    """A suite's name without its length, and that in s; an empty name for one that has no others."""
    end = next((end for end in LENGTHS if end and suite.endswith(end)), "")
    return "" if suite.startswith("folder:") else suite.removesuffix(end), LENGTHS[end] * N_SAMPLES / SAMPLE_RATE


def _measured(run: Run, scores: pd.DataFrame) -> tuple:
    """The beats that a run's rhythm scores rest on, and the versions of the metrics that these scores have."""
    rhythm = scores[scores["metric"].isin((*ACROSS, "irs"))]
    return (*sorted(models.flat(run.record.get("beats") or {})), *sorted(set(zip(rhythm["metric"], rhythm["version"]))))


def _identity(run: Run, model: str) -> tuple | None:
    """What else than its row's name makes a model the same in two runs; None if nothing says so."""
    # The content of a folder of audio is no model's weights: its clips are of one length whatever the suite's.
    hashes = [
        pair
        for pair in models.flat(run.record["models"].get(model, {}))
        if pair[0].endswith("sha256") and pair[0] != "content_sha256"
    ]
    options = [
        pair
        for entry in models.entries(run, model)
        for pair in models.flat({"name": entry.get("name"), "options": entry.get("options") or {}})
    ]
    return (*sorted(hashes), *sorted(options)) if hashes else None


def _of(table: pd.DataFrame, suite: str, model: str) -> pd.DataFrame:
    """The rhythm scores of a model's total generation, as the figures and tables have them."""
    shown = table["metric"].isin(ACROSS) | ((table["metric"] == "irs") & (table["track"] != "all"))
    total = (table["task"] == "total") & (table["given"] == "")
    return table[total & (table["suite"] == suite) & (table["model"] == model) & shown]


def _shared(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores whose metric, track and setting the same model has at another length, too."""
    same = ["of", "metric", "track", "timebase", "fps", "transition_lambda", "window"]
    return scores[scores.groupby(same, dropna=False)["seconds"].transform("nunique") > 1]


def _table(held: Sequence[Lengths], scores: pd.DataFrame, setting: Setting) -> dict[str, Any]:
    """A group of rows a model, a row a length, a column a metric or the IRS of a stem."""
    near = at_setting(scores, setting)
    stems = list(dict.fromkeys(near[near["metric"] == "irs"]["track"]))
    columns = [(metric, "all") for metric in ACROSS if (near["metric"] == metric).any()] + [
        ("irs", stem) for stem in stems
    ]
    cells = {(row.of, row.seconds, row.metric, row.track): row for row in near.itertuples()}
    groups = []
    for i, one in enumerate(held):
        rows = [
            (_seconds(seconds), run.name, [cells.get((i, seconds, *column)) for column in columns])
            for seconds, (run, _) in one.runs.items()
        ]
        rows = [
            (seconds, run, [_cell(score) for score in found], _scored(found))
            for seconds, run, found in rows
            if any(found)
        ]
        if rows:
            groups.append((one.model, rows))
    return {
        "timebase": setting.timebase,
        "setting": setting.words,
        "groups": groups,
        "columns": [(metrics()[metric], "" if track == "all" else track) for metric, track in columns],
    }


def _panels(held: Sequence[Lengths], setting: Setting) -> list[dict[str, Any]]:
    """Figure A8: of each model three distributions over samples, a line a length; of runs that kept their samples' scores."""
    panels = []
    for one in held:
        near = {
            seconds: at_setting(_of(run.samples, suite, one.model), setting)
            for seconds, (run, suite) in one.runs.items()
            if run.samples is not None
        }
        near = {seconds: part for seconds, part in near.items() if len(part)}
        for metric in SHOWN if len(near) > 1 else ():
            lines = [
                Sample(_seconds(seconds), f"m{i}", part[part["metric"] == metric]["value"].to_numpy(np.float64))
                for i, (seconds, part) in enumerate(near.items())
            ]
            title = "IRS of all stems" if metric == "irs" else metrics()[metric].title
            panels.append(models.distribution(f"{one.model}, {title}", metric, lines))
    return [panel for panel in panels if panel["figure"]]


def _cell(score: Any) -> dict[str, Any] | None:
    if score is None or score.value != score.value:
        return None
    digits = DIGITS[score.metric]
    return {
        "text": f"{score.value:.{digits}f}",
        "ends": None
        if score.ci_low != score.ci_low
        else [f"{end:.{digits}f}" for end in (score.ci_low, score.ci_high)],
    }


def _scored(found: Sequence[Any]) -> str:
    """The fewest clips that a score of a row rests on."""
    fewest = min((score for score in found if score is not None), key=lambda score: score.n_scored)
    return f"{int(fewest.n_scored)}/{int(fewest.n)}"


def _seconds(seconds: float) -> str:
    return f"{seconds:g} s"
