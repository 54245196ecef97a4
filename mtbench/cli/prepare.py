"""``mtbench prepare``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from mtbench.cli.terminal import console, fail, note, resumable
from mtbench.errors import UsageError, unknown_name
from mtbench.progress import literal, shown

MIDI = "midi"
NAMED = 5  # failures that are shown; the manifest has all


@resumable
def prepare(
    data_set: Annotated[
        str, typer.Argument(help="slakh2100, musdb18, musdb18-hq, moisesdb, or midi.", metavar="DATA_SET")
    ],
    raw: Annotated[
        Path,
        typer.Argument(
            help="The folder of the data set as it is distributed; for midi, of MIDI files.", metavar="FOLDER"
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(help="Only for midi: the name of the suite, to keep several apart.", metavar="NAME"),
    ] = None,
    sound_font: Annotated[
        Path | None,
        typer.Option(
            help="Only for midi: a General MIDI sound font (.sf2).  \\[default: the system's]", metavar="FILE"
        ),
    ] = None,
) -> None:
    """Prepare a data set for use as a suite.

    Reads the data set as it is distributed, and writes a mono WAV file of each stem below the folder that `mtbench
    suites` shows (MTBENCH_DATA changes it). MIDI files are rendered by FluidSynth. The same command resumes after an
    interruption, and does nothing if everything is there.
    """
    from mtbench import registry  # imports pandas
    from mtbench.prepare import RECIPES, midi_files
    from mtbench.prepare import prepare as run
    from mtbench.suites import midi
    from mtbench.suites.tracks import data_folder

    if data_set not in (*RECIPES, MIDI):
        raise unknown_name("data set", data_set, [*RECIPES, MIDI])
    if data_set != MIDI and (name is not None or sound_font):
        raise UsageError(f"{'--sound-font' if name is None else '--name'} is only for midi")
    name = data_set if name is None else name
    if data_set == MIDI:
        midi.check_name(name, registry.suite_families())
    recipe = midi_files.recipe(sound_font) if data_set == MIDI else RECIPES[data_set]
    folder = data_folder() / name
    prepared = run(recipe, raw, folder, shown)
    console.print(_table(prepared.records))
    console.print(
        f"{prepared.made} tracks prepared, {prepared.kept} already there; [bold]{literal(str(folder))}[/bold]",
        soft_wrap=True,
    )
    for reason, tracks in _by_reason(prepared.dropped).items():
        several = f"{len(tracks)}, such as " if len(tracks) > 1 else ""
        note(f"left out: {several}{tracks[0]}: {reason}")
    if prepared.others:
        note(f"{len(prepared.others)} tracks in {folder} are not in {raw}, such as {prepared.others[0]}; they are kept")
    failures = [f"{track}: {why}" for track, why in prepared.failed.items()]
    fail(failures if len(failures) <= NAMED else [*failures[:NAMED], f"{len(failures) - NAMED} more in manifest.json"])


def _table(records: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the number and the length of the tracks of each split."""
    table = Table("split", "tracks", "hours", box=None, header_style="bold")
    for split in sorted({track.partition("/")[0] for track in records}):
        lengths = [
            max((file["frames"] / file["rate"] for file in record["files"].values() if "frames" in file), default=0.0)
            for track, record in records.items()
            if track.startswith(f"{split}/")
        ]
        table.add_row(literal(split), str(len(lengths)), f"{sum(lengths) / 3600:.2f}")
    return table


def _by_reason(dropped: Mapping[str, str]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for track, reason in dropped.items():
        reasons.setdefault(reason, []).append(track)
    return reasons
