"""Compose a `band` song: turn a seed into the notes of one clip, with the true beats.

A song repeats its form until the end of the clip. Each stretch of 10.24 s has its own random stream, so that a clip is
the beginning of every longer clip with the same seed.

A style determines meter, tempo range, feel, harmony and the patterns that its players choose from. Every pattern is a
string of sixteenth notes, one or more bars long (blanks only separate beats):

    any lane   .  rest, ends the preceding note   -  hold the preceding note
    drums      X  accent   x  normal   o  ghost note
    bass       R 3 5 6 8  chord degrees   a  semitone approach to the next root   x  dead note
    guitar     D U d u  strum down/up, loud/soft   S  short stab of the upper strings   P  power chord
               m  palm-muted power chord   x  scratch   1-6  single string   n  melody note
    piano      C c  chord, loud/soft   1-6  single chord tone   n  melody note (right hand)
               R 5 6 8  bass notes   T  root with its upper fifth and octave (left hand)

Chords are written in C; the song transposes them to its key.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

STEMS = ("bass", "drums", "guitar", "piano")
CLIP_SECONDS = 10.24  # length of a stretch, and of a default clip
PREROLL_SECONDS = 3.0  # notes that begin up to this long before the clip may still ring in it
STEPS_PER_BEAT = 4

CHORDS = {
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "5": (0, 7),
    "sus4": (0, 5, 7),
    "add9": (0, 4, 7, 14),
    "6": (0, 4, 7, 9),
    "m6": (0, 3, 7, 9),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "m7": (0, 3, 7, 10),
    "9": (0, 4, 10, 14),
    "m9": (0, 3, 10, 14),
    "m7b5": (0, 3, 6, 10),
    "dim7": (0, 3, 6, 9),
    "7b9": (0, 4, 10, 13),
}
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10), "blues": (0, 3, 5, 6, 7, 10)}
NOTE_NAMES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")

# {idiom: (scale, bars)}; a comma separates two chords in one bar
PROGRESSIONS = {
    "pop": (
        ("major", "C G Am F"),
        ("major", "C Am F G"),
        ("major", "F G Am C"),
        ("major", "C F C G"),
        ("minor", "Cm Ab Eb Bb"),
        ("minor", "Cm Fm Ab Bb"),
        ("major", "C Em F G"),
        ("minor", "Ab Bb Cm Cm"),
    ),
    "rock": (
        ("major", "C F Bb F"),
        ("major", "C Bb F C"),
        ("minor", "Cm Bb Ab Bb"),
        ("minor", "Cm Eb Bb F"),
        ("major", "C G F F"),
        ("minor", "Cm Cm Ab Bb"),
        ("major", "C C F G"),
    ),
    "ballad": (
        ("major", "C G,Em Am F"),
        ("major", "Cadd9 Em7 Fmaj7 G,Gsus4"),
        ("minor", "Cm Abmaj7 Eb Bb"),
        ("major", "Am7 F C G"),
        ("minor", "Cm Bb Abmaj7 Gsus4,G"),
        ("major", "C C7 F Fm"),
    ),
    "jazz": (
        ("major", "Dm7 G7 Cmaj7 A7"),
        ("major", "Cmaj7 A7 Dm7 G7"),
        ("major", "Cmaj7,Am7 Dm7,G7 Em7,A7 Dm7,G7"),
        ("minor", "Dm7b5 G7b9 Cm7 Cm6"),
        ("minor", "Fm7 Bb7 Ebmaj7 Abmaj7 Dm7b5 G7b9 Cm6 Cm6"),
        ("major", "Cmaj7 Cm7,F7 Bbmaj7 Bbm7,Eb7 Abmaj7 Am7b5,D7 Dm7 G7"),
        ("major", "C6 Ebdim7 Dm7 G7"),
    ),
    "blues": (
        ("blues", "C7 F7 C7 C7 F7 F7 C7 A7 Dm7 G7 C7 G7"),
        ("blues", "C7 C7 C7 C7 F7 F7 C7 C7 G7 F7 C7 G7"),
        ("blues", "Cm7 Cm7 Cm7 Cm7 Fm7 Fm7 Cm7 Cm7 Ab7 G7 Cm7 G7"),
    ),
    "funk": (
        ("blues", "C9 C9 C9 F9"),
        ("minor", "Cm7 Cm7 F9 F9"),
        ("minor", "Cm9 Cm9 Abmaj7 Gm7"),
        ("blues", "C7 C7 Bb7 F7"),
        ("minor", "Cm7 Bb,F Cm7 Ebmaj7,F9"),
    ),
    "bossa": (
        ("major", "Cmaj7 Cmaj7 D7 D7 Dm7 G7 Cmaj7 G7"),
        ("minor", "Cm6 Cm6 Dm7b5 G7b9"),
        ("major", "Cmaj7 Dm7 Em7,Ebdim7 Dm7,G7"),
        ("minor", "Cm9 Fm9 Bb9 Ebmaj7"),
    ),
    "latin": (
        ("major", "C F G F"),
        ("minor", "Cm Fm G7 G7"),
        ("minor", "Cm7 F7 Cm7 F7"),
        ("major", "C Am7 Dm7 G7"),
        ("minor", "Cm Bb Ab G7"),
    ),
    "folk": (
        ("major", "C F C G"),
        ("major", "C Am F G"),
        ("major", "C C F C F C G G"),
        ("minor", "Cm Bb Cm Gm"),
        ("minor", "Cm Eb Fm G"),
    ),
}

# One or two bars of each lane; lanes are named after the pieces of the drum kit.
GROOVES = {
    "rock": (
        {"kick": "X... .... X... ....", "snare": ".... X... .... X...", "hat": "X.x. X.x. X.x. X.x."},
        {"kick": "X... ..x. X.x. ....", "snare": ".... X... .... X...", "hat": "X.x. X.x. X.x. X.x."},
        {"kick": "X.x. .... ..X. ..x.", "snare": ".... X... .... X...", "ride": "X.x. X.x. X.x. X.x."},
        {"kick": "X... ..x. ..X. ....", "snare": ".... X... .... X...", "openhat": "X... x... X... x..."},
    ),
    "ballad": (
        {"kick": "X... .... X... ...x", "rim": ".... X... .... X...", "hat": "x.o. x.o. x.o. x.o."},
        {"kick": "X... ...x X... ....", "snare": ".... X... .... X...", "hat": "x.o. x.o. x.o. x.o."},
        {"kick": "X... .... x.x. ....", "snare": ".... X... .... X...", "ride": "X.o. x.o. x.o. x.o."},
    ),
    "funk": (
        {"kick": "X..x .... ..X. .x..", "snare": ".... X..o .o.. X..o", "hat": "Xoxo Xoxo Xoxo Xoxo"},
        {"kick": "X.x. .... .xX. ....", "snare": ".... X..o .o.o X...", "hat": "X.x. X.x. X.x. X.o."},
        {
            "kick": "X... ..x. ..x. ..x.",
            "snare": "...o X..o .o.. X.oo",
            "hat": "Xoxo Xoxo Xoxo Xo.o",
            "openhat": ".... .... .... ..x.",
        },
    ),
    "swing": (
        {"ride": "X... X.x. X... X.x.", "pedal": ".... X... .... X...", "kick": "o... o... o... o..."},
        {
            "ride": "X... X.x. X... X.x.",
            "pedal": ".... X... .... X...",
            "kick": "x... o... o... o...",
            "snare": ".... .... ..o. ....",
        },
        {
            "ride": "X... X.x. X.x. X.x.",
            "pedal": ".... X... .... X...",
            "kick": "o... o... x... o.x.",
            "snare": ".... o... .... o.o.",
        },
        {"hat": "X... x.o. X... x.o.", "kick": "x... o... x... o...", "rim": ".... .... .... x..."},
    ),
    "shuffle": (
        {"kick": "X... .... X... ..o.", "snare": ".... X... .... X...", "hat": "X.o. X.o. X.o. X.o."},
        {"kick": "X... x... X... x...", "snare": ".... X... .... X...", "ride": "X.o. X.o. X.o. X.o."},
        {"kick": "X... ..o. X... ....", "snare": ".... X... .... X...", "hat": "X... X.o. X... X.o."},
    ),
    "disco": (
        {
            "kick": "X... X... X... X...",
            "snare": ".... X... .... X...",
            "openhat": "..x. ..x. ..x. ..x.",
            "hat": "x... x... x... x...",
        },
        {"kick": "X... X... X... X...", "snare": ".... X... .... X...", "hat": "X.x. X.x. X.x. X.x."},
        {"kick": "X... X... X... X...", "snare": ".... X... .... X..o", "hat": "Xoxo Xoxo Xoxo Xoxo"},
    ),
    "hiphop": (
        {"kick": "X... ...x ..X. ....", "snare": ".... X... .... X...", "hat": "X.x. X.x. X.x. X.x."},
        {"kick": "X..x .... ..X. .x..", "snare": ".... X... .... X...", "hat": "X.x. X.xo X.x. X.x."},
    ),
    "bossa": (
        {
            "kick": "X... ..x. X... ..x. X... ..x. X... ..x.",
            "rim": "X... ..x. .... x... .... x... ..x. ....",
            "hat": "X.x. X.x. X.x. X.x. X.x. X.x. X.x. X.x.",
        },
        {
            "kick": "X... ..x. X... ..x.",
            "rim": "X... ..x. .... x...",
            "ride": "X.o. x.o. X.o. x.o.",
            "pedal": ".... x... .... x...",
        },
    ),
    "latin": (
        {
            "cowbell": "X... x... X... x...",
            "kick": "x... ..x. x... ..x.",
            "hightom": ".... x... .... x.x.",
            "hat": "x.o. x.o. x.o. x.o.",
        },
        {
            "cowbell": "X... X... X... X...",
            "rim": "X... ..x. .... x... .... x... x... ....",
            "lowtom": ".... .... .... x.x.",
            "kick": "X... .... X... ....",
            "hat": "x.x. x.x. x.x. x.x.",
        },
    ),
    "waltz": (
        {"kick": "X... .... ....", "snare": ".... x... x...", "hat": "X.o. x.o. x.o."},
        {"kick": "X... .... ....", "rim": ".... X... X...", "hat": "X... x... x..."},
        {"kick": "X... .... ..x.", "snare": ".... .... X...", "ride": "X.o. x.o. x.o."},
        {"kick": "X... .... ....", "snare": ".... X... x...", "hat": "X... x... x.x."},
    ),
    "jazzwaltz": (
        {"ride": "X... X.x. X...", "pedal": ".... X... ....", "kick": "X... .... ...."},
        {"ride": "X... X.x. X.x.", "pedal": ".... X... X...", "kick": "x... .... ..o.", "snare": ".... .... o..."},
    ),
    "rock3": (
        {"kick": "X... .... ..x.", "snare": ".... X... X...", "hat": "X.x. X.x. X.x."},
        {"kick": "X... .... ....", "snare": ".... .... X...", "hat": "X.x. x.x. x.x."},
        {"kick": "X... ..x. ....", "snare": ".... X... X...", "ride": "X.x. x.x. x.x."},
    ),
}

# A fill replaces the groove at the end of a bar.
FILLS = (
    {"snare": "xxxx", "kick": "x..."},
    {"snare": "X.xx", "lowtom": "..xx"},
    {"hightom": "xx..", "lowtom": "..xx"},
    {"snare": "xx.. ....", "hightom": "..xx ....", "midtom": ".... xx..", "lowtom": ".... ..xx", "kick": "x... x..."},
    {"snare": "X.x. x.x.", "kick": "x... x..."},
    {"snare": "x.xx x.xx", "kick": "X... X..."},
    {"snare": "X... x.x.", "lowtom": "..x. ..x.", "kick": "x... x..."},
)

BASS = {
    "rock": ("R-R-R-R-R-R-R-R-", "R-R-R-R-R-R-5-8-", "R---..R-R---5---", "R-----R-R---R-5-"),
    "ballad": ("R-----------5---", "R-------R-----5-", "R-----R-5-------", "R-----R-R-------"),
    "funk": ("R..x..8.R.x.8.a.", "R.R.x.8...R.5.8.", "R--x..R.x.8.6.8.", "R-..8.x.R.R.5.a."),
    "walking": ("R---3---5---a---", "R---5---8---a---", "R---3---5---6---", "R---5-R-3---a---", "R---6---5---a---"),
    "shuffle": ("R-R-3-3-5-5-6-6-", "R---3---5---6---", "R-R-R-R-5-5-6-5-", "8---6---5---3---"),
    "disco": ("R.8.R.8.R.8.R.8.", "R-..8.R...8.R.8.", "R---R-8-..R-5-8-"),
    "hiphop": ("R-----.R..R-....", "R--..-..R-5-..8-", "R-------..R-..a-"),
    "bossa": ("R-----5-5-----R-", "R-----5-5-----5-", "R-----8-5-----a-"),
    "latin": ("......5-----8---", "R-----5-----8---", "R-----5-8---5-a-"),
    "waltz": ("R-----------", "R-------5---", "R---5---8---", "R---3---5---"),
    "jazzwaltz": ("R---3---5---", "R-------a---", "R---5---a---", "R-----5-3---"),
    "rock3": ("R-R-R-R-R-R-", "R---R---5---", "R-----R-5---"),
}

GUITAR = {
    "rock": ("P---P-P-..P-P---", "m.m.m.m.m.m.m.m.", "P-------P-----P-", "m.m.P---m.m.P-P-", "D---D-D-..D-D-D-"),
    "ballad": ("1-3-4-5-6-5-4-3-", "1-4-5-6-4-5-6-5-", "D---d-d-..u-d-u-", "D-------d---d-u-", "n-----n-n-------"),
    "funk": ("xxS.xxxS.xS.xxS.", "S.xxxxS.x.xxS.xx", "..xxS.xx..xxS.S.", "....S..S....S..."),
    "swing": ("d---d---d---d---", "D.--d.--D.--d.--", "..S.....S.....S.", "n---n-n-n---n-n-", "S.....S.....S..."),
    "shuffle": ("P-P-P-P-P-P-P-P-", "D.d.D.d.D.d.D.d.", "....S.......S...", "n-n-n---..n-n-n-"),
    "disco": ("..S...S...S...S.", "xxS.xxS.xxS.xxS.", "D---d-u-..u-d-u-"),
    "hiphop": ("....S.......S...", "1-3-5-..4-3-..5-", "D-------....d---"),
    "bossa": ("d..d..d.d..d..d.", "d---d-d---d-d---", "1---4-4---4-4---", "d-----d-----d---"),
    "latin": ("d-d-..d-..d-d-..", "..d-..d-..d-..d-", "1-4-..5-4-..5-4-", "n-..n-n-n-..n---"),
    "waltz": ("1---d---d---", "D---d-u-d-u-", "1-3-4-5-4-3-", "1-4-5-6-5-4-", "n-------n---"),
    "jazzwaltz": ("d-----..d---", "..--S-..S---", "D---d---d---", "n---n-n-n---"),
    "rock3": ("P-----P-P---", "m.m.m.m.m.m.", "D---d-u-d-u-", "P-----------"),
}

# (left hand, right hand)
PIANO = {
    "rock": (
        ("R-------R-------", "C-C-C-C-C-C-C-C-"),
        ("R-----R-R-------", "C---C-C-..C-C---"),
        ("T---------------", "..c-..c-..c-..c-"),
    ),
    "ballad": (
        ("R-------8-------", "1-2-3-2-4-2-3-2-"),
        ("T---------------", "C---c---c---c---"),
        ("R-5-8-5-R-5-8-5-", "C-------c-------"),
        ("R---5---8---5---", "n---n-n-n-------"),
    ),
    "funk": (
        ("................", "..C.......C..C.."),
        ("R...............", "C..C..C...C..C.."),
        ("R.......R.......", "..c.C.....c.C..."),
    ),
    "swing": (
        ("................", "C.....C........."),
        ("................", "..C.......C....."),
        ("R---5---R---5---", "....C.......C..."),
        ("T.......T.......", "n-n-n---n-n-..n-"),
        ("................", "..C-----..C....."),
    ),
    "shuffle": (
        ("R-5-6-5-R-5-6-5-", "....C-......C-.."),
        ("R---R---R---R---", "C.C.C.C.C.C.C.C."),
        ("T-------T-------", "n-n-n-n-..n-n---"),
    ),
    "disco": (
        ("R-......R-......", "..C...C...C...C."),
        ("R---R---R---R---", "C--C--C-..C--C--"),
        ("T---------------", "C-------C-C-----"),
    ),
    "hiphop": (
        ("R---------------", "C---------......"),
        ("T-------........", "C-----c-....c---"),
        ("R---------------", "1-3-4-..5-4-3-.."),
    ),
    "bossa": (
        ("................", "C..C....C...C..."),
        ("R-----5-5-----R-", "..C-..C-..C---C-"),
        ("R-------5-------", "n---n-n-..n-n---"),
    ),
    "latin": (
        ("R-......5-......", "1-3-4-.3-.4-5-4-"),
        ("................", "C-1-C-.C-1-C-1-."),
        ("R-----5-----8---", "C-..C-C-..C-C-.."),
    ),
    "waltz": (
        ("R-----------", "....C---C---"),
        ("R---5---8---", "C-----------"),
        ("R-----------", "1-2-3-4-3-2-"),
        ("R-------5---", "n---n---n-n-"),
    ),
    "jazzwaltz": (("R-----------", "....C-..C---"), ("............", "C-----C-...."), ("T-----------", "n-n-n---n-n-")),
    "rock3": (("R-----------", "C-C-C-C-C-C-"), ("T-----------", "C---c---c---"), ("R---R---R---", "....C---C---")),
}


@dataclass(frozen=True)
class Style:
    """A style: ranges and options, from which a song draws uniformly, once per song.

    weight: relative probability of the style.
    """

    weight: float
    meter: int  # beats per bar
    tempo: tuple[float, float]  # BPM
    idioms: tuple[str, ...]
    patterns: str  # row of GROOVES and BASS
    chordal: str  # row of GUITAR and PIANO
    sounds: tuple[tuple[str, ...], ...]  # of each stem, in STEMS order
    swing: tuple[float, float] = (0.5, 0.5)  # the first note's share of a pair
    swung: int = 8  # the notes that swing: eighths (8) or sixteenths (16)


STYLES = {
    "rock": Style(
        1.3,
        4,
        (100, 176),
        ("rock", "pop"),
        "rock",
        "rock",
        (("picked", "fingered"), ("rock",), ("overdrive",), ("grand",)),
    ),
    "pop": Style(
        1.0,
        4,
        (84, 132),
        ("pop",),
        "rock",
        "ballad",
        (("fingered", "picked"), ("rock", "tight"), ("acoustic", "clean"), ("grand", "electric")),
    ),
    "ballad": Style(
        1.2,
        4,
        (70, 92),
        ("ballad", "pop"),
        "ballad",
        "ballad",
        (("fingered",), ("rock", "tight"), ("acoustic", "clean"), ("grand", "electric")),
    ),
    "funk": Style(
        1.1,
        4,
        (90, 120),
        ("funk",),
        "funk",
        "funk",
        (("fingered", "picked"), ("tight",), ("clean",), ("electric", "grand")),
        (0.5, 0.57),
        16,
    ),
    "disco": Style(
        0.9,
        4,
        (108, 132),
        ("pop", "funk"),
        "disco",
        "disco",
        (("fingered", "picked"), ("tight",), ("clean",), ("grand", "electric")),
    ),
    "hiphop": Style(
        0.7,
        4,
        (76, 100),
        ("funk", "jazz"),
        "hiphop",
        "hiphop",
        (("fingered", "upright"), ("tight",), ("clean", "nylon"), ("electric",)),
        (0.52, 0.6),
        16,
    ),
    "swing": Style(
        1.1,
        4,
        (110, 180),
        ("jazz", "blues"),
        "swing",
        "swing",
        (("upright",), ("jazz",), ("jazz",), ("grand",)),
        (0.6, 0.67),
    ),
    "shuffle": Style(
        0.9,
        4,
        (100, 144),
        ("blues",),
        "shuffle",
        "shuffle",
        (("fingered", "picked"), ("rock",), ("overdrive", "clean"), ("grand",)),
        (0.62, 0.67),
    ),
    "bossa": Style(
        0.9,
        4,
        (110, 150),
        ("bossa",),
        "bossa",
        "bossa",
        (("upright", "fingered"), ("jazz",), ("nylon",), ("grand", "electric")),
    ),
    "latin": Style(
        0.8,
        4,
        (104, 150),
        ("latin",),
        "latin",
        "latin",
        (("upright", "fingered"), ("tight", "jazz"), ("nylon", "clean"), ("grand",)),
    ),
    "waltz": Style(
        1.1,
        3,
        (84, 160),
        ("folk", "ballad"),
        "waltz",
        "waltz",
        (("fingered", "upright"), ("rock", "tight"), ("acoustic", "nylon"), ("grand",)),
    ),
    "jazzwaltz": Style(
        0.7,
        3,
        (110, 180),
        ("jazz", "bossa"),
        "jazzwaltz",
        "jazzwaltz",
        (("upright",), ("jazz",), ("jazz",), ("grand",)),
        (0.58, 0.67),
    ),
    "rock3": Style(
        0.8,
        3,
        (80, 150),
        ("rock", "folk"),
        "rock3",
        "rock3",
        (("picked", "fingered"), ("rock",), ("overdrive", "acoustic"), ("grand",)),
    ),
}
WALKERS = {"swing": "walking"}  # {groove: row of BASS}, where their names differ

SECTION_BARS = 8
FORMS = ("AABA", "ABAB", "AABB", "ABAC")
SILENT = {"bass": 0.045, "drums": 0.05, "guitar": 0.08, "piano": 0.085}  # probability of silence throughout the clip
BREAK = {
    "bass": 0.10,
    "drums": 0.10,
    "guitar": 0.20,
    "piano": 0.20,
}  # probability of a break per stretch, in whole bars
BREAK_SECONDS = 4.5  # maximum length of a break, unless two adjoin
# standard deviation of onset times, s
JITTER = {"bass": 0.004, "drums": 0.0025, "guitar": 0.005, "piano": 0.005}
VELOCITY = {"X": 1.0, "x": 0.78, "o": 0.35}
DRUM_RING = {
    "kick": 0.6,
    "snare": 0.6,
    "rim": 0.6,
    "hat": 0.3,
    "pedal": 0.3,
    "openhat": 0.9,
    "ride": 2.0,
    "crash": 3.0,
    "hightom": 0.6,
    "midtom": 0.6,
    "lowtom": 0.6,
    "cowbell": 0.6,
}  # how long each piece of the kit rings, s
LEFT_HAND = {"R": 0, "5": 7, "6": 9, "8": 12}  # semitones above the root
OPEN_STRINGS = (40, 45, 50, 55, 59, 64)  # a guitar's E A D G B E, MIDI


class Note(NamedTuple):
    """One note.

    onset: seconds from the clip's start. duration: seconds. pitch: MIDI, 0 for drums. velocity: in (0, 1]. kind: how it
    is played: "open", "mute", "dead", ..., or a piece of the drum kit.
    """

    onset: float
    duration: float
    pitch: int
    velocity: float
    kind: str


@dataclass(frozen=True)
class Score:
    """A composed clip. `notes` has a list for each stem, which is empty if the stem is silent throughout."""

    seed: int
    clips: int  # length, as a multiple of 10.24 s
    style: str
    tempo: float  # BPM
    meter: int  # beats per bar
    swing: float  # first note's share of a swung pair; 0.5 is straight
    key: str  # "Eb minor"
    sounds: dict[str, str]  # the instrument of each stem
    notes: dict[str, list[Note]]
    beats: NDArray[np.float64]  # [beats], seconds from the clip's start, in [0, 10.24 clips)
    downbeats: NDArray[np.float64]  # [bars], the beats that start a bar


class Chord(NamedTuple):
    root: int  # pitch class
    tones: tuple[int, ...]  # semitones above the root


def parse_chord(symbol: str, tonic: int) -> Chord:
    """Parse a chord symbol in C, such as "Ebmaj7", and transpose it to the key of `tonic` (a pitch class)."""
    match = re.fullmatch(r"([A-G]b?)(.*)", symbol)
    assert match, symbol  # only symbols from PROGRESSIONS are passed
    return Chord((NOTE_NAMES.index(match[1]) + tonic) % 12, CHORDS[match[2]])


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """Draw one of the options uniformly."""
    return options[int(rng.integers(len(options)))]


def steps(pattern: str, bar: int, n_steps: int) -> str:
    """Return the `n_steps` symbols of a bar; patterns repeat."""
    symbols = pattern.replace(" ", "")
    first = bar * n_steps % len(symbols)
    return symbols[first : first + n_steps]


def note_length(symbols: str, step: int) -> int:
    """Return the length in steps of the note that starts at `step`."""
    return 1 + len(symbols[step + 1 :]) - len(symbols[step + 1 :].lstrip("-"))


def guitar_voicing(chord: Chord, fret: int) -> list[int]:
    """Return MIDI pitches at most four frets above `fret`, one per string, starting with the string for the root."""
    tones = {(chord.root + t) % 12 for t in chord.tones}
    voicing: list[int] = []
    for string in OPEN_STRINGS:
        reach = [string + f for f in range(fret, fret + 5)]
        wanted = tones if voicing else {chord.root}
        playable = [p for p in reach if p % 12 in wanted and p not in voicing]
        if playable:
            voicing.append(playable[0])
    return voicing


def piano_voicing(chord: Chord, centre: int) -> list[int]:
    """Return the chord's tones as MIDI pitches in ascending order, each in the octave nearest to `centre`."""
    return sorted({centre - 6 + (chord.root + t - centre + 6) % 12 for t in chord.tones})


