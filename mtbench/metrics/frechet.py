"""Fréchet audio distance (FAD) between two sets of embeddings.

Source: Kilgour et al., "Fréchet Audio Distance" (2019). With the means mu and covariances S (ddof 1) of two
sets of frames,

    FAD = |mu1 - mu2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2).

With A = (X - mu) / sqrt(n - 1), so that S = A'A, the last trace is the sum of the singular values of A1 A2'. With
A = QR, these are the singular values of R1 R2', which is at most dimension x dimension. No matrix square root is
needed, so singular covariances (fewer frames than dimensions) lose no accuracy.

The sample estimate is biased upwards by about c/n for n frames, so compare only values with equal n. If n is below the
dimension, the value is mostly bias, see `frames_needed`.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtbench.metrics.record import Metric, Tolerance


def fad(embeddings_a: ArrayLike, embeddings_b: ArrayLike) -> float:
    """Compute the Fréchet distance between the Gaussians fitted to two sets of embeddings; it is at least 0.

    `embeddings_a` and `embeddings_b` are [frames, dimension] with equal dimension, in any float type; the computation
    is in float64. The distance is symmetric, does not depend on the order of the frames or on a rotation or shift
    common to both sets, and grows by c^2 if both are scaled by c. Its unit is the square of the embedding's unit.
    Raises ValueError for sets that are not 2-D, differ in dimension, have fewer than two frames, or contain non-finite
    values.
    """
    a, b = _check_embeddings(embeddings_a, "embeddings_a"), _check_embeddings(embeddings_b, "embeddings_b")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"dimensions differ: embeddings_a has {a.shape[1]}, embeddings_b has {b.shape[1]}")
    mean_a, root_a = _gaussian(a)
    mean_b, root_b = _gaussian(b)
    shared = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()  # tr (S1 S2)^(1/2)
    distance = np.sum((mean_a - mean_b) ** 2) + np.sum(root_a**2) + np.sum(root_b**2) - 2 * shared
    # For exactly equal sets, rounding can give about -1e-16 of the traces.
    return max(float(distance), 0.0)


def frames_needed(dimension: int) -> int:
    """Return the minimum number of frames per side for a covariance of full rank: the dimension plus 1.

    With fewer frames, `fad` still returns the distance of the degenerate Gaussians, but this is mostly small-sample
    bias and should not be ranked.
    """
    return dimension + 1


def _check_embeddings(embeddings: ArrayLike, name: str) -> NDArray[np.float64]:
    embeddings = np.asarray(embeddings, dtype=np.float64)
    if embeddings.ndim != 2 or embeddings.shape[1] < 1:
        raise ValueError(f"{name}: expected shape [frames, dimension], got {embeddings.shape}")
    if len(embeddings) < 2:
        raise ValueError(f"{name}: a covariance needs at least 2 frames, got {len(embeddings)}")
    if not np.isfinite(embeddings).all():
        frame = int(np.flatnonzero(~np.isfinite(embeddings).all(axis=1))[0])
        raise ValueError(f"{name}: frame {frame} contains a value that is not finite")
    return embeddings


def _gaussian(embeddings: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean [d] and R [min(n, d), d], where R'R is the covariance (ddof 1)."""
    mean: NDArray[np.float64] = embeddings.mean(axis=0)
    centred = (embeddings - mean) / np.sqrt(len(embeddings) - 1)
    # NumPy's annotation is (Q, R) for every mode, but this mode returns only R.
    root: NDArray[np.float64] = np.linalg.qr(centred, mode="r")  # type: ignore[assignment]
    return mean, root


METRICS = (
    Metric(
        name="fad",
        title="FAD",
        unit="",
        direction=-1,
        version="1",
        needs="frames",
        scope="set",
        compute=fad,
        digits=3,
        about="Fréchet audio distance to the reference, per track and of the mixture",
        paper="Kilgour et al., 2019",
        tolerance=Tolerance(0.0, 0.05),
        place=10,
        summary=("mixture", "generated"),
    ),
)
