"""Decode what libsndfile cannot (AAC, for example) with the ffmpeg program, if it is on the PATH.

The program and not a library, because it decodes in a process of its own: a crash or a leak on a broken file costs that
file only. It writes Sun AU with 32-bit float samples, whose header of 24 bytes contains sample rate and channels.
"""

import os
import re
import select
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import IO

import numpy as np

from mtbench.audio.decoder import discard
from mtbench.audio.error import AudioError
from mtbench.audio.header import Frames, Header

PATIENCE = 60.0  # seconds without any output after which ffmpeg is stopped
AU_HEADER = struct.Struct(">4s5I")  # ".snd", position of the samples, their bytes, encoding, sample rate, channels
CONTEXT = re.compile(r"\[\S+ @ 0x[0-9a-f]+\] ?")  # the part of ffmpeg that wrote a message, and its address


class FfmpegDecoder:
    """An audio stream of a file, decoded from its beginning to its end."""

    def __init__(self, path: Path, demuxer: str, stream: int = 0):
        """demuxer: ffmpeg's name of the format, so that it does not guess. stream: number of the audio stream.

        Raises AudioError if ffmpeg is missing or cannot read the file.
        """
        program = shutil.which("ffmpeg")
        if program is None:
            raise AudioError(
                f"{path}: this format needs ffmpeg, which was not found on the PATH; install it (for example "
                "'apt-get install ffmpeg' or 'conda install ffmpeg'), or convert the file to WAV or FLAC"
            )
        self._path, self._stream = path, stream
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        command = [program, "-nostdin", "-v", "error", "-xerror", "-protocol_whitelist", "file", "-f", demuxer]
        command += ["-flags2", "+skip_manual"] if demuxer == "caf" else []  # `Trimmed` removes the priming frames
        command += ["-i", f"file:{path.absolute()}", "-map", f"0:a:{stream}", "-f", "au", "-c:a", "pcm_f32be", "-"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._errors, bufsize=0)
        try:
            header = self._bytes(AU_HEADER.size)
            if len(header) < AU_HEADER.size:
                raise self._error()
            _, position, _, _, rate, channels = AU_HEADER.unpack(header)
            self._bytes(position - AU_HEADER.size)
        except BaseException:
            self.close()
            raise
        self.header = Header(rate, channels, None, demuxer.upper(), "")

    def read(self, frames: int) -> Frames:
        """Return the next `frames` frames, fewer only at the end. Raises AudioError if decoding failed there."""
        data = self._bytes(4 * frames * self.header.channels)
        if len(data) < 4 * frames * self.header.channels and self._process.wait():
            raise self._error()
        values = np.frombuffer(data[: len(data) - len(data) % (4 * self.header.channels)], ">f4")
        return values.astype(np.float32).reshape(-1, self.header.channels)

    def skip(self, frames: int) -> None:
        discard(self, frames)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()
        self._errors.close()

    def _bytes(self, count: int) -> bytes:
        """Return the next `count` bytes of the output, fewer only at its end."""
        assert self._process.stdout
        descriptor, parts = self._process.stdout.fileno(), []
        while count > 0:
            if not select.select([descriptor], [], [], PATIENCE)[0]:
                raise AudioError(f"{self._path}: ffmpeg did not decode anything for {PATIENCE:g} s")
            part = os.read(descriptor, min(count, 1 << 20))
            if not part:
                break
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _error(self) -> AudioError:
        """Return the first error of ffmpeg, without what differs from one call to the next and repeats the path."""
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").replace(f"file:{self._path.absolute()}: ", "").splitlines()
        if any("matches no streams" in line for line in lines):
            which = f" {self._stream}" if self._stream else ""
            return AudioError(f"{self._path}: contains no audio stream{which}")
        messages = [message for line in lines if (message := CONTEXT.sub("", line).strip())]
        return AudioError(f"{self._path}: cannot be read as audio (ffmpeg: {messages[0] if messages else 'no output'})")


class Trimmed:
    """The frames of a file without those that an encoder put before them (priming) and after them.

    ffmpeg itself writes files that state more frames than they have, so their number is only a limit.
    """

    def __init__(self, decoder: FfmpegDecoder, priming: int, frames: int):
        self._decoder, self._left = decoder, frames
        self.header = decoder.header
        decoder.skip(priming)

    def read(self, frames: int) -> Frames:
        block = self._decoder.read(min(frames, self._left))
        self._left -= len(block)
        return block

    def skip(self, frames: int) -> None:
        self._decoder.skip(min(frames, self._left))
        self._left -= min(frames, self._left)

    def close(self) -> None:
        self._decoder.close()
