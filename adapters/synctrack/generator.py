"""SyncTrack as a Generator."""

from pathlib import Path

from mtbench.stems import Suite
from musicldm.family import Family
from musicldm.fetch import trained_model
from musicldm.generator import LatentDiffusion
from synctrack.network import SyncTrackConfig, SyncTrackUNet

EMBEDDED = Path(__file__).parent / "checkpoints" / "band.pt"
SWITCHES = ("cross_track_keys", "time_attention", "time_residuals", "instrument_prior", "cross_track")


def form(config: SyncTrackConfig) -> str:
    """Return `paper`, `published`, or the differences between the network and the paper's form."""
    chosen = {switch: getattr(config, switch) for switch in SWITCHES}
    for name, other in {"paper": SyncTrackConfig(), "published": SyncTrackConfig.published()}.items():
        if all(chosen[switch] == getattr(other, switch) for switch in SWITCHES):
            return name
    paper = SyncTrackConfig()
    return "paper but " + ", ".join(f"{s}={value}" for s, value in chosen.items() if value != getattr(paper, s))


FAMILY = Family(
    "synctrack",
    trained=lambda config: SyncTrackUNet(SyncTrackConfig(**config)),
    lightning=lambda state: SyncTrackUNet(SyncTrackConfig.published()),
    form=form,
    mixes_samples=lambda config: config.cross_track_keys == "row_mod_batch",
)


def make(
    *,
    weights: str | None,
    device: str,
    suite: Suite,
    steps: int | None = None,
    batch_size: int | None = None,
    precision: str = "float32",
    compile: bool = False,
) -> LatentDiffusion:
    """Create the generator from a checkpoint.

    weights: a checkpoint written by mtbench's training or the published Lightning file (None: the embedded checkpoint,
    trained on synthetic songs). `published` means the file fetched by `python -m musicldm.fetch synctrack`.
    steps: number of DDIM steps (default: 200 with published weights, otherwise 50). batch_size: samples denoised
    together (default: 16 with published weights, otherwise 8). In the published form the samples of a batch influence
    each other, so the batch size changes them; in the paper's form it does not. precision: `float32`, or `tf32` or
    `bfloat16`, which are faster on a GPU and change the samples. compile: compile the network with torch, which takes a
    minute at the start.

    Clips may have any length. The cost is quadratic in it, since attention at down-sampling 2 spans all times of all
    tracks. How good the model is on clips longer than those it was trained on is unknown.
    Raises UsageError if the file does not exist or is not such a checkpoint, and for invalid options.
    """
    options = FAMILY.options(steps=steps, batch_size=batch_size, precision=precision, compile=compile)
    path = trained_model("synctrack") if weights == "published" else Path(weights or EMBEDDED)
    return FAMILY.open(path, options, device, suite)
