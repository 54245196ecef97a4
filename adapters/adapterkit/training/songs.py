"""The songs that a training learns from, and caches of what is made of them.

A cache is a folder of files in the work folder, named for what it holds and for the songs. Its files are made once,
appear whole, and serve every training on these songs; two trainings may make them at once.
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

SHARD = 250  # songs in a file

Array = np.ndarray[Any, np.dtype[Any]]


def training_songs(config: TrainConfig) -> Songs:
    """The songs to learn from and to validate on, each made or read when it is asked for.

    Raises UsageError if the suite has too few songs, or clips of another length than 10.24 s.
    """
    if config.suite != "band":
        return _songs_of_suite(config)
    allowed = band.seeds("train")
    count = config.songs or 0
    if config.first_seed not in allowed or config.first_seed + count - 1 not in allowed or count <= config.validation:
        raise UsageError(
            f"{config.name}: `band` needs more songs than its validation ({config.validation}), with seeds "
            f"from {allowed[0]} to {allowed[-1]}; got songs: {config.songs}, first_seed: {config.first_seed}"
        )
    return Songs(range(config.first_seed, config.first_seed + count), _band_song)


def _songs_of_suite(config: TrainConfig) -> Songs:
    suite = open_suite(config.suite)
    if suite.n_samples != N_SAMPLES:
        raise UsageError(
            f"{config.name}: suite '{config.suite}' has clips of {suite.n_samples / suite.sample_rate:g} s; "
            "trainings take 10.24 s"
        )
    songs = suite.reference()
    count = len(songs) if config.songs is None else config.songs
    if not config.validation < count <= len(songs):
        raise UsageError(
            f"{config.name}: suite '{config.suite}' holds {len(songs)} songs; songs: {config.songs} with "
            f"validation: {config.validation} do not fit"
        )
    return Songs(range(count), songs.__getitem__)


def _band_song(seed: int) -> StemSet:
    song = band.song(seed)
    return StemSet(str(seed), song.stems, band.SAMPLE_RATE)


def held_back_songs(config: TrainConfig) -> Songs:
    """Those of the training songs to validate on."""
    songs = training_songs(config)
    return Songs(range(len(songs) - config.validation, len(songs)), songs.__getitem__)


def data_key(config: TrainConfig) -> str:
    """What names the songs in the names of cache folders: the same for the same songs."""
    if config.suite == "band":
        return f"band{band.VERSION}-{config.first_seed}"
    suite = open_suite(config.suite)
    what = f"{suite.name} {suite.version} {len(suite.reference())}"
    return f"{suite.name.replace('/', '-').replace(':', '-')}-{hashlib.sha256(what.encode()).hexdigest()[:8]}"


def data_in_words(config: TrainConfig) -> str:
    """What a checkpoint says of the songs that it has learnt from."""
    if config.suite != "band":
        return config.suite
    last = config.first_seed + (config.songs or 0) - config.validation - 1
    return f"mtbench band version {band.VERSION}, seeds {config.first_seed} to {last}"


class Shards:
    """An array with a row per song, kept in files of SHARD songs and memory-mapped."""

    def __init__(self, folder: Path, songs: int):
        self._files = [np.load(folder / f"{first:06d}.npy", mmap_mode="r") for first in range(0, songs, SHARD)]
        self.shape: tuple[int, ...] = (songs, *self._files[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def song(self, number: int) -> Array:
        """The row of a song."""
        row: Array = self._files[number // SHARD][number % SHARD]
        return row

    def __getitem__(self, numbers: Sequence[int] | Tensor) -> Tensor:
        """A copy of the rows of these songs, [len(numbers), ...]."""
        return torch.from_numpy(np.stack([self.song(int(i)) for i in numbers]))


def cached(folder: Path, songs: int, what: str, make: Callable[[range], Array]) -> Shards:
    """The cache in a folder. `make` makes the rows of a range of songs, for the files that are not there yet.

    what: the cache in words, for the log. A file may hold more songs than are asked for.
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
    """A cache of what `make` makes of a song's waves, float32 [S, samples] at 16 kHz, in several processes.

    stems: in the order of the model. Raises UsageError if the suite lacks one of them.
    """
    row_of = _RowOfSong(training_songs(config), tuple(stems), make)
    if lacking := [stem for stem in stems if stem not in open_suite(config.suite).stems]:
        raise UsageError(f"{config.name}: suite '{config.suite}' has no {', '.join(lacking)}")

    def rows(numbers: range) -> Array:
        return np.stack(Parallel(n_jobs=-1)(delayed(row_of)(i) for i in numbers))

    return cached(config.work / f"{folder}-{data_key(config)}", len(row_of.songs), what, rows)


class _RowOfSong:
    """Makes the row of a song, in another process."""

    def __init__(self, songs: Songs, stems: tuple[str, ...], make: Callable[[Array], Array]):
        self.songs, self._stems, self._make = songs, stems, make

    def __call__(self, number: int) -> Array:
        torch.set_num_threads(1)
        song = self.songs[number]
        return self._make(np.stack([song.stems[stem] for stem in self._stems]))


def training_waves(config: TrainConfig, stems: Sequence[str], rate: int = SAMPLE_RATE) -> Shards:
    """The training songs at 16 bits, int16 [songs, S, 10.24 rate]; made at the first call."""
    folder = "waves" if rate == SAMPLE_RATE else f"waves-{rate}"
    return cache_of_waves(config, stems, folder, folder, partial(_pcm16, rate=rate))


def _pcm16(waves: Array, rate: int) -> Array:
    """Rounded to the nearest: the floor of the published files would lift silent passages by half a step."""
    waves = np.pad(waves[:, :N_SAMPLES], ((0, 0), (0, max(N_SAMPLES - waves.shape[1], 0))))
    waves = np.stack([audio.resample(wave, SAMPLE_RATE, rate) for wave in waves])
    pcm: Array = np.rint(32768 * waves).clip(-32768, 32767).astype(np.int16)
    return pcm
