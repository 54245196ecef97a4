"""The error for audio that cannot be scored."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from mtbench.errors import MtbenchError


class AudioError(MtbenchError):
    """Audio that cannot be scored: unreadable, truncated, empty, non-finite, or at a rate that cannot be resampled."""


@contextmanager
def of_file(path: str | os.PathLike[str]) -> Iterator[None]:
    """Put the name of a file before the message of an AudioError."""
    try:
        yield
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from None
