"""MSG-LD: names, shapes and numbers of the published U-Net, use of stems, mixture and CLAP embedding, separation."""

from functools import partial
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from adapterkit.randomness import noise_per_sample
from adapterkit.sampling import SamplingOptions
from conftest import STEMS
from msg_ld import MSGLDConfig, MSGLDUNet
from msg_ld.generator import EMBEDDED, make
from mtbench.errors import UsageError
from mtbench.stems import StemSet
from musicldm import VAE, VAEConfig, log_mel, published
from musicldm.generator import LatentDiffusion, LatentModel
from parity import SMALL, assert_golden, assert_names_and_shapes, fill, golden, manifest, relative_l2, seeded
from published_files import TINY_VAE, TINY_VOCODER, tiny, write_lightning


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def tiny_network() -> MSGLDUNet:
    return fill(MSGLDUNet(MSGLDConfig(**manifest("msgld_unet_tiny")["config"])))


@pytest.mark.parametrize(
    "name, parameters",
    [("msgld_unet", 305_165_444), ("msgld_unet_ch192", 686_513_860), ("msgld_unet_tiny", 19_099_940)],
)
def test_names_and_shapes(name, parameters):
    with torch.device("meta"):
        network = MSGLDUNet(MSGLDConfig(**manifest(name)["config"]))
    assert_names_and_shapes(network, name)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_defaults_are_the_published_size():
    assert MSGLDConfig() == MSGLDConfig(**manifest("msgld_unet")["config"])


def test_tiny_golden_with_a_mixture(tiny_network):
    out = tiny_network(seeded(5111, 1, 4, 8, 256, 16), torch.tensor([500]), seeded(6111, 1, 8, 256, 16))
    assert_golden(golden("msgld_unet_tiny_b1_s5111"), "out", out)


def test_tiny_golden_without_a_mixture(tiny_network):
    out = tiny_network(seeded(5113, 1, 4, 8, 256, 16), torch.tensor([981]))
    assert_golden(golden("msgld_unet_tiny_b1_nomix_s5113"), "out", out)


@pytest.mark.slow
def test_full_golden():
    arrays = golden("msgld_unet_full_b1_s5101")
    network = fill(MSGLDUNet())
    assert_golden(
        arrays, "out", network(seeded(5101, 1, 4, 8, 256, 16), torch.tensor([500]), seeded(6101, 1, 8, 256, 16))
    )


@pytest.mark.slow
def test_192_wide_golden():
    arrays = golden("msgld_unet_ch192_b1_s5121")
    network = fill(MSGLDUNet(MSGLDConfig(model_channels=192)))
    assert_golden(arrays, "out", network(seeded(5121, 1, 4, 8, 256, 16), torch.tensor([500])))


def small(**overrides) -> MSGLDUNet:
    return fill(MSGLDUNet(MSGLDConfig(**{**SMALL, **overrides})))


def test_no_mixture_is_a_mixture_of_zeros():
    network, x, t = small(), seeded(1, 2, 4, 8, 8, 4), torch.tensor([500, 3])
    assert torch.equal(network(x, t), network(x, t, torch.zeros(2, 8, 8, 4)))
    assert relative_l2(network(x, t, seeded(2, 2, 8, 8, 4)), network(x, t)) > 1e-2


def test_a_sample_does_not_depend_on_its_batch():
    network, x, t, mixture = small(), seeded(1, 3, 4, 8, 8, 4), torch.tensor([900, 500, 1]), seeded(2, 3, 8, 8, 4)
    together = network(x, t, mixture)
    for i in range(3):
        row = slice(i, i + 1)
        assert relative_l2(together[row], network(x[row], t[row], mixture[row])) < 2e-6


def test_each_stem_has_separate_weights():
    network, x, t, order = small(), seeded(1, 1, 4, 8, 8, 4), torch.tensor([500]), [2, 0, 3, 1]
    assert relative_l2(network(x[:, order], t), network(x, t)[:, order]) > 1e-2


