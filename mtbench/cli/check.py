"""``mtbench check``."""

import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table as RichTable

from mtbench.cli.terminal import console, errors, fail, guarded, note, stage
from mtbench.errors import UsageError


@guarded
def check(
    baseline: Annotated[Path, typer.Argument(help="A baseline, JSON.")],
    run_folder: Annotated[
        Path | None,
        typer.Argument(
            help="A run folder. Without it the run that the baseline names "
            "is made first, in a new folder below runs/ that is kept "
            "only if the check fails.",
            metavar="RUN",
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="text: what failed; markdown, for a pull request; json: all that is known; or junit.",
            metavar="text|markdown|json|junit",
        ),
    ] = "text",
    update: Annotated[
        bool, typer.Option("--update", help="Write the baseline from the run instead, and show the change.")
    ] = False,
) -> None:
    """Compare a run with a baseline: exit 1 if a score is worse by more than chance and tolerance, or missing."""
    from mtbench import check as gate
    from mtbench import config as configs
    from mtbench import runner
    from mtbench.cache import Cache
    from mtbench.controls import CONTROLS
    from mtbench.registry import open_suite
    from mtbench.results.load import load_run

    if form not in gate.FORMATS:
        raise UsageError(f"--format must be {', '.join(gate.FORMATS)}, not '{form}'")
    say = console if form == "text" else errors  # a document has standard output to itself
    held = None if update and not baseline.exists() else gate.read(baseline)
    made, failed = None, []
    if run_folder is None:
        if held is None:
            raise UsageError(f"baseline {baseline} is not there yet: name the RUN to make it from")
        suite_version = open_suite(held.config.suite).version
        if not update and held.suite_version not in ("", suite_version):
            raise UsageError(
                f"the songs of suite '{held.config.suite}' changed since baseline {baseline}: it has version "
                f"{held.suite_version}, here is {suite_version}; put them back, or --update the baseline"
            )
        made = run_folder = runner.check_folder()
        say.print(f"run folder [bold]{escape(str(made))}[/bold], kept only if the check fails", soft_wrap=True)
        try:
            # Its own cache: what a changed beat tracker or metric should find anew must not be found as it was.
            failed = runner.run(held.config, made, "cpu", stage, Cache(made / "cache")).failed
        except KeyboardInterrupt:
            shutil.rmtree(made, ignore_errors=True)
            errors.print("stopped; nothing of the run is kept")
            raise typer.Exit(130) from None
        finally:
            shutil.rmtree(made / "cache", ignore_errors=True)
    finished = load_run(run_folder)
    scores, record, samples = finished.scores, finished.record, finished.samples
    silent = set(record["models"]) - set(scores["model"]) - set(CONTROLS)
    failed = failed or [f"{name} has no scores in {run_folder}" for name in sorted(silent)]
    outcome = None
    if held is not None:
        seed = record["config"].get("seed")
        notes = gate.changed_models(held, record["models"])
        if seed != held.config.seed:
            notes.append(
                f"the baseline was made with seed {held.config.seed}, this run with "
                + ("none" if seed is None else f"seed {seed}")
            )
        if problem := gate.mismatch(held, scores, str(record.get("suite_version", ""))):
            if not update:
                raise UsageError(f"{run_folder} cannot be held against {baseline}: {problem}")
            note(f"nothing to compare: {problem}")
        else:
            table = gate.compare(held, scores, samples, same_seed=seed == held.config.seed)
            outcome = gate.Outcome(table, held.error_rate, notes, failed)
    if outcome is not None and form == "text":
        _show_outcome(outcome, every=update)
    elif outcome is not None:
        document = {"markdown": gate.markdown, "json": gate.as_json, "junit": gate.junit}[form]
        typer.echo(document(outcome), nl=False)
    if update:
        fail(failed)  # a baseline without them would gate nothing of theirs
        if "eval" in record["config"]:
            raise UsageError(
                f"{run_folder} is the folder of an `mtbench eval`; a baseline is made from one of `mtbench run`"
            )
        config = configs.validate(record["config"], str(run_folder))
        new = gate.of_run(config, record["models"], scores, samples, held, str(record.get("suite_version", "")))
        gate.write(baseline, new)
        say.print(f"wrote [bold]{escape(str(baseline))}[/bold]: {len(new.scores)} scores", soft_wrap=True)
    passed = outcome is not None and outcome.passed
    if made and passed:
        shutil.rmtree(made)
    fail(failed)
    if not (passed or update):
        raise typer.Exit(1)


def _show_outcome(outcome, every: bool) -> None:
    """What failed, or every score, and a line that counts."""
    from mtbench import check as gate

    table = outcome.table if every else outcome.table[outcome.table["verdict"].isin(gate.FAILING)]
    if len(table):
        styles = dict.fromkeys(gate.FAILING, "red") | {"better": "green", "new": "yellow"}
        texts = gate.cells(table)
        shown = RichTable(*texts.columns)
        for row in texts.itertuples(index=False):
            shown.add_row(*(escape(str(text)) for text in row), style=styles.get(row.verdict))
        console.print(shown)
    console.print(gate.summary(outcome))
    for line in () if every else gate.advice(outcome):
        console.print(escape(line), soft_wrap=True)
    for text in outcome.notes:
        note(text)
