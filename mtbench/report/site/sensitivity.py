"""How the rhythm metrics depend on the beat decoder's settings and on the window of cross-track beat synchronization
(CBS): our versions of Figures A1 and A2 and Table A1 of the SyncTrack paper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from mtbench.controls import CONTROLS
from mtbench.metrics import Metric
from mtbench.report import selection, text
from mtbench.report.site import figures
from mtbench.report.site.figures import Line
from mtbench.report.site.sources import SiteRun
from mtbench.results.keys import NAN
from mtbench.settings import TIMEBASE_WORDS, TIMEBASES, in_words

COLOURS = 6  # number of colours for models in the style sheet
# The figure or table of the paper that a metric's figures correspond to.
SOURCES = {
    "irs": "As in Figure A1. ",
    "cbs": "As in Figure A2: wider windows tolerate larger deviations. ",
    "cbd_mean": "As in Table A1. ",
}
DECODE = ["fps", "transition_lambda"]


@dataclass(frozen=True)
class CurvePanel:
    """A figure of curves and its numbers: one row per label, one column per line. head: what the labels are."""

    title: str
    head: str
    labels: list[str]
    lines: list[Line]
    digits: int
    figure: Markup

    def rows(self) -> list[tuple[str, list[tuple[str, tuple[str, str] | None]]]]:
        """Return (label, [(value, ends of the interval) per line]) as texts."""
        return [
            (
                label,
                [
                    (text.number(line.y[i], self.digits), text.ends(line.low[i], line.high[i], self.digits))
                    for line in self.lines
                ],
            )
            for i, label in enumerate(self.labels)
        ]


@dataclass(frozen=True)
class CurveGroup:
    """The panels of one metric. note: the corresponding figure of the paper, and which direction is better."""

    title: str
    note: str
    panels: list[CurvePanel]


@dataclass(frozen=True)
class DecodeRow:
    """A metric under a decode.

    first: whether this is the first row of its decode. cells: (text, whether it is the best competitor).
    """

    setting: str
    first: bool
    metric: str
    cells: list[tuple[str, bool]]


@dataclass(frozen=True)
class TimebaseRow:
    """A model's scores under one decode in both timebases. scale: 100/fps."""

    setting: str
    model: str
    real: str
    published: str
    ratio: str
    scale: str


@dataclass(frozen=True)
class Sensitivity:
    """The figures and tables of a run.

    legend: (model, its marker). curves: metrics of a track by decode, and windowed metrics by window. decodes:
    (timebase, rows) for the other metrics across stems, which `decoded` names. timebases: (title, rows) per metric.
    """

    run: SiteRun
    legend: list[tuple[str, Markup]]
    models: list[str]
    curves: list[CurveGroup]
    decoded: str
    decoded_note: str
    decodes: list[tuple[str, list[DecodeRow]]]
    timebases: list[tuple[str, list[TimebaseRow]]]


def of_run(run: SiteRun) -> Sensitivity | None:
    """Return the figures and tables of a run's total generation; None if its grid has only one setting.

    The timebases are never mixed in a panel, a group of rows or a column.
    """
    table = run.scores[(run.scores["task"] == "total") & (run.scores["given"] == "")]
    shown = selection.judged(selection.rhythm())
    # The score over all stems, or that of the clip.
    tracks = {metric.name: metric.track if metric.scope == "clip" else "all" for metric in shown}
    table = table[table["track"] == table["metric"].map(tracks)]
    decodes = table[["timebase", *DECODE]].drop_duplicates()
    # A metric without a window has one row per decode, whatever the windows of others.
    if len(decodes) < 2 and table["window"].nunique() < 2:
        return None
    models = list(dict.fromkeys(table["model"]))
    styles = _styles(models)
    curves = [_by_decode(metric, table, styles) for metric in shown if metric.scope == "track"]
    curves += [_by_window(metric, table, styles) for metric in shown if metric.windowed]
    decoded = [metric for metric in shown if metric.scope == "clip" and not metric.windowed]
    sources = "".join(SOURCES.get(metric.name, "") for metric in decoded)
    return Sensitivity(
        run=run,
        legend=[(model, figures.key_mark(number, style)) for number, (model, style) in enumerate(styles.items())],
        models=models,
        curves=[group for group in curves if group.panels],
        decoded=text.listed([metric.title for metric in decoded if (table["metric"] == metric.name).any()]),
        decoded_note=f"{sources}The best competing model is bold. Settings are fps / transition lambda.",
        decodes=_decode_tables(decoded, table, models),
        timebases=_timebase_tables(selection.main(shown), table, models),
    )


