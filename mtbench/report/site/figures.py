"""Draw figures from arrays as inline SVG, coloured by the page's CSS for its light and dark schemes.

Each figure has a role and a label for screen readers. The page shows the numbers in a table next to it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WIDTH = 340  # of a figure, in its own units; about the width of a phone, so that its text stays readable there
LETTER = 6  # approximate width of a letter of a label
MARKS = ("circle", "square", "diamond", "up", "down", "cross")


@dataclass(frozen=True)
class Violin:
    """One row of a distribution figure. style: its CSS class, which sets the colour; values [n], NaN if undefined."""

    name: str
    style: str
    values: Floats


@dataclass(frozen=True)
class Line:
    """One line of a curve figure. y [x], NaN if undefined; low and high: its interval, NaN if unknown."""

    name: str
    style: str
    y: Floats
    low: Floats
    high: Floats


def distributions(title: str, unit: str, violins: Sequence[Violin]) -> Markup:
    """Draw one row per violin: density, quartiles, median and, for up to 100 samples, the samples. The axis includes 0.

    Returns an empty string if no sample has a value.
    """
    defined = [violin.values[np.isfinite(violin.values)] for violin in violins]
    everything = np.concatenate(defined) if defined else np.empty(0)
    if not len(everything):
        return Markup("")
    low = min(0.0, float(everything.min()))
    # A few outliers must not flatten everything else: values beyond the axis are drawn at its edge.
    high = float(max(np.quantile(everything, 0.98), low + 1e-9))
    ticks = _ticks(low, high)
    high = max(high, ticks[-1])
    left, right, row, top = 8, WIDTH - 14, 50, 26
    height = top + row * len(violins) + 20

    def x(value: float) -> float:
        return left + (min(max(value, low), high) - low) / (high - low) * (right - left)

    shapes = [_axis(ticks, x, top - 2, height - 18, unit)]
    for number, (violin, values) in enumerate(zip(violins, defined)):
        base = top + row * (number + 1) - 10
        count = f"{len(values)} of {len(violin.values)}" if len(values) < len(violin.values) else f"{len(values)}"
        shapes.append(
            f'<text x="{left}" y="{base - 26}" class="name">{escape(violin.name)}'
            f'<tspan class="count" dx="6">{count}</tspan></text>'
        )
        if not len(values):
            continue
        density = _density(values, low, high)
        points = " ".join(
            f"{left + (right - left) * i / (len(density) - 1):.1f},{base - 20 * level:.1f}"
            for i, level in enumerate(density)
        )
        shapes.append(f'<polygon class="violin {violin.style}" points="{left},{base} {points} {right},{base}"/>')
        if len(values) <= 100:
            dots = "".join(f"M{x(value):.1f} {base + 5}h0" for value in np.sort(values))
            shapes.append(f'<path class="dots {violin.style}" d="{dots}"/>')
        first, middle, third = np.quantile(values, [0.25, 0.5, 0.75])
        shapes.append(
            f'<line class="quartiles {violin.style}" x1="{x(first):.1f}" x2="{x(third):.1f}" y1="{base}" y2="{base}"/>'
        )
        shapes.append(f'<circle class="median {violin.style}" cx="{x(middle):.1f}" cy="{base}" r="3.6"/>')
    return _svg(height, title, shapes)


def curves(
    title: str,
    x_title: str,
    labels: Sequence[str],
    lines: Sequence[Line],
    unit: str = "",
    limits: tuple[float, float] | None = None,
) -> Markup:
    """Draw lines with markers over a few settings, intervals as whiskers. limits: of y, if panels share an axis."""
    low, high = limits or y_limits(lines)
    ticks = _ticks(low, high)
    high = max(high, ticks[-1])
    left, right, top, bottom = 44, WIDTH - 12, 12, 172
    step = (right - left) / max(len(labels), 1)
    # Labels that would overlap are slanted.
    slanted = max(map(len, labels), default=0) * LETTER > step

    def x(i: int, shift: float = 0.0) -> float:
        return left + step * (i + 0.5) + shift

    def y(value: float) -> float:
        return bottom - (min(value, high) - low) / (high - low) * (bottom - top)

    shapes = []
    for tick in ticks:
        label = f"{tick:g} {unit}".strip() if tick == ticks[-1] else f"{tick:g}"
        shapes.append(
            f'<line class="grid" x1="{left}" x2="{right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
            f'<text class="tick" x="{left - 6}" y="{y(tick) + 3.5:.1f}" text-anchor="end">{escape(label)}</text>'
        )
    for i, label in enumerate(labels):
        place = f'x="{x(i):.1f}" y="{bottom + 16}" text-anchor="middle"'
        if slanted:
            place = f'transform="translate({x(i) + 4:.1f} {bottom + 12}) rotate(-45)" text-anchor="end"'
        shapes.append(f'<text class="tick" {place}>{escape(label)}</text>')
    end = bottom + (62 if slanted else 33)
    shapes.append(
        f'<text class="axis" x="{(left + right) / 2}" y="{end}" text-anchor="middle">{escape(x_title)}</text>'
    )
    for number, line in enumerate(lines):
        shift = (number - (len(lines) - 1) / 2) * min(5.0, step / (len(lines) + 1))
        shapes.append(_curve(number, line, [x(i, shift) for i in range(len(labels))], y, low))
    return _svg(end + 7, title, shapes)


def _curve(number: int, line: Line, places: Sequence[float], y: Callable[[float], float], low: float) -> str:
    """Draw a line with whiskers and markers. places: x of its points; low: the lower end of the y axis."""
    ends = [(places[i], y(value), i) for i, value in enumerate(line.y) if np.isfinite(value)]
    whiskers = "".join(
        f"M{here:.1f} {y(max(line.low[i], low)):.1f}V{y(line.high[i]):.1f}"
        for here, _, i in ends
        if np.isfinite(line.low[i]) and np.isfinite(line.high[i])
    )
    points = " ".join(f"{here:.1f},{there:.1f}" for here, there, _ in ends)
    marks = "".join(_mark(_shape(number), here, there) for here, there, _ in ends)
    return (
        f'<path class="interval {line.style}" d="{whiskers}"/>'
        f'<polyline class="curve {line.style}" points="{points}"/>'
        f'<path class="mark {line.style}" d="{marks}"/>'
    )


def y_limits(lines: Sequence[Line]) -> tuple[float, float]:
    """Return y limits from 0 to slightly above the highest end of an interval."""
    finite = [numbers[np.isfinite(numbers)] for line in lines for numbers in (line.y, line.high)]
    highest = max((float(numbers.max()) for numbers in finite if len(numbers)), default=0.0)
    return 0.0, highest * 1.02 if highest > 0 else 1.0


def key_mark(number: int, style: str) -> Markup:
    """Draw a line's marker for a legend."""
    return Markup(
        f'<svg class="keymark" viewBox="0 0 26 14" width="26" height="14" aria-hidden="true">'
        f'<line class="curve {style}" x1="1" x2="25" y1="7" y2="7"/>'
        f'<path class="mark {style}" d="{_mark(_shape(number), 13, 7)}"/></svg>'
    )


