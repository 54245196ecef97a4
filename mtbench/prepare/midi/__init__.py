"""Turn MIDI files into clips of bass, drums, guitar and piano with true beat times; FluidSynth makes the sound.

    results = [examine(path) for path in files]                     # reads; may run in many processes
    pieces, duplicates = without_duplicates([result for result in results if isinstance(result, Examined)])
    synthesizer = find_synthesizer()                                # or find_synthesizer(Path("my-font.sf2"))
    for examined in pieces:                                         # in the order of the hashes of their content
        piece = read(examined.path.read_bytes())
        for clip in examined.clips:
            rendered = render(piece, clip, synthesizer)             # rendered.stems["bass"]: int16 [163840]
            print(examined.split, clip.number, clip.beats)          # float64 [n, 2], or None if unknown

`examine` returns a Dropped, with a reason, for a file that is not used. `render` raises a MidiError, whose text is the
reason, for a clip that is not used: stems that should sound may be silent. `smf` reads the bytes of a file, `reading`
finds its notes and stems, `tempo` its beats, and `grid` decides whether they can be trusted; `selection` chooses clips,
`duplicates` finds near-duplicates, `rendering` writes a small MIDI file per stem, and `synthesizer` runs FluidSynth.
"""

from mtbench.prepare.midi.reading import Piece, read
from mtbench.prepare.midi.rendering import VERSION, Rendered, render, rendering_version
from mtbench.prepare.midi.selection import SPLITS, Clip, Dropped, Examined, examine, without_duplicates
from mtbench.prepare.midi.smf import MidiError
from mtbench.prepare.midi.synthesizer import Synthesizer, find_synthesizer
from mtbench.suites.midi import STEMS

__all__ = [
    "SPLITS",
    "STEMS",
    "VERSION",
    "Clip",
    "Dropped",
    "Examined",
    "MidiError",
    "Piece",
    "Rendered",
    "Synthesizer",
    "examine",
    "find_synthesizer",
    "read",
    "render",
    "rendering_version",
    "without_duplicates",
]
