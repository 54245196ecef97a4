"""The files of a run: its tables, and the samples of its models.

Each file is written either completely or not at all. A run folder contains::

    run.yaml        resolved config, versions, seeds, weights, git commit; samples_made_by if from other code
    samples.csv     one row per sample, track, metric and setting
    scores.csv      the same over all samples, with standard errors and intervals
    comparisons.csv the difference of each pair of models under each key, with interval and p-value
    failures.csv    samples that could not be generated or scored, and why
    audio/<task>[-<given>]/<model>/<stem>/<number>.wav
    audio/<task>[-<given>]/<model>/model.yaml, conversions.csv, conversions/<number>.json
    audio/songs/<stem>/<number>.wav   in arrangement, the held-out songs whose stems are given
    beats/<task>[-<given>]/<model>.csv

<given> lists the given stems, as in ``drums+guitar``. Their files are hard links to the files of the songs if the file
system supports this, and copies otherwise.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from mtbench import audio
from mtbench.errors import MtbenchError, UsageError, one_line
from mtbench.files import link_or_copy, read_yaml, whole_file, write_yaml
from mtbench.generator import is_rate
from mtbench.results.keys import COUNTS, NUMBERS, TEXTS
from mtbench.settings import canonical_timebase
from mtbench.stems import StemSet


class RunFolder:
    """The files of one run."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def write_yaml(self, name: str, values: Mapping[str, Any]) -> None:
        write_yaml(self.path / name, values)

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        with whole_file(self.path / name) as file:  # cells may contain file names that are not valid UTF-8
            table.to_csv(file, index=False, lineterminator="\n", errors="backslashreplace")

    def read_record(self) -> dict[str, Any]:
        """Read run.yaml. Raises UsageError, naming the file, unless it is the record of a finished run."""
        path = self.path / "run.yaml"
        if not path.is_file():
            raise UsageError(
                f"{path}: no such file, so {self.path} is not a finished run: run its command again, or leave it out"
            )
        record = read_yaml(path)
        mappings = [record.get(name) for name in ("config", "versions", "models")]
        mappings += mappings[-1].values() if isinstance(mappings[-1], dict) else ()
        if not all(isinstance(mapping, dict) for mapping in mappings) or "git_commit" not in record:
            raise UsageError(f"{path}: not the record of a run (needs config, models, versions and git_commit)")
        return record

    def read_table(self, name: str, columns: Iterable[str] = ()) -> pd.DataFrame:
        """Read a table. Raises UsageError, naming the file, if it is missing, invalid, or has not all of `columns`."""
        path = self.path / name
        if not path.is_file():
            raise UsageError(f"{self.path}: no {name} found; is this a run folder, and did the run finish?")
        texts = dict.fromkeys(TEXTS, str)
        # Only empty cells count as missing, since a model may be named NA.
        empty = {column: [""] for column in NUMBERS}
        try:
            table = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=empty)
        except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
            raise UsageError(f"{path}: cannot be read as a table ({one_line(error)})") from None
        if lacking := [column for column in columns if column not in table]:
            raise UsageError(f"{path}: not a valid {name}: it has no column {', '.join(lacking)}")
        for column in table.columns.intersection([*NUMBERS, *COUNTS]):
            if len(table) and not pd.api.types.is_numeric_dtype(table[column]):
                raise UsageError(f"{path}: damaged: column {column} contains a non-numeric value")
        if "timebase" in table:
            table["timebase"] = table["timebase"].map(canonical_timebase)
        return table


