"""The static page: the tables of some run folders, in one file that opens from disk and loads nothing from elsewhere."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined

from mtbench import audio, scores
from mtbench.report.tables import Table, run_tables
from mtbench.store import RunFolder, check_writable


def write(runs: Sequence[Path], out: Path) -> Path:
    """Write ``index.html`` into `out` from finished run folders; returns its path.

    Raises UsageError, naming the file, for a folder that holds no finished run or cannot be written. Text from outside
    is escaped by the template.
    """
    shown = []
    for path in runs:
        folder = RunFolder(path)
        held, record = scores.read(folder), folder.read_record()
        failures = folder.read_table("failures.csv", ["model", "sample", "reason"])
        tables = [_cells(table) for table in run_tables(held, record["models"])]
        shown.append({"name": Path(path).name, "record": record, "tables": tables, "failures": failures.to_dict("records")})
    templates = files("mtbench.leaderboard")
    # Everything is escaped, whatever the template's suffix: names and reasons come from outside.
    environment = Environment(
        loader=FunctionLoader(lambda name: (templates / name).read_text(encoding="utf-8")),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )
    page = environment.get_template("index.html").render(runs=shown, metrics=scores.METRICS)
    check_writable(out, "choose another --out")
    with audio.whole_file(out / "index.html") as file:
        file.write(page.encode())
    return out / "index.html"


def _cells(table: Table) -> dict:
    """The table as texts, the best of each column marked; the controls are no competitors."""
    competing = table.rows.drop(index=["heldout", "noise"], errors="ignore")
    marked = {column: getattr(competing[column], best)() for column, best in table.best.items() if len(competing) > 1}
    rows = [
        (model, [("–" if value != value else f"{value:.{table.digits[column]}f}",
                  model in competing.index and value == marked.get(column)) for column, value in row.items()])
        for model, row in table.rows.iterrows()
    ]
    return {"title": table.title, "note": table.note, "of": table.of, "columns": list(table.rows.columns), "rows": rows}
