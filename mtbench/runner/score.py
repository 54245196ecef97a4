"""Compute the tables of one row from its analysed clips."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from mtbench.analysis import Analysis
from mtbench.results.keys import FAILURE_COLUMNS
from mtbench.results.tables import Origin, Reference, beat_table, fad_tables, sample_table, score_table

CANCELLED = "silent because the channels of the file cancel: left is the negative of right"
NAMED = 3  # clips that could not be scored, each with a notice of its own
SAME_LENGTH = 0.1  # s; MP3 and AAC encoders add up to 50 ms to a file, and stems at other rates differ by a sample


@dataclass(frozen=True)
class Scored:
    """The results of a row.

    They are tables of scores, samples, Fréchet audio distance (FAD) per clip, beats and failures, and notices for the
    user. `scores` is empty if no clip could be scored.
    """

    title: str
    scores: pd.DataFrame
    samples: pd.DataFrame
    fad_per_clip: pd.DataFrame
    beats: pd.DataFrame
    failures: pd.DataFrame
    notices: list[str]


def score(
    title: str, analyses: Sequence[Analysis], reference: Reference | None, origin: Origin, windows: Sequence[float]
) -> Scored:
    """Score a row.

    title: the row's name in notices. windows: of cross-track beat synchronization (CBS), in s.
    """
    errors = {clip.id: clip.error for clip in analyses if clip.error}
    failures = failure_table(errors, origin)
    if len(errors) == len(analyses):
        nothing = pd.DataFrame()
        return Scored(title, nothing, nothing, nothing, beat_table([]), failures, [])
    notices = [f"{title}: clip {name} not scored: {error}" for name, error in list(errors.items())[:NAMED]]
    if more := len(errors) - len(notices):
        notices.append(
            f"{title}: {more} more clip{'s' * (more > 1)} not scored; the table of failures lists all of them"
        )
    samples = sample_table(analyses, windows, origin)
    scores, fad_per_clip = score_table(samples, len(analyses)), pd.DataFrame()
    if reference:
        fad = fad_tables(analyses, reference, origin)
        scores, fad_per_clip = pd.concat([fad.scores, scores], ignore_index=True), fad.per_clip
        notices += [f"{title}: {notice}" for notice in fad.notices]
    beats = beat_table([clip for clip in analyses if not clip.error])
    return Scored(title, scores, samples, fad_per_clip, beats, failures, notices)


def failure_table(reasons: Mapping[str, str], origin: Origin) -> pd.DataFrame:
    """Return the failures of a row (FAILURE_COLUMNS). reasons: {sample: why it could not be generated or scored}."""
    rows = [
        {
            "task": origin.task,
            "given": origin.given,
            "model": origin.model,
            "suite": origin.suite,
            "sample": sample,
            "reason": reason,
        }
        for sample, reason in reasons.items()
    ]
    return pd.DataFrame(rows, columns=FAILURE_COLUMNS)


def nothing_scored(scored: Scored) -> str:
    failures = scored.failures
    return f"{scored.title}: 0 of {len(failures)} clips could be scored; first error: {failures.iloc[0]['reason']}"


def silence_notices(title: str, analyses: Sequence[Analysis], optional: Sequence[str]) -> list[str]:
    """Return a notice for each stem that a clip may lack and that is silent in some clips."""
    silent = Counter(stem for clip in analyses for stem in clip.silent)
    return [
        f"{title}: the optional stem {stem} is silent or missing in {silent[stem]} of {len(analyses)} clips"
        for stem in optional
        if silent[stem]
    ]


def audio_notices(title: str, analyses: Sequence[Analysis]) -> list[str]:
    """Return notices about stems that can be scored, but are probably not what the user meant."""
    shares = [(clip.id, stem, share) for clip in analyses for stem, share in clip.saturated.items()]
    cancelled = [(clip.id, stem) for clip in analyses for stem in clip.cancelled]
    others = [
        (
            [(clip.id, " = ".join(clip.copies)) for clip in analyses if clip.copies],
            "clip has|clips have",
            "stems that are exact copies of each other",
        ),
        (
            [
                (clip.id, f"{clip.lengths[0]:.2f} to {clip.lengths[1]:.2f} s")
                for clip in analyses
                if clip.lengths[1] - clip.lengths[0] > SAME_LENGTH
            ],
            "clip has|clips have",
            "stems of different lengths",
        ),
    ]
    notices = saturation_notices(title, shares) + cancelled_notices(title, cancelled)
    return notices + [notice for other in others for notice in _counted(title, *other)]


def cancelled_notices(title: str, found: Sequence[tuple[str, str]]) -> list[str]:
    """Return a notice about stems whose channels cancel. found: (clip, stem)."""
    return _counted(title, found, "stem is|stems are", CANCELLED)


def saturation_notices(title: str, shares: Sequence[tuple[str, str, float]]) -> list[str]:
    """Return a notice about stems with samples beyond full scale. shares: (clip, stem, share of such samples)."""
    found = [(clip, f"{stem}: {share:.0%}") for clip, stem, share in shares]
    return _counted(title, found, "stem has|stems have", "samples beyond full scale (1.0), which are saturated")


def _counted(title: str, found: Sequence[tuple[str, str]], verbs: str, what: str) -> list[str]:
    """Return a notice with the number of (clip, detail) that were found, and the first of them; none for none."""
    if not found:
        return []
    several = len(found) > 1
    return [f"{title}: {len(found)} {verbs.split('|')[several]} {what} ({'first: ' * several}{', '.join(found[0])})"]


def length_notices(title: str, cut: int, padded: int, what: str = "stem") -> list[str]:
    """Return notices about the numbers of stems that were cut or zero-padded. what: ``mixture`` for mixtures."""
    counts = ((cut, "longer", "cut"), (padded, "shorter", "zero-padded"))
    return [
        f"{title}: {count} {what}{'s' if count > 1 else ''} {than} than the suite's clips "
        f"{'were' if count > 1 else 'was'} {done}"
        for count, than, done in counts
        if count
    ]
