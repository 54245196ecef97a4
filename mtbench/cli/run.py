"""``mtbench run``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mtbench.cli.options import Embedding, Fps, Lambda, Out, Timebase, Window, given, grid_of, listed
from mtbench.cli.terminal import console, fail, note, resumable, stage
from mtbench.errors import UsageError


@resumable
def run(
    models: Annotated[
        str | None,
        typer.Option(
            help="Installed models, as `mtbench models` lists them, or folder:PATH for a folder of audio; the controls "
            "are added.",
            metavar="LIST",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A YAML file that says what to run; options here override it.")
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            help="The reference set, as `mtbench suites` lists them; band/30s and band/60s have longer clips.  "
            "\\[default: band]"
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="total generates all stems; arrangement some of them beside the others of held-out songs.  "
            "\\[default: total]",
            metavar="total|arrangement",
        ),
    ] = None,
    subsets: Annotated[
        str | None,
        typer.Option(
            help="What arrangement generates: initials of stems, or names joined by +, e.g. B,BP,BGP,BDGP.  "
            "\\[default: every subset]",
            metavar="LIST",
        ),
    ] = None,
    n: Annotated[int | None, typer.Option("-n", help="Samples per model and subset.  \\[default: 32]")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the generators.  \\[default: 0]")] = None,
    fps: Fps = None,
    transition_lambda: Lambda = None,
    window: Window = None,
    timebase: Timebase = None,
    embedding: Embedding = None,
    out: Out = None,
    device: Annotated[str, typer.Option(help="The torch device that generates: cpu, cuda, cuda:1.")] = "cpu",
) -> None:
    """Generate samples with each model, score them, and show the tables."""
    # These import torch, which takes seconds: not for --help.
    from mtbench import config as configs
    from mtbench import runner
    from mtbench.cli.tables import show_tables
    from mtbench.report import site

    options = given(
        models=listed(models, "--models"),
        suite=suite,
        task=task,
        subsets=listed(subsets, "--subsets"),
        n=n,
        seed=seed,
        embeddings=listed(embedding, "--embedding"),
    )
    options |= grid_of(fps, transition_lambda, window, timebase)
    if config is None and models is None:
        raise UsageError("say what to run: --models synctrack,msg-ld, or --config FILE")
    wanted = configs.load(config, options) if config else configs.validate(options, "options")
    folder = out or runner.default_folder(wanted)
    result = runner.run(wanted, folder, device, stage)
    show_tables(result.scores, result.comparisons, result.provenances)
    for notice in result.notices:
        note(notice)
    page = site.write([folder], folder / "site")
    console.print(f"run folder [bold]{escape(str(folder))}[/bold], page [bold]{escape(str(page))}[/bold]")
    fail(result.failed)