class Clock:
    """The time grid of a song: converts steps of a quarter beat to seconds from the clip's start."""

    def __init__(self, tempo: float, meter: int, swing: float, swung: int, start: float):
        self.beat, self.meter, self.swing, self.pair, self.start = 60 / tempo, meter, swing, 8 / swung, start

    def __call__(self, bar: int, step: float) -> float:
        pairs, phase = divmod(step / STEPS_PER_BEAT / self.pair, 1)
        late = phase * 2 * self.swing if phase < 0.5 else self.swing + (2 * phase - 1) * (1 - self.swing)
        return (bar * self.meter + (pairs + late) * self.pair) * self.beat - self.start


class Player:
    """The player of one stem: adds human variation (loudness, timing) and keeps track of its melody."""

    def __init__(self, stem: str, rng: np.random.Generator, scale: list[int]):
        self.stem, self.rng, self.scale = stem, rng, scale
        self.notes: list[Note] = []
        self.offset = 0.0 if stem == "drums" else rng.normal(0.003, 0.004)  # plays late or early throughout the song
        self.degree = len(scale) // 2

    def play(self, onset: float, duration: float, pitch: int, velocity: float, kind: str = "open") -> None:
        onset += self.offset + np.clip(self.rng.normal(0, JITTER[self.stem]), -0.015, 0.015)
        loud = float(np.clip(velocity * self.rng.normal(1, 0.07), 0.05, 1.0))
        self.notes.append(Note(float(onset), float(duration), int(pitch), loud, kind))

    def melody_pitch(self, chord: Chord, on_beat: bool) -> int:
        """Return the next pitch: a step or small leap in the scale; on a beat, the nearest chord tone from there."""
        self.degree = int(np.clip(self.degree + self.rng.integers(-2, 3), 0, len(self.scale) - 1))
        tones = {(chord.root + t) % 12 for t in chord.tones}
        if on_beat:
            near = sorted(range(len(self.scale)), key=lambda d: abs(d - self.degree))
            self.degree = next((d for d in near if self.scale[d] % 12 in tones), self.degree)
        return self.scale[self.degree]


