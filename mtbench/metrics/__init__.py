"""Metrics as pure functions on arrays: rhythm from beat times (s), tuning from audio, Fréchet distance from embeddings.

Each metric has its own file with its definition and its record, see `record.Metric`.
"""

from mtbench.metrics.clipping import clipped
from mtbench.metrics.dispersion import Dispersion, cbd, cbd_per_reference
from mtbench.metrics.frechet import fad, frames_needed
from mtbench.metrics.intonation import tuning
from mtbench.metrics.liveness import live
from mtbench.metrics.record import Metric, Tolerance, values_of
from mtbench.metrics.stability import folder_irs, irs, mean_of_defined
from mtbench.metrics.synchronization import cbs

__all__ = [
    "Dispersion",
    "Metric",
    "Tolerance",
    "cbd",
    "cbd_per_reference",
    "cbs",
    "clipped",
    "fad",
    "folder_irs",
    "frames_needed",
    "irs",
    "live",
    "mean_of_defined",
    "tuning",
    "values_of",
]
