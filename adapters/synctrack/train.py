"""Train SyncTrack on the latents of a suite's songs.

    python -m synctrack.train configs/train-synctrack-band.yaml           # the embedded checkpoint
    python -m synctrack.train configs/ablation-*.yaml                     # the paper's Table 6, one after the other
    python -m synctrack.train configs/train-synctrack-slakh2100.yaml      # the paper's recipe

The same command goes on where a training was stopped.
"""

from musicldm.training import TrainConfig, command, sized, train_diffusion

from mtbench.errors import UsageError
from synctrack.network import SyncTrackConfig, SyncTrackUNet


def train(config: TrainConfig) -> None:
    if config.without_mixture < 1:
        raise UsageError(f"{config.name}: without_mixture belongs to MSG-LD; SyncTrack never sees a mixture")
    train_diffusion(config, sized(config, lambda **sizes: SyncTrackUNet(SyncTrackConfig(**sizes))))


if __name__ == "__main__":
    command(__doc__, train)
