"""Metrics of a fictional third-party package, one of each kind, as if it were installed."""

from importlib.metadata import EntryPoint

import numpy as np

from mtbench import registry
from mtbench.metrics import Metric


def _mean(*_arguments) -> float:
    return 0.5


def _metric(name: str, needs: str, scope: str, **more) -> Metric:
    values = {"unit": "", "direction": 1, "digits": 2, "about": f"What {name} says", "version": "1"} | more
    return Metric(name=name, title=name.capitalize(), needs=needs, scope=scope, compute=_mean, **values)


RECORDS = {
    record.name: record
    for record in (
        _metric("swing", "beats", "clip", paper="A. Stranger, 2030"),
        _metric("groove", "beats", "clip", windowed=True, direction=-1, summary=("all",)),
        _metric("pulse", "beats", "track", unit="1/s <s>", over_stems=True, summary=("all",), down_to_control=True),
        _metric("share", "beats", "track", direction=0, over_stems=True),
        _metric("hiss", "audio", "track", unit="dB", direction=-1),
        _metric("loudness", "audio", "clip", track="mixture", direction=0),
    )
}


def offer(monkeypatch) -> dict[str, Metric]:
    """Install these metrics until `monkeypatch` is undone; returns them by name."""
    points = {name: EntryPoint(name, f"strangers:RECORDS['{name}']", "mtbench.metrics") for name in RECORDS}
    monkeypatch.setattr(registry, "_points", lambda group: points if group == "mtbench.metrics" else {})
    monkeypatch.setattr(registry, "_load", lambda kind, point: RECORDS[point.name])
    registry.metrics.cache_clear()
    return RECORDS


def rows_of(template: dict, stems: tuple[str, ...], settings: list[dict], windows: tuple[float, ...]) -> list[dict]:
    """Return scores of each of these metrics.

    template: the cells common to all. settings: fps, transition_lambda, timebase.
    """
    rows = []
    for metric in RECORDS.values():
        tracks = (metric.track,) if metric.scope == "clip" else (*(("all",) if metric.over_stems else ()), *stems)
        for setting in settings if metric.needs == "beats" else [{}]:
            for window in windows if metric.windowed else (np.nan,):
                rows += [
                    {**template, "metric": metric.name, "track": track, **setting, "window": window} for track in tracks
                ]
    return rows
