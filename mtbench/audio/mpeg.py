"""Find the frames of an MPEG audio stream (MP3).

Such a stream does not state its length. Encoders put a Xing or VBRI frame with the number of frames before the first
one; without it, libsndfile estimates the number from the size of the first frame, and reads no further than that. The
estimate is wrong for variable bit rates and for any other bytes in the file. `stream` therefore counts the frames. If
the file does not state their number, libsndfile is presented with a file of many times the size, so that its estimate
is large enough, and reads to the actual end. If the file states too few, the number is replaced. Whatever is not a
frame (tags, text, zeros) is left out, since libmpg123 gives up after about 1 KB of it.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from mtbench.audio.containers import tag_length
from mtbench.audio.pieces import Pieces, Range

SYNC = re.compile(rb"\xff[\xe2-\xff]")
JUNK = 1 << 20  # bytes to search for the first frame
AT_ONCE = 1 << 20  # bytes in memory
ANOTHER = 4  # frames in a row that are another stream, and not an accident
ALIKE = 0xFFFE0C00  # the bits of a header that are equal in all frames: sync, version, layer, sample rate
RATES = (44100, 48000, 32000)
KBITS = {  # by MPEG-1 or not, and layer
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
EXAGGERATION = 64  # the largest frame is 40 times as long as the smallest


@dataclass(frozen=True)
class Frame:
    """The header of a frame. length: in bytes. samples: per channel. side: bytes between header and Xing."""

    header: int
    layer: int
    length: int
    samples: int
    side: int
    mono: bool


@dataclass(frozen=True)
class MpegStream:
    """source: what libsndfile is to read; None is the file itself. stated, counted: frames, by the header and in fact.

    exact: whether libsndfile then knows the number of samples. least: number of samples that must be decoded. cut:
    whether the last frame is not complete.
    """

    source: Pieces | None
    stated: int | None
    counted: int
    exact: bool
    least: int
    cut: bool

    @property
    def missing(self) -> str:
        """What a truncated stream lacks, as words for the user; "" if it is complete."""
        if self.stated is not None:
            return (
                f"its header states {self.stated} MP3 frames, it has {self.counted}"
                if self.stated > self.counted + 1 or (self.cut and self.stated > self.counted)
                else ""
            )
        return "its last MP3 frame is not complete" if self.cut else ""


def parse(header: int) -> Frame | None:
    """Parse the 32 bits of a frame header. Returns None if they are not one, or of a free bit rate."""
    version, layer = header >> 19 & 3, 4 - (header >> 17 & 3)
    bit_rate, rate, padding = header >> 12 & 15, header >> 10 & 3, header >> 9 & 1
    if header >> 21 != 0x7FF or version == 1 or layer == 4 or bit_rate in (0, 15) or rate == 3:
        return None
    first = version == 3
    hertz = RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    bits = 1000 * KBITS[first, layer][bit_rate]
    samples = 384 if layer == 1 else 1152 if first or layer == 2 else 576
    length = (12 * bits // hertz + padding) * 4 if layer == 1 else samples // 8 * bits // hertz + padding
    mono = header >> 6 & 3 == 3
    return Frame(header, layer, length, samples, {(True, False): 32, (False, True): 9}.get((first, mono), 17), mono)


def stream(file: BinaryIO, start: int, end: int, whole: bool) -> MpegStream | None:
    """Return how to read the MPEG stream in bytes `start` to `end` of a file; None if there is no frame.

    whole: whether the bytes are the file itself, so that libsndfile can open it directly. Raises ValueError if the
    sample rate or the number of channels changes within the stream.
    """
    begin = _next(file, start, min(end, start + JUNK), end)
    first = None if begin is None else _frame(file, begin)
    if begin is None or first is None:
        return None
    ranges, counted, cut = _ranges(file, begin, end, first)
    file.seek(start)
    direct = whole and ranges == [(start + tag_length(file.read(10)), end)]

    file.seek(begin)
    data = file.read(min(first.length, end - begin))
    tag_at, stated = _tag(data, first)
    if tag_at is not None:  # this frame contains no audio
        counted = max(counted - 1, 0)
    least = max(counted - 2, 0) * first.samples - 2 * 4096  # without what encoders add at either end
    if stated is not None and (abs(stated - counted) <= 1 or stated > counted):
        source = None if direct else Pieces(file, ranges)
        return MpegStream(source, stated, counted, True, least, cut)
    after_first = [(min(begin + first.length, ranges[0][1]), ranges[0][1]), *ranges[1:]]
    if tag_at is None or stated is None or data[tag_at : tag_at + 4] == b"VBRI":
        audio = ranges if tag_at is None else after_first
        length = sum(last - first for first, last in audio)
        return MpegStream(Pieces(file, audio, gap=EXAGGERATION * length), None, counted, False, least, cut)
    patched = data[: tag_at + 8] + struct.pack(">I", counted) + data[tag_at + 12 :]
    return MpegStream(Pieces(file, after_first, patched), stated, counted, True, least, cut)


def _ranges(file: BinaryIO, begin: int, end: int, first: Frame) -> tuple[list[Range], int, bool]:
    """Return the ranges of bytes with frames, their number, and whether the last frame is not complete."""
    ranges: list[Range] = []
    position, counted, frame = begin, 0, first
    while position + frame.length <= end:
        counted, position = counted + 1, position + frame.length
        following = _frame(file, position) if position + 4 <= end else None
        if following is None or not _alike(following, first):
            ranges.append((begin, position))
            found = _next(file, position, end, end, first)
            if _another(file, position, end if found is None else found, first):
                raise ValueError("its sample rate changes within the file; split it or convert it")
            following = None if found is None else _frame(file, found)
            if found is None or following is None:
                return ranges, counted, False
            begin = ranges.pop()[0] if _only_tags(file, position, found) else found  # libmpg123 knows tags
            position = found
        if following.mono != first.mono:
            raise ValueError("its number of channels changes within the file; split it or convert it")
        frame = following
    if begin < position or not ranges:
        ranges.append((begin, position if begin < position else end))
    return ranges, counted, True


def _only_tags(file: BinaryIO, position: int, end: int) -> bool:
    """Return whether a range of bytes consists of ID3 tags."""
    while position < end:
        file.seek(position)
        header = file.read(10)
        position += 128 if header[:3] == b"TAG" else tag_length(header) or end
    return position == end


def _frame(file: BinaryIO, position: int) -> Frame | None:
    file.seek(position)
    header = file.read(4)
    return parse(int.from_bytes(header, "big")) if len(header) == 4 else None


def _alike(frame: Frame, other: Frame) -> bool:
    return not (frame.header ^ other.header) & ALIKE


def _candidates(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, Frame]]:
    """Yield the positions of all headers of a frame that begin in a range of bytes."""
    for position in range(start, end, AT_ONCE):
        file.seek(position)
        data = file.read(min(AT_ONCE, end - position) + 3)
        for match in SYNC.finditer(data, 0, min(AT_ONCE, end - position) + 1):
            if frame := parse(int.from_bytes(data[match.start() : match.start() + 4].ljust(4, b"\0"), "big")):
                yield position + match.start(), frame


def _next(file: BinaryIO, start: int, last: int, end: int, alike: Frame | None = None) -> int | None:
    """Return the position of the next frame, before `last`: a header followed by another that fits, or by the end."""
    for position, frame in _candidates(file, start, last):
        if alike is not None and not _alike(frame, alike):
            continue
        following = _frame(file, position + frame.length)
        if position + frame.length == end or (following and _alike(following, frame)):
            return position
    return None


def _another(file: BinaryIO, start: int, end: int, first: Frame) -> bool:
    """Return whether a range of bytes contains frames in a row that differ from the first frame."""
    for position, frame in _candidates(file, start, end):
        following: Frame | None = None if _alike(frame, first) else frame
        for _ in range(ANOTHER - 1):
            if following is None:
                break
            position += following.length
            following = _frame(file, position)
            following = following if following and position < end and _alike(following, frame) else None
        if following:
            return True
    return False


def _tag(data: bytes, frame: Frame) -> tuple[int | None, int | None]:
    """Return (position of a Xing, Info or VBRI tag in the first frame, its number of frames), None if missing."""
    at = 4 + frame.side
    if frame.layer == 3 and data[at : at + 4] in (b"Xing", b"Info") and len(data) >= at + 12:
        flags, count = struct.unpack(">II", data[at + 4 : at + 12])
        return at, count if flags & 1 and count else None
    if data[36:40] == b"VBRI" and len(data) >= 54:
        return 36, struct.unpack(">I", data[50:54])[0]
    return None, None
