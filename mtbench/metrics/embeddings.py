"""Embeddings for the Fréchet audio distance: small callables from audio to frames.

| name              | a frame        | dimension | needs weights                                          |
| ----------------- | -------------- | --------- | ------------------------------------------------------ |
| `log-mel-stats`   | 0.96 s         | 32        | no: the offline default, its values are its own        |
| `vggish`          | 0.96 s         | 128       | yes, as the package frechet-audio-distance computes it |
| `vggish-audioldm` | 0.96 s         | 128       | yes, as audioldm_eval computes it (published FADs)     |
| `pann`            | the whole clip | 2048      | yes, Cnn14 at 16 kHz                                   |

Distances under different names are different metrics and are never compared. The last three come from the extra
`fad`. Their files are looked for where torch.hub keeps its own, and are downloaded to that folder if they are not
there. `missing` names them; the environment variable TORCH_HOME moves the folder.

Of frechet-audio-distance only its dependencies and its PANN network are used. Its own class answers any error with a
score of -1, joins the PANN embeddings of n clips into one vector, points torch.hub elsewhere for the whole process,
asks a question on stdin, and fails behind a proxy even with every file in place.
"""

import hashlib
import importlib
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtbench.errors import MtbenchError, unknown_name

SAMPLE_RATE = 16000  # Hz, of every embedding here
WINDOW, HOP, FFT = 400, 160, 512  # samples: 25 ms, 10 ms
COLUMNS = 96  # STFT columns in a frame of 0.96 s; frames do not overlap, and an incomplete last frame is dropped
BANDS, LOWEST, HIGHEST = 64, 125.0, 7500.0  # mel bands and their range in Hz
LOG_OFFSET = 0.01
CEPSTRA = 16


