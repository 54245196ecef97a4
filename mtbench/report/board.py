"""The board's tables: a row a model, a column a metric and track, a score for every setting; ranks from comparisons."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import pandas as pd

from mtbench.controls import CONTROLS
from mtbench.registry import metrics
from mtbench.report.sources import Run, slug, unique
from mtbench.report.tables import DIGITS, standard_setting
from mtbench.results.tables import rank

TASKS = {"total": "Total generation", "arrangement": "Arrangement"}
PAPERS = {"synctrack-iclr2026": "SyncTrack, ICLR 2026", "mt-musicldm-2024": "MT-MusicLDM, 2024"}
SUMMARY = (
    ("fad", "mixture"),
    ("fad", "generated"),
    ("irs", "all"),
    ("cbs", "all"),
    ("cbd_mean", "all"),
    ("live", "all"),
)


@dataclass(frozen=True)
class Column:
    """A metric of a track. views: in which of the board's selections of columns it is shown."""

    metric: str
    track: str
    version: str
    title: str
    views: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """A line of the board. kind: measured, embedded (trained on synthetic songs), control or reported."""

    model: str
    run: int  # of the table's runs; -1 for a reported one
    kind: str
    note: str
    page: str


@dataclass
class Board:
    """One table a task and suite.

    settings: the values of each dimension, {'given', 'timebase', 'fps', 'transition_lambda', 'window', 'fad'}.
    scores: [row, column, given, timebase, fps, lambda, window, fad, value, low, high, n, n_scored, rank], the settings
    as indices (-1: the metric has no such setting), None where there is no number. standard: the indices shown first.
    """

    task: str
    suite: str
    slug: str
    runs: list[str]
    columns: list[Column]
    rows: list[Row]
    settings: dict[str, list]
    scores: list[list] = field(repr=False)
    standard: dict[str, int]
    ranked: bool

    @property
    def title(self) -> str:
        return f"{TASKS.get(self.task, self.task)} · {self.suite or 'no suite'}"


def boards(runs: Sequence[Run], reported: pd.DataFrame) -> list[Board]:
    """Every table that the runs and the reported scores fill: total generation first, suites with runs first."""
    pairs = [pair for run in runs for pair in zip(run.scores["task"], run.scores["suite"])]
    pairs += list(zip(reported["task"], reported["suite"]))
    found = list(dict.fromkeys(pairs))
    found.sort(key=lambda pair: list(TASKS).index(pair[0]) if pair[0] in TASKS else len(TASKS))
    taken: set[str] = set()
    names = [f"{task}-{suite}".strip("-").replace("/", "-").replace(":", "-") for task, suite in found]
    return [_board(task, suite, unique(slug(name), taken), runs, reported) for (task, suite), name in zip(found, names)]


def model_page(run: Run, model: str) -> str:
    """Where a model's page is, from the site's root."""
    return f"models/{run.slug}/{slug(model)}.html"


def kind_of(run: Run, model: str) -> str:
    if model in CONTROLS:
        return "control"
    return "embedded" if run.trained_on(model) == "synthetic songs" else "measured"


def scale(values: Sequence[tuple[float | None, float | None, float | None]]) -> tuple[float, float]:
    """The ends of a column's axis: those of its competitors' values and intervals."""
    numbers = [number for triple in values for number in triple if number is not None]
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return low - room, high + room


def as_json(board: Board) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    """What board.js shows, plain lists and numbers: the board with the scores beside the stems given first, and by index of
    other given stems their scores, which a page loads when somebody asks for them."""
    scores: dict[int, list] = {}
    for score in board.scores:
        scores.setdefault(score[2], []).append(score)
    first = scores.pop(board.standard["given"], [])
    return {
        "slug": board.slug,
        "title": board.title,
        "runs": board.runs,
        "settings": board.settings,
        "standard": board.standard,
        "columns": [
            {
                "title": column.title,
                "metric": column.metric,
                "views": column.views,
                "digits": DIGITS.get(column.metric, 3),
                "direction": metrics()[column.metric].direction,
                "unit": metrics()[column.metric].unit,
            }
            for column in board.columns
        ],
        "rows": [[row.model, row.run, row.kind, row.note, row.page] for row in board.rows],
        "scores": first,
    }, {given: {"slug": board.slug, "given": given, "scores": held} for given, held in sorted(scores.items())}


