"""Measure the cost of a SyncTrack forward pass and of a sample, compared with a plain run of the same network.

    python benchmarks/synctrack_speed.py                     # the published size; also writes benchmarks/results/
    python benchmarks/synctrack_speed.py --size band         # the size of the embedded checkpoint

- plain: float32, eager, unfused attention (softmax(q k^T) v), as in the published code.
- ours: the same weights in mtbench's adapter. Its optimisations are enabled one after the other, and each row shows the
  difference of its output from the plain one (relative L2), so any loss of accuracy is visible.
- the peak is measured as the product of two 2048 x 2048 matrices in float32 (and bfloat16) on the same device.

FLOPs are counted by torch.utils.flop_counter in one forward pass; times are the best of --repeats.
"""

import argparse
import copy
import math
import os
import platform
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

import synctrack.network as network_module
from adapterkit.precision import reduced_precision
from adapterkit.training.loop import attention_for, average
from musicldm.hifigan import HiFiGAN
from musicldm.vae import VAE
from synctrack.network import SyncTrackConfig, SyncTrackUNet

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 10.24
STEPS = 200  # of DDIM, as published
BAND = {
    "model_channels": 32,
    "channel_mult": (1, 2, 2),
    "num_res_blocks": 1,
    "attention_resolutions": (2, 4),
    "latent_t": 64,
    "latent_f": 4,
    "norm_groups": 8,
}


def plain_attention(q, k, v, head_width):
    q, k, v = (x.reshape(*x.shape[:2], -1, head_width).transpose(1, 2) for x in (q, k, v))
    weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(head_width), dim=-1)
    return (weights @ v).transpose(1, 2).flatten(2)


@contextmanager
def plain():
    fused, network_module.attend = network_module.attend, plain_attention
    try:
        yield
    finally:
        network_module.attend = fused


def best(function, repeats, device):
    """Return (minimum wall seconds, result) of `repeats` calls, after a warm-up call."""
    result, least = function(), math.inf
    for _ in range(repeats):
        _wait(device)
        begun = time.perf_counter()
        result = function()
        _wait(device)
        least = min(least, time.perf_counter() - begun)
    return least, result


def _wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


def peak(dtype, device, size=2048):
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds, _ = best(lambda: a @ b, 10, device)
    return 2 * size**3 / seconds


def forget_memory(device):
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")


