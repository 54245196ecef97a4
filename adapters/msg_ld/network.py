"""The MSG-LD denoising U-Net: stems as channels of a 3-D network over (latent channel, time, mel).

Parameter names are those of the published code (below `model.diffusion_model.`). Without a mixture this is also the
U-Net of MT-MusicLDM, whose checkpoints are 192 channels wide: the unconditional one, and with `film_emb` the one
conditioned on a CLAP embedding.
Shapes in comments: B samples, S stems, C channels, D latent channels (the depth axis), T time, F mel,
N = D T F tokens, H heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from musicldm.diffusion import timestep_embedding


@dataclass(frozen=True)
class MSGLDConfig:
    """Sizes of the U-Net; the defaults are the published ones.

    in_channels and out_channels are the stems. A level l has model_channels * channel_mult[l] channels;
    attention_resolutions are the down-sampling factors at which blocks have attention, with heads of
    num_head_channels. Depth (z_channels) is never down-sampled. latent_t and latent_f are the size of the latents
    that the model was made for; the network takes any multiple of the down-sampling. norm_groups is the number of
    groups of every group norm; a narrow network needs fewer than the published 32, since a group of one channel loses
    the level of a clip. extra_film_condition_dim is the width E of the CLAP embedding that an MT-MusicLDM is conditioned
    on (512 in the published one), None without.
    """

    in_channels: int = 4
    out_channels: int = 4
    model_channels: int = 128
    attention_resolutions: tuple[int, ...] = (8, 4, 2)
    num_res_blocks: int = 2
    channel_mult: tuple[int, ...] = (1, 2, 3, 5)
    num_head_channels: int = 32
    dims: int = 3
    use_spatial_transformer: bool = False
    extra_film_condition_dim: int | None = None
    num_stems: int = 4
    z_channels: int = 8
    latent_t: int = 256
    latent_f: int = 16
    norm_groups: int = 32

    def __post_init__(self) -> None:
        object.__setattr__(self, "attention_resolutions", tuple(self.attention_resolutions))
        object.__setattr__(self, "channel_mult", tuple(self.channel_mult))
        for name, only in {"dims": 3, "use_spatial_transformer": False}.items():
            if getattr(self, name) != only:
                raise ValueError(f"MSGLDConfig: {name} must be {only!r}, got {getattr(self, name)!r}")
        if not self.in_channels == self.out_channels == self.num_stems >= 1:
            raise ValueError("MSGLDConfig: in_channels, out_channels and num_stems are the same number of stems, got "
                             f"{self.in_channels}, {self.out_channels}, {self.num_stems}")
        for name in ("num_res_blocks", "num_head_channels", "z_channels"):
            if getattr(self, name) < 1:
                raise ValueError(f"MSGLDConfig: {name} must be at least 1, got {getattr(self, name)}")
        if self.extra_film_condition_dim is not None and self.extra_film_condition_dim < 1:
            raise ValueError("MSGLDConfig: extra_film_condition_dim must be at least 1 or none, got "
                             f"{self.extra_film_condition_dim}")
        if not self.channel_mult:
            raise ValueError("MSGLDConfig: channel_mult needs at least one level")
        factors = [2**level for level in range(len(self.channel_mult))]
        for resolution in self.attention_resolutions:
            if resolution not in factors:
                raise ValueError(f"MSGLDConfig: attention resolution {resolution} is no down-sampling of this "
                                 f"U-Net, which has {factors}")
        if self.model_channels < self.norm_groups or self.model_channels % self.norm_groups:
            raise ValueError(f"MSGLDConfig: model_channels={self.model_channels} is not a multiple of norm_groups={self.norm_groups}")
        for mult, factor in zip(self.channel_mult, factors):
            channels = self.model_channels * mult
            if channels < self.norm_groups or channels % self.norm_groups:
                raise ValueError(f"MSGLDConfig: {channels} channels (model_channels={self.model_channels} times "
                                 f"{mult}) are not a multiple of norm_groups={self.norm_groups}")
            attends = factor in self.attention_resolutions or factor == factors[-1]  # the middle always attends
            if attends and channels % self.num_head_channels:
                raise ValueError(f"MSGLDConfig: {channels} channels are not a multiple of num_head_channels="
                                 f"{self.num_head_channels}")
        for name in ("latent_t", "latent_f"):
            if getattr(self, name) < 1 or getattr(self, name) % self.downsampling:
                raise ValueError(f"MSGLDConfig: {name}={getattr(self, name)} is not a multiple of the "
                                 f"down-sampling {self.downsampling}")

    @property
    def downsampling(self) -> int:
        return 2 ** (len(self.channel_mult) - 1)


def zeroed(module: nn.Module) -> nn.Module:
    """Zero parameters: a block that ends in one starts training as the identity."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


