"""Reading published checkpoints: the Lightning files of SyncTrack and MSG-LD, and MusicLDM's VAE and HiFi-GAN files.

A Lightning file holds below `state_dict` the U-Net (`model.diffusion_model.*`), the moving average of its weights
(`model_ema.*`, parameter names without dots), the `scale_factor` of the latents, buffers of the noise schedule, and,
below `first_stage_model.`, the VAE and the folded vocoder. Where these two are not in it they are read from
`vae-ckpt.ckpt` and `hifigan-ckpt.ckpt` beside it. Samples are made with the averaged weights.
"""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from mtbench.errors import UsageError
from musicldm.diffusion import noise_schedule
from musicldm.fetch import checked_sha256
from musicldm.hifigan import HiFiGAN, HiFiGANConfig
from musicldm.vae import VAE, VAEConfig

UNET, EMA, FIRST_STAGE = "model.diffusion_model.", "model_ema.", "first_stage_model."
VAE_FILE, VOCODER_FILE = "vae-ckpt.ckpt", "hifigan-ckpt.ckpt"
UNUSED = {  # what sampling does not need, in the files of some Lightning versions and not of others
    "logvar",
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
}

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@dataclass(frozen=True)
class Published:
    """What a published model samples with, and the SHA-256 of each file that it was read from."""

    network: nn.Module
    vae: VAE
    vocoder: HiFiGAN
    scale_factor: float
    sha256: Mapping[str, str]  # of "weights", and of "vae" and "vocoder" where they are files of their own


class _Object:
    """Stands in for an object of a checkpoint that is no tensor or plain container. It holds nothing; nothing runs."""

    def __new__(cls, *arguments: Any, **named: Any) -> _Object:
        return object.__new__(cls)

    def __init__(self, *arguments: Any, **named: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


class _Mapping:
    """The same for subclasses of dict, which torch fills only where it finds a plain one."""

    def __new__(cls, *arguments: Any) -> OrderedDict:
        return OrderedDict()


def load(path: Path) -> dict[str, Any]:
    """The dict in a checkpoint, its tensors memory-mapped where the file's form allows.

    Lightning leaves objects of its own and of others in its files. They are neither needed nor imported: something
    empty stands in for each. Raises UsageError for a file that is not there or no such checkpoint.
    """
    if not path.exists():
        raise UsageError(f"no checkpoint {path}")
    try:
        zipped = zipfile.is_zipfile(path)
        strangers = get_unsafe_globals_in_checkpoint(path) if zipped else []
        stand_ins = [(_Mapping if "dict" in name.rsplit(".", 1)[-1].lower() else _Object, name) for name in strangers]
        with safe_globals(stand_ins):
            held = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # torch raises what its unpickler meets
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:100]
        raise UsageError(
            f"{path} cannot be read as a checkpoint: it is none, is damaged, or holds objects that come "
            f"to life only by running code ({reason})"
        ) from error
    if not isinstance(held, dict):
        raise UsageError(f"{path} cannot be read as a checkpoint (it holds {type(held).__name__}, not a dict)")
    return held


def is_lightning(held: Mapping[str, Any]) -> bool:
    return any(name.startswith(UNET) for name in held.get("state_dict", ()))


