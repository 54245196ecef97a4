"""Embeddings for the Fréchet audio distance (FAD): callables from audio to frames.

| name              | frame         | dimension | weights                                                    |
| ----------------- | ------------- | --------- | ---------------------------------------------------------- |
| `log-mel-stats`   | 0.96 s        | 32        | none: the offline default, comparable only with itself     |
| `vggish`          | 0.96 s        | 128       | needed; computed as in the package frechet-audio-distance  |
| `vggish-audioldm` | 0.96 s        | 128       | needed; computed as in audioldm_eval (published FADs)      |
| `pann`            | complete clip | 2048      | needed; Cnn14 at 16 kHz                                    |

Distances with different embeddings are different metrics and are never compared. The last three need the extra `fad`.
Their files are kept in torch.hub's folder and are downloaded to it if missing. `missing` lists the missing files. Set
the environment variable TORCH_HOME to use another folder.

Only the dependencies and the PANN network of frechet-audio-distance are used. The package's own class returns a score
of -1 for any error, joins the PANN embeddings of n clips into one vector, changes torch.hub's folder for the complete
process, prompts on stdin, and fails behind a proxy even if all files are present.
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

SAMPLE_RATE = 16000  # Hz, for all embeddings in this module
WINDOW, HOP, FFT = 400, 160, 512  # samples; the window is 25 ms, the hop 10 ms
COLUMNS = 96  # STFT columns in a frame of 0.96 s; frames do not overlap, and an incomplete last frame is dropped
BANDS, LOWEST, HIGHEST = 64, 125.0, 7500.0  # mel bands and their range in Hz
LOG_OFFSET = 0.01
CEPSTRA = 16


class Embedding(Protocol):
    """A network or formula that turns audio into frames. `name` and `version` are part of cache and score keys."""

    name: str
    version: str  # changes whenever the values change; for a network, the SHA-256 of its weights (16 digits)
    sample_rate: int  # Hz
    dimension: int

    def __call__(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return frames [n, dimension] for a mono waveform [samples] at `sample_rate`; n is 0 if it is too short.

        Raises ValueError unless the waveform is 1-D and finite.
        """
        ...


class EmbeddingUnavailable(MtbenchError):
    """The package or the weights of an embedding are missing or unusable; the message states what to do."""


def embedding(name: str) -> Embedding:
    """Return the embedding of that name, ready to call. Networks are loaded, and downloaded if necessary.

    Raises UsageError for an unknown name, and EmbeddingUnavailable if a package or file is missing or unusable.
    """
    if name not in _FACTORIES:
        raise unknown_name("embedding", name, _FACTORIES)
    return _FACTORIES[name]()


def missing(name: str) -> str | None:
    """Return a message that states what to install or which files would be downloaded; None if nothing is missing."""
    if name not in _FILES:
        return None
    if not _package_installed():
        return (
            f"embedding {name!r} needs the package frechet-audio-distance; in mtbench's checkout run "
            'python -m pip install -c constraints.txt -e ".[fad]"'
        )
    absent = [(path, source) for path, source in _files(name) if not path.exists()]
    if not absent:
        return None
    lines = "".join(f"\n  {path}  from  {source}" for path, source in absent)
    return f"embedding {name!r}: these files are missing (set TORCH_HOME to use another folder):{lines}"


