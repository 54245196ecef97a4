"""The folder that a site is written into, and the templates of its pages."""

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
from mtbench.version import __version__

JSON_ROWS = 200_000  # of a table; one with more rows is a CSV alone
STATIC = ("site.css", "board.js", "player.js", "icon.svg")


class File(NamedTuple):
    """A file of the site, for a link. name: its path from the site's root; size: in words."""

    name: str
    size: str


class SiteFolder:
    """Where the files of a site are written, each whole."""

    def __init__(self, out: Path):
        self.out = out
        self.templates = {
            item.name: item.read_text(encoding="utf-8")
            for item in files("mtbench.leaderboard").iterdir()
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
        self.environment.globals |= {
            "metrics": list(metrics().values()),
            "version": __version__,
            "better": text.better,
            "heading": text.title,
            "missing": text.MISSING,
        }

    def put(self, name: str, content: bytes) -> File:
        """Write a file. name: its path from the site's root, here and below."""
        with whole_file(self.out / name) as file:
            file.write(content)
        return File(name, _size(len(content)))

    def static(self) -> None:
        """The style sheet, the scripts and the icon."""
        for name in STATIC:
            self.put(name, self.templates[name].encode())

    def copy(self, name: str, source: Path) -> File:
        """Copy a file as it is."""
        with source.open("rb") as original, whole_file(self.out / name) as file:
            shutil.copyfileobj(original, file)
        return File(name, _size(source.stat().st_size))

    def csv(self, name: str, table: pd.DataFrame) -> File:
        """Write a table as CSV."""
        return self.put(name, table.to_csv(index=False, lineterminator="\n").encode(errors="backslashreplace"))

    def json(self, name: str, table: pd.DataFrame) -> list[File]:
        """Write a table as ``{"columns": [...], "rows": [[...], ...]}``, unless it has too many rows: then no file."""
        if len(table) > JSON_ROWS:
            return []
        rows = table.to_json(orient="values", double_precision=15)  # null for NaN and for what is not finite
        columns = json.dumps(list(table.columns), separators=(",", ":"))
        return [self.put(name, f'{{"columns":{columns},"rows":{rows}}}'.encode())]

    def script(self, name: str, function: str, values: Any) -> None:
        """Write a call of a function with JSON that no text in it can end: a page opened from disk may load scripts,
        but fetch nothing."""
        # ASCII escapes U+2028 as well.
        arguments = json.dumps(values, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
        self.put(name, f"{function}({arguments.replace('<', chr(92) + 'u003c')})\n".encode())

    def page(self, name: str, template: str, **values: Any) -> None:
        """Write a page from a template, which also knows where the page is and how to get to the root."""
        root = "../" * name.count("/")
        page = self.environment.get_template(template).render(root=root, here=name, **values)
        self.put(name, page.encode(errors="backslashreplace"))  # the name of a file may be no UTF-8


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(count / 1e3, 0.1):.1f} kB"
