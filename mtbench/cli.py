"""The commands. Each is thin: it reads options, calls one function, and prints."""

import errno
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column
from rich.table import Table as RichTable

import mtbench
from mtbench.errors import MtbenchError, UsageError

app = typer.Typer(
    name="mtbench",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: [bold]mtbench run --models synctrack,msg-ld[/bold]",
)
# Without a terminal there is no edge at which to wrap a table.
console = Console(highlight=False, emoji=False, width=None if sys.stdout and sys.stdout.isatty() else 10_000)
errors = Console(stderr=True, highlight=False, emoji=False)

# What the system says of a path that cannot be; all else is the machine's fault (a full disk, too many open files).
MISUSE = (
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.EROFS,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.ENOTEMPTY,
    None,
)


def guarded(command: Callable, stopped: str = "stopped") -> Callable:
    """Turn what a user can act on into one line and the right exit code. stopped: what is said at Ctrl-C."""

    @functools.wraps(command)
    def run(*arguments, **options):
        try:
            return command(*arguments, **options)
        except MtbenchError as error:
            _say_error(error)
            raise typer.Exit(error.exit_code) from None
        except BrokenPipeError:  # who read our output has gone
            raise
        except OSError as error:
            name = error.filename2 or error.filename  # where a file could not be renamed to, rather than from
            _say_error(f"{name}: {error.strerror}" if name else error)
            raise typer.Exit(2 if error.errno in MISUSE else 1) from None
        except KeyboardInterrupt:
            errors.print(stopped)
            raise typer.Exit(130) from None

    return run


resumable = functools.partial(
    guarded, stopped="stopped; what was finished is kept, and the same command goes on from there"
)

Fps = Annotated[str | None, typer.Option(help="Frames/s of the beat decoder, e.g. 100,150,200.", metavar="LIST")]
Lambda = Annotated[str | None, typer.Option(help="Transition lambda of the beat decoder, e.g. 50,100.", metavar="LIST")]
Window = Annotated[str | None, typer.Option(help="CBS windows in seconds, e.g. 0.05,0.15.", metavar="LIST")]
Timebase = Annotated[
    str | None,
    typer.Option(help="true (real seconds), published (as the papers' scripts), or true,published.", metavar="LIST"),
]
Embedding = Annotated[
    str | None,
    typer.Option(
        "--embedding",
        help="Embeddings for FAD: log-mel-stats needs no weights; vggish, vggish-audioldm and pann need the extra fad.",
        metavar="LIST",
    ),
]
Out = Annotated[Path | None, typer.Option(help="The run folder. Given again, the run goes on where it stopped.")]


