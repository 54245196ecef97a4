"""Analysing the clips of a row, and the reference that FAD is measured against, in processes."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from mtbench.analysis import Analysis, Clip, Request, analyse, clip_of_files, clip_of_song
from mtbench.cache import Cache
from mtbench.errors import MtbenchError
from mtbench.execute import Stage, in_processes
from mtbench.registry import open_embedding
from mtbench.results.tables import Reference, pool
from mtbench.runner.plan import Assignment, Batch, Plan, metrics_of_audio
from mtbench.stems import Songs, Suite

# How many clips share a pass of the beat networks. More is faster, but an interrupted run then loses more. On a GPU a
# pass takes about as long for many stems as for a few.
CLIPS_AT_ONCE = 2
CLIPS_AT_ONCE_ON_A_GPU = 32


def analyse_clips(
    title: str, clips: Sequence[Clip], request: Request, cache: Cache, stage: Stage
) -> Iterator[Analysis]:
    """Analyse clips in processes of one thread each, in order, with progress; few are in memory at once."""
    work = partial(analyse, request=request, cache=cache)
    at_once = CLIPS_AT_ONCE if request.device == "cpu" else CLIPS_AT_ONCE_ON_A_GPU
    return in_processes(title, work, clips, at_once, stage)


def analyse_batch(plan: Plan, batch: Batch, stage: Stage) -> list[Analysis]:
    """Analyse the samples of a batch, all there."""
    rate, length = plan.suite.sample_rate, plan.suite.n_samples
    clips = [clip_of_files(f"{i:05d}", batch.folder.files(i), rate, length) for i in range(plan.config.n)]
    sums = {"generated": batch.assignment.made} if batch.assignment.given else {}
    request = Request(rate, plan.config.grid.decodes(), metrics_of_audio(), plan.config.embeddings, sums)
    return list(analyse_clips(f"analyse {batch.title}", clips, request, plan.cache, stage))


def analyse_reference(
    suite: Suite,
    songs: Songs,
    sums: Mapping[str, Sequence[str]],
    embeddings: Sequence[str],
    cache: Cache,
    stage: Stage,
) -> Reference:
    """The embeddings of the songs: of the mixture, the stems, and the sums {track: stems} asked for.

    Raises MtbenchError if one cannot be read.
    """
    clips = [clip_of_song(songs, i) for i in range(len(songs))]
    request = Request(suite.sample_rate, embeddings=embeddings, sums=sums)
    analyses = list(analyse_clips(f"reference of {suite.name}", clips, request, cache, stage))
    if broken := [clip for clip in analyses if clip.error]:
        raise MtbenchError(f"the reference of suite '{suite.name}' cannot be read: {broken[0].error}")
    digest = hashlib.sha256("\n".join(clip.digest for clip in analyses).encode()).hexdigest()
    frames = {
        (name, track): pool(analyses, name, track) for name in embeddings for track in ("mixture", *suite.stems, *sums)
    }
    versions = {name: open_embedding(name).version for name in embeddings}
    return Reference(f"{suite.split}:{len(songs)}:{digest[:8]}", frames, versions)


def reference_of(reference: Reference, assignment: Assignment) -> Reference:
    """The tracks of a reference that models are measured on: the mixture, where stems are given the sum of those made
    (`generated`), and each stem made."""
    tracks = {"mixture": "mixture"} | ({"generated": "+".join(assignment.made)} if assignment.given else {})
    tracks |= {stem: stem for stem in assignment.made}
    frames = {
        (name, track): reference.frames[name, source] for name in reference.versions for track, source in tracks.items()
    }
    return replace(reference, frames=frames)