def test_other_sizes():
    network = small(
        num_stems=2,
        in_channels=2,
        out_channels=2,
        z_channels=6,
        channel_mult=(1, 1, 2),
        attention_resolutions=(1, 4),
        latent_t=16,
    )
    assert network(seeded(1, 1, 2, 6, 16, 4), torch.tensor([1]), seeded(2, 1, 6, 16, 4)).shape == (1, 2, 6, 16, 4)


def test_autocast_and_channels_last_stay_close_to_float32():
    network, x, t = small(), seeded(1, 2, 4, 8, 8, 4), torch.tensor([999, 1])
    expected = network(x, t)
    with torch.autocast("cpu", torch.bfloat16):
        actual = network.to(memory_format=torch.channels_last_3d)(x, t)
    assert relative_l2(actual.float(), expected) < 0.05
    assert relative_l2(network(x, t), expected) < 2e-6


@pytest.mark.parametrize(
    "options, message",
    [
        ({"model_channels": 48}, "48 channels.*not a multiple of norm_groups=32"),
        ({"channel_mult": ()}, "channel_mult"),
        ({"attention_resolutions": (3,)}, "attention resolution 3"),
        ({"num_head_channels": 48}, "multiple of num_head_channels=48"),
        ({"latent_f": 12}, "latent_f=12.*down-sampling 8"),
        ({"use_spatial_transformer": True}, "use_spatial_transformer must be"),
        ({"extra_film_condition_dim": 0}, "extra_film_condition_dim must be at least 1 or None"),
        ({"out_channels": 8}, "in_channels, out_channels and num_stems must be equal"),
    ],
)
def test_config_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        MSGLDConfig(**options)


@pytest.mark.parametrize(
    "shape, steps", [((1, 3, 8, 8, 4), 1), ((1, 4, 7, 8, 4), 1), ((1, 4, 8, 7, 4), 1), ((2, 4, 8, 8, 4), 1)]
)
def test_forward_refuses(shape, steps):
    with pytest.raises(ValueError, match="MSGLDUNet: expected"):
        small()(torch.zeros(shape), torch.zeros(steps))


def test_forward_refuses_a_mixture_of_the_wrong_shape():
    with pytest.raises(ValueError, match="expected mixture"):
        small()(torch.zeros(1, 4, 8, 8, 4), torch.zeros(1), torch.zeros(1, 1, 8, 8, 4))


def test_the_embedding_joins_as_in_the_published_code():
    # The golden is the output of UNetModel in karchkha/mt-musicldm at e7446b7, with the recipe's weights at this size.
    network = small(extra_film_condition_dim=24)
    out = network(seeded(1, 2, 4, 8, 8, 4), torch.tensor([500, 3]), embedding=seeded(2, 2, 24))
    assert_golden(golden("mt_musicldm_film_small"), "out", out)


def test_the_conditional_networks_size():
    # The embedding adds Linear(512, 768), 393,984 parameters, and 768 more inputs of Linear(., C) in each residual
    # block. With C of 192, 384, 576 and 960, there are 2 blocks per level on the way down, 3 on the way up, and 2 of
    # 960 in the middle: 768 * (5 * 2112 + 1920) = 9,584,640.
    with torch.device("meta"):
        network = MSGLDUNet(MSGLDConfig(model_channels=192, extra_film_condition_dim=512))
    assert sum(p.numel() for p in network.parameters()) == 686_513_860 + 393_984 + 9_584_640 == 696_492_484
    added = set(network.state_dict()) - {name for name, *_ in manifest("msgld_unet_ch192")["state_dict"]}
    assert added == {"film_emb.weight", "film_emb.bias"} and network.film_emb.weight.shape == (768, 512)


@pytest.mark.parametrize(
    "width, embedding, message",
    [
        (None, torch.zeros(1, 24), "expected no embedding, got"),
        (24, None, r"expected embedding \[1, 24\], got none"),
        (24, torch.zeros(2, 24), r"expected embedding \[1, 24\], got \[2, 24\]"),
    ],
)
def test_forward_refuses_a_wrong_embedding(width, embedding, message):
    with pytest.raises(ValueError, match=message):
        small(extra_film_condition_dim=width)(torch.zeros(1, 4, 8, 8, 4), torch.zeros(1), embedding=embedding)


