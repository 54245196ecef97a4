"""Run the networks on a GPU with torch, for thousands of stems at once.

The equations and the structure are those of the NumPy version in network.py; torch's LSTM has no peepholes. Each frame
launches a dozen small kernels regardless of the number of stems, so this pays off only with many stems.
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtbench.beats.network import BLOCK, UNITS, load_ensemble


@torch.inference_mode()
def network_outputs(features: NDArray[np.float32], device: str) -> NDArray[np.float32]:
    """Compute the probabilities of (no beat, beat, downbeat) on a torch device: float32 [B, K, 314] to [B, M, K, 3]."""
    layers, W, b = _ensemble(device)
    u = torch.from_numpy(features).to(device).permute(1, 2, 0)[:, None]  # [K, 1, F, B], the same for all networks
    for layer in layers:
        u = _bidirectional(u.contiguous(), *layer)
    outputs: NDArray[np.float32] = torch.softmax(W @ u + b, dim=2).permute(3, 1, 0, 2).cpu().numpy()
    return outputs


@lru_cache(maxsize=2)
def _ensemble(device: str) -> tuple[list[list[Tensor]], Tensor, Tensor]:
    """Return network.Ensemble on a torch device: W, R, b and p of each layer, then W and b of the softmax."""
    ensemble = load_ensemble()
    on_device = [[torch.from_numpy(array).to(device) for array in layer] for layer in ensemble.layers]
    return on_device, torch.from_numpy(ensemble.W).to(device), torch.from_numpy(ensemble.b).to(device)


def _bidirectional(u: Tensor, W: Tensor, R: Tensor, b: Tensor, p: Tensor) -> Tensor:
    """Run one layer of all networks on u [K, M or 1, F, B]; returns [K, M, 2H, B], forward units first."""
    frames, stems, networks, H = len(u), u.shape[-1], R.shape[1], UNITS
    both = u.new_empty(frames, networks, 2 * H, stems)
    h, c = u.new_zeros(2, 2, networks, H, stems)
    p_if, p_o = p[:, :, : 2 * H], p[:, :, 2 * H :]
    for start in range(0, frames, BLOCK):
        stop = min(start + BLOCK, frames)
        backward = u[frames - stop : frames - start].flip(0)
        z = torch.stack([W[0] @ u[start:stop] + b[0], W[1] @ backward + b[1]], dim=1)  # [T, D, M, 4H, B]
        for t in range(stop - start):
            gates = z[t] + R @ h
            i, f = torch.sigmoid(gates[:, :, : 2 * H] + p_if * c.repeat(1, 1, 2, 1)).chunk(2, dim=2)
            c = f * c + i * torch.tanh(gates[:, :, 3 * H :])
            h = torch.sigmoid(gates[:, :, 2 * H : 3 * H] + p_o * c) * torch.tanh(c)
            both[start + t, :, :H], both[frames - 1 - start - t, :, H:] = h[0], h[1]
    return both
