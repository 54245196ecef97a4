"""What is kept on disk: the run folder, and the cache of what was worked out from a piece of audio.

Every file appears whole or not at all. A run folder holds::

    run.yaml        the resolved config, versions, seeds, weights, git commit
    samples.csv     a row per sample, track, metric and setting
    scores.csv      the same over all samples
    failures.csv    samples that could not be scored, and why
    audio/<task>/<model>/<stem>/<number>.wav
    audio/<task>/<model>/model.yaml, conversions.csv
    beats/<task>/<model>.csv
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import platformdirs
import yaml

from mtbench import audio
from mtbench.errors import MtbenchError, UsageError
from mtbench.generator import StemSet


NUMBERS = ("fps", "transition_lambda", "window", "value", "ci_low", "ci_high", "time")


class RunFolder:
    """The files of one run."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def write_yaml(self, name: str, values: Mapping[str, Any]) -> None:
        with audio.whole_file(self.path / name) as file:
            file.write(yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True).encode())

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        with audio.whole_file(self.path / name) as file:
            table.to_csv(file, index=False, lineterminator="\n")

    def read_yaml(self, name: str) -> dict[str, Any]:
        return read_yaml(self.path / name)

    def read_table(self, name: str) -> pd.DataFrame:
        path = self.path / name
        if not path.is_file():
            raise UsageError(f"{self.path}: no {name} there; is it a run folder, and did its run finish?")
        # An empty cell of a text column is an empty text; of a number, "not defined here".
        texts = {column: str for column in ("task", "given", "model", "suite", "reference", "metric", "version", "track",
                                            "timebase", "embedding", "sample", "reason")}
        # Only an empty cell is empty: a model may be called NA.
        table = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values={column: [""] for column in NUMBERS})
        return table


class ModelFolder:
    """The samples of one model in a run folder."""

    def __init__(self, run: RunFolder, task: str, row: str, stems: tuple[str, ...]):
        self.path, self.stems = run.path / "audio" / task / row, stems

    def claim(self, identity: Mapping[str, Any]) -> None:
        """Note what the samples here come from. Raises UsageError if some are there that came from something else."""
        path, identity = self.path / "model.yaml", yaml.safe_load(yaml.safe_dump(dict(identity)))
        if path.is_file():
            held = read_yaml(path)
            if held != identity:
                differs = sorted(key for key in held.keys() | identity.keys() if held.get(key) != identity.get(key))
                raise UsageError(f"{self.path} holds samples of another run (its {', '.join(differs)} differ"
                                 f"{'s' if len(differs) == 1 else ''}); choose another --out, or delete it")
            return
        with audio.whole_file(path) as file:
            file.write(yaml.safe_dump(identity, sort_keys=False, allow_unicode=True).encode())

    def files(self, number: int) -> dict[str, Path]:
        """{stem: WAV} of a sample, there or not."""
        return {stem: self.path / stem / f"{number:05d}.wav" for stem in self.stems}

    def has(self, number: int) -> bool:
        return all(file.is_file() for file in self.files(number).values())

    def add(self, number: int, sample: StemSet, rate: int, length: int) -> None:
        """Write one sample in canonical form. Raises MtbenchError, naming it, if it is not what was asked for."""
        where = f"{self.path.name}: sample {number}"
        if set(sample.stems) != set(self.stems):
            raise MtbenchError(f"{where} has the stems {', '.join(sample.stems)}, not {', '.join(self.stems)}")
        for stem, wave in sample.stems.items():
            wave = np.asarray(wave)
            if wave.ndim != 1 or not len(wave) or wave.dtype.kind != "f":
                raise MtbenchError(f"{where}: its {stem} is {wave.dtype} {list(wave.shape)}, not float [samples]")
        rows = []
        for stem, file in self.files(number).items():
            wave = np.asarray(sample.stems[stem], dtype=np.float32)
            # NaN becomes 0 in the published protocol; it is counted, since a model that makes it is broken.
            done = audio.canonical(np.nan_to_num(wave, nan=0.0, posinf=1.0, neginf=-1.0), sample.sample_rate, rate, length)
            audio.write_wav(file, done.samples, rate)
            rows.append({"sample": f"{number:05d}", "stem": stem, "rate_in": sample.sample_rate, "samples_in": len(wave),
                         "cut": done.cut, "padded": done.padded, "not_finite": int((~np.isfinite(wave)).sum())})
        table = pd.DataFrame(rows)
        conversions = self.path / "conversions.csv"
        if conversions.is_file():
            held = pd.read_csv(conversions, dtype={"sample": str})
            table = pd.concat([held[held["sample"] != f"{number:05d}"], table])
        with audio.whole_file(conversions) as file:
            table.to_csv(file, index=False, lineterminator="\n")

    def conversions(self) -> pd.DataFrame:
        return pd.read_csv(self.path / "conversions.csv", dtype={"sample": str})


class Cache:
    """Arrays by what they were worked out from: the audio's content, the step, its settings and its version."""

    def __init__(self, path: str | Path | None = None):
        self.path = Path(path or os.environ.get("MTBENCH_CACHE") or platformdirs.user_cache_dir("mtbench"))

    def get(self, *key: object) -> np.ndarray | None:
        """The array under this key, or None. A file that cannot be read counts as absent."""
        try:
            return np.load(self._file(key), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None

    def put(self, array: np.ndarray, *key: object) -> np.ndarray:
        with audio.whole_file(self._file(key)) as file:
            np.save(file, array, allow_pickle=False)
        return array

    def _file(self, key: tuple[object, ...]) -> Path:
        digest = hashlib.sha256("\0".join(map(str, key)).encode()).hexdigest()
        return self.path / str(key[0]) / digest[:2] / f"{digest[2:]}.npy"


def content_hash(samples: np.ndarray, rate: int) -> str:
    """SHA-256 of a waveform: its rate, sample type and bytes."""
    digest = hashlib.sha256(f"{rate} {samples.dtype.str} {len(samples)}".encode())
    digest.update(np.ascontiguousarray(samples).tobytes())
    return digest.hexdigest()


def read_yaml(path: Path) -> dict[str, Any]:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
