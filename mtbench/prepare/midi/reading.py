"""Turn the bytes of a MIDI file into a Piece: its notes, its other channel events, and its tempo map.

Every note goes by the programme in force on its channel when it begins. Channel 10 is drums; the other stems are
families of General MIDI instruments. A note ends at its note-off, at the next note of the same key and channel (where a
synthesizer restarts it), or at "all notes off". A note that has none of these ends with the last event of the file.
System exclusive messages, which can turn other channels into drums on some synthesizers, are ignored.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtbench.prepare.instruments import PROGRAMMES
from mtbench.prepare.midi import smf
from mtbench.prepare.midi.smf import MidiError
from mtbench.prepare.midi.tempo import TempoMap, tempo_map
from mtbench.suites.midi import STEMS

OTHER = len(STEMS)  # the stem of notes that belong to none
DRUM_CHANNEL = 9  # channel 10 to musicians
ALL_OFF = (120, 123, 124, 125, 126, 127)  # controllers that end all notes of a channel
LONGEST = 1800.0  # s

NOTE = np.dtype(
    {
        "names": ["tick", "end_tick", "onset", "end", "order", "channel", "stem", "programme", "pitch", "velocity"],
        "formats": ["i8", "i8", "f8", "f8", "i8", "i4", "u1", "u1", "u1", "u1"],
    }
)
CONTROL = np.dtype([("time", "f8"), ("order", "i8"), ("channel", "i4"), ("kind", "u1"), ("a", "u1"), ("b", "u1")])


@dataclass(frozen=True)
class Piece:
    """A MIDI file in seconds.

    digest: SHA-256 of its bytes, in hexadecimal. notes: NOTE [n], sorted by onset; `onset` and `end` are in s, `stem`
    is an index of STEMS or OTHER. controls: CONTROL [m], all other channel events, in the order in which they are
    played. `order` numbers the events of both, so that they can be merged again.
    """

    digest: str
    notes: NDArray[np.void]
    controls: NDArray[np.void]
    tempo: TempoMap

    def of(self, stem: str) -> NDArray[np.void]:
        """Return the notes of a stem."""
        notes: NDArray[np.void] = self.notes[self.notes["stem"] == STEMS.index(stem)]
        return notes

    @property
    def duration(self) -> float:
        """The end of the last note, in s."""
        return float(self.notes["end"].max())


def read(data: bytes) -> Piece:
    """Read the bytes of a MIDI file. Raises MidiError, with the reason, if it is broken, empty or absurdly long."""
    events = smf.events(data)
    messages = events.messages
    ticks, ends, programmes = _paired(messages)
    if not len(ticks):
        raise MidiError("no notes")
    tempo = tempo_map(events.division, events.tempos, events.metres)
    notes = np.zeros(len(ticks), NOTE)
    source = messages[ticks]
    notes["order"], notes["tick"], notes["end_tick"], notes["programme"] = ticks, source["tick"], ends, programmes
    notes["channel"], notes["pitch"], notes["velocity"] = source["channel"], source["a"], source["b"]
    notes["onset"], notes["end"] = tempo.seconds(notes["tick"]), tempo.seconds(notes["end_tick"])
    notes["stem"] = _stems(notes["channel"], notes["programme"])
    others = np.flatnonzero((messages["kind"] != smf.NOTE_ON) & (messages["kind"] != smf.NOTE_OFF))
    controls = np.zeros(len(others), CONTROL)
    controls["order"], controls["time"] = others, tempo.seconds(messages["tick"][others])
    for field in ("channel", "kind", "a", "b"):
        controls[field] = messages[field][others]
    piece = Piece(hashlib.sha256(data).hexdigest(), notes, controls, tempo)
    if piece.duration > LONGEST:
        raise MidiError(f"lasts {piece.duration / 60:.0f} minutes; at most {LONGEST / 60:.0f} are accepted")
    return piece


def _paired(messages: NDArray[np.void]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Return the index of every note-on, the tick at which the note ends, and its programme, each [n]."""
    starts: list[int] = []
    ends: list[int] = []
    programmes: list[int] = []
    programme: dict[int, int] = {}  # of each channel
    sounding: dict[int, dict[int, int]] = {}  # {channel: {pitch: number of the note}}
    for index, (tick, channel, kind, a, b) in enumerate(messages.tolist()):
        if kind in (smf.NOTE_ON, smf.NOTE_OFF):
            keys = sounding.setdefault(channel, {})
            if a in keys:
                ends[keys.pop(a)] = tick
            if kind == smf.NOTE_ON and b:
                keys[a] = len(starts)
                starts.append(index)
                ends.append(-1)
                programmes.append(programme.get(channel, 0))
        elif kind == smf.PROGRAMME:
            programme[channel] = a
        elif kind == smf.CONTROL and a in ALL_OFF:
            for note in sounding.pop(channel, {}).values():
                ends[note] = tick
    end_ticks = np.array(ends, np.int64)
    if len(messages):
        end_ticks[end_ticks < 0] = messages["tick"][-1]
    return np.array(starts, np.int64), end_ticks, np.array(programmes, np.uint8)


def _stems(channels: NDArray[np.int32], programmes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    stems = np.full(len(channels), OTHER, np.uint8)
    for name, family in PROGRAMMES.items():
        stems[(programmes >= family.start) & (programmes < family.stop)] = STEMS.index(name)
    stems[channels % 16 == DRUM_CHANNEL] = STEMS.index("drums")
    return stems
