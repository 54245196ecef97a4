"""Fetch published weights: python -m musicldm.fetch synctrack

The files go to $MTBENCH_WEIGHTS, else to `mtbench/weights` in the user's cache folder, in a folder of their own. A
download that was cut goes on where it stopped (`<file>.part`), if the server still has the same file. Of an archive the
checkpoint is unpacked beside it that its authors' evaluation names.

Nobody has published checksums for them. So the SHA-256 of the first download is shown and kept in `<file>.sha256`;
whenever the file is fetched or loaded again it must be the same. Who knows it from elsewhere pins it with --sha256.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from adapterkit.download import Advance, fetch, unpack
from adapterkit.weights import weights_folder
from mtbench.errors import MtbenchError, UsageError

RECORDS = {  # weights: the record on Zenodo, and its files, the model first
    "synctrack": (18797721, ("synctrack_slakh2100_pretrained.ckpt", "vae-ckpt.ckpt", "hifigan-ckpt.ckpt")),
    "synctrack-training": (18797721, ("musicldm-ckpt.ckpt", "vae-ckpt.ckpt")),  # what the paper's training starts from
    "musicldm": (10643148, ("vae-ckpt.ckpt", "hifigan-ckpt.ckpt")),
    "mt-musicldm": (13947715, ("2024-03-24T19-51-37_3_D_4_stems_slakh_uncond_ch=192_3e-05_.tar.gz",)),
    "mt-musicldm-clap": (13947715, ("2024-03-25T00-55-31_3_D_4_stems_slakh_with_CALP_ch=192_3e-05_.tar.gz",)),
    "clap": (10643148, ("clap-ckpt.pt",)),
}
ARCHIVED = {  # the checkpoint in each archive that the configs of mt-musicldm's evaluation name
    "mt-musicldm": "checkpoint-fad-0.00-global_step=199999.ckpt",
    "mt-musicldm-clap": "last.ckpt",
}


def files_of(weights: str) -> dict[Path, str]:
    """{where it is kept: where it comes from} of the files of `weights`, one of RECORDS."""
    record, names = RECORDS[weights]
    return {
        weights_folder() / weights / name: f"https://zenodo.org/records/{record}/files/{quote(name)}?download=1"
        for name in names
    }


def trained_model(weights: str) -> Path:
    """The file that holds the trained model. Raises UsageError if it is absent: what to fetch, where to put it."""
    (path, _), *_ = files_of(weights).items()
    path = path.with_name(ARCHIVED.get(weights, path.name))
    if not path.exists():
        record, names = RECORDS[weights]
        raise UsageError(
            f"no published weights of '{weights}' here: fetch them with `python -m musicldm.fetch "
            f"{weights}`, or put {', '.join(names)} of https://zenodo.org/records/{record} into "
            f"{path.parent}" + (f" and do the same, which unpacks {path.name}" if weights in ARCHIVED else "")
        )
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        pins = _pins(options.sha256, RECORDS[options.weights][1])
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
            for path, url in files_of(options.weights).items():
                advance = _shown(progress, progress.add_task(path.name, total=None))
                digest = fetch(url, path, pinned=pins.get(path.name), advance=advance)
                progress.console.print(f"{path}\n  SHA-256 {digest}", markup=False)
                if options.weights in ARCHIVED:
                    progress.console.print(f"unpacked: {unpack(path, ARCHIVED[options.weights])}", markup=False)
    except MtbenchError as error:
        console.print(f"error: {error}", markup=False)
        sys.exit(error.exit_code)
    except OSError as error:
        console.print(f"error: {error.filename or weights_folder()}: {error.strerror}", markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on from what has come", markup=False)
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m musicldm.fetch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n  python -m musicldm.fetch synctrack\n"
        "  MTBENCH_WEIGHTS=/data/weights python -m musicldm.fetch musicldm\n"
        "  python -m musicldm.fetch synctrack --sha256 vae-ckpt.ckpt=<64 hexadecimal digits>",
    )
    files = "; ".join(f"{weights}: {', '.join(names)}" for weights, (_, names) in RECORDS.items())
    parser.add_argument("weights", choices=RECORDS, help=files)
    parser.add_argument("--sha256", metavar="NAME=HEX", action="append", default=[], help="what a file must have")
    return parser


def _shown(progress: Progress, task: TaskID) -> Advance:
    return lambda received, total: progress.update(task, completed=received, total=total)


def _pins(texts: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """{name of a file: SHA-256} as --sha256 gives them."""
    pins = {}
    for text in texts:
        name, _, digest = text.rpartition("=")
        if name not in names:
            raise UsageError(f"--sha256 {text}: '{name}' is none of the files, {', '.join(names)}")
        if not re.fullmatch("[0-9a-fA-F]{64}", digest):
            raise UsageError(f"--sha256 {text}: a SHA-256 is 64 hexadecimal digits")
        pins[name] = digest.lower()
    return pins


if __name__ == "__main__":
    main()
