"""Read, resample and write audio, and convert it to the canonical form in which everything is scored.

`reading` is the only place where audio files are opened, and `resampling` the only resampler of the harness. (The beat
tracker has that of ffmpeg, for audio that it reads itself.)
"""

from mtbench.audio.canonical import (
    Canonical,
    Int16,
    canonical,
    info,
    joined,
    mix,
    read,
    read_canonical,
    read_measured,
    to_float,
    to_pcm16,
    write_wav,
)
from mtbench.audio.error import AudioError, of_file
from mtbench.audio.header import HIGHEST_RATE, LOWEST_RATE, MOST_CHANNELS, Frames, Header
from mtbench.audio.levels import SATURATED, Gauge, Levels
from mtbench.audio.reading import SUFFIXES, AudioFile, open_audio
from mtbench.audio.resampling import Wave, resample

__all__ = [
    "HIGHEST_RATE",
    "LOWEST_RATE",
    "MOST_CHANNELS",
    "SATURATED",
    "SUFFIXES",
    "AudioError",
    "AudioFile",
    "Canonical",
    "Frames",
    "Gauge",
    "Header",
    "Int16",
    "Levels",
    "Wave",
    "canonical",
    "info",
    "joined",
    "mix",
    "of_file",
    "open_audio",
    "read",
    "read_canonical",
    "read_measured",
    "resample",
    "to_float",
    "to_pcm16",
    "write_wav",
]