def read(
    path: Path,
    held: Mapping[str, Any],
    network: Callable[[Mapping[str, Tensor]], nn.Module],
    vae: VAEConfig = VAEConfig(),
    vocoder: HiFiGANConfig = HiFiGANConfig(),
) -> Published:
    """The model in a Lightning file that `load` has read.

    network makes the U-Net for the shapes of its state dict, which it is given. Every name and shape must be just as
    expected; only the noise schedule's buffers and the losses of the VAE's training may be there or not.
    Raises UsageError naming what is missing, unexpected or of another shape.
    """
    state: Mapping[str, Tensor] = held["state_dict"]
    if not any(name.startswith(EMA) for name in state):
        raise UsageError(f"{path} holds no averaged weights (names below {EMA}), which samples are made with")
    with torch.device("meta"):
        unet = network(_below(UNET, state))
    averaged = {name for name, parameter in unet.named_parameters() if parameter.requires_grad}
    key = {
        name: EMA + f"diffusion_model.{name}".replace(".", "") if name in averaged else UNET + name
        for name in unet.state_dict()
    }
    shapes = {UNET + name: value.shape for name, value in unet.state_dict().items()}
    shapes |= {key[name]: value.shape for name, value in unet.state_dict().items()}
    shapes |= dict.fromkeys((EMA + "decay", EMA + "num_updates", "scale_factor"), torch.Size())
    _check(path, _without(state, (FIRST_STAGE,), UNUSED), shapes)
    if "betas" in state and not torch.allclose(state["betas"].float(), noise_schedule().betas, rtol=1e-3):
        raise UsageError(f"{path} was trained with another noise schedule")
    unet.load_state_dict({name: state[key[name]].to(torch.float32, copy=True) for name in key}, assign=True)

    digests = {"weights": checked_sha256(path)}
    first_stage = _without(_below(FIRST_STAGE, state), ("loss.",))
    vae_state, vocoder_state = _without(first_stage, ("vocoder.",)), _below("vocoder.", first_stage)
    if vae_state:
        made_vae = filled(path, lambda: VAE(vae), vae_state)
    else:
        beside = _beside(path, VAE_FILE)
        made_vae, digests["vae"] = vae_of(beside, load(beside), vae), checked_sha256(beside)
    if vocoder_state:
        made_vocoder = filled(path, lambda: HiFiGAN(vocoder, weight_norm=False), vocoder_state)
    else:
        beside = _beside(path, VOCODER_FILE)
        made_vocoder, digests["vocoder"] = vocoder_of(beside, load(beside), vocoder), checked_sha256(beside)
    return Published(unet.eval(), made_vae, made_vocoder, float(state["scale_factor"]), digests)


def vae_of(path: Path, held: Mapping[str, Any], config: VAEConfig = VAEConfig()) -> VAE:
    """The VAE of a file like MusicLDM's `vae-ckpt.ckpt` that `load` has read."""
    if not isinstance(held.get("state_dict"), dict):
        raise UsageError(f"{path} is no VAE (it has no state_dict)")
    return filled(path, lambda: VAE(config), _without(held["state_dict"], ("loss.", "vocoder.")))


def vocoder_of(path: Path, held: Mapping[str, Any], config: HiFiGANConfig = HiFiGANConfig()) -> HiFiGAN:
    """The vocoder of a file like MusicLDM's `hifigan-ckpt.ckpt` that `load` has read, its weight norm folded."""
    state = held.get("generator")
    if not isinstance(state, dict):
        raise UsageError(f"{path} is no HiFi-GAN (it has no generator)")
    norm = "conv_pre.weight" not in state
    vocoder = filled(path, lambda: HiFiGAN(config, weight_norm=norm), state)
    return vocoder.folded() if norm else vocoder


def filled(path: Path, make: Callable[[], ModuleT], state: Mapping[str, Tensor]) -> ModuleT:
    """A module with exactly this state, in evaluation mode; its weights are copies, not the mapped file."""
    with torch.device("meta"):
        module = make()
    _check(path, state, {name: value.shape for name, value in module.state_dict().items()})
    module.load_state_dict({name: value.to(torch.float32, copy=True) for name, value in state.items()}, assign=True)
    return module.eval()


def _check(path: Path, state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> None:
    faults = {
        "missing": [name for name in shapes if name not in state],
        "unexpected": [name for name in state if name not in shapes],
        "of another shape": [
            f"{name} {list(state[name].shape)} for {list(shapes[name])}"
            for name in shapes
            if name in state and state[name].shape != shapes[name]
        ],
    }
    if any(faults.values()):
        told = [
            f"{len(names)} {fault} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
            for fault, names in faults.items()
            if names
        ]
        raise UsageError(f"{path} does not hold the expected weights: {'; '.join(told)}")


def _beside(path: Path, name: str) -> Path:
    beside = path.parent / name
    if not beside.exists():
        raise UsageError(
            f"{path} lacks the VAE or the vocoder, and there is no {name} beside it: put it there "
            f"(`python -m musicldm.fetch musicldm` fetches both files)"
        )
    return beside


def _below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _without(state: Mapping[str, Tensor], prefixes: tuple[str, ...], names: Iterable[str] = ()) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not name.startswith(prefixes) and name not in names}
