"""Plots of a training.

`loss.png` shows the losses and the scores of the samples by step, with the scores of songs for comparison: Fréchet
audio distance (FAD), inner-track rhythmic stability (IRS), cross-track beat synchronization (CBS) and cross-track beat
dispersion (CBD). `samples.png` shows log-mels of one sample before and after training, with the beats of each stem.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtbench import beats
from mtbench.audio import read, to_pcm16
from mtbench.errors import MtbenchError, UsageError
from mtbench.files import read_yaml

Array = np.ndarray[Any, np.dtype[Any]]
LogMel = Callable[[Array], Array]  # mono float32 [samples] -> natural-log mel [frames, bands]

SCORES = {
    "fad_mixture": "FAD, mixture (lower is better)",
    "irs": "IRS (s, lower is better)",
    "cbs": "CBS, 0.15 s (higher is better)",
    "cbd_mean": "CBD, mean (lower is better)",
}


def main(description: str | None, log_mel: LogMel) -> None:
    """Run the command that writes both plots."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("training", type=Path, help="folder of the training, <work>/<name>")
    parser.add_argument("--out", type=Path, help="write the plots here (default: the training's folder)")
    options = parser.parse_args()
    out = options.out or options.training
    try:
        out.mkdir(parents=True, exist_ok=True)
        curves(options.training).savefig(out / "loss.png", dpi=110)
        print(out / "loss.png")
        samples = sorted((options.training / "samples").glob("*"))
        if samples:
            columns = {f"step {int(folder.name):,}": folder for folder in (samples[0], samples[-1])}
            mels_with_beats(columns, log_mel).savefig(out / "samples.png", dpi=110)
            print(out / "samples.png")
    except MtbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def curves(training: Path) -> Figure:
    """Plot the losses by step and, if samples were scored, the scores."""
    losses = _table(training / "loss.csv")
    scored = (training / "scores.csv").exists()
    figure, panels = plt.subplots(
        1, 5 if scored else 1, figsize=(15 if scored else 4, 3.2), layout="constrained", squeeze=False
    )
    first, *others = panels[0]
    first.plot(losses["step"], losses["train_loss"], color="C0", alpha=0.5, label="training")
    first.plot(losses["step"], losses["validation_loss"], color="C1", label="validation, averaged weights")
    first.set(yscale="log", title="loss", xlabel="step")
    first.legend(frameon=False, fontsize="small")
    if scored:
        scores = _table(training / "scores.csv")
        songs = read_yaml(training / "songs.yaml")
        for axes, (column, title) in zip(others, SCORES.items()):
            axes.plot(scores["step"], scores[column], "o-", color="C2")
            if column in songs:
                axes.axhline(songs[column], color="0.4", linestyle="--")
                axes.annotate("songs", (0, songs[column]), xytext=(2, 3), textcoords="offset points", color="0.4")
            axes.set(title=title, xlabel="step")
            axes.margins(y=0.12)
            if column == "fad_mixture":
                axes.set_yscale("log")
    for axes in panels[0]:
        axes.grid(alpha=0.3)
    figure.suptitle(f"{training.name}, {losses['seconds'].iloc[-1] / 60:.0f} min")
    return figure


def mels_with_beats(folders: Mapping[str, Path], log_mel: LogMel) -> Figure:
    """Plot one column per folder: the log-mel spectrograms of the first clip with the beats tracked in each stem."""
    stems = sorted({path.name for folder in folders.values() for path in folder.iterdir() if path.is_dir()})
    figure, grid = plt.subplots(
        len(stems),
        len(folders),
        figsize=(6.5 * len(folders), 7),
        layout="constrained",
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for column, (title, folder) in zip(grid.T, folders.items()):
        column[0].set_title(title)
        for axes, stem in zip(column, stems):
            file = min((folder / stem).glob("*.wav"), default=None)
            if file is None:
                raise UsageError(f"{folder / stem}: contains no WAV files")
            draw_stem(axes, *read(file), log_mel)
            axes.set_ylabel(stem)
        column[-1].set_xlabel("s")
    return figure


def draw_stem(axes: Axes, wave: Array, rate: int, log_mel: LogMel) -> None:
    """Plot a log-mel spectrogram, with beats as lines (fps 100, transition lambda 100, in real seconds)."""
    mel = log_mel(wave).T
    seconds = len(wave) / rate
    axes.imshow(
        mel,
        origin="lower",
        aspect="auto",
        extent=(0, seconds, 0, len(mel)),
        cmap="magma",
        vmin=-10,
        vmax=1,
        interpolation="nearest",
    )
    times = beats.track(to_pcm16(wave), sample_rate=rate)
    axes.vlines(times, 0, len(mel), color="cyan", linewidth=0.8, alpha=0.8)


def _table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as a table of a training ({error})") from None
