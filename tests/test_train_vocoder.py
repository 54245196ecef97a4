"""Training of the vocoder: discriminators and losses computed by hand, and a tiny training (learn, resume, export)."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric

from adapterkit.training.config import VocoderTraining
from adapterkit.training.songs import Shards
from adapterkit.weights import sha256
from mtbench.errors import UsageError
from mtbench.suites import band
from musicldm.discriminators import (
    PERIODS,
    Discriminators,
    PeriodDiscriminator,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)
from musicldm.first_stage import load_vocoder
from musicldm.hifigan import HiFiGAN, HiFiGANConfig
from musicldm.mel import HOP, log_mel
from musicldm.train_vocoder import Adversary, crops, mel_loss, stft_loss, synthesised, train_vocoder
from musicldm.vae import VAE, VAEConfig

SMALL = HiFiGANConfig(
    upsample_initial_channel=16,
    upsample_rates=(10, 16),
    upsample_kernel_sizes=(20, 32),
    resblock_kernel_sizes=(3,),
    resblock_dilation_sizes=((1, 3),),
)
SMALL_VAE = VAEConfig(ch=4, ch_mult=(1, 1, 1, 1, 1), num_res_blocks=1, norm_groups=2)


def noise(rows: int, samples: int, seed: int = 0) -> torch.Tensor:
    return (0.1 * torch.randn(rows, samples, generator=torch.Generator().manual_seed(seed))).clamp(-0.5, 0.5)


def test_the_discriminators_have_the_published_sizes():
    """Each channel has weights, a gain and a bias; the spectral norm on the first scale has no gains."""

    def expected(width: float) -> tuple[int, int]:
        n = [round(width * c) for c in (32, 128, 512, 1024)]
        period = [(1, n[0], 5), (n[0], n[1], 5), (n[1], n[2], 5), (n[2], n[3], 5), (n[3], n[3], 5), (n[3], 1, 3)]
        n = [round(width * c) for c in (128, 256, 512, 1024)]
        few, many = max(4 * width, 1), 16 * width  # groups
        scale = [
            (1, n[0], 15),
            (n[0] / few, n[0], 41),
            (n[0] / many, n[1], 41),
            (n[1] / many, n[2], 41),
            (n[2] / many, n[3], 41),
            (n[3] / many, n[3], 41),
            (n[3], n[3], 5),
            (n[3], 1, 3),
        ]
        count = lambda convs, gains: sum(out * (fan * kernel + 1 + gains) for fan, out, kernel in convs)  # noqa: E731
        return 5 * count(period, 1), 2 * count(scale, 1) + count(scale, 0)

    def counted(width: float) -> tuple[int, ...]:
        discriminators = Discriminators(width)
        kinds = (discriminators.periods, discriminators.scales)
        return tuple(sum(p.numel() for p in kind.parameters()) for kind in kinds)

    assert counted(0.125) == expected(0.125)
    published = counted(1.0)
    assert published == expected(1.0)
    assert [round(count / 1e6, 1) for count in published] == [41.1, 29.6]  # millions, as in the published code
    with pytest.raises(ValueError, match="width must be positive and 32 \\* width a whole number, got 0.3"):
        Discriminators(0.3)


def test_shapes_of_the_discriminators_outputs():
    judged = Discriminators(0.125)(noise(2, 8160)[:, None])
    assert len(judged) == 8
    for period, layers in zip(PERIODS, judged):
        length = math.ceil(8160 / period)
        lengths = [length := math.ceil(length / 3) for _ in range(4)] + 2 * [math.ceil(8160 / period / 81)]
        assert [tuple(layer.shape) for layer in layers] == [
            (2 * period, channels, n) for channels, n in zip((4, 16, 64, 128, 128, 1), lengths)
        ]
    for scale, layers in enumerate(judged[5:]):
        length = (8160, 4081, 2041)[scale]  # means over 4 samples with stride 2 and 2 zeros at both ends
        assert [layer.shape[1] for layer in layers] == [16, 16, 32, 64, 128, 128, 128, 1]
        assert layers[0].shape[2] == length and layers[-1].shape[2] == math.ceil(length / 64)


def test_a_period_is_the_published_convolution_in_two_dimensions():
    torch.manual_seed(0)
    discriminator = PeriodDiscriminator(7, 0.125)
    waves = noise(2, 1000)[:, None]
    x = F.pad(waves, (0, 1), mode="reflect").view(2, 1, 143, 7)  # 1001 = 143 * 7
    for i, conv in enumerate(discriminator.convs):
        x = F.conv2d(x, conv.weight[..., None], conv.bias, stride=(3 if i < 4 else 1, 1), padding=(2, 0))
        x = F.leaky_relu(x, 0.1)
    scores = F.conv2d(x, discriminator.conv_post.weight[..., None], discriminator.conv_post.bias, padding=(1, 0))
    mine = discriminator(waves)[-1]  # [rows * period, 1, n]
    torch.testing.assert_close(mine.view(2, 7, -1).transpose(1, 2), scores[:, 0])


def test_adversarial_losses_of_constants():
    def judged(score: float) -> list[list[torch.Tensor]]:
        return [[torch.full((2, 3, 5), score), torch.full((2, 1, 4), score)] for _ in range(3)]

    assert float(discriminator_loss(judged(1.0), judged(0.0))) == 0.0
    assert float(discriminator_loss(judged(0.0), judged(1.0))) == 3 * 2.0
    assert float(discriminator_loss(judged(0.5), judged(0.5))) == 3 * 0.5
    assert float(adversarial_loss(judged(1.0))) == 0.0
    assert float(adversarial_loss(judged(-1.0))) == 3 * 4.0
    assert float(feature_loss(judged(0.7), judged(0.7))) == 0.0
    assert float(feature_loss(judged(1.0), judged(0.75))) == 3 * 2 * 0.25


def test_spectral_losses_of_a_wave_and_half_of_it():
    real = noise(2, 3200)
    assert float(mel_loss(real, real)) == 0.0 and float(stft_loss(real, real)) == 0.0
    assert float(mel_loss(real, real / 2)) == pytest.approx(math.log(2), abs=1e-5)
    # The tolerance allows for magnitudes below the floor.
    assert float(stft_loss(real, real / 2)) == pytest.approx(2 / 3 + math.log(2), abs=1e-3)
    # For a silent song: convergence is at most 2, and magnitudes are well below 100, relative to the floor.
    assert float(stft_loss(torch.zeros(2, 3200), real)) < 2 + math.log(100 / math.sqrt(1e-7))
    gain = torch.tensor(0.5, requires_grad=True)
    mel_loss(real, gain * real).backward()
    assert float(gain.grad) == pytest.approx(-1 / 0.5, abs=1e-4)  # the derivative of log(1 / gain)


def test_the_losses_of_silence_have_gradients():
    fake = torch.zeros(1, 3200, requires_grad=True)
    (mel_loss(torch.zeros(1, 3200), fake) + stft_loss(torch.zeros(1, 3200), fake)).backward()
    assert torch.equal(fake.grad, torch.zeros_like(fake))


def test_crops_of_mels_and_waves_are_aligned(tmp_path):
    waves = noise(6, 163_840).view(3, 2, -1)
    np.save(tmp_path / "000000.npy", np.rint(32768 * waves.numpy()).astype(np.int16))
    (tmp_path / "mels").mkdir()
    np.save(tmp_path / "mels" / "000000.npy", log_mel(waves).numpy().astype(np.float16))
    mel, wave = crops(
        Shards(tmp_path / "mels", 3),
        Shards(tmp_path, 3),
        torch.tensor([0, 2, 1, 2]),
        20,
        torch.Generator().manual_seed(1),
    )
    assert mel.shape == (4, 64, 20) and wave.shape == (4, 20 * HOP) and mel.dtype == wave.dtype == torch.float32
    own = log_mel(wave, 20).transpose(1, 2)
    assert (own - mel)[:, :, 4:-4].abs().max() < 0.05  # frames whose window lies within the crop; 16-bit rounding
    assert (own - mel)[:, :, 0].abs().mean() > 0.2  # windows of other frames extend beyond the crop


def config(work: Path, **changes) -> VocoderTraining:
    """Return a config whose songs are cached in its work folder: three songs of decaying tones, with their log-mels."""
    folders = [work / f"{kind}-band{band.VERSION}-1000000" for kind in ("waves", "mels")]
    time = np.arange(163_840) / 16_000
    waves = np.stack(
        [
            [
                0.5 * np.sin(2 * np.pi * 110 * 2 ** (song + stem / 4) * time) * np.exp(-(time % 0.5) / 0.1)
                for stem in range(4)
            ]
            for song in range(3)
        ]
    ).astype(np.float32)
    cached = np.rint(32768 * waves).astype(np.int16), log_mel(torch.from_numpy(waves)).half().numpy()
    for folder, values in zip(folders, cached):
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "000000.npy", values)
    return VocoderTraining(
        **{
            "name": "vocoder",
            "network": vars(SMALL),
            "out": work / "checkpoints" / "vocoder.pt",
            "work": work,
            "songs": 3,
            "validation": 1,
            "steps": 8,
            "batch": 2,
            "learning_rate": 2e-3,
            "betas": (0.8, 0.99),
            "warm_up": 2,
            "ema_decay": 0.5,
            "report_every": 2,
            "crop": 10,
            "discriminator_width": 1 / 32,
            "adversarial_from": 3,
            "stft_weight": 10.0,
            **changes,
        }
    )


def logged(work: Path) -> list[dict[str, float]]:
    with (work / "vocoder" / "loss.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{name: float(value) for name, value in row.items() if name != "seconds"} for row in rows]


def test_a_tiny_training_learns_the_spectrum_and_exports(tmp_path):
    torch.manual_seed(0)
    asked = config(tmp_path, steps=24, report_every=6, adversarial_from=18)
    train_vocoder(asked)
    rows = logged(tmp_path)
    assert list(rows[0]) == ["step", "train_loss", "validation_loss", *Adversary.COLUMNS]
    assert rows[-1]["validation_loss"] < 0.7 * rows[0]["validation_loss"]
    assert rows[-1]["mel_loss"] < 0.7 * rows[0]["mel_loss"]
    assert [math.isnan(row["discriminator_loss"]) for row in rows] == [True, True, True, False]
    for row in rows:
        spectral = 45 * row["mel_loss"] + 10 * row["stft_loss"]
        judged = 0.0 if math.isnan(row["feature_loss"]) else row["adversarial_loss"] + 2 * row["feature_loss"]
        assert row["train_loss"] == pytest.approx((spectral + judged) / 45, abs=1e-4)

    checkpoint = torch.load(asked.out, weights_only=True)
    assert "vae_sha256" not in checkpoint and checkpoint["metadata"]["steps"] == 24
    plain = HiFiGAN(HiFiGANConfig(**checkpoint["config"]), weight_norm=False)
    plain.load_state_dict(checkpoint["state_dict"])
    trained = HiFiGAN(SMALL)
    trained.load_state_dict(torch.load(tmp_path / "vocoder" / "state.pt", weights_only=True)["ema"])
    mel = log_mel(noise(1, 4000), 25).transpose(1, 2)
    with torch.no_grad():
        actual, expected = plain(mel), trained(mel)
    assert all(
        torch.equal(value.half(), checkpoint["state_dict"][name])
        for name, value in trained.folded().state_dict().items()
    )
    # The tolerance is large because the layers' outputs cancel to a quiet wave.
    assert torch.linalg.norm(actual - expected) < 2e-2 * torch.linalg.norm(expected)
    assert torch.equal(load_vocoder(asked.out)(mel), actual)


def test_the_discriminators_start_late_and_learn(tmp_path):
    torch.manual_seed(0)
    fabric = Fabric(accelerator="cpu", devices=1)
    adversary = Adversary(fabric, config(tmp_path, adversarial_from=2, stft_weight=0.0))
    tone = 0.3 * torch.sin(torch.arange(1600) * 0.3).expand(2, -1)
    rows = []
    for step in range(26):
        fake = noise(2, 1600, seed=step).requires_grad_()
        loss = adversary.loss(tone, fake)
        loss.backward()
        if step < 2:
            assert torch.equal(loss, mel_loss(tone, fake))
        adversary.learn(2e-3)
        if step in (1, 21, 25):
            rows.append(adversary.losses())
    assert math.isnan(rows[0]["discriminator_loss"]) and math.isnan(rows[0]["feature_loss"])
    assert rows[2]["discriminator_loss"] < 8 * 0.5  # the lowest loss of eight discriminators with constant scores
    assert all(math.isnan(row["stft_loss"]) for row in rows)


def test_the_generators_loss_does_not_change_the_discriminators(tmp_path):
    adversary = Adversary(Fabric(accelerator="cpu", devices=1), config(tmp_path, adversarial_from=0))
    before = {name: value.clone() for name, value in adversary.state_dict()["discriminators"].items()}
    fake = noise(1, 1600).requires_grad_()
    adversary.loss(noise(1, 1600, seed=1), fake).backward()
    weights = {name for name in before if not name.endswith(("_u", "_v"))}  # the spectral norm's power iterations
    after = adversary.state_dict()["discriminators"]
    assert fake.grad.abs().sum() > 0 and all(torch.equal(after[name], before[name]) for name in weights)
    assert all(parameter.grad is None for parameter in adversary._discriminators.parameters())


def test_a_killed_training_resumes_to_the_same_weights_and_log(tmp_path, monkeypatch):
    def run(work: Path) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        train_vocoder(config(work))
        return torch.load(work / "checkpoints" / "vocoder.pt", weights_only=True)["state_dict"]

    through = run(tmp_path / "a")
    learn, turns = Adversary.learn, []

    def killed(self, learning_rate: float) -> None:
        turns.append(1)
        if len(turns) == 6:
            raise KeyboardInterrupt
        learn(self, learning_rate)

    with monkeypatch.context() as patched:
        patched.setattr(Adversary, "learn", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "b")
    assert torch.load(tmp_path / "b" / "vocoder" / "state.pt", weights_only=True)["progress"]["step"] == 4
    torch.manual_seed(1)  # the initial weights must not matter
    resumed = run(tmp_path / "b")
    assert all(torch.equal(resumed[name], value) for name, value in through.items())
    np.testing.assert_equal(logged(tmp_path / "b"), logged(tmp_path / "a"))


def test_the_vae_is_applied_only_to_the_log_mels(tmp_path):
    torch.manual_seed(0)
    vae = VAE(SMALL_VAE).eval()
    torch.save({"config": vars(SMALL_VAE), "state_dict": vae.state_dict(), "metadata": {}}, tmp_path / "vae.pt")
    train_vocoder(config(tmp_path, steps=1, vae=tmp_path / "vae.pt"))
    digest = sha256(tmp_path / "vae.pt")
    assert torch.load(tmp_path / "checkpoints" / "vocoder.pt", weights_only=True)["vae_sha256"] == digest
    blurred = np.load(tmp_path / f"reconstructions-{digest[:12]}-band{band.VERSION}-1000000" / "000000.npy")
    mels = np.load(tmp_path / f"mels-band{band.VERSION}-1000000" / "000000.npy")
    with torch.no_grad():
        expected = vae.decode(vae.encode(torch.from_numpy(mels[1, :, None]).float())[0])[:, 0]
    assert blurred.shape == mels.shape and blurred.dtype == np.float16
    # Latents are computed in bfloat16.
    assert np.linalg.norm(blurred[1] - expected.numpy()) < 0.1 * np.linalg.norm(expected)


def test_a_training_starts_from_initial_weights(tmp_path):
    torch.manual_seed(0)
    start = HiFiGAN(SMALL).folded()
    mel = log_mel(noise(1, 4000), 25).transpose(1, 2)
    torch.testing.assert_close(start.with_weight_norm()(mel), start(mel))
    torch.save({"config": vars(SMALL), "state_dict": start.state_dict(), "metadata": {}}, tmp_path / "start.pt")
    train_vocoder(config(tmp_path, steps=1, initial_weights=tmp_path / "start.pt", learning_rate=1e-9))
    trained = load_vocoder(tmp_path / "checkpoints" / "vocoder.pt")
    with torch.no_grad():
        torch.testing.assert_close(trained(mel), start(mel), atol=1e-3, rtol=1e-2)
    other = vars(SMALL) | {"upsample_initial_channel": 32}
    with pytest.raises(UsageError, match="start.pt: the sizes differ from those of vocoder"):
        train_vocoder(config(tmp_path, initial_weights=tmp_path / "start.pt", network=other))


def test_the_generator_uses_float32_in_mixed_precision():
    torch.manual_seed(0)
    vocoder, mel = HiFiGAN(SMALL), log_mel(noise(2, 4000), 25).transpose(1, 2)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        mixed = synthesised(vocoder, mel)
    assert mixed.shape == (2, 4000) and torch.equal(mixed, vocoder(mel)[:, 0])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"crop": 6}, "crop must be between 7 and 1024 frames, got 6"),
        ({"crop": 1025}, "crop must be between 7 and 1024 frames, got 1025"),
        ({"discriminator_width": 0.3}, "discriminator_width: .* whole number"),
        ({"network": {"upsample_rates": [5, 4]}}, "network: .*upsample_rates and upsample_kernel_sizes must have"),
        ({"network": {"num_mels": 80}}, "network: num_mels and hop_size must be 64 and 160.* got 80 and 160"),
        ({"network": {"channels": 3}}, "network: .*channels"),
    ],
)
def test_wrong_configs_are_refused(tmp_path, changes, message):
    with pytest.raises(UsageError, match=f"vocoder: {message}"):
        train_vocoder(config(tmp_path, **changes))
