"""The board's tables: one row per model, one column per metric and track, and a score for every setting.

Ranks come from the comparisons of the runs. board.js shows the part of the board that the reader selects.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from typing import Any, NamedTuple

import pandas as pd

from mtbench.controls import CONTROLS
from mtbench.metrics import Metric
from mtbench.registry import metrics
from mtbench.report import selection, text
from mtbench.report.site.sources import SiteRun, slug, unique
from mtbench.report.tables import Table, paper_tables
from mtbench.results.keys import COMPARISON_COLUMNS, NAN, SETTING_NUMBERS
from mtbench.results.tables import rank
from mtbench.settings import TIMEBASES, Setting

TASKS = {"total": "Total generation", "arrangement": "Arrangement"}
PAPERS = {"synctrack-iclr2026": "SyncTrack, ICLR 2026", "mt-musicldm-2024": "MT-MusicLDM, 2024"}
# What a reader can select on a board, in the order of a score's indices; `fad`: embedding and reference.
DIMENSIONS = ("given", *Setting._fields, "fad")


@dataclass(frozen=True)
class Column:
    """A metric of a track. views: the board's selections of columns that include it."""

    metric: Metric
    track: str
    version: str
    title: str
    views: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """A row of the board.

    run: index into the board's runs, -1 for a reported row. kind: measured, embedded (trained on synthetic songs),
    control or reported.
    """

    model: str
    run: int
    kind: str
    note: str
    page: str


class Score(NamedTuple):
    """A score of the board.

    `row` to `fad` are indices into the board's rows, columns and settings, -1 if the metric does not depend on that
    setting. The other fields are None if unknown.
    """

    row: int
    column: int
    given: int
    timebase: int
    fps: int
    transition_lambda: int
    window: int
    fad: int
    value: float | None
    low: float | None
    high: float | None
    n: int | None
    n_scored: int | None
    rank: int | None


@dataclass(frozen=True)
class Board:
    """One table per task and suite.

    settings: {dimension: its values}. standard: {dimension or `run`: the index shown first}. ranked: whether any model
    was tested against another. tables: the scores shown first, as plain tables for a page without scripts. reported:
    plain tables of the scores in papers.
    """

    task: str
    suite: str
    slug: str
    runs: list[str]
    columns: list[Column]
    rows: list[Row]
    settings: dict[str, list[Any]]
    scores: list[Score] = field(repr=False)
    standard: dict[str, int]
    ranked: bool
    tables: list[Table]
    reported: list[Table]

    @property
    def title(self) -> str:
        return f"{TASKS.get(self.task, self.task)} · {self.suite or 'no suite'}"

    @property
    def first_rows(self) -> dict[str, Row]:
        """{model: its row} for the run shown first."""
        return {row.model: row for row in self.rows if row.run == 0}


def boards(runs: Sequence[SiteRun], reported: pd.DataFrame) -> list[Board]:
    """Return one board per task and suite: total generation first, then suites with runs first."""
    pairs = [pair for run in runs for pair in zip(run.scores["task"], run.scores["suite"])]
    pairs += list(zip(reported["task"], reported["suite"]))
    order = list(TASKS)
    keys = sorted(dict.fromkeys(pairs), key=lambda key: order.index(key[0]) if key[0] in order else len(order))
    taken: set[str] = set()
    names = [f"{task}-{suite}".strip("-").replace("/", "-").replace(":", "-") for task, suite in keys]
    return [_board(task, suite, unique(slug(name), taken), runs, reported) for (task, suite), name in zip(keys, names)]


def model_page(run: SiteRun, model: str) -> str:
    """Return the path of a model's page, relative to the site's root."""
    return f"models/{run.slug}/{slug(model)}.html"


def kind_of(run: SiteRun, model: str) -> str:
    """Return the `kind` of a model's row: measured, embedded or control."""
    if model in CONTROLS:
        return "control"
    return "embedded" if run.trained_on(model) == "synthetic songs" else "measured"


def as_json(board: Board) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    """Return the board as plain lists and numbers for board.js.

    The first value is the board with the scores for the given stems shown first. The second maps the index of every
    other set of given stems to its scores, which the page loads on demand. A score is a list; `fields` names its
    positions.
    """
    by_given: dict[int, list[Score]] = {}
    for score in board.scores:
        by_given.setdefault(score.given, []).append(score)
    first = by_given.pop(board.standard["given"], [])
    values = {
        "slug": board.slug,
        "runs": board.runs,
        "settings": board.settings,
        "words": _words(board.settings),
        "standard": board.standard,
        "views": _view_titles(board.columns),
        "columns": [
            {
                "title": column.title,
                "metric": column.metric.name,
                "views": column.views,
                "digits": column.metric.digits,
                "direction": column.metric.direction,
                "better": text.better(column.metric),
                "biased": column.metric.scope == "set",
            }
            for column in board.columns
        ],
        "rows": [asdict(row) for row in board.rows],
        "fields": Score._fields,
        "scores": first,
    }
    others = {
        given: {"slug": board.slug, "given": given, "scores": scores} for given, scores in sorted(by_given.items())
    }
    return values, others


