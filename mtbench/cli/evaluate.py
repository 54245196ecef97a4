"""``mtbench eval``."""

from pathlib import Path
from typing import Annotated

import typer

from mtbench.cli.options import (
    Embedding,
    Format,
    Fps,
    Full,
    Lambda,
    Out,
    Quiet,
    Timebase,
    Verbose,
    Window,
    as_option,
    check_format,
    grid_of,
    listed,
)
from mtbench.cli.tables import show_result
from mtbench.cli.terminal import fail, resumable
from mtbench.progress import literal


@resumable
def evaluate(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of stems: one subfolder per stem, with the same file names in each; one subfolder per song, "
            "with one file per stem; or files named by song and stem in one folder. Or folders of mixtures without "
            "stems. One row per folder.",
            metavar="FOLDER",
        ),
    ],
    reference: Annotated[
        str | None,
        typer.Option(
            help="The suite (or folder:PATH) with the songs to compare with. Adds the Fréchet audio distance (FAD) of "
            "the mixture and of the stems that both sides have, and rows for the controls heldout and noise. Clips are "
            "cut or zero-padded to the length of the suite's clips.",
            metavar="SUITE",
        ),
    ] = None,
    stems: Annotated[
        str | None,
        typer.Option(
            help="The stems to score, e.g. vocals,drums,bass,other, or mixture. If a folder has stem_0, stem_1, ... "
            "instead, these are the stems of LIST in their order.  \\[default: the stems found]",
            metavar="LIST",
        ),
    ] = None,
    fps: Fps = None,
    transition_lambda: Lambda = None,
    window: Window = None,
    timebase: Timebase = None,
    embedding: Embedding = None,
    out: Out = None,
    device: Annotated[
        str, typer.Option(help="The torch device on which beats are computed: cpu, cuda, cuda:1.", metavar="DEVICE")
    ] = "cpu",
    form: Format = "text",
    full: Full = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Score folders of stems: WAV, FLAC, OGG, Opus, MP3, AIFF, W64, CAF or M4A, any sample rate."""
    # These import torch, which takes seconds: not for --help.
    from mtbench import api, progress, runner

    check_format(form)
    target = out or runner.default_eval_folder(folders)
    grid = grid_of(fps, transition_lambda, window, timebase)
    stage = progress.hidden if quiet else progress.shown
    embeddings = listed(embedding, "--embedding")
    names = listed(stems, "--stems")
    result = api.evaluate_sources(folders, reference, grid, embeddings, target, device, stage, as_option, names)
    show_result(result, form, full, quiet, verbose, f"run folder [bold]{literal(str(target))}[/bold]")
    fail(result.failed)
