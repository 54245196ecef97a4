"""The SyncTrack denoising U-Net: four tracks generated together, with track-shared and track-specific modules.

Parameter names are those of the published checkpoint (under `model.diffusion_model.`).
Shapes in comments: B samples, S tracks, R = B S rows in the order row = S b + s, C channels, T time, F mel,
N = T F tokens, H heads, D head width.

The paper and the published code differ in three places, which are switches of `SyncTrackConfig`. Two more switches
create the variants of the paper's ablation (`ABLATIONS`). Everything that the paper does not specify follows the code;
in particular, the instrument prior is concatenated to the time embedding.

Clips longer than the published 10.24 s (T = 256): with the same weights, the network accepts any T that is a multiple
of the down-sampling. It has no position embeddings, which would limit the length; positions differ only through the
zero padding of convolutions at the ends of a clip. However, the cost of attention within a track and of global
attention is quadratic in T (of time-specific attention, linear). And weights trained at one length have seen neither
more tokens in a softmax nor group norms over a longer clip, so the quality of longer clips is not guaranteed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from musicldm.diffusion import timestep_embedding
from musicldm.unet import OUTER_LAYERS, UNetConfig, blocks, zeroed

CrossTrack = Literal["global", "time"]  # an attention across tracks


@dataclass(frozen=True)
class SyncTrackConfig(UNetConfig):
    """Sizes (see UNetConfig) and form of the U-Net. The defaults are the published size in the paper's form.

    Three switches select between the paper and the published code; none of them changes the state dict:

    - cross_track_keys: the tokens that the global cross-track attention attends to. "own": all tracks of the row's own
      sample (paper). "row_mod_batch": for row r, those of sample r mod B, so the samples of a batch mix (code).
    - time_attention: the range of the time-specific attention. "frame": all tracks and all frequencies at one time
      (paper, Eq. 5). "position": the tracks at one time and one frequency (code).
    - time_residuals: number of residual additions around the time-specific layer, 1 (paper) or 2 (code).

    Two switches disable the parts that Table 6 calls (a), (b) and (c); disabled parts have no parameters:

    - instrument_prior: the track-specific part (a). If False, a residual block sees only the timestep, through an
      embedding of half the width, and all tracks are treated alike.
    - cross_track: the cross-track attentions of a block, (b) global and (c) time-specific.
      "global-then-time": both (SyncTrack). "time-then-global": both in reverse order (SyncTrack-reorder).
      "global": only (b). "time": only (c). "none": neither, so tracks do not see each other. "alternate": only (b) in
      the first, third, ... block in the order of execution, only (c) in the others (SyncTrack-alternate).
    """

    in_channels: int = 8
    out_channels: int = 8
    dims: int = 2
    use_spatial_transformer: bool = True
    num_tracks: int = 4
    cross_track_keys: Literal["own", "row_mod_batch"] = "own"
    time_attention: Literal["frame", "position"] = "frame"
    time_residuals: Literal[1, 2] = 1
    instrument_prior: bool = True
    cross_track: Literal["global-then-time", "time-then-global", "global", "time", "none", "alternate"] = (
        "global-then-time"
    )

    @classmethod
    def published(cls, **overrides: Any) -> SyncTrackConfig:
        """Return the form of the published code, in which the published weights were trained."""
        switches = {"cross_track_keys": "row_mod_batch", "time_attention": "position", "time_residuals": 2}
        return cls(**{**switches, **overrides})

    def __post_init__(self) -> None:
        super().__post_init__()
        choices = {
            "dims": (2,),
            "use_spatial_transformer": (True,),
            "cross_track_keys": ("own", "row_mod_batch"),
            "time_attention": ("frame", "position"),
            "time_residuals": (1, 2),
            "instrument_prior": (True, False),
            "cross_track": ("global-then-time", "time-then-global", "global", "time", "none", "alternate"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"SyncTrackConfig: {name} must be one of {allowed}, got {getattr(self, name)!r}")
        if self.num_tracks < 1:
            raise ValueError(f"SyncTrackConfig: num_tracks must be at least 1, got {self.num_tracks}")

    @property
    def embedding_width(self) -> int:
        """Width of the embedding of a row: that of the timestep, doubled if there is an instrument prior."""
        return self.model_channels * (8 if self.instrument_prior else 4)

    def attentions_across_tracks(self, index: int) -> tuple[CrossTrack, ...]:
        """Return the cross-track attentions, in order, of attention block `index` (from 0, in execution order)."""
        alternate: tuple[CrossTrack, ...] = ("time",) if index % 2 else ("global",)
        orders: dict[str, tuple[CrossTrack, ...]] = {
            "global-then-time": ("global", "time"),
            "time-then-global": ("time", "global"),
            "global": ("global",),
            "time": ("time",),
            "none": (),
            "alternate": alternate,
        }
        return orders[self.cross_track]


ABLATIONS: dict[str, dict[str, Any]] = {  # the rows of the paper's Table 6, in order, as options of SyncTrackConfig
    "backbone": {"instrument_prior": False, "cross_track": "none"},
    "a": {"cross_track": "none"},
    "a-b": {"cross_track": "global"},
    "a-c": {"cross_track": "time"},
    "alternate": {"cross_track": "alternate"},
    "reorder": {"cross_track": "time-then-global"},
    "full": {},
}


def attend(q: Tensor, k: Tensor, v: Tensor, head_width: int) -> Tensor:
    """Compute softmax(q k^T / sqrt(D)) v over sequences [batch, length, C], split into heads of width D."""
    q, k, v = (x.reshape(*x.shape[:2], -1, head_width).transpose(1, 2) for x in (q, k, v))  # [batch, H, length, D]
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class Attention(nn.Module):
    def __init__(self, channels: int, head_width: int):
        super().__init__()
        self.head_width = head_width
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(channels, channels, bias=False)
        self.to_v = nn.Linear(channels, channels, bias=False)
        self.to_out = nn.Sequential(nn.Linear(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.to_out(attend(self.to_q(x), self.to_k(x), self.to_v(x), self.head_width))


class PackedAttention(nn.Module):
    """Self-attention with one projection for q, k and v, named as in torch.nn.MultiheadAttention."""

    def __init__(self, channels: int, head_width: int):
        super().__init__()
        self.head_width = head_width
        self.in_proj_weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(3 * channels, channels)))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * channels))
        self.out_proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        return self.out_proj(attend(q, k, v, self.head_width))


class TimeSpecificLayer(nn.Module):
    """A pre-norm Transformer encoder layer without the outer residual connection, which the caller adds."""

    def __init__(self, channels: int, head_width: int):
        super().__init__()
        self.self_attn = PackedAttention(channels, head_width)
        self.linear1 = nn.Linear(channels, 4 * channels)
        self.linear2 = nn.Linear(4 * channels, channels)
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)

    def forward(self, z: Tensor) -> Tensor:
        attended = self.self_attn(self.norm1(z))
        y = z + attended
        return attended + self.linear2(F.relu(self.linear1(self.norm2(y))))


class GEGLU(nn.Module):
    def __init__(self, channels: int, inner: int):
        super().__init__()
        self.proj = nn.Linear(channels, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        a, g = self.proj(x).chunk(2, dim=-1)
        return a * F.gelu(g)


class FeedForward(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.net = nn.Sequential(GEGLU(channels, 4 * channels), nn.Identity(), nn.Linear(4 * channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class TransformerBlock(nn.Module):
    """Transformer block: attention within a track and across tracks.

    Its layers are inner-track attention, global cross-track attention, time-specific cross-track attention, inner-track
    attention again, and feed-forward. An ablation may disable the cross-track attentions or reverse their order.
    """

    def __init__(self, channels: int, config: SyncTrackConfig, index: int = 0):
        super().__init__()
        self.config = config
        self.across_tracks = config.attentions_across_tracks(index)
        width = config.num_head_channels
        self.attn1 = Attention(channels, width)
        if "global" in self.across_tracks:
            self.attn_cross_track = Attention(channels, width)
        if "time" in self.across_tracks:
            self.attn_beat = TimeSpecificLayer(channels, width)
        self.attn2 = Attention(channels, width)
        self.ff = FeedForward(channels)
        self.norm1 = nn.LayerNorm(channels)
        if "global" in self.across_tracks:
            self.norm_ct = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)
        self.norm3 = nn.LayerNorm(channels)

    def forward(self, x: Tensor, frequencies: int) -> Tensor:  # [R, N, C], token = t F + f
        x = x + self.attn1(self.norm1(x))
        for attention in self.across_tracks:
            if attention == "global":
                x = x + self.global_cross_track(self.norm_ct(x))
            else:
                x = self.time_specific(x, frequencies)
        x = x + self.attn2(self.norm2(x))
        return x + self.ff(self.norm3(x))

    def global_cross_track(self, x: Tensor) -> Tensor:
        """Let every row attend to the tokens of all S tracks of one sample: its own, or sample r mod B."""
        R, N, C = x.shape
        S = self.config.num_tracks
        B = R // S
        attention = self.attn_cross_track
        keys = x.reshape(B, S * N, C)
        if self.config.cross_track_keys == "own":
            queries = keys
        else:  # rows j, j + B, j + 2B, ... attend to sample j
            queries = x.reshape(S, B, N, C).transpose(0, 1).reshape(B, S * N, C)
        out = attend(attention.to_q(queries), attention.to_k(keys), attention.to_v(keys), attention.head_width)
        out = attention.to_out(out)
        if self.config.cross_track_keys == "row_mod_batch":
            out = out.reshape(B, S, N, C).transpose(0, 1)
        return out.reshape(R, N, C)

    def time_specific(self, x: Tensor, frequencies: int) -> Tensor:
        """Attend across tracks at one time (Eq. 5), over all frequencies or (published code) over one."""
        R, N, C = x.shape
        S, Fd = self.config.num_tracks, frequencies
        Td = N // Fd
        z = x.reshape(-1, S, Td, Fd, C)
        if self.config.time_attention == "frame":
            z = z.permute(0, 2, 1, 3, 4)  # [B, T, S, F, C]
            sequences = z.reshape(-1, S * Fd, C)
        else:
            z = z.permute(0, 2, 3, 1, 4)  # [B, T, F, S, C]
            sequences = z.reshape(-1, S, C)
        z = (self.config.time_residuals * sequences + self.attn_beat(sequences)).reshape(z.shape)
        order = (0, 2, 1, 3, 4) if self.config.time_attention == "frame" else (0, 3, 1, 2, 4)
        return z.permute(order).reshape(R, N, C)


class SpatialTransformer(nn.Module):
    def __init__(self, channels: int, config: SyncTrackConfig, index: int = 0):
        super().__init__()
        self.norm = nn.GroupNorm(config.norm_groups, channels, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(channels, config, index)])
        self.proj_out = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:  # [R, C, T, F]
        R, C, T, Fd = x.shape
        h = self.proj_in(self.norm(x)).permute(0, 2, 3, 1).reshape(R, T * Fd, C)
        for block in self.transformer_blocks:
            h = block(h, Fd)
        return x + self.proj_out(h.reshape(R, T, Fd, C).permute(0, 3, 1, 2))


class SyncTrackUNet(nn.Module):
    outer_layers = OUTER_LAYERS + r"|^switcher_transform\."

    def __init__(self, config: SyncTrackConfig = SyncTrackConfig()):
        super().__init__()
        self.config = config
        width, S = config.model_channels, config.num_tracks
        time, emb = 4 * width, config.embedding_width  # width of the timestep's embedding, and in total
        self.time_embed = nn.Sequential(nn.Linear(width, time), nn.SiLU(), nn.Linear(time, time))
        if config.instrument_prior:
            # Row s of this matrix encodes track s; it is stored but never trained. (torch.eye would import torch's
            # compiler while loading weights, which takes a second.)
            self.switcher = nn.Parameter(torch.zeros(S, S).fill_diagonal_(1.0).flip(1), requires_grad=False)
            self.switcher_transform = nn.Sequential(  # width 128 at any model size
                nn.Linear(2 * S, 128), nn.SiLU(), nn.Linear(128, time)
            )
        index = count()
        self.input_blocks, self.middle_block, self.output_blocks, self.out = blocks(
            config, 2, emb, lambda channels: SpatialTransformer(channels, config, next(index))
        )

    def embedding(self, timesteps: Tensor) -> Tensor:
        """Embed timestep and instrument prior of every row, [R, embedding_width], in float32 even under autocast."""
        with torch.autocast(timesteps.device.type, enabled=False):
            time = self.time_embed(timestep_embedding(timesteps, self.config.model_channels))
            time = time.repeat_interleave(self.config.num_tracks, 0)  # [R, 4W]
            if not self.config.instrument_prior:
                return time
            code = torch.cat([self.switcher.sin(), self.switcher.cos()], dim=1)  # [S, 2S]
            prior = self.switcher_transform(code)  # [S, 4W]
            return torch.cat([time, prior.repeat(len(timesteps), 1)], dim=1)

    def forward(self, latents: Tensor, timesteps: Tensor) -> Tensor:
        """Predict the noise in `latents`, or their velocity, depending on the network's training.

        latents: [B, S, in_channels, T, F], tracks in the order bass, drums, guitar, piano, scaled by the
        checkpoint's scale factor. timesteps: [B], 0 ... 999. Returns [B, S, out_channels, T, F].
        Raises ValueError for a wrong shape, or if T or F is not a multiple of the down-sampling.
        """
        config = self.config
        if (
            latents.ndim != 5
            or latents.shape[1:3] != (config.num_tracks, config.in_channels)
            or any(n % config.downsampling for n in latents.shape[3:])
        ):
            raise ValueError(
                f"SyncTrackUNet: expected latents [B, {config.num_tracks}, {config.in_channels}, T, F] "
                f"with T and F multiples of {config.downsampling}, got {list(latents.shape)}"
            )
        if timesteps.shape != latents.shape[:1]:
            raise ValueError(
                f"SyncTrackUNet: expected one timestep per sample, [{len(latents)}], got {list(timesteps.shape)}"
            )
        emb = self.embedding(timesteps)
        h = latents.flatten(0, 1)  # [R, C, T, F]
        skips = []
        for block in self.input_blocks:
            h = block(h, emb)
            skips.append(h)
        h = self.middle_block(h, emb)
        for block in self.output_blocks:
            h = block(torch.cat([h, skips.pop()], dim=1), emb)
        return self.out(h).unflatten(0, latents.shape[:2])