@app.command(epilog="Example: [bold]mtbench run --models synctrack,msg-ld -n 8 --out runs/demo[/bold]")
@resumable
def run(
    models: Annotated[
        str | None,
        typer.Option(
            help="Installed models, as `mtbench models` lists them, or folder:PATH "
            "for a folder of audio; the controls are added.",
            metavar="LIST",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A YAML file that says what to run; options here win over it.")
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            help="The reference set, as `mtbench suites` lists them; band/30s and band/60s "
            "have longer clips.  \\[default: band]"
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="total generates all stems; arrangement some of them beside the "
            "others of held-out songs.  \\[default: total]",
            metavar="total|arrangement",
        ),
    ] = None,
    subsets: Annotated[
        str | None,
        typer.Option(
            help="What arrangement generates: initials of stems, or names joined by +, "
            "e.g. B,BP,BGP,BDGP.  \\[default: every subset]",
            metavar="LIST",
        ),
    ] = None,
    n: Annotated[int | None, typer.Option("-n", help="Samples a model and subset.  \\[default: 32]")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the generators.  \\[default: 0]")] = None,
    fps: Fps = None,
    transition_lambda: Lambda = None,
    window: Window = None,
    timebase: Timebase = None,
    embedding: Embedding = None,
    out: Out = None,
    device: Annotated[str, typer.Option(help="The torch device that generates: cpu, cuda, cuda:1.")] = "cpu",
) -> None:
    """Generate samples with each model, score them, and show the tables."""
    from mtbench import config as configs
    from mtbench import runner
    from mtbench.report import site

    given = _given(
        models=_list(models, "--models"),
        suite=suite,
        task=task,
        subsets=_list(subsets, "--subsets"),
        n=n,
        seed=seed,
        embeddings=_list(embedding, "--embedding"),
    )
    given |= _grid(fps, transition_lambda, window, timebase)
    if config is None and models is None:
        raise UsageError("say what to run: --models synctrack,msg-ld, or --config FILE")
    wanted = configs.load(config, given) if config else configs.validate(given, "options")
    folder = out or runner.default_folder(wanted)
    done = runner.run(wanted, folder, device, _stage)
    _show(done)
    page = site.write([folder], folder / "site")
    console.print(f"run folder [bold]{escape(str(folder))}[/bold], page [bold]{escape(str(page))}[/bold]")
    _fail(done.failed)


@app.command(name="eval", epilog="Example: [bold]mtbench eval runs/demo/audio/total/synctrack --reference band[/bold]")
@resumable
def evaluate(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Holds bass/, drums/, guitar/ and piano/ (or stem_0/ to stem_3/), with the same file names in each.",
            metavar="DIR",
        ),
    ],
    reference: Annotated[str | None, typer.Option(help="A suite; adds FAD, and takes its clip length.")] = None,
    fps: Fps = None,
    transition_lambda: Lambda = None,
    window: Window = None,
    timebase: Timebase = None,
    embedding: Embedding = None,
    out: Out = None,
) -> None:
    """Score a folder of stems: WAV, FLAC, OGG or MP3, any sample rate, mono or stereo."""
    from mtbench import config as configs
    from mtbench import runner

    grid = configs.validate(_grid(fps, transition_lambda, window, timebase).get("grid", {}), "options", configs.Grid)
    if embedding and not reference:
        raise UsageError("--embedding is for FAD, which needs a --reference")
    embeddings = _list(embedding, "--embedding") or ["log-mel-stats"]
    target = out or runner.default_eval_folder(folder)
    done = runner.evaluate(folder, reference, grid, embeddings, target, _stage)
    _show(done)
    console.print(f"run folder [bold]{escape(str(target))}[/bold]")


@app.command(name="beats", epilog="Example: [bold]mtbench beats drums.wav song.mp3 --format json > beats.json[/bold]")
@guarded
def beats_of_files(
    files: Annotated[
        list[Path],
        typer.Argument(help="WAV, FLAC, OGG or MP3 of any length and sample rate, mono or stereo.", metavar="FILE..."),
    ],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="text: a line a beat, its time in s and its position in the bar (1 is a downbeat); or json.",
            metavar="text|json",
        ),
    ] = "text",
    fps: Annotated[float, typer.Option(help="Frames/s of the beat decoder.")] = 100,
    transition_lambda: Annotated[
        float, typer.Option(help="Of the beat decoder; larger keeps the tempo steadier.")
    ] = 100,
    timebase: Annotated[str, typer.Option(help="true (real seconds) or published (as the papers' scripts).")] = "true",
    jobs: Annotated[int | None, typer.Option(help="Processes.  \\[default: one a core]", min=1)] = None,
) -> None:
    """Print the beats and downbeats of audio files: madmom's, much faster."""
    import json

    from mtbench import beats

    if form not in ("text", "json"):
        raise UsageError(f"--format must be text or json, not '{form}'")
    setting = (fps, transition_lambda, timebase)
    try:
        beats.check_settings(*setting)
    except ValueError as error:
        raise UsageError(str(error)) from None
    found, failed = [], []
    with _stage("beats", len(files)) as advance:
        for file, tracked in zip(files, beats.track_files(files, [setting], jobs)):
            advance(1)
            if isinstance(tracked, MtbenchError):
                failed.append(tracked)
                continue
            times, positions = tracked[setting]
            found.append(
                {
                    "file": str(file),
                    "fps": fps,
                    "transition_lambda": transition_lambda,
                    "timebase": timebase,
                    "beats": times.tolist(),
                    "positions": positions.tolist(),
                    "downbeats": times[positions == 1].tolist(),
                }
            )
            if form == "text":
                if len(files) > 1:
                    typer.echo(f"# {file}")
                for time, position in zip(times, positions):
                    typer.echo(f"{time:.4f}\t{position}")
    if form == "json":
        typer.echo(json.dumps(found, indent=1))
    _fail(failed)


