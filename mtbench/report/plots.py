"""Draw figures of a run for papers and notebooks, with matplotlib."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pandas as pd
import seaborn
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mtbench.controls import CONTROLS
from mtbench.errors import UsageError, unknown_name
from mtbench.metrics import Metric
from mtbench.registry import metrics
from mtbench.report import selection, text
from mtbench.results.load import RunTables
from mtbench.settings import Setting

CONTROL_COLOUR = "0.55"  # a grey for notes in a figure
WIDTH = 3.4  # of one panel, in inches


def plot(run: RunTables, kind: str, given: str | None = None) -> Figure:
    """Return a figure of one of `KINDS` for one task and set of given stems of a run.

    given: in arrangement, the given stems joined by ``+``; None selects the first in the run. Raises UsageError for an
    unknown kind or unknown given stems, or if the run does not have the scores that the figure needs.
    """
    if kind not in KINDS:
        raise unknown_name("kind of plot", kind, KINDS)
    names = text.model_names(run.provenances)
    scores = selection.installed(run.scores).replace({"model": names})
    of_run = list(dict.fromkeys(scores["given"]))
    given = of_run[0] if given is None else given
    if given not in of_run:
        named = ", ".join(each or "none" for each in of_run)
        available = f"available: {named}" if any(of_run) else "no stems were given in this run"
        raise UsageError(f"the run has no scores for the given stems '{given}' ({available})")
    samples = run.samples
    if samples is not None:
        samples = samples[samples["given"] == given].replace({"model": names})
    with seaborn.axes_style("whitegrid"), seaborn.plotting_context("paper"):
        figure = KINDS[kind](scores[scores["given"] == given], samples)
    suites = [f"suite {suite}" for suite in scores["suite"].unique() if suite]
    figure.suptitle(", ".join([*suites, *([f"{given.replace('+', ', ')} given"] if given else [])]))
    pyplot.close(figure)  # so that pyplot does not keep it; the caller may still show or save it
    return figure


def _intervals(scores: pd.DataFrame, samples: pd.DataFrame | None) -> Figure:
    """Draw every main score with its 95% interval: one panel per metric, one line per model."""
    main = selection.in_summary(scores)
    models = list(dict.fromkeys(scores["model"]))
    panels = _panels(main)
    figure, axes = _row_of_axes(len(panels), 0.9 + 0.3 * len(models), sharey=True)
    for ax, (metric, track, of_panel) in zip(axes, panels):
        numbers = of_panel[["value", "ci_low", "ci_high"]].to_numpy(float)
        for model, (value, low, high) in zip(of_panel["model"], numbers):
            reach, place = _reach(value, low, high), models.index(model)
            ax.errorbar(value, place, xerr=reach, fmt="o", ms=4, capsize=2, color=_colour(model, models))
        _scale(ax.set_xscale, metric)
        ax.set_xlabel(_label(metric, track))
        ax.set_yticks(range(len(models)), models)
    axes[0].set_ylim(len(models) - 0.5, -0.5)
    _note_setting(figure, main)
    return figure


def _scatter(scores: pd.DataFrame, samples: pd.DataFrame | None) -> Figure:
    """Draw the Fréchet audio distance (FAD) of the mixture against cross-track beat synchronization (CBS)."""
    main = selection.in_summary(scores)
    fad = main[(main["metric"] == "fad") & (main["track"] == "mixture")].drop_duplicates("model").set_index("model")
    cbs = main[main["metric"] == "cbs"].set_index("model")
    models = [model for model in dict.fromkeys(scores["model"]) if model in fad.index and model in cbs.index]
    if not models:
        raise UsageError("a scatter plot needs a model with FAD and CBS; FAD needs a reference")
    figure, (ax,) = _row_of_axes(1, 3.6, width=5.0)
    for model in models:
        x, y = fad.loc[model], cbs.loc[model]
        ax.errorbar(
            x["value"],
            y["value"],
            xerr=_reach(x["value"], x["ci_low"], x["ci_high"]),
            yerr=_reach(y["value"], y["ci_low"], y["ci_high"]),
            fmt="s" if model in CONTROLS else "o",
            ms=5,
            capsize=2,
            color=_colour(model, models),
            label=model,
        )
    _scale(ax.set_xscale, metrics()["fad"])
    ax.set_xlabel(_label(metrics()["fad"], "mixture"))
    ax.set_ylabel(_label(metrics()["cbs"], "all"))
    ax.legend(frameon=True, fontsize="small")
    _note_setting(figure, main)
    return figure


def _distributions(scores: pd.DataFrame, samples: pd.DataFrame | None) -> Figure:
    """Draw the scores of single clips: one panel per metric, with a box and points for each model."""
    if samples is None:
        raise UsageError("no samples.csv found in the run folder, so the scores of single clips cannot be plotted")
    main = selection.in_summary(scores)
    main = main[main["metric"].isin([metric.name for metric in selection.rhythm()])]
    models = list(dict.fromkeys(scores["model"]))
    of_setting = selection.at_setting(samples, setting) if (setting := selection.standard_setting(main)) else samples
    panels = [(metric, track, _of_clips(of_setting, metric, track)) for metric, track, _ in _panels(main)]
    if not panels:
        raise UsageError("this run has no rhythm scores to plot")
    figure, axes = _row_of_axes(len(panels), 0.9 + 0.36 * len(models), sharey=True)
    palette = {model: _colour(model, models) for model in models}
    for ax, (metric, track, clips) in zip(axes, panels):
        values = [clips.loc[clips["model"] == model, "value"].dropna() for model in models]
        boxes = ax.boxplot(
            values,
            positions=range(len(models)),
            orientation="horizontal",
            widths=0.6,
            showfliers=False,
            patch_artist=True,
            manage_ticks=False,
            medianprops={"color": "black"},
        )
        for box, model in zip(boxes["boxes"], models):
            box.set(facecolor=palette[model], alpha=0.35)
        seaborn.stripplot(
            data=clips,
            x="value",
            y="model",
            order=models,
            hue="model",
            palette=palette,
            ax=ax,
            size=2.5,
            alpha=0.8,
            jitter=0.18,
            legend=False,
        )
        ax.set_xlabel(f"{_label(metric, track)}, per clip")
        ax.set_ylabel("")
    _note_setting(figure, main)
    return figure


def _sensitivity(scores: pd.DataFrame, samples: pd.DataFrame | None) -> Figure:
    """Draw how the rhythm scores depend on the setting: one row per metric, one column per value that varies.

    The other values are those of the summary's setting. There is one line per model, dashed in the published timebase.
    """
    standard = selection.standard_setting(scores)
    records = selection.main(selection.rhythm())
    of_metrics = scores[scores["metric"].isin([metric.name for metric in records])]
    axes_of_grid = [
        (name, label)
        for name, label in (
            ("fps", "frames/s of the decoder"),
            ("transition_lambda", "transition lambda"),
            ("window", "CBS window in s"),
        )
        if of_metrics[name].dropna().nunique() > 1
    ]
    if standard is None or not axes_of_grid:
        raise UsageError("a sensitivity plot needs several settings: run with --fps 100,150, for example")
    models = list(dict.fromkeys(scores["model"]))
    figure, grid = pyplot.subplots(
        len(records),
        len(axes_of_grid),
        figsize=(WIDTH * len(axes_of_grid), 2.2 * len(records) + 0.8),
        squeeze=False,
        sharey="row",
        layout="constrained",
    )
    for metric, row in zip(records, grid):
        for (name, label), ax in zip(axes_of_grid, row):
            _lines(ax, of_metrics[of_metrics["metric"] == metric.name], metric, name, standard, models)
            ax.set_xlabel(label)
        row[0].set_ylabel(_label(metric, metric.summary[0]))
    handles = [Line2D([], [], color=_colour(model, models), label=model) for model in models]
    if of_metrics["timebase"].nunique() > 1:
        handles += [
            Line2D([], [], color="black", linestyle=style, label=f"timebase: {timebase}")
            for timebase, style in STYLES.items()
        ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize="small")
    return figure


STYLES: dict[str, Literal["-", "--"]] = {"real": "-", "published": "--"}


def _lines(ax: Axes, scores: pd.DataFrame, metric: Metric, name: str, standard: Setting, models: Sequence[str]) -> None:
    """Draw the scores of one metric against the value `name` of the setting; the others are those of `standard`."""
    scores = scores[scores["track"] == metric.summary[0]]
    if name == "window" and not metric.windowed:
        ax.set_axis_off()
        ax.text(0.5, 0.5, "has no window", ha="center", va="center", transform=ax.transAxes, color=CONTROL_COLOUR)
        return
    for other in ("fps", "transition_lambda", "window"):
        if other != name:
            scores = scores[scores[other].isna() | (scores[other] == getattr(standard, other))]
    for (model, timebase), line in scores.groupby(["model", "timebase"], sort=False):
        line = line.sort_values(name)
        colour = _colour(str(model), models)
        ax.plot(line[name], line["value"], STYLES[str(timebase)], marker="o", ms=3, lw=1.2, color=colour)
        if timebase == standard.timebase:
            ax.fill_between(line[name], line["ci_low"], line["ci_high"], color=colour, alpha=0.12, lw=0)


def _panels(main: pd.DataFrame) -> list[tuple[Metric, str, pd.DataFrame]]:
    """Return the metrics and tracks of a summary in the order of tables, each with its scores (of one embedding)."""
    panels = []
    for metric in metrics().values():
        for track in metric.summary:
            of_panel = main[(main["metric"] == metric.name) & (main["track"] == track)]
            of_panel = of_panel[of_panel["embedding"] == of_panel["embedding"].iloc[0]] if len(of_panel) else of_panel
            if len(of_panel):
                panels.append((metric, track, of_panel))
    return panels


def _of_clips(samples: pd.DataFrame, metric: Metric, track: str) -> pd.DataFrame:
    """Return the values of single clips behind a score; for a score over all stems, the means over a clip's stems."""
    of_metric = samples[samples["metric"] == metric.name]
    if metric.over_stems and track == "all":
        return of_metric.groupby(["model", "sample"], sort=False)["value"].mean().reset_index()
    return of_metric[of_metric["track"] == track]


