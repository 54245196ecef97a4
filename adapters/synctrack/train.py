"""Train SyncTrack on latents: python -m synctrack.train configs/train-synctrack-band.yaml"""

import argparse
from pathlib import Path

import torch

from musicldm.training import TrainConfig, train_diffusion
from synctrack.network import SyncTrackConfig, SyncTrackUNet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    config = TrainConfig.read(parser.parse_args().config)
    torch.manual_seed(config.seed)
    train_diffusion(config, SyncTrackUNet(SyncTrackConfig(**config.network)))


if __name__ == "__main__":
    main()
