"""Mel front end, VAE, vocoders, schedule and DDIM: published numbers, and results computed by hand."""

import math

import numpy as np
import pytest
import torch

from adapterkit.randomness import noise_per_sample
from musicldm import (
    VAE,
    HiFiGAN,
    HiFiGANConfig,
    VAEConfig,
    ddim,
    ddim_schedule,
    griffin_lim,
    log_mel,
    noise_schedule,
)
from musicldm.diffusion import guided, timestep_embedding
from musicldm.mel import hann_window, mel_filters
from musicldm.vae import AttnBlock, ResBlock
from parity import assert_golden, assert_names_and_shapes, fill, golden, manifest, recipe_tensor, relative_l2, seeded

SILENCE = math.log(1e-5)


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def test_the_recipe_still_creates_the_weights_of_the_goldens():
    # The first values of two tensors, recorded when the goldens were created.
    weight = recipe_tensor("time_embed.0.weight", (512, 128))
    assert weight[0, :3].tolist() == pytest.approx([-0.0487411767, -0.0518648066, -0.0298722517], rel=1e-6)
    gain = recipe_tensor("input_blocks.1.0.in_layers.0.weight", (128,))
    assert gain[:2].tolist() == pytest.approx([0.8941243291, 1.0006535053], rel=1e-6)


def parity_wave(seed: int, samples: int) -> torch.Tensor:
    t = np.arange(samples) / 16_000
    chirp = np.sin(2 * np.pi * (440 * t + 30 * t**2))
    tone = 0.30 * np.sin(2 * np.pi * 220 * t) + 0.20 * chirp
    tone += 0.15 * np.sin(2 * np.pi * 55 * t) * np.cos(2 * np.pi * 2 * t)
    return (torch.from_numpy(tone.astype(np.float32)) + 0.02 * seeded(seed, samples)).clamp(-1, 1)


def test_mel_constants():
    arrays = golden("mel_constants")
    assert_golden(arrays, "mel_basis", mel_filters())
    assert_golden(arrays, "window", hann_window())
    assert_golden(arrays, "silence", log_mel(torch.zeros(163_840))[0, :1])


@pytest.mark.parametrize(
    "name, seed, samples", [("mel_frontend_s4101", 4101, 163_840), ("mel_short_s4103", 4103, 100_000)]
)
def test_log_mel_golden(name, seed, samples):
    assert_golden(golden(name), "out", log_mel(parity_wave(seed, samples)))


def test_log_mel_keeps_leading_axes_and_rows_are_independent():
    waves = 0.1 * seeded(1, 2, 3, 163_840).clamp(-9, 9)
    mels = log_mel(waves)
    assert mels.shape == (2, 3, 1024, 64)
    assert torch.equal(mels[1, 2], log_mel(waves[1, 2]))


def test_log_mel_gain_is_an_offset():
    # Magnitudes are linear, so a gain of 1/2 subtracts log 2 from all values well above the floor.
    wave = 0.2 * seeded(2, 163_840).clamp(-4, 4)
    assert (log_mel(wave) - log_mel(wave / 2)).numpy() == pytest.approx(math.log(2), abs=1e-4)


@pytest.mark.parametrize("wave", [torch.full((2000,), 1.01), torch.full((2000,), math.nan), torch.zeros(500)])
def test_log_mel_refuses_bad_audio(wave):
    with pytest.raises(ValueError, match="waveform has"):
        log_mel(wave)


@pytest.mark.parametrize("name, parameters", [("vae", 55_376_873), ("vae_tiny", 3_491_849)])
def test_vae_names_and_shapes(name, parameters):
    with torch.device("meta"):
        vae = VAE(VAEConfig(**manifest(name)["config"]))
    assert_names_and_shapes(vae, name)
    assert sum(p.numel() for p in vae.parameters()) == parameters


def test_vae_blocks_have_the_published_epsilon():
    x = 1e-3 * seeded(7104, 1, 64, 8, 4)
    assert_golden(golden("eps_vae_resblock"), "out", fill(ResBlock(64, 128))(x))
    x = 1e-3 * seeded(7105, 1, 64, 8, 4)
    assert_golden(golden("eps_vae_attention"), "out", fill(AttnBlock(64))(x))


def check_vae(name: str, encode: str, decode: str, seeds: tuple[int, int]) -> None:
    encoded, decoded = golden(encode), golden(decode)
    vae = fill(VAE(VAEConfig(**manifest(name)["config"])))
    mean, logvar = vae.encode(-5 + 2.5 * seeded(seeds[0], 1, 1, 1024, 64))
    assert_golden(encoded, "mean", mean)
    assert_golden(encoded, "logvar", logvar)
    assert_golden(decoded, "out", vae.decode(seeded(seeds[1], 1, 8, 256, 16)))