@app.command(epilog="Example: [bold]mtbench check results/baselines/band.json[/bold]")
@guarded
def check(
    baseline: Annotated[Path, typer.Argument(help="A baseline, JSON.")],
    run_folder: Annotated[
        Path | None,
        typer.Argument(
            help="A run folder. Without it the run that the baseline names "
            "is made first, in a new folder below runs/ that is kept "
            "only if the check fails.",
            metavar="RUN",
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="text: what failed; markdown, for a pull request; json: all that is known; or junit.",
            metavar="text|markdown|json|junit",
        ),
    ] = "text",
    update: Annotated[
        bool, typer.Option("--update", help="Write the baseline from the run instead, and show the change.")
    ] = False,
) -> None:
    """Compare a run with a baseline: exit 1 if a score is worse by more than chance and tolerance, or missing."""
    import shutil

    from mtbench import check as gate
    from mtbench import config as configs
    from mtbench import runner
    from mtbench import scores as tables
    from mtbench.cache import Cache
    from mtbench.store import RunFolder
    from mtbench.suites import open_suite

    if form not in gate.FORMATS:
        raise UsageError(f"--format must be {', '.join(gate.FORMATS)}, not '{form}'")
    say = console if form == "text" else errors  # a document has standard output to itself
    held = None if update and not baseline.exists() else gate.read(baseline)
    made, failed = None, []
    if run_folder is None:
        if held is None:
            raise UsageError(f"baseline {baseline} is not there yet: name the RUN to make it from")
        suite_version = open_suite(held.config.suite).version
        if not update and held.suite_version not in ("", suite_version):
            raise UsageError(
                f"the songs of suite '{held.config.suite}' changed since baseline {baseline}: it has version "
                f"{held.suite_version}, here is {suite_version}; put them back, or --update the baseline"
            )
        made = run_folder = runner.check_folder()
        say.print(f"run folder [bold]{escape(str(made))}[/bold], kept only if the check fails", soft_wrap=True)
        try:
            # Its own cache: what a changed beat tracker or metric should find anew must not be found as it was.
            failed = runner.run(held.config, made, "cpu", _stage, Cache(made / "cache")).failed
        except KeyboardInterrupt:
            shutil.rmtree(made, ignore_errors=True)
            errors.print("stopped; nothing of the run is kept")
            raise typer.Exit(130) from None
        finally:
            shutil.rmtree(made / "cache", ignore_errors=True)
    run = RunFolder(run_folder)
    scores, record = tables.read(run), run.read_record()
    samples = run.read_table("samples.csv", tables.SAMPLE_COLUMNS) if (run.path / "samples.csv").is_file() else None
    silent = set(record["models"]) - set(scores["model"]) - set(configs.CONTROLS)
    failed = failed or [f"{name} has no scores in {run_folder}" for name in sorted(silent)]
    outcome = None
    if held is not None:
        seed = record["config"].get("seed")
        notes = gate.changed_models(held, record["models"])
        if seed != held.config.seed:
            notes.append(
                f"the baseline was made with seed {held.config.seed}, this run with "
                + ("none" if seed is None else f"seed {seed}")
            )
        if problem := gate.mismatch(held, scores, str(record.get("suite_version", ""))):
            if not update:
                raise UsageError(f"{run_folder} cannot be held against {baseline}: {problem}")
            _note(f"nothing to compare: {problem}")
        else:
            table = gate.compare(held, scores, samples, same_seed=seed == held.config.seed)
            outcome = gate.Outcome(table, held.error_rate, notes, failed)
    if outcome is not None and form == "text":
        _show_outcome(outcome, every=update)
    elif outcome is not None:
        document = {"markdown": gate.markdown, "json": gate.as_json, "junit": gate.junit}[form]
        typer.echo(document(outcome), nl=False)
    if update:
        _fail(failed)  # a baseline without them would gate nothing of theirs
        if "eval" in record["config"]:
            raise UsageError(
                f"{run_folder} is the folder of an `mtbench eval`; a baseline is made from one of `mtbench run`"
            )
        config = configs.validate(record["config"], str(run_folder))
        new = gate.of_run(config, record["models"], scores, samples, held, str(record.get("suite_version", "")))
        gate.write(baseline, new)
        say.print(f"wrote [bold]{escape(str(baseline))}[/bold]: {len(new.scores)} scores", soft_wrap=True)
    passed = outcome is not None and outcome.passed
    if made and passed:
        shutil.rmtree(made)
    _fail(failed)
    if not (passed or update):
        raise typer.Exit(1)