class Toy(nn.Module):
    """Estimates the noise as a quarter of x minus the mixture, and records the mixtures it is given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x, timesteps, mixture=None):
        self.seen.append((len(x), mixture))
        return x / 4 if mixture is None else x / 4 - mixture[:, None]


@pytest.fixture(scope="module")
def vae() -> VAE:
    with torch.no_grad():
        return fill(VAE(VAEConfig(ch=8, ch_mult=(1, 1, 2, 2), num_res_blocks=1, norm_groups=4)))


def model(
    network: nn.Module, vae: VAE, batch_size: int = 3, guidance_scale: float = 1.0, separates: bool = True
) -> LatentDiffusion:
    """Return a generator of clips of 0.64 s, whose latents have 8 positions in time and 8 in frequency."""
    options = SamplingOptions(steps=4, batch_size=batch_size, guidance_scale=guidance_scale)
    return LatentDiffusion(
        "small", LatentModel(network, vae, 0.5, separates=separates), (4, 8, 8, 8), {}, "cpu", options
    )


def song(i: int, *stems: str, samples: int = 10240, rate: int = 16000) -> StemSet:
    random = np.random.default_rng(i)
    waves = {stem: random.uniform(-0.5, 0.5, samples).astype(np.float32) for stem in (*STEMS, "mixture")}
    return StemSet(f"song-{i}", {stem: waves[stem] for stem in stems}, rate)


def mixture_latents(vae: VAE, seed: int, i: int) -> torch.Tensor:
    """Compute independently the scaled posterior sample of song i's mixture, with the first noise of sample i."""
    wave = torch.from_numpy(song(i, "mixture").stems["mixture"])
    mean, logvar = vae.encode(log_mel(wave, 64)[None, None])
    return 0.5 * (mean + (logvar / 2).exp() * noise_per_sample(seed, [i], (4, 8, 8, 8))()[:, 0])


def test_the_network_is_given_the_mixtures_latents_at_every_step(vae):
    toy = Toy()
    model(toy, vae)._latents(6, [0, 3], [], [song(i, "mixture").stems["mixture"] for i in (0, 3)])
    expected = torch.cat([mixture_latents(vae, 6, i) for i in (0, 3)])
    assert [size for size, _ in toy.seen] == 4 * [2]
    assert all(relative_l2(seen, expected) < 1e-5 for _, seen in toy.seen)


def test_guidance_doubles_the_batch_and_is_linear_in_the_scale(vae):
    # The toy is linear: with the same noise, samples change by the same amount for each step of the scale.
    latents = {}
    for scale in (0.0, 1.0, 2.0, 3.0):
        toy = Toy()
        latents[scale] = model(toy, vae, guidance_scale=scale)._latents(
            6, [1], [], [song(1, "mixture").stems["mixture"]]
        )
        size, seen = toy.seen[0]
        assert size == (1 if scale < 2 else 2)
        # Zeros represent no mixture and come first.
        assert torch.equal(seen[0], torch.zeros_like(seen[0])) == (scale != 1.0)
    step = latents[1.0] - latents[0.0]
    for scale in (1.0, 2.0):
        assert relative_l2(latents[scale + 1.0] - latents[scale], step) < 1e-4


def test_a_separated_sample_is_the_same_in_any_batch(vae):
    network, songs = small(latent_f=8), [song(i, "mixture") for i in range(5)]
    mixtures = [song.stems["mixture"] for song in songs]
    for scale in (1.0, 2.0):
        generator = model(network, vae, guidance_scale=scale)
        together = generator._latents(1, range(5), [], mixtures)
        assert relative_l2(together[2:3], generator._latents(1, [2], [], [mixtures[2]])) < 1e-4
        assert relative_l2(together[2:3], generator._latents(1, [2], [], [mixtures[3]])) > 1e-3
    (sample,) = model(network, vae, batch_size=2).generate(1, ["piano", "bass"], given=songs, seed=1, start=4)
    assert sample.id == "00004" and list(sample.stems) == ["piano", "bass"] and sample.sample_rate == 16000
    assert all(wave.shape == (10240,) and wave.dtype == np.float32 for wave in sample.stems.values())


