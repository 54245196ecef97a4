"""A run: plan, generate, score, record. What is finished is on disk, so a run that was stopped resumes."""

from collections.abc import Sequence
from pathlib import Path

from mtbench.cache import Cache
from mtbench.config import Grid, RunConfig
from mtbench.errors import MtbenchError
from mtbench.execute import Stage
from mtbench.runner import code
from mtbench.runner.analyse import analyse_batch, analyse_clips, analyse_reference, reference_of
from mtbench.runner.generate import generate
from mtbench.runner.plan import (
    check_folder,
    default_eval_folder,
    default_folder,
    plain,
    plan_evaluation,
    plan_run,
    slow_path_notices,
)
from mtbench.runner.record import Report, RunResult, finish, keep_batch, made_by_other_code, run_record
from mtbench.runner.score import failure_table, length_notices, nothing_scored, score

__all__ = ["RunResult", "check_folder", "default_eval_folder", "default_folder", "evaluate", "run"]


def run(config: RunConfig, folder: Path, device: str, stage: Stage, cache: Cache | None = None) -> RunResult:
    """Generate what is missing, analyse it, score it, and write the run folder.

    cache: of what was worked out from audio; as a rule the user's.
    A model that fails has no scores and a line in `failed`; the others are not touched by it.
    Raises UsageError for names, options or a folder that do not fit, before anything is made, and MtbenchError
    if the reference cannot be read or every model failed.
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
    provenances = {row.name: plain(row.generator.provenance) for row in plan.rows}
    record = run_record(config.model_dump(mode="json"), config.embeddings, provenances, plan.commit)
    record["suite_version"] = plan.suite.version
    codes = {row.name: row.code for row in plan.rows}
    if older := made_by_other_code(report, codes):
        record["samples_made_by"] = older
        report.notices += code.notices(older, codes)
    return finish(plan.target, record, report, provenances)


def evaluate(
    path: Path, reference: str | None, grid: Grid, embeddings: Sequence[str], folder: Path, stage: Stage
) -> RunResult:
    """Score a folder of stems. With a reference its clips take that suite's rate and duration, and FAD is added.

    Raises UsageError for a folder or suite that is not there, MtbenchError if no clip can be scored.
    """
    plan = plan_evaluation(path, reference, grid, embeddings, folder, Cache())
    reference_set = None
    report = Report(notices=slow_path_notices())
    if plan.suite is not None and plan.reference is not None:
        report.notices += plan.reference.notices
        names = plan.request.embeddings
        reference_set = analyse_reference(plan.suite, plan.reference, {}, names, plan.cache, stage)
    analyses = list(analyse_clips(f"analyse {plan.row}", plan.clips, plan.request, plan.cache, stage))
    origin = plan.origin
    scored = score(plan.row, analyses, reference_set, origin, grid.window)
    if scored.scores.empty:
        raise MtbenchError(nothing_scored(scored))
    plan.target.write_table(f"beats/{origin.task}/{plan.row}.csv", scored.beats)
    if plan.stems.left_out:
        report.notices.append(f"{plan.row}: {plan.stems.left_out}")
    report.add_scores(scored)
    cut, padded = sum(clip.cut for clip in analyses), sum(clip.padded for clip in analyses)
    report.notices += length_notices(plan.row, cut, padded)
    incomplete = {name: f"no {', '.join(lacks)}" for name, lacks in plan.stems.incomplete.items()}
    report.failures.append(failure_table(incomplete, origin))
    provenances = {plan.row: {"what": "a folder of audio"}}
    record = run_record(plan.settings, plan.request.embeddings, provenances, code.git_commit(code.SOURCE))
    return finish(plan.target, record, report, provenances)