@app.command(epilog="Example: [bold]mtbench site results runs/demo --out public[/bold]")
@guarded
def site(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders, or folders that hold some, as results/ does with the published numbers.",
            metavar="RUN...",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("site"),
) -> None:
    """Write the leaderboard: static pages that any host serves and that open from disk."""
    from mtbench.report import site as pages

    console.print(f"wrote [bold]{escape(str(pages.write(runs, out)))}[/bold]")


@app.command(epilog="Example: [bold]mtbench models[/bold]")
@guarded
def models() -> None:
    """List the installed models, what they can do, and where their weights are."""
    from mtbench import generator
    from mtbench.suites import open_suite

    table = RichTable("model", "package", "tasks", "weights", box=None, header_style="bold")
    for name, point in generator.installed().items():
        try:
            made = generator.make(name, suite=open_suite("band"))
            tasks, weights = ", ".join(sorted(made.tasks)), _weights(made.provenance)
        except Exception as error:  # one bad package must not hide the others
            tasks, weights = "-", f"not ready: {error}"
        package = point.dist.name if point.dist else point.module
        table.add_row(*(escape(text) for text in (name, package, tasks, weights)))
    console.print(table)


@app.command(epilog="Example: [bold]mtbench suites[/bold]")
@guarded
def suites() -> None:
    """List the reference sets, and where they are."""
    from mtbench.suites import describe

    table = RichTable("suite", "what", "where", box=None, header_style="bold")
    for row in describe():
        table.add_row(*(escape(text) for text in row))
    console.print(table)


