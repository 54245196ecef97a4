"""Small runs for the tests of the site, with invented scores and stems of clicks; no model or beat tracker runs."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from conftest import RATE, STEMS, clicks
from mtbench.report.selection import at_setting
from mtbench.results.keys import (
    BEAT_COLUMNS,
    COLUMN,
    COMPARISON_COLUMNS,
    FAILURE_COLUMNS,
    KEY,
    NAN,
    SAMPLE_COLUMNS,
    SCORE_COLUMNS,
)
from mtbench.results.store import RunFolder
from mtbench.settings import STANDARD

SETTINGS = ((100, "real"), (150, "real"), (150, "published"))  # fps and timebase
WINDOWS = (0.05, 0.15)
# {model: its FAD}; the other scores of the runs are derived from it.
MODELS = {"alpha": 2.0, "beta": 4.0, "gamma": 5.0, "heldout": 1.0, "noise": 90.0}
SAMPLES = 4


def make_run(
    folder: Path,
    models: dict[str, float] | None = None,
    audio: bool = True,
    compared: bool = True,
    suite: str = "band",
    task: str = "total",
    given: str = "",
    provenance: dict | None = None,
    seconds: float = 2.0,
) -> Path:
    """Write a run folder in which alpha is significantly better than beta and gamma, which are tied.

    The scores of a model are derived from its Fréchet audio distance (FAD): inner-track rhythmic stability (IRS) is
    FAD / 100 s, or 2/3 of that in the published timebase; cross-track beat synchronization (CBS) is
    1 / (1 + FAD) + window; cross-track beat dispersion (CBD) is FAD / 100. Sample i has the score times (1 + i / 10);
    the last sample has no CBS.
    """
    models, run = models or MODELS, RunFolder(folder)
    shared = {"task": task, "given": given, "suite": suite, "version": "1", "reference": "", "embedding": ""}
    keys = [
        {**shared, "model": model, "timebase": "", "fps": NAN, "transition_lambda": NAN, "window": NAN, **score}
        for model, level in models.items()
        for score in _scores_of(level)
    ]
    scores = [_with_interval(row) for row in keys]
    samples = [
        {**row, "sample": f"{i:05d}", "value": _value_of_sample(row, i)}
        for row in keys
        if row["metric"] != "fad" and not (row["metric"] == "irs" and row["track"] == "all")
        for i in range(SAMPLES)
    ]
    failures = [(task, given, "beta", suite, "00009", "no <b>memory</b>")]
    table = pd.DataFrame(scores)[SCORE_COLUMNS]
    run.write_table("scores.csv", table)
    run.write_table("samples.csv", pd.DataFrame(samples)[SAMPLE_COLUMNS])
    run.write_table("failures.csv", pd.DataFrame(failures, columns=FAILURE_COLUMNS))
    if compared:
        run.write_table("comparisons.csv", _comparisons(table))
    where = f"{task}-{given}" if given else task
    for number, model in enumerate(models):
        run.write_table(f"beats/{where}/{model}.csv", _beats())
        if audio:
            _write_audio(folder / "audio" / where / model, number, seconds)
    grid = {"fps": [100, 150], "transition_lambda": [100.0], "window": list(WINDOWS), "timebase": ["real", "published"]}
    run.write_yaml("run.yaml", _record(models, suite, task, SAMPLES, grid, provenance))
    return folder


def _scores_of(level: float) -> Iterator[dict]:
    """Yield the scores of a model with this FAD: metric, track, value and the other non-empty columns of the key."""
    for track in ("mixture", *STEMS):
        reference = {"reference": "reference:64:abcdef01", "embedding": "log-mel-stats@1"}
        yield {"metric": "fad", "track": track, "value": level, **reference}
    for fps, timebase in SETTINGS:
        setting = {"fps": float(fps), "transition_lambda": 100.0, "timebase": timebase}
        for track in ("all", *STEMS):
            irs = level / 100 * (2 / 3 if timebase == "published" else 1)
            yield {"metric": "irs", "track": track, "value": irs, **setting}
        for window in WINDOWS:
            yield {"metric": "cbs", "track": "all", "value": 1 / (1 + level) + window, "window": window, **setting}
        for metric in ("cbd_mean", "cbd_std", "cbd_median"):
            yield {"metric": metric, "track": "all", "value": level / 100, **setting}
        yield {"metric": "live", "track": "all", "value": 1.0, **setting}


def _with_interval(row: dict) -> dict:
    value, n_scored = row["value"], SAMPLES - (row["metric"] == "cbs")
    return {**row, "se": value / 20, "ci_low": value * 0.9, "ci_high": value * 1.1, "n": SAMPLES, "n_scored": n_scored}


def _value_of_sample(row: dict, i: int) -> float:
    return NAN if row["metric"] == "cbs" and i == SAMPLES - 1 else row["value"] * (1 + i / 10)


def _beats() -> pd.DataFrame:
    """Return beats of every sample and stem: from 0.1 s every 0.5 s, below 2 s; the first one begins a bar."""
    rows = [
        (f"{i:05d}", stem, fps, 100.0, timebase, time * (100 / 150 if timebase == "published" else 1), 1 + beat % 4)
        for i in range(SAMPLES)
        for stem in STEMS
        for fps, timebase in SETTINGS
        for beat, time in enumerate(np.arange(0.1, 2, 0.5))
    ]
    return pd.DataFrame(rows, columns=BEAT_COLUMNS)


def _write_audio(folder: Path, number: int, seconds: float) -> None:
    """Write the stems of a model's samples: clicks with a different pitch for each stem."""
    for i in range(SAMPLES):
        for pitch, stem in enumerate(STEMS):
            file = folder / stem / f"{i:05d}.wav"
            file.parent.mkdir(parents=True, exist_ok=True)
            wave = clicks(120, seconds, offset=0.1 + 0.01 * i, tone=300.0 * (pitch + 1 + number))
            soundfile.write(file, wave, RATE, subtype="PCM_16")


