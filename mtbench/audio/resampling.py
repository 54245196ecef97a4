"""Resample with a windowed sinc (Hann window of 6 zero crossings, roll-off 0.99), as the published clips were.

These are the defaults of torchaudio.functional.resample, which the data loader of the published SyncTrack code uses.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from math import gcd

import numpy as np
from numpy.typing import NDArray

from mtbench.audio.error import AudioError

LARGEST_RATIO = 10**8  # limit on a kernel's phases times steps; 44,100 to 16,000 Hz needs 160 x 441
AT_ONCE = 1 << 20  # input samples per matrix product, which limits memory use; it does not change the result

Wave = NDArray[np.float32]  # full scale at 1


def resample(samples: Wave, rate: int, to_rate: int) -> Wave:
    """Resample float32 [n] at `rate` Hz to float32 [ceil(n * to_rate / rate)] at `to_rate` Hz.

    The filter is a windowed sinc with 6 zero crossings, a Hann window and roll-off 0.99; its kernel is float32. If the
    rates are equal, the input array itself is returned. Raises AudioError for rates whose kernel would not fit in
    memory.
    """
    if rate == to_rate:
        return samples
    blocks = list(resampled([samples], rate, to_rate))
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def check_ratio(rate: int, to_rate: int) -> None:
    """Raise AudioError if `resample` would need too much memory for these rates."""
    divisor = gcd(rate, to_rate)
    if rate != to_rate and rate // divisor * (to_rate // divisor) > LARGEST_RATIO:
        raise AudioError(
            f"{rate} Hz cannot be resampled to {to_rate} Hz exactly in reasonable memory; convert the audio first"
        )


def resampled(blocks: Iterable[Wave], rate: int, to_rate: int) -> Iterator[Wave]:
    """`resample` for consecutive blocks of a signal: yield the same samples, in blocks of other lengths."""
    if rate == to_rate:
        yield from blocks
        return
    check_ratio(rate, to_rate)
    divisor = gcd(rate, to_rate)
    step, phases = rate // divisor, to_rate // divisor  # each row of a product is `phases` output samples
    kernel, width = _sinc_kernel(step, phases)
    taps = kernel.shape[1]
    rows = max(AT_ONCE // step, 1)

    def product(padded: Wave, rows: int) -> Wave:
        windows = np.lib.stride_tricks.sliding_window_view(padded, taps)[::step][:rows]
        return (windows @ kernel.T).reshape(-1)

    count, finished = 0, 0  # samples received, rows yielded
    waiting: list[Wave] = [np.zeros(width, np.float32)]
    length = width
    for block in blocks:
        count, length = count + len(block), length + len(block)
        waiting.append(block)
        if length < (2 * rows - 1) * step + taps:  # the last product, of any length, is never a short one
            continue
        padded, at = np.concatenate(waiting), 0
        while length - at >= (2 * rows - 1) * step + taps:
            yield product(padded[at : at + (rows - 1) * step + taps], rows)
            at, finished = at + rows * step, finished + rows
        waiting, length = [padded[at:]], length - at
    total = -(-phases * count // step)
    left = -(-total // phases) - finished
    missing = max((left - 1) * step + taps - length, 0)
    if left:
        yield product(np.concatenate([*waiting, np.zeros(missing, np.float32)]), left)[: total - finished * phases]
    else:
        yield np.zeros(0, np.float32)


@lru_cache(maxsize=8)
def _sinc_kernel(step: int, phases: int) -> tuple[Wave, int]:
    """Return the kernel, float32 [phases, 2 * width + step], and its half width for the reduced ratio step : phases."""
    zeros, roll_off = 6, 0.99
    cutoff = np.float32(min(step, phases) * roll_off)
    width = int(np.ceil(zeros * step / cutoff))
    taps = np.arange(-width, width + step, dtype=np.float32) / np.float32(step)
    times = taps[None, :] - np.arange(phases, dtype=np.float32)[:, None] / np.float32(phases)
    times = np.clip(times * cutoff, -zeros, zeros)
    window = np.cos(times * np.float32(np.pi / zeros / 2)) ** 2
    return (np.sinc(times) * window * (cutoff / np.float32(step))).astype(np.float32), width
