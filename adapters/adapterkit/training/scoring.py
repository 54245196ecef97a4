"""Score samples of a network in training by the benchmark's metrics.

These are Fréchet audio distance (FAD), inner-track rhythmic stability (IRS), cross-track beat synchronization (CBS) and
cross-track beat dispersion (CBD).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from adapterkit.training.config import GeneratorTraining
from adapterkit.training.loop import Scoring
from adapterkit.training.songs import held_back_songs
from mtbench import audio, beats
from mtbench.files import write_yaml
from mtbench.metrics import cbd, cbs, fad, folder_irs, irs, mean_of_defined
from mtbench.metrics.embeddings import embedding
from mtbench.stems import StemSet

if TYPE_CHECKING:
    from lightning_fabric import Fabric

WINDOW = 0.15  # s, window of CBS; beats are decoded at fps 100, transition lambda 100, in real seconds

# sample(network, n) yields n samples, always with the same seed.
Sample = Callable[[nn.Module, int], Iterable[StemSet]]


def scoring_of(fabric: Fabric, config: GeneratorTraining, sample: Sample) -> Scoring | None:
    """Return the scoring of samples against the held-back songs, or None.

    It is None if the config disables it, and in all processes except the first. The scores of the held-back songs
    themselves are written to `songs.yaml` in the training's folder.
    """
    if not (config.score_every and fabric.is_global_zero):
        return None
    scorer = Scorer(sample, held_back_songs(config), config.score_songs)
    write_yaml(config.folder / "songs.yaml", scorer.songs_score)
    return Scoring(scorer, config.score_every)


class Scorer:
    """Generates n samples of a network, writes them as WAV files, and scores them.

    `songs` are the reference of FAD; their own scores are in `songs_score`.
    """

    def __init__(self, sample: Sample, songs: Sequence[StemSet], n: int):
        self._sample, self._n = sample, n
        self._embed = embedding("log-mel-stats")
        songs = [songs[i] for i in range(len(songs))]
        self._frames = self._embedded(songs)
        self.songs_score = rhythm(songs)

    def __call__(self, network: nn.Module, folder: Path) -> dict[str, float]:
        """Return {column: score}: FAD of the mixture and of each stem, and the rhythm metrics."""
        samples = []
        for sample in self._sample(network, self._n):
            pcm = {stem: audio.to_pcm16(wave) for stem, wave in sample.stems.items()}
            for stem, wave in pcm.items():
                (folder / stem).mkdir(parents=True, exist_ok=True)
                audio.write_wav(folder / stem / f"{sample.id}.wav", wave, sample.sample_rate)
            stems = {stem: audio.to_float(wave) for stem, wave in pcm.items()}
            samples.append(StemSet(sample.id, stems, sample.sample_rate))
        frames = self._embedded(samples)
        distances = {f"fad_{track}": fad(frames[track], songs) for track, songs in self._frames.items()}
        return distances | rhythm(samples)

    def _embedded(self, clips: Sequence[StemSet]) -> dict[str, np.ndarray[Any, Any]]:
        """Return {track: embeddings [n, E]} of the mixture and of each stem."""
        tracks = {"mixture": [clip.mixture for clip in clips]}
        tracks |= {stem: [clip.stems[stem] for clip in clips] for stem in clips[0].stems}
        return {track: np.concatenate([self._embed(wave) for wave in waves]) for track, waves in tracks.items()}


def rhythm(clips: Sequence[StemSet]) -> dict[str, float]:
    """Return IRS in s (mean over stems, then over clips), CBS, mean CBD, and the share of drum stems with beats."""
    stems, rate = list(clips[0].stems), clips[0].sample_rate
    waves = [clip.stems[stem] for clip in clips for stem in stems]
    times = [beats.decode(activation)[0] for activation in beats.activations(waves, rate)]
    tracked = [dict(zip(stems, times[i : i + len(stems)])) for i in range(0, len(times), len(stems))]
    duration = len(waves[0]) / rate
    return {
        "irs": folder_irs({stem: [irs(clip[stem]) for clip in tracked] for stem in stems}),
        "cbs": mean_of_defined([cbs(clip, duration, WINDOW) for clip in tracked]),
        "cbd_mean": mean_of_defined([cbd(clip).mean for clip in tracked]),
        "drums_with_beats": float(np.mean([len(clip["drums"]) > 0 for clip in tracked])),
    }
