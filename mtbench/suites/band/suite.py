"""The suite `band`: a reference of 64 songs, and 500,000 held-out songs.

`band/30s` and `band/60s` are the same songs, continued to 30.72 and 61.44 s.
"""

from functools import partial

from mtbench import audio
from mtbench.stems import CLIPS_IN_WORDS, LENGTHS, Songs, StemSet
from mtbench.suites import SuiteFamily
from mtbench.suites.band import N_SAMPLES, SAMPLE_RATE, STEMS, VERSION, seeds, song

REFERENCE_SONGS = 64


class Band:
    """The suite ``band``, ``band/30s`` or ``band/60s``. length: one of LENGTHS."""

    stems: tuple[str, ...] = STEMS
    split = "reference"
    version = VERSION
    sample_rate = SAMPLE_RATE

    def __init__(self, length: str = ""):
        self.name, self._clips = f"band{length}", LENGTHS[length]
        self.n_samples = self._clips * N_SAMPLES

    def reference(self) -> Songs:
        """Return 64 songs."""
        return Songs(seeds("reference")[:REFERENCE_SONGS], partial(_load, clips=self._clips))

    def heldout(self) -> Songs:
        """Return 500,000 songs, none of which is in the reference."""
        return Songs(seeds("heldout"), partial(_load, clips=self._clips))


def _load(seed: int, clips: int) -> StemSet:
    """Return a song exactly as if it were read back from PCM-16 files."""
    stems = {stem: audio.to_float(audio.to_pcm16(wave)) for stem, wave in song(seed, clips).stems.items()}
    return StemSet(f"band-{VERSION}-{seed}", stems, SAMPLE_RATE)


def _describe() -> list[tuple[str, str, str]]:
    return [("band", f"songs composed and rendered by mtbench itself, {CLIPS_IN_WORDS}", "embedded")]


FAMILY = SuiteFamily(
    suites={f"band{end}": n * N_SAMPLES / SAMPLE_RATE for end, n in LENGTHS.items()},
    open=lambda name: Band(name.removeprefix("band")),
    describe=_describe,
)
