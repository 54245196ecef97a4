"""Measure whether sampling reproduces the four songs that a SyncTrack was trained on.

    python -m synctrack.train configs/overfit-synctrack-band.yaml     # about 25 minutes on one busy core
    python benchmarks/overfit.py

Each sample is compared with the nearest training song by the mean absolute difference of the log-mel spectrograms of
all four stems. For comparison, the benchmark prints the loss of VAE and vocoder alone on these songs (no sample can be
nearer), and the distance of songs unknown to the model to the nearest of the four.
"""

from pathlib import Path

import numpy as np
import torch

from adapterkit.training.config import LatentTraining, read_config
from adapterkit.training.songs import training_songs
from mtbench.registry import open_suite
from mtbench.suites.band import STEMS
from musicldm.first_stage import load_vae
from musicldm.griffin_lim import griffin_lim
from musicldm.mel import log_mel
from synctrack.generator import make

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = 32


def mels(songs):
    """Return log-mels, float32 [songs, S, T, F]."""
    return torch.stack([log_mel(torch.from_numpy(np.stack([song.stems[stem] for stem in STEMS]))) for song in songs])


@torch.inference_mode()
def main():
    config = read_config(ROOT / "configs" / "overfit-synctrack-band.yaml", LatentTraining)
    suite, vae = open_suite("band"), load_vae(config.vae)
    training = mels([song for song, _ in zip(training_songs(config), range(4))])
    unseen = mels([song for song, _ in zip(suite.heldout(), range(SAMPLES))])
    generator = make(weights=str(config.out), device="cpu", suite=suite)
    again = torch.stack([log_mel(griffin_lim(vae.decode(vae.encode(song[:, None])[0])[:, 0])) for song in training])
    sample_mels = mels(generator.generate(SAMPLES, STEMS))

    def nearest(songs):
        distances = (songs[:, None] - training).abs().mean(dim=(2, 3, 4))
        return distances.min(dim=1)

    samples, others = nearest(sample_mels), nearest(unseen)
    own = (again - training).abs().mean(dim=(1, 2, 3))
    print(f"{SAMPLES} samples, mean |log-mel difference| to the nearest of four training songs:")
    print(f"  samples        {samples.values.mean():.3f} (worst {samples.values.max():.3f})")
    print(f"  VAE, vocoder   {own.mean():.3f}")
    print(f"  unseen songs   {others.values.mean():.3f} (nearest {others.values.min():.3f})")
    print("number of samples nearest to each song:", torch.bincount(samples.indices, minlength=4).tolist())


if __name__ == "__main__":
    main()