def timebases(times: Floats, factor: float, seconds: float) -> Markup:
    """Draw beats on two rulers, in real seconds and in the published timebase; `factor` = 100/fps."""
    left, right = 8, WIDTH - 10
    scale = (right - left) / seconds
    shapes = []
    for name, style, y, stretched in (("real", "m0", 34, times), ("published", "m1", 96, times * factor)):
        shapes.append(
            f'<text x="{left}" y="{y - 12}" class="name">{name}</text>'
            f'<line class="grid" x1="{left}" x2="{right}" y1="{y + 14}" y2="{y + 14}"/>'
        )
        ticks = "".join(f"M{left + time * scale:.1f} {y - 4}v18" for time in stretched if time < seconds)
        shapes.append(f'<path class="beats {style}" d="{ticks}"/>')
    joins = "".join(
        f"M{left + time * scale:.1f} 48L{left + time * factor * scale:.1f} 92" for time in times if time < seconds
    )
    shapes.insert(0, f'<path class="joins" d="{joins}"/>')
    for tick in range(int(seconds) + 1):
        shapes.append(f'<text class="tick" x="{left + tick * scale:.1f}" y="126" text-anchor="middle">{tick}</text>')
    shapes.append(f'<text class="axis" x="{(left + right) / 2}" y="142" text-anchor="middle">seconds</text>')
    title = (
        f"Beats of a click track in real seconds and in the published timebase, where times are scaled by {factor:.3f}"
    )
    return _svg(148, title, shapes)


