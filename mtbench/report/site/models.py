"""The content of a model's page: scores by track, distributions over samples, and the commands to reproduce them."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import yaml
from markupsafe import Markup

from mtbench.config import folder_row
from mtbench.controls import CONTROLS
from mtbench.metrics import Metric
from mtbench.registry import metrics
from mtbench.report import selection, text
from mtbench.report.site import board, figures
from mtbench.report.site.sources import SiteRun
from mtbench.settings import TIMEBASES
from mtbench.stems import FOLDER

# The stems that have a colour, the same everywhere on the site (leaderboard/site.css). Other stems are grey.
COLOURED = ("bass", "drums", "guitar", "piano", "vocals", "other")
FIRST_TRACKS = ("mixture", "generated", "all")
# The fields of a config that can be set by command-line options.
OPTIONS = {"models", "suite", "task", "n", "seed", "grid", "embeddings"}


@dataclass(frozen=True)
class Cell:
    """A score as texts. ends: of its interval, None without one; scored: the clips with a score, of all clips."""

    value: str
    ends: tuple[str, str] | None
    scored: str

    @classmethod
    def of(cls, score: Any, digits: int) -> "Cell | None":
        """Return the cell of a score (SCORE_COLUMNS); None if it is missing or undefined."""
        if score is None or text.number(score.value, digits) == text.MISSING:
            return None
        ends = text.ends(score.ci_low, score.ci_high, digits)
        return cls(text.number(score.value, digits), ends, text.coverage(score.n_scored, score.n))


@dataclass(frozen=True)
class ScoreTable:
    """One row per track, one column per metric.

    setting: in words, empty without rhythm scores. columns: (metric, its embedding or empty). rows: (track, one cell
    per column).
    """

    task: str
    given: str
    setting: str
    columns: list[tuple[Metric, str]]
    rows: list[tuple[str, list[Cell | None]]]


@dataclass(frozen=True)
class Panel:
    """A figure of distributions and its numbers.

    stem: the stem that it shows, or empty. rows: (name, samples with a value of all samples, minimum, quartiles and
    maximum).
    """

    title: str
    stem: str
    figure: Markup
    rows: list[tuple[str, str, list[str]]]


@dataclass(frozen=True)
class PanelGroup:
    """Panels under one heading. source: the corresponding figures or table of the paper."""

    title: str
    source: str
    panels: list[Panel]


def facts(scores: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the numbers at the top of the page: clips generated, and how many have a windowed score across stems."""
    facts = [("clips", str(int(scores["n"].max())))]
    for metric in selection.of_clips():
        counts = scores[scores["metric"] == metric.name]["n_scored"]
        if metric.windowed and len(counts):
            few, most = int(counts.min()), int(counts.max())
            facts.append((f"clips with {metric.title}", f"{few} to {most}" if few < most else str(most)))
    return facts


def score_tables(scores: pd.DataFrame) -> list[ScoreTable]:
    """Return a model's tables with intervals: one per task, given stems and timebase, each at its standard setting."""
    scores = selection.installed(scores)
    tables = []
    for task, given in scores[["task", "given"]].drop_duplicates().itertuples(index=False):
        of_task = scores[(scores["task"] == task) & (scores["given"] == given)]
        # FAD and tuning have no timebase: they are only in the first table.
        timeless = of_task[of_task["timebase"] == ""]
        for base in [base for base in TIMEBASES if (of_task["timebase"] == base).any()] or [""]:
            tables.append(_score_table(task, given, of_task[of_task["timebase"] == base], timeless))
            timeless = timeless.iloc[:0]
    return tables


