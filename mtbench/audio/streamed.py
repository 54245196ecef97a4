"""Find truncated files of formats that only ffmpeg reads: raw AAC (ADTS), and WebM or Matroska."""

import os
from typing import BinaryIO

from mtbench.audio.containers import tag_length


def missing(file: BinaryIO, kind: str) -> str:
    """Return what a truncated AAC or WebM file lacks, as words for the user; "" if it is complete."""
    size = file.seek(0, os.SEEK_END)
    if kind == "AAC":
        return _missing_of_adts(file, size)
    if kind == "WEBM":
        return _missing_of_matroska(file, size)
    return ""


def _missing_of_adts(file: BinaryIO, size: int) -> str:
    """The header of each frame states its length in 13 bits."""
    file.seek(0)
    position = tag_length(file.read(10))
    while position < size:
        file.seek(position)
        header = file.read(7).ljust(7, b"\0")
        length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
        if header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or length < 7:  # a tag, or damage, on which ffmpeg decides
            return ""
        position += length
    return "its last AAC frame is not complete" if position > size else ""


def _missing_of_matroska(file: BinaryIO, size: int) -> str:
    """The file is an EBML header and a segment, each with a length, which is all ones if it is not known."""
    position = 0
    for _ in range(2):
        file.seek(position)
        header = file.read(12).ljust(12, b"\0")
        first = header[4]
        width = 9 - first.bit_length()  # bytes of the length; the position of the highest bit states it
        if width > 8:
            return ""
        length = int.from_bytes(header[4 : 4 + width], "big") & (1 << 7 * width) - 1
        if length == (1 << 7 * width) - 1:
            return ""
        position += 4 + width + length
    return f"its header states {position} bytes, it has {size}" if position > size else ""
