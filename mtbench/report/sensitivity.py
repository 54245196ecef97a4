"""How the rhythm metrics move with the beat decoder's settings and the CBS window: Figures A1, A2 and Table A1 as ours."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mtbench.controls import CONTROLS
from mtbench.registry import metrics
from mtbench.report import figures
from mtbench.report.figures import Line
from mtbench.report.sources import Run
from mtbench.report.tables import DIGITS, standard_setting

TIMEBASES = {"real": "Real seconds", "published": "Published timebase"}


def of_run(run: Run) -> dict[str, Any] | None:
    """The figures and tables of a run's total generation; None where its grid has one setting alone.

    Timebases are apart: a panel, a row group or a column holds one of them.
    """
    table = run.scores[(run.scores["task"] == "total") & (run.scores["given"] == "")]
    table = table[(table["track"] == "all") & table["metric"].isin(["irs", "cbs", "cbd_mean", "cbd_std", "cbd_median"])]
    decodes = table[["timebase", "fps", "transition_lambda"]].drop_duplicates()
    if (
        len(decodes) < 2 and table["window"].nunique() < 2
    ):  # of CBS alone: other metrics have no window, which is no setting
        return None
    models = list(dict.fromkeys(table["model"]))
    styles, count = {}, 0
    for model in models:
        styles[model] = f"c{list(CONTROLS).index(model)}" if model in CONTROLS else f"m{count % 6}"
        count += model not in CONTROLS
    legend = [(model, figures.key_mark(number, styles[model])) for number, model in enumerate(models)]
    return {
        "run": run,
        "legend": legend,
        "models": models,
        "irs": _irs(table, models, styles),
        "cbs": _cbs(table, models, styles),
        "cbd": _cbd(table, models),
        "timebase": _timebase(table, models),
    }


def _irs(table: pd.DataFrame, models: Sequence[str], styles: dict[str, str]) -> list[dict]:
    """A panel a timebase: IRS by fps and transition lambda."""
    irs = table[table["metric"] == "irs"]
    panels = []
    for base, part in _by_timebase(irs):
        settings = sorted(set(zip(part["fps"], part["transition_lambda"])))
        by = ["fps", "transition_lambda"]
        lines = [_line(model, styles[model], part[part["model"] == model], by, settings) for model in models]
        panels.append((base, [f"{fps:g} / {tl:g}" for fps, tl in settings], lines))
    if max((len(labels) for _, labels, _ in panels), default=0) < 2:
        return []
    limits = figures.y_limits([line for _, _, lines in panels for line in lines])
    return [
        {
            "title": TIMEBASES[base],
            "head": "fps / lambda",
            "labels": labels,
            "lines": lines,
            "digits": DIGITS["irs"],
            "figure": figures.curves(
                f"IRS by fps and transition lambda, {TIMEBASES[base].lower()}",
                "fps / transition lambda",
                labels,
                lines,
                "s",
                limits,
            ),
        }
        for base, labels, lines in panels
    ]


def _cbs(table: pd.DataFrame, models: Sequence[str], styles: dict[str, str]) -> list[dict]:
    """A panel a decode: CBS by window."""
    panels = []
    for base, of_base in _by_timebase(table[table["metric"] == "cbs"]):
        windows = sorted(set(of_base["window"]))
        for (fps, tl), part in of_base.groupby(["fps", "transition_lambda"]):
            lines = [
                _line(model, styles[model], part[part["model"] == model], ["window"], [(window,) for window in windows])
                for model in models
            ]
            title = f"{TIMEBASES[base]}, {fps:g} fps, lambda {tl:g}"
            labels = [f"{window:g}" for window in windows]
            figure = figures.curves(f"CBS by window, {title}", "window in s", labels, lines, limits=(0.0, 1.0))
            panels.append(
                {
                    "title": title,
                    "head": "window in s",
                    "labels": labels,
                    "lines": lines,
                    "digits": DIGITS["cbs"],
                    "figure": figure,
                }
            )
    return panels


def _cbd(table: pd.DataFrame, models: Sequence[str]) -> list[dict]:
    """A table a timebase: a row a decode and statistic, the lowest of the competitors marked."""
    cbd = table[table["metric"].str.startswith("cbd_")]
    made = []
    for base, part in _by_timebase(cbd):
        rows = []
        for (fps, tl), decode in part.groupby(["fps", "transition_lambda"]):
            for metric in ("cbd_mean", "cbd_std", "cbd_median"):
                values = decode[decode["metric"] == metric].set_index("model")["value"].reindex(models)
                competing = values[[model for model in models if model not in CONTROLS]]
                best = competing.min() if len(competing.dropna()) > 1 else np.nan
                rows.append(
                    {
                        "setting": f"{fps:g} / {tl:g}",
                        "first": metric == "cbd_mean",
                        "metric": metrics()[metric].title,
                        "cells": [
                            (_text(value, DIGITS[metric]), model not in CONTROLS and value == best)
                            for model, value in values.items()
                        ],
                    }
                )
        made.append({"title": TIMEBASES[base], "rows": rows})
    return made


def _timebase(table: pd.DataFrame, models: Sequence[str]) -> list[dict]:
    """For each metric what a decode gives in both timebases, and the ratio, which 100/fps would explain for IRS."""
    made = []
    for metric in ("irs", "cbs", "cbd_mean"):
        part = table[table["metric"] == metric]
        if part.empty:
            continue
        if metric == "cbs":
            window = standard_setting(part).window
            part = part[part["window"] == window]
        wide = part.pivot(index=["fps", "transition_lambda", "model"], columns="timebase", values="value")
        if not {"real", "published"} <= set(wide.columns):
            continue
        wide = wide.dropna().reset_index()
        digits = DIGITS[metric]
        rows = [
            {
                "setting": f"{row.fps:g} / {row.transition_lambda:g}",
                "model": row.model,
                "real": _text(row.real, digits),
                "published": _text(row.published, digits),
                "ratio": _text(row.published / row.real, 3) if row.real else "–",
                "scale": f"{100 / row.fps:.3f}",
            }
            for fps in sorted(set(wide["fps"]))
            for model in models
            for row in wide[(wide["fps"] == fps) & (wide["model"] == model)].itertuples()
        ]
        title = metrics()[metric].title + (f", window {window:g} s" if metric == "cbs" else "")
        made.append({"title": title, "metric": metric, "rows": rows})
    return made


def _by_timebase(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    parts = [(base, table[table["timebase"] == base]) for base in TIMEBASES]
    return [(base, part) for base, part in parts if len(part)]


def _line(name: str, style: str, part: pd.DataFrame, by: list[str], settings: Sequence[tuple]) -> Line:
    held = part.drop_duplicates(by).set_index(by)[["value", "ci_low", "ci_high"]]
    held.index = [key if isinstance(key, tuple) else (key,) for key in held.index]
    rows = [held.loc[[key]].iloc[0] if key in held.index else None for key in settings]
    column = lambda name: np.array([np.nan if row is None else row[name] for row in rows], float)  # noqa: E731
    return Line(name, style, column("value"), column("ci_low"), column("ci_high"))


def _text(value: float, digits: int) -> str:
    return "–" if value != value else f"{value:.{digits}f}"
