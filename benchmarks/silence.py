"""Why MSG-LD and MT-MusicLDM leave stems silent: which steps of the sampler decide it.

    python benchmarks/silence.py          # embedded checkpoints; about ten minutes of one core

All three networks estimate noise in the same latents on the same schedule, so one can make the steps at high noise (t
above T) and another the rest. Printed is the share of stems with an RMS below 0.001. Then, for each network, what it
makes of pure noise at t = 901, where all that it has to do is to give it back: the mean of its estimate over time and
mel against that of the noise. The latents' means are what tells a silent stem from one that plays.
"""

import argparse

import numpy as np
import torch

from msg_ld.generator import make as msg_ld
from msg_ld.generator import make_mt_musicldm as mt_musicldm
from mtbench.suites import STEMS, open_suite
from synctrack.generator import make as synctrack

SILENT = 1e-3  # RMS


def share_of_silent_stems(generator, above, below, T, n):
    """float [S]: `above` estimates the noise at t > T, `below` at the others; VAE and vocoder are the generator's."""
    own, generator._denoise = generator._denoise, lambda x, t: (above if int(t[0]) > T else below)(x, t)
    levels = [[np.sqrt(np.square(sample.stems[stem]).mean()) for stem in STEMS] for sample in generator.generate(n, STEMS)]
    generator._denoise = own
    return (np.array(levels) < SILENT).mean(axis=0)


@torch.inference_mode()
def estimate_of_means(network, shape, n=32, t=901):
    """How much of the noise's means the estimate holds (1 is right), and what else it holds, in their deviation."""
    noise = torch.randn(n, *shape, generator=torch.Generator().manual_seed(1))
    estimate = torch.cat([network(part, torch.full((len(part),), t)) for part in noise.split(8)])
    x, y = (values.mean(dim=(3, 4)).flatten() for values in (noise, estimate))
    gain = (x @ y) / (x @ x)
    return float(gain), float((y - gain * x).std() / x.std())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=32)
    n = parser.parse_args().n
    torch.set_num_threads(1)
    suite = open_suite("band")
    models = {"mt-musicldm": mt_musicldm, "msg-ld": msg_ld, "synctrack": synctrack}
    models = {name: make(weights=None, device="cpu", suite=suite) for name, make in models.items()}
    networks = {name: model._denoise for name, model in models.items()}
    print(f"{n} samples, share of silent stems\n\n| steps above T | T | steps below | {' | '.join(STEMS)} |\n|---|---|---|{'---|' * 4}")
    for above, T, below in (("mt-musicldm", 0, "mt-musicldm"), ("synctrack", 600, "mt-musicldm"),
                            ("mt-musicldm", 600, "synctrack"), ("msg-ld", 0, "msg-ld"), ("synctrack", 600, "msg-ld")):
        shares = share_of_silent_stems(models[below], networks[above], networks[below], T, n)
        print(f"| {above} | {T or '-'} | {below} | " + " | ".join(f"{share:.2f}" for share in shares) + " |", flush=True)
    print("\n| network at t = 901 | of the noise's means | what else, in their deviation |\n|---|---|---|")
    for name, network in networks.items():
        gain, rest = estimate_of_means(network, models[name]._shape)
        print(f"| {name} | {gain:.2f} | {rest:.2f} |")


if __name__ == "__main__":
    main()