def _styles(models: Sequence[str]) -> dict[str, str]:
    """Return {model: the CSS class of its line}; controls share one colour."""
    competing = [model for model in models if model not in CONTROLS]
    return {
        model: f"c{list(CONTROLS).index(model)}" if model in CONTROLS else f"m{competing.index(model) % COLOURS}"
        for model in models
    }


def _side(metric: Metric) -> str:
    return "Lower is better" if metric.direction < 0 else "Higher is better"


def _by_decode(metric: Metric, table: pd.DataFrame, styles: Mapping[str, str]) -> CurveGroup:
    """Return one panel per timebase of a metric by fps and transition lambda; none if no timebase has two decodes."""
    of_metric = table[table["metric"] == metric.name]
    drawn: list[tuple[str, list[str], list[Line]]] = []
    for base, of_base in _by_timebase(of_metric):
        decodes = sorted(set(zip(of_base["fps"], of_base["transition_lambda"])))
        lines = [_line(model, style, of_base, DECODE, decodes) for model, style in styles.items()]
        drawn.append((_sentence(TIMEBASE_WORDS[base]), [_decode(*decode) for decode in decodes], lines))
    if max((len(labels) for _, labels, _ in drawn), default=0) < 2:
        drawn = []
    limits = figures.y_limits([line for _, _, lines in drawn for line in lines])
    panels = []
    for title, labels, lines in drawn:
        what = f"{metric.title} by fps and transition lambda, {title.lower()}"
        figure = figures.curves(what, "fps / transition lambda", labels, lines, metric.unit, limits)
        panels.append(CurvePanel(title, "fps / lambda", labels, lines, metric.digits, figure))
    note = f"{SOURCES.get(metric.name, '')}{_side(metric)}. The panels share an axis."
    return CurveGroup(f"{metric.title} by decoder setting", note, panels)


def _by_window(metric: Metric, table: pd.DataFrame, styles: Mapping[str, str]) -> CurveGroup:
    """Return one panel per decode of a metric by window."""
    panels = []
    for base, of_base in _by_timebase(table[table["metric"] == metric.name]):
        windows = sorted(set(of_base["window"]))
        labels = [f"{window:g}" for window in windows]
        for fps, transition_lambda in sorted(set(zip(of_base["fps"], of_base["transition_lambda"]))):
            of_decode = of_base[(of_base["fps"] == fps) & (of_base["transition_lambda"] == transition_lambda)]
            keys = [(window,) for window in windows]
            lines = [_line(model, style, of_decode, ["window"], keys) for model, style in styles.items()]
            title = _sentence(in_words(base, fps, transition_lambda))
            limits = (0.0, metric.most) if np.isfinite(metric.most) else None
            figure = figures.curves(
                f"{metric.title} by window, {title}", "window in s", labels, lines, metric.unit, limits
            )
            panels.append(CurvePanel(title, "window in s", labels, lines, metric.digits, figure))
    return CurveGroup(f"{metric.title} by window", f"{SOURCES.get(metric.name, '')}{_side(metric)}.", panels)


