"""From the audio of clips to what the metrics need: beat times of every stem, embeddings of every track.

The beat network runs once per stem and serves every decode; everything is cached by the audio's content.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from mtbench import audio, beats
from mtbench.cache import Cache, content_hash
from mtbench.errors import MtbenchError
from mtbench.metrics import tuning
from mtbench.metrics.embeddings import embedding
from mtbench.stems import Songs, StemSet

open_embedding = lru_cache(maxsize=None)(embedding)  # a process loads each network once
Setting = tuple[int, float, str]  # fps, transition lambda, timebase


@dataclass(frozen=True)
class Clip:
    """A clip to analyse: its name, and how to get its stems in canonical form."""

    id: str
    load: Callable[[], Mapping[str, audio.Canonical]]


@dataclass
class Analysis:
    """What is known of one clip. `error` says why it could not be scored; then the rest is empty.

    cut, padded: stems brought to the wanted length. duration: s, of the longest stem. beats: {setting: {stem:
    float64 [n, 2]}}, a beat's time in s and its position in the bar. embeddings: {embedding: {track: float32 [frames,
    dimension]}}, the stems, ``mixture`` and the sums asked for. tuning: {stem: cents}. clipped: share of the mixture's
    samples beyond full scale. digest: SHA-256 of each stem.
    """

    id: str
    error: str = ""
    cut: int = 0
    padded: int = 0
    duration: float = float("nan")
    beats: dict[Setting, dict[str, np.ndarray]] = field(default_factory=dict)
    embeddings: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    tuning: dict[str, float] = field(default_factory=dict)
    clipped: float = float("nan")
    digest: str = ""


def clip_of_files(name: str, files: Mapping[str, Path], rate: int, length: int | None) -> Clip:
    """A clip on disk, {stem: file}, brought to `rate` Hz and, unless None, `length` samples."""
    files = {stem: file.absolute() for stem, file in files.items()}  # a process may have begun in another folder
    return Clip(name, partial(_load_files, files, rate, length))


def clip_of_song(songs: Songs, number: int) -> Clip:
    """Song `number` of a suite, which has brought it to its length."""
    return Clip(str(number), partial(_load_song, songs.loader(number)))


def analyse(
    clips: Sequence[Clip],
    rate: int,
    settings: Sequence[Setting],
    embeddings: Sequence[str],
    sums: Mapping[str, Sequence[str]],
    cache: Cache,
) -> list[Analysis]:
    """Analyse some clips whose stems are at `rate` Hz; their stems go through the beat network together.

    sums: {track: stems} to embed beside the stems and their mixture, clipped as the mixture is. A clip that cannot be
    read becomes an Analysis with its error; the others are not touched by it.
    """
    results, loaded = [], []
    for clip in clips:
        result = Analysis(clip.id)
        try:
            made = clip.load()
        except MtbenchError as error:
            result.error = str(error)
        else:
            stems = {stem: done.samples for stem, done in made.items()}
            result.cut, result.padded = (
                sum(bool(getattr(done, what)) for done in made.values()) for what in ("cut", "padded")
            )
            result.duration = max(len(pcm) for pcm in stems.values()) / rate
            hashes = {stem: content_hash(pcm, rate) for stem, pcm in stems.items()}
            result.digest = " ".join(hashes.values())
            loaded.append((result, stems, hashes))
        results.append(result)
    try:
        _track(loaded, rate, settings, cache)
    except ValueError:  # one of them admits no beats: find out which, and keep the others
        for one in loaded:
            try:
                _track([one], rate, settings, cache)
            except ValueError as error:
                one[0].error = str(error)
    for result, stems, hashes in loaded:
        mixture, result.clipped = audio.mix(list(stems.values()))
        mixed = {"mixture": mixture} | {
            track: audio.mix([stems[stem] for stem in parts])[0] for track, parts in sums.items() if embeddings
        }
        if settings:  # of a reference nothing but embeddings is asked
            result.tuning = {stem: _tuning(pcm, rate, hashes[stem], cache) for stem, pcm in stems.items()}
        hashes |= {track: content_hash(wave, rate) for track, wave in mixed.items() if embeddings}
        for name in embeddings:
            network = open_embedding(name)
            waves = {stem: partial(audio.to_float, pcm) for stem, pcm in stems.items()}
            waves |= {track: partial(np.asarray, wave) for track, wave in mixed.items()}
            result.embeddings[name] = {
                track: _embed(network, wave, rate, hashes[track], cache) for track, wave in waves.items()
            }
    return results


def _tuning(pcm: np.ndarray, rate: int, digest: str, cache: Cache) -> float:
    if (held := cache.get("tuning", digest, tuning.VERSION)) is None:
        held = cache.put(np.array(tuning.tuning(audio.to_float(pcm), rate)), "tuning", digest, tuning.VERSION)
    return float(held)


def _track(loaded: list, rate: int, settings: Sequence[Setting], cache: Cache) -> None:
    """Fill in the beats of every stem: activations once, then a decode a setting."""
    version = beats.identity()
    wanted: dict[str, np.ndarray] = {}  # by content: silent stems are all alike
    found: dict[tuple[str, Setting], np.ndarray] = {}
    for _, stems, hashes in loaded:
        for stem, digest in hashes.items():
            for setting in settings:
                if (held := cache.get("beats", digest, version, *setting)) is None:
                    wanted[digest] = stems[stem]
                else:
                    found[digest, setting] = held
    activations = {digest: cache.get("activations", digest, version) for digest in wanted}
    missing = [digest for digest, held in activations.items() if held is None]
    for digest, made in zip(missing, beats.activations([wanted[digest] for digest in missing], rate)):
        activations[digest] = cache.put(made, "activations", digest, version)
    for digest in wanted:
        for setting in settings:
            if (digest, setting) not in found:
                times, positions = beats.decode(activations[digest], *setting)
                found[digest, setting] = cache.put(
                    np.column_stack([times, positions]), "beats", digest, version, *setting
                )
    for result, _, hashes in loaded:
        result.beats = {
            setting: {stem: found[digest, setting] for stem, digest in hashes.items()} for setting in settings
        }


def _embed(network, wave: Callable[[], np.ndarray], rate: int, digest: str, cache: Cache) -> np.ndarray:
    key = ("embedding", digest, network.name, network.version)
    if (held := cache.get(*key)) is None:
        held = cache.put(network(audio.resample(wave(), rate, network.sample_rate)), *key)
    return held


def _load_files(files: Mapping[str, Path], rate: int, length: int | None) -> dict[str, audio.Canonical]:
    return {stem: audio.read_canonical(file, rate, length) for stem, file in files.items()}


def _load_song(load: Callable[[], StemSet]) -> dict[str, audio.Canonical]:
    return {stem: audio.Canonical(audio.to_pcm16(wave), 0, 0) for stem, wave in load().stems.items()}
