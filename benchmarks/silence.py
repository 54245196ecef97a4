"""Measure how often the latent models leave stems silent, and how well they predict the means of stems.

    python benchmarks/silence.py          # the embedded checkpoints; about five minutes on one core

It prints the share of stems with an RMS below 0.001 in samples and in held-out songs. Then it prints, for each network,
the error of the predicted noise averaged over time and mel, for songs with added noise. These means distinguish a stem
that plays from a silent one.
"""

import argparse
from itertools import islice

import numpy as np
import torch

from msg_ld.generator import make as msg_ld
from msg_ld.generator import make_mt_musicldm as mt_musicldm
from mtbench.registry import open_suite
from mtbench.suites.band import STEMS
from musicldm import noise_schedule
from synctrack.generator import make as synctrack

SILENT = 1e-3  # RMS
STEPS = (550, 650, 750, 850, 950)


def share_of_silent_stems(samples):
    """Return the share of silent stems, float [S]."""
    levels = [[np.sqrt(np.square(sample.stems[stem]).mean()) for stem in STEMS] for sample in samples]
    return (np.array(levels) < SILENT).mean(axis=0)


@torch.inference_mode()
def error_of_means(model, latents, t):
    """Return the mean squared error of the noise's means for `latents` [N, S, C, T, F] at step t.

    It is relative to the mean square of these means; 1 means that the network knows nothing about them.
    """
    draw = torch.Generator().manual_seed(t)
    noise, steps = torch.randn(latents.shape, generator=draw), torch.full((len(latents),), t)
    noisy = noise_schedule().add_noise(latents, noise, steps)
    errors = torch.cat([model._estimated_noise(x, at) for x, at in zip(noisy.split(8), steps.split(8))]) - noise
    return float(errors.mean(dim=(3, 4)).square().mean() / noise.mean(dim=(3, 4)).square().mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=32, help="number of samples and songs")
    n = parser.parse_args().n
    torch.set_num_threads(1)
    suite = open_suite("band")
    songs = list(islice(suite.heldout(), n))
    models = {"synctrack": synctrack, "msg-ld": msg_ld, "mt-musicldm": mt_musicldm}
    models = {name: make(weights=None, device="cpu", suite=suite) for name, make in models.items()}

    print(f"{n} samples, share of silent stems\n\n| | {' | '.join(STEMS)} |\n|---|{'---|' * 4}")
    samples_of = {name: model.generate(n, STEMS) for name, model in models.items()}
    for name, samples in (samples_of | {"songs": songs}).items():
        print(
            f"| {name} | " + " | ".join(f"{share:.2f}" for share in share_of_silent_stems(samples)) + " |", flush=True
        )

    encoder = models["synctrack"]  # the VAE of all three
    noise = torch.randn(n, *encoder._shape, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        latents = torch.stack(
            [encoder._posterior(np.stack([song.stems[stem] for stem in STEMS]), row) for song, row in zip(songs, noise)]
        )
    print(f"\n| error of the means, t = | {' | '.join(map(str, STEPS))} |\n|---|{'---|' * len(STEPS)}")
    for name, model in models.items():
        print(f"| {name} | " + " | ".join(f"{error_of_means(model, latents, t):.3f}" for t in STEPS) + " |", flush=True)


if __name__ == "__main__":
    main()
