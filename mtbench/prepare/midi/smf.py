"""Read the events of a standard MIDI file (SMF 1.1, types 0 and 1) from its bytes.

The usual libraries lose what this package needs. symusic does not keep channels, so that programmes and controllers
that are set in another track are lost. mido loses the time before meta events of unknown types, and refuses a file with
an invalid key signature. Here, events that influence neither sound nor beats are skipped, so that they cannot do harm.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtbench.errors import MtbenchError

MOST_BYTES = 1 << 20  # limits memory (about 100 bytes per byte of a file) and time (about 1 s)
HEADER_WITHIN = 256  # bytes: some files have a RIFF or MacBinary header before the MIDI header

EVENT = np.dtype([("tick", "i8"), ("channel", "i4"), ("kind", "u1"), ("a", "u1"), ("b", "u1")])
NOTE_OFF, NOTE_ON, KEY_PRESSURE, CONTROL, PROGRAMME, PRESSURE, BEND = range(0x80, 0xF0, 0x10)
ONE_BYTE = (PROGRAMME, PRESSURE)  # all other channel events have two data bytes
END_OF_TRACK, PORT, TEMPO, METRE = 0x2F, 0x21, 0x51, 0x58  # types of meta events


class MidiError(MtbenchError):
    """A MIDI file, or a part of it, that cannot be used. The text is the reason, without the name of the file."""


@dataclass(frozen=True)
class Events:
    """What a MIDI file contains, in the order in which a player would play it.

    division: ticks per quarter note. messages: EVENT [n]; `kind` is the status byte without the channel, and `channel`
    is 16 times the MIDI port plus the channel. tempos: (tick, microseconds per quarter note). metres: (tick, numerator,
    denominator). Both are sorted by tick.
    """

    division: int
    messages: NDArray[np.void]
    tempos: list[tuple[int, int]]
    metres: list[tuple[int, int, int]]


def events(data: bytes) -> Events:
    """Read a MIDI file. Raises MidiError, naming the fault, for bytes that are not a complete file of type 0 or 1."""
    if len(data) > MOST_BYTES:
        raise MidiError(f"larger than {MOST_BYTES >> 20} MiB")
    start = data.find(b"MThd", 0, HEADER_WITHIN)
    if start < 0:
        raise MidiError("not a MIDI file: no MThd header" if data else "empty file")
    if len(data) < start + 14:
        raise MidiError("truncated in the header")
    length, kind, n_tracks, division = struct.unpack(">IHHH", data[start + 4 : start + 14])
    if kind > 1 and n_tracks > 1:
        raise MidiError(f"MIDI file of type {kind}: its tracks do not belong together")
    if division & 0x8000:
        raise MidiError("time is in SMPTE frames, not in beats")
    if not division:
        raise MidiError("0 ticks per quarter note")
    tracks = _tracks(data, start + 8 + length, n_tracks)
    messages = np.array([message for track in tracks for message in track.messages], EVENT)
    return Events(
        division,
        messages[np.argsort(messages["tick"], kind="stable")],
        sorted((event for track in tracks for event in track.tempos), key=_tick),
        sorted((event for track in tracks for event in track.metres), key=_tick),
    )


def _tick(event: tuple[int, ...]) -> int:
    return event[0]


class _Track:
    def __init__(self) -> None:
        self.messages: list[tuple[int, int, int, int, int]] = []
        self.tempos: list[tuple[int, int]] = []
        self.metres: list[tuple[int, int, int]] = []
        self.complete = False


def _tracks(data: bytes, at: int, n_tracks: int) -> list[_Track]:
    tracks: list[_Track] = []
    while len(tracks) < n_tracks and at + 8 <= len(data):
        name, length = struct.unpack(">4sI", data[at : at + 8])
        at += 8
        if name == b"MTrk":
            track = _track(data, at, min(at + length, len(data)), len(tracks) + 1)
            if at + length > len(data) and not track.complete:
                raise MidiError(f"truncated in track {len(tracks) + 1}")
            tracks.append(track)
        at += length  # other chunks are skipped, as the standard demands
    if len(tracks) < n_tracks:
        raise MidiError(f"truncated: {len(tracks)} of {n_tracks} tracks")
    return tracks


def _track(data: bytes, at: int, end: int, number: int) -> _Track:
    """Read the track in data[at:end], up to its end-of-track event, if it has one."""
    track, tick, status, port = _Track(), 0, 0, 0
    try:
        while at < end:
            delta, at = _variable(data, at)
            tick += delta
            if data[at] & 0x80:
                byte, at = data[at], at + 1
            elif status:  # running status; some files go on with it after a meta event
                byte = status
            else:
                raise MidiError(f"track {number}: event without a status byte at byte {at}")
            if byte < 0xF0:
                kind, a, status = byte & 0xF0, data[at], byte
                b, at = (0, at + 1) if kind in ONE_BYTE else (data[at + 1], at + 2)
                if (a | b) & 0x80:
                    raise MidiError(f"track {number}: invalid data byte at byte {at - 1}")
                track.messages.append((tick, 16 * port + (byte & 0x0F), kind, a, b))
            elif byte in (0xF0, 0xF7):
                length, at = _variable(data, at)
                at += length
            elif byte == 0xFF:
                meta = data[at]
                length, at = _variable(data, at + 1)
                body, at = data[at : at + length], at + length
                if meta == END_OF_TRACK:
                    track.complete = at <= end
                    break
                if meta == PORT and length:
                    port = body[0]
                elif meta == TEMPO and length >= 3:
                    track.tempos.append((tick, int.from_bytes(body[:3], "big")))
                elif meta == METRE and length >= 2:
                    track.metres.append((tick, body[0], 1 << min(body[1], 16)))
            else:
                raise MidiError(f"track {number}: unknown event 0x{byte:02X} at byte {at - 1}")
    except IndexError:
        raise MidiError(f"truncated in track {number}") from None
    if at > end and not track.complete:
        raise MidiError(f"track {number}: its last event is longer than the track")
    return track


def _variable(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of variable length: return it and the position after it."""
    value = 0
    for position in range(at, at + 4):
        value = value << 7 | data[position] & 0x7F
        if data[position] < 0x80:
            return value, position + 1
    raise MidiError(f"number of more than four bytes at byte {at}")
