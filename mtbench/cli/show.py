"""``mtbench show``, ``mtbench compare`` and ``mtbench plot``: finished runs."""

import io
from pathlib import Path
from typing import Annotated

import typer

from mtbench.cli.options import FLAG, Format, Full, Given, check_format
from mtbench.cli.terminal import console, guarded, note
from mtbench.errors import UsageError
from mtbench.progress import literal

RUN = "A run folder, as `mtbench run` and `mtbench eval` write it."


@guarded
def show(
    run: Annotated[Path, typer.Argument(help=RUN, metavar="RUN")],
    form: Format = "text",
    full: Full = False,
) -> None:
    """Show the summary of a finished run, or all of its tables."""
    from mtbench.cli.tables import show_tables  # imports pandas
    from mtbench.report.result import load

    check_format(form)
    show_tables(load(run), form, full)


@guarded
def compare(
    first: Annotated[Path, typer.Argument(help="The first run folder.", metavar="BEFORE")],
    second: Annotated[
        Path, typer.Argument(help="The second run folder. The first is subtracted from it.", metavar="AFTER")
    ],
    form: Format = "text",
    full: Annotated[
        bool, typer.Option("--full", help="Compare every score, not only those of the summary.", metavar=FLAG)
    ] = False,
) -> None:
    """Compare the scores of two runs: the second minus the first, with 95% intervals.

    Models with the same name are compared. If each run has only one model, not counting the controls, the names need
    not match. FAD is compared only if both runs have the same number of clips. To fail in CI when a score gets worse,
    use `mtbench check`.
    """
    from mtbench.cli.tables import print_table  # imports pandas
    from mtbench.report import result
    from mtbench.report.tables import DIFFERENCE_LEGEND

    check_format(form)
    comparison = result.compare(first, second, full)
    if form == "text":
        print_table(comparison.rows())
        console.print(f"[dim]{literal(DIFFERENCE_LEGEND)}[/dim]")
    else:
        typer.echo(comparison.table(form), nl=False)
    for notice in comparison.notices:
        note(notice)


@guarded
def plot(
    run: Annotated[Path, typer.Argument(help=RUN, metavar="RUN")],
    out: Annotated[Path, typer.Option(help="The file to write: .pdf, .svg or .png.", metavar="FILE")],
    kind: Annotated[
        str,
        typer.Option(
            help="intervals: the scores of the summary. scatter: the Fréchet audio distance (FAD) of the mixture "
            "against cross-track beat synchronization (CBS). distributions: the scores of the individual clips. "
            "sensitivity: the scores against frames/s, transition lambda and CBS window.",
            metavar="intervals|scatter|distributions|sensitivity",
        ),
    ] = "intervals",
    given: Given = None,
) -> None:
    """Draw a figure of a finished run."""
    from mtbench.files import whole_file
    from mtbench.report.result import load  # imports pandas

    if out.suffix.lower() not in (".pdf", ".svg", ".png"):
        raise UsageError(f"--out {out}: the file name must end in .pdf, .svg or .png")
    figure = load(run).plot(kind, given)
    drawn = io.BytesIO()
    figure.savefig(drawn, format=out.suffix[1:].lower(), dpi=200)
    with whole_file(out) as file:
        file.write(drawn.getvalue())
    console.print(f"wrote [bold]{literal(str(out))}[/bold]")