def play_drums(player: Player, clock: Clock, bar: int, lanes: dict[str, str], level: float) -> None:
    for piece, symbols in lanes.items():
        for step, symbol in enumerate(symbols):
            if symbol in VELOCITY:
                ring = DRUM_RING[piece]
                if piece == "openhat":  # the pedal closes it after two steps
                    ring = min(ring, clock(bar, step + 2) - clock(bar, step))
                player.play(clock(bar, step), ring, 0, VELOCITY[symbol] * level, piece)


def play_bass(
    player: Player, clock: Clock, bar: int, symbols: str, chords: list[Chord], following: Chord, level: float
) -> None:
    def low(pitch_class: int) -> int:
        return 28 + (pitch_class - 28) % 12

    for step, symbol in enumerate(symbols):
        if symbol in ".-":
            continue
        chord = chords[step * len(chords) // len(symbols)]
        root, tones = low(chord.root), chord.tones
        fifth = next((t for t in tones if 6 <= t <= 8), 7)
        sixth = tones[3] if len(tones) > 3 and tones[3] < 12 else 9
        third = next((t for t in tones if t in (3, 4)), 12)
        approach = low(following.root) + (1 if step % 8 else -1)
        pitch = {
            "R": root,
            "3": root + third,
            "5": root + fifth,
            "6": root + sixth,
            "8": root + 12,
            "x": root,
            "a": approach,
        }[symbol]
        length = note_length(symbols, step)
        seconds = clock(bar, step + length) - clock(bar, step)
        accent = 1.0 if step == 0 else 0.9 if step % STEPS_PER_BEAT == 0 else 0.8
        kind = "dead" if symbol == "x" else "open"
        player.play(clock(bar, step), seconds * 0.94, pitch, level * accent, kind)


def play_guitar(
    player: Player, clock: Clock, bar: int, symbols: str, chords: list[Chord], fret: int, level: float
) -> None:
    for step, symbol in enumerate(symbols):
        if symbol in ".-":
            continue
        chord = chords[step * len(chords) // len(symbols)]
        voicing = guitar_voicing(chord, fret)
        onset = clock(bar, step)
        seconds = clock(bar, step + note_length(symbols, step)) - onset
        kind, spread, velocity = "open", 0.009, 1.0 if step % STEPS_PER_BEAT == 0 else 0.85
        if symbol in "Pm":
            root = 40 + (chord.root - 40) % 12
            voicing, spread = [root, root + 7, root + 12], 0.004
            kind = "mute" if symbol == "m" else "open"
        elif symbol == "x":
            voicing, kind, velocity = voicing[-3:], "dead", 0.6
        elif symbol == "S":
            voicing, seconds, spread = voicing[-4:], min(seconds, 0.16), 0.005
        elif symbol in "123456":
            voicing, seconds = [voicing[min(int(symbol), len(voicing)) - 1]], seconds * 2
        elif symbol == "n":
            voicing = [player.melody_pitch(chord, step % STEPS_PER_BEAT == 0)]
        else:
            velocity *= 0.75 if symbol in "du" else 1.0
            voicing = voicing[::-1][:4] if symbol in "Uu" else voicing
        for rank, pitch in enumerate(voicing):
            player.play(onset + rank * spread, seconds - rank * spread, pitch, level * velocity, kind)


def play_piano(
    player: Player,
    clock: Clock,
    bar: int,
    hands: tuple[str, str],
    chords: list[Chord],
    centre: int,
    pedal: bool,
    level: float,
) -> None:
    for hand, symbols in zip("LR", hands):
        for step, symbol in enumerate(symbols):
            if symbol in ".-":
                continue
            chord = chords[step * len(chords) // len(symbols)]
            onset = clock(bar, step)
            seconds = clock(bar, step + note_length(symbols, step)) - onset
            velocity = (0.9 if step % STEPS_PER_BEAT == 0 else 0.78) * (0.7 if symbol == "c" else 1.0)
            if hand == "L":
                root = 36 + (chord.root - 36) % 12
                pitches = [root, root + 7, root + 12] if symbol == "T" else [root + LEFT_HAND[symbol]]
                velocity *= 0.85
            elif symbol in "Cc":
                pitches = piano_voicing(chord, centre)
            elif symbol == "n":
                pitches = [player.melody_pitch(chord, step % STEPS_PER_BEAT == 0) + 12]
            else:
                voicing = piano_voicing(chord, centre)
                voicing = voicing + [p + 12 for p in voicing]
                pitches = [voicing[int(symbol) - 1]]
            if pedal and symbol != "n":  # the note rings until the chord changes
                span = len(symbols) // len(chords)
                seconds = max(seconds, clock(bar, (step // span + 1) * span) - onset)
            for pitch in pitches:
                player.play(onset, seconds * 0.97, pitch, level * velocity)


def with_fill(groove: dict[str, str], fill: dict[str, str]) -> dict[str, str]:
    """Return the lanes of a bar with its end replaced by a fill."""
    tails = {piece: lane.replace(" ", "") for piece, lane in fill.items()}
    length = max(map(len, tails.values()))
    total = len(next(iter(groove.values())))
    lanes = {piece: lane[: total - length] + "." * length for piece, lane in groove.items()}
    for piece, tail in tails.items():
        lanes[piece] = lanes.get(piece, "." * total)[: total - length] + tail
    return lanes


def compose(seed: int, clips: int = 1) -> Score:
    """Compose the clip of a seed, of `clips` times 10.24 s.

    A clip begins with the beats and, except for the last hundredths of a second, the notes of a shorter clip with the
    same seed. Raises ValueError if the seed is negative or `clips` is less than 1.
    """
    # This is one long function because each draw depends on the order of all draws from a seed's random stream. It is
    # easier to read, and to keep unchanged, in one piece.
    if seed < 0:
        raise ValueError(f"seed must be at least 0 (got {seed})")
    if clips < 1:
        raise ValueError(f"clips must be at least 1 (got {clips})")
    rng = np.random.default_rng([seed, 0])
    weights = np.array([s.weight for s in STYLES.values()])
    name = str(rng.choice(list(STYLES), p=weights / weights.sum()))
    style = STYLES[name]
    tempo, swing = round(float(rng.uniform(*style.tempo)), 2), round(float(rng.uniform(*style.swing)), 3)
    tonic = int(rng.integers(12))
    scale_name, main = pick(rng, PROGRESSIONS[pick(rng, style.idioms)])
    kin = [p for idiom in style.idioms for s, p in PROGRESSIONS[idiom] if s == scale_name]
    others = [p for p in kin if p != main] or [main]
    harmony = {"A": main, "B": pick(rng, others), "C": pick(rng, others)}
    form = pick(rng, FORMS)
    n_steps = style.meter * STEPS_PER_BEAT

    beat = 60 / tempo
    bar_seconds = style.meter * beat
    n_bars = SECTION_BARS * len(form)
    start = float(rng.uniform(0, n_bars * bar_seconds - CLIP_SECONDS))
    clock = Clock(tempo, style.meter, swing, style.swung, start)
    ends = [int((start + k * CLIP_SECONDS) // bar_seconds) + 1 for k in range(1, clips + 1)]
    first_bar = max(0, int((start - PREROLL_SECONDS) // bar_seconds))
    stretches = [range(*bars) for bars in pairwise([first_bar, *ends])]
    # random streams 1 to 4 are used by the players, 10 to 14 by the synthesis
    draws = [rng, *(np.random.default_rng([seed, 20 + k]) for k in range(1, clips))]

    silent = {stem for stem in STEMS if rng.random() < SILENT[stem]}
    if len(silent) > 2:  # at least two stems always play
        silent = set(sorted(silent)[:2])
    longest = max(1, int(BREAK_SECONDS // bar_seconds))
    resting: dict[str, list[int]] = {stem: [] for stem in STEMS}
    for stretch, drawn in zip(stretches, draws):
        for stem in STEMS:
            length = int(drawn.integers(1, longest + 1))
            first = int(drawn.integers(stretch.start, stretch.stop))
            if drawn.random() < BREAK[stem]:
                resting[stem] += range(first, first + length)

    scale = [p for p in range(57, 77) if (p - tonic) % 12 in SCALES[scale_name]]
    players = {stem: Player(stem, np.random.default_rng([seed, 1 + i]), scale) for i, stem in enumerate(STEMS)}
    # a pattern is a string; for the piano, one string per hand; for the drums, {piece: string}
    rows: dict[str, Sequence[Any]] = {
        "bass": BASS[WALKERS.get(style.patterns, style.patterns)],
        "guitar": GUITAR[style.chordal],
        "piano": PIANO[style.chordal],
        "drums": GROOVES[style.patterns],
    }
    # a repeated section uses the same patterns: two main patterns per stem
    chosen = {(section, stem): (pick(rng, rows[stem]), pick(rng, rows[stem])) for section in "ABC" for stem in STEMS}
    fret, centre = int(rng.integers(0, 6)), int(rng.integers(58, 68))
    pedal = name in ("ballad", "pop", "waltz", "rock3") and rng.random() < 0.8
    levels = {"A": rng.uniform(0.7, 0.85), "B": rng.uniform(0.82, 1.0), "C": rng.uniform(0.6, 0.9)}
    fill_rate = rng.uniform(0.2, 0.6)

    for bar, drawn in [(bar, drawn) for stretch, drawn in zip(stretches, draws) for bar in stretch]:
        section = form[bar // SECTION_BARS % len(form)]
        bars = [[parse_chord(c, tonic) for c in b.split(",")] for b in harmony[section].split()]
        chords, following = bars[bar % len(bars)], bars[(bar + 1) % len(bars)][0]
        # the first main pattern, in every fourth bar the second and, rarely, a random one
        odd = drawn.random(len(STEMS)) < 0.08
        current = {
            stem: pick(drawn, rows[stem]) if odd[i] else chosen[section, stem][bar % 4 == 3]
            for i, stem in enumerate(STEMS)
        }
        level = levels[section] * (1 + 0.04 * (bar % SECTION_BARS) / SECTION_BARS)
        lanes = {piece: steps(lane, bar, n_steps) for piece, lane in current["drums"].items()}
        if drawn.random() < (0.85 if bar % 8 == 7 else fill_rate if bar % 4 == 3 else 0.04):
            lanes = with_fill(lanes, pick(drawn, FILLS))
        if drawn.random() < (0.75 if bar % 8 == 0 else 0.15 if bar % 4 == 0 else 0.02):
            lanes["crash"] = "X" + "." * (n_steps - 1)
            lanes["kick"] = "X" + lanes.get("kick", "." * n_steps)[1:]
        playing = [stem for stem in STEMS if stem not in silent and bar not in resting[stem]]
        if "drums" in playing:
            play_drums(players["drums"], clock, bar, lanes, level)
        if "bass" in playing:
            line = steps(current["bass"], bar, n_steps)
            play_bass(players["bass"], clock, bar, line, chords, following, level)
        if "guitar" in playing:
            strokes = steps(current["guitar"], bar, n_steps)
            play_guitar(players["guitar"], clock, bar, strokes, chords, fret, level)
        if "piano" in playing:
            left, right = (steps(hand, bar, n_steps) for hand in current["piano"])
            play_piano(players["piano"], clock, bar, (left, right), chords, centre, pedal, level)

    seconds = clips * CLIP_SECONDS
    first_beat = int(np.ceil(start / beat))
    indices = np.arange(first_beat, first_beat + int(seconds / beat) + 2)
    times = np.asarray(indices * beat - start, np.float64)
    inside = (times >= 0) & (times < seconds)
    beats, indices = times[inside], indices[inside]
    mode = "minor" if scale_name == "minor" or re.match("Cm(?!aj)", main) else "major"
    return Score(
        seed,
        clips,
        name,
        tempo,
        style.meter,
        swing,
        f"{NOTE_NAMES[tonic]} {mode}",
        {stem: pick(rng, sounds) for stem, sounds in zip(STEMS, style.sounds)},
        {stem: sorted(n for n in players[stem].notes if -PREROLL_SECONDS < n.onset < seconds) for stem in STEMS},
        beats,
        beats[indices % style.meter == 0],
    )
