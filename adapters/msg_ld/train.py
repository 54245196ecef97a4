"""Train MSG-LD, or its predecessor MT-MusicLDM, on the latents of a suite's songs.

    python -m msg_ld.train configs/train-msg-ld-band.yaml
    python -m msg_ld.train configs/train-mt-musicldm-band.yaml    without mixtures

The same command goes on where a training was stopped.
"""

from musicldm.training import TrainConfig, command, sized, train_diffusion

from msg_ld.network import MSGLDConfig, MSGLDUNet


def train(config: TrainConfig) -> None:
    train_diffusion(config, sized(config, lambda **sizes: MSGLDUNet(MSGLDConfig(**sizes))))


if __name__ == "__main__":
    command(__doc__, train)
