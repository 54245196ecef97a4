"""Write the site: compute the content of every page and fill the templates."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mtbench.errors import UsageError
from mtbench.files import check_writable
from mtbench.report import selection
from mtbench.report.site import board, figures, lengths, listening, models, sensitivity, sources
from mtbench.report.site.folder import JSON_ROWS, File, SiteFolder
from mtbench.report.site.listening import Sample
from mtbench.report.site.sources import SiteRun, Sources
from mtbench.report.tables import LEGEND

CLICK_FPS = 150  # frames/s of the published scripts, for the figure that shows their effect on a click track


def write(paths: Sequence[Path], out: Path) -> Path:
    """Write the site of some runs into `out` and return the path of its first page.

    A path is a run folder or a folder of run folders, such as ``results/``, which also contains the published numbers.
    Raises UsageError, naming the file, if a folder contains no finished run or cannot be written.
    """
    gathered = sources.gather(paths)
    if out.resolve() in [run.path.resolve() for run in gathered.runs]:
        raise UsageError(f"{out} is a run folder; choose another --out, such as {out / 'site'}")
    check_writable(out, "choose another --out")
    site = SiteFolder(out)
    site.static()
    samples = [sample for run in gathered.runs for sample in listening.choose(run)]
    by_length = lengths.find(gathered.runs)
    _board_pages(site, gathered)
    for run in gathered.runs:
        _model_pages(site, run, samples, by_length)
    _listening_pages(site, gathered.runs, samples)
    _sensitivity_pages(site, gathered.runs, by_length)
    _data_page(site, gathered)
    return out / "index.html"


def _board_pages(site: SiteFolder, gathered: Sources) -> None:
    boards = board.boards(gathered.runs, sources.reported(gathered.published))
    for table in boards:
        first, others = board.as_json(table)
        site.script(f"data/board-{table.slug}.js", "mtbenchBoard", first)
        for given, scores in others.items():
            site.script(f"data/board-{table.slug}/{given}.js", "mtbenchScores", scores)
    failures = [
        {"run": run.name, "given": "", **failure}  # failures of old runs do not have the given stems
        for run in gathered.runs
        if run.failures is not None
        for failure in run.failures.to_dict("records")
    ]
    site.page("index.html", "index.html", boards=boards, failures=failures, legend=LEGEND)


def _model_pages(
    site: SiteFolder, run: SiteRun, samples: Sequence[Sample], by_length: Sequence[lengths.Lengths]
) -> None:
    of_samples = models.standard_samples(run)
    for model in dict.fromkeys(run.scores["model"]):
        scores = run.scores[run.scores["model"] == model]
        failures = [] if run.failures is None else run.failures[run.failures["model"] == model].to_dict("records")
        page = board.model_page(run, model)
        site.page(
            page,
            "model.html",
            run=run,
            model=model,
            kind=board.kind_of(run, model),
            trained_on=run.trained_on(model),
            facts=models.facts(scores),
            tables=models.score_tables(scores),
            every=site.csv(page.removesuffix(".html") + ".csv", scores),
            count=len(scores),
            by_length=any(
                run is other for of_model in by_length if of_model.model == model for other, _ in of_model.runs.values()
            ),
            samples_kept=of_samples is not None,
            figures=models.distributions(of_samples, model),
            listen=[sample for sample in samples if sample.run is run and sample.model == model],
            kept=run.failures is not None,
            failures=failures,
            provenance=models.flat(run.provenances.get(model, {})),
            config=run.record["config"],
            versions=models.flat(run.record["versions"]),
            beats=models.flat(run.record.get("beats") or {}),
            reproduce=models.reproduce(run, model),
        )


def _listening_pages(site: SiteFolder, runs: Sequence[SiteRun], samples: Sequence[Sample]) -> None:
    groups: dict[tuple[str, str], dict[str, list[Sample]]] = {}
    for sample in sorted(samples, key=lambda sample: sample.task != "total"):
        groups.setdefault((sample.run.slug, sample.task), {}).setdefault(sample.model, []).append(sample)
    site.page(
        "listening.html",
        "listening.html",
        groups=groups,
        judge=listening.judge(),
        without=[run.name for run in runs if not any(sample.run is run for sample in samples)],
        runs={run.slug: run.name for run in runs},
        tasks=board.TASKS,
    )
    media = _Media(site)
    for sample in samples:
        _sample_page(media, sample, groups[sample.run.slug, sample.task])


class _Media:
    """The audio and pictures of a site; each file is written once, even if several pages use it."""

    def __init__(self, site: SiteFolder):
        self.site = site
        self.seconds: dict[str, float] = {}  # {picture: length in s}
        self.scripts: set[str] = set()

    def picture(self, name: str, paths: Sequence[Path]) -> float:
        """Write the mel spectrogram of the files' sum and return its length in s."""
        if name not in self.seconds:
            columns, self.seconds[name] = listening.mel(paths)
            self.site.put(f"mel/{name}.png", listening.picture(columns))
        return self.seconds[name]

    def audio(self, name: str, path: Path) -> None:
        """Write a stem as a script."""
        if name not in self.scripts:
            self.scripts.add(name)
            self.site.put(f"audio/{name}.js", listening.audio_script(name, path).encode())


