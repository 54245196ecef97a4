"""The same model on clips of other lengths: Table A6 and Figure A8 of the SyncTrack paper, from our own runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mtbench.controls import CONTROLS
from mtbench.metrics import Metric
from mtbench.report import selection, text
from mtbench.report.site import models
from mtbench.report.site.figures import Violin
from mtbench.report.site.sources import SiteRun
from mtbench.settings import TIMEBASES, Setting
from mtbench.stems import FOLDER, LENGTHS, N_SAMPLES, SAMPLE_RATE


@dataclass(frozen=True)
class Lengths:
    """One model in total generation on suites that differ in the length of their clips alone.

    suite: their name without it; measured: what else must be the same for scores to stand in one table; runs:
    {length in s: (run, name of the suite)}, two or more, shortest first.
    """

    suite: str
    measured: tuple[Any, ...]
    model: str
    runs: dict[float, tuple[SiteRun, str]]


class LengthRow(NamedTuple):
    """A line of a table: the length in words, the run's name, a cell per column, the fewest clips behind one."""

    seconds: str
    run: str
    cells: list[models.Cell | None]
    scored: str


@dataclass(frozen=True)
class LengthTable:
    """A group of rows per model, a row per length, a column per metric across stems or metric of a stem."""

    setting: str
    columns: list[tuple[Metric, str]]
    groups: list[tuple[str, list[LengthRow]]]


@dataclass(frozen=True)
class SuiteLengths:
    """What is shown of one suite: a table per timebase, and the figures of the first of them, at `setting` in words."""

    suite: str
    tables: list[LengthTable]
    panels: list[models.Panel]
    setting: str


class _Measured(NamedTuple):
    """A suite's total generation in a run."""

    seconds: float
    run: SiteRun
    suite: str
    names: list[str]


def find(runs: Sequence[SiteRun]) -> list[Lengths]:
    """Every model that the runs hold at two or more lengths; of two runs of one length the first.

    The runs have one beat engine, one version of each rhythm metric and of the suite; where a run's version of the
    suite is not known, it counts as the first that is. It is one model if it is a control, or if its row's name, its
    options and the hashes of its weights are the same. One without such a hash, or a folder of audio, is never known to
    be the same.
    """
    alike: dict[tuple[Any, ...], list[_Measured]] = {}
    for run in runs:
        total = run.scores[(run.scores["task"] == "total") & (run.scores["given"] == "")]
        for suite, scores in total.groupby("suite", sort=False):
            base, seconds = _length(str(suite))
            if base:
                measured = _Measured(seconds, run, str(suite), list(scores["model"].unique()))
                alike.setdefault((base, *_engine(run, scores)), []).append(measured)
    by_model: dict[tuple[Any, ...], dict[float, tuple[SiteRun, str]]] = {}
    for (base, *engine), group in alike.items():
        known = next((measured.run.suite_version for measured in group if measured.run.suite_version), "")
        for measured in group:
            for model in measured.names:
                identity = () if model in CONTROLS else _identity(measured.run, model)
                if identity is not None:
                    key = (base, (*engine, measured.run.suite_version or known), model, identity)
                    by_model.setdefault(key, {}).setdefault(measured.seconds, (measured.run, measured.suite))
    return [
        Lengths(base, engine, model, dict(sorted(of_model.items())))
        for (base, engine, model, _), of_model in by_model.items()
        if len(of_model) > 1
    ]


def by_suite(lengths: Sequence[Lengths]) -> list[SuiteLengths]:
    """For each suite the tables, one per timebase, and the figures of the first of them, three per model.

    Runs that were not measured alike have tables of their own, and `suite` then names them.
    """
    suites = []
    keys = list(dict.fromkeys((of_model.suite, of_model.measured) for of_model in lengths))
    for suite, measured in keys:
        group = [of_model for of_model in lengths if (of_model.suite, of_model.measured) == (suite, measured)]
        if sum(suite == other for other, _ in keys) > 1:
            names = dict.fromkeys(run.name for of_model in group for run, _ in of_model.runs.values())
            suite += f", runs {', '.join(names)}"
        scores = _shared(
            pd.concat(
                [
                    _of(run.scores, name, of_model.model).assign(of=i, seconds=seconds)
                    for i, of_model in enumerate(group)
                    for seconds, (run, name) in of_model.runs.items()
                ]
            )
        )
        settings = [selection.standard_setting(scores[scores["timebase"] == base]) for base in TIMEBASES]
        shown = [setting for setting in settings if setting is not None]
        if shown:
            tables = [_table(group, scores, setting) for setting in shown]
            suites.append(SuiteLengths(suite, tables, _panels(group, shown[0]), shown[0].words))
    return suites


