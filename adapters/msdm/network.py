"""The MSDM denoising U-Net: a 1-D network over the stacked waves of the stems.

Parameter names are those of the published code (under `model.unet.`, and again under `model.diffusion.net.`).
Shapes in comments: B samples, S stems, L length, C channels, H heads, M width of the mapping (4 x channels).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERNEL_MULTIPLIER = 2  # kernel size of a strided convolution: this many times its stride, plus one
SKIP_SCALE = 2**-0.5


@dataclass(frozen=True)
class MSDMConfig:
    """Sizes of the U-Net; the defaults are the published ones.

    in_channels is the number of stems. patch_factor consecutive samples are folded into channels, which gives
    `channels` channels, and channels * multipliers[l + 1] after level l. Level l shortens its input by factors[l] and
    has num_blocks[l] residual blocks and, if attentions[l], attention with attention_heads heads of
    attention_features; the bottleneck always has attention. resnet_groups is the number of groups of the group norms.
    samples is the length of the waves that the model was trained on; the network accepts any multiple of the
    down-sampling.
    """

    in_channels: int = 4
    channels: int = 256
    patch_factor: int = 16
    resnet_groups: int = 8
    multipliers: tuple[int, ...] = (1, 2, 4, 4, 4, 4, 4)
    factors: tuple[int, ...] = (4, 4, 4, 2, 2, 2)
    num_blocks: tuple[int, ...] = (2, 2, 2, 2, 2, 2)
    attentions: tuple[bool, ...] = (False, False, False, True, True, True)
    attention_heads: int = 8
    attention_features: int = 128
    attention_multiplier: int = 2
    samples: int = 262_144

    def __post_init__(self) -> None:
        levels = len(self.factors)
        for name in ("factors", "num_blocks", "attentions", "multipliers"):
            values = tuple(getattr(self, name))
            object.__setattr__(self, name, values)
            if len(values) != levels + (name == "multipliers") or not levels:
                raise ValueError(
                    "MSDMConfig: factors, num_blocks and attentions need one entry per level, multipliers "
                    f"one more; got {name}={list(values)} with {levels} factors"
                )
            if min(values) < 1 and name != "attentions":
                raise ValueError(f"MSDMConfig: {name} must be at least 1, got {list(values)}")
        for name in (
            "in_channels",
            "channels",
            "patch_factor",
            "resnet_groups",
            "attention_heads",
            "attention_features",
            "attention_multiplier",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"MSDMConfig: {name} must be at least 1, got {getattr(self, name)}")
        if self.channels % (self.patch_factor * self.in_channels):
            raise ValueError(
                f"MSDMConfig: channels={self.channels} is not a multiple of patch_factor * in_channels = "
                f"{self.patch_factor * self.in_channels}"
            )
        for multiplier in self.multipliers[1:]:
            if self.channels * multiplier % self.resnet_groups:
                raise ValueError(
                    f"MSDMConfig: {self.channels * multiplier} channels (channels={self.channels} times "
                    f"{multiplier}) are not a multiple of resnet_groups={self.resnet_groups}"
                )
        if self.samples < 1 or self.samples % self.downsampling:
            raise ValueError(
                f"MSDMConfig: samples={self.samples} is not a multiple of the down-sampling {self.downsampling}"
            )

    @property
    def downsampling(self) -> int:
        return self.patch_factor * math.prod(self.factors)


class Fourier(nn.Module):
    """Computes [c, sin(2 pi c w), cos(2 pi c w)] with learned frequencies w; c [B] -> [B, 2 frequencies + 1]."""

    def __init__(self, frequencies: int):
        super().__init__()
        self.weights = nn.Parameter(torch.randn(frequencies))

    def forward(self, c: Tensor) -> Tensor:
        c = c[:, None]
        angles = 2 * math.pi * c * self.weights
        return torch.cat([c, angles.sin(), angles.cos()], dim=1)


class ConvBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, groups: int):
        super().__init__()
        self.groupnorm = nn.GroupNorm(groups, in_channels)
        self.project = nn.Conv1d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        x = self.groupnorm(x)
        if scale is not None and shift is not None:
            x = x * (scale + 1) + shift
        return self.project(F.silu(x))


class ScaleShift(nn.Module):
    def __init__(self, mapping: int, channels: int):
        super().__init__()
        self.to_scale_shift = nn.Sequential(nn.SiLU(), nn.Linear(mapping, 2 * channels))

    def forward(self, mapping: Tensor) -> tuple[Tensor, ...]:  # [B, M] -> twice [B, C, 1]
        return self.to_scale_shift(mapping)[:, :, None].chunk(2, dim=1)


class ResBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, mapping: int, groups: int):
        super().__init__()
        self.block1 = ConvBlock(in_channels, out_channels, groups)
        self.to_scale_shift = ScaleShift(mapping, out_channels)
        self.block2 = ConvBlock(out_channels, out_channels, groups)
        self.to_out = nn.Identity() if in_channels == out_channels else nn.Conv1d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, mapping: Tensor) -> Tensor:  # [B, C, L]
        h = self.block2(self.block1(x), *self.to_scale_shift(mapping))
        return h + self.to_out(x)


class LayerNorm(nn.Module):
    """Layer norm of tokens [..., C], with a gain but no bias."""

    def __init__(self, channels: int):
        super().__init__()
        self.g = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.g.shape, self.g)


class ChannelNorm(nn.Module):
    """The same over the channels of [B, C, L]."""

    def __init__(self, channels: int):
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.transpose(1, 2), (x.shape[1],), self.g.flatten()).transpose(1, 2)


class Attention(nn.Module):
    """Self-attention over all positions, without biases and without a residual connection."""

    def __init__(self, channels: int, heads: int, features: int):
        super().__init__()
        self.heads = heads
        self.norm = LayerNorm(channels)
        self.to_q = nn.Linear(channels, heads * features, bias=False)
        self.to_kv = nn.Linear(channels, 2 * heads * features, bias=False)
        out = nn.Sequential(nn.Linear(heads * features, channels, bias=False), LayerNorm(channels))
        self.attention = nn.ModuleDict({"to_out": out})

    def forward(self, x: Tensor) -> Tensor:  # [B, C, L]
        tokens = self.norm(x.transpose(1, 2))  # [B, L, C]
        q, k, v = (
            y.unflatten(2, (self.heads, -1)).transpose(1, 2).contiguous()  # [B, H, L, features]
            for y in (self.to_q(tokens), *self.to_kv(tokens).chunk(2, dim=2))
        )
        out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.attention["to_out"](out).transpose(1, 2)


class Transformer(nn.Module):
    def __init__(self, channels: int, config: MSDMConfig):
        super().__init__()
        inner = config.attention_multiplier * channels
        attention = Attention(channels, config.attention_heads, config.attention_features)
        self.attention = nn.ModuleDict({"fn": attention})
        self.feed_forward = nn.Sequential(
            ChannelNorm(channels),
            nn.Conv1d(channels, inner, 1, bias=False),
            nn.GELU(),
            ChannelNorm(inner),
            nn.Conv1d(inner, channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention["fn"](x)
        return x + self.feed_forward(x)


class DownLevel(nn.Module):
    def __init__(self, level: int, config: MSDMConfig):
        super().__init__()
        in_channels, channels = (config.channels * multiplier for multiplier in config.multipliers[level : level + 2])
        factor, mapping = config.factors[level], 4 * config.channels
        self.downsample = nn.Conv1d(
            in_channels,
            channels,
            KERNEL_MULTIPLIER * factor + 1,
            stride=factor,
            padding=KERNEL_MULTIPLIER * factor // 2,
        )
        self.blocks = nn.ModuleList(
            ResBlock(channels, channels, mapping, config.resnet_groups) for _ in range(config.num_blocks[level])
        )
        self.transformer = Transformer(channels, config) if config.attentions[level] else None

    def forward(self, x: Tensor, mapping: Tensor) -> list[Tensor]:
        """Return the skip connections of the level; the last of them is its output."""
        x, skips = self.downsample(x), []
        for block in self.blocks:
            x = block(x, mapping)
            skips.append(x)
        return [*skips, self.transformer(x)] if self.transformer else skips


class Bottleneck(nn.Module):
    def __init__(self, config: MSDMConfig):
        super().__init__()
        channels, mapping = config.channels * config.multipliers[-1], 4 * config.channels
        attention = Attention(channels, config.attention_heads, config.attention_features)
        self.pre_block = ResBlock(channels, channels, mapping, config.resnet_groups)
        self.attention = nn.ModuleDict({"fn": attention})
        self.post_block = ResBlock(channels, channels, mapping, config.resnet_groups)

    def forward(self, x: Tensor, mapping: Tensor) -> Tensor:
        x = self.attention["fn"](self.pre_block(x, mapping))  # no residual, as published
        return self.post_block(x, mapping)


class UpLevel(nn.Module):
    def __init__(self, level: int, config: MSDMConfig):
        super().__init__()
        out_channels, channels = (config.channels * multiplier for multiplier in config.multipliers[level : level + 2])
        factor, mapping = config.factors[level], 4 * config.channels
        skips = config.num_blocks[level] + config.attentions[level]
        self.blocks = nn.ModuleList(
            ResBlock(2 * channels, channels, mapping, config.resnet_groups) for _ in range(skips)
        )
        self.transformer = Transformer(channels, config) if config.attentions[level] else None
        self.upsample = nn.ConvTranspose1d(
            channels,
            out_channels,
            2 * factor,
            stride=factor,
            padding=factor // 2 + factor % 2,
            output_padding=factor % 2,
        )

    def forward(self, x: Tensor, skips: list[Tensor], mapping: Tensor) -> Tensor:
        for block, skip in zip(self.blocks, reversed(skips)):
            x = block(torch.cat([x, SKIP_SCALE * skip], dim=1), mapping)
        return self.upsample(self.transformer(x) if self.transformer else x)


class MSDMUNet(nn.Module):
    outer_layers = r"^(to_in|to_out|to_mapping)\.|\bto_scale_shift\."  # see adapterkit.training.optimisers

    def __init__(self, config: MSDMConfig = MSDMConfig()):
        super().__init__()
        self.config = config
        stems, width, mapping = config.in_channels, config.channels, 4 * config.channels
        inner, levels = width // config.patch_factor, range(len(config.factors))
        self.to_mapping = nn.Sequential(nn.Linear(mapping, mapping), nn.GELU(), nn.Linear(mapping, mapping), nn.GELU())
        self.to_time = nn.Sequential(
            nn.Sequential(Fourier(width // 2), nn.Linear(2 * (width // 2) + 1, mapping)), nn.GELU()
        )
        self.to_in = _listed(ResBlock(stems, inner, mapping, groups=stems))
        self.downsamples = nn.ModuleList(DownLevel(level, config) for level in levels)
        self.bottleneck = Bottleneck(config)
        self.upsamples = nn.ModuleList(UpLevel(level, config) for level in reversed(levels))
        self.to_out = _listed(ResBlock(inner, stems, mapping, groups=stems))

    def mapping(self, c_noise: Tensor) -> Tensor:
        """Embed the noise level, [B] -> [B, M], in float32 even under autocast."""
        with torch.autocast(c_noise.device.type, enabled=False):
            return self.to_mapping(self.to_time(c_noise.float()))

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        """Return the network's raw output F, from which `msdm.sampling.denoised` computes the denoised waves.

        x: [B, S, L], stems in the order bass, drums, guitar, piano, scaled by c_in; c_noise: [B], ln(sigma) / 4.
        Returns [B, S, L]. Raises ValueError for a wrong shape, or if L is not a multiple of the down-sampling.
        """
        stems, factor, patch = self.config.in_channels, self.config.downsampling, self.config.patch_factor
        if x.ndim != 3 or x.shape[1] != stems or not x.shape[2] or x.shape[2] % factor:
            raise ValueError(
                f"MSDMUNet: expected waves [B, {stems}, L] with L a multiple of {factor}, got {list(x.shape)}"
            )
        if c_noise.shape != x.shape[:1]:
            raise ValueError(f"MSDMUNet: expected one noise level per sample, [{len(x)}], got {list(c_noise.shape)}")
        mapping = self.mapping(c_noise)
        h = _block_of(self.to_in)(x, mapping)
        # Channel = inner channel * patch + position in the patch.
        first = h = h.unflatten(2, (-1, patch)).transpose(2, 3).flatten(1, 2)
        skips = []
        for level in self.downsamples:
            skips.append(level(h, mapping))
            h = skips[-1][-1]
        h = self.bottleneck(h, mapping)
        for level in self.upsamples:
            h = level(h, skips.pop(), mapping)
        h = (h + first).unflatten(1, (-1, patch)).transpose(2, 3).flatten(2)
        output: Tensor = _block_of(self.to_out)(h, mapping)
        return output


def _listed(block: ResBlock) -> nn.ModuleDict:
    """Wrap a block so that its parameters are named as in the published code, which has a list of one block here."""
    return nn.ModuleDict({"module_list": nn.ModuleList([nn.ModuleDict({"block": block})])})


def _block_of(listed: nn.ModuleDict) -> nn.Module:
    """Return the block wrapped by `_listed`."""
    listing: Any = listed["module_list"]
    block: nn.Module = listing[0]["block"]
    return block
