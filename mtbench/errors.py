"""The two errors that a user sees as one line: what they typed was wrong, or a run failed."""

import difflib
from collections.abc import Iterable

LONGEST = 300  # characters of a stranger's message


class MtbenchError(Exception):
    """Something failed that the user can act on. The command exits with 1."""

    exit_code = 1


class UsageError(MtbenchError):
    """What was asked for cannot be: a wrong name, path, option or config. The command exits with 2."""

    exit_code = 2


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that is not among `known`: it lists them and guesses the one that was meant."""
    known = sorted(known)
    folded = {name.lower(): name for name in known}
    near = difflib.get_close_matches(str(name).lower(), folded, n=1, cutoff=0.5)
    hint = f"Did you mean '{folded[near[0]]}'? " if near else ""
    return UsageError(f"unknown {kind} '{name}'. {hint}Known: {', '.join(known) or 'none'}.")


def one_line(error: BaseException) -> str:
    """A stranger's exception as one line: its type, and the first line of its text, cut at 300 characters."""
    try:
        text = str(error)
    except Exception:  # it may fail at that, too
        text = ""
    first = next((line for line in text.splitlines() if line.strip()), "")
    words = " ".join("".join(letter if letter.isprintable() else " " for letter in first).split())
    kind = "" if isinstance(error, MtbenchError) else type(error).__name__
    line = ": ".join(text for text in (kind, words) if text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."
