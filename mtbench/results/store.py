"""What is kept on disk of a run: its tables and the samples of its models.

Every file appears whole or not at all. A run folder holds::

    run.yaml        the resolved config, versions, seeds, weights, git commit; samples_made_by, where it was other code
    samples.csv     one row per sample, track, metric and setting
    scores.csv      the same over all samples, with standard errors and intervals
    comparisons.csv every two models' difference under every key, with interval and p-value
    failures.csv    samples that could not be made or scored, and why
    audio/<task>[-<given>]/<model>/<stem>/<number>.wav
    audio/<task>[-<given>]/<model>/model.yaml, conversions.csv, conversions/<number>.json
    audio/songs/<stem>/<number>.wav   in arrangement, the held-out songs whose stems are given
    beats/<task>[-<given>]/<model>.csv

<given> names the given stems as in ``drums+guitar``. Their files are those of the songs under a second name, if the
disk can do that.
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
        with whole_file(self.path / name) as file:  # the name of a file need not be UTF-8
            table.to_csv(file, index=False, lineterminator="\n", errors="backslashreplace")

    def read_record(self) -> dict[str, Any]:
        """run.yaml. Raises UsageError, naming it, unless it is what a finished run left there."""
        path = self.path / "run.yaml"
        if not path.is_file():
            raise UsageError(
                f"{path}: not there; {self.path} holds no finished run: give its command again, or leave it out"
            )
        record = read_yaml(path)
        mappings = [record.get(name) for name in ("config", "versions", "models")]
        mappings += mappings[-1].values() if isinstance(mappings[-1], dict) else ()
        if not all(isinstance(mapping, dict) for mapping in mappings) or "git_commit" not in record:
            raise UsageError(f"{path}: not the record of a run (config, models, versions and git_commit)")
        return record

    def read_table(self, name: str, columns: Iterable[str] = ()) -> pd.DataFrame:
        """A table. Raises UsageError, naming it, if it is not there, not a table, or lacks some of `columns`."""
        path = self.path / name
        if not path.is_file():
            raise UsageError(f"{self.path}: no {name} there; is it a run folder, and did its run finish?")
        texts = dict.fromkeys(TEXTS, str)
        # Only an empty cell is empty: a model may be called NA.
        empty = {column: [""] for column in NUMBERS}
        try:
            table = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=empty)
        except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
            raise UsageError(f"{path}: cannot be read as a table ({one_line(error)})") from None
        if lacking := [column for column in columns if column not in table]:
            raise UsageError(f"{path}: not such a table, it has no column {', '.join(lacking)}")
        for column in table.columns.intersection([*NUMBERS, *COUNTS]):
            if len(table) and not pd.api.types.is_numeric_dtype(table[column]):
                raise UsageError(f"{path}: damaged, its column {column} holds what is not a number")
        if "timebase" in table:
            table["timebase"] = table["timebase"].map(canonical_timebase)
        return table


@dataclass(frozen=True)
class ModelFolder:
    """The samples of one model in a run folder: WAVs of `length` samples at `rate` Hz.

    songs: where samples of the same numbers hold the stems `given`, which stand beside those that the model makes.
    made_by: the code that samples are made with, noted beside each that is added.
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
        """The stems that the model makes."""
        return tuple(stem for stem in self.stems if stem not in self.given)

    def claim(self, identity: Mapping[str, Any]) -> None:
        """Note what the samples here come from. Raises UsageError if some are there that came from something else."""
        path, identity = self.path / "model.yaml", yaml.safe_load(yaml.safe_dump(dict(identity)))
        if path.is_file() and any(self.path.glob("*/*.wav")):
            known = read_yaml(path)
            if known != identity:
                differs = sorted(key for key in known.keys() | identity.keys() if known.get(key) != identity.get(key))
                raise UsageError(
                    f"{self.path} holds samples of another run (its {', '.join(differs)} differ"
                    f"{'s' if len(differs) == 1 else ''}); choose another --out, or delete it"
                )
            return
        write_yaml(path, identity)

    def files(self, number: int) -> dict[str, Path]:
        """{stem: WAV} of a sample, there or not, the given stems among them."""
        return {stem: self.path / stem / f"{number:05d}.wav" for stem in self.stems}

    def has(self, number: int) -> bool:
        """Is the sample there, and whole? (A cut WAV has fewer frames than it should, or no header.)"""
        try:
            headers = [audio.info(file) for file in self.files(number).values()]
        except audio.AudioError:
            return False
        return set(headers) == {(self.length, self.rate)} and self._conversion(number) is not None

    def add(self, number: int, sample: StemSet) -> None:
        """Write the stems made of one sample in canonical form, and the given ones beside them.

        Raises MtbenchError, saying why, if it is not what was asked for.
        """
        if not isinstance(sample, StemSet):
            raise MtbenchError(f"it is a {type(sample).__name__}, not a StemSet")
        if not isinstance(sample.stems, Mapping):
            raise MtbenchError("it is a StemSet without named stems")
        if set(sample.stems) != set(self.made):
            raise MtbenchError(f"it has the stems {', '.join(map(str, sample.stems))}, not {', '.join(self.made)}")
        if not is_rate(sample.sample_rate):
            raise MtbenchError(f"its sample rate is {sample.sample_rate!r}, not a positive whole number of Hz")
        rate, rows, files = int(sample.sample_rate), [], self.files(number)
        self._conversion_file(number).unlink(missing_ok=True)  # else one that is stopped here would count as whole
        for stem in self.given:
            link_or_copy(self._given_files(number)[stem], files[stem])
        for stem in self.made:
            wave = _wave(stem, sample.stems[stem])
            # NaN becomes 0 in the published protocol; it is counted, since a model that makes it is broken.
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
                    "made_by": self.made_by,
                }
            )
            audio.write_wav(files[stem], canonical.samples, self.rate)
        with whole_file(self._conversion_file(number)) as file:  # last: a sample that lacks it was not finished
            file.write(json.dumps(rows).encode())

    def read_given(self, number: int) -> StemSet:
        """The given stems of a sample, exactly as its songs' files hold them. Raises AudioError, naming the file."""
        files = self._given_files(number)
        return StemSet(f"{number:05d}", {stem: audio.read(files[stem])[0] for stem in self.given}, self.rate)

    def conversions(self, n: int) -> pd.DataFrame:
        """What was done to the first `n` samples, all there: one row per stem made.

        made_by: the code that made it; empty where that was not noted.
        """
        rows = [row for number in range(n) for row in self._conversion(number) or ()]
        return pd.DataFrame([row | {"made_by": row.get("made_by", "")} for row in rows])

    def _given_files(self, number: int) -> dict[str, Path]:
        return self.songs.files(number) if self.songs else {}

    def _conversion(self, number: int) -> list[dict[str, Any]] | None:
        try:
            rows = json.loads(self._conversion_file(number).read_text(encoding="utf-8"))
            return rows if [row["stem"] for row in rows] == list(self.made) else None
        except (OSError, ValueError, KeyError, TypeError):  # not there, or not ours
            return None

    def _conversion_file(self, number: int) -> Path:
        return self.path / "conversions" / f"{number:05d}.json"


def _wave(stem: str, wave: Any) -> NDArray[np.float32]:
    """A stem as a generator gave it, as float32 [samples]. Raises MtbenchError, naming it, if it is not audio."""
    try:
        wave = np.asarray(wave)
    except Exception as error:  # a tensor on a GPU, or anything else of a stranger's
        raise MtbenchError(f"its {stem} is not an array ({one_line(error)})") from None
    if wave.ndim != 1 or not len(wave) or wave.dtype.kind != "f":
        raise MtbenchError(f"its {stem} is {wave.dtype} {list(wave.shape)}, not float [samples]")
    samples: NDArray[np.float32] = wave.astype(np.float32, copy=False)
    return samples