def test_vae_tiny_golden():
    check_vae("vae_tiny", "vae_tiny_encode_s3111", "vae_tiny_decode_s3161", (3111, 3161))


@pytest.mark.slow
def test_vae_full_golden():
    check_vae("vae", "vae_full_encode_s3101", "vae_full_decode_s3151", (3101, 3151))


def test_vae_other_sizes():
    vae = VAE(VAEConfig(ch=32, ch_mult=(1, 1, 2, 2), num_res_blocks=1, z_channels=6, embed_dim=5)).eval()
    mean, logvar = vae.encode(seeded(1, 2, 1, 64, 32))
    assert mean.shape == logvar.shape == (2, 5, 8, 4)
    assert vae.decode(mean).shape == (2, 1, 64, 32)
    assert relative_l2(vae.decode(mean[1:]), vae.decode(mean)[1:]) < 1e-5  # rows are independent


@pytest.mark.parametrize(
    "options, message",
    [
        ({"ch": 48}, "48 channels.*multiple of norm_groups=32"),
        ({"dropout": 0.1}, "dropout"),
        ({"attn_resolutions": [16]}, "attn_resolutions"),
        ({"num_res_blocks": 0}, "num_res_blocks"),
    ],
)
def test_vae_config_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        VAEConfig(**options)


def test_vae_refuses_bad_shapes():
    vae = VAE(VAEConfig(ch=32, num_res_blocks=1))
    with pytest.raises(ValueError, match="multiples of 4"):
        vae.encode(torch.zeros(1, 1, 1022, 64))
    with pytest.raises(ValueError, match="VAE.decode: expected"):
        vae.decode(torch.zeros(1, 4, 8, 8))


@pytest.mark.parametrize("name", ["hifigan_generator", "hifigan_generator_fused", "hifigan_tiny"])
def test_hifigan_names_and_shapes(name):
    with torch.device("meta"):
        vocoder = HiFiGAN(HiFiGANConfig(**manifest(name)["config"]), weight_norm="fused" not in name)
    assert_names_and_shapes(vocoder, name)
    assert sum(p.numel() for p in vocoder.parameters()) == manifest(name)["total_params"]


def test_hifigan_has_55_285_762_parameters():
    with torch.device("meta"):
        assert sum(p.numel() for p in HiFiGAN().parameters()) == 55_285_762


def test_hifigan_tiny_golden_in_both_forms():
    arrays, weights = golden("hifigan_tiny_s3211"), golden("hifigan_tiny_fused_weights")
    config = HiFiGANConfig(**manifest("hifigan_tiny")["config"])
    mel = seeded(3211, 1, 64, 32)
    vocoder = fill(HiFiGAN(config))
    assert_golden(arrays, "out", vocoder(mel))
    folded = vocoder.folded().state_dict()
    for key in ("conv_post.weight", "resblocks.0.convs1.0.weight", "ups.0.weight"):
        assert_golden(weights, key, folded[key])
    assert_golden(arrays, "out", HiFiGAN.from_state_dict(folded, config)(mel))
    assert_golden(arrays, "out", HiFiGAN.from_state_dict(vocoder.state_dict(), config)(mel))


@pytest.mark.slow
def test_hifigan_full_golden():
    arrays = golden("hifigan_full_s3201")
    assert_golden(arrays, "out", fill(HiFiGAN())(seeded(3201, 1, 64, 24)))


@pytest.mark.slow
def test_latent_to_wave_golden():
    arrays = golden("latent_to_wave_s3301")
    mel = fill(VAE()).decode(seeded(3301, 1, 8, 256, 16) / 0.75)
    assert_golden(arrays, "mel", mel)
    wave = fill(HiFiGAN()).folded()(0.2 * mel[:, 0].transpose(1, 2))
    assert wave.shape == (1, 1, 163_872)
    assert_golden(arrays, "wave", wave)


def test_hifigan_refuses():
    with pytest.raises(ValueError, match="hop_size"):
        HiFiGANConfig(upsample_rates=(5, 4, 2, 2, 1))
    with pytest.raises(ValueError, match="expected \\[rows, 64, frames\\]"):
        HiFiGAN(HiFiGANConfig(upsample_initial_channel=32))(torch.zeros(1, 32, 64))
    with pytest.raises(RuntimeError, match="Missing key"):
        HiFiGAN.from_state_dict({"conv_pre.weight": torch.zeros(1)}, HiFiGANConfig(upsample_initial_channel=32))


