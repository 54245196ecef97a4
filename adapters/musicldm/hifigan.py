"""HiFi-GAN generator (Kong, Kim and Bae 2020) at 16 kHz with 64 mel bands, the vocoder of MusicLDM.

Its weights are stored in two equivalent forms: with weight norm (`weight_g` and `weight_v`, in `hifigan-ckpt.ckpt`
under the key `generator`) and folded (`weight`, in the Lightning checkpoints of SyncTrack and MSG-LD).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class HiFiGANConfig:
    """Sizes of the vocoder; the defaults are the published ones (`config_16k_64.json`)."""

    num_mels: int = 64
    upsample_rates: tuple[int, ...] = (5, 4, 2, 2, 2)
    upsample_kernel_sizes: tuple[int, ...] = (16, 16, 8, 4, 4)
    upsample_initial_channel: int = 1024
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    sampling_rate: int = 16_000
    hop_size: int = 160

    def __post_init__(self) -> None:
        for name in ("upsample_rates", "upsample_kernel_sizes", "resblock_kernel_sizes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "resblock_dilation_sizes", tuple(tuple(d) for d in self.resblock_dilation_sizes))
        if len(self.upsample_rates) != len(self.upsample_kernel_sizes):
            raise ValueError("HiFiGANConfig: upsample_rates and upsample_kernel_sizes must have equal lengths")
        if len(self.resblock_kernel_sizes) != len(self.resblock_dilation_sizes):
            raise ValueError("HiFiGANConfig: resblock_kernel_sizes and resblock_dilation_sizes must have equal lengths")
        if self.upsample_initial_channel % 2 ** len(self.upsample_rates):
            raise ValueError(
                f"HiFiGANConfig: {self.upsample_initial_channel} channels cannot be halved "
                f"{len(self.upsample_rates)} times"
            )
        hop = 1
        for rate in self.upsample_rates:
            hop *= rate
        if hop != self.hop_size:
            raise ValueError(f"HiFiGANConfig: the product of upsample_rates is {hop}, but hop_size is {self.hop_size}")


class Conv(nn.Module):
    """A 1-D (transposed) convolution whose weight may be stored as gain and direction.

    The weight is w = g v / ||v||, with the norm over all axes except the first (Salimans and Kingma 2016). It is
    initialised like torch's convolutions. So is the published one in effect: weight norm overwrites its N(0, 0.01)
    initialisation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        weight_norm: bool,
        *,
        stride: int = 1,
        dilation: int = 1,
        padding: int = 0,
        transposed: bool = False,
    ):
        super().__init__()
        shape = (in_channels, out_channels, kernel) if transposed else (out_channels, in_channels, kernel)
        bound = 1.0 / math.sqrt(shape[1] * kernel)
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound))
        direction = torch.empty(shape).uniform_(-bound, bound)
        if weight_norm:
            self.weight_g = nn.Parameter(direction.flatten(1).norm(dim=1)[:, None, None])
            self.weight_v = nn.Parameter(direction)
        else:
            self.weight = nn.Parameter(direction)
        self.transposed, self.stride, self.dilation, self.padding = transposed, stride, dilation, padding

    def effective_weight(self) -> Tensor:
        if hasattr(self, "weight"):
            return self.weight
        norm = torch.linalg.vector_norm(self.weight_v, dim=(1, 2), keepdim=True)
        return self.weight_g * self.weight_v / norm

    def forward(self, x: Tensor) -> Tensor:
        weight = self.effective_weight()
        if self.transposed:
            return F.conv_transpose1d(x, weight, self.bias, stride=self.stride, padding=self.padding)
        return F.conv1d(x, weight, self.bias, padding=self.padding, dilation=self.dilation)


class ResBlock(nn.Module):
    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...], weight_norm: bool):
        super().__init__()

        def conv(dilation: int) -> Conv:
            return Conv(
                channels, channels, kernel, weight_norm, dilation=dilation, padding=dilation * (kernel - 1) // 2
            )

        self.convs1 = nn.ModuleList(conv(dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(conv(1) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for conv1, conv2 in zip(self.convs1, self.convs2):
            x = x + conv2(F.leaky_relu(conv1(F.leaky_relu(x, 0.1)), 0.1))
        return x


class HiFiGAN(nn.Module):
    outer_layers = r"^(conv_pre|conv_post)\."  # see adapterkit.training.optimisers

    def __init__(self, config: HiFiGANConfig = HiFiGANConfig(), weight_norm: bool = True):
        super().__init__()
        self.config = config
        channels = config.upsample_initial_channel
        self.conv_pre = Conv(config.num_mels, channels, 7, weight_norm, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for rate, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes):
            self.ups.append(
                Conv(
                    channels,
                    channels // 2,
                    kernel,
                    weight_norm,
                    stride=rate,
                    padding=(kernel - rate) // 2,
                    transposed=True,
                )
            )
            channels //= 2
            for size, dilations in zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes):
                self.resblocks.append(ResBlock(channels, size, dilations, weight_norm))
        self.conv_post = Conv(channels, 1, 7, weight_norm, padding=3)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Return the waveform [rows, 1, samples] in (-1, 1) for a log-mel [rows, 64, frames] (mel before time).

        With the published sizes, n frames give 160 n + 32 samples, because kernel size minus rate is odd in the first
        stage.
        """
        if log_mel.ndim != 3 or log_mel.shape[1] != self.config.num_mels:
            raise ValueError(f"HiFiGAN: expected [rows, {self.config.num_mels}, frames], got {list(log_mel.shape)}")
        kernels = len(self.config.resblock_kernel_sizes)
        x = self.conv_pre(log_mel)
        for i, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, 0.1))
            x = sum(block(x) for block in self.resblocks[i * kernels : (i + 1) * kernels]) / kernels
        return torch.tanh(self.conv_post(F.leaky_relu(x, 0.01)))  # 0.01 is the published slope here, not 0.1

    @torch.no_grad()
    def folded(self) -> HiFiGAN:
        """Return the same vocoder with plain weights, which need not be recomputed at every call."""
        plain = HiFiGAN(self.config, weight_norm=False)
        state = {
            f"{name}.weight": module.effective_weight()
            for name, module in self.named_modules()
            if isinstance(module, Conv)
        }
        state |= {name: value for name, value in self.state_dict().items() if name.endswith(".bias")}
        plain.load_state_dict(state)
        return plain.train(self.training)

    @torch.no_grad()
    def with_weight_norm(self) -> HiFiGAN:
        """Return this vocoder, which has plain weights, in the weight-norm form used for training."""
        normed, state = HiFiGAN(self.config), dict[str, Tensor]()
        for name, value in self.state_dict().items():
            if name.endswith(".weight"):
                state |= {f"{name}_g": torch.linalg.vector_norm(value, dim=(1, 2), keepdim=True), f"{name}_v": value}
            else:
                state[name] = value
        normed.load_state_dict(state)
        return normed.train(self.training)

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor], config: HiFiGANConfig = HiFiGANConfig()) -> HiFiGAN:
        """Load either published form, recognised by the names of its keys, which must match that form exactly."""
        vocoder = cls(config, weight_norm="conv_pre.weight" not in state)
        vocoder.load_state_dict(state)
        return vocoder
