"""The same model on clips of different lengths: our versions of Table A6 and Figure A8 of the SyncTrack paper."""

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
    """One model in total generation on suites that differ only in the length of their clips.

    suite: the name of the suites without the length. measured: everything else that must be the same for scores to
    share a table. runs: {length in s: (run, name of the suite)}, two or more, shortest first.
    """

    suite: str
    measured: tuple[Any, ...]
    model: str
    runs: dict[float, tuple[SiteRun, str]]


class LengthRow(NamedTuple):
    """A row of a table: the length as text, the run's name, one cell per column, and the smallest number of clips
    behind a cell."""

    seconds: str
    run: str
    cells: list[models.Cell | None]
    scored: str


@dataclass(frozen=True)
class LengthTable:
    """One group of rows per model, one row per length, one column per metric across stems or metric of a stem."""

    setting: str
    columns: list[tuple[Metric, str]]
    groups: list[tuple[str, list[LengthRow]]]


@dataclass(frozen=True)
class SuiteLengths:
    """The tables and figures of one suite: one table per timebase, and the figures for the first of them.

    setting: the setting of the figures, in words.
    """

    suite: str
    tables: list[LengthTable]
    panels: list[models.Panel]
    setting: str


class _Measured(NamedTuple):
    """The models of a run that have scores for a suite in total generation."""

    seconds: float
    run: SiteRun
    suite: str
    names: list[str]


def find(runs: Sequence[SiteRun]) -> list[Lengths]:
    """Return every model that the runs have at two or more lengths; of several runs at one length, the first is used.

    Runs are combined only if they have the same beat engine and the same versions of the suite and of the rhythm
    metrics; an unknown suite version counts as the first known one. Two rows are the same model if they are the same
    control, or if the row's name, its options and the hashes of its weights are equal. A model without such a hash and
    a folder of audio are never considered the same.
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
    """Return for each suite one table per timebase and, for the first timebase, three figures per model.

    Runs that were not measured in the same way have separate tables; `suite` then names the runs.
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
    """Return a suite's name without its length, and the length in s; an empty name if there are no other lengths."""
    end = next((end for end in LENGTHS if end and suite.endswith(end)), "")
    return "" if suite.startswith(FOLDER) else suite.removesuffix(end), LENGTHS[end] * N_SAMPLES / SAMPLE_RATE


def _engine(run: SiteRun, scores: pd.DataFrame) -> tuple[Any, ...]:
    """Return how a run's beats were tracked and the versions of its rhythm metrics."""
    rhythm = scores[scores["metric"].isin([metric.name for metric in _shown_metrics()])]
    return (*sorted(models.flat(run.record.get("beats") or {})), *sorted(set(zip(rhythm["metric"], rhythm["version"]))))


def _identity(run: SiteRun, model: str) -> tuple[Any, ...] | None:
    """Return what identifies a model across runs apart from its row's name; None if it cannot be identified."""
    # The hash of a folder of audio does not identify a model: its clips have one length whatever the suite's.
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
    """Return the rhythm metrics that have a direction: those across stems first, then those of single stems."""
    return selection.judged([*selection.of_clips(), *selection.of_tracks()])


def _of(table: pd.DataFrame, suite: str, model: str) -> pd.DataFrame:
    """Return the rhythm scores of a model in total generation that the figures and tables show."""
    across = [metric.name for metric in selection.judged(selection.of_clips())]
    of_stems = [metric.name for metric in selection.judged(selection.of_tracks())]
    shown = table["metric"].isin(across) | (table["metric"].isin(of_stems) & (table["track"] != "all"))
    total = (table["task"] == "total") & (table["given"] == "")
    return table[total & (table["suite"] == suite) & (table["model"] == model) & shown]


def _shared(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the scores whose metric, track and setting the same model also has at another length."""
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
    """Return the row of one length, or None if it has no scores. scores: {(metric's name, track): score}."""
    if not scores:
        return None
    cells = [models.Cell.of(scores.get((metric.name, track)), metric.digits) for metric, track in columns]
    fewest = min(scores.values(), key=lambda score: score.n_scored)
    return LengthRow(_seconds(seconds), run.name, cells, text.coverage(fewest.n_scored, fewest.n))


def _panels(group: Sequence[Lengths], setting: Setting) -> list[models.Panel]:
    """Return the panels of Figure A8: per model and main metric the distribution over samples, one row per length.

    Runs without scores of individual samples are left out.
    """
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