def test_noise_schedule_golden():
    arrays, schedule = golden("latent_diffusion_schedule"), noise_schedule()
    assert_golden(arrays, "betas", schedule.betas, 1e-7)
    assert_golden(arrays, "alphas_cumprod", schedule.alphas_cumprod, 1e-7)


def test_add_noise_by_hand():
    # betas[0] = 0.0015, so alphas_cumprod[0] = 0.9985.
    noisy = noise_schedule().add_noise(torch.ones(2, 3), torch.full((2, 3), 2.0), torch.tensor([0, 0]))
    assert noisy.numpy() == pytest.approx(math.sqrt(0.9985) + 2 * math.sqrt(0.0015), abs=1e-6)


def test_velocity_by_hand_and_back_to_the_noise():
    """Salimans and Ho: with a = cos^2, x_t = cos x_0 + sin e and v = cos e - sin x_0: e = sin x_t + cos v."""
    schedule = noise_schedule()
    t = torch.tensor([0, 300, 999])
    cos, sin = schedule.alphas_cumprod[t].sqrt(), (1 - schedule.alphas_cumprod[t]).sqrt()
    x0, e = torch.full((3, 2), 2.0), torch.full((3, 2), -1.0)
    v = schedule.velocity(x0, e, t)
    torch.testing.assert_close(v, (-cos - 2 * sin)[:, None].expand(3, 2))
    torch.testing.assert_close(schedule.noise_of_velocity(schedule.add_noise(x0, e, t), v, t), e)
    # When x is almost pure noise (a_999 is 0.0001), an error of the velocity has almost no effect on the noise.
    wrong = schedule.noise_of_velocity(schedule.add_noise(x0, e, t), v + 1, t) - e
    torch.testing.assert_close(wrong, cos[:, None].expand(3, 2))


def test_timestep_embedding_by_hand():
    # Four channels: frequencies 1 and 1/100, cosines first.
    expected = [math.cos(3), math.cos(0.03), math.sin(3), math.sin(0.03)]
    assert timestep_embedding(torch.tensor([3]), 4)[0].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("steps, eta", [(200, 0.0), (200, 1.0), (4, 1.0), (5, 1.0)])
def test_ddim_schedule_golden(steps, eta):
    arrays, schedule = golden(f"ddim_schedule_S{steps}_eta{eta}"), ddim_schedule(steps, eta)
    assert schedule.timesteps.tolist() == arrays["timesteps"].tolist()
    for key in ("alphas", "alphas_prev", "sigmas"):
        assert getattr(schedule, key).numpy() == pytest.approx(arrays[key], rel=1e-6, abs=1e-7)


def test_ddim_schedule_refuses_exactly_what_the_published_rule_cannot_index():
    bad = {3, 9, 27, 36, 37, *range(101, 112), *range(251, 334), *range(501, 1001)}
    for steps in range(1, 1001):
        if steps in bad:
            with pytest.raises(ValueError, match=f"DDIM with {steps} steps.*divisor of 1000"):
                ddim_schedule(steps)
        else:
            assert int(ddim_schedule(steps).timesteps[-1]) <= 999
    assert len(ddim_schedule(150).timesteps) == 167
    with pytest.raises(ValueError, match="between 1 and 1000"):
        ddim_schedule(0)


def test_ddim_returns_x0_if_the_noise_is_known():
    # With the true noise as the estimate, x_0 is exact in every step; eta = 0 then returns sqrt(a_0) x_0 + ... e.
    x0, e = seeded(1, 2, 3, 4), seeded(2, 2, 3, 4)
    schedule, train = ddim_schedule(10, eta=0.0), noise_schedule()
    x = train.add_noise(x0, e, torch.full((2,), int(schedule.timesteps[-1])))
    visited = []
    walk = ddim(lambda x, t: visited.append(t.tolist()) or e, x, schedule, lambda: torch.zeros(2, 3, 4))
    for x, estimate in walk:  # noqa: B007  the last x is used below
        assert relative_l2(estimate, x0) < 1e-4
    assert visited == [[t, t] for t in reversed(range(1, 1000, 100))]
    assert relative_l2(x, train.add_noise(x0, e, torch.zeros(2, dtype=torch.long))) < 1e-5


def test_noise_of_a_sample_depends_only_on_the_seed_and_its_number():
    together, alone = noise_per_sample(7, range(3, 6), (2, 5)), noise_per_sample(7, [4], (2, 5))
    first, second = together(), together()
    assert torch.equal(first[1:2], alone()) and torch.equal(second[1:2], alone())
    assert not torch.equal(first, second) and not torch.equal(first[0], first[1])
    assert not torch.equal(first, noise_per_sample(8, range(3, 6), (2, 5))())


