"""``mtbench beats``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from mtbench.cli.terminal import fail, guarded, note
from mtbench.errors import MtbenchError, UsageError, visible
from mtbench.progress import shown
from mtbench.settings import Decode, canonical_timebase


@guarded
def beats(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Audio files: WAV, FLAC, OGG, Opus, MP3, AIFF, W64, CAF or, with ffmpeg, M4A, of any length and "
            "sample rate, mono or stereo.",
            metavar="FILE",
        ),
    ],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="text: one beat per line, with its time in seconds and its position in the bar (1 is a downbeat). "
            "json: all files as one document.",
            metavar="text|json",
        ),
    ] = "text",
    fps: Annotated[float, typer.Option(help="Frames/s of the beat decoder.", metavar="FPS")] = 100,
    transition_lambda: Annotated[
        float,
        typer.Option(
            help="The decoder's penalty on tempo changes; larger values keep the tempo steadier.", metavar="LAMBDA"
        ),
    ] = 100,
    timebase: Annotated[
        str,
        typer.Option(
            help="real: real seconds. published: real time times 100 / fps, as in the scripts of the SyncTrack paper.",
            metavar="real|published",
        ),
    ] = "real",
    beats_per_bar: Annotated[
        str, typer.Option(help="Possible numbers of beats in a bar, separated by commas.", metavar="N,...")
    ] = "3,4",
    min_bpm: Annotated[float, typer.Option(help="Slowest tempo in beats per minute.", metavar="BPM")] = 30,
    max_bpm: Annotated[float, typer.Option(help="Fastest tempo in beats per minute.", metavar="BPM")] = 300,
    jobs: Annotated[
        int | None, typer.Option(help="Number of processes.  \\[default: one per core]", min=1, metavar="N")
    ] = None,
) -> None:
    """Track the beats and downbeats of audio files, as madmom does, but much faster."""
    from mtbench import beats as engine  # imports Numba

    if form not in ("text", "json"):
        raise UsageError(f"--format must be text or json, not '{form}'")
    decode = Decode(fps, transition_lambda, canonical_timebase(timebase))
    try:
        bars = tuple(int(beats) for beats in beats_per_bar.split(","))
    except ValueError:
        raise UsageError(f"--beats-per-bar must be whole numbers separated by commas, not '{beats_per_bar}'") from None
    meter = engine.Meter(bars, min_bpm, max_bpm)
    try:
        engine.check_settings(*decode, meter)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if not engine.is_compiled():
        note(engine.UNCOMPILED)
    documents, failures, notices = [], [], list[str]()
    with shown("beats", len(files)) as advance:
        for file, tracked in zip(files, engine.track_files(files, [decode], jobs, meter)):
            advance(1)
            if isinstance(tracked, MtbenchError):
                failures.append(tracked)
                continue
            notices += tracked.notices
            times, positions = tracked[decode]
            documents.append(
                {
                    "file": str(file),
                    **decode._asdict(),
                    **meter._asdict(),
                    "beats": times.tolist(),
                    "positions": positions.tolist(),
                    "downbeats": times[positions == 1].tolist(),
                }
            )
            if form == "text":
                if len(files) > 1:
                    typer.echo(f"# {visible(str(file))}")
                for time, position in zip(times, positions):
                    typer.echo(f"{time:.4f}\t{position}")
    if form == "json":
        typer.echo(json.dumps(documents, indent=1))
    for notice in notices:
        note(notice)
    fail(failures)