@app.command(epilog="Example: [bold]mtbench doctor[/bold]")
@guarded
def doctor() -> None:
    """Say what is installed, which weights and suites are at hand, and what to do about the rest."""
    import platform
    from importlib.metadata import version

    import torch

    from mtbench import beats
    from mtbench.cache import Cache
    from mtbench.metrics import embeddings

    versions = {name: version(name) for name in ("torch", "numpy", "scipy", "madmom", "soundfile")}
    console.print(
        f"mtbench {mtbench.__version__}, Python {platform.python_version()}, "
        + ", ".join(f"{name} {number}" for name, number in versions.items())
    )
    console.print(
        f"devices: cpu ({torch.get_num_threads()} threads)"
        + "".join(f", cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count()))
    )
    console.print(f"beat networks: madmom's, SHA-256 {beats.identity()['weights_sha256'][:12]} (CC BY-NC-SA 4.0)")
    console.print(f"cache: {escape(str(Cache().path))} (MTBENCH_CACHE moves it)")
    console.print("\n[bold]models[/bold]")
    models()
    console.print("\n[bold]suites[/bold]")
    suites()
    console.print("\n[bold]embeddings[/bold]")
    for name in embeddings.EMBEDDING_NAMES:
        console.print(f"{name}: {escape(embeddings.missing(name) or 'ready')}")


@app.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """The benchmark for multi-track music generators."""
    if version:
        console.print(mtbench.__version__)
        raise typer.Exit()


def main() -> None:
    app()


def _list(text: str | None, option: str) -> list[str] | None:
    if text is None:
        return None
    values = [part.strip() for part in text.split(",")]
    if not all(values):
        raise UsageError(f"{option}: '{text}' is not a comma-separated list")
    return values


def _grid(fps: str | None, transition_lambda: str | None, window: str | None, timebase: str | None) -> dict[str, Any]:
    grid = _given(
        fps=_list(fps, "--fps"),
        transition_lambda=_list(transition_lambda, "--transition-lambda"),
        window=_list(window, "--window"),
        timebase=_list(timebase, "--timebase"),
    )
    return {"grid": grid} if grid else {}


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


@contextmanager
def _stage(title: str, total: int) -> Iterator[Callable[..., None]]:
    """A progress bar; where nobody watches a terminal, a line when the stage begins and one when it ends."""
    if not errors.is_terminal:
        errors.print(f"{title}: {total} to do", markup=False)
        yield lambda steps, detail="": None
        errors.print(f"{title}: done", markup=False)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors) as progress:
        task = progress.add_task(escape(title), total=total)
        yield lambda steps, detail="": progress.update(
            task, advance=steps, description=escape(f"{title} {detail}".strip())
        )


def _show(done) -> None:
    from mtbench.report.tables import LEGEND, run_tables

    for table in run_tables(done.scores, done.comparisons, done.provenances):
        console.print(f"[bold]{escape(table.title)}[/bold] [dim]({escape(table.note)})[/dim]", soft_wrap=True)
        shown = RichTable(Column(table.of, overflow="fold"))
        for column in table.rows.columns:
            shown.add_column(escape(column), justify="right")
        for name, row in table.rows.iterrows():
            shown.add_row(escape(name), *row)
        console.print(shown)
    console.print(f"[dim]{escape(LEGEND)}[/dim]")
    for notice in done.notices:
        _note(notice)


def _note(text: str) -> None:
    errors.print(f"[yellow]note:[/yellow] {escape(text)}", soft_wrap=True)


def _say_error(error: object) -> None:
    """One line, even where a stranger's message has many."""
    errors.print(f"[red]error:[/red] {escape(' '.join(str(error).split()))}", soft_wrap=True)


def _fail(failed: Sequence[object]) -> None:
    """Exit with 1 and a line for each thing that failed, if any did."""
    for error in failed:
        _say_error(error)
    if failed:
        raise typer.Exit(1)


def _show_outcome(outcome, every: bool) -> None:
    """What failed, or every score, and a line that counts."""
    from mtbench import check as gate

    table = outcome.table if every else outcome.table[outcome.table["verdict"].isin(gate.FAILING)]
    if len(table):
        styles = dict.fromkeys(gate.FAILING, "red") | {"better": "green", "new": "yellow"}
        texts = gate.cells(table)
        shown = RichTable(*texts.columns)
        for row in texts.itertuples(index=False):
            shown.add_row(*(escape(str(text)) for text in row), style=styles.get(row.verdict))
        console.print(shown)
    console.print(gate.summary(outcome))
    for line in () if every else gate.advice(outcome):
        console.print(escape(line), soft_wrap=True)
    for note in outcome.notes:
        _note(note)


def _weights(provenance) -> str:
    if "weights" in provenance:
        return f"{provenance['weights']} (SHA-256 {str(provenance.get('weights_sha256', '?'))[:12]})"
    return str(provenance.get("what", "none"))


if __name__ == "__main__":
    main()
