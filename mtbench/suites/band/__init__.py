"""The embedded suite `band`: songs for bass, drums, guitar and piano, composed and rendered here.

`song(seed, clips)` is a pure function of both: four stems of `clips` times 10.24 s beside the true beat times.
`composition` writes the score, `synthesis` turns it into sound; neither needs a sample or another program.
"""

from mtbench.suites.band.composition import STEMS, STYLES, Note, Score, compose
from mtbench.suites.band.synthesis import N_SAMPLES, SAMPLE_RATE, Song, render

__all__ = [
    "N_SAMPLES",
    "SAMPLE_RATE",
    "SPLITS",
    "STEMS",
    "STYLES",
    "VERSION",
    "Note",
    "Score",
    "Song",
    "compose",
    "render",
    "seeds",
    "song",
]

# Changes whenever a seed gives other audio than before: caches and references are keyed by it.
VERSION = "2"

# Seeds of each split; disjoint, so that no song is in two splits.
SPLITS = {
    "reference": range(500_000),
    "heldout": range(500_000, 1_000_000),
    "train": range(1_000_000, 2_000_000_000),
}


def seeds(split: str) -> range:
    """The seeds of a split: "train", "reference" or "heldout". Raises ValueError, naming it, for an unknown split."""
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: band has {', '.join(SPLITS)}")
    return SPLITS[split]


def song(seed: int, clips: int = 1) -> Song:
    """`clips` times 10.24 s of a seed's song: on one machine and VERSION always the same bits.

    A longer clip is the same song played on. It begins with the notes and beats of a shorter one, but its levels are
    set for the whole. Raises ValueError if the seed is negative or `clips` is less than 1.
    """
    return render(compose(seed, clips))
