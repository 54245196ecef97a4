"""The tables of a run on the terminal."""

from typing import TYPE_CHECKING

import typer
import yaml
from rich.table import Column, Table

from mtbench.cli.terminal import console, note
from mtbench.progress import errors, literal

if TYPE_CHECKING:
    from mtbench.report import tables
    from mtbench.report.result import Result

STYLES = {"better": "green", "worse": "red"}  # of the rows of a comparison


def show_result(result: "Result", form: str, full: bool, quiet: bool, verbose: bool, where: str) -> None:
    """Print the tables of a run that has just ended, its notices, and `where` it is (rich markup)."""
    if verbose:
        errors.print(yaml.safe_dump(dict(result.tables.record), sort_keys=False), markup=False)
    show_tables(result, form, full)
    if quiet:
        return
    for notice in result.notices:
        note(notice)
    # Standard output is the document alone, unless a person reads it.
    (console if form == "text" else errors).print(where, soft_wrap=True)
    if form == "text" and not full:
        console.print(f"[dim]every table: mtbench show {literal(str(result.folder))} --full[/dim]", soft_wrap=True)


def show_tables(result: "Result", form: str, full: bool) -> None:
    """Print the summary of a run, or in full all its tables, in a format."""
    from mtbench.report.tables import LEGEND, all_tables  # imports pandas

    if form != "text":
        typer.echo(result.table(form, full), nl=False)
        return
    for table in all_tables(result.scores, result.comparisons, result.tables.provenances, full):
        print_table(table)
    console.print(f"[dim]{literal(LEGEND)}[/dim]")


def print_table(table: "tables.Table") -> None:
    """Print one table."""
    console.print(f"[bold]{literal(table.title)}[/bold] [dim]({literal(table.note)})[/dim]", soft_wrap=True)
    shown = Table(Column(table.of, overflow="fold"))
    for column in table.rows.columns:
        shown.add_column(literal(column), justify="right")
    for name, (_, row) in zip(table.rows.index, table.rows.iterrows()):
        style = STYLES.get(str(row.get("verdict", "")))
        shown.add_row(literal(str(name)), *(literal(str(cell)) for cell in row), style=style)
    console.print(shown)
