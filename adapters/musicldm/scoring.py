"""Samples of a network in training, scored by the benchmark's own metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from mtbench import audio, beats
from mtbench.metrics import cbd, cbs, fad, folder_irs, irs, mean_of_defined
from mtbench.metrics.embeddings import embedding
from mtbench.stems import StemSet

WINDOW = 0.15  # s, of CBS; beats are decoded at fps 100, transition lambda 100, in the true time base


class Scorer:
    """Makes samples of a network, writes them as WAV files, and scores them against songs.

    sample(network, n) yields n StemSets, always of the same seed; `songs` are those that FAD compares with, and what
    they score themselves is in `songs_score`.
    """

    def __init__(self, sample: Callable[[nn.Module, int], Iterable[StemSet]], songs: Sequence[StemSet], n: int):
        self._sample, self._n = sample, n
        self._embed = embedding("log-mel-stats")
        songs = [songs[i] for i in range(len(songs))]
        self._frames = self._embedded(songs)
        self.songs_score = rhythm(songs)

    def __call__(self, network: nn.Module, folder: Path) -> dict[str, float]:
        """{column: score}: FAD of the mixture and of each stem, the rhythm metrics, the share of drum stems with beats."""
        sets = []
        for made in self._sample(network, self._n):
            pcm = {stem: audio.to_pcm16(wave) for stem, wave in made.stems.items()}
            for stem, samples in pcm.items():
                (folder / stem).mkdir(parents=True, exist_ok=True)
                audio.write_wav(folder / stem / f"{made.id}.wav", samples, made.sample_rate)
            sets.append(
                StemSet(made.id, {stem: audio.to_float(samples) for stem, samples in pcm.items()}, made.sample_rate)
            )
        frames = self._embedded(sets)
        return {f"fad_{track}": fad(frames[track], held) for track, held in self._frames.items()} | rhythm(sets)

    def _embedded(self, sets: Sequence[StemSet]) -> dict[str, np.ndarray]:
        tracks = {"mixture": [made.mixture for made in sets]}
        tracks |= {stem: [made.stems[stem] for made in sets] for stem in sets[0].stems}
        return {track: np.concatenate([self._embed(wave) for wave in waves]) for track, waves in tracks.items()}


def rhythm(sets: Sequence[StemSet]) -> dict[str, float]:
    """IRS in s (the mean over stems, then over sets), CBS, mean CBD, and the share of drum stems in which beats are found."""
    stems = list(sets[0].stems)
    waves = [made.stems[stem] for made in sets for stem in stems]
    found = [beats.decode(activation)[0] for activation in beats.activations(waves, sets[0].sample_rate)]
    tracked = [dict(zip(stems, found[i : i + len(stems)])) for i in range(0, len(found), len(stems))]
    duration = len(waves[0]) / sets[0].sample_rate
    return {
        "irs": folder_irs({stem: [irs(times[stem]) for times in tracked] for stem in stems}),
        "cbs": mean_of_defined([cbs(times, duration, WINDOW) for times in tracked]),
        "cbd_mean": mean_of_defined([cbd(times).mean for times in tracked]),
        "drums_with_beats": float(np.mean([len(times["drums"]) > 0 for times in tracked])),
    }
