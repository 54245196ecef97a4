"""Show the progress of long work on standard error, and any text as it is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mtbench.errors import visible

errors = Console(stderr=True, highlight=False, emoji=False)


def literal(text: str) -> str:
    """Escape text, so that a console shows it as it is: markup and characters that act on the terminal."""
    return escape(visible(text))


@contextmanager
def shown(title: str, total: int) -> Iterator[Callable[..., None]]:
    """Show a progress bar. Without a terminal, print one line when the work begins and one when it ends.

    Yields a function to call with the number of steps just finished and, optionally, a short text on the current step.
    """
    if not errors.is_terminal:
        errors.print(f"{literal(title)}: {total} to do")
        yield lambda steps, detail="": None
        errors.print(f"{literal(title)}: done")
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors) as progress:
        task = progress.add_task(literal(title), total=total)
        yield lambda steps, detail="": progress.update(
            task, advance=steps, description=literal(f"{title} {detail}".strip())
        )


@contextmanager
def hidden(title: str, total: int) -> Iterator[Callable[..., None]]:
    """Show nothing. Replaces `shown` if no progress is wanted."""
    yield lambda steps, detail="": None