def shown(board: Board) -> list[dict[str, Any]]:
    """The rows of the standard setting in order of the first column with a direction, for a page without scripts.

    Each is {row, rank, cells, coverage}; a cell is None or {text, low, high, left, width, at, best}.
    """
    standard, digits = board.standard, [DIGITS.get(column.metric, 3) for column in board.columns]
    wanted = [standard[name] for name in ("given", "timebase", "fps", "transition_lambda", "window", "fad")]
    found: dict[tuple[int, int], list] = {}
    for score in board.scores:
        if all(index in (-1, want) for index, want in zip(score[2:8], wanted)):
            found[score[0], score[1]] = score
    columns = [i for i, column in enumerate(board.columns) if "summary" in column.views]
    visible = [
        i
        for i, row in enumerate(board.rows)
        if row.run in (-1, standard["run"]) and any((i, c) in found for c in columns)
    ]
    lead = next(
        (
            c
            for c in columns
            if metrics()[board.columns[c].metric].direction
            and any(board.rows[i].kind != "reported" and (i, c) in found for i in visible)
        ),
        -1,
    )
    sign = -metrics()[board.columns[lead].metric].direction or 1

    def order(i: int) -> tuple:  # reported ones by name: papers take over each other's numbers
        score = found.get((i, lead)) if board.rows[i].kind != "reported" else None
        return (score is None or score[8] is None, sign * (score[8] or 0) if score else 0, board.rows[i].model, i)

    lines = {
        i: {
            "row": board.rows[i],
            "cells": [],
            "rank": (found.get((i, lead)) or [None])[-1],
            "coverage": _coverage([found.get((i, c)) for c in (lead, *columns)]),
        }
        for i in sorted(visible, key=order)
    }
    for c in columns:
        competing = [found[i, c] for i in visible if (i, c) in found and board.rows[i].kind in ("measured", "embedded")]
        low, high = scale([tuple(score[8:11]) for score in competing])
        for i, line in lines.items():
            score = found.get((i, c))
            if score is None or score[8] is None:
                line["cells"].append(None)
                continue
            line["cells"].append(
                {
                    "text": f"{score[8]:.{digits[c]}f}",
                    "ends": None
                    if score[9] is None or score[10] is None
                    else [f"{end:.{digits[c]}f}" for end in score[9:11]]
                    + [_percent(end, low, high) for end in score[9:11]],
                    "at": _percent(score[8], low, high),
                    "best": score in competing and score[13] == 1,
                }
            )
    return list(lines.values())


def _percent(value: float, low: float, high: float) -> float:
    return round(min(max((value - low) / (high - low), 0.0), 1.0) * 100, 1)


def _coverage(scores: Sequence[Sequence | None]) -> str:
    """The counts of the first of these scores that has some."""
    return next((f"{score[12]}/{score[11]}" for score in scores if score and score[11] is not None), "")


def _board(task: str, suite: str, name: str, runs: Sequence[Run], reported: pd.DataFrame) -> Board:
    held = [(run, run.scores[(run.scores["task"] == task) & (run.scores["suite"] == suite)]) for run in runs]
    held = [(run, part) for run, part in held if len(part)]
    papers = reported[(reported["task"] == task) & (reported["suite"] == suite)]
    together = pd.concat([part for _, part in held] + [papers.assign(reference="", version="")])
    columns = _columns(together)
    settings = {
        "given": sorted(together["given"].unique(), key=lambda text: (text.count("+") if text else -1, text)),
        "timebase": [base for base in ("real", "published") if (together["timebase"] == base).any()],
        **{
            name: sorted(float(value) for value in together[name].dropna().unique())
            for name in ("fps", "transition_lambda", "window")
        },
        "fad": _fad_labels(together),
    }
    where = {(column.metric, column.track, column.version): i for i, column in enumerate(columns)}
    latest = {(column.metric, column.track): column.version for column in columns}
    rows, table = [], []

    def add(
        row: int, score: Any, version: str, low: float, high: float, n: float, scored: float, place: int | None
    ) -> None:
        column = where.get((score.metric, score.track, version))
        if column is None:  # live stems one by one, or a metric of a later mtbench
            return
        index = [
            settings["given"].index(score.given),
            settings["timebase"].index(score.timebase) if score.timebase else -1,
        ]
        index += [_index(settings[name], getattr(score, name)) for name in ("fps", "transition_lambda", "window")]
        tail = [_number(score.value), _number(low), _number(high), _count(n), _count(scored), place]
        for label in _matching(settings["fad"], score):
            table.append([row, column, *index, label, *tail])

    ranked = False
    for number, (run, part) in enumerate(held):
        competing = part[~part["model"].isin(CONTROLS) & part["metric"].isin(metrics())]
        places = rank(competing, run.comparisons).dropna().astype(int).to_dict()
        ranked |= bool(places)
        for model, of_model in part.groupby("model", sort=False):
            rows.append(Row(model, number, kind_of(run, model), run.trained_on(model), model_page(run, model)))
            for score in of_model.itertuples():
                add(
                    len(rows) - 1,
                    score,
                    score.version,
                    score.ci_low,
                    score.ci_high,
                    score.n,
                    score.n_scored,
                    places.get(score.Index),
                )
    for (paper, model), of_model in papers.groupby(["paper", "model"], sort=False):
        tables = ", ".join(dict.fromkeys(of_model["table"]))
        rows.append(Row(model, -1, "reported", f"{PAPERS.get(paper, paper)}, Table {tables}", ""))
        for score in of_model.itertuples():
            add(len(rows) - 1, score, latest[score.metric, score.track], *[float("nan")] * 4, None)
    return Board(
        task,
        suite,
        name,
        [run.name for run, _ in held],
        columns,
        rows,
        settings,
        table,
        _standard(settings, held[0][1] if held else papers, bool(held)),
        ranked,
    )


