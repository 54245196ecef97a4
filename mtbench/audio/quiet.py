"""Keep what libmpg123 prints about damaged files from the user's terminal."""

import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

OF_MPG123 = re.compile(rb"\[src/libmpg123/|Note: |Warning: Xing |(?:dequantization|big_values|bit deficit)|\s*$")
LOCK = threading.Lock()
# A process that is forked meanwhile would keep the redirection, and the lock, for ever.
os.register_at_fork(before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release)


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the lines that libmpg123 writes to file descriptor 2. What other threads write there appears afterwards."""
    with LOCK, tempfile.TemporaryFile() as written:
        try:
            terminal = os.dup(2)
        except OSError:  # the process has no standard error
            yield
            return
        try:
            os.dup2(written.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(terminal, 2)
                written.seek(0)
                if others := b"".join(line for line in written if not OF_MPG123.match(line)):
                    os.write(terminal, others)
        finally:
            os.close(terminal)
