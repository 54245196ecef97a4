"""Read audio files, block by block. All reading of audio in mtbench happens here.

Time and memory are bounded by the contents of a file, not by what its header promises: a length is a number to compare
with the frames that were decoded. libsndfile reads most formats; ffmpeg, if installed, reads the others. Files with
fewer or more frames than they state are refused. Files are opened here and passed to libsndfile as descriptors. If it
knew the name, it would take ``._name.mp3``, in which macOS keeps a file's attributes, for the resource fork of a Sound
Designer II file, and refuse ``name.mp3``.
"""

import os
import stat
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from mtbench.audio import codecs, containers, flac, mpeg, ogg, streamed
from mtbench.audio.decoder import Decoder
from mtbench.audio.error import AudioError
from mtbench.audio.ffmpeg import FfmpegDecoder, Trimmed
from mtbench.audio.header import Frames, problem
from mtbench.audio.pieces import Pieces
from mtbench.audio.soundfiles import Chain, FlacDecoder, SoundFileDecoder

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".opus", ".m4a", ".w64", ".caf")
AT_ONCE = 1 << 18  # samples of all channels in a block
DEMUXERS = {  # ffmpeg's names of the formats
    "WAV": "wav",
    "RIFX": "wav",
    "W64": "w64",
    "AIFF": "aiff",
    "CAF": "caf",
    "AU": "au",
    "OGG": "ogg",
    "MP4": "mov",
    "WEBM": "matroska",
    "AAC": "aac",
}
VAGUE = ("Internal error : SF_INFO struct incomplete", "Unspecified internal error")  # libsndfile's, of damaged files

KINDS: Sequence[tuple[Callable[[int], bool], str]] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


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
        if frames < 0 <= expected and self._has_more():
            raise AudioError(f"{self.path}: its header states {start + expected} frames, it has more; write it again")
        if frames < 0 and start + decoded < self._least:
            raise AudioError(f"{self.path}: cannot be read as audio (only {start + decoded} frames can be decoded)")

    def _has_more(self) -> bool:
        with _named(self.path):
            return len(self._decoder.read(1)) > 0

    def count(self) -> int:
        """Return the number of frames; if the header does not state it, decode the file."""
        return self.header.frames if self.header.frames is not None else sum(map(len, self.blocks()))


@contextmanager
def open_audio(path: str | os.PathLike[str], complete: bool = True, stream: int | None = None) -> Iterator[AudioFile]:
    """Open an audio file.

    stream: which audio stream of an MP4 file (default: the first). Raises AudioError, naming the file, if it is not a
    regular file, cannot be read as audio, or has a header beyond the limits; also, if `complete`, if it is evidently
    truncated or has more audio than its header states.
    """
    path = Path(path)
    with ExitStack() as stack:
        with _named(path):
            file = stack.enter_context(_regular_file(path))
            decoder, least = _decoder(path, file, complete, stream)
            stack.callback(decoder.close)
        if wrong := decoder.header.problem:
            raise AudioError(f"{path}: {wrong}")
        yield AudioFile(path, decoder, least)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn the errors of reading a file into AudioError."""
    try:
        yield
    except FileNotFoundError:
        dangling = path.is_symlink()
        raise AudioError(f"{path}: {'a link to a file that does not exist' if dangling else 'no such file'}") from None
    except UnicodeError:
        raise AudioError(f"{os.fsencode(path)!r}: the file name is not valid UTF-8; rename the file") from None
    except soundfile.LibsndfileError as error:
        reason = error.error_string.removeprefix("Error : ").rstrip(".")
        raise AudioError(f"{path}: cannot be read as audio ({'damaged' if reason in VAGUE else reason})") from None
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


def _decoder(path: Path, file: BinaryIO, complete: bool, stream: int | None) -> tuple[Decoder, int]:
    """Return the decoder of a file, and the number of frames that it must deliver."""
    size = file.seek(0, os.SEEK_END)
    if not size:
        raise AudioError(f"{path}: is empty")
    kind = containers.kind(file)
    if stream is not None and kind != "MP4":
        raise AudioError(f"{path}: not an MP4 file")
    stated = codecs.stated(file, kind)
    if stated and (wrong := problem(stated.rate, stated.channels)):
        raise AudioError(f"{path}: {wrong}")
    if complete and (missing := containers.missing(file, kind) or streamed.missing(file, kind)):
        raise AudioError(f"{path}: truncated ({missing})")
    if complete and (excess := containers.excess(file, kind)):
        raise AudioError(f"{path}: {excess}")
    if kind in ("MP4", "WEBM", "AAC"):
        return FfmpegDecoder(path, DEMUXERS[kind], stream or 0), 0
    if kind == "FLAC":
        return _flac(path, file), 0
    if kind == "OGG":
        ranges, truncated = ogg.links(file)
        if complete and truncated:
            raise AudioError(f"{path}: truncated ({truncated})")
        if len(ranges) > 1:
            streams = [partial(SoundFileDecoder, Pieces(file, [each])) for each in ranges]
            return Chain(path, "Ogg", streams), 0
    is_mp3 = stated is not None and stated.tag == codecs.MP3
    if is_mp3 or kind == "MPEG" or (not kind and path.suffix.lower() == ".mp3"):
        audio = containers.audio_chunk(file, kind) if is_mp3 else None
        begin, end = (audio.start, size if audio.length is None else audio.start + audio.length) if audio else (0, size)
        found = mpeg.stream(file, begin, min(end, size), whole=audio is None)
        if found:
            if complete and found.missing:
                raise AudioError(f"{path}: truncated ({found.missing})")
            source = file if found.source is None else found.source
            return SoundFileDecoder(source, found.exact, mpeg=True), found.least
    is_plain = stated.plain if stated else kind != "OGG" or ogg.is_vorbis_or_opus(file)
    tag = stated.tag if stated and stated.extensible and stated.tag != codecs.PCM else None
    if kind != "W64" or tag is None or is_plain:  # libsndfile would take it for PCM
        try:
            return SoundFileDecoder(containers.corrected(file, kind, tag) or file, mpeg=kind in ("", "MPEG")), 0
        except soundfile.LibsndfileError:
            if is_plain or kind not in DEMUXERS:  # then the file is damaged, or nothing known
                raise
    decoder = FfmpegDecoder(path, DEMUXERS[kind])
    packets = codecs.caf_packets(file, size) if kind == "CAF" else None
    if packets and stated and stated.rate == decoder.header.rate:
        return Trimmed(decoder, priming=packets[1], frames=packets[0]), 0
    return decoder, 0


def _flac(path: Path, file: BinaryIO) -> Decoder:
    """Return the decoder of a FLAC file, of all its streams."""
    streams = flac.streams(file)
    if not streams:
        raise AudioError(f"{path}: cannot be read as audio (it does not begin with a complete FLAC header)")
    for each in streams:
        if wrong := problem(each.rate, each.channels):
            raise AudioError(f"{path}: {wrong}")
    if len(streams) == 1:
        return FlacDecoder(path, streams[0])
    return Chain(path, "FLAC", [partial(FlacDecoder, path, each) for each in streams])
