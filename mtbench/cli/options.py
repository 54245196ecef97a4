"""Options that several commands take, and how their texts are read."""

from pathlib import Path
from typing import Annotated, Any

import typer

from mtbench.errors import UsageError

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
