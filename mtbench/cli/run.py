"""``mtbench run``."""

from mtbench.cli.options import (
    Config,
    Device,
    Embedding,
    Format,
    Fps,
    Full,
    Lambda,
    Models,
    Out,
    Quiet,
    Samples,
    Seed,
    Subsets,
    SuiteName,
    Task,
    Timebase,
    Verbose,
    Window,
    as_option,
    check_format,
    given_only,
    grid_of,
    listed,
)
from mtbench.cli.tables import show_result
from mtbench.cli.terminal import fail, resumable
from mtbench.errors import UsageError
from mtbench.progress import literal


@resumable
def run(
    models: Models = None,
    config: Config = None,
    suite: SuiteName = None,
    task: Task = None,
    subsets: Subsets = None,
    n: Samples = None,
    seed: Seed = None,
    fps: Fps = None,
    transition_lambda: Lambda = None,
    window: Window = None,
    timebase: Timebase = None,
    embedding: Embedding = None,
    out: Out = None,
    device: Device = "cpu",
    form: Format = "text",
    full: Full = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Generate samples with each model, score them, and show a summary.

    To resume an interrupted run, run the same command again.
    """
    # These import torch, which takes seconds: not for --help.
    from mtbench import api, progress

    options = given_only(
        models=listed(models, "--models"),
        suite=suite,
        task=task,
        subsets=listed(subsets, "--subsets"),
        n=n,
        seed=seed,
        embeddings=listed(embedding, "--embedding"),
        grid=grid_of(fps, transition_lambda, window, timebase) or None,
    )
    if config is None and models is None:
        raise UsageError("name what to run: --models synctrack,msg-ld, or --config FILE")
    check_format(form)
    stage = progress.hidden if quiet else progress.shown
    result = api.run_values(options, config, out, device, stage, as_option)
    folder = literal(str(result.folder))
    where = f"run folder [bold]{folder}[/bold], page [bold]{folder}/site/index.html[/bold]"
    show_result(result, form, full, quiet, verbose, where)
    fail(result.failed)