def _board(task: str, suite: str, name: str, runs: Sequence[SiteRun], reported: pd.DataFrame) -> Board:
    measured = [(run, selection.installed(_of(run.scores, task, suite))) for run in runs]
    measured = [(run, scores) for run, scores in measured if len(scores)]
    papers = _of(reported, task, suite).assign(reference="", version="")
    everything = pd.concat([*(scores for _, scores in measured), papers])
    columns, settings = _columns(everything), _settings(everything)
    places = _Places(columns, settings)
    rows: list[Row] = []
    scores: list[Score] = []
    for number, (run, table) in enumerate(measured):
        ranks = rank(table[~table["model"].isin(list(CONTROLS))], run.comparisons).dropna()
        table = table.assign(rank=ranks)
        for model in table["model"].unique().tolist():
            for score in table[table["model"] == model].itertuples():
                scores += places.of(len(rows), score)
            rows.append(Row(model, number, kind_of(run, model), run.trained_on(model), model_page(run, model)))
    for paper, model in papers[["paper", "model"]].drop_duplicates().to_numpy().tolist():
        of_model = papers[(papers["paper"] == paper) & (papers["model"] == model)]
        for score in of_model.assign(ci_low=NAN, ci_high=NAN, n=NAN, n_scored=NAN, rank=NAN).itertuples():
            scores += places.of(len(rows), score)
        tables = list(dict.fromkeys(of_model["table"]))
        where = f"{'Tables' if len(tables) > 1 else 'Table'} {', '.join(tables)}"
        rows.append(Row(model, -1, "reported", f"{PAPERS.get(paper, paper)}, {where}", ""))
    first = measured[0][1] if measured else papers
    standard = _standard(settings, first, bool(measured))
    given = settings["given"][standard["given"]]
    return Board(
        task=task,
        suite=suite,
        slug=name,
        runs=[run.name for run, _ in measured],
        columns=columns,
        rows=rows,
        settings=settings,
        scores=scores,
        standard=standard,
        ranked=any(score.rank is not None for score in scores),
        tables=paper_tables(first[first["given"] == given], measured[0][0].comparisons) if measured else [],
        reported=_reported_tables(papers[papers["given"] == given]),
    )


def _of(table: pd.DataFrame, task: str, suite: str) -> pd.DataFrame:
    return table[(table["task"] == task) & (table["suite"] == suite)]


class _Places:
    """The positions of scores on a board."""

    def __init__(self, columns: Sequence[Column], settings: Mapping[str, list[Any]]):
        self.settings = settings
        self.columns = {(column.metric.name, column.track, column.version): i for i, column in enumerate(columns)}
        # A reported score has no version: it is shown in the column of the newest one.
        self.columns |= {(column.metric.name, column.track, ""): i for i, column in enumerate(columns)}

    def of(self, row: int, score: Any) -> Iterator[Score]:
        """Yield a score (SCORE_COLUMNS and rank) at its column and setting; a reported FAD once per reference.

        Yields nothing if the board has no such column, as for the share of live stems of single tracks.
        """
        column = self.columns.get((score.metric, score.track, score.version))
        if column is None:
            return
        for fad in _matching(self.settings["fad"], score):
            yield Score(
                row=row,
                column=column,
                given=self._index("given", score.given),
                timebase=self._index("timebase", score.timebase),
                fps=self._index("fps", score.fps),
                transition_lambda=self._index("transition_lambda", score.transition_lambda),
                window=self._index("window", score.window),
                fad=fad,
                value=_number(score.value),
                low=_number(score.ci_low),
                high=_number(score.ci_high),
                n=_count(score.n),
                n_scored=_count(score.n_scored),
                rank=_count(score.rank),
            )

    def _index(self, dimension: str, value: Any) -> int:
        values = self.settings[dimension]
        return values.index(value) if value in values else -1


