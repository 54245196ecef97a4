"""What a model's page shows: its scores by track, their distributions over samples, and how to make them again."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import yaml

from mtbench.config import folder_row
from mtbench.controls import CONTROLS
from mtbench.registry import metrics
from mtbench.report import board, figures
from mtbench.report.sources import Run
from mtbench.report.tables import DIGITS, at_setting, standard_setting
from mtbench.stems import FOLDER

STEMS = ("bass", "drums", "guitar", "piano")  # which have a colour of their own everywhere on the site
PLAIN = {
    "models",
    "suite",
    "task",
    "n",
    "seed",
    "grid",
    "embeddings",
}  # what of a config has an option on the command line


def facts(mine: pd.DataFrame) -> list[tuple[str, str]]:
    """What the page's head says in numbers: clips made, and how many of them every rhythm score could use."""
    made = int(mine["n"].max())
    facts = [("clips", str(made))]
    cbs = mine[(mine["metric"] == "cbs")]
    if len(cbs):
        facts.append(
            (
                "with a CBS",
                f"{int(cbs['n_scored'].min())} to {int(cbs['n_scored'].max())}"
                if cbs["n_scored"].nunique() > 1
                else f"{int(cbs['n_scored'].max())}",
            )
        )
    return facts


def score_table(part: pd.DataFrame, task: str, given: str, base: str) -> dict[str, Any]:
    """A row a track, a column a metric, in the standard setting of one timebase, with intervals."""
    setting = standard_setting(part[part["timebase"] == base])
    rhythm = at_setting(part, setting)
    # FAD and tuning have no timebase: they stand in the first table alone.
    timeless = part if base == "real" or not (part["timebase"] == "real").any() else part.iloc[:0]
    columns = []
    for (embedding, reference), of_fad in timeless[timeless["metric"] == "fad"].groupby(
        ["embedding", "reference"], sort=False
    ):
        columns.append(("fad", embedding, _by_track(of_fad)))
    for metric in metrics():
        held = timeless if metric == "tuning" else rhythm
        of_metric = held[held["metric"] == metric]
        if len(of_metric):
            columns.append((metric, "", _by_track(of_metric)))
    tracks = list(dict.fromkeys(track for _, _, of_column in columns for track in of_column))
    first = ("mixture", "generated", "all")
    tracks.sort(key=lambda track: first.index(track) if track in first else len(first))
    rows = []
    for track in tracks:
        cells = []
        for metric, _, of_column in columns:
            (value, *ends, scored, n), digits = of_column.get(track, [float("nan")] * 5), DIGITS.get(metric, 3)
            cells.append(
                None
                if value != value
                else {
                    "text": f"{value:.{digits}f}",
                    "ends": None if ends[0] != ends[0] else [f"{end:.{digits}f}" for end in ends],
                    "scored": f"{int(scored)}/{int(n)}",
                }
            )
        rows.append((track, cells))
    words = f"{setting.fps:g} fps, transition lambda {setting.transition_lambda:g}"
    words += f", window {setting.window:g} s" if setting.window == setting.window else ""
    return {
        "task": board.TASKS.get(task, task),
        "given": given,
        "base": base,
        "setting": words,
        "columns": [(metrics()[metric], embedding) for metric, embedding, _ in columns],
        "rows": rows,
    }


def standard_samples(run: Run) -> pd.DataFrame | None:
    """The samples' own scores in the standard setting; None if the run kept none."""
    setting = None if run.samples is None else standard_setting(run.samples)
    return None if setting is None else at_setting(run.samples, setting)


def distributions(near: pd.DataFrame | None, model: str) -> list[dict[str, Any]]:
    """Groups of figures: IRS of each stem (Figure A3) and of all (A7), CBS and CBD (A4); arrangement by given stems.

    near: the samples' scores, as `standard_samples` gives them.
    """
    if near is None:
        return []
    total, groups = near[(near["task"] == "total") & (near["given"] == "")], []
    if (total["model"] == model).any():
        others = [name for name in dict.fromkeys(total["model"]) if name != model]
        order = [
            model,
            *[name for name in others if name not in CONTROLS],
            *[name for name in others if name in CONTROLS],
        ]

        def panel(title: str, metric: str, part: pd.DataFrame, stem: str = "") -> dict[str, Any]:
            style = {
                name: f"{'stem-' + stem if stem in STEMS else 'me'}" if name == model else "other" for name in order
            }
            lines = [
                figures.Sample(name, style[name], part[part["model"] == name]["value"].to_numpy()) for name in order
            ]
            return distribution(title, metric, lines, stem)

        irs = total[total["metric"] == "irs"]
        panels = [panel("IRS", "irs", irs[irs["track"] == stem], stem) for stem in dict.fromkeys(irs["track"])]
        panels.append(panel("IRS of all stems", "irs", irs))
        panels += [
            panel(metrics()[metric].title, metric, total[total["metric"] == metric])
            for metric in ("cbs", "cbd_mean", "cbd_std", "cbd_median")
        ]
        groups.append(
            {
                "title": "Total generation",
                "of": "Figures A3, A4 and A7 of the SyncTrack paper as ours",
                "panels": panels,
            }
        )
    arranged = near[(near["task"] == "arrangement") & (near["model"] == model)]
    if len(arranged):
        panels = [
            distribution(
                metrics()[metric].title,
                metric,
                [
                    figures.Sample(f"given {given}" if given else "nothing given", "me", part["value"].to_numpy())
                    for given, part in arranged[arranged["metric"] == metric].groupby("given", sort=False)
                ],
            )
            for metric in ("cbs", "cbd_mean")
        ]
        groups.append({"title": "Arrangement, by what is given", "of": "as Table A5", "panels": panels})
    for group in groups:
        group["panels"] = [panel for panel in group["panels"] if panel["figure"]]
    return [group for group in groups if group["panels"]]


