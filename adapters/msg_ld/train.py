"""Train MSG-LD on latents: python -m msg_ld.train configs/train-msg-ld-band.yaml"""

import argparse
from pathlib import Path

import torch

from musicldm.training import TrainConfig, train_diffusion
from msg_ld.network import MSGLDConfig, MSGLDUNet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    config = TrainConfig.read(parser.parse_args().config)
    torch.manual_seed(config.seed)
    train_diffusion(config, MSGLDUNet(MSGLDConfig(**config.network)))


if __name__ == "__main__":
    main()