def _score_table(task: str, given: str, rhythm: pd.DataFrame, timeless: pd.DataFrame) -> ScoreTable:
    setting = selection.standard_setting(rhythm)
    shown = timeless if setting is None else pd.concat([timeless, selection.at_setting(rhythm, setting)])
    by_column: dict[tuple[str, str, str], dict[str, Any]] = {}  # {column: {track: score}}
    scores: list[Any] = list(shown.itertuples())
    for score in scores:
        by_column.setdefault((score.metric, score.embedding, score.reference), {})[score.track] = score
    order = list(metrics())
    keys = sorted(by_column, key=lambda key: order.index(key[0]))
    tracks = sorted(
        dict.fromkeys(track for key in keys for track in by_column[key]),
        key=lambda track: FIRST_TRACKS.index(track) if track in FIRST_TRACKS else len(FIRST_TRACKS),
    )
    rows = [(track, [Cell.of(by_column[key].get(track), metrics()[key[0]].digits) for key in keys]) for track in tracks]
    columns = [(metrics()[name], embedding) for name, embedding, _ in keys]
    words = "" if setting is None else setting.words
    return ScoreTable(board.TASKS.get(task, task), given, words, columns, rows)


def standard_samples(run: SiteRun) -> pd.DataFrame | None:
    """Return the rhythm scores of individual samples at the standard setting (SAMPLE_COLUMNS); None if not kept."""
    setting = None if run.samples is None else selection.standard_setting(run.samples)
    return None if setting is None or run.samples is None else selection.at_setting(run.samples, setting)


def distributions(samples: pd.DataFrame | None, model: str) -> list[PanelGroup]:
    """Return groups of figures: total generation, and arrangement by given stems.

    Inner-track rhythmic stability (IRS) is drawn for each stem (Figure A3) and for all stems (A7), cross-track beat
    synchronization (CBS) and dispersion (CBD) as in Figure A4.

    samples: from `standard_samples`. Panels without values and groups without panels are left out.
    """
    if samples is None:
        return []
    total = samples[(samples["task"] == "total") & (samples["given"] == "")]
    arranged = samples[(samples["task"] == "arrangement") & (samples["model"] == model)]
    groups = [
        PanelGroup(
            "Total generation",
            "Our versions of Figures A3, A4 and A7 of the SyncTrack paper",
            _panels_of_models(total, model) if (total["model"] == model).any() else [],
        ),
        PanelGroup("Arrangement, by given stems", "As in Table A5 of the SyncTrack paper", _panels_by_given(arranged)),
    ]
    groups = [PanelGroup(group.title, group.source, [p for p in group.panels if p.figure]) for group in groups]
    return [group for group in groups if group.panels]


def _panels_of_models(samples: pd.DataFrame, model: str) -> list[Panel]:
    """Return a model's distributions together with those of the other models; the controls come last."""
    others = [name for name in dict.fromkeys(samples["model"]) if name != model]
    order = [model, *sorted(others, key=lambda name: name in CONTROLS)]

    def panel(metric: Metric, title: str, of_metric: pd.DataFrame, stem: str = "") -> Panel:
        own = f"stem-{stem}" if stem in COLOURED else "me"
        values = [of_metric[of_metric["model"] == name]["value"].to_numpy(np.float64) for name in order]
        violins = [figures.Violin(name, own if name == model else "other", v) for name, v in zip(order, values)]
        return distribution(title, metric, violins, stem)

    panels = []
    for metric in selection.judged(selection.of_tracks()):
        of_metric = samples[samples["metric"] == metric.name]
        for stem in dict.fromkeys(of_metric["track"]):
            panels.append(panel(metric, metric.title, of_metric[of_metric["track"] == stem], stem))
        panels.append(panel(metric, f"{metric.title} of all stems", of_metric))
    for metric in selection.judged(selection.of_clips()):
        panels.append(panel(metric, metric.title, samples[samples["metric"] == metric.name]))
    return panels


def _panels_by_given(samples: pd.DataFrame) -> list[Panel]:
    """Return a model's arrangement panels: one per main metric across stems, with a row per set of given stems."""
    panels = []
    for metric in selection.main(selection.of_clips()):
        of_metric = samples[samples["metric"] == metric.name]
        violins = [
            figures.Violin(
                f"given {given}" if given else "nothing given",
                "me",
                of_metric[of_metric["given"] == given]["value"].to_numpy(np.float64),
            )
            for given in of_metric["given"].unique().tolist()
        ]
        panels.append(distribution(metric.title, metric, violins))
    return panels


