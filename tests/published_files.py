"""Files in the layout of the published checkpoints, with recipe weights."""

from __future__ import annotations

import sys
from argparse import Namespace
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from musicldm import VAE, HiFiGAN, HiFiGANConfig, VAEConfig, noise_schedule
from parity import fill, manifest, recipe_tensor

SCALE_FACTOR = 0.75
TINY_VAE = VAEConfig(**manifest("vae_tiny")["config"])
TINY_VOCODER = HiFiGANConfig(**manifest("hifigan_tiny")["config"])


def lightning_state(unet: str, vae: VAE, vocoder: HiFiGAN) -> dict[str, Tensor]:
    """Return the state dict of a Lightning file.

    The averaged weights of the U-Net in manifest `unet` are the recipe's; its raw weights are NaN. Names and order are
    the manifest's. Tensors that inference does not use are zero.
    """
    shapes = {name: tuple(shape) for name, shape, _ in manifest(unet)["state_dict"]}
    state = {f"model.diffusion_model.{name}": torch.full((), torch.nan).expand(shape) for name, shape in shapes.items()}
    state["model_ema.decay"] = torch.tensor(0.9999)
    state["model_ema.num_updates"] = torch.tensor(38249, dtype=torch.int32)
    for name, shape in shapes.items():
        if name == "switcher":  # stored, not averaged
            state["model.diffusion_model.switcher"] = torch.eye(4).flip(1)
        else:
            state["model_ema.diffusion_model" + name.replace(".", "")] = recipe_tensor(name, shape)
    state |= {f"first_stage_model.{name}": value for name, value in vae.state_dict().items()}
    state |= {f"first_stage_model.vocoder.{name}": value for name, value in vocoder.folded().state_dict().items()}
    for name, shape, dtype in manifest("synctrack_lightning")["state_dict"]:
        if name.startswith("first_stage_model.loss.") or "." not in name:
            state[name] = torch.zeros((), dtype=getattr(torch, dtype)).expand(shape)
    return state | {"scale_factor": torch.tensor(SCALE_FACTOR), "betas": noise_schedule().betas}


def tiny(unet: str) -> dict[str, Tensor]:
    return lightning_state(unet, fill(VAE(TINY_VAE)), fill(HiFiGAN(TINY_VOCODER)))


def write_lightning(path: Path, state: dict[str, Tensor]) -> Path:
    """Write a file as Lightning does, containing objects whose classes are not installed here."""
    with (
        _class("pytorch_lightning.utilities.parsing", "AttributeDict", dict) as attributes,
        _class("src.utilities.monitor", "Monitor", object) as monitor,
    ):
        callback = monitor()
        callback.best = {"loss": 0.5}
        torch.save(
            {
                "epoch": 20,
                "global_step": 38249,
                "pytorch-lightning_version": "1.9.5",
                "state_dict": state,
                "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(1.5), "callback": callback}},
                "hparams_type": attributes,
                "hyper_parameters": attributes(lr=1e-4, nested=Namespace(a=[1], b=(2, "c"))),
            },
            path,
        )
    return path


@contextmanager
def _class(module: str, name: str, base: type):
    """Create a temporary class that can be pickled and is removed afterwards."""
    temporary = type(name, (base,), {"__module__": module})
    parts = [module.rsplit(".", depth)[0] for depth in range(module.count("."), -1, -1)]
    before = {parent: sys.modules.get(parent) for parent in parts}
    for parent in parts:
        sys.modules[parent] = ModuleType(parent)
    setattr(sys.modules[module], name, temporary)
    try:
        yield temporary
    finally:
        for parent, previous in before.items():
            if previous is None:
                del sys.modules[parent]
            else:
                sys.modules[parent] = previous
