"""SyncTrack's U-Net: published names, shapes and numbers, and the differences of the paper's form and the ablations."""

import pytest
import torch
from torch import nn

from musicldm import ddim, ddim_schedule
from musicldm.unet import ResBlock
from parity import SMALL, assert_golden, assert_names_and_shapes, fill, golden, manifest, relative_l2, seeded
from synctrack import SyncTrackConfig, SyncTrackUNet
from synctrack.network import ABLATIONS, SpatialTransformer


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def tiny() -> SyncTrackUNet:
    return fill(SyncTrackUNet(SyncTrackConfig.published(**manifest("synctrack_unet_tiny")["config"])))


@pytest.mark.parametrize("make", [SyncTrackConfig, SyncTrackConfig.published])
@pytest.mark.parametrize("name, parameters", [("synctrack_unet", 241_314_712), ("synctrack_unet_tiny", 15_161_944)])
def test_names_and_shapes(make, name, parameters):
    with torch.device("meta"):
        network = SyncTrackUNet(make(**manifest(name)["config"]))
    assert_names_and_shapes(network, name)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert [n for n, p in network.named_parameters() if not p.requires_grad] == ["switcher"]


def test_defaults_are_the_published_size_in_the_papers_form():
    paper, published = SyncTrackConfig(), SyncTrackConfig.published()
    assert paper == SyncTrackConfig(**manifest("synctrack_unet")["config"])
    assert (paper.cross_track_keys, paper.time_attention, paper.time_residuals) == ("own", "frame", 1)
    switches = ("row_mod_batch", "position", 2)
    assert (published.cross_track_keys, published.time_attention, published.time_residuals) == switches


def test_embeddings_golden():
    arrays = golden("synctrack_embeddings")
    with torch.device("meta"):
        network = SyncTrackUNet()
    network.time_embed.to_empty(device="cpu")
    network.switcher_transform.to_empty(device="cpu")
    network.switcher = nn.Parameter(torch.eye(4).flip(1), requires_grad=False)
    fill(nn.ModuleDict({"time_embed": network.time_embed, "switcher_transform": network.switcher_transform}))
    emb = network.embedding(torch.tensor([0, 1, 500, 999]))
    assert emb.shape == (16, 1024)
    assert_golden(arrays, "time_embed", emb[::4, :512])
    assert_golden(arrays, "prior", emb[:4, 512:])
    assert torch.equal(network.switcher, torch.from_numpy(arrays["switcher"]))


def test_small_inputs_reveal_the_group_norm_epsilons():
    x = 1e-3 * seeded(7102, 2, 64, 8, 4)
    assert_golden(golden("eps_unet_resblock"), "out", fill(ResBlock(64, 256, 96))(x, seeded(7103, 2, 256)))
    transformer = fill(SpatialTransformer(64, SyncTrackConfig.published(num_head_channels=8)))
    assert_golden(golden("eps_synctrack_spatial_transformer"), "out", transformer(1e-3 * seeded(7101, 4, 64, 16, 4)))


@pytest.mark.parametrize("name, seed, rows", [("b1_s1201", 1201, 4), ("b2_s1202", 1202, 8)])
def test_spatial_transformer_golden(name, seed, rows):
    arrays = golden(f"synctrack_spatial_transformer_{name}")
    transformer = fill(SpatialTransformer(64, SyncTrackConfig.published(num_head_channels=8)))
    assert_golden(arrays, "out", transformer(seeded(seed, rows, 64, 16, 4)))


def check_unet(network: SyncTrackUNet, name: str, seed: int, timesteps: list[int]) -> None:
    arrays, B = golden(name), len(timesteps)
    # The published network takes 16 channels per row and drops the second half.
    latents = seeded(seed, 4 * B, 16, 256, 16)[:, :8].unflatten(0, (B, 4))
    out = network(latents, torch.tensor(timesteps))
    assert out.shape == latents.shape
    assert_golden(arrays, "out", out.flatten(0, 1))


@pytest.mark.parametrize(
    "name, seed, timesteps",
    [
        ("b1_s1111", 1111, [500]),
        ("b2_s1113", 1113, [981, 41]),
        ("b3_s1115", 1115, [996, 496, 1]),
        ("b5_s1117", 1117, [11, 211, 411, 611, 811]),
    ],
)
def test_tiny_golden(tiny, name, seed, timesteps):
    check_unet(tiny, f"synctrack_unet_tiny_{name}", seed, timesteps)


@pytest.mark.slow
@pytest.mark.parametrize("name, seed, timesteps", [("b1_s1101", 1101, [500]), ("b2_s1103", 1103, [981, 41])])
def test_full_golden(name, seed, timesteps):
    check_unet(fill(SyncTrackUNet(SyncTrackConfig.published())), f"synctrack_unet_full_{name}", seed, timesteps)


