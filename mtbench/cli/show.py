"""``mtbench show``."""

from pathlib import Path
from typing import Annotated

import typer

from mtbench.cli.terminal import guarded


@guarded
def show(
    run: Annotated[Path, typer.Argument(help="A run folder, as `mtbench run` and `mtbench eval` leave it.")],
) -> None:
    """Print the summary tables of a finished run."""
    from mtbench.cli.tables import show_tables  # imports pandas
    from mtbench.results.load import load_run

    finished = load_run(run)
    show_tables(finished.scores, finished.comparisons, finished.provenances)