class Embedding(Protocol):
    """A network or a formula that turns audio into frames. `name` and `version` key the cache and the score."""

    name: str
    version: str  # changes whenever the values do: for a network, the SHA-256 of its weights (16 digits)
    sample_rate: int  # Hz
    dimension: int

    def __call__(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Frames [n, dimension] of a mono waveform [samples] at `sample_rate`; n is 0 if it is too short.

        Raises ValueError unless the waveform is 1-D and finite.
        """
        ...


class EmbeddingUnavailable(MtbenchError):
    """The package or the weights of an embedding are missing or unusable; the message says what to do."""


def embedding(name: str) -> Embedding:
    """The embedding of that name, ready to call. Networks are loaded here, and downloaded if necessary.

    Raises UsageError for an unknown name and EmbeddingUnavailable where something is missing.
    """
    if name not in _FACTORIES:
        raise unknown_name("embedding", name, _FACTORIES)
    return _FACTORIES[name]()


def missing(name: str) -> str | None:
    """What to install, or which files `embedding(name)` would have to download; None if all is at hand."""
    if name not in _FILES:
        return None
    if not _package_installed():
        return (
            f'embedding {name!r} needs the package frechet-audio-distance: pip install -e ".[fad]" in mtbench\'s folder'
        )
    absent = [(path, source) for path, source in _files(name) if not path.exists()]
    if not absent:
        return None
    lines = "".join(f"\n  {path}  from  {source}" for path, source in absent)
    return f"embedding {name!r} lacks these files (TORCH_HOME moves their folder):{lines}"


class LogMelStats:
    """Log-mel statistics per 0.96 s frame, in plain NumPy.

    The log-mel front end is VGGish's (64 bands). Over the 96 columns of a frame each band has a mean, the
    colour of the sound, and a standard deviation, its movement. Along the bands both are smooth, so the first
    16 coefficients of an orthonormal DCT-II keep most of either. The dimension is then 32, which the frames (10 in a
    clip of 10.24 s) outnumber from the fourth clip on. With all 64 coefficients, distances between mixtures of real
    instruments grew by a few percent, and so did the bias of a small sample. A change of gain moves only coefficient 0
    of the mean, as long as the sound lies well above the offset of the logarithm. Polarity does not matter.
    """

    name = "log-mel-stats"
    version = "1"
    sample_rate = SAMPLE_RATE
    dimension = 2 * CEPSTRA

    def __call__(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        columns = log_mel(_check_waveform(waveform))
        frames = columns[: len(columns) // COLUMNS * COLUMNS].reshape(-1, COLUMNS, BANDS)
        statistics = np.stack([frames.mean(axis=1), frames.std(axis=1)], axis=1)  # [n, 2, BANDS]
        return (statistics @ _dct()).reshape(-1, self.dimension).astype(np.float32)


def log_mel(waveform: NDArray[np.float32]) -> NDArray[np.float64]:
    """VGGish's log-mel spectrogram, [columns, 64], of a waveform [samples] at 16 kHz; no padding.

    Magnitudes of a 25 ms periodic Hann window every 10 ms, HTK mel bands whose triangles are straight on the
    mel axis, and log(mel + 0.01), so silence is finite (Hershey et al., "CNN Architectures for Large-Scale
    Audio Classification", 2017, and its released front end).
    """
    if len(waveform) < WINDOW:
        return np.empty((0, BANDS))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    windows = np.lib.stride_tricks.sliding_window_view(waveform, WINDOW)[::HOP]
    energies: NDArray[np.float64] = np.abs(np.fft.rfft(windows * hann, FFT)) @ _mel_bands()
    return np.log(energies + LOG_OFFSET)


def _mel_bands() -> NDArray[np.float64]:
    """Weights, float64 [FFT bins, bands]: triangles on the HTK mel scale."""

    def mel(frequency: ArrayLike) -> NDArray[np.float64]:
        mels: NDArray[np.float64] = 1127 * np.log1p(np.asarray(frequency) / 700)
        return mels

    edges = np.linspace(mel(LOWEST), mel(HIGHEST), BANDS + 2)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    bins = mel(np.fft.rfftfreq(FFT, 1 / SAMPLE_RATE))[:, None]
    weights: NDArray[np.float64] = np.maximum(
        0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
    )
    return weights


def _dct() -> NDArray[np.float64]:
    """The first vectors of the orthonormal DCT-II over the bands, [bands, CEPSTRA]."""
    vectors: NDArray[np.float64] = np.cos(
        np.pi * np.outer(np.arange(BANDS) + 0.5, np.arange(CEPSTRA)) / BANDS
    ) * np.sqrt(2 / BANDS)
    vectors[:, 0] /= np.sqrt(2)
    return vectors


class VGGish:
    """VGGish (Hershey et al., 2017) without PCA and before the last ReLU, one row per 0.96 s.

    With `audioldm`, what audioldm_eval 0.0.5 feeds it: the mean of the whole file is removed, and files under
    2 s are zero-padded to 2 s. It reads the first channel of a file: hand over that channel, not the average.
    """

    sample_rate = SAMPLE_RATE
    dimension = 128

    def __init__(self, audioldm: bool = False):
        self.name = "vggish-audioldm" if audioldm else "vggish"
        self._audioldm = audioldm
        self._network, self.version = _load(self.name, _vggish_network)

    def __call__(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        waveform = _check_waveform(waveform)
        if self._audioldm and len(waveform):
            waveform = waveform - waveform.mean()
            waveform = np.pad(waveform, (0, max(0, 2 * SAMPLE_RATE - len(waveform))))
        if len(waveform) < WINDOW + (COLUMNS - 1) * HOP:
            return np.empty((0, self.dimension), np.float32)
        with torch.no_grad():
            frames: NDArray[np.float32] = self._network(waveform, SAMPLE_RATE).cpu().numpy()
        return frames


# Modules and networks below are of torch and of code that torch.hub fetches; only an embedding that is a network
# imports torch, inside its functions, since that takes a second.


def _vggish_network(weights: Path) -> Any:
    import torch

    # Naming the branch keeps torch.hub from asking GitHub for it, and whoever asks for this embedding has
    # answered the question of trust. Without `postprocess` the PCA's file is not needed.
    network = torch.hub.load(  # type: ignore[no-untyped-call]  # torch.hub has no annotations
        "harritaylor/torchvggish:master",
        "vggish",
        trust_repo=True,
        skip_validation=True,
        verbose=False,
        pretrained=False,
        postprocess=False,
    )
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    network.embeddings = network.embeddings[:-1]
    return network


class PANN:
    """PANN Cnn14 at 16 kHz (Kong et al., 2020): its 2048 embedding values, one row per clip of 0.31 s or more."""

    name = "pann"
    sample_rate = SAMPLE_RATE
    dimension = 2048

    def __init__(self) -> None:
        self._network, self.version = _load(self.name, _pann_network)

    def __call__(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        waveform = _check_waveform(waveform)
        if len(waveform) < 31 * HOP:  # five poolings by 2 need 32 columns
            return np.empty((0, self.dimension), np.float32)
        with torch.no_grad():
            clip: NDArray[np.float32] = self._network(torch.tensor(waveform)[None], None)["embedding"].numpy()
        return clip


def _pann_network(weights: Path) -> Any:
    import torch
    from frechet_audio_distance.models.pann import Cnn14_16k

    network = Cnn14_16k(
        sample_rate=SAMPLE_RATE, window_size=512, hop_size=HOP, mel_bins=64, fmin=50, fmax=8000, classes_num=527
    )
    # The published file is a whole training checkpoint, and NumPy arrays in it are refused unless allowed.
    with torch.serialization.safe_globals(_numpy_globals()):
        checkpoint = torch.load(weights, map_location="cpu", weights_only=True)
    network.load_state_dict(checkpoint["model"])
    return network


def _numpy_globals() -> list[Any]:
    """What a pickled numeric array names, under NumPy 1 and 2; none of it runs code from the file."""
    multiarray = importlib.import_module("numpy._core.multiarray")  # private, so without types
    names = [
        (function, f"{package}.multiarray.{function.__name__}")
        for package in ("numpy.core", "numpy._core")
        for function in (multiarray._reconstruct, multiarray.scalar)
    ]
    return [np.ndarray, np.dtype, *(type(np.dtype(code)) for code in "?bBhHiIlLqQefd"), *names]


_FACTORIES: dict[str, Callable[[], Embedding]] = {
    "log-mel-stats": LogMelStats,
    "vggish": VGGish,
    "vggish-audioldm": lambda: VGGish(audioldm=True),
    "pann": PANN,
}
EMBEDDING_NAMES = tuple(_FACTORIES)

_VGGISH_RELEASE = "https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth"
_VGGISH_FILES = (
    ("harritaylor_torchvggish_master", "https://github.com/harritaylor/torchvggish (the whole tree)"),
    ("checkpoints/vggish-10086976.pth", _VGGISH_RELEASE),
)
# Paths in torch.hub's folder, where frechet-audio-distance looks too, and their sources; the weights come last.
_FILES = {
    "vggish": _VGGISH_FILES,
    "vggish-audioldm": _VGGISH_FILES,
    "pann": (("Cnn14_16k_mAP%3D0.438.pth", "https://zenodo.org/record/3987831/files/Cnn14_16k_mAP%3D0.438.pth"),),
}


def _package_installed() -> bool:
    return importlib.util.find_spec("frechet_audio_distance") is not None


def _files(name: str) -> list[tuple[Path, str]]:
    import torch

    return [(Path(torch.hub.get_dir()) / path, source) for path, source in _FILES[name]]


def _load(name: str, network_from: Callable[[Path], Any]) -> tuple[Any, str]:
    """The network, ready to use, and the version that its weights, and code that was fetched with them, give it."""
    lacking = missing(name)
    if lacking and not _package_installed():
        raise EmbeddingUnavailable(lacking)
    import torch

    weights, source = _files(name)[-1]
    try:
        if not weights.exists():
            weights.parent.mkdir(parents=True, exist_ok=True)
            prefix = re.search("-([0-9a-f]{8})[.]", weights.name)  # of its SHA-256, by torch.hub's convention
            torch.hub.download_url_to_file(source, str(weights), hash_prefix=prefix and prefix[1])
        network = network_from(weights)
    except (OSError, ImportError, RuntimeError, KeyError, EOFError, UnpicklingError, BadZipFile) as error:
        unloaded = f"embedding {name!r} does not load from {weights}"
        reason = f"{lacking}\nTheir download failed" if lacking else unloaded
        raise EmbeddingUnavailable(f"{reason}: {error}") from error
    digest = hashlib.sha256()
    for fetched, _ in _files(name):
        for path in sorted(fetched.rglob("*.py")) if fetched.is_dir() else [fetched]:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return network.eval(), digest.hexdigest()[:16]


def _check_waveform(waveform: ArrayLike) -> NDArray[np.float32]:
    waveform = np.asarray(waveform, dtype=np.float32)
    if waveform.ndim != 1:
        raise ValueError(f"waveform: expected mono [samples], got shape {waveform.shape}")
    if not np.isfinite(waveform).all():
        raise ValueError(f"waveform: sample {int(np.flatnonzero(~np.isfinite(waveform))[0])} is not finite")
    return waveform
