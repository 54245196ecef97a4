"""``mtbench site``."""

from pathlib import Path
from typing import Annotated

import typer

from mtbench.cli.terminal import console, guarded
from mtbench.progress import literal


@guarded
def site(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders, or folders that contain run folders, such as results/, which also contains the "
            "published numbers.",
            metavar="RUN",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder to write the site into.", metavar="FOLDER")] = Path("site"),
) -> None:
    """Write the leaderboard as static pages, which work on any web server and from disk."""
    from mtbench.report import site as pages  # imports pandas

    console.print(f"wrote [bold]{literal(str(pages.write(runs, out)))}[/bold]")
