"""What the header of a file with chunks states about its audio: the encoding, sample rate and number of channels."""

import math
import struct
from dataclasses import dataclass
from typing import BinaryIO

from mtbench.audio.containers import UNCOMPRESSED_AIFF, Chunk, chunks

EXTENSIBLE = 0xFFFE  # the format tag that refers to a GUID, whose first two bytes are the actual tag
GUIDS = (bytes.fromhex("000000001000800000aa00389b71"), bytes.fromhex("00002107d3118644c8c1ca000000"))  # PCM; ambisonic
PCM, FLOAT, ALAW, MULAW, MP3 = 1, 3, 6, 7, 0x55  # format tags
PLAIN_AU = (1, 2, 3, 4, 5, 6, 7, 27)  # mu-law, PCM of 8 to 32 bits, float, double, A-law


@dataclass(frozen=True)
class Stated:
    """tag: of the format, in WAV and W64 files; 0 otherwise. rate: in Hz, as it stands there, NaN included.

    plain: whether the audio is not compressed, so that libsndfile can read it unless the file is damaged. extensible:
    whether the tag comes from a GUID.
    """

    tag: int
    rate: float
    channels: int
    plain: bool
    extensible: bool = False


def stated(file: BinaryIO, kind: str) -> Stated | None:
    """Return what the header states; None if the format has no chunks, or the chunk in question is damaged.

    Raises ValueError for a GUID that is not known.
    """
    if kind == "AU":
        file.seek(0)
        header = file.read(24)
        order = "<" if header[:4] == b"dns." else ">"
        encoding, rate, channels = struct.unpack(f"{order}12x3I", header) if len(header) == 24 else (0, 0, 0)
        return Stated(0, rate, channels, encoding in PLAIN_AU) if len(header) == 24 else None
    parse = {"WAV": _fmt, "RIFX": _fmt, "W64": _fmt, "AIFF": _comm, "CAF": _desc}.get(kind)
    for chunk in chunks(file, kind):
        if parse and chunk.name in (b"fmt ", b"COMM", b"desc"):
            file.seek(chunk.start)
            return parse(file, chunk, kind)
    return None


def _fmt(file: BinaryIO, chunk: Chunk, kind: str) -> Stated | None:
    data = file.read(min(chunk.length or 0, 40))
    if len(data) < 16:
        return None
    tag, channels, rate = struct.unpack(f"{'>' if kind == 'RIFX' else '<'}HHI", data[:8])
    extensible = tag == EXTENSIBLE and len(data) == 40
    if extensible:
        if data[26:] not in GUIDS:
            raise ValueError("its header states an unknown encoding; convert it to WAV or FLAC")
        tag = struct.unpack(f"{'>' if kind == 'RIFX' else '<'}H", data[24:26])[0]
    return Stated(tag, rate, channels, tag in (PCM, FLOAT, ALAW, MULAW), extensible)


def _comm(file: BinaryIO, chunk: Chunk, kind: str) -> Stated | None:
    data = file.read(min(chunk.length or 0, 22))
    if len(data) < 18:
        return None
    channels, exponent, mantissa = struct.unpack(">H6xHQ", data[:18])
    try:
        rate = math.ldexp(mantissa, (exponent & 0x7FFF) - 16383 - 63)
    except OverflowError:
        rate = math.inf
    plain = data[18:] in (b"", *UNCOMPRESSED_AIFF, b"alaw", b"ALAW", b"ulaw", b"ULAW")
    return Stated(0, -rate if exponent & 0x8000 else rate, channels, plain)


def _desc(file: BinaryIO, chunk: Chunk, kind: str) -> Stated | None:
    data = file.read(min(chunk.length or 0, 32))
    if len(data) < 32:
        return None
    rate, encoding, channels = struct.unpack(">d4s12xI", data[:28])
    return Stated(0, rate, channels, encoding in (b"lpcm", b"alaw", b"ulaw"))


def caf_packets(file: BinaryIO, size: int) -> tuple[int, int] | None:
    """Return (frames, priming frames before them) from the pakt chunk of a CAF file, before or after the audio.

    None if there is none, or none that is valid.
    """
    position = 8
    while position + 12 <= size:
        file.seek(position)
        name, length = struct.unpack(">4sq", file.read(12))
        if name == b"pakt":
            data = file.read(min(length, 24)) if length > 0 else b""
            frames, priming = struct.unpack(">8xqi4x", data) if len(data) == 24 else (0, 0)
            return (frames, priming) if frames > 0 and priming >= 0 else None
        if length < 0:
            return None
        position += 12 + length
    return None
