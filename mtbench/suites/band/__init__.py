"""The embedded suite `band`: songs for bass, drums, guitar and piano, composed and rendered by mtbench.

`song(seed, clips)` is a pure function of its arguments. It returns four stems of `clips` times 10.24 s and the true
beat times. `composition` writes the score, and `synthesis` turns it into sound without samples or other programs.
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

# Changes whenever a seed gives different audio than before; it is part of the keys of caches and references.
VERSION = "2"

# Seeds of each split. They are disjoint, so that no song is in two splits.
SPLITS = {
    "reference": range(500_000),
    "heldout": range(500_000, 1_000_000),
    "train": range(1_000_000, 2_000_000_000),
}


def seeds(split: str) -> range:
    """Return the seeds of a split: "train", "reference" or "heldout". Raises ValueError for an unknown split."""
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}. Available: {', '.join(SPLITS)}.")
    return SPLITS[split]


def song(seed: int, clips: int = 1) -> Song:
    """Return a song of `clips` times 10.24 s; bit-identical for the same seed, machine and VERSION.

    A longer clip is the same song continued. It begins with the notes and beats of a shorter clip, but its levels are
    set for the complete clip. Raises ValueError if the seed is negative or `clips` is less than 1.
    """
    return render(compose(seed, clips))
