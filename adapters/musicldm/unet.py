"""Common parts of the denoising U-Nets of SyncTrack and MSG-LD: sizes, residual blocks, down- and up-sampling, layout.

Attention differs and is defined by each network. SyncTrack's network is 2-D, with stems in the batch dimension;
MSG-LD's is 3-D, with stems as channels. Parameter names are those of the published code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class Conv3d(nn.Conv3d):
    """A 3-D convolution over (depth, mel, time), with weights stored as published, over (depth, time, mel).

    In this order, training on a CPU is 1.6 times as fast: convolutions are vectorised over the last dimension, and the
    mel axis of a small latent has only four positions. Kernel, stride and padding are the same for time and mel.
    """

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight.transpose(3, 4), self.bias)


# Matches the parameter names of the layers that read the input, compute the output or embed the timestep.
# adapterkit.training.optimisers treats all others as hidden layers.
OUTER_LAYERS = r"^(input_blocks\.0|out|time_embed)\.|\bemb_layers\."
# Convolutions over time and mel; in 3-D, the first dimension is the depth, which is never down-sampled.
CONV: dict[int, Any] = {2: nn.Conv2d, 3: Conv3d}


@dataclass(frozen=True)
class UNetConfig:
    """Sizes of a U-Net; the defaults are the published ones.

    Level l has model_channels * channel_mult[l] channels; attention_resolutions are the down-sampling factors at which
    blocks have attention, with heads of num_head_channels. latent_t and latent_f are the size of the latents that the
    model was trained on; the network accepts any multiple of the down-sampling. norm_groups is the number of groups of
    every group norm; a narrow network needs fewer than the published 32, since a group of a single channel loses the
    level of a clip. Raises ValueError, naming the field, for an invalid size.
    """

    in_channels: int
    out_channels: int
    model_channels: int = 128
    attention_resolutions: tuple[int, ...] = (8, 4, 2)
    num_res_blocks: int = 2
    channel_mult: tuple[int, ...] = (1, 2, 3, 5)
    num_head_channels: int = 32
    latent_t: int = 256
    latent_f: int = 16
    norm_groups: int = 32

    def __post_init__(self) -> None:
        object.__setattr__(self, "attention_resolutions", tuple(self.attention_resolutions))
        object.__setattr__(self, "channel_mult", tuple(self.channel_mult))
        kind = type(self).__name__
        for name in ("in_channels", "out_channels", "num_res_blocks", "num_head_channels"):
            if getattr(self, name) < 1:
                raise ValueError(f"{kind}: {name} must be at least 1, got {getattr(self, name)}")
        if not self.channel_mult:
            raise ValueError(f"{kind}: channel_mult needs at least one level")
        factors = [2**level for level in range(len(self.channel_mult))]
        for resolution in self.attention_resolutions:
            if resolution not in factors:
                raise ValueError(
                    f"{kind}: attention resolution {resolution} is no down-sampling of this U-Net, which has {factors}"
                )
        for mult, factor in zip(self.channel_mult, factors):
            channels = self.model_channels * mult
            if channels < self.norm_groups or channels % self.norm_groups:
                raise ValueError(
                    f"{kind}: {channels} channels (model_channels={self.model_channels} times {mult}) are not a "
                    f"multiple of norm_groups={self.norm_groups}"
                )
            attends = factor in self.attention_resolutions or factor == factors[-1]  # the middle always attends
            if attends and channels % self.num_head_channels:
                raise ValueError(
                    f"{kind}: {channels} channels are not a multiple of num_head_channels={self.num_head_channels}"
                )
        if self.model_channels % self.norm_groups:
            raise ValueError(
                f"{kind}: model_channels={self.model_channels} is not a multiple of norm_groups={self.norm_groups}"
            )
        for name in ("latent_t", "latent_f"):
            if getattr(self, name) < 1 or getattr(self, name) % self.downsampling:
                raise ValueError(
                    f"{kind}: {name}={getattr(self, name)} is not a multiple of the down-sampling {self.downsampling}"
                )

    @property
    def downsampling(self) -> int:
        return 2 ** (len(self.channel_mult) - 1)


def zeroed(module: ModuleT) -> ModuleT:
    """Set all parameters to zero, so that a residual block ending in this module starts training as the identity."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


