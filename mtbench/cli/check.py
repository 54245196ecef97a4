"""``mtbench check``."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from mtbench.cli.options import FLAG
from mtbench.cli.terminal import console, fail, guarded, note
from mtbench.errors import UsageError
from mtbench.progress import errors, literal, shown

if TYPE_CHECKING:
    from mtbench.gate import Baseline, Outcome
    from mtbench.results.load import FinishedRun


@guarded
def check(
    baseline: Annotated[
        Path,
        typer.Argument(help="A JSON file with the scores of an earlier run, written by --update.", metavar="BASELINE"),
    ],
    run_folder: Annotated[
        Path | None,
        typer.Argument(
            help="A run folder. Without it, mtbench first does the run that the baseline describes, in a new folder "
            "below runs/, which is deleted if the check passes.",
            metavar="RUN",
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="text: the failures. markdown: every score, as a table for a pull request. json: every score. "
            "junit: for a CI system.",
            metavar="text|markdown|json|junit",
        ),
    ] = "text",
    update: Annotated[
        bool,
        typer.Option(
            "--update", help="Replace the baseline with the scores of the run, and show what changed.", metavar=FLAG
        ),
    ] = False,
) -> None:
    """Compare a run with a baseline.

    Exits with 1 if a model failed, or if a score is missing, has moved although it should not, or is worse by more than
    chance and by more than the tolerance that the baseline sets for it.
    """
    from mtbench import gate  # imports pandas
    from mtbench.results.load import load_scores

    if form not in gate.FORMATS:
        raise UsageError(f"--format must be {', '.join(gate.FORMATS)}, not '{form}'")
    say = console if form == "text" else errors  # a document is alone on standard output
    current = None if update and not baseline.exists() else gate.read_baseline(baseline)
    own_folder, failed = (None, []) if run_folder else _make_run(baseline, current, update, say)
    run = load_scores(own_folder or run_folder or "")
    failed = failed or gate.models_without_scores(run)
    outcome = _compare(baseline, current, run, failed, update) if current else None
    if outcome:
        _show(outcome, form, every=update)
    if update:
        fail(failed)  # a baseline without these models would not gate them
        replacement = gate.baseline_of_run(run, current)
        gate.write_baseline(baseline, replacement)
        say.print(f"wrote [bold]{literal(str(baseline))}[/bold]: {len(replacement.scores)} scores", soft_wrap=True)
    passed = outcome is not None and outcome.passed
    if own_folder and passed:
        shutil.rmtree(own_folder)
    fail(failed)
    if not (passed or update):
        raise typer.Exit(1)


def _make_run(path: Path, baseline: "Baseline | None", update: bool, say: Console) -> tuple[Path, list[str]]:
    """Do the run that a baseline describes. Return its folder, and one line for each model without scores."""
    from mtbench import gate, runner  # imports torch and Numba
    from mtbench.cache import Cache

    if baseline is None:
        raise UsageError(f"{path}: no such baseline; name the RUN to create it from")
    if (problem := gate.changed_songs(baseline, path)) and not update:
        raise UsageError(problem)
    folder = runner.check_folder()
    say.print(f"run folder [bold]{literal(str(folder))}[/bold], kept only if the check fails", soft_wrap=True)
    cache = folder / "cache"  # separate: the user's cache may hold results of older code
    try:
        return folder, runner.run(baseline.config, folder, "cpu", shown, Cache(cache)).failed
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        errors.print("interrupted; nothing of the run is kept")
        raise typer.Exit(130) from None
    finally:
        shutil.rmtree(cache, ignore_errors=True)


def _compare(path: Path, baseline: "Baseline", run: "FinishedRun", failed: list[str], update: bool) -> "Outcome | None":
    """Return the outcome; None if nothing can be compared, which only deserves a note in an update."""
    from mtbench import gate

    try:
        return gate.check(baseline, run, failed)
    except gate.Incomparable as problem:
        if not update:
            raise UsageError(f"{run.path} cannot be compared with {path}: {problem}") from None
        note(f"nothing to compare: {problem}")
        return None


def _show(outcome: "Outcome", form: str, every: bool) -> None:
    """Print a document; or on the terminal the failures, or every score, and a line with the counts."""
    from mtbench import gate

    if form != "text":
        typer.echo(gate.DOCUMENTS[form](outcome), nl=False)
        return
    table = gate.cells(outcome.table if every else outcome.failing)
    if len(table):
        styles = dict.fromkeys(gate.FAILING, "red") | {"better": "green", "new": "yellow"}
        shown = Table(*table.columns)
        for row in table.itertuples(index=False):
            shown.add_row(*(literal(str(text)) for text in row), style=styles.get(str(row.verdict)))
        console.print(shown)
        console.print(f"[dim]{gate.ERRORS_IN_WORDS}[/dim]")
    console.print(literal(gate.summary(outcome)))
    for line in () if every else gate.advice(outcome):
        console.print(literal(line), soft_wrap=True)
    for text in outcome.notes:
        note(text)
