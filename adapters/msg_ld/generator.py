"""MSG-LD behind the benchmark's interface: unconditional, that is with no mixture."""

from pathlib import Path
from typing import Any

from msg_ld.network import MSGLDConfig, MSGLDUNet
from musicldm.generator import LatentDiffusion, from_checkpoint

EMBEDDED = Path(__file__).parent / "checkpoints" / "band.pt"


def make(*, weights: str | None, device: str, suite: Any, steps: int = 50, batch_size: int = 8) -> LatentDiffusion:
    """The generator of a checkpoint (None: the embedded one, trained on synthetic songs).

    steps: of DDIM. batch_size: samples denoised together; it changes no sample.
    """
    return from_checkpoint(
        "msg-ld", Path(weights) if weights else EMBEDDED, lambda config: MSGLDUNet(MSGLDConfig(**config)),
        form="published", device=device, suite=suite, steps=steps, batch_size=batch_size,
    )
