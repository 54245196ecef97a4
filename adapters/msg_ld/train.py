"""Train MSG-LD, or its predecessor MT-MusicLDM, on the latents of a suite's songs.

    python -m msg_ld.train configs/train-msg-ld-band.yaml
    python -m msg_ld.train configs/train-mt-musicldm-band.yaml    without mixtures

Run the same command again to resume an interrupted training.
"""

from adapterkit.training.command import command
from adapterkit.training.config import LatentTraining
from msg_ld.network import MSGLDConfig, MSGLDUNet
from musicldm.train_latents import train_diffusion


def train(config: LatentTraining) -> None:
    """Train the network specified by a config and export it. Raises UsageError for an invalid config."""
    train_diffusion(config, config.sized(lambda **sizes: MSGLDUNet(MSGLDConfig(**sizes))))


if __name__ == "__main__":
    command(__doc__, train, LatentTraining)