def memory(device):
    """Return the peak memory in GB since forget_memory: of tensors on a GPU, of the complete process on a CPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1e6


def relative(a, b):
    return float((a.float() - b.float()).norm() / b.float().norm())


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("published", "band"), default="published")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    device, lines = options.device, []

    def say(line=""):
        print(line, flush=True)
        lines.append(line)

    config = SyncTrackConfig(**({} if options.size == "published" else BAND))
    torch.manual_seed(0)
    network = SyncTrackUNet(config).eval().to(device)
    for parameter in network.parameters():  # the last layers of a new network are zero
        if not parameter.any():
            parameter.normal_(0, 0.02)
    shape = (4, 8, config.latent_t, config.latent_f)
    x, t = torch.randn(1, *shape, device=device), torch.tensor([500], device=device)
    with plain(), FlopCounterMode(display=False) as counter:  # the counter ignores fused attention on a CPU
        network(x, t)
    flops = counter.get_total_flops()
    float32, bfloat16 = peak(torch.float32, device), peak(torch.bfloat16, device)
    where = (
        torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()}, {torch.get_num_threads()} threads"
    )

    say(f"# Cost of SyncTrack, {options.size} size")
    say()
    say(
        f"`python benchmarks/synctrack_speed.py --size {options.size} --repeats {options.repeats}`: {where}, load "
        f"{os.getloadavg()[0]:.1f} at the start, torch {torch.__version__}, "
        f"{sum(p.numel() for p in network.parameters()):,} parameters. A forward pass of one sample of {SECONDS} s "
        f"takes {flops / 1e9:.1f} GFLOP. Measured peaks: float32 {float32 / 1e9:.0f}, bfloat16 {bfloat16 / 1e9:.0f} "
        "GFLOP/s."
    )
    say()
    say("| one forward pass, batch 1 | seconds | speedup | share of its peak | relative L2 to plain |")
    say("|---|---|---|---|---|")
    with plain():
        plain_seconds, reference = best(lambda: network(x, t), options.repeats, device)
    say(
        f"| plain: float32, unfused attention | {plain_seconds:.3f} | 1.00 "
        f"| {flops / plain_seconds / float32:.0%} | 0 |"
    )

    def row(what, function, roof, precision="float32"):
        with reduced_precision(precision, torch.device(device)):
            seconds, out = best(function, options.repeats, device)
        say(
            f"| {what} | {seconds:.3f} | {plain_seconds / seconds:.2f} | {flops / seconds / roof:.0%} | "
            f"{relative(out, reference):.1e} |"
        )

    row("fused attention", lambda: network(x, t), float32)
    network.to(memory_format=torch.channels_last)
    row("and channels last (as shipped)", lambda: network(x, t), float32)
    row("and bfloat16 (changes samples: an option)", lambda: network(x, t), bfloat16, "bfloat16")
    if device == "cuda":
        row("TF32 instead of bfloat16 (an option)", lambda: network(x, t), float32, "tf32")
        compiled = torch.compile(network)
        row("compiled, TF32 (two options)", lambda: compiled(x, t), float32, "tf32")
        row("compiled, bfloat16 (two options)", lambda: compiled(x, t), bfloat16, "bfloat16")

    say()
    say("| scaling, as shipped | seconds per forward pass | per 10.24 s of a sample | memory, GB |")
    say("|---|---|---|---|")
    for batch, length in ((1, 1), (2, 1), (4, 1), (1, 2), (1, 4)):
        forget_memory(device)
        xs = torch.randn(batch, 4, 8, length * config.latent_t, config.latent_f, device=device)
        ts = torch.full((batch,), 500, device=device)
        seconds, _ = best(partial(network, xs, ts), 1, device)
        say(
            f"| batch {batch}, {length * SECONDS:.2f} s | {seconds:.2f} | {seconds / batch / length:.2f} | "
            f"{memory(device):.1f} |"
        )

    training(say, network, shape, device)
    if options.size == "published":
        first_stage(say, device, options.repeats, flops, plain_seconds)
    target = ROOT / "benchmarks" / "results" / f"synctrack-speed-{options.size}-{device}.md"
    target.parent.mkdir(exist_ok=True)
    target.write_text("\n".join(lines) + "\n")


def training(say, network, shape, device):
    """Measure steps like those of the training command: forward, backward, AdamW, averaging; float32 and bfloat16."""
    with torch.enable_grad():
        ema, optimizer = copy.deepcopy(network), torch.optim.AdamW(network.parameters())

        x, t = torch.randn(1, *shape, device=device), torch.tensor([500], device=device)

        def step(precision):
            with (
                torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16 mixed"),
                attention_for(torch.device(device)),
            ):
                network(x, t).float().square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            average(ema, network, 0.999)

        say()
        say("| one training step, batch 1 | seconds | memory, GB |")
        say("|---|---|---|")
        for precision in ("bfloat16 mixed", "float32"):
            forget_memory(device)
            seconds, _ = best(partial(step, precision), 1, device)
            say(f"| {precision} | {seconds:.2f} | {memory(device):.1f} |")


def first_stage(say, device, repeats, flops, plain_seconds):
    """Measure decoding of latents to waves: VAE and HiFi-GAN, for four stems one by one and together."""
    vae, vocoder = VAE().eval().to(device), HiFiGAN(weight_norm=False).eval().to(device)
    latents = torch.randn(4, 8, 256, 16, device=device)
    decode_each = lambda: torch.cat([vae.decode(z[None]) for z in latents])  # noqa: E731
    say()
    say("| from latents to waves, four stems | seconds | speedup | relative L2 to plain |")
    say("|---|---|---|---|")
    total = STEPS * plain_seconds
    plain_decode, mels = best(decode_each, repeats, device)
    mels = mels[:, 0].transpose(1, 2)  # [R, 64, frames]
    plain_vocode, waves = best(lambda: torch.cat([vocoder(mel[None]) for mel in mels]), repeats, device)
    say(f"| VAE, stem by stem | {plain_decode:.2f} | 1.00 | 0 |")
    vae.to(memory_format=torch.channels_last)
    seconds, out = best(lambda: vae.decode(latents), repeats, device)
    say(
        f"| VAE, batched, channels last (as shipped) | {seconds:.2f} | {plain_decode / seconds:.2f} | "
        f"{relative(out[:, 0].transpose(1, 2), mels):.1e} |"
    )
    say(f"| HiFi-GAN, stem by stem | {plain_vocode:.2f} | 1.00 | 0 |")
    seconds, out = best(lambda: vocoder(mels), repeats, device)
    say(
        f"| HiFi-GAN, batched (as shipped) | {seconds:.2f} | {plain_vocode / seconds:.2f} "
        f"| {relative(out, waves):.1e} |"
    )
    total += plain_decode + plain_vocode
    say()
    say(
        f"Without these optimisations, a sample with {STEPS} DDIM steps takes {total:.0f} s for {SECONDS} s of four "
        f"stems, a real-time factor of {total / SECONDS:.1f}."
    )


if __name__ == "__main__":
    sys.exit(main())
