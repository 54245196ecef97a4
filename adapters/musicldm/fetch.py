"""Fetch published weights: python -m musicldm.fetch synctrack

The files are stored in a subfolder of $MTBENCH_WEIGHTS (default: `mtbench/weights` in the user's cache folder).
Interrupted downloads resume from `<file>.part` if the file on the server has not changed. From an archive, the
checkpoint that the authors' evaluation uses is extracted next to it.

No checksums have been published. The SHA-256 of the first download is therefore shown and recorded in `<file>.sha256`,
and checked whenever the file is fetched or loaded again. If you know the SHA-256, pass it with --sha256.
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

RECORDS = {  # name of the weights: (Zenodo record, files, the model first)
    "synctrack": (18797721, ("synctrack_slakh2100_pretrained.ckpt", "vae-ckpt.ckpt", "hifigan-ckpt.ckpt")),
    "synctrack-training": (18797721, ("musicldm-ckpt.ckpt", "vae-ckpt.ckpt")),  # where the paper's training starts
    "musicldm": (10643148, ("vae-ckpt.ckpt", "hifigan-ckpt.ckpt")),
    "mt-musicldm": (13947715, ("2024-03-24T19-51-37_3_D_4_stems_slakh_uncond_ch=192_3e-05_.tar.gz",)),
    "mt-musicldm-clap": (13947715, ("2024-03-25T00-55-31_3_D_4_stems_slakh_with_CALP_ch=192_3e-05_.tar.gz",)),
    "clap": (10643148, ("clap-ckpt.pt",)),
}
ARCHIVED = {  # the checkpoint in each archive that is named by the configs of mt-musicldm's evaluation
    "mt-musicldm": "checkpoint-fad-0.00-global_step=199999.ckpt",
    "mt-musicldm-clap": "last.ckpt",
}


def files_of(weights: str) -> dict[Path, str]:
    """Return {local path: URL} of the files of `weights`, a key of RECORDS."""
    record, names = RECORDS[weights]
    return {
        weights_folder() / weights / name: f"https://zenodo.org/records/{record}/files/{quote(name)}?download=1"
        for name in names
    }


def trained_model(weights: str) -> Path:
    """Return the file of the trained model. If it is missing, raise UsageError with instructions to fetch it."""
    (path, _), *_ = files_of(weights).items()
    path = path.with_name(ARCHIVED.get(weights, path.name))
    if not path.exists():
        record, names = RECORDS[weights]
        raise UsageError(
            f"the published weights of '{weights}' are missing: fetch them with `python -m musicldm.fetch "
            f"{weights}`, or put {', '.join(names)} from https://zenodo.org/records/{record} into "
            f"{path.parent}" + (f" and run that command to extract {path.name}" if weights in ARCHIVED else "")
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
                    progress.console.print(f"extracted {unpack(path, ARCHIVED[options.weights])}", markup=False)
    except MtbenchError as error:
        console.print(f"error: {error}", markup=False)
        sys.exit(error.exit_code)
    except OSError as error:
        console.print(f"error: {error.filename or weights_folder()}: {error.strerror}", markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("stopped; run the same command again to resume the download", markup=False)
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
    parser.add_argument("--sha256", metavar="NAME=HEX", action="append", default=[], help="required SHA-256 of a file")
    return parser


def _shown(progress: Progress, task: TaskID) -> Advance:
    return lambda received, total: progress.update(task, completed=received, total=total)


def _pins(texts: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Parse the values of --sha256 into {file name: SHA-256}."""
    pins = {}
    for text in texts:
        name, _, digest = text.rpartition("=")
        if name not in names:
            raise UsageError(f"--sha256 {text}: '{name}' is not one of the files to fetch: {', '.join(names)}")
        if not re.fullmatch("[0-9a-fA-F]{64}", digest):
            raise UsageError(f"--sha256 {text}: a SHA-256 must have 64 hexadecimal digits")
        pins[name] = digest.lower()
    return pins


if __name__ == "__main__":
    main()
