"""Read audio files, block by block. All reading of audio in mtbench happens here.

Time and memory are bounded by the contents of a file, not by what its header promises: a length is a number to compare
with the frames that were decoded. libsndfile reads most formats; ffmpeg, if installed, reads the others. Files are
opened here and passed to libsndfile as descriptors. If it knew the name, it would take ``._name.mp3``, in which macOS
keeps a file's attributes, for the resource fork of a Sound Designer II file, and refuse ``name.mp3``.
"""

import os
import stat
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import soundfile

from mtbench.audio import containers, mpeg, ogg
from mtbench.audio.error import AudioError
from mtbench.audio.ffmpeg import FfmpegDecoder
from mtbench.audio.header import Frames, Header
from mtbench.audio.pieces import Pieces

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".opus", ".m4a", ".w64", ".caf")
AT_ONCE = 1 << 18  # samples of all channels in a block
LONGEST_FRAMES = 1 << 62  # libsndfile states 2^63 - 1 frames if a file does not state their number

KINDS: Sequence[tuple[Callable[[int], bool], str]] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Decoder(Protocol):
    """A file from which frames are read one after another. `read` returns fewer than requested only at the end."""

    header: Header

    def read(self, frames: int) -> Frames: ...

    def skip(self, frames: int) -> None: ...

    def close(self) -> None: ...


