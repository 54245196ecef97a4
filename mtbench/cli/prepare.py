"""``mtbench prepare``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from mtbench.cli.terminal import console, fail, note, resumable
from mtbench.errors import unknown_name
from mtbench.progress import literal, shown

NAMED = 5  # tracks that are not used, each with a note of its own


@resumable
def prepare(
    name: Annotated[
        str, typer.Argument(help="The data set: slakh2100, musdb18, musdb18-hq or moisesdb.", metavar="NAME")
    ],
    raw: Annotated[Path, typer.Argument(help="The folder of the data set as it is distributed.", metavar="FOLDER")],
) -> None:
    """Prepare a data set for use as a suite.

    Reads the data set as it is distributed, and writes mono WAV files of its stems below the folder that `mtbench
    suites` shows (MTBENCH_DATA changes it). The same command resumes after an interruption, and does nothing if all
    tracks are there.
    """
    from mtbench.prepare import RECIPES  # imports pandas
    from mtbench.prepare import prepare as run
    from mtbench.suites.tracks import data_folder

    if name not in RECIPES:
        raise unknown_name("data set", name, RECIPES)
    folder = data_folder() / name
    prepared = run(RECIPES[name], raw, folder, shown)
    table = Table("split", "tracks", "hours", box=None, header_style="bold")
    for split in sorted({track.partition("/")[0] for track in prepared.records}):
        lengths = [
            max(file["frames"] / file["rate"] for file in record["files"].values() if "frames" in file)
            for track, record in prepared.records.items()
            if track.startswith(f"{split}/")
        ]
        table.add_row(literal(split), str(len(lengths)), f"{sum(lengths) / 3600:.2f}")
    console.print(table)
    console.print(
        f"{prepared.made} tracks prepared, {prepared.kept} were there; [bold]{literal(str(folder))}[/bold]",
        soft_wrap=True,
    )
    for reason, tracks in _by_reason(prepared.dropped).items():
        several = f"{len(tracks)} tracks left out, such as {tracks[0]}" if len(tracks) > 1 else f"{tracks[0]} left out"
        note(f"{several}: {reason}")
    if prepared.others:
        note(f"{len(prepared.others)} tracks in {folder} are not in {raw}, such as {prepared.others[0]}; they are kept")
    failures = [f"{track}: {why}" for track, why in prepared.failed.items()]
    fail(failures if len(failures) <= NAMED else [*failures[:NAMED], f"{len(failures) - NAMED} more in manifest.json"])


def _by_reason(dropped: Mapping[str, str]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for track, reason in dropped.items():
        reasons.setdefault(reason, []).append(track)
    return reasons