@dataclass(frozen=True)
class ModelFolder:
    """The samples of one model in a run folder: WAV files of `length` samples at `rate` Hz.

    given: the given stems, which are stored together with the stems that the model generates. songs: the folder that
    has the given stems under the same sample numbers. made_by: the version of the code that generates samples, recorded
    with each added sample.
    """

    path: Path
    stems: tuple[str, ...]
    rate: int
    length: int
    songs: "ModelFolder | None" = None
    given: tuple[str, ...] = ()
    made_by: str = ""

    @property
    def made(self) -> tuple[str, ...]:
        """The stems that the model generates."""
        return tuple(stem for stem in self.stems if stem not in self.given)

    def claim(self, identity: Mapping[str, Any]) -> None:
        """Record the origin of the samples. Raises UsageError if the folder has samples of another origin."""
        path, identity = self.path / "model.yaml", yaml.safe_load(yaml.safe_dump(dict(identity)))
        if path.is_file() and any(self.path.glob("*/*.wav")):
            known = read_yaml(path)
            if known != identity:
                differs = sorted(key for key in known.keys() | identity.keys() if known.get(key) != identity.get(key))
                raise UsageError(
                    f"{self.path} contains samples of another run (different {', '.join(differs)}); "
                    "choose another --out, or delete it"
                )
            return
        write_yaml(path, identity)

    def files(self, number: int) -> dict[str, Path]:
        """Return {stem: WAV} for all stems of a sample, including given ones, whether or not the files exist."""
        return {stem: self.path / stem / f"{number:05d}.wav" for stem in self.stems}

    def has(self, number: int) -> bool:
        """Return whether the sample exists and is complete. (A truncated WAV has too few frames or no header.)"""
        try:
            headers = [audio.info(file) for file in self.files(number).values()]
        except audio.AudioError:
            return False
        return set(headers) == {(self.length, self.rate)} and self._conversion(number) is not None

    def add(self, number: int, sample: StemSet) -> None:
        """Write the generated stems of one sample in canonical form, together with the given stems.

        Raises MtbenchError, with the reason, if the sample is not valid.
        """
        if not isinstance(sample, StemSet):
            raise MtbenchError(f"the sample must be a StemSet (got {type(sample).__name__})")
        if not isinstance(sample.stems, Mapping):
            raise MtbenchError("the stems of the StemSet must be a mapping of names to audio")
        if set(sample.stems) != set(self.made):
            raise MtbenchError(f"the stems must be {', '.join(self.made)} (got {', '.join(map(str, sample.stems))})")
        if not is_rate(sample.sample_rate):
            raise MtbenchError(f"sample_rate must be a positive whole number of Hz (got {sample.sample_rate!r})")
        rate, rows, files = int(sample.sample_rate), [], self.files(number)
        self._conversion_file(number).unlink(missing_ok=True)  # so that an interrupted sample counts as incomplete
        for stem in self.given:
            link_or_copy(self._given_files(number)[stem], files[stem])
        for stem in self.made:
            wave = _wave(stem, sample.stems[stem])
            # As in the published protocol, NaN becomes 0. It is counted, since a model that generates NaN is broken.
            finite = np.nan_to_num(wave, nan=0.0, posinf=1.0, neginf=-1.0)
            canonical = audio.canonical(finite, rate, self.rate, self.length)
            rows.append(
                {
                    "sample": f"{number:05d}",
                    "stem": stem,
                    "rate_in": rate,
                    "samples_in": len(wave),
                    "cut": canonical.cut,
                    "padded": canonical.padded,
                    "not_finite": int((~np.isfinite(wave)).sum()),
                    "saturated": canonical.saturated,
                    "cancelled": stem in sample.cancelled,
                    "made_by": self.made_by,
                }
            )
            audio.write_wav(files[stem], canonical.samples, self.rate)
        with whole_file(self._conversion_file(number)) as file:  # written last: a sample without it is incomplete
            file.write(json.dumps(rows).encode())

    def read_given(self, number: int) -> StemSet:
        """Read the given stems of a sample, exactly as in the files of its song. Raises AudioError, naming the file."""
        files = self._given_files(number)
        return StemSet(f"{number:05d}", {stem: audio.read(files[stem])[0] for stem in self.given}, self.rate)

    def conversions(self, n: int) -> pd.DataFrame:
        """Return the conversions of the first `n` samples, which must all exist: one row per generated stem.

        saturated: the share of samples that were beyond full scale; cancelled: whether the channels of a file
        cancelled; made_by: the version of the code that generated it. Folders of older versions do not have these; they
        are then 0, False and empty.
        """
        rows = [row for number in range(n) for row in self._conversion(number) or ()]
        return pd.DataFrame(
            [
                row
                | {
                    "saturated": row.get("saturated", 0.0),
                    "cancelled": row.get("cancelled", False),
                    "made_by": row.get("made_by", ""),
                }
                for row in rows
            ]
        )

    def _given_files(self, number: int) -> dict[str, Path]:
        return self.songs.files(number) if self.songs else {}

    def _conversion(self, number: int) -> list[dict[str, Any]] | None:
        try:
            rows = json.loads(self._conversion_file(number).read_text(encoding="utf-8"))
            return rows if [row["stem"] for row in rows] == list(self.made) else None
        except (OSError, ValueError, KeyError, TypeError):  # missing, or not written by mtbench
            return None

    def _conversion_file(self, number: int) -> Path:
        return self.path / "conversions" / f"{number:05d}.json"


def _wave(stem: str, wave: Any) -> NDArray[np.float32]:
    """Return a generator's stem as float32 [samples]. Raises MtbenchError, naming the stem, if it is not audio."""
    try:
        wave = np.asarray(wave)
    except Exception as error:  # a tensor on a GPU, or any other object from a generator
        raise MtbenchError(f"the stem {stem} is not an array ({one_line(error)})") from None
    if wave.ndim != 1 or not len(wave) or wave.dtype.kind != "f":
        raise MtbenchError(f"the stem {stem} must be float [samples] (got {wave.dtype} {list(wave.shape)})")
    samples: NDArray[np.float32] = wave.astype(np.float32, copy=False)
    return samples