def distribution(title: str, metric: str, lines: Sequence[figures.Sample], stem: str = "") -> dict[str, Any]:
    """A distribution figure and its numbers: count and quantiles of each line."""
    digits, rows = DIGITS.get(metric, 3), []
    for line in lines:
        values = line.values[np.isfinite(line.values)]
        ends = np.quantile(values, [0, 0.25, 0.5, 0.75, 1]) if len(values) else []
        rows.append((line.name, f"{len(values)}/{len(line.values)}", [f"{end:.{digits}f}" for end in ends]))
    unit = metrics()[metric].unit
    named = " ".join(part for part in (stem, title) if part)
    what = f"Distribution of {named} over samples: {', '.join(line.name for line in lines)}"
    return {
        "title": title,
        "stem": stem if stem in STEMS else "",
        "rows": rows,
        "figure": figures.distributions(what, unit, lines),
    }


def entries(run: Run, model: str) -> list[Mapping[str, Any]]:
    """What a run's config says of a model: as a rule one entry, with its name, weights and options."""

    def row(entry: Mapping[str, Any]) -> Any:
        name = entry.get("name")
        of_folder = isinstance(name, str) and name.startswith(FOLDER)
        return entry.get("label") or (folder_row(name.removeprefix(FOLDER)) if of_folder else name)

    return [
        entry
        for entry in run.record["config"].get("models") or []
        if isinstance(entry, Mapping) and row(entry) == model
    ]


def reproduce(run: Run, model: str) -> str:
    """What to type to make the run's scores of a model again: a command, or a config file and a command."""
    config = run.record["config"]
    grid = config.get("grid") or {}
    options = [
        part
        for name in ("fps", "transition_lambda", "window", "timebase")
        if grid.get(name)
        for part in (f"--{name.replace('_', '-')}", ",".join(_plain(value) for value in grid[name]))
    ]
    options += ["--embedding", ",".join(map(str, config["embeddings"]))] if config.get("embeddings") else []
    if "eval" in config:
        reference = ["--reference", str(config["reference"])] if config.get("reference") else []
        return shlex.join(["mtbench", "eval", str(config["eval"]), *reference, *options])
    kept = {key: value for key, value in config.items() if key != "models" and value is not None}
    chosen = [{key: value for key, value in entry.items() if value} for entry in entries(run, model)]
    by_options = {key for key, value in config.items() if value} <= PLAIN and config.get("task", "total") == "total"
    if by_options and all(entry.keys() <= {"name"} for entry in chosen):
        flags = [
            part
            for name, flag in (("suite", "--suite"), ("n", "-n"), ("seed", "--seed"))
            if config.get(name) is not None
            for part in (flag, str(config[name]))
        ]
        return shlex.join(
            [
                "mtbench",
                "run",
                "--models",
                *(str(entry["name"]) for entry in chosen or [{"name": model}]),
                *flags,
                *options,
            ]
        )
    text = yaml.safe_dump({"models": chosen or [model], **kept}, sort_keys=False, allow_unicode=True)
    return f"# reproduce.yaml\n{text}\n# then type\nmtbench run --config reproduce.yaml"


def flat(values: Any, prefix: str = "") -> list[tuple[str, str]]:
    """A mapping from outside as (name, text), nested names joined by dots."""
    if isinstance(values, Mapping):
        return [
            pair for key, value in values.items() for pair in flat(value, f"{prefix}.{key}" if prefix else str(key))
        ]
    return [(prefix, ", ".join(map(str, values)) if isinstance(values, (list, tuple)) else str(values))]


def _by_track(part: pd.DataFrame) -> dict[str, list[float]]:
    """Of each track's one score the value, the ends of its interval, and how many clips were scored of how many."""
    columns = ("track", "value", "ci_low", "ci_high", "n_scored", "n")
    return {track: numbers for track, *numbers in zip(*(part[column] for column in columns))}


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