class LogMelStats:
    """Log-mel statistics per 0.96 s frame, in plain NumPy.

    The log-mel front end is that of VGGish (64 bands). Over the 96 columns of a frame, each band has a mean, which
    describes timbre, and a standard deviation, which describes change. Both vary smoothly across bands, so the first 16
    coefficients of an orthonormal DCT-II preserve most of their information. The resulting dimension is 32; with 10
    frames per clip of 10.24 s, four clips already have more frames than dimensions. Keeping all 64 coefficients
    increased both the distances between mixtures of real instruments and the bias of small samples by a few percent. A
    change of gain affects only coefficient 0 of the mean, as long as the sound is well above the offset of the
    logarithm. Polarity has no effect.
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
    """Compute VGGish's log-mel spectrogram, [columns, 64], of a waveform [samples] at 16 kHz, without padding.

    Magnitudes are computed every 10 ms with a 25 ms periodic Hann window, summed in HTK mel bands (triangles on the mel
    axis), and compressed as log(mel + 0.01), which keeps silence finite (Hershey et al., "CNN Architectures for
    Large-Scale Audio Classification", 2017, and its released front end).
    """
    if len(waveform) < WINDOW:
        return np.empty((0, BANDS))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    windows = np.lib.stride_tricks.sliding_window_view(waveform, WINDOW)[::HOP]
    energies: NDArray[np.float64] = np.abs(np.fft.rfft(windows * hann, FFT)) @ _mel_bands()
    return np.log(energies + LOG_OFFSET)


def _mel_bands() -> NDArray[np.float64]:
    """Return the weights of the bands, float64 [FFT bins, bands]: triangles on the HTK mel scale."""

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
    """Return the first vectors of the orthonormal DCT-II over the bands, [bands, CEPSTRA]."""
    vectors: NDArray[np.float64] = np.cos(
        np.pi * np.outer(np.arange(BANDS) + 0.5, np.arange(CEPSTRA)) / BANDS
    ) * np.sqrt(2 / BANDS)
    vectors[:, 0] /= np.sqrt(2)
    return vectors


class VGGish:
    """VGGish (Hershey et al., 2017) without PCA and before the last ReLU, one row per 0.96 s.

    With `audioldm`, the input is prepared as in audioldm_eval 0.0.5: the mean of the complete file is subtracted, and
    files shorter than 2 s are zero-padded to 2 s. audioldm_eval reads the first channel of a file, so pass that
    channel, not the average.
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


# The networks below use torch and code downloaded by torch.hub. Importing torch takes a second, so only the functions
# of network embeddings import it.


def _vggish_network(weights: Path) -> Any:
    import torch

    # With the branch name, torch.hub does not need to query GitHub for it. Whoever selects this embedding trusts its
    # repository, so no prompt is needed. Without `postprocess`, the PCA file is not needed.
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
    """PANN Cnn14 at 16 kHz (Kong et al., 2020): 2048 embedding values, one row per clip of at least 0.31 s."""

    name = "pann"
    sample_rate = SAMPLE_RATE
    dimension = 2048

    def __init__(self) -> None:
        self._network, self.version = _load(self.name, _pann_network)

    def __call__(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        waveform = _check_waveform(waveform)
        if len(waveform) < 31 * HOP:  # five pooling layers with a factor of 2 need 32 columns
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
    # The published file is a complete training checkpoint; its NumPy arrays must be allowed explicitly.
    with torch.serialization.safe_globals(_numpy_globals()):
        checkpoint = torch.load(weights, map_location="cpu", weights_only=True)
    network.load_state_dict(checkpoint["model"])
    return network


def _numpy_globals() -> list[Any]:
    """Return the globals in a pickled numeric array of NumPy 1 or 2; none of them runs code from the file."""
    multiarray = importlib.import_module("numpy._core.multiarray")  # private, so it has no type annotations
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
    ("harritaylor_torchvggish_master", "https://github.com/harritaylor/torchvggish (the complete repository)"),
    ("checkpoints/vggish-10086976.pth", _VGGISH_RELEASE),
)
# (path in torch.hub's folder, which frechet-audio-distance uses, too; source). The weights come last.
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
    """Return the network, ready to use, and its version: a hash of its weights and of the code downloaded with them."""
    lacking = missing(name)
    if lacking and not _package_installed():
        raise EmbeddingUnavailable(lacking)
    import torch

    weights, source = _files(name)[-1]
    try:
        if not weights.exists():
            weights.parent.mkdir(parents=True, exist_ok=True)
            prefix = re.search("-([0-9a-f]{8})[.]", weights.name)  # start of its SHA-256, by torch.hub's convention
            torch.hub.download_url_to_file(source, str(weights), hash_prefix=prefix and prefix[1])
        network = network_from(weights)
    except (OSError, ImportError, RuntimeError, KeyError, EOFError, UnpicklingError, BadZipFile) as error:
        unloaded = f"embedding {name!r} cannot be loaded from {weights}"
        reason = f"{lacking}\nDownload failed" if lacking else unloaded
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
