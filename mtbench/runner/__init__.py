"""Run the benchmark: plan, generate, analyse, score, record. Finished work is on disk, so interrupted runs resume."""

from collections.abc import Sequence
from pathlib import Path

from mtbench.cache import Cache
from mtbench.config import Grid, RunConfig
from mtbench.errors import MtbenchError
from mtbench.execute import Stage
from mtbench.runner import code
from mtbench.runner.analyse import analyse_batch, analyse_clips, analyse_reference, reference_for, reference_of
from mtbench.runner.evaluation import Arrays, Source, plan_evaluation
from mtbench.runner.generate import generate
from mtbench.runner.plan import (
    check_folder,
    default_eval_folder,
    default_folder,
    plain,
    plan_run,
)
from mtbench.runner.record import (
    Report,
    RunResult,
    keep_batch,
    made_by_other_code,
    put_together,
    run_record,
    write_tables,
)
from mtbench.runner.score import audio_notices, failure_table, length_notices, score, silence_notices
from mtbench.stems import MIXTURE, has_stems, optional_stems

__all__ = ["Arrays", "RunResult", "Source", "check_folder", "default_eval_folder", "default_folder", "evaluate", "run"]


def run(config: RunConfig, folder: Path, device: str, stage: Stage, cache: Cache | None = None) -> RunResult:
    """Generate the missing samples, analyse and score all of them, and write the run folder.

    cache: for everything computed from audio; the default is the user's cache.
    A model that fails has no scores and one line in `failed`; the other models are still scored.
    Raises UsageError for an invalid name, option or folder, before anything is generated, and MtbenchError if the
    reference cannot be read or every model failed.
    """
    plan = plan_run(config, folder, device, cache or Cache())
    reference = analyse_reference(plan.suite, plan.reference, plan.sums, config.embeddings, plan.cache, stage)
    report = Report(notices=list(plan.notices))
    generated = list(generate(plan, stage))
    for each in generated:
        if each.failure:
            report.add_failure(plan, each.batch, each.failure)
    for batch in [each.batch for each in generated if not each.failure]:
        analyses = analyse_batch(plan, batch, stage)
        origin = batch.assignment.origin(batch.row.name, plan.suite)
        of_batch = reference_of(reference, batch.assignment)
        scored = score(batch.title, analyses, of_batch, origin, config.grid.window)
        conversions = batch.folder.conversions(config.n)
        keep_batch(plan.target, batch, scored, conversions)
        report.add_scores(scored)
        report.add_conversions(batch, conversions)
        report.notices += silence_notices(batch.title, analyses, optional_stems(plan.suite))
    report.notices += reference.notices
    provenances = {row.name: plain(row.generator.provenance) for row in plan.rows}
    record = run_record(config.model_dump(mode="json"), config.embeddings, provenances, plan.commit)
    record["suite_version"] = plan.suite.version
    codes = {row.name: row.code for row in plan.rows}
    if older := made_by_other_code(report, codes):
        record["samples_made_by"] = older
        report.notices += code.notices(older, codes)
    result = put_together(folder, record, report)
    write_tables(plan.target, result)
    return result


def evaluate(
    sources: Sequence[Source],
    reference: str | None,
    grid: Grid,
    embeddings: Sequence[str],
    folder: Path | None,
    stage: Stage,
    device: str = "cpu",
    stems: Sequence[str] | None = None,
) -> RunResult:
    """Score existing stems, one row per source.

    With a reference, clips are converted to that suite's sample rate and duration, the Fréchet audio distance (FAD) is
    added for the mixture and the stems that both sides have, and the suite's controls are scored as well. folder: the
    folder for the tables; if None, nothing is written. device: the torch device of the beat networks. stems: the stems
    to score; the default is those that each source has.
    Raises UsageError for an invalid source or suite, and MtbenchError if no clip of any source can be scored.
    """
    plan = plan_evaluation(sources, reference, grid, embeddings, folder, device, Cache(), stems)
    reference_set = None
    report = Report(notices=list(plan.notices))
    if plan.suite is not None and plan.reference is not None:
        names = plan.request.embeddings
        reference_set = analyse_reference(plan.suite, plan.reference, {}, names, plan.cache, stage)
        report.notices += reference_set.notices
    all_scored = []
    for row in plan.rows:
        analyses = list(analyse_clips(f"analyse {row.name}", row.clips, plan.request, plan.cache, stage))
        comparable = reference_set and reference_for(reference_set, row.stems)
        scored = score(row.name, analyses, comparable, plan.origin(row), grid.window)
        all_scored.append(scored)
        report.add_scores(scored)
        report.notices += row.notices
        cut, padded = sum(clip.cut for clip in analyses), sum(clip.padded for clip in analyses)
        what = "stem" if has_stems(row.stems) else MIXTURE
        report.notices += length_notices(row.name, cut, padded, what) + audio_notices(row.name, analyses)
        report.notices += silence_notices(row.name, analyses, optional_stems(plan.suite))
        report.failures.append(failure_table(row.left_out, plan.origin(row)))
    if all(scored.scores.empty for scored in all_scored[: len(sources)]):
        raise MtbenchError("; ".join(report.failed))
    provenances = {row.name: plain(row.provenance) for row in plan.rows}
    record = run_record(plan.settings, plan.request.embeddings, provenances, code.git_commit(code.SOURCE))
    result = put_together(folder, record, report)
    if plan.target:
        for row, scored in zip(plan.rows, all_scored):
            if not scored.scores.empty:
                plan.target.write_table(f"beats/{plan.origin(row).task}/{row.name}.csv", scored.beats)
        write_tables(plan.target, result)
    return result
