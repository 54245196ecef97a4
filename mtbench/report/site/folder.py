"""The output folder of a site and the templates of its pages."""

import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, FunctionLoader, StrictUndefined

from mtbench.files import whole_file
from mtbench.registry import metrics
from mtbench.report import text
from mtbench.report.site.models import COLOURED
from mtbench.version import __version__

JSON_ROWS = 200_000  # tables with more rows are written as CSV only
STATIC = ("site.css", "board.js", "player.js", "icon.svg")


class File(NamedTuple):
    """A file of the site, for a link. name: its path relative to the site's root; size: as text."""

    name: str
    size: str


class SiteFolder:
    """The folder that the files of a site are written to, each one atomically."""

    def __init__(self, out: Path):
        self.out = out
        self.templates = {
            item.name: item.read_text(encoding="utf-8")
            for item in files("mtbench.leaderboard").iterdir()
            if item.name.endswith((".html", ".css", ".js", ".svg"))
        }
        # Escape everything, whatever the template's suffix: names and failure reasons are untrusted.
        self.environment = Environment(
            loader=FunctionLoader(self.templates.get),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.globals |= {
            "metrics": list(metrics().values()),
            "version": __version__,
            "better": text.better,
            "coloured": COLOURED,
            "heading": text.title,
            "missing": text.MISSING,
        }

    def put(self, name: str, content: bytes) -> File:
        """Write a file. name: its path relative to the site's root, here and below."""
        with whole_file(self.out / name) as file:
            file.write(content)
        return File(name, _size(len(content)))

    def static(self) -> None:
        """Write the style sheet, the scripts and the icon."""
        for name in STATIC:
            self.put(name, self.templates[name].encode())

    def copy(self, name: str, source: Path) -> File:
        """Copy a file unchanged."""
        with source.open("rb") as original, whole_file(self.out / name) as file:
            shutil.copyfileobj(original, file)
        return File(name, _size(source.stat().st_size))

    def csv(self, name: str, table: pd.DataFrame) -> File:
        """Write a table as CSV."""
        return self.put(name, table.to_csv(index=False, lineterminator="\n").encode(errors="backslashreplace"))

    def json(self, name: str, table: pd.DataFrame) -> list[File]:
        """Write a table as ``{"columns": [...], "rows": [[...], ...]}``; no file if it has over JSON_ROWS rows."""
        if len(table) > JSON_ROWS:
            return []
        rows = table.to_json(orient="values", double_precision=15)  # null for NaN and infinity
        columns = json.dumps(list(table.columns), separators=(",", ":"))
        return [self.put(name, f'{{"columns":{columns},"rows":{rows}}}'.encode())]

    def script(self, name: str, function: str, values: Any) -> None:
        """Write a script that calls a function with JSON data, since a page opened from disk cannot fetch files.

        Text in the data cannot end the script.
        """
        # ASCII output also escapes U+2028.
        arguments = json.dumps(values, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
        self.put(name, f"{function}({arguments.replace('<', chr(92) + 'u003c')})\n".encode())

    def page(self, name: str, template: str, **values: Any) -> None:
        """Write a page from a template, which also gets the page's path and the relative path to the root."""
        root = "../" * name.count("/")
        page = self.environment.get_template(template).render(root=root, here=name, **values)
        self.put(name, page.encode(errors="backslashreplace"))  # a file name may not be valid UTF-8


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(count / 1e3, 0.1):.1f} kB"
