"""Train SyncTrack on the latents of a suite's songs.

    python -m synctrack.train configs/train-synctrack-band.yaml           # the embedded checkpoint
    python -m synctrack.train configs/ablation-*.yaml                     # the paper's Table 6, one after the other
    python -m synctrack.train configs/train-synctrack-slakh2100.yaml      # the paper's recipe

Run the same command again to resume an interrupted training.
"""

from adapterkit.training.command import command
from adapterkit.training.config import LatentTraining
from mtbench.errors import UsageError
from musicldm.train_latents import train_diffusion
from synctrack.network import SyncTrackConfig, SyncTrackUNet


def train(config: LatentTraining) -> None:
    """Train the SyncTrack specified by a config and export it. Raises UsageError for an invalid config."""
    if config.without_mixture < 1:
        raise UsageError(f"{config.name}: without_mixture is only for MSG-LD; SyncTrack is never given a mixture")
    train_diffusion(config, config.sized(lambda **sizes: SyncTrackUNet(SyncTrackConfig(**sizes))))


if __name__ == "__main__":
    command(__doc__, train, LatentTraining)