def check_ddim(network, name, shape, steps, eta, start_seed, noise_seed, **arrangement) -> None:
    arrays = golden(name)
    generator = torch.Generator().manual_seed(noise_seed)
    trajectory = ddim(
        network,
        seeded(start_seed, *shape),
        ddim_schedule(steps, eta),
        lambda: torch.randn(shape, generator=generator),
        **arrangement,
    )
    for k, (x, x0) in enumerate(trajectory):
        assert_golden(arrays, f"x_after_{k}", x)
        assert_golden(arrays, f"pred_x0_{k}", x0)
    assert k == steps - 1
    assert_golden(arrays, "out", x)


def test_ddim_tiny_golden_eta_0(tiny):
    check_ddim(tiny, "ddim_tiny_b1_eta0", (1, 4, 8, 256, 16), 5, 0.0, 2103, 2104)


def test_ddim_tiny_golden_eta_1(tiny):
    check_ddim(tiny, "ddim_tiny_b2_eta1", (2, 4, 8, 256, 16), 4, 1.0, 2101, 2102)


def test_inpainting_tiny_golden(tiny):
    mask = torch.ones(1, 4, 1, 1, 1)
    mask[:, 1] = 0  # `inpaint_tracks` [1]: drums are generated, the others given
    check_ddim(
        tiny,
        "ddim_tiny_inpaint_b1",
        (1, 4, 8, 256, 16),
        4,
        1.0,
        2107,
        2108,
        known=seeded(2109, 1, 4, 8, 256, 16),
        mask=mask,
    )


@pytest.mark.slow
def test_ddim_full_golden():
    network = fill(SyncTrackUNet(SyncTrackConfig.published()))
    check_ddim(network, "ddim_full_b1_eta1", (1, 4, 8, 256, 16), 4, 1.0, 2001, 2002)


def small(**overrides) -> SyncTrackUNet:
    return fill(SyncTrackUNet(SyncTrackConfig(**{**SMALL, **overrides})))


def test_in_the_papers_form_a_sample_does_not_depend_on_its_batch():
    network, x, t = small(), seeded(1, 3, 4, 8, 8, 4), torch.tensor([900, 500, 1])
    together = network(x, t)
    for i in range(3):
        assert relative_l2(together[i : i + 1], network(x[i : i + 1], t[i : i + 1])) < 2e-6
    assert relative_l2(together[[2, 0, 1]], network(x[[2, 0, 1]], t[[2, 0, 1]])) < 2e-6


def test_a_clip_of_twice_the_length():
    network, x, t = small(), seeded(1, 2, 4, 8, 16, 4), torch.tensor([900, 1])  # configured for T = 8
    out = network(x, t)
    assert out.shape == x.shape
    assert relative_l2(out[1:], network(x[1:], t[1:])) < 2e-6
    # It is treated as one clip, not as two: the last frame influences the first.
    changed = x.clone()
    changed[:, :, :, -1] = seeded(2, 2, 4, 8, 4)
    assert relative_l2(network(changed, t)[:, :, :, 0], out[:, :, :, 0]) > 1e-4


def test_in_the_published_form_the_samples_of_a_batch_mix():
    network, x, t = small(cross_track_keys="row_mod_batch"), seeded(1, 2, 4, 8, 8, 4), torch.tensor([900, 500])
    together, alone = network(x, t), network(x[:1], t[:1])
    # Row r attends to sample r mod 2: bass (row 0) and guitar (row 2) of sample 0 to their own, drums and piano not.
    assert relative_l2(together[:1], alone) > 1e-3
    paper = small()
    assert relative_l2(alone, paper(x[:1], t[:1])) < 2e-6  # alone, the switch changes nothing


@pytest.mark.parametrize("switch", [{"time_attention": "position"}, {"time_residuals": 2}])
def test_the_other_switches_change_the_output(switch):
    x, t = seeded(1, 1, 4, 8, 8, 4), torch.tensor([500])
    assert relative_l2(small(**switch)(x, t), small()(x, t)) > 1e-3


def test_range_of_the_time_specific_attention():
    # One position is changed in all tracks. The published code attends over the tracks at one time and frequency, so
    # only that position changes; the paper (Equation 5) attends over all frequencies of that time, and no other time.
    x = seeded(1, 4, 32, 64)  # tokens of one sample: 8 times x 4 frequencies
    changed = x.clone()
    changed[:, 3 * 4 + 1] = seeded(2, 4, 64)
    for form, expected in (("position", {(3, 1)}), ("frame", {(3, f) for f in range(4)})):
        block = fill(SpatialTransformer(64, SyncTrackConfig(**SMALL, time_attention=form))).transformer_blocks[0]
        difference = (block.time_specific(changed, 4) - block.time_specific(x, 4)).abs().amax(dim=(0, 2))
        touched = {divmod(token, 4) for token in torch.nonzero(difference > 1e-4).flatten().tolist()}
        assert touched == expected


