"""The tables of a run on the terminal."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich.markup import escape
from rich.table import Column, Table

from mtbench.cli.terminal import console
from mtbench.report.tables import LEGEND, run_tables


def show_tables(scores: pd.DataFrame, comparisons: pd.DataFrame, provenances: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the summary tables of a run, and what their signs mean."""
    for table in run_tables(scores, comparisons, provenances):
        console.print(f"[bold]{escape(table.title)}[/bold] [dim]({escape(table.note)})[/dim]", soft_wrap=True)
        shown = Table(Column(table.of, overflow="fold"))
        for column in table.rows.columns:
            shown.add_column(escape(column), justify="right")
        for name, row in table.rows.iterrows():
            shown.add_row(escape(str(name)), *row)
        console.print(shown)
    console.print(f"[dim]{escape(LEGEND)}[/dim]")
