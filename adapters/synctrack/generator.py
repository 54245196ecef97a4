"""SyncTrack behind the benchmark's interface."""

from pathlib import Path

from mtbench.stems import Suite
from musicldm.family import Family
from musicldm.fetch import trained_model
from musicldm.generator import LatentDiffusion
from synctrack.network import SyncTrackConfig, SyncTrackUNet

EMBEDDED = Path(__file__).parent / "checkpoints" / "band.pt"
SWITCHES = ("cross_track_keys", "time_attention", "time_residuals", "instrument_prior", "cross_track")


def form(config: SyncTrackConfig) -> str:
    """`paper`, `published`, or what sets the network apart from the paper's form."""
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
    """The generator of a checkpoint.

    weights: None for the embedded one, trained on synthetic songs; `published` for what
    `python -m musicldm.fetch synctrack` fetched; else a file, of mtbench's training or the published Lightning file.
    steps: of DDIM; 200 with published weights, else 50. batch_size: samples denoised together, 16 with published
    weights, else 8. In the published form the samples of a batch mix, so that it changes them; in the paper's form not.
    precision: `float32`, or `tf32` or `bfloat16`, which are faster on a GPU and change samples. compile: let torch
    compile the network, which takes a minute at the start.

    Clips may have any length. What it costs grows with the square of it, since attention at down-sampling 2 spans all
    times of all tracks; and beyond the length of the training nothing tells how well the model does.
    Raises UsageError for a file that is not there or not such a checkpoint, and for options that cannot be.
    """
    options = FAMILY.options(steps=steps, batch_size=batch_size, precision=precision, compile=compile)
    path = trained_model("synctrack") if weights == "published" else Path(weights or EMBEDDED)
    return FAMILY.open(path, options, device, suite)
