"""The KL autoencoder of MusicLDM: log-mel spectrogram <-> latent (Rombach et al. 2022, Chen et al. 2023).

Parameter names are those of the published `vae-ckpt.ckpt`, so its `state_dict` can be loaded directly.
Shapes in comments: R rows (a stem is a row), C channels, T time, F mel.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class VAEConfig:
    """Sizes of the autoencoder; the defaults are the published ones.

    Level l has ch * ch_mult[l] channels and works at 1 / 2**l of the time and mel resolution. norm_groups is the number
    of groups of every group norm; a narrow network needs fewer than the published 32, since a group of a single channel
    loses the level of a clip.
    The fields `double_z`, `resolution`, `attn_resolutions` and `dropout` exist because published configurations contain
    them. This network supports only one value of `double_z`, `attn_resolutions` and `dropout`; `resolution` has no
    effect.
    """

    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 2, 4)
    num_res_blocks: int = 2
    z_channels: int = 8
    embed_dim: int = 8
    in_channels: int = 1
    out_ch: int = 1
    resolution: int = 256
    double_z: bool = True
    attn_resolutions: tuple[int, ...] = ()
    dropout: float = 0.0
    norm_groups: int = 32

    def __post_init__(self) -> None:
        object.__setattr__(self, "ch_mult", tuple(self.ch_mult))
        object.__setattr__(self, "attn_resolutions", tuple(self.attn_resolutions))
        if not self.double_z or self.attn_resolutions or self.dropout:
            raise ValueError("VAEConfig: only double_z=True, attn_resolutions=() and dropout=0 are supported")
        if self.num_res_blocks < 1 or not self.ch_mult:
            raise ValueError("VAEConfig: num_res_blocks and the number of levels in ch_mult must be at least 1")
        for mult in (1, *self.ch_mult):
            if self.ch * mult < self.norm_groups or self.ch * mult % self.norm_groups:
                raise ValueError(
                    f"VAEConfig: {self.ch * mult} channels (ch={self.ch}, ch_mult={self.ch_mult}) "
                    f"are not a multiple of norm_groups={self.norm_groups}"
                )

    @property
    def downsampling(self) -> int:
        """Log-mel frames (and mel bands) per latent position."""
        return 2 ** (len(self.ch_mult) - 1)


def group_norm(channels: int, groups: int) -> nn.GroupNorm:
    return nn.GroupNorm(groups, channels, eps=1e-6)


class ResBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, groups: int = 32):
        super().__init__()
        self.norm1 = group_norm(in_channels, groups)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = group_norm(out_channels, groups)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if in_channels != out_channels:
            self.nin_shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class AttnBlock(nn.Module):
    """Single-head self-attention over all positions, scale C**-0.5."""

    def __init__(self, channels: int, groups: int = 32):
        super().__init__()
        self.norm = group_norm(channels, groups)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        R, C, T, F_ = x.shape
        h = self.norm(x)
        q, k, v = (f(h).permute(0, 2, 3, 1).reshape(R, 1, T * F_, C) for f in (self.q, self.k, self.v))
        h = F.scaled_dot_product_attention(q, k, v)
        return x + self.proj_out(h.reshape(R, T, F_, C).permute(0, 3, 1, 2))


class Downsample(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))  # zeros at the end of time and mel only


class Upsample(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Middle(nn.Module):
    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.block_1 = ResBlock(channels, channels, groups)
        self.attn_1 = AttnBlock(channels, groups)
        self.block_2 = ResBlock(channels, channels, groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class Level(nn.Module):
    """Residual blocks at one resolution, optionally followed by a change of resolution."""

    def __init__(self, in_channels: int, out_channels: int, blocks: int, groups: int):
        super().__init__()
        sizes = [in_channels] + [out_channels] * blocks
        self.block = nn.ModuleList(ResBlock(a, b, groups) for a, b in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        for name in ("downsample", "upsample"):
            if hasattr(self, name):
                x = getattr(self, name)(x)
        return x


class Encoder(nn.Module):
    def __init__(self, config: VAEConfig):
        super().__init__()
        widths = [config.ch * mult for mult in config.ch_mult]
        self.conv_in = nn.Conv2d(config.in_channels, config.ch, 3, padding=1)
        self.down = nn.ModuleList()
        for level, (before, width) in enumerate(zip([config.ch, *widths], widths)):
            self.down.append(Level(before, width, config.num_res_blocks, config.norm_groups))
            if level < len(widths) - 1:
                self.down[-1].downsample = Downsample(width)
        self.mid = Middle(widths[-1], config.norm_groups)
        self.norm_out = group_norm(widths[-1], config.norm_groups)
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.z_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class Decoder(nn.Module):
    def __init__(self, config: VAEConfig):
        super().__init__()
        widths = [config.ch * mult for mult in config.ch_mult]
        self.conv_in = nn.Conv2d(config.z_channels, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1], config.norm_groups)
        self.up = nn.ModuleList()  # up[l] is level l; levels are applied from the last to the first
        for level, (above, width) in enumerate(zip([*widths[1:], widths[-1]], widths)):
            self.up.append(Level(above, width, config.num_res_blocks + 1, config.norm_groups))
            if level > 0:
                self.up[-1].upsample = Upsample(width)
        self.norm_out = group_norm(widths[0], config.norm_groups)
        self.conv_out = nn.Conv2d(widths[0], config.out_ch, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class VAE(nn.Module):
    """KL autoencoder of log-mel spectrograms.

    Its latents are not scaled: the diffusion model works on `scale_factor * z`, and the factor is stored in the
    diffusion checkpoint.
    """

    outer_layers = r"^(encoder\.conv_in|decoder\.conv_out)\."  # see adapterkit.training.optimisers

    def __init__(self, config: VAEConfig = VAEConfig()):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quant_conv = nn.Conv2d(2 * config.z_channels, 2 * config.embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(config.embed_dim, config.z_channels, 1)

    def encode(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of the posterior.

        log_mel: float [R, 1, T, F] (time, mel); returns two tensors [R, embed_dim, T / d, F / d], d = downsampling.
        The log-variance is clamped to [-30, 20]. A posterior sample is mean + exp(logvar / 2) * noise.
        """
        d = self.config.downsampling
        if log_mel.ndim != 4 or log_mel.shape[1] != self.config.in_channels or any(n % d for n in log_mel.shape[2:]):
            raise ValueError(
                f"VAE.encode: expected [rows, {self.config.in_channels}, time, mel] with time and mel "
                f"multiples of {d}, got {list(log_mel.shape)}"
            )
        mean, logvar = self.quant_conv(self.encoder(log_mel)).chunk(2, dim=1)
        return mean, logvar.clamp(-30.0, 20.0)

    def decode(self, latents: Tensor) -> Tensor:
        """Decode unscaled latents [R, embed_dim, T / d, F / d] to a log-mel [R, 1, T, F]."""
        if latents.ndim != 4 or latents.shape[1] != self.config.embed_dim:
            raise ValueError(
                f"VAE.decode: expected [rows, {self.config.embed_dim}, time, mel], got {list(latents.shape)}"
            )
        return self.decoder(self.post_quant_conv(latents))
