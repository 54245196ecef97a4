"""The leaderboard site: plain files from run folders and ``results/``, which open from disk and load nothing else.

One way through: `sources` reads, `board`, `models`, `lengths`, `sensitivity` and `listening` choose and compute, `figures`
draws, and this module lays it out in the templates of ``leaderboard/``. The same results make the same bytes: no clock, no
random number.
"""

import json
import shutil
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FunctionLoader, StrictUndefined

from mtbench.errors import UsageError
from mtbench.files import check_writable, whole_file
from mtbench.registry import metrics
from mtbench.report import board, figures, lengths, listening, models, sensitivity, sources
from mtbench.report.sources import Sources, slug
from mtbench.report.tables import DIGITS
from mtbench.settings import Setting
from mtbench.version import __version__

STATIC = ("site.css", "board.js", "player.js", "icon.svg")
JSON_ROWS = 200_000  # of a table; one with more rows is a CSV alone
CLICK_FPS = 150  # of the published scripts, on the page that shows what they do to a click track


def write(paths: Sequence[Path], out: Path) -> Path:
    """Write the site of some runs into `out`; returns the path of its first page.

    A path is a run folder, or a folder that holds some, as ``results/`` does with the published numbers beside them.
    Raises UsageError, naming the file, for a folder that holds no finished run or cannot be written.
    """
    held = sources.read(paths)
    if out.resolve() in [run.path.resolve() for run in held.runs]:
        raise UsageError(f"{out} is a run folder; choose another --out, such as {out / 'site'}")
    check_writable(out, "choose another --out")
    site = _Site(out)
    for name in STATIC:
        site.put(name, site.templates[name].encode())
    boards = board.boards(held.runs, sources.reported(held.published))
    samples = [sample for run in held.runs for sample in listening.choose(run)]
    _board_pages(site, boards, held)
    by_length = lengths.find(held.runs)
    _model_pages(site, held, samples, by_length)
    _listening_pages(site, held, samples)
    _sensitivity_pages(site, held, by_length)
    _data_page(site, held)
    return out / "index.html"


def script(name: str, values: Any) -> str:
    """A call with JSON that no text in it can end: a page opened from disk may load scripts, but fetch nothing."""
    text = json.dumps(values, ensure_ascii=True, separators=(",", ":"), allow_nan=False)  # ASCII escapes U+2028 as well
    return f"{name}({text.replace('<', chr(92) + 'u003c')})\n"


