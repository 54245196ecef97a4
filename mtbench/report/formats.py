"""Render tables as text: for the terminal, for papers, or for programs."""

import html
import json
from collections.abc import Callable, Sequence

import pandas as pd

from mtbench.markdown import literal, markdown_table
from mtbench.report.tables import LEGEND, Table


def render(tables: Sequence[Table], form: str, legend: str = LEGEND) -> str:
    """Return tables as text in one of `FORMATS`, ending in a line break.

    `csv` and `json` contain the values behind the cells, one per row or object, with the columns of `Table.values` and
    the table's title and note. `latex` needs the package booktabs. legend: explains the notation in the cells.
    """
    return FORMATS[form](tables, legend)


def _text(tables: Sequence[Table], legend: str) -> str:
    blocks = [f"{table.title} ({table.note})\n{table.rows.to_string()}" for table in tables]
    return "\n\n".join([*blocks, legend]) + "\n"


def _markdown(tables: Sequence[Table], legend: str) -> str:
    blocks = []
    for table in tables:
        body = markdown_table([table.of, *table.rows.columns], _cells(table), align_right=True)
        blocks.append(f"**{literal(table.title)}** ({literal(table.note)})\n\n{body}")
    return "\n\n".join([*blocks, literal(legend)]) + "\n"


def _latex(tables: Sequence[Table], legend: str) -> str:
    blocks = []
    for table in tables:
        columns = "l" + "r" * len(table.rows.columns)
        lines = [[table.of, *table.rows.columns], *_cells(table)]
        head, *body = [f"{' & '.join(_in_latex(str(cell)) for cell in line)} \\\\" for line in lines]
        blocks.append(
            "\n".join(
                [
                    "\\begin{table}",
                    f"\\caption{{{_in_latex(table.title)} ({_in_latex(table.note)}). {_in_latex(legend)}.}}",
                    f"\\begin{{tabular}}{{{columns}}}",
                    "\\toprule",
                    head,
                    "\\midrule",
                    *body,
                    "\\bottomrule",
                    "\\end{tabular}",
                    "\\end{table}",
                ]
            )
        )
    return "\n\n".join(blocks) + "\n"


def _html(tables: Sequence[Table], legend: str) -> str:
    blocks = []
    for table in tables:
        heads = "".join(f'<th scope="col">{html.escape(str(head))}</th>' for head in (table.of, *table.rows.columns))
        rows = "".join(
            f'<tr><th scope="row">{html.escape(name)}</th>'
            + "".join(f'<td style="white-space: nowrap">{html.escape(cell)}</td>' for cell in cells)
            + "</tr>\n"
            for name, *cells in _cells(table)
        )
        caption = f"<caption><b>{html.escape(table.title)}</b> ({html.escape(table.note)})</caption>"
        blocks.append(f"<table>\n{caption}\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n")
    return "\n".join(blocks) + f"<p><small>{html.escape(legend)}</small></p>\n"


def _csv(tables: Sequence[Table], legend: str) -> str:
    return _values(tables).to_csv(index=False, lineterminator="\n")


def _json(tables: Sequence[Table], legend: str) -> str:
    values = _values(tables).astype(object)
    records = values.where(values.notna(), None).to_dict(orient="records")
    return json.dumps(records, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _values(tables: Sequence[Table]) -> pd.DataFrame:
    named = [table.values.assign(table=table.title, note=table.note) for table in tables]
    values = pd.concat(named, ignore_index=True)
    return values[["table", "note", *values.columns.drop(["table", "note"])]]


def _cells(table: Table) -> list[list[str]]:
    """Return the rows of a table as strings, each starting with the name of the row."""
    return [[str(name), *map(str, row)] for name, row in zip(table.rows.index, table.rows.itertuples(index=False))]


def _in_latex(text: str) -> str:
    """Escape text, so that LaTeX shows it as it is."""
    return "".join(LATEX.get(letter, letter) for letter in text)


LATEX = {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "↓": "$\\downarrow$",
    "↑": "$\\uparrow$",
    "–": "--",
    "<": "$<$",
    ">": "$>$",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}

FORMATS: dict[str, Callable[[Sequence[Table], str], str]] = {
    "text": _text,
    "markdown": _markdown,
    "latex": _latex,
    "csv": _csv,
    "json": _json,
    "html": _html,
}