def _sample_page(media: _Media, sample: Sample, group: dict[str, list[Sample]]) -> None:
    """Write the page of a sample. group: {model: its samples} for the same run and task."""
    lanes = listening.lanes(sample)
    for lane in lanes:
        media.picture(lane.audio, [sample.stems[lane.stem]])
        media.audio(lane.audio, sample.stems[lane.stem])
    mixture = listening.file_hash("".join(lane.audio for lane in lanes).encode())
    seconds = media.picture(mixture, [sample.stems[lane.stem] for lane in lanes])
    media.site.page(
        sample.page,
        "sample.html",
        sample=sample,
        lanes=lanes,
        seconds=seconds,
        mixture=mixture,
        scores=[(metric, sample.score(metric, metric.track)) for metric in selection.judged(selection.of_clips())],
        same=[
            (model, other)
            for model, others in group.items()
            for other in others
            if (other.id, other.given) == (sample.id, sample.given) and model != sample.model
        ],
        others=[other for other in group[sample.model] if other is not sample],
        model_page=board.model_page(sample.run, sample.model),
        kind=board.kind_of(sample.run, sample.model),
        tasks=board.TASKS,
    )


def _sensitivity_pages(site: SiteFolder, runs: Sequence[SiteRun], by_length: Sequence[lengths.Lengths]) -> None:
    """Write the sensitivity pages: the first one and one per run.

    The first page has the content that does not belong to a single run. Without tables by clip length, it also shows
    the run with the most scores, which then has no separate page.
    """
    site.put("data/click-120bpm.flac", listening.click_track())
    by_suite = lengths.by_suite(by_length)
    pages: dict[str, sensitivity.Sensitivity | None] = {"sensitivity.html": None}
    for run in runs:
        if (of_run := sensitivity.of_run(run)) is not None:
            first = pages["sensitivity.html"] is None and len(pages) == 1 and not by_suite
            pages["sensitivity.html" if first else f"sensitivity/{run.slug}.html"] = of_run
    shared = {
        "links": [(of_run.run.name, name) for name, of_run in pages.items() if of_run is not None],
        "lengths": by_suite,
        "click": figures.timebases(np.arange(0.25, 9.9, 0.5), 100 / CLICK_FPS, 10.0),
    }
    for name, of_run in pages.items():
        site.page(name, "sensitivity.html", item=of_run, **shared)


def _data_page(site: SiteFolder, gathered: Sources) -> None:
    """Write every table as CSV and JSON, and the page that links them.

    A table covers all runs, with the run's name in a column `run`. Only the scores of samples, which may be millions of
    rows, have one file per run.
    """
    tables: list[dict[str, Any]] = []

    def add(name: str, what: str, table: pd.DataFrame, csv: File, json_name: str) -> None:
        tables.append({"name": name, "what": what, "rows": len(table), "files": [csv, *site.json(json_name, table)]})

    def put(name: str, what: str, table: pd.DataFrame) -> None:
        add(name, what, table, site.csv(f"data/{name}.csv", table), f"data/{name}.json")

    chosen: tuple[tuple[str, str, Callable[[SiteRun], pd.DataFrame | None]], ...] = (
        ("scores", "Every measured score with its key, value, 95% interval and counts", lambda run: run.scores),
        (
            "comparisons",
            "Every pair of models with difference, interval and p-value",
            lambda run: run.comparisons if len(run.comparisons) else None,
        ),
        ("failures", "Samples that could not be generated or scored, with the reason", lambda run: run.failures),
    )
    for name, what, pick in chosen:
        of_runs = [(run.name, table) for run in gathered.runs if (table := pick(run)) is not None]
        if of_runs:
            put(name, what, _joined(of_runs))
    what = (
        "Scores of individual samples, at the settings that the run kept. In rows of the metric fad, the value is not "
        "a sample's own FAD but its contribution to the FAD of the set, which is the mean of these values"
    )
    for run in gathered.runs:
        if run.samples is not None:
            name = f"data/samples-{run.slug}"
            csv = site.copy(f"{name}.csv", run.path / "samples.csv")
            add(f"samples of {run.name}", what, run.samples, csv, f"{name}.json")
    if gathered.published is not None:
        put("published", "Numbers as printed in papers; never ranked", gathered.published)
    records = {run.name: run.record for run in gathered.runs}
    site.put("data/runs.json", json.dumps(_finite(records), indent=1, default=str, sort_keys=True).encode())
    site.page(
        "data.html", "data.html", tables=tables, json_rows=JSON_ROWS, releases=gathered.releases, runs=gathered.runs
    )


def _joined(tables: Sequence[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """Join the tables of several runs, with the run's name as the first column."""
    table = pd.concat([table.assign(run=name) for name, table in tables], ignore_index=True)
    return table[["run", *[column for column in table.columns if column != "run"]]]


def _finite(values: Any) -> Any:
    """Replace numbers that are not finite, which JSON cannot express, by None in mappings and lists."""
    if isinstance(values, dict):
        return {key: _finite(value) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_finite(value) for value in values]
    return None if isinstance(values, float) and not np.isfinite(values) else values
