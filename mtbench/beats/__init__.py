"""Track madmom's beats and downbeats, thirty times faster: audio -> features -> activations -> beats.

    from mtbench.beats import track
    times = track("song.wav")                              # seconds

    from mtbench.beats import track_with_positions
    times, positions = track_with_positions("song.wav")    # position 1 is the start of a bar

To use many settings, compute the activations once and decode them repeatedly; a decode takes milliseconds::

    from mtbench.beats import activations, decode
    for a in activations(waveforms, sample_rate=16000):
        times, positions = decode(a, fps=100, transition_lambda=100)

For many files, use ``track_files``, which processes them in parallel, or ``mtbench beats FILE...`` on the command line.

The beats are those of madmom 0.16.1 (RNNDownBeatProcessor, then its HMM for bars of 3 and 4 beats). The trained
weights are read from the installed madmom (their license is CC BY-NC-SA 4.0). Resampling, features, networks and
decoder are reimplemented here and call neither madmom's processors nor ffmpeg. Numba compiles them on first use;
without Numba, NumPy does the same work more slowly.
"""

from mtbench.beats.compiled import UNCOMPILED, is_compiled
from mtbench.beats.decoding import check_settings, decode, to_frame_rate
from mtbench.beats.frontend import FRAME_RATE, features
from mtbench.beats.many import track_files
from mtbench.beats.tracking import VERSION, activations, identity, read_44100, track, track_with_positions
from mtbench.beats.viterbi import Meter

__all__ = [
    "FRAME_RATE",
    "UNCOMPILED",
    "VERSION",
    "Meter",
    "activations",
    "check_settings",
    "decode",
    "features",
    "identity",
    "is_compiled",
    "read_44100",
    "to_frame_rate",
    "track",
    "track_files",
    "track_with_positions",
]
