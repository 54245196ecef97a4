"""MSG-LD's U-Net: the published names, shapes and numbers, and how it treats stems and mixture."""

import pytest
import torch

from msg_ld import MSGLDConfig, MSGLDUNet
from parity import assert_golden, assert_names_and_shapes, fill, golden, manifest, relative_l2, seeded

SMALL = dict(model_channels=32, channel_mult=(1, 2), num_res_blocks=1, attention_resolutions=(2,),
             num_head_channels=16, latent_t=8, latent_f=4)


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def tiny() -> MSGLDUNet:
    return fill(MSGLDUNet(MSGLDConfig(**manifest("msgld_unet_tiny")["config"])))


@pytest.mark.parametrize("name, parameters", [
    ("msgld_unet", 305_165_444), ("msgld_unet_ch192", 686_513_860), ("msgld_unet_tiny", 19_099_940)])
def test_names_and_shapes(name, parameters):
    with torch.device("meta"):
        network = MSGLDUNet(MSGLDConfig(**manifest(name)["config"]))
    assert_names_and_shapes(network, name)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_defaults_are_the_published_size():
    assert MSGLDConfig() == MSGLDConfig(**manifest("msgld_unet")["config"])


def test_tiny_golden_with_a_mixture(tiny):
    out = tiny(seeded(5111, 1, 4, 8, 256, 16), torch.tensor([500]), seeded(6111, 1, 8, 256, 16))
    assert_golden(golden("msgld_unet_tiny_b1_s5111"), "out", out)


def test_tiny_golden_without_a_mixture(tiny):
    out = tiny(seeded(5113, 1, 4, 8, 256, 16), torch.tensor([981]))
    assert_golden(golden("msgld_unet_tiny_b1_nomix_s5113"), "out", out)


@pytest.mark.slow
def test_full_golden():
    arrays = golden("msgld_unet_full_b1_s5101")
    network = fill(MSGLDUNet())
    assert_golden(arrays, "out", network(seeded(5101, 1, 4, 8, 256, 16), torch.tensor([500]),
                                         seeded(6101, 1, 8, 256, 16)))


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
    network = small(num_stems=2, in_channels=2, out_channels=2, z_channels=6, channel_mult=(1, 1, 2),
                    attention_resolutions=(1, 4), latent_t=16)
    assert network(seeded(1, 1, 2, 6, 16, 4), torch.tensor([1]), seeded(2, 1, 6, 16, 4)).shape == (1, 2, 6, 16, 4)


def test_autocast_and_channels_last_stay_close_to_float32():
    network, x, t = small(), seeded(1, 2, 4, 8, 8, 4), torch.tensor([999, 1])
    expected = network(x, t)
    with torch.autocast("cpu", torch.bfloat16):
        actual = network.to(memory_format=torch.channels_last_3d)(x, t)
    assert relative_l2(actual.float(), expected) < 0.05
    assert relative_l2(network(x, t), expected) < 2e-6


@pytest.mark.parametrize("options, message", [
    ({"model_channels": 48}, "model_channels=48 is not a multiple of norm_groups=32"),
    ({"channel_mult": ()}, "channel_mult"),
    ({"attention_resolutions": (3,)}, "attention resolution 3"),
    ({"num_head_channels": 48}, "multiple of num_head_channels=48"),
    ({"latent_f": 12}, "latent_f=12.*down-sampling 8"),
    ({"use_spatial_transformer": True}, "use_spatial_transformer must be"),
    ({"out_channels": 8}, "same number of stems")])
def test_config_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        MSGLDConfig(**options)


@pytest.mark.parametrize("shape, steps", [((1, 3, 8, 8, 4), 1), ((1, 4, 7, 8, 4), 1), ((1, 4, 8, 7, 4), 1),
                                          ((2, 4, 8, 8, 4), 1)])
def test_forward_refuses(shape, steps):
    with pytest.raises(ValueError, match="MSGLDUNet: expected"):
        small()(torch.zeros(shape), torch.zeros(steps))


def test_forward_refuses_a_mixture_of_another_shape():
    with pytest.raises(ValueError, match="expected mixture"):
        small()(torch.zeros(1, 4, 8, 8, 4), torch.zeros(1), torch.zeros(1, 1, 8, 8, 4))
