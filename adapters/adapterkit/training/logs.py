"""The logs of a training: `loss.csv` and `scores.csv` in its folder, and lines on the terminal."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapterkit.training.config import TrainConfig
from adapterkit.training.state import Progress
from mtbench.files import whole_file


class Log:
    """The log of a training, with one row per report."""

    def __init__(self, config: TrainConfig):
        self._name, self._steps = config.name, config.steps
        self._losses, self._scores = config.folder / "loss.csv", config.folder / "scores.csv"

    def losses(self, progress: Progress, more: Mapping[str, float]) -> None:
        """Log the losses of a report. more: additional columns, the same in every call."""
        row = {
            "step": progress["step"],
            "seconds": round(progress["seconds"], 1),
            "train_loss": round(progress["train_loss"], 5),
            "validation_loss": round(progress["validation_loss"], 5),
            **{name: round(value, 5) for name, value in more.items()},
        }
        _append(self._losses, row)
        print(
            f"{self._name}: step {progress['step']} of {self._steps}, {progress['seconds'] / 60:.1f} min, "
            f"train {progress['train_loss']:.4f}, validation {progress['validation_loss']:.4f}",
            flush=True,
        )

    def scores(self, progress: Progress, scores: Mapping[str, float]) -> None:
        """Log the scores of the samples at a step."""
        _append(self._scores, {"step": progress["step"], "seconds": round(progress["seconds"], 1), **scores})
        listed = ", ".join(f"{name} {value:.3g}" for name, value in scores.items())
        print(f"{self._name}: step {progress['step']}, {listed}", flush=True)

    def has_scores(self, step: int) -> bool:
        """Return whether the samples at this step have already been scored."""
        return self._scores.exists() and any(_step(line) == step for line in _lines(self._scores)[1:])

    def forget_after(self, step: int) -> None:
        """Drop the rows that an interrupted training logged after saving its last state."""
        for path in (self._losses, self._scores):
            if path.exists():
                header, *rows = _lines(path)
                with whole_file(path) as file:
                    file.write("".join([header, *(row for row in rows if _step(row) <= step)]).encode())


def _append(path: Path, row: Mapping[str, Any]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines(keepends=True)


def _step(line: str) -> int:
    return int(line.split(",")[0])
