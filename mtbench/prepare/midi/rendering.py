"""Render a clip of a piece: one small MIDI file per stem, which FluidSynth turns into sound.

The MIDI file of a stem begins 1.5 s before the clip, with the programmes, controllers and pitch bends that are in force
there, and with the notes that sound there. All stems of a clip are multiplied by the same gain, so that the largest
peak of the stems and of their sum is at -1 dBFS.
"""

import hashlib
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtbench.audio import Int16, Wave, resample, to_pcm16
from mtbench.prepare.midi import smf
from mtbench.prepare.midi.reading import CONTROL, DRUM_CHANNEL, Piece
from mtbench.prepare.midi.selection import FEWEST_STEMS, SECONDS, Clip
from mtbench.prepare.midi.smf import MidiError
from mtbench.prepare.midi.synthesizer import RATE, Synthesizer
from mtbench.stems import N_SAMPLES, SAMPLE_RATE
from mtbench.suites.midi import STEMS

VERSION = "1"  # changes whenever the same file gives other clips, beats or audio

PREROLL = 1.5  # s before the clip
POSTROLL = 0.05  # s after the clip, for the resampling filter
TICKS_PER_SECOND = 10_000  # of the files that are written
PEAK = 10 ** (-1 / 20)  # -1 dBFS
SILENT = 1e-3  # of full scale, RMS: -60 dBFS
CHANNELS = [channel for channel in range(16) if channel != DRUM_CHANNEL]
ALL_SOUND_OFF = 120
PARAMETERS = (6, 38, *range(96, 102), 121)  # controllers whose order counts: RPN and NRPN, and "reset all controllers"


@dataclass(frozen=True)
class Rendered:
    """The audio of a clip. stems: {name: int16 [163840] at 16 kHz}; stems without notes are zeros.

    live: names of the stems whose RMS is above -60 dBFS. gain: what FluidSynth's output was multiplied by.
    """

    stems: dict[str, Int16]
    live: tuple[str, ...]
    gain: float


def render(piece: Piece, clip: Clip, synthesizer: Synthesizer) -> Rendered:
    """Render all stems of a clip; bit-identical for the same arguments on the same machine.

    Raises MidiError if fewer than three stems can be heard, and MtbenchError if FluidSynth fails.
    """
    waves = {}
    for stem in STEMS:
        midi = stem_file(piece, stem, clip.start)
        waves[stem] = np.zeros(N_SAMPLES, np.float32) if midi is None else _inside(synthesizer.render(midi))
    mixture = np.sum(list(waves.values()), axis=0, dtype=np.float32)
    peak = max(float(np.abs(wave).max()) for wave in (mixture, *waves.values()))
    gain = PEAK / peak if peak > 0 else 1.0
    live = tuple(stem for stem in STEMS if gain * np.sqrt(np.mean(np.square(waves[stem], dtype=np.float64))) > SILENT)
    if len(live) < FEWEST_STEMS:
        silent = ", ".join(stem for stem in clip.active if stem not in live)
        raise MidiError(f"clip at {clip.start:.1f} s: silent when rendered: {silent}")
    return Rendered({stem: to_pcm16(gain * wave) for stem, wave in waves.items()}, live, gain)


def rendering_version(digest: str, synthesizer: Synthesizer) -> str:
    """Return a hash, 16 hexadecimal digits, that changes if the clips of a MIDI file with this digest may change."""
    text = " ".join([VERSION, digest, synthesizer.version, synthesizer.font_digest])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _inside(wave: Wave) -> Wave:
    """Return the clip, float32 [163840] at 16 kHz, from a rendering with pre-roll at 44.1 kHz."""
    begin = round(PREROLL * SAMPLE_RATE)
    wave = wave[: round((PREROLL + SECONDS + POSTROLL) * RATE)]
    at_16k = resample(wave, RATE, SAMPLE_RATE)[begin : begin + N_SAMPLES]
    return np.pad(at_16k, (0, N_SAMPLES - len(at_16k)))


