"""MSG-LD: its U-Net's published names, shapes and numbers, how it treats stems, mixture and CLAP's embedding, and what
its generator makes of a mixture."""

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
        part = slice(i, i + 1)
        assert relative_l2(together[part], network(x[part], t[part], mixture[part])) < 2e-6


def test_stems_are_channels_with_weights_of_their_own():
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
        ({"extra_film_condition_dim": 0}, "extra_film_condition_dim must be at least 1 or none"),
        ({"out_channels": 8}, "same number of stems"),
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


def test_forward_refuses_a_mixture_of_another_shape():
    with pytest.raises(ValueError, match="expected mixture"):
        small()(torch.zeros(1, 4, 8, 8, 4), torch.zeros(1), torch.zeros(1, 1, 8, 8, 4))


def test_the_embedding_joins_as_in_the_published_code():
    # The golden is the output of UNetModel of karchkha/mt-musicldm at e7446b7, with the recipe's weights at this size.
    network = small(extra_film_condition_dim=24)
    out = network(seeded(1, 2, 4, 8, 8, 4), torch.tensor([500, 3]), embedding=seeded(2, 2, 24))
    assert_golden(golden("mt_musicldm_film_small"), "out", out)


def test_the_conditional_networks_size():
    # To 686,513,860 come Linear(512, 768), 393,984, and 768 more inputs of Linear(., C) in each residual block: with C
    # of 192, 384, 576, 960, 2 per level down, 3 up, and 2 of 960 in the middle, 768 * (5 * 2112 + 1920) = 9,584,640.
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
def test_forward_refuses_another_embedding(width, embedding, message):
    with pytest.raises(ValueError, match=message):
        small(extra_film_condition_dim=width)(torch.zeros(1, 4, 8, 8, 4), torch.zeros(1), embedding=embedding)


class Toy(nn.Module):
    """Estimates the noise as a quarter of x, less the mixture, of which it keeps a note."""

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
    """On clips of 0.64 s, whose latents have 8 positions in time and 8 in frequency."""
    options = SamplingOptions(steps=4, batch_size=batch_size, guidance_scale=guidance_scale)
    return LatentDiffusion(
        "small", LatentModel(network, vae, 0.5, separates=separates), (4, 8, 8, 8), {}, "cpu", options
    )


def song(i: int, *stems: str, samples: int = 10240, rate: int = 16000) -> StemSet:
    random = np.random.default_rng(i)
    waves = {stem: random.uniform(-0.5, 0.5, samples).astype(np.float32) for stem in (*STEMS, "mixture")}
    return StemSet(f"song-{i}", {stem: waves[stem] for stem in stems}, rate)


def mixture_latents(vae: VAE, seed: int, i: int) -> torch.Tensor:
    """By hand: the scaled posterior sample of song i's mixture, with the first of the sample's own noise."""
    wave = torch.from_numpy(song(i, "mixture").stems["mixture"])
    mean, logvar = vae.encode(log_mel(wave, 64)[None, None])
    return 0.5 * (mean + (logvar / 2).exp() * noise_per_sample(seed, [i], (4, 8, 8, 8))()[:, 0])


def test_the_network_is_given_the_mixtures_latents_at_every_step(vae):
    toy = Toy()
    model(toy, vae)._latents(6, [0, 3], [], [song(i, "mixture").stems["mixture"] for i in (0, 3)])
    expected = torch.cat([mixture_latents(vae, 6, i) for i in (0, 3)])
    assert [size for size, _ in toy.seen] == 4 * [2]
    assert all(relative_l2(seen, expected) < 1e-5 for _, seen in toy.seen)


def test_guidance_doubles_the_batch_and_moves_on_in_proportion(vae):
    # The toy is linear: with the noise drawn alike, samples move by the same for each step of the scale.
    made = {}
    for scale in (0.0, 1.0, 2.0, 3.0):
        toy = Toy()
        made[scale] = model(toy, vae, guidance_scale=scale)._latents(6, [1], [], [song(1, "mixture").stems["mixture"]])
        size, seen = toy.seen[0]
        assert size == (1 if scale < 2 else 2)
        assert torch.equal(seen[0], torch.zeros_like(seen[0])) == (
            scale != 1.0
        )  # zeros stand for no mixture, and first
    step = made[1.0] - made[0.0]
    assert relative_l2(made[2.0] - made[1.0], step) < 1e-4 and relative_l2(made[3.0] - made[2.0], step) < 1e-4


