"""Numbers, intervals and metrics as texts: every table and page takes them from here."""

from collections.abc import Mapping
from math import floor, isfinite, log10
from typing import Any

from mtbench.metrics import Metric

MISSING = "–"


def number(value: float, digits: int) -> str:
    """A value with `digits` after the point; MISSING where it is not a finite number."""
    return f"{value:.{digits}f}" if isfinite(value) else MISSING


def ends(low: float, high: float, digits: int) -> tuple[str, str] | None:
    """The ends of an interval; None where there is none."""
    return (number(low, digits), number(high, digits)) if isfinite(low) and isfinite(high) else None


def with_interval(value: float, low: float, high: float, digits: int) -> str:
    """``39 [7.6, 173]``: a value and its 95% interval, with at most `digits` after the point.

    The value has the digits that the interval is worth: two significant ones of half its width. An end that would keep
    fewer than two of its own has one more. Without an interval the value stands alone.
    """
    if not (isfinite(value) and isfinite(low) and isfinite(high)):
        return number(value, digits)
    half = (high - low) / 2
    worth = min(digits, _two_significant(half)) if half > 0 else digits
    low_text, high_text = (
        number(end, min(digits, max(worth, min(worth + 1, _two_significant(end))))) for end in (low, high)
    )
    return f"{number(value, worth)} [{low_text}, {high_text}]"


def difference(value: float, low: float, high: float, digits: int) -> str:
    """``+0.021 [-0.010, 0.052]``: a difference with its sign and its 95% interval."""
    shown = with_interval(value, low, high, digits)
    return f"+{shown}" if value > 0 else shown


def p_value(p: float) -> str:
    """``0.032``, ``<0.0001``, or MISSING where there is none."""
    if not isfinite(p):
        return MISSING
    return "<0.0001" if p < 1e-4 else f"{p:.2g}"


def coverage(n_scored: float, n: float) -> str:
    """``3/4``: the clips behind a score, of how many; MISSING where they are not known."""
    return f"{n_scored:.0f}/{n:.0f}" if isfinite(n_scored) and isfinite(n) else MISSING


def title(metric: Metric, track: str) -> str:
    """A metric of a track, as the head of a column: ``IRS drums``; the title alone where it stands for all tracks."""
    alone = track == "all" or metric.scope == "clip"
    return metric.title if alone else f"{metric.title} {track}"


def better(metric: Metric) -> str:
    """Which side is better, as the head of a column says it, with the unit: ``lower better, s``."""
    side = {-1: "lower better", 1: "higher better", 0: "neither better"}[metric.direction]
    return f"{side}, {metric.unit}" if metric.unit else side


def model_names(provenances: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """{model: ``synctrack (synthetic songs)``} of the models whose provenance states their training data."""
    return {
        model: f"{model} ({provenance['trained_on']})"
        for model, provenance in provenances.items()
        if "trained_on" in provenance
    }


def listed(words: list[str]) -> str:
    """``CBD mean, CBD std and CBD median``."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _two_significant(value: float) -> int:
    """How many digits after the point show two significant ones of a value; 0 of zero."""
    return max(0, 1 - floor(log10(abs(value)))) if value else 0
