"""Find the streams of a FLAC file. Programs and ``cat`` put several into one file; libsndfile reads only the first."""

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from mtbench.audio.pieces import Pieces

BEGIN = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")  # the marker, and the header of the STREAMINFO block
HEADER = 26  # bytes, up to the number of frames
ID3V1 = 128  # bytes of the tag at the end of a file
AT_ONCE = 1 << 20  # bytes in memory


@dataclass(frozen=True)
class FlacStream:
    """source: what libsndfile is to read. It does not state the number of frames, so that libsndfile reads to the end.

    frames: as the file states; None if it does not.
    """

    source: Pieces
    rate: int
    channels: int
    frames: int | None


def streams(file: BinaryIO) -> list[FlacStream]:
    """Return the streams of a file, one after another. An empty list: it does not begin as FLAC files do."""
    size = file.seek(0, os.SEEK_END)
    if size > ID3V1:
        file.seek(size - ID3V1)
        size -= ID3V1 if file.read(3) == b"TAG" else 0  # libFLAC would take it for a damaged frame
    starts = list(_starts(file, size))
    return [_stream(file, start, end) for start, end in zip(starts, [*starts[1:], size])]


def _starts(file: BinaryIO, size: int) -> Iterator[int]:
    for position in range(0, size, AT_ONCE):
        file.seek(position)
        yield from (
            position + found.start()
            for found in BEGIN.finditer(file.read(min(AT_ONCE + 7, size - position)))
            if position + found.start() + HEADER <= size
        )


def _stream(file: BinaryIO, start: int, end: int) -> FlacStream:
    file.seek(start)
    before = file.read(HEADER)
    packed = int.from_bytes(before[18:26], "big")  # 20 bits of rate, 3 of channels, 5 of bits, 36 of frames
    unstated = before[:18] + struct.pack(">Q", packed >> 36 << 36)
    frames = packed & (1 << 36) - 1
    return FlacStream(
        Pieces(file, [(start + HEADER, end)], unstated), packed >> 44, (packed >> 41 & 7) + 1, frames or None
    )