def _row_of_axes(count: int, height: float, width: float = WIDTH, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    if not count:
        raise UsageError("this run has no scores to plot")
    figure, axes = pyplot.subplots(
        1, count, figsize=(width * count, height), squeeze=False, sharey=sharey, layout="constrained"
    )
    return figure, list(axes[0])


def _reach(value: float, low: float, high: float) -> list[list[float]] | None:
    """Return the lengths of an error bar on both sides; None if there is no interval."""
    if not np.isfinite([value, low, high]).all():
        return None
    return [[max(value - low, 0.0)], [max(high - value, 0.0)]]


def _scale(set_scale: Callable[..., None], metric: Metric) -> None:
    """Use a scale for distances of sets that is linear near 0, where an interval may end, and logarithmic above."""
    if metric.scope == "set":
        set_scale("symlog", linthresh=1.0)


def _label(metric: Metric, track: str) -> str:
    side = {-1: "lower is better", 1: "higher is better", 0: ""}[metric.direction]
    return f"{text.title(metric, track)}{f' ({metric.unit})' if metric.unit else ''}{f', {side}' if side else ''}"


def _colour(model: str, models: Sequence[str]) -> str | tuple[float, float, float]:
    """Return a grey for controls, and a colour for models that does not depend on which controls are shown."""
    if model in CONTROLS:
        return {"heldout": "0.25", "shuffled": "0.45"}.get(model, "0.65")
    ranked = [name for name in models if name not in CONTROLS]
    colours = seaborn.color_palette("colorblind", max(len(ranked), 1))
    return tuple(colours[ranked.index(model)])


def _note_setting(figure: Figure, main: pd.DataFrame) -> None:
    setting = selection.standard_setting(main)
    if setting is not None:
        figure.supxlabel(f"rhythm in {setting.words}", fontsize="small", color=CONTROL_COLOUR)


KINDS: dict[str, Callable[[pd.DataFrame, pd.DataFrame | None], Figure]] = {
    "intervals": _intervals,
    "scatter": _scatter,
    "distributions": _distributions,
    "sensitivity": _sensitivity,
}