def test_tracks_differ_only_by_the_prior():
    # Without the prior the network treats tracks alike: permuting them permutes the output.
    network, x, t, order = small(), seeded(1, 1, 4, 8, 8, 4), torch.tensor([500]), [2, 0, 3, 1]
    assert relative_l2(network(x[:, order], t), network(x, t)[:, order]) > 1e-2
    network.switcher.zero_()
    assert relative_l2(network(x[:, order], t), network(x, t)[:, order]) < 2e-6


def test_parameters_of_the_ablations_add_up():
    # Channels of the attention blocks in execution order.
    attention_blocks = [256] * 2 + [384] * 2 + [640] * 2 + [640] + [640] * 3 + [384] * 3 + [256] * 3
    # Per level there are two input blocks and three output blocks; two blocks are in the middle.
    res_blocks = [128] * 5 + [256] * 5 + [384] * 5 + [640] * 7

    def b(blocks: list[int]) -> int:  # q, k, v without bias; output with bias; layer norm
        return sum(3 * C**2 + (C**2 + C) + 2 * C for C in blocks)

    def c(blocks: list[int]) -> int:  # q, k, v; output; feed-forward of width 4 C; two layer norms
        return sum((3 * C**2 + 3 * C) + (C**2 + C) + (4 * C**2 + 4 * C) + (4 * C**2 + C) + 4 * C for C in blocks)

    # From Table A3: the matrix, label_emb, and 512 more inputs of the embedding layer of every residual block.
    a = 16 + 1_152 + 66_048 + 512 * sum(res_blocks)
    full = 241_314_712
    backbone = full - a - b(attention_blocks) - c(attention_blocks)
    expected = {
        "backbone": backbone,
        "a": backbone + a,
        "a-b": backbone + a + b(attention_blocks),
        "a-c": backbone + a + c(attention_blocks),
        "alternate": backbone + a + b(attention_blocks[0::2]) + c(attention_blocks[1::2]),
        "reorder": full,
        "full": full,
    }
    assert list(ABLATIONS) == list(expected)
    for name, options in ABLATIONS.items():
        with torch.device("meta"):
            network = SyncTrackUNet(SyncTrackConfig(**options))
        assert sum(p.numel() for p in network.parameters()) == expected[name], name


PARTS = {"a": ("switcher", "switcher_transform"), "b": ("attn_cross_track", "norm_ct"), "c": ("attn_beat",)}


@pytest.mark.parametrize(
    "name, parts",
    [
        ("backbone", ""),
        ("a", "a"),
        ("a-b", "ab"),
        ("a-c", "ac"),
        ("alternate", "abc"),
        ("reorder", "abc"),
        ("full", "abc"),
    ],
)
def test_an_ablation_has_its_parts_and_uses_all_of_them(name, parts):
    network, x, t = small(**ABLATIONS[name]), seeded(1, 2, 4, 8, 8, 4), torch.tensor([500, 1])
    modules = {part for key in network.state_dict() for part in key.split(".")}
    for part, names in PARTS.items():
        assert modules.issuperset(names) if part in parts else modules.isdisjoint(names), part
    # All else is as in the full network: the same names, and the same shapes except for the width of the embedding.
    full = small().state_dict()
    others = {key for key, value in network.state_dict().items() if value.shape != full[key].shape}
    assert all(key.endswith("emb_layers.1.weight") for key in others) and bool(others) == ("a" not in parts)
    with torch.enable_grad():
        out = network(x, t)
        out.square().mean().backward()
    assert out.shape == x.shape
    assert [n for n, p in network.named_parameters() if p.grad is None] == ["switcher"] * ("a" in parts)


@pytest.mark.parametrize("name", ABLATIONS)
def test_the_order_of_the_attentions_across_tracks(name):
    network, order = small(**{**ABLATIONS[name], "num_res_blocks": 2}), []
    for path, module in network.named_modules():
        if path.endswith(("norm_ct", "attn_beat")):
            letter = "b" if path.endswith("norm_ct") else "c"
            module.register_forward_pre_hook(lambda *_, letter=letter: order.append(letter))
    network(seeded(1, 1, 4, 8, 8, 4), torch.tensor([500]))
    # There are six blocks: two input blocks, the middle block and three output blocks.
    assert (
        "".join(order)
        == {
            "backbone": "",
            "a": "",
            "a-b": "b" * 6,
            "a-c": "c" * 6,
            "alternate": "bcbcbc",
            "reorder": "cb" * 6,
            "full": "bc" * 6,
        }[name]
    )


