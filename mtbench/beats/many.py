"""Track many files in parallel, in processes of one thread each."""

import os
from collections.abc import Iterator, Sequence

import joblib
import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from mtbench.audio import AudioError
from mtbench.beats.decoding import check_settings, decode
from mtbench.beats.resampling import MADMOM_RATE
from mtbench.beats.tracking import activations, notices, read_44100_measured
from mtbench.beats.viterbi import DEFAULT_METER, Meter
from mtbench.settings import Decode


class Tracked(dict[Decode, tuple[NDArray[np.float64], NDArray[np.int64]]]):
    """{decode: (beat times in s, positions in the bar)} of a file.

    notices: messages for the user about a file that is probably not what was meant.
    """

    notices: Sequence[str] = ()


def track_files(
    paths: Sequence[str | os.PathLike[str]],
    decodes: Sequence[Decode] = (Decode(100, 100, "real"),),
    jobs: int | None = None,
    meter: Meter = DEFAULT_METER,
) -> Iterator[Tracked | AudioError]:
    """Track the beats of many files, yielding results in order as they become ready.

    The networks run once per file. ``jobs`` is the number of processes (default: one per core), each of which has one
    thread and one file in memory, so memory use does not grow with the number of files. ``meter``: as for `decode`.
    Yields for each file {decode: (times float64 [n] in seconds, positions int64 [n])}, or its AudioError if it cannot
    be read. The attribute ``notices`` of a result has messages about a file whose channels cancel, or with samples
    beyond full scale. Raises ValueError for settings that `decode` does not accept.
    """
    for setting in decodes:
        check_settings(*setting, meter)
    jobs = max(min(jobs or joblib.cpu_count(), len(paths)), 1)
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1) if jobs > 1 else joblib.parallel_config():
        workers = Parallel(n_jobs=jobs, return_as="generator", batch_size=1)
        yield from workers(delayed(_track)(path, decodes, meter) for path in paths)


def _track(path: str | os.PathLike[str], decodes: Sequence[Decode], meter: Meter) -> Tracked | AudioError:
    try:
        signal, levels = read_44100_measured(path)
    except AudioError as error:
        return error
    (outputs,) = activations([signal], MADMOM_RATE)
    tracked = Tracked({setting: decode(outputs, *setting, meter) for setting in decodes})
    tracked.notices = notices(path, levels)
    return tracked