def distribution(title: str, metric: Metric, violins: Sequence[figures.Violin], stem: str = "") -> Panel:
    """Return a figure of distributions and its numbers; the figure is empty if no sample has a value."""
    rows = []
    for violin in violins:
        values = violin.values[np.isfinite(violin.values)]
        quantiles = np.quantile(values, [0, 0.25, 0.5, 0.75, 1]).tolist() if len(values) else []
        texts = [text.number(value, metric.digits) for value in quantiles]
        rows.append((violin.name, text.coverage(len(values), len(violin.values)), texts))
    named = " ".join(word for word in (stem, title) if word)
    what = f"Distribution of {named} over samples: {', '.join(violin.name for violin in violins)}"
    figure = figures.distributions(what, metric.unit, violins)
    return Panel(title, stem, figure, rows)


def entries(run: SiteRun, model: str) -> list[Mapping[str, Any]]:
    """Return the entries of a run's config for a model: usually one, with its name, weights and options."""

    def row(entry: Mapping[str, Any]) -> Any:
        name = entry.get("name")
        of_folder = isinstance(name, str) and name.startswith(FOLDER)
        return entry.get("label") or (folder_row(str(name).removeprefix(FOLDER)) if of_folder else name)

    listed = run.record["config"].get("models") or []
    return [entry for entry in listed if isinstance(entry, Mapping) and row(entry) == model]


def reproduce(run: SiteRun, model: str) -> str:
    """Return what reproduces a model's scores in a run: a command, or a config file and a command."""
    config = run.record["config"]
    options = _grid_options(config.get("grid") or {})
    options += ["--embedding", ",".join(map(str, config["embeddings"]))] if config.get("embeddings") else []
    if "eval" in config:
        folders = [config["eval"]] if isinstance(config["eval"], str) else list(config["eval"])
        if not folders:
            return "# The clips were passed to mtbench.evaluate() in Python, as arrays."
        reference = ["--reference", str(config["reference"])] if config.get("reference") else []
        stems = ["--stems", ",".join(map(str, config["stems"]))] if config.get("stems") else []
        return shlex.join(["mtbench", "eval", *map(str, folders), *reference, *stems, *options])
    chosen = [{key: value for key, value in entry.items() if value} for entry in entries(run, model)]
    by_options = {key for key, value in config.items() if value} <= OPTIONS and config.get("task", "total") == "total"
    if by_options and all(entry.keys() <= {"name"} for entry in chosen):
        names = [str(entry["name"]) for entry in chosen] or [model]
        flags = {"suite": "--suite", "n": "-n", "seed": "--seed"}
        given = [(flag, str(config[name])) for name, flag in flags.items() if config.get(name) is not None]
        return shlex.join(["mtbench", "run", "--models", *names, *(word for pair in given for word in pair), *options])
    kept = {key: value for key, value in config.items() if key != "models" and value is not None}
    listed: list[Any] = [*chosen] or [model]
    file = yaml.safe_dump({"models": listed, **kept}, sort_keys=False, allow_unicode=True)
    return f"# reproduce.yaml\n{file}\n# then run\nmtbench run --config reproduce.yaml"


def _grid_options(grid: Mapping[str, Any]) -> list[str]:
    """Return the parts of a grid that are set as command-line words: ``--fps 100,150 ...``."""
    options = []
    for name in ("fps", "transition_lambda", "window", "timebase"):
        if grid.get(name):
            values = [f"{value:g}" if isinstance(value, float) else str(value) for value in grid[name]]
            options += [f"--{name.replace('_', '-')}", ",".join(values)]
    return options


def flat(values: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Flatten an untrusted mapping into (name, text) pairs, with nested names joined by dots."""
    if isinstance(values, Mapping):
        return [
            pair for key, value in values.items() for pair in flat(value, f"{prefix}.{key}" if prefix else str(key))
        ]
    return [(prefix, ", ".join(map(str, values)) if isinstance(values, (list, tuple)) else str(values))]
