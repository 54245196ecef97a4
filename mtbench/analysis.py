"""Turn the audio of clips into the inputs of the metrics: beat times of every stem, embeddings of every track.

The beat network runs once per stem, and every decode uses its output. Results are cached by the audio's content.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtbench import audio, beats
from mtbench.cache import Cache, content_hash
from mtbench.errors import MtbenchError
from mtbench.generator import Generator
from mtbench.metrics import Metric, values_of
from mtbench.metrics.embeddings import Embedding
from mtbench.registry import metrics, open_embedding
from mtbench.settings import Decode
from mtbench.stems import Songs, StemSet, Suite, has_stems, optional_stems

Floats = NDArray[np.float64]
Frames = NDArray[np.float32]
Pcm = NDArray[np.int16]


@dataclass(frozen=True)
class Clip:
    """A clip to analyse: its name, and a function that loads its stems in canonical form.

    stems: the stems that it must have; those that are not loaded are silent. Empty: those that are loaded.
    """

    id: str
    load: Callable[[], Mapping[str, audio.Canonical]]
    stems: Sequence[str] = ()


@dataclass(frozen=True)
class Request:
    """What to compute from clips whose stems are at `rate` Hz.

    decodes: the beat decoding settings. metrics: names of metrics computed directly from audio. embeddings: names.
    sums: {track: stems} to embed in addition to the stems and their mixture; clipped like the mixture. device: the
    torch device of the beat networks.
    """

    rate: int
    decodes: Sequence[Decode] = ()
    metrics: Sequence[str] = ()
    embeddings: Sequence[str] = ()
    sums: Mapping[str, Sequence[str]] = field(default_factory=dict)
    device: str = "cpu"


@dataclass
class Analysis:
    """The analysis of one clip. If the clip could not be scored, `error` is the reason and the other fields are empty.

    cut, padded: number of stems that were cut or zero-padded to the required length. lengths: of the shortest and the
    longest stem before that, in s. silent: stems that the clip lacks, or without a sound. saturated: {stem: share of
    samples beyond full scale}, if above `audio.SATURATED`. cancelled: the stems whose channels cancel. copies: the
    first two stems that are equal and not silent, if any. duration: of the longest stem, in s. beats: {decode: {stem:
    float64 [n, 2]}}, the time of each beat in s and its position in the bar. embeddings: {embedding: {track: float32
    [frames, dimension]}} for the stems, ``mixture`` and the requested sums. of_audio: {metric: {track: value}} for
    metrics computed directly from audio. digest: SHA-256 of each stem. A mixture without stems has embeddings only.
    """

    id: str
    error: str = ""
    cut: int = 0
    padded: int = 0
    silent: tuple[str, ...] = ()
    lengths: tuple[float, float] = (float("nan"), float("nan"))
    saturated: dict[str, float] = field(default_factory=dict)
    cancelled: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    duration: float = float("nan")
    beats: dict[Decode, dict[str, Floats]] = field(default_factory=dict)
    embeddings: dict[str, dict[str, Frames]] = field(default_factory=dict)
    of_audio: dict[str, dict[str, float]] = field(default_factory=dict)
    digest: str = ""


@dataclass(frozen=True)
class _Loaded:
    """The stems of a readable clip, PCM-16 [samples], the SHA-256 of each, and the analysis to fill in."""

    analysis: Analysis
    stems: Mapping[str, Pcm]
    hashes: Mapping[str, str]


def clip_of_files(
    name: str, files: Mapping[str, Path], rate: int, length: int | None, stems: Sequence[str] = ()
) -> Clip:
    """Return a clip on disk, {stem: file}, converted to `rate` Hz and, unless it is None, to `length` samples.

    stems: as in `Clip`.
    """
    # Worker processes may have a different working directory.
    files = {stem: file.absolute() for stem, file in files.items()}
    return Clip(name, partial(_load_files, files, rate, length), stems)


def clip_of_arrays(
    name: str,
    waves: Mapping[str, Frames],
    sample_rate: int,
    rate: int,
    length: int | None,
    stems: Sequence[str] = (),
    cancelled: Sequence[str] = (),
) -> Clip:
    """Return a clip of waveforms, {stem: float32 [samples] at `sample_rate` Hz}.

    It is converted to `rate` Hz and, unless it is None, to `length` samples. stems: as in `Clip`. cancelled: the stems
    whose channels cancelled when they were averaged.
    """
    return Clip(name, partial(_load_arrays, waves, sample_rate, rate, length, cancelled), stems)


def clip_of_sample(generator: Generator, number: int, stems: Sequence[str], rate: int, length: int) -> Clip:
    """Return sample `number` of a generator with seed 0 as a clip, generated when it is loaded."""
    return Clip(f"{number:05d}", partial(_load_sample, generator, number, stems, rate, length))


def clip_of_song(songs: Songs, number: int, suite: Suite) -> Clip:
    """Return song `number` of a suite as a clip; the suite has already brought it to the right length."""
    needed = [stem for stem in suite.stems if stem not in optional_stems(suite)]
    return Clip(str(number), partial(_load_song, songs.loader(number), needed), suite.stems)


def analyse(clips: Sequence[Clip], request: Request, cache: Cache) -> list[Analysis]:
    """Analyse clips, running the beat network on all their stems together.

    A clip that cannot be read becomes an Analysis with an error; the other clips are not affected.
    """
    analyses = [Analysis(clip.id) for clip in clips]
    every = [clip for clip in map(_load, clips, analyses, [request.rate] * len(clips)) if clip]
    loaded = [clip for clip in every if has_stems(clip.stems)]
    try:
        _track(loaded, request, cache)
    except ValueError:  # a clip cannot be tracked: track each clip alone to find it, and keep the others
        for clip in loaded:
            try:
                _track([clip], request, cache)
            except ValueError as error:
                clip.analysis.error = str(error)
    for clip in loaded:
        clip.analysis.of_audio = {
            name: _of_audio(metrics()[name], clip, request.rate, cache) for name in request.metrics
        }
    for clip in every:
        clip.analysis.embeddings = _embeddings(clip, request, cache) if request.embeddings else {}
    return analyses


def _load(clip: Clip, analysis: Analysis, rate: int) -> _Loaded | None:
    try:
        canonical = clip.load()
    except MtbenchError as error:
        analysis.error = str(error)
        return None
    stems = {stem: form.samples for stem, form in canonical.items()}
    if lacking := set(clip.stems) - set(stems):
        silence = np.zeros(max(len(pcm) for pcm in stems.values()), np.int16)
        stems |= dict.fromkeys(lacking, silence)
        stems = {stem: stems[stem] for stem in dict.fromkeys((*clip.stems, *stems))}
    analysis.silent = tuple(stem for stem, pcm in stems.items() if not pcm.any())
    hashes = {stem: content_hash(pcm, rate) for stem, pcm in stems.items()}
    analysis.cut = sum(form.cut > 0 for form in canonical.values())
    analysis.padded = sum(form.padded > 0 for form in canonical.values())
    lengths = [len(form.samples) + form.cut - form.padded for form in canonical.values()]
    analysis.lengths = (min(lengths) / rate, max(lengths) / rate)
    analysis.saturated = {stem: form.saturated for stem, form in canonical.items() if form.saturated > audio.SATURATED}
    analysis.cancelled = tuple(stem for stem, form in canonical.items() if form.cancelled)
    sounding = [stem for stem, pcm in stems.items() if pcm.any()]
    twins = (pair for pair in combinations(sounding, 2) if hashes[pair[0]] == hashes[pair[1]])
    analysis.copies = next(twins, ())
    analysis.duration = max(len(pcm) for pcm in stems.values()) / rate
    analysis.digest = " ".join(hashes.values())
    return _Loaded(analysis, stems, hashes)


def _track(loaded: Sequence[_Loaded], request: Request, cache: Cache) -> None:
    """Fill in the beats of every stem: compute its activations once, then run each decode on them."""
    version = beats.identity()
    untracked: dict[str, Pcm] = {}  # keyed by content, since silent stems are identical
    tracked: dict[tuple[str, Decode], Floats] = {}
    for clip in loaded:
        for stem, digest in clip.hashes.items():
            for decode in request.decodes:
                cached = cache.get("beats", digest, version, *decode)
                if cached is None:
                    untracked[digest] = clip.stems[stem]
                else:
                    tracked[digest, decode] = cached
    cached_activations = {digest: cache.get("activations", digest, version) for digest in untracked}
    activations = {digest: cached for digest, cached in cached_activations.items() if cached is not None}
    missing = [digest for digest in untracked if digest not in activations]
    computed = beats.activations([untracked[digest] for digest in missing], request.rate, request.device)
    for digest, activation in zip(missing, computed):
        activations[digest] = cache.put(activation, "activations", digest, version)
    for digest in untracked:
        for decode in request.decodes:
            if (digest, decode) not in tracked:
                beat_array = np.column_stack(beats.decode(activations[digest], *decode))
                tracked[digest, decode] = cache.put(beat_array, "beats", digest, version, *decode)
    for clip in loaded:
        clip.analysis.beats = {
            decode: {stem: tracked[digest, decode] for stem, digest in clip.hashes.items()}
            for decode in request.decodes
        }


def _of_audio(metric: Metric, clip: _Loaded, rate: int, cache: Cache) -> dict[str, float]:
    """Return {track: value} of a metric computed directly from audio."""
    if metric.scope == "clip":
        waves = {stem: audio.to_float(pcm) for stem, pcm in clip.stems.items()}
        return {metric.track: values_of([metric], waves, rate)[0]}
    values = {}
    for stem, pcm in clip.stems.items():
        key = (metric.name, clip.hashes[stem], metric.version)
        if (cached := cache.get(*key)) is None:
            cached = cache.put(np.array(values_of([metric], audio.to_float(pcm), rate)[0]), *key)
        values[stem] = float(cached)
    return values


def _embeddings(clip: _Loaded, request: Request, cache: Cache) -> dict[str, dict[str, Frames]]:
    """Return {embedding: {track: frames}} for the stems, their mixture and the requested sums."""
    summed = {"mixture": list(clip.stems), **request.sums}
    mixtures = {track: audio.mix([clip.stems[stem] for stem in stems])[0] for track, stems in summed.items()}
    hashes = {**clip.hashes, **{track: content_hash(wave, request.rate) for track, wave in mixtures.items()}}
    waves: dict[str, Callable[[], Frames]] = {stem: partial(audio.to_float, pcm) for stem, pcm in clip.stems.items()}
    waves |= {track: partial(np.asarray, wave) for track, wave in mixtures.items()}
    return {
        name: {
            track: _embed(open_embedding(name), wave, request.rate, hashes[track], cache)
            for track, wave in waves.items()
        }
        for name in request.embeddings
    }


def _embed(network: Embedding, wave: Callable[[], Frames], rate: int, digest: str, cache: Cache) -> Frames:
    key = ("embedding", digest, network.name, network.version)
    cached: Frames | None = cache.get(*key)
    if cached is None:
        cached = cache.put(network(audio.resample(wave(), rate, network.sample_rate)), *key)
    return cached


def _load_files(files: Mapping[str, Path], rate: int, length: int | None) -> dict[str, audio.Canonical]:
    return {stem: audio.read_canonical(file, rate, length) for stem, file in files.items()}


def _load_arrays(
    stems: Mapping[str, Frames], sample_rate: int, rate: int, length: int | None, cancelled: Sequence[str] = ()
) -> dict[str, audio.Canonical]:
    return {
        stem: replace(audio.canonical(wave, sample_rate, rate, length), cancelled=stem in cancelled)
        for stem, wave in stems.items()
    }


def _load_sample(
    generator: Generator, number: int, stems: Sequence[str], rate: int, length: int
) -> dict[str, audio.Canonical]:
    (sample,) = generator.generate(1, stems, seed=0, start=number)
    return _load_arrays({stem: sample.stems[stem] for stem in stems}, sample.sample_rate, rate, length)


def _load_song(load: Callable[[], StemSet], needed: Sequence[str]) -> dict[str, audio.Canonical]:
    song = load()
    if missing := [stem for stem in needed if stem not in song.stems]:
        raise MtbenchError(f"song '{song.id}' has no stem {', '.join(missing)}")
    return {stem: audio.Canonical(audio.to_pcm16(wave), 0, 0) for stem, wave in song.stems.items()}
