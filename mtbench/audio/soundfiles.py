"""Decode with libsndfile: files, FLAC streams beyond what their header states, and chains of streams."""

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from mtbench.audio.decoder import discard
from mtbench.audio.error import AudioError
from mtbench.audio.flac import FlacStream
from mtbench.audio.header import Frames, Header
from mtbench.audio.pieces import Pieces
from mtbench.audio.quiet import quiet

LONGEST_FRAMES = 1 << 62  # libsndfile states 2^63 - 1 frames if a file does not state their number


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read forwards. Otherwise, soundfile seeks to the current position after each read. The MP3 decoder
    then starts again, which is slower and changes the last digit of some samples."""

    def seekable(self) -> bool:
        return False


class SoundFileDecoder:
    """A file that libsndfile decodes."""

    def __init__(self, file: BinaryIO | Pieces, exact: bool = True, mpeg: bool = False):
        """exact: whether the number of frames that libsndfile states is that of the file, and not an estimate. mpeg:
        whether libmpg123 may decode the file, which must not write to the terminal."""
        self._quiet = quiet if mpeg else nullcontext
        with self._quiet():
            if isinstance(file, Pieces):
                file.seek(0)
                self._file = _Forward(file)
            else:
                os.lseek(file.fileno(), 0, os.SEEK_SET)
                self._file = _Forward(file.fileno(), closefd=False)
        frames = self._file.frames if exact and self._file.frames < LONGEST_FRAMES else None
        self.header = Header(self._file.samplerate, self._file.channels, frames, self._file.format, self._file.subtype)

    def read(self, frames: int) -> Frames:
        with self._quiet():
            samples: Frames = self._file.read(frames, dtype="float32", always_2d=True)
        return samples

    def skip(self, frames: int) -> None:
        # Some formats do not allow a seek. In MP3, even one to the beginning affects the last digits of the samples.
        if frames == 0 and self.header.container != "MP3":
            return
        if soundfile.SoundFile.seekable(self._file):
            with self._quiet():
                self._file.seek(frames)
        else:
            discard(self, frames)

    def close(self) -> None:
        self._file.close()


class FlacDecoder:
    """One stream of a FLAC file. Raises AudioError, naming the file, if it has more frames than it states."""

    def __init__(self, path: Path, stream: FlacStream):
        self._path, self._stream, self._decoder = path, stream, SoundFileDecoder(stream.source)
        header = self._decoder.header
        self.header = Header(header.rate, header.channels, stream.frames, header.container, header.subtype)
        self._left = stream.frames

    def read(self, frames: int) -> Frames:
        try:
            block = self._decoder.read(frames if self._left is None else min(frames, self._left))
        except soundfile.LibsndfileError as error:
            raise self._damaged(error) from None
        if self._left is not None:
            self._left -= len(block)
            if len(block) < frames and not self._left and self._has_more():
                raise AudioError(
                    f"{self._path}: its header states {self._stream.frames} frames, it has more; write it again"
                )
        return block

    def skip(self, frames: int) -> None:
        frames = frames if self._left is None else min(frames, self._left)
        self._decoder.skip(frames)
        self._left = None if self._left is None else self._left - frames

    def close(self) -> None:
        self._decoder.close()

    def _has_more(self) -> bool:
        try:
            return len(self._decoder.read(1)) > 0
        except soundfile.LibsndfileError:  # bytes that are no frame, such as a tag
            return False

    def _damaged(self, error: soundfile.LibsndfileError) -> AudioError:
        reason = error.error_string.removeprefix("Error : ").rstrip(".")
        if self._stream.source.at_end and "lost sync" in reason:
            states = f"its header states {self._stream.frames} frames, and " if self._stream.frames else ""
            return AudioError(f"{self._path}: truncated ({states}its last FLAC frame is not complete)")
        return AudioError(f"{self._path}: damaged ({reason})")


class Chain:
    """Streams of a file, one after another."""

    def __init__(self, path: Path, form: str, streams: Sequence[Callable[[], SoundFileDecoder | FlacDecoder]]):
        """streams: open them. Raises AudioError, naming the file, if they differ in sample rate or channels."""
        headers = []
        for stream in streams:
            decoder = stream()
            headers.append(decoder.header)
            decoder.close()
        first, counts = headers[0], [header.frames for header in headers]
        if any((header.rate, header.channels) != (first.rate, first.channels) for header in headers):
            raise AudioError(f"{path}: its {len(headers)} {form} streams differ in sample rate or number of channels")
        frames = None if None in counts else sum(count or 0 for count in counts)
        self.header = Header(first.rate, first.channels, frames, first.container, first.subtype)
        self._streams, self._number, self._decoder = streams, 0, streams[0]()

    def read(self, frames: int) -> Frames:
        blocks = [self._decoder.read(frames)]
        while sum(map(len, blocks)) < frames and self._number + 1 < len(self._streams):
            self._decoder.close()
            self._number += 1
            self._decoder = self._streams[self._number]()
            blocks.append(self._decoder.read(frames - sum(map(len, blocks))))
        return np.concatenate(blocks)

    def skip(self, frames: int) -> None:
        discard(self, frames)

    def close(self) -> None:
        self._decoder.close()