def _svg(height: float, title: str, shapes: Sequence[str]) -> Markup:
    head = f'<svg class="figure" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(title)}">'
    return Markup(head + "".join(shapes) + "</svg>")


def _axis(ticks: Sequence[float], x: Callable[[float], float], top: float, bottom: float, unit: str) -> str:
    lines = "".join(
        f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top}" y2="{bottom}"/>' for tick in ticks
    )
    texts = [
        f'<text class="tick" x="{x(tick):.1f}" y="{bottom + 13}" text-anchor="middle">{tick:g}</text>' for tick in ticks
    ]
    if unit:  # the last tick is at the edge, where there is no room to centre a number with its unit
        label = escape(f"{ticks[-1]:g} {unit}")
        texts[-1] = f'<text class="tick" x="{WIDTH - 1}" y="{bottom + 13}" text-anchor="end">{label}</text>'
    return lines + "".join(texts)


def _ticks(low: float, high: float) -> list[float]:
    """Return three to six round numbers that cover low to high."""
    rough = (high - low) / 4
    power = 10.0 ** np.floor(np.log10(rough)) if rough > 0 else 1.0
    step = next(step for step in (power, 2 * power, 2.5 * power, 5 * power, 10 * power) if step >= rough * 0.999)
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return [float(f"{i * step:.10g}") for i in range(int(first), int(last) + 1)]


def _density(values: Floats, low: float, high: float, points: int = 60) -> Floats:
    """Return a Gaussian kernel density over [low, high], scaled to a maximum of 1; Silverman's width, bounded below."""
    spread = min(values.std(), (np.quantile(values, 0.75) - np.quantile(values, 0.25)) / 1.34) or values.std()
    width = max(0.9 * spread * len(values) ** -0.2, (high - low) / 80)
    grid = np.linspace(low, high, points)
    density: Floats = np.exp(-0.5 * ((grid[:, None] - values[None, :]) / width) ** 2).sum(axis=1)
    return density / max(float(density.max()), np.finfo(float).tiny)


def _shape(number: int) -> str:
    """Return a line's marker; it is shifted when the colours, of which there are as many, repeat."""
    return MARKS[(number + number // len(MARKS)) % len(MARKS)]


def _mark(kind: str, x: float, y: float) -> str:
    """Return the path of a marker about 7 units wide."""
    r = 3.5
    return {
        "circle": f"M{x - r:.1f} {y:.1f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z",
        "square": f"M{x - 3:.1f} {y - 3:.1f}h6v6h-6z",
        "diamond": f"M{x:.1f} {y - 4.4:.1f}l4.4 4.4l-4.4 4.4l-4.4-4.4z",
        "up": f"M{x:.1f} {y - 4:.1f}l4 7h-8z",
        "down": f"M{x:.1f} {y + 4:.1f}l4-7h-8z",
        "cross": f"M{x - 3:.1f} {y - 3:.1f}l6 6m0-6l-6 6",
    }[kind]
