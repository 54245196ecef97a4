"""Metrics as pure functions on arrays: rhythm from beat times (s), Fréchet distance from embeddings."""

from mtbench.metrics.dispersion import Dispersion, cbd, cbd_per_reference
from mtbench.metrics.frechet import fad, frames_needed
from mtbench.metrics.stability import folder_irs, irs, mean_of_defined
from mtbench.metrics.synchronization import cbs

__all__ = [
    "Dispersion",
    "cbd",
    "cbd_per_reference",
    "cbs",
    "fad",
    "folder_irs",
    "frames_needed",
    "irs",
    "mean_of_defined",
]
