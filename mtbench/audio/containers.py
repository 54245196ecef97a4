"""Recognise files by their first bytes, and find truncated ones, which libsndfile reads without complaint."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from mtbench.audio.pieces import Pieces

WAV_MP3 = 0x55  # the format tag of MP3 in a WAV file
W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
MP4_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
UNCOMPRESSED_AIFF = (b"NONE", b"sowt", b"twos", b"raw ", b"in24", b"in32", b"fl32", b"FL32", b"fl64", b"FL64")
LONGEST_HEADER = 1 << 20  # bytes before the audio of a CAF file of unknown length


@dataclass(frozen=True)
class Chunk:
    """A part of a file: its name, and the position and number of its bytes as stated. `length` None: not stated."""

    name: bytes
    start: int
    length: int | None


def kind(file: BinaryIO) -> str:
    """Return the format that a file's first bytes show: "WAV", "W64", "AIFF", "CAF", "AU", "OGG", "MP4", "MPEG", or ""
    for everything else, which libsndfile judges itself."""
    file.seek(0)
    start = file.read(12)
    if start[:3] == b"ID3" and len(start) >= 10:
        file.seek(tag_length(start))
        following = file.read(4)
        return "" if following == b"fLaC" else "MPEG"
    if start[:4] in (b"RIFF", b"RIFX", b"RF64") and start[8:] == b"WAVE":
        return "WAV"
    if start[:4] == b"FORM" and start[8:] in (b"AIFF", b"AIFC"):
        return "AIFF"
    if start[4:8] in MP4_ATOMS:
        return "MP4"
    if len(start) > 1 and start[0] == 0xFF and start[1] & 0xE0 == 0xE0 and start[1] & 0x06:  # 0x06: 0 is AAC
        return "MPEG"
    return {b"riff": "W64", b"caff": "CAF", b".snd": "AU", b"dns.": "AU", b"OggS": "OGG"}.get(start[:4], "")


def tag_length(start: bytes) -> int:
    """Return the number of bytes of an ID3v2 tag from its first ten bytes; 0 if there is none."""
    if start[:3] != b"ID3" or len(start) < 10:
        return 0
    length = sum((byte & 0x7F) << shift for byte, shift in zip(start[6:10], (21, 14, 7, 0)))
    return 10 + length + (10 if start[5] & 0x10 else 0)


def missing(file: BinaryIO, kind: str) -> str:
    """Return what a truncated file of a kind with chunks lacks, as words for the user; "" if it is complete."""
    file.seek(0, os.SEEK_END)
    size = file.tell()
    for chunk in _chunks(file, kind):
        if chunk.name == b"data":
            if chunk.length is not None and chunk.start + chunk.length > size:
                return f"its header states {chunk.length} bytes of audio, it has {max(size - chunk.start, 0)}"
            return ""
    return ""


def corrected(file: BinaryIO, kind: str) -> Pieces | None:
    """Return a file as libsndfile can read it; None if that is the file itself.

    libsndfile refuses a CAF file whose length is -1, which stands for unknown, and reads the bytes after the audio of a
    W64 file as audio, too.
    """
    if kind not in ("CAF", "W64"):
        return None
    size = file.seek(0, os.SEEK_END)
    for chunk in _chunks(file, kind):
        if chunk.name != b"data":
            continue
        if kind == "CAF" and chunk.length is None and chunk.start < LONGEST_HEADER:
            file.seek(0)
            before = file.read(chunk.start - 8) + struct.pack(">q", size - chunk.start)
            return Pieces(file, [(chunk.start, size)], before)
        if kind == "W64" and chunk.length and chunk.start + chunk.length < size:
            return Pieces(file, [(0, chunk.start + chunk.length)])
    return None


def mp3_in_wav(file: BinaryIO) -> tuple[int, int] | None:
    """Return the range of bytes of the MP3 stream in a WAV file; None if the file contains something else."""
    file.seek(0, os.SEEK_END)
    size, is_mp3 = file.tell(), False
    for chunk in _chunks(file, "WAV"):
        if chunk.name == b"fmt ":
            file.seek(chunk.start)
            is_mp3 = file.read(2) == struct.pack("<H", WAV_MP3)
        if chunk.name == b"data":
            end = size if chunk.length is None else min(chunk.start + chunk.length, size)
            return (chunk.start, end) if is_mp3 else None
    return None


def _chunks(file: BinaryIO, kind: str) -> Iterator[Chunk]:
    """Yield the chunks of a file up to the one with the audio, which is called ``data`` here in every format.

    Programs that write to a pipe cannot go back to fill in a length. They leave 0, or the largest number; the length is
    then None.
    """
    walk = {"WAV": _riff, "W64": _w64, "AIFF": _aiff, "CAF": _caf, "AU": _au}.get(kind)
    if walk:
        yield from walk(file)


def _riff(file: BinaryIO) -> Iterator[Chunk]:
    file.seek(0)
    order = ">" if file.read(12)[:4] == b"RIFX" else "<"
    long_length = None  # of the data, in an RF64 file
    while len(header := file.read(8)) == 8:
        name, length = struct.unpack(f"{order}4sI", header)
        start = file.tell()
        if name == b"ds64":
            long_length = struct.unpack("<8xQ", file.read(16).ljust(16, b"\0"))[0]
        if name == b"data":
            stated = long_length if length == 0xFFFFFFFF and long_length is not None else length
            yield Chunk(name, start, None if stated in (0, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1) else stated)
            return
        yield Chunk(name, start, length)
        file.seek(start + length + length % 2)


def _w64(file: BinaryIO) -> Iterator[Chunk]:
    file.seek(40)
    while len(header := file.read(24)) == 24:
        name, length = header[:4], struct.unpack("<16xQ", header)[0]  # the length includes the header
        start = file.tell()
        if name == b"data":
            yield Chunk(name, start, None if length < 24 or length >= 2**63 - 1 else length - 24)
            return
        if not 24 <= length < 2**62:
            return
        yield Chunk(name, start, length - 24)
        file.seek(start - 24 + length + -length % 8)


def _aiff(file: BinaryIO) -> Iterator[Chunk]:
    compressed = file.seek(8) and file.read(4) == b"AIFC"
    stated = 0  # bytes of audio, by the COMM chunk
    while len(header := file.read(8)) == 8:
        name, length = struct.unpack(">4sI", header)
        start = file.tell()
        if name == b"COMM":
            common = file.read(min(length, 22)).ljust(22, b"\0")
            channels, frames, bits = struct.unpack(">HIH", common[:8])
            if not compressed or common[18:22] in UNCOMPRESSED_AIFF:
                stated = frames * channels * -(-bits // 8)
        if name == b"SSND":
            audio = max(stated, length - 8)
            yield Chunk(b"data", start + 8, None if length in (0, 8, 0xFFFFFFFF) else audio)
            return
        yield Chunk(name, start, length)
        file.seek(start + length + length % 2)


def _caf(file: BinaryIO) -> Iterator[Chunk]:
    file.seek(8)
    while len(header := file.read(12)) == 12:
        name, length = struct.unpack(">4sq", header)
        start = file.tell()
        if name == b"data":
            yield Chunk(name, start, None if length < 0 else length)
            return
        if not 0 <= length < 2**62:
            return
        yield Chunk(name, start, length)
        file.seek(start + length)


def _au(file: BinaryIO) -> Iterator[Chunk]:
    file.seek(0)
    header = file.read(12)
    if len(header) == 12:
        start, length = struct.unpack("<4xII" if header[:4] == b"dns." else ">4xII", header)
        yield Chunk(b"data", start, None if length in (0, 0xFFFFFFFF) else length)
