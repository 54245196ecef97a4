"""What the commands share: the two consoles, progress, and errors as one line with the right exit code."""

import errno
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mtbench.errors import MtbenchError

P = ParamSpec("P")
R = TypeVar("R")

# Without a terminal there is no edge at which to wrap a table.
console = Console(highlight=False, emoji=False, width=None if sys.stdout and sys.stdout.isatty() else 10_000)
errors = Console(stderr=True, highlight=False, emoji=False)

# What the system says of a path that cannot be; all else is the machine's fault (a full disk, too many open files).
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


def guarded(command: Callable[P, R], stopped: str = "stopped") -> Callable[P, R]:
    """Turn what a user can act on into one line and the right exit code. stopped: what is said at Ctrl-C."""

    @functools.wraps(command)
    def run(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return command(*arguments, **options)
        except MtbenchError as error:
            say_error(error)
            raise typer.Exit(error.exit_code) from None
        except BrokenPipeError:  # who read our output has gone
            raise
        except OSError as error:
            name = error.filename2 or error.filename  # where a file could not be renamed to, rather than from
            say_error(f"{name}: {error.strerror}" if name else error)
            raise typer.Exit(2 if error.errno in MISUSE else 1) from None
        except KeyboardInterrupt:
            errors.print(stopped)
            raise typer.Exit(130) from None

    return run


def resumable(command: Callable[P, R]) -> Callable[P, R]:
    """`guarded`, for a command that resumes when it is typed again."""
    return guarded(command, stopped="stopped; what was finished is kept, and the same command resumes from there")


@contextmanager
def stage(title: str, total: int) -> Iterator[Callable[..., None]]:
    """A progress bar; where nobody watches a terminal, a line when the stage begins and one when it ends."""
    if not errors.is_terminal:
        errors.print(f"{title}: {total} to do", markup=False)
        yield lambda steps, detail="": None
        errors.print(f"{title}: done", markup=False)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors) as progress:
        task = progress.add_task(escape(title), total=total)
        yield lambda steps, detail="": progress.update(
            task, advance=steps, description=escape(f"{title} {detail}".strip())
        )


def note(text: str) -> None:
    errors.print(f"[yellow]note:[/yellow] {escape(text)}", soft_wrap=True)


def say_error(error: object) -> None:
    """One line, even where a stranger's message has many."""
    errors.print(f"[red]error:[/red] {escape(' '.join(str(error).split()))}", soft_wrap=True)


def fail(failures: Sequence[object]) -> None:
    """Exit with 1 and a line for each thing that failed, if any did."""
    for failure in failures:
        say_error(failure)
    if failures:
        raise typer.Exit(1)