def test_a_separated_sample_is_the_same_in_any_batch(vae):
    network, songs = small(latent_f=8), [song(i, "mixture") for i in range(5)]
    mixtures = [song.stems["mixture"] for song in songs]
    for scale in (1.0, 2.0):
        made = model(network, vae, guidance_scale=scale)
        together = made._latents(1, range(5), [], mixtures)
        assert relative_l2(together[2:3], made._latents(1, [2], [], [mixtures[2]])) < 1e-4
        assert relative_l2(together[2:3], made._latents(1, [2], [], [mixtures[3]])) > 1e-3
    (sample,) = model(network, vae, batch_size=2).generate(1, ["piano", "bass"], given=songs, seed=1, start=4)
    assert sample.id == "00004" and list(sample.stems) == ["piano", "bass"] and sample.sample_rate == 16000
    assert all(wave.shape == (10240,) and wave.dtype == np.float32 for wave in sample.stems.values())


def test_generation_and_arrangement_are_without_a_mixture(vae):
    toy = Toy()
    made = model(toy, vae, guidance_scale=2.0)
    list(made.generate(1, ["bass"]))
    list(made.generate(1, ["bass"], given=[song(0, "drums")]))
    assert toy.seen == 8 * [(1, None)] and made.tasks == {"total", "arrangement", "separation"}
    assert made.provenance["guidance_scale"] == 2.0


def test_every_subset_can_be_given_and_comes_back_as_it_is(vae):
    made = model(small(latent_f=8), vae, batch_size=14)
    songs = [song(i, *kept) for i, kept in enumerate(kept for size in (1, 2, 3) for kept in combinations(STEMS, size))]
    assert len(songs) == 14
    for held, sample in zip(songs, made.generate(14, STEMS, given=songs), strict=True):
        assert list(sample.stems) == list(STEMS)
        assert all(np.array_equal(sample.stems[stem], wave) for stem, wave in held.stems.items())
        assert all(sample.stems[stem].shape == (10240,) for stem in set(STEMS) - held.stems.keys())


@pytest.mark.parametrize(
    "separates, given, message",
    [
        (
            False,
            [song(0, "mixture")],
            r"given\[0\] \('song-0'\) holds 'mixture'; model 'small' can be given bass, drums",
        ),
        (True, [song(0, "bass", "mixture")], "holds 'bass'; model 'small' can be given .*piano, or mixture alone"),
        (
            True,
            [song(0, "mixture"), song(1, "bass")],
            r"given\[1\] .*a call is given mixtures to separate or stems to keep",
        ),
        (
            True,
            [song(0, "bass"), song(1, "mixture")],
            r"given\[1\] .*a call is given mixtures to separate or stems to keep",
        ),
        (True, [song(0, "mixture", samples=99), None], r"its mixture has the shape \[99\], not \[10240\]"),
        (True, [song(0, "mixture", rate=44100)], "is at 44100 Hz; model 'small' takes 16000 Hz"),
        (True, [StemSet("x", {}, 16000)], "holds no stem"),
    ],
)
def test_what_cannot_be_separated_is_named(vae, separates, given, message):
    n = sum(held is not None for held in given)
    with pytest.raises(UsageError, match=message):
        list(model(Toy(), vae, separates=separates).generate(n, STEMS, given=given))


SHORT = SimpleNamespace(name="short", sample_rate=16000, n_samples=10240, stems=STEMS)
make_short = partial(make, device="cpu", suite=SHORT, steps=2)


def test_a_checkpoint_says_whether_it_separates(tmp_path):
    held = torch.load(EMBEDDED, weights_only=True)
    for mixture in (True, False):
        torch.save(held | {"mixture": mixture}, tmp_path / "mine.pt")
        assert ("separation" in make_short(weights=str(tmp_path / "mine.pt")).tasks) == mixture


def test_a_published_file_separates(monkeypatch, tmp_path):
    monkeypatch.setattr(published, "read", partial(published.read, vae=TINY_VAE, vocoder=TINY_VOCODER))
    path = write_lightning(tmp_path / "last.ckpt", tiny("msgld_unet_tiny"))
    made = make_short(weights=str(path), guidance_scale=1.5)
    (sample,) = made.generate(1, ["drums"], given=[song(0, "mixture")])
    assert made.tasks == {"total", "arrangement", "separation"} and sample.stems["drums"].shape == (10240,)


@pytest.mark.parametrize("scale", [-1.0, float("nan"), "much"])
def test_a_guidance_scale_that_cannot_be_is_refused(scale):
    with pytest.raises(UsageError, match="model 'msg-ld': guidance_scale must be a number from 0 on"):
        make_short(weights=None, guidance_scale=scale)