def _length(suite: str) -> tuple[str, float]:
    """A suite's name without its length, and that in s; an empty name for one that has no others."""
    end = next((end for end in LENGTHS if end and suite.endswith(end)), "")
    return "" if suite.startswith(FOLDER) else suite.removesuffix(end), LENGTHS[end] * N_SAMPLES / SAMPLE_RATE


def _engine(run: SiteRun, scores: pd.DataFrame) -> tuple[Any, ...]:
    """The beats that a run's rhythm scores rest on, and the versions of the metrics that these scores have."""
    rhythm = scores[scores["metric"].isin([metric.name for metric in _shown_metrics()])]
    return (*sorted(models.flat(run.record.get("beats") or {})), *sorted(set(zip(rhythm["metric"], rhythm["version"]))))


def _identity(run: SiteRun, model: str) -> tuple[Any, ...] | None:
    """What else than its row's name makes a model the same in two runs; None if nothing says so."""
    # The content of a folder of audio is no model's weights: its clips are of one length whatever the suite's.
    hashes = [
        pair
        for pair in models.flat(run.provenances.get(model, {}))
        if pair[0].endswith("sha256") and pair[0] != "content_sha256"
    ]
    options = [
        pair
        for entry in models.entries(run, model)
        for pair in models.flat({"name": entry.get("name"), "options": entry.get("options") or {}})
    ]
    return (*sorted(hashes), *sorted(options)) if hashes else None


def _shown_metrics() -> list[Metric]:
    """The rhythm metrics that have a better side: across stems first, then those of a stem."""
    return selection.judged([*selection.of_clips(), *selection.of_tracks()])


def _of(table: pd.DataFrame, suite: str, model: str) -> pd.DataFrame:
    """The rhythm scores of a model's total generation, as the figures and tables have them."""
    across = [metric.name for metric in selection.judged(selection.of_clips())]
    of_stems = [metric.name for metric in selection.judged(selection.of_tracks())]
    shown = table["metric"].isin(across) | (table["metric"].isin(of_stems) & (table["track"] != "all"))
    total = (table["task"] == "total") & (table["given"] == "")
    return table[total & (table["suite"] == suite) & (table["model"] == model) & shown]


def _shared(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores whose metric, track and setting the same model has at another length, too."""
    same = ["of", "metric", "track", *Setting._fields]
    return scores[scores.groupby(same, dropna=False)["seconds"].transform("nunique") > 1]


def _table(group: Sequence[Lengths], scores: pd.DataFrame, setting: Setting) -> LengthTable:
    shown = selection.at_setting(scores, setting)
    columns = [
        (metric, track)
        for metric in _shown_metrics()
        for track in dict.fromkeys(shown[shown["metric"] == metric.name]["track"])
    ]
    by_key = {(score.of, score.seconds, score.metric, score.track): score for score in shown.itertuples()}
    groups = []
    for i, of_model in enumerate(group):
        rows = [
            _row(seconds, run, columns, {key[2:]: score for key, score in by_key.items() if key[:2] == (i, seconds)})
            for seconds, (run, _) in of_model.runs.items()
        ]
        if rows := [row for row in rows if row is not None]:
            groups.append((of_model.model, rows))
    return LengthTable(setting.words, columns, groups)


def _row(
    seconds: float, run: SiteRun, columns: Sequence[tuple[Metric, str]], scores: Mapping[Any, Any]
) -> LengthRow | None:
    """scores: {(metric's name, track): score} of one length; None where there is none."""
    if not scores:
        return None
    cells = [models.Cell.of(scores.get((metric.name, track)), metric.digits) for metric, track in columns]
    fewest = min(scores.values(), key=lambda score: score.n_scored)
    return LengthRow(_seconds(seconds), run.name, cells, text.coverage(fewest.n_scored, fewest.n))


def _panels(group: Sequence[Lengths], setting: Setting) -> list[models.Panel]:
    """Figure A8: of each model a distribution over samples per main metric, a line per length; of runs that kept their
    samples' scores."""
    panels = []
    for of_model in group:
        kept = {
            seconds: selection.at_setting(_of(run.samples, suite, of_model.model), setting)
            for seconds, (run, suite) in of_model.runs.items()
            if run.samples is not None
        }
        kept = {seconds: samples for seconds, samples in kept.items() if len(samples)}
        for metric in selection.main(_shown_metrics()) if len(kept) > 1 else ():
            violins = [
                Violin(
                    _seconds(seconds),
                    f"m{i}",
                    samples[samples["metric"] == metric.name]["value"].to_numpy(np.float64),
                )
                for i, (seconds, samples) in enumerate(kept.items())
            ]
            title = f"{metric.title} of all stems" if metric.scope == "track" else metric.title
            panels.append(models.distribution(f"{of_model.model}, {title}", metric, violins))
    return [panel for panel in panels if panel.figure]


def _seconds(seconds: float) -> str:
    return f"{seconds:g} s"