def test_inpainting_keeps_the_given_part():
    # In every step, the network sees the known latents at the step's noise level, not the sampler's own estimate.
    known, mask = seeded(3, 1, 2, 4), torch.tensor([1.0, 0.0]).view(1, 2, 1)
    schedule, train = ddim_schedule(5, eta=0.0), noise_schedule()
    seen = []
    steps = ddim(
        lambda x, t: seen.append((x, t)) or x,
        seeded(4, 1, 2, 4),
        schedule,
        lambda: torch.ones(1, 2, 4),
        known=known,
        mask=mask,
    )
    assert len(list(steps)) == 5
    for x, t in seen:
        expected = train.add_noise(known, torch.ones(1, 2, 4), t)
        assert x[:, 0].numpy() == pytest.approx(expected[:, 0].numpy(), abs=1e-6)
        assert not torch.allclose(x[:, 1], expected[:, 1])
    with pytest.raises(ValueError, match="known and mask"):
        next(ddim(lambda x, t: x, seeded(4, 1, 2, 4), schedule, lambda: torch.ones(1, 2, 4), known=known))


def asked_of(scale: float) -> tuple[torch.Tensor, list[int]]:
    """Return the guided estimate for a network 10 x + t + condition, and the sizes of the batches passed to it."""
    sizes: list[int] = []

    def denoise(x, timesteps, condition):
        sizes.append(len(x))
        return 10 * x + timesteps[:, None] + condition

    x, t = torch.tensor([[1.0], [2.0]]), torch.tensor([5, 7])
    return guided(denoise, torch.tensor([[3.0], [4.0]]), torch.tensor([[0.0], [1.0]]), scale)(x, t), sizes


@pytest.mark.parametrize(
    "scale, expected, sizes",
    [
        (0, [15.0, 28.0], [2]),  # e_u: 10 + 5 + 0 and 20 + 7 + 1
        (1, [18.0, 31.0], [2]),  # e_c: e_u + 3
        (2, [21.0, 34.0], [4]),  # e_u + 2 (e_c - e_u)
        (0.5, [16.5, 29.5], [4]),
    ],
)
def test_guidance_by_hand(scale, expected, sizes):
    estimate, asked = asked_of(scale)
    assert estimate[:, 0].tolist() == expected and asked == sizes


def notes() -> torch.Tensor:
    """Return two rows of plucked notes: a falling and a rising broken chord with three partials per note."""
    t = torch.arange(163_840) / 16_000
    rows = []
    for pitches in ([440.0, 330.0, 262.0, 196.0], [110.0, 165.0, 220.0, 330.0]):
        wave = torch.zeros_like(t)
        for i, pitch in enumerate(pitches):
            since = (t - 2.5 * i).clamp(min=0)
            pluck = sum(torch.sin(2 * torch.pi * k * pitch * since) / k**2 for k in (1, 2, 3))
            wave += torch.where(t >= 2.5 * i, 0.2 * pluck * torch.exp(-1.5 * since), torch.zeros(()))
        rows.append(wave)
    return torch.stack(rows)


def test_griffin_lim_round_trip():
    mel = log_mel(notes())
    waves = griffin_lim(mel)
    assert waves.shape == (2, 163_840) and waves.dtype == torch.float32
    again = log_mel(waves.clamp(-1, 1))
    audible = mel > -6  # within 60 dB of the loudest band
    assert (again - mel)[audible].abs().mean() < 0.25  # nepers; 0.25 is 2.2 dB
    assert torch.equal(griffin_lim(mel[1:]), waves[1:])  # rows are independent


def test_griffin_lim_of_silence_is_silence():
    assert griffin_lim(torch.full((1, 64, 64), SILENCE)).abs().max() < 1e-6


@pytest.mark.parametrize("bad", [torch.zeros(1, 64, 1024), torch.zeros(1024, 64), torch.full((1, 8, 64), math.nan)])
def test_griffin_lim_refuses(bad):
    with pytest.raises(ValueError, match="griffin_lim"):
        griffin_lim(bad)


def test_constants_first_used_in_inference_can_be_used_in_training():
    mel_filters.cache_clear()
    with torch.inference_mode():
        log_mel(torch.zeros(1, 1600), 10)
    wave = torch.full((1, 1600), 0.1, requires_grad=True)
    with torch.enable_grad():
        log_mel(wave, 10).sum().backward()
    assert torch.isfinite(wave.grad).all()
