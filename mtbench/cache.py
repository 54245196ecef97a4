"""An on-disk cache of arrays computed from audio, kept between runs."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from numpy.typing import NDArray

from mtbench.files import whole_file


class Cache:
    """Arrays keyed by how they were computed: the audio's content, the step, its settings and its version."""

    def __init__(self, path: str | Path | None = None):
        self.path = Path(path or os.environ.get("MTBENCH_CACHE") or platformdirs.user_cache_dir("mtbench")).absolute()

    def get(self, *key: object) -> NDArray[Any] | None:
        """Return the array stored under this key, or None. An unreadable file counts as absent."""
        try:
            array: NDArray[Any] = np.load(self._file(key), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return array

    def put(self, array: NDArray[Any], *key: object) -> NDArray[Any]:
        with whole_file(self._file(key)) as file:
            np.save(file, array, allow_pickle=False)
        return array

    def _file(self, key: tuple[object, ...]) -> Path:
        digest = hashlib.sha256("\0".join(map(str, key)).encode()).hexdigest()
        return self.path / str(key[0]) / digest[:2] / f"{digest[2:]}.npy"


def content_hash(samples: NDArray[Any], rate: int) -> str:
    """Return the SHA-256 of a waveform's rate, sample type, length and bytes."""
    digest = hashlib.sha256(f"{rate} {samples.dtype.str} {len(samples)}".encode())
    digest.update(np.ascontiguousarray(samples).tobytes())
    return digest.hexdigest()
