"""The columns of a run's tables. Empty cells are written and interpreted only here.

Two scores are comparable only if all of `KEY` except the model is equal. NaN means "undefined".
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
COLUMN = [column for column in KEY if column != "model"]  # common to all scores in one column of a table
SCORE_COLUMNS = [*KEY, "value", "se", "ci_low", "ci_high", "n", "n_scored"]
SAMPLE_COLUMNS = [*KEY, "sample", "value"]
TESTED = ["difference", "ci_low", "ci_high", "p", "p_adjusted", "paired"]  # a difference, and whether it is chance
COMPARISON_COLUMNS = [*COLUMN, "model_a", "model_b", *TESTED]
DIFFERENCE_COLUMNS = [*COLUMN, "model_a", "model_b", "value_a", "value_b", *TESTED, "verdict"]
FAILURE_COLUMNS = ["task", "given", "model", "suite", "sample", "reason"]
BEAT_COLUMNS = ["sample", "track", "fps", "transition_lambda", "timebase", "time", "position"]

SETTING_NUMBERS = ("fps", "transition_lambda", "window")
# Columns of numbers; a cell is empty if its value is undefined.
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
# Columns of strings; an empty cell is an empty string.
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
    """Return whether a value is that of an empty cell: None, NaN or an empty string."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def plain_key(key: Iterable[Any]) -> tuple[Any, ...]:
    """Return a key with "" for empty cells, so that equal keys compare equal (NaN is not equal to itself)."""
    return tuple("" if is_empty(value) else value for value in key)


def with_plain_keys(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose keys can be compared: empty key cells are '', and numbers are floats."""
    table = table.copy()
    for column in KEY:
        cells = [
            "" if is_empty(value) else float(value) if column in SETTING_NUMBERS else value for value in table[column]
        ]
        table[column] = pd.Series(cells, index=table.index, dtype=object)
    return table


def defined(value: float) -> bool:
    """Return whether a value is defined, that is, not NaN."""
    return not math.isnan(value)
