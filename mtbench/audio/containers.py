"""Recognise files by their first bytes, and compare the lengths that their headers state with the files themselves.

libsndfile reads truncated files, and those whose header states too little, without complaint.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from mtbench.audio.pieces import Pieces

W64_HEADER = 24  # bytes of a chunk's header, which count for its length
MP4_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
MAGIC = {
    b"riff": "W64",
    b"caff": "CAF",
    b".snd": "AU",
    b"dns.": "AU",
    b"OggS": "OGG",
    b"fLaC": "FLAC",
    b"\x1a\x45\xdf\xa3": "WEBM",
}
FILES = (b"RIFF", b"RIFX", b"RF64", b"FORM", *MAGIC)  # beginnings of another file after the end of one
TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICS")  # that some programs put after the last chunk
UNCOMPRESSED_AIFF = (b"NONE", b"sowt", b"twos", b"raw ", b"in24", b"in32", b"fl32", b"FL32", b"fl64", b"FL64")
LONGEST_HEADER = 1 << 20  # bytes before the audio of a file whose header is corrected
AT_ONCE = 1 << 20  # bytes in memory


@dataclass(frozen=True)
class Chunk:
    """A part of a file: its name, and the position and number of its bytes as stated. `length` None: not stated."""

    name: bytes
    start: int
    length: int | None


@dataclass(frozen=True)
class Layout:
    """How the chunks of a format are written.

    first: position of the first. header: name and length. included: bytes of the header that count for the length.
    alignment: of chunks, in bytes. audio: name of the chunk with the audio.
    """

    first: int
    header: struct.Struct
    included: int
    alignment: int
    audio: bytes = b"data"


LAYOUTS = {
    "WAV": Layout(12, struct.Struct("<4sI"), 0, 2),
    "RIFX": Layout(12, struct.Struct(">4sI"), 0, 2),
    "W64": Layout(40, struct.Struct("<4s12xQ"), W64_HEADER, 8),
    "AIFF": Layout(12, struct.Struct(">4sI"), 0, 2, b"SSND"),
    "CAF": Layout(8, struct.Struct(">4sq"), 0, 1),
}


def kind(file: BinaryIO) -> str:
    """Return the format that a file's first bytes show: "WAV", "RIFX", "W64", "AIFF", "CAF", "AU", "OGG", "FLAC",
    "MP4", "WEBM", "AAC", "MPEG", or "" for everything else, which libsndfile judges itself."""
    file.seek(0)
    start = file.read(12)
    if start[:3] == b"ID3" and len(start) >= 10:
        file.seek(tag_length(start))
        following = file.read(4)
        return "FLAC" if following == b"fLaC" else "AAC" if _is_adts(following) else "MPEG"
    if start[:4] in (b"RIFF", b"RIFX", b"RF64") and start[8:] == b"WAVE":
        return "RIFX" if start[:4] == b"RIFX" else "WAV"
    if start[:4] == b"FORM" and start[8:] in (b"AIFF", b"AIFC"):
        return "AIFF"
    if start[4:8] in MP4_ATOMS:
        return "MP4"
    if _is_adts(start):
        return "AAC"
    if len(start) > 1 and start[0] == 0xFF and start[1] & 0xE0 == 0xE0 and start[1] & 0x06:
        return "MPEG"
    return MAGIC.get(start[:4], "")


def _is_adts(start: bytes) -> bool:
    """Return whether a file begins with a header of AAC: the sync of MPEG audio, and layer 0."""
    return len(start) > 1 and start[0] == 0xFF and start[1] & 0xF6 == 0xF0


def tag_length(start: bytes) -> int:
    """Return the number of bytes of an ID3v2 tag from its first ten bytes; 0 if there is none."""
    if start[:3] != b"ID3" or len(start) < 10:
        return 0
    length = sum((byte & 0x7F) << shift for byte, shift in zip(start[6:10], (21, 14, 7, 0)))
    return 10 + length + (10 if start[5] & 0x10 else 0)


def missing(file: BinaryIO, kind: str) -> str:
    """Return what a truncated file of a kind with chunks lacks, as words for the user; "" if it is complete."""
    audio, size = audio_chunk(file, kind), _size(file)
    if audio is None or audio.length is None:
        return ""
    stated = max(audio.length, _stated_by_comm(file) if kind == "AIFF" else 0)
    if audio.start + stated <= size:
        return ""
    return f"its header states {stated} bytes of audio, it has {max(size - audio.start, 0)}"


def excess(file: BinaryIO, kind: str) -> str:
    """Return in what way a complete file of a kind with chunks has more audio than its header states; "" if it has not.

    The header may state too little: a length of more than 4 GiB that did not fit into it, or that of a recording that
    was not finished. After the audio, there may be chunks, tags, zeros, or fewer bytes than a chunk has.
    """
    audio, size = audio_chunk(file, kind), _size(file)
    if audio is None or audio.length is None:
        return ""
    layout, end = LAYOUTS.get(kind, LAYOUTS["AIFF"]), audio.start + audio.length
    aligned = end + -end % layout.alignment  # not all programs align
    if size - aligned < layout.header.size:
        return ""
    for position in (aligned, end):
        file.seek(position)
        following = file.read(layout.header.size)
        if following[:4] in FILES:
            return "contains another file after its end; split it"
        name, length = layout.header.unpack(following)
        if name == layout.audio:
            return "contains two chunks of audio; export it again"
        if name.isascii() and name.decode().isprintable() and layout.included <= length <= size - position:
            return ""
    file.seek(end)
    if file.read(8).startswith(TAGS) or _only_zeros(file, end):
        return ""
    return f"its header states {audio.length} bytes of audio, the file has {size - audio.start}; repair its header"


def corrected(file: BinaryIO, kind: str, tag: int | None = None) -> Pieces | None:
    """Return a file as libsndfile can read it; None if that is the file itself.

    libsndfile refuses CAF and RF64 files whose length is -1, which stands for unknown, and reads the bytes after the
    audio of a W64 file as audio, too. tag: of the format, to replace that of a W64 file.
    """
    size, audio = _size(file), audio_chunk(file, kind)
    if audio is None or audio.start > LONGEST_HEADER:
        return None
    if kind == "CAF" and audio.length is None:
        return _patched(file, {audio.start - 8: struct.pack(">q", size - audio.start)}, size)
    if kind == "W64":
        end = min(audio.start + audio.length, size) if audio.length else size
        patches = {} if tag is None else {each.start: struct.pack("<H", tag) for each in _named(file, kind, b"fmt ")}
        return _patched(file, patches, end) if patches or end < size else None
    for long in _named(file, kind, b"ds64") if kind == "WAV" else ():
        file.seek(long.start + 8)
        if file.read(8) == b"\xff" * 8:
            return _patched(file, {long.start + 8: struct.pack("<Q", size - audio.start)}, size)
    return None


def chunks(file: BinaryIO, kind: str) -> Iterator[Chunk]:
    """Yield the chunks of a file, with the lengths that are stated, up to the one with the audio."""
    if (layout := LAYOUTS.get(kind)) is None:
        return
    position = layout.first
    while True:
        file.seek(position)
        header = file.read(layout.header.size)
        if len(header) < layout.header.size:
            return
        name, length = layout.header.unpack(header)
        start = position + layout.header.size
        yield Chunk(name, start, length - layout.included)
        if name == layout.audio or not layout.included <= length < 2**62:
            return
        position = start - layout.included + length
        position += -position % layout.alignment


def audio_chunk(file: BinaryIO, kind: str) -> Chunk | None:
    """Return the bytes of audio of a file with chunks, or of an AU file; None if there are none.

    Programs that write to a pipe cannot go back to fill in a length. They leave 0, or the largest number; the length is
    then None. A length of 0 in WAV and AU files is one, since libsndfile reads nothing there.
    """
    if kind == "AU":
        file.seek(0)
        header = file.read(12)
        if len(header) < 12:
            return None
        start, stated = struct.unpack("<4xII" if header[:4] == b"dns." else ">4xII", header)
        return Chunk(b"data", start, None if stated == 0xFFFFFFFF else stated)
    found = {chunk.name: chunk for chunk in chunks(file, kind)}
    if kind not in LAYOUTS or (audio := found.get(LAYOUTS[kind].audio)) is None or audio.length is None:
        return None
    length = audio.length
    if kind in ("WAV", "RIFX"):
        if length == 0xFFFFFFFF and (long := found.get(b"ds64")):
            file.seek(long.start + 8)
            length = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))[0]
        unknown = length in (0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
    elif kind == "W64":
        unknown = length <= 0 or length + W64_HEADER >= 2**63 - 1
    elif kind == "AIFF":
        unknown, length = length in (0, 0xFFFFFFFF), max(length - 8, 0)
    else:
        unknown = length < 0
    return Chunk(b"data", audio.start + 8 * (kind == "AIFF"), None if unknown else length)


def _stated_by_comm(file: BinaryIO) -> int:
    """Return the bytes of audio that the COMM chunk of an AIFF file states; 0 for compressed audio."""
    file.seek(8)
    compressed = file.read(4) == b"AIFC"
    for chunk in _named(file, "AIFF", b"COMM"):
        file.seek(chunk.start)
        common = file.read(min(chunk.length or 0, 22)).ljust(22, b"\0")
        channels, frames, bits = struct.unpack(">HIH", common[:8])
        if not compressed or common[18:22] in UNCOMPRESSED_AIFF:
            return int(frames * channels * -(-bits // 8))
    return 0


def _named(file: BinaryIO, kind: str, name: bytes) -> list[Chunk]:
    """Return the first chunk of a name, before the audio, in a list; an empty list if there is none."""
    return [chunk for chunk in chunks(file, kind) if chunk.name == name][:1]


def _patched(file: BinaryIO, patches: dict[int, bytes], end: int) -> Pieces:
    """Return the bytes of a file up to `end`, with those at some positions replaced."""
    last = max((at + len(data) for at, data in patches.items()), default=0)
    file.seek(0)
    before = bytearray(file.read(last))
    for at, data in patches.items():
        before[at : at + len(data)] = data
    return Pieces(file, [(last, end)], bytes(before))


def _only_zeros(file: BinaryIO, position: int) -> bool:
    """Return whether a file has only zeros from a position on."""
    file.seek(position)
    while data := file.read(AT_ONCE):
        if data.count(0) < len(data):
            return False
    return True


def _size(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)
