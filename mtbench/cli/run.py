"""``mtbench run``."""

from rich.markup import escape

from mtbench.cli.options import (
    Config,
    Device,
    Embedding,
    Fps,
    Lambda,
    Models,
    Out,
    Samples,
    Seed,
    Subsets,
    SuiteName,
    Task,
    Timebase,
    Window,
    given,
    grid_of,
    listed,
)
from mtbench.cli.terminal import console, fail, note, resumable, stage
from mtbench.errors import UsageError


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
) -> None:
    """Generate samples with each model, score them, and show the tables."""
    # These import torch, which takes seconds: not for --help.
    from mtbench import config as configs
    from mtbench import runner
    from mtbench.cli.tables import show_tables
    from mtbench.report import site

    options = given(
        models=listed(models, "--models"),
        suite=suite,
        task=task,
        subsets=listed(subsets, "--subsets"),
        n=n,
        seed=seed,
        embeddings=listed(embedding, "--embedding"),
    )
    options |= grid_of(fps, transition_lambda, window, timebase)
    if config is None and models is None:
        raise UsageError("say what to run: --models synctrack,msg-ld, or --config FILE")
    wanted = configs.load(config, options) if config else configs.validate(options, "options")
    folder = out or runner.default_folder(wanted)
    result = runner.run(wanted, folder, device, stage)
    show_tables(result.scores, result.comparisons, result.provenances)
    for notice in result.notices:
        note(notice)
    page = site.write([folder], folder / "site")
    console.print(f"run folder [bold]{escape(str(folder))}[/bold], page [bold]{escape(str(page))}[/bold]")
    fail(result.failed)