class ResBlock(nn.Module):
    def __init__(self, in_channels: int, emb_channels: int, out_channels: int, groups: int = 32):
        super().__init__()
        self.in_layers = nn.Sequential(
            nn.GroupNorm(groups, in_channels), nn.SiLU(), nn.Conv3d(in_channels, out_channels, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb_channels, out_channels))
        self.out_layers = nn.Sequential(  # the identity stands where the published code has its dropout of 0
            nn.GroupNorm(groups, out_channels), nn.SiLU(), nn.Identity(),
            zeroed(nn.Conv3d(out_channels, out_channels, 3, padding=1)))
        self.skip_connection = nn.Identity() if in_channels == out_channels else nn.Conv3d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.in_layers(x) + self.emb_layers(emb)[:, :, None, None, None]
        return self.skip_connection(x) + self.out_layers(h)


class Downsample(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.op = nn.Conv3d(channels, channels, 3, stride=(1, 2, 2), padding=1)

    def forward(self, x: Tensor) -> Tensor:
        # Not in bfloat16: oneDNN's strided kernel reads uninitialised memory where 2 positions become 1.
        with torch.autocast(x.device.type, enabled=False):
            return self.op(x.to(self.op.weight.dtype))


class Upsample(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=(1.0, 2.0, 2.0), mode="nearest"))


class AttentionBlock(nn.Module):
    """Self-attention over all positions of depth, time and mel."""

    def __init__(self, channels: int, head_width: int, groups: int = 32):
        super().__init__()
        self.head_width = head_width
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = zeroed(nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:  # [B, C, D, T, F]
        B, C = x.shape[:2]
        tokens = self.norm(x).permute(0, 2, 3, 4, 1).reshape(B, -1, C)  # [B, N, C]
        qkv = F.linear(tokens, self.qkv.weight[:, :, 0], self.qkv.bias)
        qkv = qkv.reshape(B, tokens.shape[1], -1, 3, self.head_width)  # heads first, then q, k, v within a head
        q, k, v = qkv.permute(3, 0, 2, 1, 4).contiguous()  # each [B, H, N, head width]
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, -1, C)
        h = F.linear(h, self.proj_out.weight[:, :, 0], self.proj_out.bias)
        return x + h.reshape(B, *x.shape[2:], C).permute(0, 4, 1, 2, 3)


class Block(nn.ModuleList):
    """One entry of the U-Net's lists: modules in sequence, of which residual blocks also take the embedding."""

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        for module in self:
            x = module(x, emb) if isinstance(module, ResBlock) else module(x)
        return x


