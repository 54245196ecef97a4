"""A file-like object made of pieces of another file."""

import io
import os
from collections.abc import Sequence
from itertools import accumulate
from typing import BinaryIO

Range = tuple[int, int]  # the first byte, and the byte after the last
TAIL = 128
FARTHEST = 1 << 62  # soundfile cannot pass on larger positions


class Pieces(io.RawIOBase):
    """Bytes, followed by ranges of a file, as one seekable file for libsndfile.

    gap: number of bytes that cannot be read, after everything else, and before a tail of zeros as long as an ID3v1 tag.
    They count for the size.
    """

    def __init__(self, file: BinaryIO, ranges: Sequence[Range], before: bytes = b"", gap: int = 0):
        self._file, self._before, self._ranges = file, before, ranges
        self._starts = [0, *accumulate([len(before), *(end - start for start, end in ranges)])]
        self._size = self._starts[-1] + (gap + TAIL if gap else 0)
        self._position = 0

    @property
    def at_end(self) -> bool:
        return self._position >= self._size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = min(max(base + offset, 0), FARTHEST)
        return self._position

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        view, filled = memoryview(buffer).cast("B"), 0
        for number, (first, last) in enumerate(zip(self._starts, self._starts[1:])):
            if filled == len(view) or not first <= self._position < last:
                continue
            count = min(len(view) - filled, last - self._position)
            if number == 0:
                data = self._before[self._position : self._position + count]
            else:
                self._file.seek(self._ranges[number - 1][0] + self._position - first)
                data = self._file.read(count)
            view[filled : filled + len(data)] = data
            filled, self._position = filled + len(data), self._position + len(data)
            if len(data) < count:
                break
        if not filled and max(self._starts[-1], self._size - TAIL) <= self._position < self._size:
            filled = min(len(view), self._size - self._position)
            view[:filled] = bytes(filled)
            self._position += filled
        return filled