class AudioFile:
    """An open audio file. Its header is within the limits of `mtbench.audio.header`."""

    def __init__(self, path: Path, decoder: Decoder, least: int = 0):
        """least: number of frames that must be decoded, if the header does not state a number."""
        self.path, self.header, self._decoder, self._least = path, decoder.header, decoder, least

    def blocks(self, start: int = 0, frames: int = -1) -> Iterator[Frames]:
        """Yield `frames` frames (-1: all) from frame `start` on, in blocks of at most 2^18 samples.

        May be called once. Raises AudioError, naming the file, if it has fewer frames, or none, or if samples are NaN
        or infinite.
        """
        expected = frames
        if frames < 0 and self.header.frames is not None:
            expected = max(self.header.frames - start, 0)
        at_once, decoded = max(AT_ONCE // self.header.channels, 1), 0
        with _named(self.path):
            self._decoder.skip(start)
        while expected < 0 or decoded < expected:
            with _named(self.path):
                block = self._decoder.read(at_once if expected < 0 else min(at_once, expected - decoded))
            if not len(block):
                break
            if not np.isfinite(block).all():
                raise AudioError(f"{self.path}: contains NaN or infinite samples")
            decoded += len(block)
            yield block
        if decoded < expected:
            raise AudioError(
                f"{self.path}: truncated (its header states {start + expected} frames, it has {start + decoded})"
            )
        if decoded == 0:
            raise AudioError(f"{self.path}: contains no samples")
        if frames < 0 and start + decoded < self._least:
            raise AudioError(f"{self.path}: cannot be read as audio (only {start + decoded} frames can be decoded)")

    def count(self) -> int:
        """Return the number of frames; if the header does not state it, decode the file."""
        return self.header.frames if self.header.frames is not None else sum(map(len, self.blocks()))


@contextmanager
def open_audio(path: str | os.PathLike[str], complete: bool = True, stream: int | None = None) -> Iterator[AudioFile]:
    """Open an audio file. stream: which of the audio streams of an MP4 file; None is the first of any file.

    Raises AudioError, naming the file, if it is not a regular file, cannot be read as audio, or has a header beyond the
    limits; also, if `complete`, if it is evidently truncated.
    """
    path = Path(path)
    with ExitStack() as stack:
        with _named(path):
            file = stack.enter_context(_regular_file(path))
            decoder, least = _decoder(path, file, complete) if stream is None else (_mp4(path, file, stream), 0)
            stack.callback(decoder.close)
        if problem := decoder.header.problem:
            raise AudioError(f"{path}: {problem}")
        yield AudioFile(path, decoder, least)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn the errors of reading a file into AudioError."""
    try:
        yield
    except FileNotFoundError:
        raise AudioError(f"{path}: no such file") from None
    except UnicodeError:
        raise AudioError(f"{os.fsencode(path)!r}: the file name is not valid UTF-8; rename the file") from None
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path}: cannot be read as audio ({error.error_string.rstrip('.')})") from None
    except OSError as error:
        raise AudioError(f"{path}: cannot be read as audio ({error.strerror or error})") from None
    except (soundfile.SoundFileError, ValueError, struct.error) as error:
        raise AudioError(f"{path}: cannot be read as audio ({error})") from None


def _regular_file(path: Path) -> BinaryIO:
    """Open a regular file. Refuse anything else at once: opening a pipe would wait for its writer."""
    os.fsencode(path).decode()
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kind = next((kind for is_kind, kind in KINDS if is_kind(mode)), "not a file")
        raise AudioError(f"{path}: cannot be read as audio (it is {kind}, not a file)")
    return path.open("rb")


def _decoder(path: Path, file: BinaryIO, complete: bool) -> tuple[Decoder, int]:
    """Return the decoder of a file, and the number of frames that it must deliver."""
    kind = containers.kind(file)
    if kind == "MP4":
        return FfmpegDecoder(path, "mov"), 0
    if complete and (missing := containers.missing(file, kind)):
        raise AudioError(f"{path}: truncated ({missing})")
    if kind == "OGG":
        ranges, truncated = ogg.links(file)
        if complete and truncated:
            raise AudioError(f"{path}: truncated ({truncated})")
        if len(ranges) > 1:
            return _Chain(path, file, ranges), 0
    of_wav = containers.mp3_in_wav(file) if kind == "WAV" else None
    if of_wav or kind == "MPEG" or (not kind and path.suffix.lower() == ".mp3"):
        size = file.seek(0, os.SEEK_END)
        stream = mpeg.stream(file, *(of_wav or (0, size)), whole=of_wav is None)
        if stream:
            if complete and stream.missing:
                raise AudioError(f"{path}: truncated ({stream.missing})")
            return _SoundFile(file if stream.source is None else stream.source, stream.exact), stream.least
    try:
        return _SoundFile(containers.corrected(file, kind) or file), 0
    except soundfile.LibsndfileError:
        if kind == "CAF":  # AAC, for example
            return FfmpegDecoder(path, "caf"), 0
        raise


def _mp4(path: Path, file: BinaryIO, stream: int) -> Decoder:
    if containers.kind(file) != "MP4":
        raise AudioError(f"{path}: not an MP4 file")
    return FfmpegDecoder(path, "mov", stream)


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read forwards. soundfile otherwise seeks to the present position after each read, after which an
    MP3 decoder starts anew: slower, and with samples that differ in the last digit."""

    def seekable(self) -> bool:
        return False


class _SoundFile:
    """A file that libsndfile decodes."""

    def __init__(self, file: BinaryIO | Pieces, exact: bool = True):
        """exact: whether the number of frames that libsndfile states is that of the file, and not an estimate."""
        if isinstance(file, Pieces):
            self._file = _Forward(file)
        else:
            os.lseek(file.fileno(), 0, os.SEEK_SET)
            self._file = _Forward(file.fileno(), closefd=False)
        frames = self._file.frames if exact and self._file.frames < LONGEST_FRAMES else None
        self.header = Header(self._file.samplerate, self._file.channels, frames, self._file.format, self._file.subtype)

    def read(self, frames: int) -> Frames:
        samples: Frames = self._file.read(frames, dtype="float32", always_2d=True)
        return samples

    def skip(self, frames: int) -> None:
        self._file.seek(frames)

    def close(self) -> None:
        self._file.close()


class _Chain:
    """The chained streams of an Ogg file, one after another."""

    def __init__(self, path: Path, file: BinaryIO, ranges: Sequence[tuple[int, int]]):
        self._streams = [Pieces(file, [each]) for each in ranges]
        headers = []
        for stream in self._streams:
            decoder = _SoundFile(stream)
            headers.append(decoder.header)
            decoder.close()
        first, counts = headers[0], [header.frames for header in headers]
        if any((header.rate, header.channels) != (first.rate, first.channels) for header in headers):
            raise AudioError(f"{path}: its {len(headers)} Ogg streams differ in sample rate or number of channels")
        frames = None if None in counts else sum(count or 0 for count in counts)
        self.header = Header(first.rate, first.channels, frames, first.container, first.subtype)
        self._number, self._decoder = 0, self._open(0)

    def _open(self, number: int) -> _SoundFile:
        self._streams[number].seek(0)
        return _SoundFile(self._streams[number])

    def read(self, frames: int) -> Frames:
        blocks = [self._decoder.read(frames)]
        while sum(map(len, blocks)) < frames and self._number + 1 < len(self._streams):
            self._decoder.close()
            self._number += 1
            self._decoder = self._open(self._number)
            blocks.append(self._decoder.read(frames - sum(map(len, blocks))))
        return np.concatenate(blocks)

    def skip(self, frames: int) -> None:
        while frames > 0 and (count := len(self.read(min(frames, AT_ONCE)))):
            frames -= count

    def close(self) -> None:
        self._decoder.close()
