"""Format numbers, intervals and metric names for all tables and pages."""

from collections.abc import Mapping
from math import floor, isfinite, log10
from typing import Any

from mtbench.metrics import Metric

MISSING = "–"


def number(value: float, digits: int) -> str:
    """Return a value with `digits` decimals, or MISSING if it is not finite."""
    return f"{value:.{digits}f}" if isfinite(value) else MISSING


def ends(low: float, high: float, digits: int) -> tuple[str, str] | None:
    """Return the ends of an interval as texts, or None if there is no interval."""
    return (number(low, digits), number(high, digits)) if isfinite(low) and isfinite(high) else None


def with_interval(value: float, low: float, high: float, digits: int) -> str:
    """Return a value and its 95% interval with at most `digits` decimals: ``39 [7.6, 173]``.

    The precision follows from the interval: two significant digits of half its width. An end of the interval that would
    have fewer than two significant digits gets one more decimal. Without an interval, only the value is returned.
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
    """Return a difference with its sign and its 95% interval: ``+0.021 [-0.010, 0.052]``."""
    shown = with_interval(value, low, high, digits)
    return f"+{shown}" if value > 0 else shown


def p_value(p: float) -> str:
    """Return a p-value as text: ``0.032``, ``<0.0001``, or MISSING if there is none."""
    if not isfinite(p):
        return MISSING
    return "<0.0001" if p < 1e-4 else f"{p:.2g}"


def coverage(n_scored: float, n: float) -> str:
    """Return the number of clips with a score and the number of all clips: ``3/4``; MISSING if either is unknown."""
    return f"{n_scored:.0f}/{n:.0f}" if isfinite(n_scored) and isfinite(n) else MISSING


def title(metric: Metric, track: str) -> str:
    """Return the column head of a metric and track, ``IRS drums``; only the metric's title for all tracks together."""
    alone = track == "all" or metric.scope == "clip"
    return metric.title if alone else f"{metric.title} {track}"


def better(metric: Metric) -> str:
    """Return a metric's unit and direction for the head of a column: ``s, lower is better``."""
    side = {-1: "lower is better", 1: "higher is better", 0: "neither is better"}[metric.direction]
    return f"{metric.unit}, {side}" if metric.unit else side


def model_names(provenances: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return {model: ``synctrack (synthetic songs)``} for the models whose provenance states their training data."""
    return {
        model: f"{model} ({provenance['trained_on']})"
        for model, provenance in provenances.items()
        if "trained_on" in provenance
    }


def listed(words: list[str]) -> str:
    """Join words with commas and "and": ``CBD mean, CBD std and CBD median``."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _two_significant(value: float) -> int:
    """Return the number of decimals that show two significant digits of a value; 0 for zero."""
    return max(0, 1 - floor(log10(abs(value)))) if value else 0
