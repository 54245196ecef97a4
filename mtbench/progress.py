"""Show the progress of long work on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

errors = Console(stderr=True, highlight=False, emoji=False)


@contextmanager
def shown(title: str, total: int) -> Iterator[Callable[..., None]]:
    """Show a progress bar. Without a terminal, print one line when the work begins and one when it ends.

    Yields a function to call with the number of steps just finished and, optionally, a short text on the current step.
    """
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


@contextmanager
def hidden(title: str, total: int) -> Iterator[Callable[..., None]]:
    """Show nothing. Replaces `shown` if no progress is wanted."""
    yield lambda steps, detail="": None
