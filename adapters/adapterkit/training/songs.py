"""The training songs, and caches of data computed from them.

A cache is a folder of files in the work folder, named after its content and the songs. Each file is written once,
appears only when complete, and is shared by all trainings on these songs. Two trainings may fill a cache at the same
time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from torch import Tensor

from adapterkit.training.config import TrainConfig
from mtbench import audio
from mtbench.errors import UsageError
from mtbench.files import whole_file
from mtbench.registry import open_suite
from mtbench.stems import N_SAMPLES, SAMPLE_RATE, Songs, StemSet
from mtbench.suites import band

SHARD = 250  # songs per file

Array = np.ndarray[Any, np.dtype[Any]]


def training_songs(config: TrainConfig) -> Songs:
    """Return the songs for training and validation, generated or read lazily.

    Raises UsageError if the suite has too few songs, or if its clips are not 10.24 s long.
    """
    if config.suite != "band":
        return _songs_of_suite(config)
    allowed = band.seeds("train")
    count = config.songs or 0
    if config.first_seed not in allowed or config.first_seed + count - 1 not in allowed or count <= config.validation:
        raise UsageError(
            f"{config.name}: with suite band, songs must be greater than validation ({config.validation}) and all "
            f"seeds between {allowed[0]} and {allowed[-1]}; got songs: {config.songs}, first_seed: {config.first_seed}"
        )
    return Songs(range(config.first_seed, config.first_seed + count), _band_song)


def _songs_of_suite(config: TrainConfig) -> Songs:
    suite = open_suite(config.suite)
    if suite.n_samples != N_SAMPLES:
        raise UsageError(
            f"{config.name}: suite '{config.suite}' has clips of {suite.n_samples / suite.sample_rate:g} s; "
            "trainings need clips of 10.24 s"
        )
    songs = suite.reference()
    count = len(songs) if config.songs is None else config.songs
    if not config.validation < count <= len(songs):
        raise UsageError(
            f"{config.name}: suite '{config.suite}' has {len(songs)} songs; songs must be at most that and greater "
            f"than validation, got songs: {config.songs}, validation: {config.validation}"
        )
    return Songs(range(count), songs.__getitem__)


def _band_song(seed: int) -> StemSet:
    song = band.song(seed)
    return StemSet(str(seed), song.stems, band.SAMPLE_RATE)


def held_back_songs(config: TrainConfig) -> Songs:
    """Return the validation songs."""
    songs = training_songs(config)
    return Songs(range(len(songs) - config.validation, len(songs)), songs.__getitem__)


def data_key(config: TrainConfig) -> str:
    """Return the part of a cache folder's name that identifies the songs."""
    if config.suite == "band":
        return f"band{band.VERSION}-{config.first_seed}"
    suite = open_suite(config.suite)
    what = f"{suite.name} {suite.version} {len(suite.reference())}"
    return f"{suite.name.replace('/', '-').replace(':', '-')}-{hashlib.sha256(what.encode()).hexdigest()[:8]}"


def data_in_words(config: TrainConfig) -> str:
    """Return the description of the training songs that is stored in a checkpoint."""
    if config.suite != "band":
        return config.suite
    last = config.first_seed + (config.songs or 0) - config.validation - 1
    return f"mtbench band version {band.VERSION}, seeds {config.first_seed} to {last}"


class Shards:
    """An array with one row per song, stored in memory-mapped files of SHARD songs each."""

    def __init__(self, folder: Path, songs: int):
        self._files = [np.load(folder / f"{first:06d}.npy", mmap_mode="r") for first in range(0, songs, SHARD)]
        self.shape: tuple[int, ...] = (songs, *self._files[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def song(self, number: int) -> Array:
        """Return the row of a song."""
        row: Array = self._files[number // SHARD][number % SHARD]
        return row

    def __getitem__(self, numbers: Sequence[int] | Tensor) -> Tensor:
        """Return a copy of the rows of these songs, [len(numbers), ...]."""
        return torch.from_numpy(np.stack([self.song(int(i)) for i in numbers]))


def cached(folder: Path, songs: int, what: str, make: Callable[[range], Array]) -> Shards:
    """Open the cache in a folder, writing missing files. `make` computes the rows of a range of songs.

    what: name of the cache in log messages. An existing file may contain more songs than requested.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, songs, SHARD):
        target = folder / f"{first:06d}.npy"
        numbers = range(first, min(first + SHARD, songs))
        if target.exists() and len(np.load(target, mmap_mode="r")) >= len(numbers):
            continue
        rows = make(numbers)
        with whole_file(target) as file:
            np.save(file, rows)
        print(f"{what}: {numbers.stop} of {songs} songs", flush=True)
    return Shards(folder, songs)


def cache_of_waves(
    config: TrainConfig, stems: Sequence[str], folder: str, what: str, make: Callable[[Array], Array]
) -> Shards:
    """Open a cache of `make` applied to each song's waves, float32 [S, samples] at 16 kHz, in several processes.

    stems: in the order of the model. Raises UsageError if the suite does not have all of them.
    """
    row_of = _RowOfSong(training_songs(config), tuple(stems), make)
    if missing := [stem for stem in stems if stem not in open_suite(config.suite).stems]:
        raise UsageError(f"{config.name}: suite '{config.suite}' has no stems {', '.join(missing)}")

    def rows(numbers: range) -> Array:
        return np.stack(Parallel(n_jobs=-1)(delayed(row_of)(i) for i in numbers))

    return cached(config.work / f"{folder}-{data_key(config)}", len(row_of.songs), what, rows)


class _RowOfSong:
    """Computes the row of a song, in another process."""

    def __init__(self, songs: Songs, stems: tuple[str, ...], make: Callable[[Array], Array]):
        self.songs, self._stems, self._make = songs, stems, make

    def __call__(self, number: int) -> Array:
        torch.set_num_threads(1)
        song = self.songs[number]
        return self._make(np.stack([song.stems[stem] for stem in self._stems]))


def training_waves(config: TrainConfig, stems: Sequence[str], rate: int = SAMPLE_RATE) -> Shards:
    """Return the training songs at 16 bits, int16 [songs, S, 10.24 rate]; cached at the first call."""
    folder = "waves" if rate == SAMPLE_RATE else f"waves-{rate}"
    return cache_of_waves(config, stems, folder, folder, partial(_pcm16, rate=rate))


def _pcm16(waves: Array, rate: int) -> Array:
    """Round to the nearest integer; rounding down, as in the published files, offsets silence by half a step."""
    waves = np.pad(waves[:, :N_SAMPLES], ((0, 0), (0, max(N_SAMPLES - waves.shape[1], 0))))
    waves = np.stack([audio.resample(wave, SAMPLE_RATE, rate) for wave in waves])
    pcm: Array = np.rint(32768 * waves).clip(-32768, 32767).astype(np.int16)
    return pcm
