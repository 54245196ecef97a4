"""Options that several commands take, and how their texts are read."""

from pathlib import Path
from typing import Annotated, Any

import typer

from mtbench.errors import UsageError


def _list_of_models(incomplete: str) -> list[str]:
    """Completions of the last name of a list of models."""
    from mtbench.registry import models  # imports NumPy

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in models() if name.startswith(last)]


Models = Annotated[
    str | None,
    typer.Option(
        help="Installed models, as `mtbench models` lists them, or folder:PATH for a folder of audio; the controls are "
        "added.",
        metavar="LIST",
        autocompletion=_list_of_models,
    ),
]
Config = Annotated[Path | None, typer.Option(help="A YAML file that says what to run; options here override it.")]
SuiteName = Annotated[
    str | None,
    typer.Option(
        help="The reference set, as `mtbench suites` lists them; band/30s and band/60s have longer clips.  "
        "\\[default: band]"
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        help="total generates all stems; arrangement some of them beside the others of held-out songs.  "
        "\\[default: total]",
        metavar="total|arrangement",
    ),
]
Subsets = Annotated[
    str | None,
    typer.Option(
        help="What arrangement generates: initials of stems, or names joined by +, e.g. B,BP,BGP,BDGP.  "
        "\\[default: every subset]",
        metavar="LIST",
    ),
]
Samples = Annotated[int | None, typer.Option("-n", help="Samples per model and subset.  \\[default: 32]")]
Seed = Annotated[int | None, typer.Option(help="Of the generators.  \\[default: 0]")]
Device = Annotated[str, typer.Option(help="The torch device that generates: cpu, cuda, cuda:1.")]
Fps = Annotated[str | None, typer.Option(help="Frames/s of the beat decoder, e.g. 100,150,200.", metavar="LIST")]
Lambda = Annotated[str | None, typer.Option(help="Transition lambda of the beat decoder, e.g. 50,100.", metavar="LIST")]
Window = Annotated[str | None, typer.Option(help="CBS windows in seconds, e.g. 0.05,0.15.", metavar="LIST")]
Timebase = Annotated[
    str | None,
    typer.Option(
        help="real (real seconds), published (as the papers' scripts), or real,published.",
        metavar="LIST",
    ),
]
Embedding = Annotated[
    str | None,
    typer.Option(
        "--embedding",
        help="Embeddings for FAD: log-mel-stats needs no weights; vggish, vggish-audioldm and pann need the extra fad.",
        metavar="LIST",
    ),
]
Out = Annotated[Path | None, typer.Option(help="The run folder. Given again, the run resumes where it stopped.")]


def listed(text: str | None, option: str) -> list[str] | None:
    """The values of a comma-separated option. Raises UsageError, naming it, if one is empty."""
    if text is None:
        return None
    values = [value.strip() for value in text.split(",")]
    if not all(values):
        raise UsageError(f"{option}: '{text}' is not a comma-separated list")
    return values


def given(**options: Any) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def grid_of(fps: str | None, transition_lambda: str | None, window: str | None, timebase: str | None) -> dict[str, Any]:
    """``{"grid": ...}`` of the settings that were given; empty if none was."""
    grid = given(
        fps=listed(fps, "--fps"),
        transition_lambda=listed(transition_lambda, "--transition-lambda"),
        window=listed(window, "--window"),
        timebase=listed(timebase, "--timebase"),
    )
    return {"grid": grid} if grid else {}
