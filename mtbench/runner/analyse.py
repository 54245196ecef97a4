"""Analyse the clips of a row, and the reference of the Fréchet audio distance (FAD), in parallel processes."""

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
from mtbench.runner.score import audio_notices, silence_notices
from mtbench.stems import MIXTURE, Songs, Suite, optional_stems

# The number of clips that share one pass of the beat networks. More clips are faster, but an interrupted run then loses
# more work. On a GPU, a pass takes about as long for many stems as for a few.
CLIPS_AT_ONCE = 2
CLIPS_AT_ONCE_ON_A_GPU = 32


def analyse_clips(
    title: str, clips: Sequence[Clip], request: Request, cache: Cache, stage: Stage
) -> Iterator[Analysis]:
    """Analyse clips in order, in parallel processes of one thread each, and show progress.

    Only a few clips are in memory at once.
    """
    work = partial(analyse, request=request, cache=cache)
    at_once = CLIPS_AT_ONCE if request.device == "cpu" else CLIPS_AT_ONCE_ON_A_GPU
    return in_processes(title, work, clips, at_once, stage)


def analyse_batch(plan: Plan, batch: Batch, stage: Stage) -> list[Analysis]:
    """Analyse the samples of a batch, all of which must exist."""
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
    """Compute the embeddings of a suite's reference songs: of the mixture, each stem, and the sums of stems in `sums`.

    sums: {track: stems}. Raises MtbenchError if a song cannot be read.
    """
    clips = [
        # The same audio as that of the song, and facts about the file for notices.
        clip_of_files(*songs.files[i], suite.sample_rate, suite.n_samples, suite.stems)
        if songs.files
        else clip_of_song(songs, i, suite)
        for i in range(len(songs))
    ]
    request = Request(suite.sample_rate, embeddings=embeddings, sums=sums)
    analyses = list(analyse_clips(f"reference of {suite.name}", clips, request, cache, stage))
    if broken := [clip for clip in analyses if clip.error]:
        raise MtbenchError(f"the reference of suite '{suite.name}' cannot be read: {broken[0].error}")
    digest = hashlib.sha256("\n".join(clip.digest for clip in analyses).encode()).hexdigest()
    frames = {
        (name, track): pool(analyses, name, track) for name in embeddings for track in (MIXTURE, *suite.stems, *sums)
    }
    versions = {name: open_embedding(name).version for name in embeddings}
    notices = silence_notices(f"reference of {suite.name}", analyses, optional_stems(suite))
    notices += audio_notices(f"reference of {suite.name}", analyses) if songs.files else []
    return Reference(f"{suite.split}:{len(songs)}:{digest[:8]}", frames, versions, tuple(notices))


def reference_of(reference: Reference, assignment: Assignment) -> Reference:
    """Return the tracks of a reference with which the models of an assignment are compared.

    These are the mixture, each generated stem and, if stems are given, the sum of the generated stems (`generated`).
    """
    tracks = {MIXTURE: MIXTURE} | ({"generated": "+".join(assignment.made)} if assignment.given else {})
    tracks |= {stem: stem for stem in assignment.made}
    frames = {
        (name, track): reference.frames[name, source] for name in reference.versions for track, source in tracks.items()
    }
    return replace(reference, frames=frames)


def reference_for(reference: Reference, stems: Sequence[str]) -> Reference:
    """Return the tracks of a reference with which clips of these stems are compared: the mixture and common stems."""
    frames = {key: frames for key, frames in reference.frames.items() if key[1] in (MIXTURE, *stems)}
    return replace(reference, frames=frames)
