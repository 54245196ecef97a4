"""Many files at once: processes over files, one thread each."""

import os
from collections.abc import Iterator, Sequence

import joblib
import numpy as np
from joblib import Parallel, delayed

from mtbench.audio import AudioError
from mtbench.beats.decoding import check_settings, decode
from mtbench.beats.resampling import SAMPLE_RATE
from mtbench.beats.tracking import activations, read_44100
from mtbench.settings import Decode

Tracked = dict[Decode, tuple[np.ndarray, np.ndarray]]  # beat times and positions in the bar


def track_files(
    paths: Sequence[str | os.PathLike], decodes: Sequence[Decode] = (Decode(100, 100, "real"),), jobs: int | None = None
) -> Iterator[Tracked | AudioError]:
    """Beats of many files, in their order and as they become ready; the networks run once per file.

    ``jobs`` processes (by default one a core, one thread each) hold one file each, so the memory does not grow with
    the number of files. A file that cannot be read gives its AudioError in place of beats.
    Raises ValueError for settings that decode does not take.
    """
    for wanted in decodes:
        check_settings(*wanted)
    jobs = max(min(jobs or joblib.cpu_count(), len(paths)), 1)
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1) if jobs > 1 else joblib.parallel_config():
        workers = Parallel(n_jobs=jobs, return_as="generator", batch_size=1)
        yield from workers(delayed(_track)(path, decodes) for path in paths)


def _track(path, decodes):
    try:
        (outputs,) = activations([read_44100(path)], SAMPLE_RATE)
    except AudioError as error:
        return error
    return {wanted: decode(outputs, *wanted) for wanted in decodes}
