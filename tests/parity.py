"""Comparison with the published code: synthetic weights, seeded inputs, and the outputs of that code.

tests/data/README.md describes how the arrays in tests/data/parity were created, and with which releases.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

DATA = Path(__file__).parent / "data" / "parity"
# A U-Net that is quick to create and to run.
SMALL = {
    "model_channels": 32,
    "channel_mult": (1, 2),
    "num_res_blocks": 1,
    "attention_resolutions": (2,),
    "num_head_channels": 16,
    "latent_t": 8,
    "latent_f": 4,
}
TOLERANCE = 2e-5  # relative L2, float32 on a CPU


def recipe_tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    """Compute the value of a parameter from its name and shape alone, so that no weights need to be stored."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    r = torch.randn(tuple(shape), generator=generator)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "weight_g":
        return 1.0 + 0.1 * r.abs()
    if leaf == "weights":  # MSDM's learned frequencies; `g` is the gain of its layer norms
        return r
    if leaf == "g":
        return 1.0 + 0.1 * r
    if len(shape) >= 2:
        return r / math.sqrt(math.prod(shape[1:]))
    return 1.0 + 0.1 * r if leaf.endswith("weight") else 0.05 * r


def fill(module: nn.Module) -> nn.Module:
    """Fill a module with the recipe's weights and put it in evaluation mode."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name != "switcher":
                parameter.copy_(recipe_tensor(name, parameter.shape))
    return module.eval()


def seeded(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(DATA / f"{name}.npz") as arrays:
        return dict(arrays)


def manifest(name: str) -> dict:
    return json.loads(gzip.decompress((DATA / f"{name}.json.gz").read_bytes()))


def relative_l2(actual, expected) -> float:
    actual, expected = np.asarray(actual, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    assert actual.shape == expected.shape
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


def assert_golden(arrays: dict[str, np.ndarray], key: str, actual: Tensor, tolerance: float = TOLERANCE) -> None:
    """Compare with the array `key`, stored in full or as `key__flatN` (every N-th element)."""
    actual = actual.detach().numpy()
    if key in arrays:
        expected = arrays[key]
    else:
        stored = next(k for k in arrays if k.startswith(f"{key}__flat"))
        expected, actual = arrays[stored], actual.reshape(-1)[:: int(stored.rsplit("flat", 1)[1])]
    assert relative_l2(actual, expected) <= tolerance


def assert_names_and_shapes(module: nn.Module, name: str) -> None:
    """Assert that the state dict has exactly the names, shapes and dtypes of the manifest."""
    expected = {n: (tuple(shape), dtype) for n, shape, dtype in manifest(name)["state_dict"]}
    actual = {n: (tuple(v.shape), str(v.dtype).removeprefix("torch.")) for n, v in module.state_dict().items()}
    assert actual == expected
