"""The two errors that are shown to the user as one line: wrong usage, and a failed run."""

import difflib
import unicodedata
from collections.abc import Iterable

LONGEST = 300  # characters shown of a message from other code
ACTING = ("Cc", "Cf", "Cs", "Zl", "Zp")  # Unicode categories
JOINERS = "\u00ad\u200c\u200d"  # of category Cf, but part of words and emoji


class MtbenchError(Exception):
    """A failure that the user can act on. The command exits with status 1."""

    exit_code = 1


class UsageError(MtbenchError):
    """A request that cannot be fulfilled: a wrong name, path, option or config. The command exits with status 2."""

    exit_code = 2


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a name that is not in `known`; it suggests the closest name and lists all of them."""
    known = sorted(known)
    folded = {name.lower(): name for name in known}
    near = difflib.get_close_matches(str(name).lower(), folded, n=1, cutoff=0.5)
    hint = f"Did you mean '{folded[near[0]]}'? " if near else ""
    return UsageError(f"unknown {kind} '{name}'. {hint}Available: {', '.join(known) or 'none'}.")


def visible(text: str) -> str:
    """Escape the characters of a text that would act on the terminal instead of being shown: ``a\\x1b[31m\\n``.

    These are control characters, line separators, marks that change the direction of writing, and bytes of file names
    that are not UTF-8.
    """
    return "".join(_escaped(letter) if unicodedata.category(letter) in ACTING else letter for letter in text)


def _escaped(letter: str) -> str:
    if letter in JOINERS:
        return letter
    if "\udc80" <= letter <= "\udcff":  # how Python represents a byte that is not UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode()


def one_line(error: BaseException) -> str:
    """Format an exception raised by other code as one line: its type and the first line of its text.

    The line is cut at 300 characters. The type of an MtbenchError is left out.
    """
    try:
        text = str(error)
    except Exception:  # an exception's __str__ may raise, too
        text = ""
    first = next((line for line in text.splitlines() if line.strip()), "")
    words = visible(" ".join(first.split()))
    kind = "" if isinstance(error, MtbenchError) else type(error).__name__
    line = ": ".join(text for text in (kind, words) if text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."