def test_generation_and_arrangement_use_no_mixture(vae):
    toy = Toy()
    generator = model(toy, vae, guidance_scale=2.0)
    list(generator.generate(1, ["bass"]))
    list(generator.generate(1, ["bass"], given=[song(0, "drums")]))
    assert toy.seen == 8 * [(1, None)] and generator.tasks == {"total", "arrangement", "separation"}
    assert generator.provenance["guidance_scale"] == 2.0


def test_every_subset_can_be_given_and_is_returned_unchanged(vae):
    generator = model(small(latent_f=8), vae, batch_size=14)
    songs = [song(i, *kept) for i, kept in enumerate(kept for size in (1, 2, 3) for kept in combinations(STEMS, size))]
    assert len(songs) == 14
    for clip, sample in zip(songs, generator.generate(14, STEMS, given=songs), strict=True):
        assert list(sample.stems) == list(STEMS)
        assert all(np.array_equal(sample.stems[stem], wave) for stem, wave in clip.stems.items())
        assert all(sample.stems[stem].shape == (10240,) for stem in set(STEMS) - clip.stems.keys())


@pytest.mark.parametrize(
    "separates, given, message",
    [
        (
            False,
            [song(0, "mixture")],
            r"given\[0\] \('song-0'\) contains 'mixture', but model 'small' accepts bass, drums",
        ),
        (True, [song(0, "bass", "mixture")], "contains 'bass', but model 'small' accepts .*piano, or only mixture"),
        (
            True,
            [song(0, "mixture"), song(1, "bass")],
            r"given\[1\] .*all clips of a call must be mixtures to separate, or all must be stems to keep",
        ),
        (
            True,
            [song(0, "bass"), song(1, "mixture")],
            r"given\[1\] .*all clips of a call must be mixtures to separate, or all must be stems to keep",
        ),
        (True, [song(0, "mixture", samples=99), None], r": mixture has shape \[99\], expected \[10240\]"),
        (True, [song(0, "mixture", rate=44100)], "is at 44100 Hz, but model 'small' requires 16000 Hz"),
        (True, [StemSet("x", {}, 16000)], "has no stems"),
    ],
)
def test_invalid_given_mixtures_are_named(vae, separates, given, message):
    n = sum(clip is not None for clip in given)
    with pytest.raises(UsageError, match=message):
        list(model(Toy(), vae, separates=separates).generate(n, STEMS, given=given))


SHORT = SimpleNamespace(name="short", sample_rate=16000, n_samples=10240, stems=STEMS)
make_short = partial(make, device="cpu", suite=SHORT, steps=2)


def test_a_checkpoint_stores_whether_it_separates(tmp_path):
    checkpoint = torch.load(EMBEDDED, weights_only=True)
    for mixture in (True, False):
        torch.save(checkpoint | {"mixture": mixture}, tmp_path / "mine.pt")
        assert ("separation" in make_short(weights=str(tmp_path / "mine.pt")).tasks) == mixture


def test_a_published_file_separates(monkeypatch, tmp_path):
    monkeypatch.setattr(published, "read", partial(published.read, vae=TINY_VAE, vocoder=TINY_VOCODER))
    path = write_lightning(tmp_path / "last.ckpt", tiny("msgld_unet_tiny"))
    generator = make_short(weights=str(path), guidance_scale=1.5)
    (sample,) = generator.generate(1, ["drums"], given=[song(0, "mixture")])
    assert generator.tasks == {"total", "arrangement", "separation"} and sample.stems["drums"].shape == (10240,)


@pytest.mark.parametrize("scale", [-1.0, float("nan"), "much"])
def test_an_invalid_guidance_scale_is_refused(scale):
    with pytest.raises(UsageError, match="model 'msg-ld': guidance_scale must be a finite number of at least 0"):
        make_short(weights=None, guidance_scale=scale)
