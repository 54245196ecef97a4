"""Why MSG-LD and MT-MusicLDM leave stems silent: which steps of the sampler decide it.

    python benchmarks/silence.py          # embedded checkpoints; about ten minutes of one core

All three networks estimate noise in the same latents on the same schedule, so one can make the steps at high noise (t
above T) and another the rest. Printed is the share of stems with an RMS below 0.001. Then, for each network, the mean of
its error over time and mel, of songs with noise added: a stem's means are what tells one that plays from a silent one.
"""

import argparse
from itertools import islice

import numpy as np
import torch

from msg_ld.generator import make as msg_ld
from msg_ld.generator import make_mt_musicldm as mt_musicldm
from mtbench.suites import STEMS, open_suite
from musicldm import noise_schedule
from synctrack.generator import make as synctrack

SILENT = 1e-3  # RMS
STEPS = (550, 650, 750, 850, 950)


def share_of_silent_stems(generator, above, below, T, n):
    """float [S]: `above` estimates the noise at t > T, `below` at the others; VAE and vocoder are the generator's."""
    own, generator._estimated_noise = generator._estimated_noise, lambda x, t: (above if int(t[0]) > T else below)(x, t)
    levels = [[np.sqrt(np.square(sample.stems[stem]).mean()) for stem in STEMS] for sample in generator.generate(n, STEMS)]
    generator._estimated_noise = own
    return (np.array(levels) < SILENT).mean(axis=0)


@torch.inference_mode()
def error_of_means(estimate, latents, t):
    """Mean square, in that of the noise's own means (1: nothing known of them), of `latents` [N, S, C, T, F] at step t."""
    draw = torch.Generator().manual_seed(t)
    noise, steps = torch.randn(latents.shape, generator=draw), torch.full((len(latents),), t)
    noisy = noise_schedule().add_noise(latents, noise, steps)
    errors = torch.cat([estimate(x, at) for x, at in zip(noisy.split(8), steps.split(8))]) - noise
    return float(errors.mean(dim=(3, 4)).square().mean() / noise.mean(dim=(3, 4)).square().mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=32)
    n = parser.parse_args().n
    torch.set_num_threads(1)
    suite = open_suite("band")
    models = {"mt-musicldm": mt_musicldm, "msg-ld": msg_ld, "synctrack": synctrack}
    models = {name: make(weights=None, device="cpu", suite=suite) for name, make in models.items()}
    estimates = {name: model._estimated_noise for name, model in models.items()}
    print(f"{n} samples, share of silent stems\n\n| steps above T | T | steps below | {' | '.join(STEMS)} |\n|---|---|---|{'---|' * 4}")
    for above, T, below in (("mt-musicldm", 0, "mt-musicldm"), ("synctrack", 600, "mt-musicldm"),
                            ("mt-musicldm", 600, "synctrack"), ("msg-ld", 0, "msg-ld"), ("synctrack", 600, "msg-ld")):
        shares = share_of_silent_stems(models[below], estimates[above], estimates[below], T, n)
        print(f"| {above} | {T or '-'} | {below} | " + " | ".join(f"{share:.2f}" for share in shares) + " |", flush=True)
    songs = [np.stack([song.stems[stem] for stem in STEMS]) for song in islice(suite.heldout(), n)]
    held = models["synctrack"]  # the VAE of all three
    noise = torch.randn(n, *held._shape, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        latents = torch.stack([held._posterior(waves, row) for waves, row in zip(songs, noise)])
    print(f"\n| error of the means, t = | {' | '.join(map(str, STEPS))} |\n|---|{'---|' * len(STEPS)}")
    for name, estimate in estimates.items():
        print(f"| {name} | " + " | ".join(f"{error_of_means(estimate, latents, t):.2f}" for t in STEPS) + " |", flush=True)


if __name__ == "__main__":
    main()
