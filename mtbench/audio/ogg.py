"""Find the streams of an Ogg file. Several may follow one another (RFC 3533 calls them chained)."""

import os
import struct
from typing import BinaryIO

from mtbench.audio.pieces import Range

FIRST, LAST = 2, 4  # flags of a page
HEADER = 27  # bytes, before the lengths of the segments
JUNK = 1 << 20  # bytes to search for the next page


def links(file: BinaryIO) -> tuple[list[Range], str]:
    """Return the byte ranges of the chained streams, and in what way the file is truncated ("" if it is not)."""
    file.seek(0, os.SEEK_END)
    size = file.tell()
    position: int | None = 0
    starts: list[int] = []
    flags, truncated = LAST, ""
    while position is not None and position < size:
        file.seek(position)
        header = file.read(HEADER)
        if header[:4] != b"OggS" or len(header) < HEADER:
            position = _next(file, position + 1)
            if position is not None:  # bytes after the last page are harmless
                truncated = "a part between its pages is missing"
            continue
        previous, (flags, segments) = flags, struct.unpack("<5xB20xB", header)
        if flags & FIRST and not (starts and previous & FIRST):  # multiplexed streams begin with a page each
            if starts and not previous & LAST:
                truncated = "one of its streams has no last page"
            starts.append(position)
        position += HEADER + segments + sum(file.read(segments))
        if position > size:
            return list(zip(starts, [*starts[1:], size])), "its last page is not complete"
    if not flags & LAST:
        truncated = "its last page is not the end of the stream"
    return list(zip(starts, [*starts[1:], size])), truncated


def is_vorbis_or_opus(file: BinaryIO) -> bool:
    """Return whether one of the streams at the beginning of a file is one that libsndfile decodes."""
    file.seek(0)
    start = file.read(4096)
    return b"\x01vorbis" in start or b"OpusHead" in start


def _next(file: BinaryIO, position: int) -> int | None:
    file.seek(position)
    found = file.read(JUNK).find(b"OggS")
    return None if found < 0 else position + found
