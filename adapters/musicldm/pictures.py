"""Plot the progress of a training: python -m musicldm.pictures work/synctrack-band

Writes two images into the training's folder or --out: `loss.png` (the losses and the scores of the samples by step,
with the scores of songs for comparison) and `samples.png` (log-mels of one sample before and after training, with the
beats of each stem).
"""

import numpy as np
import torch

from adapterkit.training.pictures import main
from musicldm.mel import log_mel


def _log_mel(wave: np.ndarray) -> np.ndarray:
    return log_mel(torch.from_numpy(wave)).numpy()


if __name__ == "__main__":
    main(__doc__, _log_mel)