class _Site:
    """The folder that is written, and the templates."""

    def __init__(self, out: Path):
        self.out = out
        found = files("mtbench.leaderboard")
        self.templates = {
            item.name: item.read_text(encoding="utf-8")
            for item in found.iterdir()
            if item.name.endswith((".html", ".css", ".js", ".svg"))
        }
        # Everything is escaped, whatever the template's suffix: names and reasons come from outside.
        self.environment = Environment(
            loader=FunctionLoader(self.templates.get),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.globals |= {"metrics": metrics(), "version": __version__, "better": _better}

    def put(self, name: str, content: bytes) -> None:
        with whole_file(self.out / name) as file:
            file.write(content)

    def table(self, name: str, table: pd.DataFrame) -> dict[str, str]:
        """Write a table as CSV; returns its name and size for a link."""
        csv = table.to_csv(index=False, lineterminator="\n").encode(errors="backslashreplace")
        self.put(name, csv)
        return {"name": name, "size": _size(len(csv))}

    def copy(self, name: str, source: Path) -> dict[str, str]:
        """Copy a file as it is; returns its name and size for a link."""
        with source.open("rb") as held, whole_file(self.out / name) as file:
            shutil.copyfileobj(held, file)
        return {"name": name, "size": _size(source.stat().st_size)}

    def json(self, name: str, table: pd.DataFrame) -> list[dict[str, str]]:
        """Write a table as JSON unless it has too many rows; returns name and size for a link, if there is one."""
        if len(table) > JSON_ROWS:
            return []
        rows = table.to_json(orient="values", double_precision=15)  # null for NaN and for what is not finite
        text = f'{{"columns":{json.dumps(list(table.columns), separators=(",", ":"))},"rows":{rows}}}'.encode()
        self.put(name, text)
        return [{"name": name, "size": _size(len(text))}]

    def page(self, name: str, template: str, **values: Any) -> None:
        root = "../" * name.count("/")
        text = self.environment.get_template(template).render(root=root, here=name, **values)
        self.put(name, text.encode(errors="backslashreplace"))  # the name of a file may be no UTF-8


def _better(direction: int) -> str:
    return {-1: "lower is better", 1: "higher is better", 0: "neither is better"}[direction]


def _board_pages(site: _Site, boards: Sequence[board.Board], held: Sources) -> None:
    for one in boards:
        first, others = board.as_json(one)
        site.put(f"data/board-{one.slug}.js", script("mtbenchBoard", first).encode())
        for given, held_scores in others.items():
            site.put(f"data/board-{one.slug}/{given}.js", script("mtbenchScores", held_scores).encode())
    failures = [
        {
            "run": run.name,
            "given": getattr(row, "given", ""),
            "model": row.model,
            "sample": row.sample,
            "reason": row.reason,
        }
        for run in held.runs
        if run.failures is not None
        for row in run.failures.itertuples()
    ]
    shown = [
        {
            "board": one,
            "rows": board.shown(one),
            "setting": _setting_words(one),
            "columns": [column for column in one.columns if "summary" in column.views],
        }
        for one in boards
    ]
    site.page("index.html", "index.html", boards=shown, failures=failures)


def _setting_words(one: board.Board) -> str:
    """The setting that a board shows first, in words."""
    chosen = {name: values[one.standard[name]] for name, values in one.settings.items() if values}
    words = []
    if "timebase" in chosen and "fps" in chosen:
        words.append(
            Setting(chosen["timebase"], chosen["fps"], chosen["transition_lambda"], chosen.get("window", np.nan)).words
        )
    if "fad" in chosen:
        words.append(f"FAD on {chosen['fad']}")
    if chosen.get("given"):
        words.insert(0, f"given {chosen['given']}")
    return " · ".join(words)


def _model_pages(
    site: _Site, held: Sources, samples: Sequence[listening.Sample], by_length: Sequence[lengths.Lengths]
) -> None:
    for run in held.runs:
        near = models.standard_samples(run)
        for model in dict.fromkeys(run.scores["model"]):
            mine = run.scores[run.scores["model"] == model]
            failures = [] if run.failures is None else run.failures[run.failures["model"] == model].to_dict("records")
            tables = [
                models.score_table(part, task, given, base)
                for (task, given), part in mine.groupby(["task", "given"], sort=False)
                for base in ("real", "published")
                if (part["timebase"] == base).any()
            ]
            page = board.model_page(run, model)
            every = site.table(page.removesuffix(".html") + ".csv", mine)
            site.page(
                page,
                "model.html",
                run=run,
                model=model,
                kind=board.kind_of(run, model),
                trained_on=run.trained_on(model),
                facts=models.facts(mine),
                tables=tables,
                every=every,
                count=len(mine),
                by_length=any(
                    run is other for one in by_length if one.model == model for other, _ in one.runs.values()
                ),
                samples_kept=near is not None,
                figures=models.distributions(near, model),
                listen=[sample for sample in samples if sample.run is run and sample.model == model],
                sample_page=_sample_page,
                kept=run.failures is not None,
                failures=failures,
                provenance=models.flat(run.record["models"].get(model, {})),
                config=run.record["config"],
                versions=models.flat(run.record["versions"]),
                beats=models.flat(run.record.get("beats") or {}),
                reproduce=models.reproduce(run, model),
            )


def _sample_page(sample: listening.Sample) -> str:
    where = slug("-".join(part for part in (sample.task, sample.given.replace("+", "-")) if part))
    return f"listening/{sample.run.slug}/{where}/{slug(sample.model)}/{slug(sample.id)}.html"


def _listening_pages(site: _Site, held: Sources, samples: Sequence[listening.Sample]) -> None:
    groups: dict[tuple, dict[str, list[listening.Sample]]] = {}
    for sample in samples:
        groups.setdefault((sample.run.slug, sample.task), {}).setdefault(sample.model, []).append(sample)
    groups = dict(sorted(groups.items(), key=lambda item: item[0][1] != "total"))
    site.page(
        "listening.html",
        "listening.html",
        groups=groups,
        sample_page=_sample_page,
        cbs=_sample_score,
        without=[run.name for run in held.runs if not any(sample.run is run for sample in samples)],
        runs={run.slug: run.name for run in held.runs},
        tasks=board.TASKS,
    )
    scripts: dict[str, str] = {}
    pictures: dict[str, float] = {}
    for sample in samples:
        group = groups[sample.run.slug, sample.task]
        stems = [stem for stem in (*models.STEMS, *sample.stems) if stem in sample.stems]
        lanes = []
        for stem in dict.fromkeys(stems):
            path = sample.stems[stem]
            name = sha256(path.read_bytes()).hexdigest()[:16]
            _picture(site, pictures, name, [path])
            if name not in scripts:
                scripts[name] = f"audio/{name}.js"
                site.put(scripts[name], listening.audio_script(name, path).encode())
            times, downbeats = sample.beats.get(stem, (np.empty(0), np.empty(0, bool)))
            lanes.append(
                {
                    "stem": stem,
                    "audio": name,
                    "picture": f"mel/{name}.png",
                    "beats": [(f"{time:.3f}", down) for time, down in zip(times.tolist(), downbeats.tolist())],
                    "irs": _sample_score(sample, "irs", stem),
                    "colour": stem if stem in models.STEMS else "",
                    "given": stem in sample.given.split("+"),
                }
            )
        mixture = sha256("".join(lane["audio"] for lane in lanes).encode()).hexdigest()[:16]
        seconds = _picture(site, pictures, mixture, [sample.stems[lane["stem"]] for lane in lanes])
        same = [
            (name, other)
            for name, others in group.items()
            for other in others
            if (other.id, other.given) == (sample.id, sample.given) and name != sample.model
        ]
        site.page(
            _sample_page(sample),
            "sample.html",
            sample=sample,
            lanes=lanes,
            seconds=seconds,
            mixture=f"mel/{mixture}.png",
            scores=[
                (metrics()[metric], _sample_score(sample, metric, track))
                for metric, track in (("cbs", "all"), ("cbd_mean", "all"), ("cbd_std", "all"), ("cbd_median", "all"))
            ],
            same=same,
            mine=group[sample.model],
            sample_page=_sample_page,
            model_page=board.model_page(sample.run, sample.model),
            kind=board.kind_of(sample.run, sample.model),
            tasks=board.TASKS,
        )


def _picture(site: _Site, made: dict[str, float], name: str, paths: Sequence[Path]) -> float:
    """Write the picture of the files' sum unless it is made; returns its length in s."""
    if name not in made:
        columns, made[name] = listening.mel(paths)
        site.put(f"mel/{name}.png", listening.picture(columns))
    return made[name]


def _sample_score(sample: listening.Sample, metric: str, track: str) -> str:
    held = sample.scores[(sample.scores["metric"] == metric) & (sample.scores["track"] == track)]["value"].dropna()
    return f"{held.iloc[0]:.{DIGITS.get(metric, 3)}f}" if len(held) else "–"


def _sensitivity_pages(site: _Site, held: Sources, by_length: Sequence[lengths.Lengths]) -> None:
    """The first page has what is of no run alone and, where that is not much, the run with the most scores; each other run
    has a page of its own."""
    site.put("data/click-120bpm.flac", listening.click_track())
    clicks = np.arange(0.25, 9.9, 0.5)
    by_suite = lengths.by_suite(by_length)
    runs = {f"sensitivity/{run.slug}.html": made for run in held.runs if (made := sensitivity.of_run(run))}
    if runs and not by_suite:
        runs = {"sensitivity.html": runs.pop(next(iter(runs))), **runs}
    shared = {
        "links": [(made["run"].name, name) for name, made in runs.items()],
        "lengths": by_suite,
        "click": figures.timebases(clicks, 100 / CLICK_FPS, 10.0),
        "text": lambda value, digits: "–" if value != value else f"{value:.{digits}f}",
    }
    for name, item in ({"sensitivity.html": None} | runs).items():
        site.page(name, "sensitivity.html", item=item, **shared)


def _data_page(site: _Site, held: Sources) -> None:
    """Every table as CSV and JSON: over all runs, where a column `run` says whose a row is; the samples, which may be
    millions, as each run's own file."""
    tables = []

    def put(name: str, what: str, table: pd.DataFrame) -> None:
        files = [site.table(f"data/{name}.csv", table), *site.json(f"data/{name}.json", table)]
        tables.append({"name": name, "what": what, "rows": len(table), "files": files})

    def joined(pick) -> pd.DataFrame | None:
        parts = [pick(run).assign(run=run.name) for run in held.runs if pick(run) is not None]
        if not parts:
            return None
        table = pd.concat(parts, ignore_index=True)
        return table[["run", *[column for column in table.columns if column != "run"]]]

    for name, what, pick in (
        ("scores", "every measured score: its key, value, 95% interval and counts", lambda run: run.scores),
        (
            "comparisons",
            "every pair of models: difference, interval, p-value",
            lambda run: run.comparisons if len(run.comparisons) else None,
        ),
        ("failures", "samples that could not be made or scored, and why", lambda run: run.failures),
    ):
        if (table := joined(pick)) is not None:
            put(name, what, table)
    for run in held.runs:
        if run.samples is not None:
            name = f"data/samples-{run.slug}"
            files = [site.copy(f"{name}.csv", run.path / "samples.csv"), *site.json(f"{name}.json", run.samples)]
            tables.append(
                {
                    "name": f"samples of {run.name}",
                    "what": "the scores of every sample, under every setting; rows of "
                    "fad are no sample's FAD, but what a clip does to the FAD of all, which is their mean",
                    "rows": len(run.samples),
                    "files": files,
                }
            )
    if held.published is not None:
        put("published", "the numbers that papers report, as printed; never ranked", held.published)
    records = {run.name: run.record for run in held.runs}
    site.put("data/runs.json", json.dumps(_finite(records), indent=1, default=str, sort_keys=True).encode())
    site.page("data.html", "data.html", tables=tables, json_rows=JSON_ROWS, releases=held.releases, runs=held.runs)


def _finite(values: Any) -> Any:
    """Mappings and lists with None for numbers that are not finite, which JSON lacks."""
    if isinstance(values, dict):
        return {key: _finite(value) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_finite(value) for value in values]
    return None if isinstance(values, float) and not np.isfinite(values) else values


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(count / 1e3, 0.1):.1f} kB"