def _record(models, suite: str, task: str, n: int, grid: dict, provenance: dict | None = None) -> dict:
    return {
        "made": "2026-01-01T00:00:00+00:00",
        "config": {
            "models": [{"name": model, "label": None, "weights": None, "options": {}} for model in models],
            "suite": suite,
            "task": task,
            "n": n,
            "seed": 7,
            "grid": grid,
            "embeddings": ["log-mel-stats"],
        },
        "models": {
            model: {
                "weights_sha256": "ab" * 32,
                **({"trained_on": "synthetic songs"} if model == "beta" else {}),
                **(provenance or {}),
            }
            for model in models
        },
        "beats": {"engine": "3"},
        "versions": {"mtbench": "0.1.0"},
        "git_commit": "c0ffee",
    }


def _comparisons(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for key, of_key in table.groupby(COLUMN, dropna=False, sort=False):
        values = dict(zip(of_key["model"], of_key["value"]))
        names = [name for name in values if name not in ("heldout", "noise")]
        for i, a in enumerate(names):
            for b in names[i + 1 :]:
                p = 0.001 if "alpha" in (a, b) else 0.4
                rows.append(
                    {
                        **dict(zip(COLUMN, key)),
                        "model_a": a,
                        "model_b": b,
                        "difference": values[a] - values[b],
                        "ci_low": NAN,
                        "ci_high": NAN,
                        "p": p,
                        "p_adjusted": p,
                        "paired": False,
                    }
                )
    return pd.DataFrame(rows, columns=COMPARISON_COLUMNS)


GRID = {
    "fps": [100, 150, 200],
    "transition_lambda": [10.0, 50.0, 100.0],
    "window": [0.05, 0.07, 0.1, 0.15, 0.2],
    "timebase": ["real", "published"],
}  # the grid of configs/band.yaml


def make_full_run(folder: Path, models: list[str], subsets: list[tuple[str, ...]], n: int) -> Path:
    """Write a run folder of the largest size: every score for GRID, with random values and no comparisons.

    subsets: the sets of generated stems of an arrangement; total generation if empty. The scores of samples are at one
    setting.
    """
    random, run = np.random.default_rng(0), RunFolder(folder)
    task = "arrangement" if subsets else "total"
    keys = []
    for subset in subsets or [STEMS]:
        given = "+".join(stem for stem in STEMS if stem not in subset)
        keys += [
            (given, metric, track, NAN, NAN, NAN, "")
            for metric, track in [
                *(("fad", track) for track in ("mixture", *(["generated"] if subsets else []), *subset)),
                *(("tuning", track) for track in subset if track != "drums"),
                ("clipped", "mixture"),
            ]
        ]
        for fps, tl, base in product(GRID["fps"], GRID["transition_lambda"], GRID["timebase"]):
            keys += [(given, "irs", track, fps, tl, NAN, base) for track in ("all", *subset)]
            keys += [(given, "live", track, fps, tl, NAN, base) for track in ("all", *STEMS)]
            keys += [(given, metric, "all", fps, tl, NAN, base) for metric in ("cbd_mean", "cbd_std", "cbd_median")]
            keys += [(given, "cbs", "all", fps, tl, window, base) for window in GRID["window"]]
    keys = pd.DataFrame(keys, columns=["given", "metric", "track", "fps", "transition_lambda", "window", "timebase"])
    fad = keys["metric"] == "fad"
    keys = keys.assign(
        task=task,
        suite="band",
        version="1",
        reference=np.where(fad, "reference:64:abcdef01", ""),
        embedding=np.where(fad, "log-mel-stats@1", ""),
    )
    table = keys.merge(pd.DataFrame({"model": models}), how="cross")
    value = random.random(len(table))
    table = table.assign(value=value, se=value / 20, ci_low=value * 0.9, ci_high=value * 1.1, n=n, n_scored=n)
    run.write_table("scores.csv", table[SCORE_COLUMNS])
    per_clip = at_setting(table, STANDARD["real"])
    per_clip = per_clip[~((per_clip["track"] == "all") & per_clip["metric"].isin(["irs", "live"]))][KEY]
    per_clip = per_clip.merge(pd.DataFrame({"sample": [f"{i:05d}" for i in range(n)]}), how="cross")
    run.write_table("samples.csv", per_clip.assign(value=random.random(len(per_clip)))[SAMPLE_COLUMNS])
    run.write_yaml("run.yaml", _record(models, "band", task, n, GRID))
    return folder
