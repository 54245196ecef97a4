"""Train SyncTrack on the latents of a suite's songs.

    python -m synctrack.train configs/train-synctrack-band.yaml           # the embedded checkpoint
    python -m synctrack.train configs/ablation-*.yaml                     # the paper's Table 6, one after the other
    python -m synctrack.train configs/train-synctrack-slakh2100.yaml      # the paper's recipe

The same command goes on where a training was stopped.
"""

from musicldm.training import TrainConfig, command, train_diffusion
from synctrack.network import SyncTrackConfig, SyncTrackUNet


def train(config: TrainConfig) -> None:
    train_diffusion(config, SyncTrackUNet(SyncTrackConfig(**config.network)))


if __name__ == "__main__":
    command(__doc__, train)
