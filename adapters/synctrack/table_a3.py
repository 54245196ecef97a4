"""Compare Table A3 of the SyncTrack paper with this package's network, row by row: python -m synctrack.table_a3

The paper's values are in the constant `PAPER`. Ours are measured: shapes by hooks in a forward pass without arithmetic,
at the paper's input of [1, 4, 8, 64, 64], and parameters by counting those of the modules.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from musicldm.hifigan import HiFiGAN
from musicldm.vae import VAE
from synctrack.network import SyncTrackConfig, SyncTrackUNet

Shape = tuple[int, ...] | None


class Row(NamedTuple):
    layer: str
    index: str  # the paper's depth-idx
    module: str | None  # path of our module in SyncTrackUNet; "": the network, None: the frozen VAE and vocoder
    input: Shape
    output: Shape
    parameters: int | None  # None: counted in the rows below


class Measured(NamedTuple):
    input: Shape
    output: Shape
    parameters: int | None


PAPER = (  # Table A3 as printed, except for the column `module`
    Row("SyncTrack", "-", None, (1, 4, 8, 64, 64), None, 128_122_516),
    Row("DiffusionWrapper", "1-1", "", (1, 4, 8, 64, 64), (1, 4, 8, 64, 64), None),
    Row("UNetModel", "2-1", "", (4, 16, 64, 64), (4, 8, 64, 64), 16),
    Row("Sequential (time_embed)", "3-1", "time_embed", (4, 128), (4, 512), None),
    Row("Linear", "4-1", "time_embed.0", (4, 128), (4, 512), 66_048),
    Row("SiLU", "4-2", "time_embed.1", (4, 512), (4, 512), None),
    Row("Linear", "4-3", "time_embed.2", (4, 512), (4, 512), 262_656),
    Row("Sequential (label_emb)", "3-2", "switcher_transform", (4, 8), (4, 512), None),
    Row("Linear", "4-4", "switcher_transform.0", (4, 8), (4, 128), 1_152),
    Row("SiLU", "4-5", "switcher_transform.1", (4, 128), (4, 128), None),
    Row("Linear", "4-6", "switcher_transform.2", (4, 128), (4, 512), 66_048),
    Row("ModuleList (input_blocks)", "3-3", "input_blocks", None, None, None),
    Row("Track-specific Module", "4-7", "input_blocks.0", (4, 8, 64, 64), (4, 128, 64, 64), 9_344),
    Row("Track-specific Module", "4-8", "input_blocks.1", (4, 128, 64, 64), (4, 128, 64, 64), 426_880),
    Row("Track-specific Module", "4-9", "input_blocks.2", (4, 128, 64, 64), (4, 128, 64, 64), 426_880),
    Row("Track-shared Module", "4-10", "input_blocks.3", (4, 128, 64, 64), (4, 128, 32, 32), 147_584),
    Row("Track-shared Module", "4-11", "input_blocks.4", (4, 128, 32, 32), (4, 256, 32, 32), 3_681_280),
    Row("Track-shared Module", "4-12", "input_blocks.5", (4, 256, 32, 32), (4, 256, 32, 32), 3_943_424),
    Row("Track-shared Module", "4-13", "input_blocks.6", (4, 256, 32, 32), (4, 256, 16, 16), 590_080),
    Row("Track-shared Module", "4-14", "input_blocks.7", (4, 256, 16, 16), (4, 384, 16, 16), 8_323_712),
    Row("Track-shared Module", "4-15", "input_blocks.8", (4, 384, 16, 16), (4, 384, 16, 16), 8_667_648),
    Row("Track-shared Module", "4-16", "input_blocks.9", (4, 384, 16, 16), (4, 384, 8, 8), 1_327_488),
    Row("Track-shared Module", "4-17", "input_blocks.10", (4, 384, 8, 8), (4, 640, 8, 8), 22_392_448),
    Row("Track-shared Module", "4-18", "input_blocks.11", (4, 640, 8, 8), (4, 640, 8, 8), 23_621_120),
    Row("Track-shared Module (middle)", "3-4", "middle_block", (4, 640, 8, 8), (4, 640, 8, 8), None),
    Row("Track-specific Module", "4-19", "middle_block.0", (4, 640, 8, 8), (4, 640, 8, 8), 8_032_640),
    Row("Track-shared Module", "4-20", "middle_block.1", (4, 640, 8, 8), (4, 640, 8, 8), 15_588_480),
    Row("Track-specific Module", "4-21", "middle_block.2", (4, 640, 8, 8), (4, 640, 8, 8), 8_032_640),
    Row("ModuleList (output_blocks)", "3-5", "output_blocks", None, None, None),
    Row("Track-shared Module", "4-22", "output_blocks.0", (4, 1280, 8, 8), (4, 640, 8, 8), 28_128_640),
    Row("Track-shared Module", "4-23", "output_blocks.1", (4, 1280, 8, 8), (4, 640, 8, 8), 28_128_640),
    Row("Track-shared Module", "4-24", "output_blocks.2", (4, 1024, 8, 8), (4, 640, 16, 16), 30_176_768),
    Row("Track-shared Module", "4-25", "output_blocks.3", (4, 1024, 16, 16), (4, 384, 16, 16), 11_274_368),
    Row("Track-shared Module", "4-26", "output_blocks.4", (4, 768, 16, 16), (4, 384, 16, 16), 10_290_816),
    Row("Track-shared Module", "4-27", "output_blocks.5", (4, 640, 16, 16), (4, 384, 32, 32), 11_126_528),
    Row("Track-shared Module", "4-28", "output_blocks.6", (4, 640, 32, 32), (4, 256, 32, 32), 4_993_024),
    Row("Track-shared Module", "4-29", "output_blocks.7", (4, 512, 32, 32), (4, 256, 32, 32), 4_665_088),
    Row("Track-shared Module", "4-30", "output_blocks.8", (4, 384, 32, 32), (4, 256, 64, 64), 4_927_232),
    Row("Track-specific Module", "4-31", "output_blocks.9", (4, 384, 64, 64), (4, 128, 64, 64), 771_584),
    Row("Track-specific Module", "4-32", "output_blocks.10", (4, 256, 64, 64), (4, 128, 64, 64), 607_488),
    Row("Track-specific Module", "4-33", "output_blocks.11", (4, 256, 64, 64), (4, 128, 64, 64), 607_488),
    Row("Sequential (conv_out)", "3-6", "out", (4, 128, 64, 64), (4, 8, 64, 64), None),
    Row("GroupNorm32", "4-34", "out.0", (4, 128, 64, 64), (4, 128, 64, 64), 256),
    Row("SiLU", "4-35", "out.1", (4, 128, 64, 64), (4, 128, 64, 64), None),
    Row("Conv2d", "4-36", "out.2", (4, 128, 64, 64), (4, 8, 64, 64), 9_224),
)
INPUT = (1, 4, 8, 64, 64)

NOTES = (
    "The paper's first row counts all frozen parameters except the 16 of UNetModel: the VAE and the vocoder, which are "
    "also counted here, and the losses the VAE was trained with (perceptual network, discriminator), which sampling "
    "does not use.",
    "The 16 parameters of UNetModel are the frozen `switcher`, which encodes the tracks. Its 16 input channels are the "
    "8 of the latents and 8 of conditioning, which the published code drops; ours has only the 8 of the latents.",
    "Ours embeds the timestep once per sample and repeats the result for the four tracks; the published code repeats "
    "the timestep.",
    "The paper uses latents of 64 x 64; the published code is built for 256 x 16, the latents of a clip of 10.24 s. "
    "The numbers of parameters do not depend on it.",
)
# Explained differences: (depth-idx, column, our value) -> number of the note. Any other difference is an error.
EXPLAINED = {
    ("-", "parameters", 110_641_770): 1,
    ("2-1", "input", (4, 8, 64, 64)): 2,
    ("3-1", "input", (1, 128)): 3,
    ("3-1", "output", (1, 512)): 3,
    ("4-1", "input", (1, 128)): 3,
    ("4-1", "output", (1, 512)): 3,
    ("4-2", "input", (1, 512)): 3,
    ("4-2", "output", (1, 512)): 3,
    ("4-3", "input", (1, 512)): 3,
    ("4-3", "output", (1, 512)): 3,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m synctrack.table_a3",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Print Table A3 of the SyncTrack paper next to the measured values of this network.\n"
        "The exit status is 0 if all rows agree, otherwise 1.",
        epilog="Example: python -m synctrack.table_a3 > table-a3.txt",
    )
    parser.parse_args()
    ours = measure(SyncTrackConfig(), PAPER)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(table(PAPER, ours))
    console.print()
    console.print(closing(PAPER, ours))
    for number, note in enumerate(NOTES, 1):
        console.print(f"{number}. {note}")
    raise SystemExit(1 if any(unexplained(row, mine) for row, mine in zip(PAPER, ours)) else 0)


def measure(config: SyncTrackConfig, rows: Sequence[Row]) -> list[Measured]:
    """Measure shapes and parameters of the modules named in `rows`; a parameter counts only for the innermost one."""
    with FakeTensorMode(), torch.no_grad():  # tensors without storage; autocast does not support the meta device
        network, frozen = SyncTrackUNet(config), (VAE(), HiFiGAN(weight_norm=False))
        shapes = _shapes(network, [row.module for row in rows if row.module is not None])

    # If several rows have the same path, the last one gets the parameters: UNetModel, not the wrapper around it.
    owners = {row.module: i for i, row in enumerate(rows) if row.module is not None}
    counts = [0] * len(rows)
    for name, parameter in network.named_parameters():
        path = name
        while path not in owners:
            path = path.rpartition(".")[0]
        counts[owners[path]] += parameter.numel()

    measured = []
    for row, count in zip(rows, counts):
        first, last = (None, None) if row.module is None else shapes.get(row.module, (None, None))
        if row.module is None:
            first, count = shapes[""][0], sum(p.numel() for module in frozen for p in module.parameters())
        elif row.layer == "UNetModel":  # not a module here: the part between merging and splitting the tracks
            first, last = shapes["input_blocks.0"][0], shapes["out"][1]
        measured.append(Measured(first, last, count or None))
    return measured


def _shapes(network: nn.Module, paths: Sequence[str]) -> dict[str, tuple[Shape, Shape]]:
    """Return the shapes of the first input and the output of all modules called in a forward pass."""
    shapes: dict[str, tuple[Shape, Shape]] = {}

    def hook(path: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda module, inputs, output: shapes.update({path: (tuple(inputs[0].shape), tuple(output.shape))})

    for path in set(paths):
        network.get_submodule(path).register_forward_hook(hook(path))
    network(torch.zeros(INPUT), torch.zeros(INPUT[0]))
    return shapes


def differences(row: Row, ours: Measured) -> dict[str, int | None]:
    """Return the columns that differ, with the number of the note that explains it, or None for an error."""
    return {
        column: EXPLAINED.get((row.index, column, getattr(ours, column)))
        for column in Measured._fields
        if getattr(row, column) != getattr(ours, column)
    }


def unexplained(row: Row, ours: Measured) -> list[str]:
    return [column for column, note in differences(row, ours).items() if note is None]


def table(rows: Sequence[Row], ours: Sequence[Measured]) -> Table:
    """Create a table with the paper's and our values; if a shape differs, ours is shown below the paper's."""
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in ("Layer in the paper", "depth\n-idx", "Input shape", "Output shape"):
        drawn.add_column(heading)
    for heading in ("Parameters\n(paper)", "Parameters\n(ours)"):
        drawn.add_column(heading, justify="right")
    drawn.add_column("")
    for row, mine in zip(rows, ours):
        reasons = differences(row, mine)
        shapes = [
            _shape(getattr(row, side)) + (f"\nours {_shape(getattr(mine, side))}" if side in reasons else "")
            for side in ("input", "output")
        ]
        faults = [column for column, note in reasons.items() if note is None]
        notes = sorted({note for note in reasons.values() if note})
        mark = "[red]≠ " + ", ".join(faults) + "[/red]" if faults else ", ".join(f"note {n}" for n in notes) or "="
        depth = row.index.partition("-")[0]
        drawn.add_row(
            " " * int(depth or 0) + row.layer,
            row.index,
            *(escape(shape) for shape in shapes),
            *("-" if n is None else f"{n:,}" for n in (row.parameters, mine.parameters)),
            mark,
        )
    return drawn


def closing(rows: Sequence[Row], ours: Sequence[Measured]) -> str:
    """Return a sentence with the number of rows with parameters that agree, and both totals."""
    pairs = [(row, mine) for row, mine in zip(rows, ours) if row.module is not None and row.parameters]
    agree = sum(not unexplained(row, mine) for row, mine in pairs)
    total = sum(mine.parameters or 0 for row, mine in zip(rows, ours) if row.module is not None)
    return (
        f"{agree} of {len(pairs)} rows with parameters agree; without the first row, "
        f"{sum(row.parameters or 0 for row, _ in pairs):,} parameters in the paper and {total:,} here."
    )


def _shape(shape: Shape) -> str:
    return str(list(shape)) if shape else "-"


if __name__ == "__main__":
    main()