def _columns(table: pd.DataFrame) -> list[Column]:
    """Return the columns: the metrics in their order, each with the mixture first, then all stems, then each stem."""
    keys = list(dict.fromkeys(zip(table["metric"], table["track"], table["version"])))
    measured = {(metric, track) for metric, track, version in keys if version}
    keys = [(metric, track, version) for metric, track, version in keys if version or (metric, track) not in measured]
    keys = [key for key in keys if key[1] == "all" or not selection.qualifies(metrics()[key[0]])]
    first, order = {"mixture": 0, "generated": 1, "all": 2}, list(metrics())
    keys.sort(key=lambda key: (order.index(key[0]), first.get(key[1], 3), *key[1:]))
    columns = []
    for name, track, version in keys:
        metric = metrics()[name]
        versions = sum(key[:2] == (name, track) for key in keys)
        title = text.title(metric, track) + (f" v{version}" if versions > 1 else "")
        columns.append(Column(metric, track, version, title, _views(metric, track)))
    return columns


def _views(metric: Metric, track: str) -> tuple[str, ...]:
    views = ["summary"] if track in metric.summary else []
    if metric.scope != "clip" and not selection.qualifies(metric):
        views.append(metric.name)
    elif metric.needs == "beats":
        views.append("sync")
    return (*views, "everything")


def _view_titles(columns: Sequence[Column]) -> list[tuple[str, str]]:
    """Return (key, title) of every non-empty selection of columns; the key is used in the page's address."""
    own = {column.metric.name: f"{column.metric.title} by stem" for column in columns}
    titles = {"summary": "Summary", **own, "sync": "Across stems", "everything": "All"}
    present = {view for column in columns for view in column.views}
    return [(view, title) for view, title in titles.items() if view in present]


def _settings(table: pd.DataFrame) -> dict[str, list[Any]]:
    """Return {dimension: the values that occur in the scores}."""
    numbers = {name: sorted(float(value) for value in table[name].dropna().unique()) for name in SETTING_NUMBERS}
    return {
        "given": sorted(table["given"].unique(), key=lambda given: (given.count("+") if given else -1, given)),
        "timebase": [base for base in TIMEBASES if (table["timebase"] == base).any()],
        **numbers,
        "fad": _fad_labels(table),
    }


def _words(settings: Mapping[str, list[Any]]) -> dict[str, list[str]]:
    """Return {dimension of a rhythm setting: its values in the words of `Setting.words`}."""
    whole = Setting("real", 1, 1, 1)
    return {
        name: [whole._replace(**{name: value}).words.split(", ")[place] for value in settings[name]]
        for place, name in enumerate(Setting._fields)
    }


def _fad_labels(table: pd.DataFrame) -> list[str]:
    """Return the embeddings and references of a table's FADs as labels; a reported FAD has no reference."""
    keys = list(dict.fromkeys(zip(table["embedding"], table["reference"])))
    labels = [f"{embedding}, {reference}" for embedding, reference in keys if reference]
    labels += [
        embedding
        for embedding, reference in keys
        if embedding and not reference and not any(label.startswith(f"{embedding}@") for label in labels)
    ]
    return list(dict.fromkeys(labels))


def _matching(labels: Sequence[str], score: Any) -> list[int]:
    """Return the indices of a score's FAD labels: all of its embedding for a reported FAD; [-1] for other metrics."""
    if not score.embedding:
        return [-1]
    if score.reference:
        return [labels.index(f"{score.embedding}, {score.reference}")]
    return [i for i, label in enumerate(labels) if label == score.embedding or label.startswith(f"{score.embedding}@")]


def _standard(settings: Mapping[str, list[Any]], shown: pd.DataFrame, measured: bool) -> dict[str, int]:
    """Return the setting shown first, as indices: the standard setting of the scores shown."""
    given = min(map(settings["given"].index, shown["given"]))
    indices = {"run": 0 if measured else -1, **dict.fromkeys(DIMENSIONS, 0), "given": given}
    setting = selection.standard_setting(shown[shown["given"] == settings["given"][given]])
    for name, value in (setting._asdict() if setting else {}).items():
        if value in settings[name]:  # false for NaN, which stands for "no window"
            indices[name] = settings[name].index(value)
    return indices


def _reported_tables(papers: pd.DataFrame) -> list[Table]:
    """Return the tables of each paper's scores, without ranks."""
    nothing = pd.DataFrame(columns=COMPARISON_COLUMNS)
    return [
        replace(table, title=f"{PAPERS.get(str(paper), paper)}: {table.title}")
        for paper, of_paper in papers.groupby("paper", sort=False)
        for table in paper_tables(of_paper.assign(ci_low=NAN, ci_high=NAN, n=NAN, n_scored=NAN), nothing)
    ]


def _number(value: float) -> float | None:
    """Round to six significant digits, finer than any interval; None if not finite, which JSON cannot express."""
    return float(f"{value:.6g}") if isfinite(value) else None


def _count(value: float) -> int | None:
    return int(value) if isfinite(value) else None
