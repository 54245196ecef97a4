"""Options that several commands take, and how their values are read."""

from pathlib import Path
from typing import Annotated, Any

import typer

from mtbench.errors import UsageError

FLAG = ""  # the metavar of an option without a value; Typer would show <bool>


def _list_of_models(incomplete: str) -> list[str]:
    """Complete the last name of a list of models."""
    from mtbench.registry import models  # imports NumPy

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in models() if name.startswith(last)]


Models = Annotated[
    str | None,
    typer.Option(
        help="Models to run, as `mtbench models` lists them, or folder:PATH for a folder of audio. The controls are "
        "added: heldout, noise and, for arrangement, shuffled.",
        metavar="LIST",
        autocompletion=_list_of_models,
    ),
]
Config = Annotated[
    Path | None, typer.Option(help="A YAML file with the settings of the run. Options override it.", metavar="FILE")
]
SuiteName = Annotated[
    str | None,
    typer.Option(
        help="The set of songs to use: one of those that `mtbench suites` lists, or folder:PATH. It supplies the "
        "reference, with which FAD compares, and the held-out songs. band/30s and band/60s have longer clips.  "
        "\\[default: band]",
        metavar="SUITE",
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        help="total: generate all stems. arrangement: generate the missing stems of held-out songs whose other stems "
        "are given.  \\[default: total]",
        metavar="total|arrangement",
    ),
]
Subsets = Annotated[
    str | None,
    typer.Option(
        help="For arrangement: the sets of stems to generate, separated by commas. Write a set as initials (B,BP,BGP) "
        "or as names joined by + (bass+piano).  \\[default: every set]",
        metavar="LIST",
    ),
]
Samples = Annotated[int | None, typer.Option("-n", help="Samples per model and subset.  \\[default: 32]", metavar="N")]
Seed = Annotated[int | None, typer.Option(help="Random seed for generation.  \\[default: 0]", metavar="SEED")]
Device = Annotated[
    str,
    typer.Option(
        help="The torch device on which samples are generated: cpu, cuda, cuda:1. Beats are computed on the CPU.",
        metavar="DEVICE",
    ),
]
Fps = Annotated[
    str | None,
    typer.Option(help="Frames/s of the beat decoder, e.g. 100,150,200.  \\[default: 100,150]", metavar="LIST"),
]
Lambda = Annotated[
    str | None,
    typer.Option(
        help="The decoder's penalty on tempo changes (transition lambda), e.g. 50,100.  \\[default: 100]",
        metavar="LIST",
    ),
]
Window = Annotated[
    str | None,
    typer.Option(
        help="Windows of cross-track beat synchronization (CBS) in seconds, e.g. 0.05,0.15.  "
        "\\[default: 0.05,0.1,0.15,0.2]",
        metavar="LIST",
    ),
]
Timebase = Annotated[
    str | None,
    typer.Option(
        help="real: real seconds. published: real time times 100 / fps, as in the scripts of the SyncTrack paper.  "
        "\\[default: real,published]",
        metavar="LIST",
    ),
]
Embedding = Annotated[
    str | None,
    typer.Option(
        "--embedding",
        help="The embeddings for which the Fréchet audio distance (FAD) is computed. log-mel-stats needs no weights; "
        "vggish, vggish-audioldm and pann need weights and the extra 'fad' (see `mtbench doctor`).  "
        "\\[default: log-mel-stats]",
        metavar="LIST",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="The run folder. Running the same command again resumes an interrupted run.  "
        "\\[default: a folder below runs/]",
        metavar="FOLDER",
    ),
]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        help="text for the terminal; markdown, latex or html for documents; csv or json for programs.",
        metavar="text|markdown|latex|html|csv|json",
    ),
]
Full = Annotated[bool, typer.Option("--full", help="Show every table, not only the summary.", metavar=FLAG)]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", help="Print the settings in full, and a traceback if the command fails.", metavar=FLAG
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print only results and errors: no progress, no notes.", metavar=FLAG)
]
Given = Annotated[
    str | None,
    typer.Option(
        help="For an arrangement run: draw the scores for this set of given stems, e.g. bass+drums.  "
        "\\[default: the first in the run]",
        metavar="STEMS",
    ),
]


def listed(text: str | None, option: str) -> list[str] | None:
    """Return the values of a comma-separated option. Raises UsageError, naming it, if one is empty."""
    if text is None:
        return None
    values = [value.strip() for value in text.split(",")]
    if not all(values):
        raise UsageError(f"{option}: '{text}' is not a comma-separated list")
    return values


def given_only(**options: Any) -> dict[str, Any]:
    """Return the options that the user gave."""
    return {name: value for name, value in options.items() if value is not None}


def grid_of(fps: str | None, transition_lambda: str | None, window: str | None, timebase: str | None) -> dict[str, Any]:
    """Return the settings of the rhythm metrics that the user gave."""
    return given_only(
        fps=listed(fps, "--fps"),
        transition_lambda=listed(transition_lambda, "--transition-lambda"),
        window=listed(window, "--window"),
        timebase=listed(timebase, "--timebase"),
    )


def as_option(location: Any) -> str:
    """Name a value of a config as the option that sets it."""
    name = next((key for key in reversed(location) if isinstance(key, str)), "the options")
    return {"n": "-n", "embeddings": "--embedding", "name": "--models"}.get(name, f"--{name.replace('_', '-')}")


def check_format(form: str) -> None:
    """Raise UsageError for a format that tables cannot have, before anything is computed."""
    from mtbench.errors import unknown_name
    from mtbench.report.formats import FORMATS  # imports pandas

    if form not in FORMATS:
        raise unknown_name("--format", form, FORMATS)
