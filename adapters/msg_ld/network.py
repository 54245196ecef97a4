"""The MSG-LD denoising U-Net: stems as channels of a 3-D network over (latent channel, time, mel).

Parameter names are those of the published code (under `model.diffusion_model.`). Without a mixture, this is also the
U-Net of MT-MusicLDM, whose two checkpoints are 192 channels wide: an unconditional one and one that is conditioned on a
CLAP embedding (with `film_emb`).
Shapes in comments: B samples, S stems, C channels, D latent channels (the depth axis), T time, F mel,
N = D T F tokens, H heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from musicldm.diffusion import timestep_embedding
from musicldm.unet import OUTER_LAYERS, Downsample, UNetConfig, blocks, zeroed


@dataclass(frozen=True)
class MSGLDConfig(UNetConfig):
    """Sizes of the U-Net, see UNetConfig; the defaults are the published ones.

    in_channels and out_channels are the number of stems; z_channels is the number of channels of a latent, which is the
    depth axis of the network. extra_film_condition_dim is the width E of the CLAP embedding that an MT-MusicLDM is
    conditioned on (published: 512), or None without such a condition.
    """

    in_channels: int = 4
    out_channels: int = 4
    dims: int = 3
    use_spatial_transformer: bool = False
    extra_film_condition_dim: int | None = None
    num_stems: int = 4
    z_channels: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, only in {"dims": 3, "use_spatial_transformer": False}.items():
            if getattr(self, name) != only:
                raise ValueError(f"MSGLDConfig: {name} must be {only!r}, got {getattr(self, name)!r}")
        if not self.in_channels == self.out_channels == self.num_stems:
            raise ValueError(
                "MSGLDConfig: in_channels, out_channels and num_stems must be equal, got "
                f"{self.in_channels}, {self.out_channels}, {self.num_stems}"
            )
        if self.z_channels < 1:
            raise ValueError(f"MSGLDConfig: z_channels must be at least 1, got {self.z_channels}")
        if self.extra_film_condition_dim is not None and self.extra_film_condition_dim < 1:
            raise ValueError(
                f"MSGLDConfig: extra_film_condition_dim must be at least 1 or None, got {self.extra_film_condition_dim}"
            )


class AttentionBlock(nn.Module):
    """Self-attention over all positions of depth, time and mel."""

    def __init__(self, channels: int, head_width: int, groups: int = 32):
        super().__init__()
        self.head_width = head_width
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = zeroed(nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:  # [B, C, D, F, T]
        B, C = x.shape[:2]
        tokens = self.norm(x).permute(0, 2, 3, 4, 1).reshape(B, -1, C)  # [B, N, C]
        qkv = F.linear(tokens, self.qkv.weight[:, :, 0], self.qkv.bias)
        qkv = qkv.reshape(B, tokens.shape[1], -1, 3, self.head_width)  # heads first, then q, k, v within a head
        q, k, v = qkv.permute(3, 0, 2, 1, 4).contiguous()  # each [B, H, N, head width]
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, -1, C)
        h = F.linear(h, self.proj_out.weight[:, :, 0], self.proj_out.bias)
        return x + h.reshape(B, *x.shape[2:], C).permute(0, 4, 1, 2, 3)


class MSGLDUNet(nn.Module):
    outer_layers = OUTER_LAYERS + r"|^film_emb\."

    def __init__(self, config: MSGLDConfig = MSGLDConfig()):
        super().__init__()
        self.config = config
        width, emb = config.model_channels, 4 * config.model_channels
        self.time_embed = nn.Sequential(nn.Linear(width, emb), nn.SiLU(), nn.Linear(emb, emb))
        if config.extra_film_condition_dim is not None:
            self.film_emb = nn.Linear(config.extra_film_condition_dim, emb)
            emb *= 2  # the blocks take both embeddings, that of the timestep first
        self.input_blocks, self.middle_block, self.output_blocks, self.out = blocks(
            config, 3, emb, lambda channels: AttentionBlock(channels, config.num_head_channels, config.norm_groups)
        )

    def mixture_levels(self, mixture: Tensor) -> list[Tensor]:
        """Pool the mixture latent [B, D, F, T] like the network's input blocks.

        Returns [B, 1, D, f, t] for the input of every input block, and for the output of the last one.
        """
        levels = [mixture[:, None]]
        for block in self.input_blocks:
            first = next(iter(block.children()))
            down = isinstance(first, Downsample)
            levels.append(F.avg_pool3d(levels[-1], (1, 2, 2)) if down else levels[-1])
        return levels

    def forward(
        self, latents: Tensor, timesteps: Tensor, mixture: Tensor | None = None, embedding: Tensor | None = None
    ) -> Tensor:
        """Predict the noise in `latents`, or their velocity, depending on the network's training.

        latents: [B, S, D, T, F], stems in the order bass, drums, guitar, piano, scaled by the checkpoint's scale
        factor. timesteps: [B], 0 ... 999. mixture: scaled latents of the mixture [B, D, T, F] for separation, or None
        for generation, which is equivalent to zeros. embedding: CLAP embedding [B, E], if and only if the network is
        conditioned on one (y in the published code). Returns [B, S, D, T, F].
        Raises ValueError for a wrong shape, or if T or F is not a multiple of the down-sampling.
        """
        config = self.config
        if (
            latents.ndim != 5
            or latents.shape[1:3] != (config.in_channels, config.z_channels)
            or any(n % config.downsampling for n in latents.shape[3:])
        ):
            raise ValueError(
                f"MSGLDUNet: expected latents [B, {config.in_channels}, {config.z_channels}, T, F] "
                f"with T and F multiples of {config.downsampling}, got {list(latents.shape)}"
            )
        if timesteps.shape != latents.shape[:1]:
            raise ValueError(
                f"MSGLDUNet: expected one timestep per sample, [{len(latents)}], got {list(timesteps.shape)}"
            )
        if mixture is not None and mixture.shape != latents[:, 0].shape:
            raise ValueError(f"MSGLDUNet: expected mixture {list(latents[:, 0].shape)}, got {list(mixture.shape)}")
        E = config.extra_film_condition_dim
        if (None if embedding is None else embedding.shape) != (None if E is None else (len(latents), E)):
            raise ValueError(
                f"MSGLDUNet: expected {'no embedding' if E is None else f'embedding [{len(latents)}, {E}]'}"
                f", got {'none' if embedding is None else list(embedding.shape)}"
            )
        with torch.autocast(timesteps.device.type, enabled=False):
            emb = self.time_embed(timestep_embedding(timesteps, config.model_channels))  # [B, 4W]
            if embedding is not None:
                emb = torch.cat([emb, self.film_emb(embedding)], dim=1)  # [B, 8W]
        m = None if mixture is None else self.mixture_levels(mixture.transpose(2, 3))
        h, skips = latents.transpose(3, 4).contiguous(), []  # [B, C, D, F, T], as Conv3d expects
        for i, block in enumerate(self.input_blocks):
            h = block(h if m is None else h + m[i], emb)
            skips.append(h)
        h = self.middle_block(h, emb)
        for i, block in enumerate(self.output_blocks):
            h = torch.cat([h, skips.pop()], dim=1)
            h = block(h if m is None else h + m[len(self.input_blocks) - i], emb)
        return self.out(h).transpose(3, 4)