def stem_file(piece: Piece, stem: str, start: float) -> bytes | None:
    """Return the MIDI file that renders a stem of the clip at `start` s, with pre-roll, or None if it has no notes."""
    begin, end = start - PREROLL, start + SECONDS
    notes = piece.of(stem)
    drums = stem == "drums"
    # A drum note that began earlier has decayed, whatever its duration; others still sound, and begin again.
    notes = notes[(notes["onset"] < end) & ((notes["onset"] >= begin) | ((notes["end"] > begin) & (not drums)))]
    if not len(notes):
        return None
    channels = _channels(notes["channel"], drums)
    events: list[tuple[int, int, int, bytes]] = []  # tick, 0 for note-offs and 1 for others, order, message
    for control in _chased(piece.controls, begin, end):
        if control["channel"] in channels:
            status = int(control["kind"]) | channels[int(control["channel"])]
            data = [control["a"]] if control["kind"] in smf.ONE_BYTE else [control["a"], control["b"]]
            events.append((_tick(control["time"] - begin), 1, int(control["order"]), bytes([status, *data])))
    for note in notes:
        if int(note["channel"]) not in channels:
            continue
        channel, key = channels[int(note["channel"])], int(note["pitch"])
        on = _tick(note["onset"] - begin)
        off = max(_tick(note["end"] - begin), on + 1)
        order = int(note["order"])
        events.append((on, 1, order, bytes([smf.NOTE_ON | channel, key, int(note["velocity"])])))
        events.append((off, 0, order, bytes([smf.NOTE_OFF | channel, key, 64])))
    last = round((PREROLL + SECONDS + POSTROLL) * TICKS_PER_SECOND)
    events = [event for event in sorted(events) if event[0] < last]
    # FluidSynth plays on until the last note has decayed, which may be never.
    events += [
        (last, 1, 0, bytes([smf.CONTROL | channel, ALL_SOUND_OFF, 0])) for channel in sorted(set(channels.values()))
    ]
    return _file(events, last)


def _tick(seconds: float) -> int:
    return max(round(float(seconds) * TICKS_PER_SECOND), 0)


def _channels(used: NDArray[np.int32], drums: bool) -> dict[int, int]:
    """Map the channels of a piece, which include the MIDI port, to those of a file with one port.

    Of more than 15 channels of one stem, those with the fewest notes are left out.
    """
    numbers, counts = np.unique(used, return_counts=True)
    if drums:
        return dict.fromkeys(numbers.tolist(), DRUM_CHANNEL)
    busiest = np.sort(numbers[np.argsort(-counts, kind="stable")][: len(CHANNELS)])
    return dict(zip(busiest.tolist(), CHANNELS))


def _chased(controls: NDArray[np.void], begin: float, end: float) -> NDArray[np.void]:
    """Return the controls in [begin, end) s after those that are in force at `begin`, in the order of playing.

    Of the earlier ones, the last of each kind is enough, except for controllers whose order counts.
    """
    earlier = controls[controls["time"] < begin]
    number = np.where(earlier["kind"] == smf.CONTROL, earlier["a"], 0).astype(np.int64)
    number[earlier["kind"] == smf.KEY_PRESSURE] = earlier["a"][earlier["kind"] == smf.KEY_PRESSURE]
    what = (earlier["channel"].astype(np.int64) * 256 + earlier["kind"]) * 128 + number
    _, last = np.unique(what[::-1], return_index=True)
    needed = (earlier["kind"] == smf.CONTROL) & np.isin(earlier["a"], PARAMETERS)
    needed[len(earlier) - 1 - last] = True
    within = controls[(controls["time"] >= begin) & (controls["time"] < end)]
    chased: NDArray[np.void] = np.concatenate([earlier[needed], within]).astype(CONTROL)
    return chased


def _file(events: list[tuple[int, int, int, bytes]], last: int) -> bytes:
    """Return a MIDI file of type 0 that ends at tick `last`."""
    track = bytearray(b"\x00\xff\x51\x03" + (1_000_000).to_bytes(3, "big"))  # a quarter note lasts 1 s
    at = 0
    for tick, _, _, message in events:
        track += _variable(tick - at) + message
        at = tick
    track += _variable(last - at) + b"\xff\x2f\x00"
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, TICKS_PER_SECOND) + b"MTrk" + struct.pack(">I", len(track)) + track


def _variable(value: int) -> bytes:
    """Encode a number with variable length, as MIDI files do."""
    data = [value & 0x7F]
    while value := value >> 7:
        data.append(0x80 | value & 0x7F)
    return bytes(reversed(data))
