"""SyncTrack behind the benchmark's interface."""

from pathlib import Path
from typing import Any

from musicldm.generator import LatentDiffusion, from_checkpoint
from synctrack.network import SyncTrackConfig, SyncTrackUNet

EMBEDDED = Path(__file__).parent / "checkpoints" / "band.pt"


def make(*, weights: str | None, device: str, suite: Any, steps: int = 50, batch_size: int = 8) -> LatentDiffusion:
    """The generator of a checkpoint (None: the embedded one, trained on synthetic songs).

    steps: of DDIM. batch_size: samples denoised together; it changes no sample.
    """
    return from_checkpoint(
        "synctrack", Path(weights) if weights else EMBEDDED, lambda config: SyncTrackUNet(SyncTrackConfig(**config)),
        form="paper", device=device, suite=suite, steps=steps, batch_size=batch_size,
    )
