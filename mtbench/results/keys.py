"""The columns of a run's tables, and the one place where an empty cell is made and read.

Two scores may be compared where all of `KEY` is equal but the model. NaN means "not defined here".
"""

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

NAN = math.nan

KEY = [
    "task",
    "given",
    "model",
    "suite",
    "reference",
    "metric",
    "version",
    "track",
    "fps",
    "transition_lambda",
    "window",
    "timebase",
    "embedding",
]
COLUMN = [column for column in KEY if column != "model"]  # what the scores of one column of a table share
SCORE_COLUMNS = [*KEY, "value", "se", "ci_low", "ci_high", "n", "n_scored"]
SAMPLE_COLUMNS = [*KEY, "sample", "value"]
COMPARISON_COLUMNS = [
    *COLUMN,
    "model_a",
    "model_b",
    "difference",
    "ci_low",
    "ci_high",
    "p",
    "p_adjusted",
    "paired",
]
FAILURE_COLUMNS = ["task", "given", "model", "suite", "sample", "reason"]
BEAT_COLUMNS = ["sample", "track", "fps", "transition_lambda", "timebase", "time", "position"]

SETTING_NUMBERS = ("fps", "transition_lambda", "window")
# Cells that are numbers, or empty where they are not defined.
NUMBERS = (
    *SETTING_NUMBERS,
    "value",
    "se",
    "ci_low",
    "ci_high",
    "difference",
    "p",
    "p_adjusted",
    "time",
)
COUNTS = ("n", "n_scored")
# An empty cell of these is an empty text.
TEXTS = (
    "task",
    "given",
    "model",
    "model_a",
    "model_b",
    "suite",
    "reference",
    "metric",
    "version",
    "track",
    "timebase",
    "embedding",
    "sample",
    "reason",
)


def is_empty(value: Any) -> bool:
    """Is this what an empty cell holds: None, NaN or an empty text?"""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def plain_key(key: Iterable[Any]) -> tuple[Any, ...]:
    """A key whose empty cells equal themselves, as NaN does not."""
    return tuple("" if is_empty(value) else value for value in key)


def with_plain_keys(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose key cells equal themselves: empty ones are '', numbers are floats."""
    table = table.copy()
    for column in KEY:
        cells = [
            "" if is_empty(value) else float(value) if column in SETTING_NUMBERS else value for value in table[column]
        ]
        table[column] = pd.Series(cells, index=table.index, dtype=object)
    return table


def defined(value: float) -> bool:
    """Is there a value here?"""
    return not math.isnan(value)