class MSGLDUNet(nn.Module):
    def __init__(self, config: MSGLDConfig = MSGLDConfig()):
        super().__init__()
        self.config = config
        width, emb, groups = config.model_channels, 4 * config.model_channels, config.norm_groups
        self.time_embed = nn.Sequential(nn.Linear(width, emb), nn.SiLU(), nn.Linear(emb, emb))
        if config.extra_film_condition_dim is not None:
            self.film_emb = nn.Linear(config.extra_film_condition_dim, emb)
            emb *= 2  # the blocks take both, the time first

        def res_block(in_channels: int, out_channels: int, factor: int) -> Block:
            block = Block([ResBlock(in_channels, emb, out_channels, groups)])
            if factor in config.attention_resolutions:
                block.append(AttentionBlock(out_channels, config.num_head_channels, groups))
            return block

        levels = [(2**level, width * mult) for level, mult in enumerate(config.channel_mult)]
        self.input_blocks = nn.ModuleList([Block([nn.Conv3d(config.in_channels, width, 3, padding=1)])])
        channels, skips = width, [width]
        for factor, out_channels in levels:
            for _ in range(config.num_res_blocks):
                self.input_blocks.append(res_block(channels, out_channels, factor))
                channels = out_channels
                skips.append(channels)
            if factor != config.downsampling:
                self.input_blocks.append(Block([Downsample(channels)]))
                skips.append(channels)

        self.middle_block = Block([ResBlock(channels, emb, channels, groups),
                                   AttentionBlock(channels, config.num_head_channels, groups),
                                   ResBlock(channels, emb, channels, groups)])

        self.output_blocks = nn.ModuleList()
        for factor, out_channels in reversed(levels):
            for i in range(config.num_res_blocks + 1):
                self.output_blocks.append(res_block(channels + skips.pop(), out_channels, factor))
                channels = out_channels
                if factor > 1 and i == config.num_res_blocks:
                    self.output_blocks[-1].append(Upsample(channels))
        self.out = nn.Sequential(nn.GroupNorm(groups, channels), nn.SiLU(),
                                 zeroed(nn.Conv3d(channels, config.out_channels, 3, padding=1)))

    def mixture_levels(self, mixture: Tensor) -> list[Tensor]:
        """The mixture latent before every input block and after the last: [B, 1, D, t, f], pooled with the network."""
        levels = [mixture[:, None]]
        for block in self.input_blocks:
            down = isinstance(block[0], Downsample)
            levels.append(F.avg_pool3d(levels[-1], (1, 2, 2)) if down else levels[-1])
        return levels

    def forward(self, latents: Tensor, timesteps: Tensor, mixture: Tensor | None = None,
                embedding: Tensor | None = None) -> Tensor:
        """The noise in `latents`.

        latents: [B, S, D, T, F], stems in the order bass, drums, guitar, piano, scaled by the checkpoint's scale
        factor; timesteps: [B], 0 ... 999; mixture: scaled latents of the mixture [B, D, T, F] for separation, or
        None for generation, which gives what zeros would give; embedding: CLAP's [B, E], if and only if the network is
        conditioned on one (y of the published code). Returns [B, S, D, T, F].
        Raises ValueError for another shape, or T, F that the down-sampling does not divide.
        """
        config = self.config
        if latents.ndim != 5 or latents.shape[1:3] != (config.in_channels, config.z_channels) \
                or any(n % config.downsampling for n in latents.shape[3:]):
            raise ValueError(f"MSGLDUNet: expected latents [B, {config.in_channels}, {config.z_channels}, T, F] "
                             f"with T and F multiples of {config.downsampling}, got {list(latents.shape)}")
        if timesteps.shape != latents.shape[:1]:
            raise ValueError(f"MSGLDUNet: expected one timestep a sample, [{len(latents)}], got {list(timesteps.shape)}")
        if mixture is not None and mixture.shape != latents[:, 0].shape:
            raise ValueError(f"MSGLDUNet: expected mixture {list(latents[:, 0].shape)}, got {list(mixture.shape)}")
        E = config.extra_film_condition_dim
        if (None if embedding is None else embedding.shape) != (None if E is None else (len(latents), E)):
            raise ValueError(f"MSGLDUNet: expected {'no embedding' if E is None else f'embedding [{len(latents)}, {E}]'}"
                             f", got {'none' if embedding is None else list(embedding.shape)}")
        with torch.autocast(timesteps.device.type, enabled=False):
            emb = self.time_embed(timestep_embedding(timesteps, config.model_channels))  # [B, 4W]
            if embedding is not None:
                emb = torch.cat([emb, self.film_emb(embedding)], dim=1)  # [B, 8W]
        m = None if mixture is None else self.mixture_levels(mixture)
        h, skips = latents, []
        for i, block in enumerate(self.input_blocks):
            h = block(h if m is None else h + m[i], emb)
            skips.append(h)
        h = self.middle_block(h, emb)
        for i, block in enumerate(self.output_blocks):
            h = torch.cat([h, skips.pop()], dim=1)
            h = block(h if m is None else h + m[len(self.input_blocks) - i], emb)
        return self.out(h)
