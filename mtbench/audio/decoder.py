"""What reading needs of a decoder: libsndfile's, ffmpeg's, or one made of others."""

from typing import Protocol

from mtbench.audio.header import Frames, Header

AT_ONCE = 1 << 16  # frames in memory, of those that are skipped


class Decoder(Protocol):
    """A file from which frames are read one after another. `read` returns fewer than requested only at the end."""

    header: Header

    def read(self, frames: int) -> Frames: ...

    def skip(self, frames: int) -> None: ...

    def close(self) -> None: ...


def discard(decoder: Decoder, frames: int) -> None:
    """Read frames, and forget them."""
    while frames > 0 and (count := len(decoder.read(min(frames, AT_ONCE)))):
        frames -= count
