"""MSG-LD behind the benchmark's interface: unconditional, that is with no mixture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from msg_ld.network import MSGLDConfig, MSGLDUNet
from mtbench.errors import UsageError
from musicldm.generator import LatentDiffusion, from_checkpoint

EMBEDDED = Path(__file__).parent / "checkpoints" / "band.pt"


def make(
    *, weights: str | None, device: str, suite: Any, steps: int | None = None, batch_size: int | None = None,
    precision: str = "float32", compile: bool = False,
) -> LatentDiffusion:
    """The generator of a checkpoint.

    weights: None for the embedded one, trained on synthetic songs; else a file, of mtbench's training or a Lightning
    file of the published code, of any width. steps: of DDIM; 200 for a Lightning file, else 50. batch_size: samples
    denoised together, 8 as a rule; it changes no sample. precision, compile: as in SyncTrack's factory.

    Clips may have any length; what it costs grows with the square of it.
    """
    if weights == "published":
        raise UsageError("model 'msg-ld': no weights of MSG-LD are published; name a file")
    return from_checkpoint(
        "msg-ld", Path(weights or EMBEDDED), trained=lambda config: MSGLDUNet(MSGLDConfig(**config)),
        lightning=_lightning, form=lambda config: "published", device=device, suite=suite, steps=steps,
        batch_size=batch_size, precision=precision, compile=compile,
    )


def _lightning(state: Mapping[str, Tensor]) -> MSGLDUNet:
    first = state.get("input_blocks.0.0.weight")  # without it all is missing, and the reader says so
    return MSGLDUNet(MSGLDConfig() if first is None else MSGLDConfig(model_channels=len(first)))