def test_the_ablations_are_seven_different_networks():
    x, t = seeded(1, 1, 4, 8, 8, 4), torch.tensor([500])
    outputs = [small(**options)(x, t) for options in ABLATIONS.values()]
    for i, output in enumerate(outputs):
        assert all(relative_l2(output, other) > 1e-3 for other in outputs[:i])


@pytest.mark.parametrize("name", ABLATIONS)
def test_which_tracks_an_ablation_mixes(name):
    network, x, t = small(**ABLATIONS[name]), seeded(1, 1, 4, 8, 8, 4), torch.tensor([500])
    changed = x.clone()
    changed[:, 1] = seeded(2, 8, 8, 4)
    before, after = network(x, t), network(changed, t)
    assert relative_l2(after[:, 1], before[:, 1]) > 0.1
    for other in (0, 2, 3):
        difference = relative_l2(after[:, other], before[:, other])
        assert difference < 2e-6 if name in ("backbone", "a") else difference > 1e-3


def test_times_at_which_the_cross_track_attentions_reach_another_track():
    x = seeded(1, 4, 32, 64)  # tokens of one sample: 8 times x 4 frequencies
    changed = x.clone()
    changed[1, 3 * 4 + 1] = seeded(2, 64)  # one token of drums
    for cross_track, times in (("none", set()), ("time", {3}), ("global", set(range(8)))):
        block = fill(SpatialTransformer(64, SyncTrackConfig(**SMALL, cross_track=cross_track))).transformer_blocks[0]
        for inner in (block.attn1, block.attn2):  # disabled, since they spread a change to all times within a track
            for parameter in inner.to_out.parameters():
                parameter.zero_()
        difference = (block(changed, 4) - block(x, 4))[[0, 2, 3]].abs().unflatten(1, (8, 4)).amax(dim=(0, 2, 3))
        assert set(torch.nonzero(difference > 1e-5).flatten().tolist()) == times, cross_track


@pytest.mark.parametrize("cross_track", ["global-then-time", "none"])
def test_without_the_prior_tracks_are_alike(cross_track):
    x, t, order = seeded(1, 1, 4, 8, 8, 4), torch.tensor([500]), [2, 0, 3, 1]
    network = small(instrument_prior=False, cross_track=cross_track)
    assert network.embedding(t).shape == (4, 128)
    assert relative_l2(network(x[:, order], t), network(x, t)[:, order]) < 2e-6
    network = small(cross_track=cross_track)
    assert network.embedding(t).shape == (4, 256)
    assert relative_l2(network(x[:, order], t), network(x, t)[:, order]) > 1e-2


def test_other_numbers_of_tracks_and_channels():
    network = small(
        num_tracks=3, in_channels=5, out_channels=5, channel_mult=(1, 1, 2), attention_resolutions=(1, 4), latent_t=16
    )
    assert network(seeded(1, 2, 3, 5, 16, 4), torch.tensor([1, 2])).shape == (2, 3, 5, 16, 4)


def test_autocast_and_channels_last_stay_close_to_float32():
    network, x, t = small(), seeded(1, 2, 4, 8, 8, 4), torch.tensor([999, 1])
    expected = network(x, t)
    with torch.autocast("cpu", torch.bfloat16):
        actual = network.to(memory_format=torch.channels_last)(x, t)
    assert relative_l2(actual.float(), expected) < 0.05
    assert relative_l2(network(x, t), expected) < 2e-6


@pytest.mark.parametrize(
    "options, message",
    [
        ({"model_channels": 48}, "48 channels.*multiple of norm_groups=32"),
        ({"channel_mult": ()}, "channel_mult"),
        ({"attention_resolutions": (3,)}, "attention resolution 3"),
        ({"num_head_channels": 48}, "multiple of num_head_channels=48"),
        ({"latent_t": 100}, "latent_t=100.*down-sampling 8"),
        ({"dims": 3}, "dims must be"),
        ({"cross_track_keys": "all"}, "cross_track_keys must be"),
        ({"time_residuals": 3}, "time_residuals must be"),
        ({"instrument_prior": "no"}, "instrument_prior must be"),
        ({"cross_track": "both"}, "cross_track must be one of .*global-then-time.*got 'both'"),
    ],
)
def test_config_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        SyncTrackConfig(**options)


@pytest.mark.parametrize(
    "shape, steps",
    [((1, 3, 8, 8, 4), 1), ((1, 4, 7, 8, 4), 1), ((1, 4, 8, 7, 4), 1), ((4, 8, 8, 4), 4), ((2, 4, 8, 8, 4), 1)],
)
def test_forward_refuses(shape, steps):
    with pytest.raises(ValueError, match="SyncTrackUNet: expected"):
        small()(torch.zeros(shape), torch.zeros(steps))
