"""What the commands share: the two consoles, and errors as one line with the right exit code."""

import errno
import functools
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

import typer
from rich.console import Console

from mtbench.errors import MtbenchError
from mtbench.progress import errors, literal

P = ParamSpec("P")
R = TypeVar("R")

# Without a terminal there is no width at which to wrap a table.
console = Console(highlight=False, emoji=False, width=None if sys.stdout and sys.stdout.isatty() else 10_000)

# The system's errors for a wrong path. Any other is the machine's fault (a full disk, too many open files).
MISUSE = (
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.EROFS,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.ENOTEMPTY,
    None,
)


def guarded(command: Callable[P, R], stopped: str = "interrupted") -> Callable[P, R]:
    """Turn errors that a user can act on into one line and the right exit code.

    stopped: the message at Ctrl-C. A command with the option `verbose` also prints the traceback if it is set.
    """

    @functools.wraps(command)
    def run(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return command(*arguments, **options)
        except MtbenchError as error:
            if options.get("verbose"):
                traceback.print_exc()
            say_error(error)
            raise typer.Exit(error.exit_code) from None
        except BrokenPipeError:  # the program that read our output has ended
            raise
        except OSError as error:
            name = error.filename2 or error.filename  # the name that a file could not be given, rather than its old one
            say_error(f"{name}: {error.strerror}" if name else error)
            raise typer.Exit(2 if error.errno in MISUSE else 1) from None
        except KeyboardInterrupt:
            errors.print(stopped)
            raise typer.Exit(130) from None

    return run


def resumable(command: Callable[P, R]) -> Callable[P, R]:
    """Do what `guarded` does, for a command that resumes when it is run again."""
    return guarded(command, stopped="interrupted; finished work is kept, and the same command resumes from there")


def note(text: str) -> None:
    errors.print(f"[yellow]note:[/yellow] {literal(text)}", soft_wrap=True)


def say_error(error: object) -> None:
    """Print an error on one line, even if another package's message has several or a file name contains a newline."""
    errors.print(f"[red]error:[/red] {literal(str(error).strip())}", soft_wrap=True)


def fail(failures: Sequence[object]) -> None:
    """If anything failed, print a line for each failure and exit with 1."""
    for failure in failures:
        say_error(failure)
    if failures:
        raise typer.Exit(1)