def _columns(table: pd.DataFrame) -> list[Column]:
    """Mixture first, then all stems together, then each; the metrics in their own order."""
    found = list(dict.fromkeys(zip(table["metric"], table["track"], table["version"])))
    measured = {(metric, track) for metric, track, version in found if version}
    found = [(metric, track, version) for metric, track, version in found if version or (metric, track) not in measured]
    first = {"mixture": 0, "generated": 1, "all": 2}
    found = [key for key in found if key[0] in metrics() and (key[0] != "live" or key[1] == "all")]
    found.sort(key=lambda key: (list(metrics()).index(key[0]), first.get(key[1], 3), *key[1:]))
    versions = {(metric, track): sum(key[:2] == (metric, track) for key in found) for metric, track, _ in found}
    columns = []
    for metric, track, version in found:
        title = metrics()[metric].title + ("" if track == "all" or metric == "clipped" else f" {track}")
        if versions[metric, track] > 1:
            title += f" v{version}"
        views = ["everything"]
        if (metric, track) in SUMMARY:
            views.append("summary")
        if metric in ("fad", "irs", "tuning"):
            views.append(metric)
        if metric in ("cbs", "cbd_mean", "cbd_std", "cbd_median", "live"):
            views.append("sync")
        columns.append(Column(metric, track, version, title, tuple(views)))
    return columns


def _fad_labels(table: pd.DataFrame) -> list[str]:
    """What FADs of a table are against: embedding and reference. Reported ones have no reference of their own."""
    fad = table[table["metric"] == "fad"]
    labels = [
        f"{embedding}, {reference}" for embedding, reference in zip(fad["embedding"], fad["reference"]) if reference
    ]
    labels += [
        embedding
        for embedding, reference in zip(fad["embedding"], fad["reference"])
        if not reference and not any(label.startswith(f"{embedding}@") for label in labels)
    ]
    return list(dict.fromkeys(labels))


def _matching(labels: Sequence[str], score: Any) -> list[int]:
    """The labels under which a score stands: its own; for a reported FAD every one of its embedding; else none, -1."""
    if score.metric != "fad":
        return [-1]
    if score.reference if hasattr(score, "reference") else "":
        return [labels.index(f"{score.embedding}, {score.reference}")]
    return [i for i, label in enumerate(labels) if label == score.embedding or label.startswith(f"{score.embedding}@")]


def _standard(settings: dict[str, list], shown: pd.DataFrame, measured: bool) -> dict[str, int]:
    """The setting that is shown first, as indices: the standard one of the scores shown, those of the first run if any."""
    given = min(map(settings["given"].index, shown["given"]))
    chosen = {
        "run": 0 if measured else -1,
        "given": given,
        "timebase": 0,
        "fad": 0,
        "fps": 0,
        "transition_lambda": 0,
        "window": 0,
    }
    setting = standard_setting(shown[shown["given"] == settings["given"][given]])
    if setting is not None:
        chosen |= {name: settings[name].index(value) for name, value in setting._asdict().items() if value == value}
    return chosen


def _index(values: list[float], value: float) -> int:
    return -1 if value != value else values.index(value)


def _number(value: float) -> float | None:
    """Six significant digits are more than any interval is wide; None where it is no finite number, which JSON lacks."""
    return float(f"{value:.6g}") if isfinite(value) else None


def _count(value: float) -> int | None:
    return int(value) if isfinite(value) else None
