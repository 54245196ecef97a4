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
    """The state dict of a Lightning file: the averaged weights of the U-Net of manifest `unet` are the recipe's, its
    raw ones NaN. Names and order are those of the manifest; what is not inference's is zero."""
    shapes = {name: tuple(shape) for name, shape, _ in manifest(unet)["state_dict"]}
    held = {f"model.diffusion_model.{name}": torch.full((), torch.nan).expand(shape) for name, shape in shapes.items()}
    held["model_ema.decay"] = torch.tensor(0.9999)
    held["model_ema.num_updates"] = torch.tensor(38249, dtype=torch.int32)
    for name, shape in shapes.items():
        if name == "switcher":  # stored, not averaged
            held["model.diffusion_model.switcher"] = torch.eye(4).flip(1)
        else:
            held["model_ema.diffusion_model" + name.replace(".", "")] = recipe_tensor(name, shape)
    held |= {f"first_stage_model.{name}": value for name, value in vae.state_dict().items()}
    held |= {f"first_stage_model.vocoder.{name}": value for name, value in vocoder.folded().state_dict().items()}
    for name, shape, dtype in manifest("synctrack_lightning")["state_dict"]:
        if name.startswith("first_stage_model.loss.") or "." not in name:
            held[name] = torch.zeros((), dtype=getattr(torch, dtype)).expand(shape)
    return held | {"scale_factor": torch.tensor(SCALE_FACTOR), "betas": noise_schedule().betas}


def tiny(unet: str) -> dict[str, Tensor]:
    return lightning_state(unet, fill(VAE(TINY_VAE)), fill(HiFiGAN(TINY_VOCODER)))


def write_lightning(path: Path, state: dict[str, Tensor]) -> Path:
    """A file as Lightning saves one, with objects in it whose classes nobody has here."""
    with (
        _class("pytorch_lightning.utilities.parsing", "AttributeDict", dict) as attributes,
        _class("src.utilities.monitor", "Monitor", object) as monitor,
    ):
        watching = monitor()
        watching.best = {"loss": 0.5}
        torch.save(
            {
                "epoch": 20,
                "global_step": 38249,
                "pytorch-lightning_version": "1.9.5",
                "state_dict": state,
                "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(1.5), "watching": watching}},
                "hparams_type": attributes,
                "hyper_parameters": attributes(lr=1e-4, nested=Namespace(a=[1], b=(2, "c"))),
            },
            path,
        )
    return path


@contextmanager
def _class(module: str, name: str, base: type):
    """A class that can be pickled here and that is gone afterwards."""
    made = type(name, (base,), {"__module__": module})
    parts = [module.rsplit(".", depth)[0] for depth in range(module.count("."), -1, -1)]
    before = {part: sys.modules.get(part) for part in parts}
    for part in parts:
        sys.modules[part] = ModuleType(part)
    setattr(sys.modules[module], name, made)
    try:
        yield made
    finally:
        for part, was in before.items():
            if was is None:
                del sys.modules[part]
            else:
                sys.modules[part] = was
