"""Any folder of MIDI files, rendered by FluidSynth: clips of 10.24 s, with their true beats in ``beats.csv``.

The recipe reads all MIDI files below the folder, leaves out those without enough stems and near-duplicates, and chooses
up to four clips of each piece. A clip is named after the hash of its MIDI file, which also decides its split; names of
files play no role.
"""

import io
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mtbench.execute import Stage, in_processes
from mtbench.prepare import midi
from mtbench.prepare.midi import Clip, Dropped, Examined, MidiError, Synthesizer
from mtbench.prepare.recipe import Found, Product, Recipe, Track, Unusable
from mtbench.stems import SAMPLE_RATE
from mtbench.suites.midi import BEATS, NAME

SUFFIXES = (".mid", ".midi", ".kar", ".rmi", ".smf")
AT_ONCE = 16  # files that a process reads in one go
DIGITS = 12  # of the hash in the name of a piece


def recipe(sound_font: Path | None) -> Recipe:
    """Return the recipe for a sound font; None is the system's. Raises UsageError if FluidSynth or it is missing."""
    synthesizer = midi.find_synthesizer(sound_font)
    return Recipe(
        NAME,
        f"a folder of MIDI files ({', '.join(SUFFIXES)}), at any depth",
        partial(find, synthesizer=synthesizer),
        make,
        midi.VERSION,
        about={
            "fluidsynth": synthesizer.version,
            "sound_font": synthesizer.font.name,
            "sound_font_sha256": synthesizer.font_digest,
        },
    )


def find(raw: Path, stage: Stage, synthesizer: Synthesizer) -> Found:
    """Return the clips of all MIDI files. Files that are not used are dropped, with the reason."""
    files = sorted(path for path in raw.rglob("*") if path.suffix.lower() in SUFFIXES and path.name[0] != ".")
    files = [path for path in files if path.is_file()]
    if not files:
        return Found([])
    examined = list(in_processes("read MIDI files", _examine, files, AT_ONCE, stage))
    pieces, duplicates = midi.without_duplicates([each for each in examined if isinstance(each, Examined)])
    unused = [*(each for each in examined if isinstance(each, Dropped)), *duplicates]
    dropped = {each.path.relative_to(raw).as_posix(): each.reason for each in unused}
    return Found([_track(piece, clip, synthesizer) for piece in pieces for clip in piece.clips], dropped)


def _examine(files: Sequence[Path]) -> list[Examined | Dropped]:
    return [midi.examine(file) for file in files]


def _track(piece: Examined, clip: Clip, synthesizer: Synthesizer) -> Track:
    name = piece.digest[:DIGITS]
    detail = {
        "midi_sha256": piece.digest,
        "rendering": midi.rendering_version(piece.digest, synthesizer),
        "start": clip.start,
        "on_grid": clip.on_grid,
        "metre": list(clip.metre),
        "has_beats": clip.beats is not None,
    }
    payload = (piece.path, clip, synthesizer)
    return Track(piece.split, f"{name}-{clip.number}", {}, piece=name, detail=detail, payload=payload)


def make(track: Track) -> Iterator[Product]:
    """Yield the stems of a clip and, if they are known, its beats. Raises Unusable for a clip that is too quiet."""
    path, clip, synthesizer = track.payload
    try:
        rendered = midi.render(midi.read(path.read_bytes()), clip, synthesizer)
    except MidiError as error:
        raise Unusable(f"{path.name}: {error}") from None
    for stem, pcm in rendered.stems.items():
        yield Product(f"{stem}.wav", pcm, SAMPLE_RATE)
    if clip.beats is not None:
        text = io.StringIO()
        np.savetxt(text, clip.beats, fmt=["%.6f", "%d"], delimiter=",", header="time,position", comments="")
        yield Product(BEATS, text.getvalue().encode())
