"""`band` as a suite: a reference of 64 songs, and as many held-out songs as anyone asks for."""

from mtbench import audio
from mtbench.generator import StemSet
from mtbench.suites import Songs
from mtbench.suites.band import N_SAMPLES, SAMPLE_RATE, STEMS, VERSION, seeds, song

REFERENCE_SONGS = 64


class Band:
    name, split, version = "band", "reference", VERSION
    stems, sample_rate, n_samples = STEMS, SAMPLE_RATE, N_SAMPLES

    def reference(self) -> Songs:
        return Songs(seeds("reference")[:REFERENCE_SONGS], _load)

    def heldout(self) -> Songs:
        return Songs(seeds("heldout"), _load)


def _load(seed: int) -> StemSet:
    """A song as it would be read back from its PCM-16 files."""
    stems = {stem: audio.to_float(audio.to_pcm16(wave)) for stem, wave in song(seed).stems.items()}
    return StemSet(f"band-{VERSION}-{seed}", stems, SAMPLE_RATE)