def _decode_tables(
    shown: Sequence[Metric], table: pd.DataFrame, models: Sequence[str]
) -> list[tuple[str, list[DecodeRow]]]:
    """Return one table per timebase: one row per decode and metric, with the best competitor marked."""
    tables = []
    for base, of_base in _by_timebase(table[table["metric"].isin([metric.name for metric in shown])]):
        rows = []
        for fps, transition_lambda in sorted(set(zip(of_base["fps"], of_base["transition_lambda"]))):
            of_decode = of_base[(of_base["fps"] == fps) & (of_base["transition_lambda"] == transition_lambda)]
            for number, metric in enumerate(shown):
                of_metric = of_decode[of_decode["metric"] == metric.name]
                values = dict(zip(of_metric["model"], of_metric["value"]))
                cells = _marked([values.get(model, NAN) for model in models], models, metric)
                rows.append(DecodeRow(_decode(fps, transition_lambda), number == 0, metric.title, cells))
        tables.append((_sentence(TIMEBASE_WORDS[base]), rows))
    return tables


def _marked(values: Sequence[float], models: Sequence[str], metric: Metric) -> list[tuple[str, bool]]:
    """Return values as texts; the best one is marked if at least two competitors have a value."""
    competing = [value for value, model in zip(values, models) if model not in CONTROLS and value == value]
    best = None
    if len(competing) > 1:
        best = min(competing) if metric.direction < 0 else max(competing)
    return [
        (text.number(value, metric.digits), model not in CONTROLS and value == best)
        for value, model in zip(values, models)
    ]


def _timebase_tables(
    shown: Sequence[Metric], table: pd.DataFrame, models: Sequence[str]
) -> list[tuple[str, list[TimebaseRow]]]:
    """Return for each metric the scores of a decode in both timebases and their ratio, which is 100/fps for a time."""
    tables = []
    for metric in shown:
        of_metric = table[table["metric"] == metric.name]
        setting = selection.standard_setting(of_metric)
        if setting is None:
            continue
        if metric.windowed:
            of_metric = of_metric[of_metric["window"] == setting.window]
        values = of_metric.pivot(index=[*DECODE, "model"], columns="timebase", values="value")
        if not set(TIMEBASES) <= set(values.columns):
            continue
        both = values.dropna().reset_index()
        both["order"] = both["model"].map(models.index)
        rows = [_timebase_row(row, metric.digits) for row in both.sort_values(["fps", "order"]).itertuples()]
        tables.append((metric.title + (f", window {setting.window:g} s" if metric.windowed else ""), rows))
    return tables


def _timebase_row(row: Any, digits: int) -> TimebaseRow:
    return TimebaseRow(
        setting=_decode(row.fps, row.transition_lambda),
        model=row.model,
        real=text.number(row.real, digits),
        published=text.number(row.published, digits),
        ratio=text.number(row.published / row.real if row.real else NAN, 3),
        scale=f"{100 / row.fps:.3f}",
    )


def _by_timebase(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return (timebase, its scores) for every timebase that has scores."""
    tables = [(base, table[table["timebase"] == base]) for base in TIMEBASES]
    return [(base, of_base) for base, of_base in tables if len(of_base)]


def _line(model: str, style: str, table: pd.DataFrame, by: list[str], settings: Sequence[tuple[float, ...]]) -> Line:
    """Return a model's scores over some settings, which are values of the columns `by`."""
    of_model = table[table["model"] == model]
    scores = dict(zip(zip(*(of_model[name] for name in by)), of_model.itertuples()))
    ends = [
        (scores[key].value, scores[key].ci_low, scores[key].ci_high) if key in scores else (NAN, NAN, NAN)
        for key in settings
    ]
    y, low, high = np.array(ends, np.float64).reshape(-1, 3).T
    return Line(model, style, y, low, high)


def _decode(fps: float, transition_lambda: float) -> str:
    """Return a decode as a label without units: ``100 / 100``."""
    return f"{fps:g} / {transition_lambda:g}"


def _sentence(words: str) -> str:
    """Capitalize the first letter of some words."""
    return words[0].upper() + words[1:]
