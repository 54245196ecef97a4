"""The command line: one file per command, each thin. It reads options, calls one function, and prints.

A command imports slow packages only when it runs, so that ``mtbench --help`` answers at once.
"""

import inspect
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Annotated

import typer

from mtbench.cli.beats import beats
from mtbench.cli.check import check
from mtbench.cli.doctor import doctor
from mtbench.cli.evaluate import evaluate
from mtbench.cli.hints import Command
from mtbench.cli.models import models, suites
from mtbench.cli.options import FLAG
from mtbench.cli.prepare import prepare
from mtbench.cli.run import run
from mtbench.cli.show import compare, plot, show
from mtbench.cli.site import site
from mtbench.cli.terminal import console
from mtbench.version import __version__

# Each command with examples of its use.
COMMANDS: dict[str, tuple[Callable[..., None], list[str]]] = {
    "run": (
        run,
        [
            "mtbench run --models synctrack,msg-ld -n 8 --out runs/demo",
            "mtbench run --config configs/band.yaml --format markdown",
        ],
    ),
    "eval": (
        evaluate,
        [
            "mtbench eval my_stems/ --reference band",
            "mtbench eval model-a/ model-b/ --fps 150 --timebase published --format latex",
        ],
    ),
    "show": (show, ["mtbench show runs/demo --full", "mtbench show runs/demo --format latex > table.tex"]),
    "compare": (compare, ["mtbench compare runs/before runs/after"]),
    "plot": (plot, ["mtbench plot runs/demo --kind scatter --out scatter.pdf"]),
    "check": (
        check,
        [
            "mtbench check results/baselines/band.json",
            "mtbench check results/baselines/band.json runs/demo --format markdown",
        ],
    ),
    "site": (site, ["mtbench site results runs/demo --out public"]),
    "beats": (beats, ["mtbench beats drums.wav", "mtbench beats *.flac --format json > beats.json"]),
    "prepare": (
        prepare,
        ["mtbench prepare slakh2100 ~/slakh2100_flac_redux", "mtbench prepare musdb18-hq ~/musdb18hq"],
    ),
    "models": (models, ["mtbench models", "mtbench models synctrack"]),
    "suites": (suites, ["mtbench suites"]),
    "doctor": (doctor, ["mtbench doctor"]),
}


def unwrapped(command: Callable[..., None]) -> str:
    """Return a docstring with one line per paragraph: Typer keeps line breaks, wherever the terminal wraps."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in (inspect.getdoc(command) or "").split("\n\n"))


app = typer.Typer(
    name="mtbench",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: [bold]mtbench run --models synctrack,msg-ld[/bold]",
)
for name, (command, examples) in COMMANDS.items():
    heading = "Example:" if len(examples) == 1 else "Examples:"
    epilog = "\n\n".join([heading, *(f"  [bold]{example}[/bold]" for example in examples)])
    app.command(name=name, cls=Command, help=unwrapped(command), epilog=epilog)(command)


def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", metavar=FLAG)] = False,
) -> None:
    """A benchmark for multi-track music generators: models that generate separate stems, which must fit together.

    It computes the Fréchet audio distance (FAD), inner-track rhythmic stability (IRS), and cross-track beat
    synchronization (CBS) and dispersion (CBD).
    """
    if version:
        console.print(__version__)
        raise typer.Exit()


app.callback(invoke_without_command=True, help=unwrapped(top))(top)


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name may have letters that the terminal's encoding lacks
            stream.reconfigure(errors="replace")
    app()
