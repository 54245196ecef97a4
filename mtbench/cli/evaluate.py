"""``mtbench eval``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mtbench.cli.options import Embedding, Fps, Lambda, Out, Timebase, Window, grid_of, listed
from mtbench.cli.terminal import console, note, resumable, stage
from mtbench.errors import UsageError


@resumable
def evaluate(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Holds bass/, drums/, guitar/ and piano/ (or stem_0/ to stem_3/), with the same file names in each.",
            metavar="DIR",
        ),
    ],
    reference: Annotated[str | None, typer.Option(help="A suite; adds FAD, and takes its clip length.")] = None,
    fps: Fps = None,
    transition_lambda: Lambda = None,
    window: Window = None,
    timebase: Timebase = None,
    embedding: Embedding = None,
    out: Out = None,
) -> None:
    """Score a folder of stems: WAV, FLAC, OGG or MP3, any sample rate, mono or stereo."""
    # These import torch, which takes seconds: not for --help.
    from mtbench import config as configs
    from mtbench import runner
    from mtbench.cli.tables import show_tables

    settings = grid_of(fps, transition_lambda, window, timebase).get("grid", {})
    grid = configs.validated(configs.Grid, settings, "options")
    if embedding and not reference:
        raise UsageError("--embedding is for FAD, which needs a --reference")
    embeddings = listed(embedding, "--embedding") or ["log-mel-stats"]
    target = out or runner.default_eval_folder(folder)
    result = runner.evaluate(folder, reference, grid, embeddings, target, stage)
    show_tables(result.scores, result.comparisons, result.provenances)
    for notice in result.notices:
        note(notice)
    console.print(f"run folder [bold]{escape(str(target))}[/bold]")