class ResBlock(nn.Module):
    def __init__(self, in_channels: int, emb_channels: int, out_channels: int, groups: int = 32, dims: int = 2):
        super().__init__()
        conv = CONV[dims]
        self.in_layers = nn.Sequential(
            nn.GroupNorm(groups, in_channels), nn.SiLU(), conv(in_channels, out_channels, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb_channels, out_channels))
        self.out_layers = nn.Sequential(  # the identity replaces the published code's dropout of 0
            nn.GroupNorm(groups, out_channels),
            nn.SiLU(),
            nn.Identity(),
            zeroed(conv(out_channels, out_channels, 3, padding=1)),
        )
        self.skip_connection = nn.Identity() if in_channels == out_channels else conv(in_channels, out_channels, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.in_layers(x)
        shift = self.emb_layers(emb)
        h = h + shift.reshape(*shift.shape, *[1] * (h.ndim - 2))
        return self.skip_connection(x) + self.out_layers(h)


class Downsample(nn.Module):
    def __init__(self, channels: int, dims: int):
        super().__init__()
        self.op = CONV[dims](channels, channels, 3, stride=(1, 2, 2)[-dims:], padding=1)

    def forward(self, x: Tensor) -> Tensor:
        # Not in bfloat16: oneDNN's strided kernel reads uninitialised memory when 2 positions become 1.
        with torch.autocast(x.device.type, enabled=False):
            return self.op(x.to(self.op.weight.dtype))


class Upsample(nn.Module):
    def __init__(self, channels: int, dims: int):
        super().__init__()
        self.conv = CONV[dims](channels, channels, 3, padding=1)
        self.factors = (1.0, 2.0, 2.0)[-dims:]

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=self.factors, mode="nearest"))


class Block(nn.ModuleList):
    """One entry of the U-Net's lists: modules applied in sequence. Residual blocks also take the embedding."""

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        for module in self:
            x = module(x, emb) if isinstance(module, ResBlock) else module(x)
        return x


def blocks(
    config: UNetConfig, dims: int, emb_channels: int, attention: Callable[[int], nn.Module]
) -> tuple[nn.ModuleList, Block, nn.ModuleList, nn.Sequential]:
    """Create input_blocks, middle_block, output_blocks and out.

    attention(channels) creates the next attention block, in the order of execution. The i-th output block also takes
    the output of the i-th last input block.
    """
    width, groups = config.model_channels, config.norm_groups

    def res_block(in_channels: int, out_channels: int, factor: int) -> Block:
        block = Block([ResBlock(in_channels, emb_channels, out_channels, groups, dims)])
        if factor in config.attention_resolutions:
            block.append(attention(out_channels))
        return block

    levels = [(2**level, width * mult) for level, mult in enumerate(config.channel_mult)]
    inputs = nn.ModuleList([Block([CONV[dims](config.in_channels, width, 3, padding=1)])])
    channels, skips = width, [width]
    for factor, out_channels in levels:
        for _ in range(config.num_res_blocks):
            inputs.append(res_block(channels, out_channels, factor))
            channels = out_channels
            skips.append(channels)
        if factor != config.downsampling:
            inputs.append(Block([Downsample(channels, dims)]))
            skips.append(channels)

    middle = Block(
        [
            ResBlock(channels, emb_channels, channels, groups, dims),
            attention(channels),
            ResBlock(channels, emb_channels, channels, groups, dims),
        ]
    )

    outputs = nn.ModuleList()
    for factor, out_channels in reversed(levels):
        for i in range(config.num_res_blocks + 1):
            block = res_block(channels + skips.pop(), out_channels, factor)
            channels = out_channels
            if factor > 1 and i == config.num_res_blocks:
                block.append(Upsample(channels, dims))
            outputs.append(block)
    out = nn.Sequential(
        nn.GroupNorm(groups, channels), nn.SiLU(), zeroed(CONV[dims](channels, config.out_channels, 3, padding=1))
    )
    return inputs, middle, outputs, out
