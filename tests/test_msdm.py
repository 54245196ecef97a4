"""MSDM: published names, shapes and numbers, samplers, loss, and the Generator interface."""

from dataclasses import asdict, fields
from functools import partial
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import msdm.generator
from adapterkit.randomness import noise_per_sample
from adapterkit.training.config import WaveTraining
from adapterkit.training.songs import Shards, _pcm16, data_key
from conftest import STEMS
from msdm import MSDMConfig, MSDMUNet
from msdm.generator import LEAST_STEPS
from msdm.sampling import SIGMA_DATA, denoised, euler, karras_schedule, scalings, separate
from msdm.train import denoising_loss, stretches, train
from mtbench import audio, registry
from mtbench.errors import UsageError
from mtbench.generator import Generator
from mtbench.stems import Songs, StemSet
from parity import assert_golden, assert_names_and_shapes, fill, golden, manifest, relative_l2, seeded
from published_files import write_lightning

SMALL = {
    "channels": 32,
    "patch_factor": 4,
    "resnet_groups": 4,
    "multipliers": (1, 1, 2),
    "factors": (4, 2),
    "num_blocks": (1, 1),
    "attentions": (False, True),
    "attention_heads": 2,
    "attention_features": 8,
    "samples": 2048,
}


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


def twice(network: MSDMUNet) -> nn.ModuleDict:
    """Return the network under both of its published names."""
    return nn.ModuleDict({"unet": network, "diffusion": nn.ModuleDict({"net": network})})


def of_manifest(name: str) -> MSDMConfig:
    config = manifest(name)["config"]
    return MSDMConfig(**{field.name: config[field.name] for field in fields(MSDMConfig) if field.name in config})


def filled(config: MSDMConfig) -> MSDMUNet:
    network = MSDMUNet(config)
    fill(twice(network))
    return network


def small(**overrides) -> MSDMUNet:
    return filled(MSDMConfig(**{**SMALL, **overrides}))


@pytest.mark.parametrize("name, parameters", [("msdm", 405_497_700), ("msdm_tiny", 25_403_744)])
def test_names_and_shapes(name, parameters):
    with torch.device("meta"):
        network = MSDMUNet(of_manifest(name))
    assert_names_and_shapes(twice(network), name)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_defaults_are_the_published_size():
    config = manifest("msdm")["config"]
    assert MSDMConfig() == of_manifest("msdm") and MSDMConfig().downsampling == 8192
    assert config["diffusion_sigma_data"] == SIGMA_DATA and config["diffusion_dynamic_threshold"] == 0.0
    fixed = {  # values that MSDMConfig does not have as fields
        "patch_blocks": 1,
        "kernel_multiplier_downsample": 2,
        "use_nearest_upsample": False,
        "use_skip_scale": True,
        "use_attention_bottleneck": True,
        "use_context_time": True,
    }
    assert {name: config[name] for name in fixed} == fixed


@pytest.fixture(scope="module")
def tiny() -> MSDMUNet:
    with torch.no_grad():
        return filled(of_manifest("msdm_tiny"))


def test_tiny_mapping(tiny):
    arrays, c_noise = golden("msdm_tiny_mapping"), torch.tensor([-2.3, -0.5, 0.0, 0.7])
    assert_golden(arrays, "to_time", tiny.to_time(c_noise))
    assert_golden(arrays, "mapping", tiny.mapping(c_noise))


def assert_denoises(network: MSDMUNet, arrays: dict, x: torch.Tensor) -> None:
    sigma = torch.full((len(x),), 0.5)
    scales = scalings(sigma)
    np.testing.assert_allclose([float(scale[0]) for scale in scales], arrays["c_skip_out_in_noise"], rtol=1e-6)
    assert_golden(arrays, "net_out", network(scales[2][:, None, None] * x, scales[3]))
    assert_golden(arrays, "out", denoised(network, x, sigma))


def test_tiny_golden(tiny):
    assert_denoises(tiny, golden("msdm_tiny_s6111"), 0.5 * seeded(6111, 2, 4, 16384))


@pytest.mark.slow
def test_full_golden():
    arrays = golden("msdm_full_s6101")
    assert_denoises(filled(MSDMConfig()), arrays, 0.5 * seeded(6101, 1, 4, 32768))


def test_a_sample_does_not_depend_on_its_batch():
    network, x, c_noise = small(), seeded(1, 3, 4, 64), torch.tensor([-2.0, 0.1, 0.7])
    together = network(x, c_noise)
    for i in range(3):
        assert relative_l2(together[i : i + 1], network(x[i : i + 1], c_noise[i : i + 1])) < 2e-6


def test_each_stem_has_separate_weights():
    network, x, c_noise, order = small(), seeded(1, 1, 4, 64), torch.tensor([0.0]), [2, 0, 3, 1]
    assert relative_l2(network(x[:, order], c_noise), network(x, c_noise)[:, order]) > 1e-2


def test_other_sizes():
    network = small(
        in_channels=2,
        factors=(3, 2, 2),
        multipliers=(1, 2, 1, 1),
        num_blocks=(1, 2, 1),
        attentions=(True, False, False),
        attention_multiplier=1,
        samples=480,
    )
    assert network.config.downsampling == 48
    assert network(seeded(1, 2, 2, 96), torch.zeros(2)).shape == (2, 2, 96)


def test_autocast_stays_close_to_float32():
    network, x, c_noise = small(), seeded(1, 2, 4, 96), torch.tensor([0.7, -2.3])
    expected = network(x, c_noise)
    with torch.autocast("cpu", torch.bfloat16):
        assert relative_l2(network(x, c_noise).float(), expected) < 0.05


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_blocks": (1,)}, r"one entry per level.*num_blocks=\[1\] with 2 factors"),
        ({"multipliers": (1, 1)}, "multipliers one more"),
        ({"factors": (4, 0)}, "factors must be at least 1"),
        ({"attention_heads": 0}, "attention_heads must be at least 1"),
        ({"channels": 36}, "channels=36 is not a multiple of patch_factor"),
        ({"resnet_groups": 24}, "32 channels .* are not a multiple of resnet_groups=24"),
        ({"samples": 100}, "samples=100 is not a multiple of the down-sampling 32"),
    ],
)
def test_config_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        MSDMConfig(**{**SMALL, **options})


@pytest.mark.parametrize(
    "shape, levels", [((1, 3, 64), 1), ((1, 4, 63), 1), ((1, 4, 0), 1), ((4, 64), 4), ((2, 4, 64), 1)]
)
def test_forward_refuses(shape, levels):
    with pytest.raises(ValueError, match="MSDMUNet: expected"):
        small()(torch.zeros(shape), torch.zeros(levels))


def toy(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """The denoiser used to create the golden samples: for normally distributed data with mean mu, clamped."""
    mu = 0.1 * seeded(6900, 1, 4, 512)
    return ((0.04 * x + sigma**2 * mu) / (0.04 + sigma**2)).clamp(-1, 1)


def stream(seed: int, shape=(2, 4, 512)):
    random = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=random)


def last(walk) -> torch.Tensor:
    *_, x = walk
    return x


def test_schedules():
    arrays = golden("karras_schedules_10")
    assert_golden(arrays, "generation", karras_schedule(10))
    assert_golden(arrays, "train_logger", karras_schedule(10, 1e-4, 3.0, 9.0))
    assert karras_schedule(3, 1.0, 3.0, rho=1.0).tolist() == [3.0, 2.0, 1.0, 0.0]
    with pytest.raises(ValueError, match="at least 2 steps, got 1"):
        karras_schedule(1)


def test_generation_golden():
    arrays, nothing, sigmas = golden("msdm_generate_n10"), torch.zeros(2, 4, 512), karras_schedule(10)
    walk = euler(toy, seeded(6211, 2, 4, 512), sigmas, stream(6212), known=nothing, mask=nothing)
    assert_golden(arrays, "out", last(walk))

    draw = stream(6212)

    def own_alone() -> torch.Tensor:
        draw()  # the first draw of each step is for given stems, of which there are none
        return draw()

    assert_golden(arrays, "out", last(euler(toy, seeded(6211, 2, 4, 512), sigmas, own_alone)))


def test_inpainting_golden():
    source, mask = 0.3 * seeded(6221, 2, 4, 512), torch.tensor([0.0, 1.0, 0.0, 0.0])[None, :, None]
    result = last(
        euler(
            toy,
            seeded(6211, 2, 4, 512),
            karras_schedule(10),
            stream(6222),
            s_churn=10.0,
            known=source,
            mask=mask,
            resamples=2,
        )
    )
    assert_golden(golden("msdm_inpaint_n10"), "out", result)
    assert torch.equal(result[:, 1], source[:, 1])


def test_separation_golden():
    mixture = 0.3 * seeded(6231, 2, 1, 512)
    result = last(separate(toy, seeded(6211, 2, 4, 512), karras_schedule(150), stream(6232), mixture))
    assert_golden(golden("msdm_separate_dirac_n150"), "out", result)
    assert relative_l2(result.sum(dim=1, keepdim=True), mixture) < 1e-6


def of_normal_data(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """The optimal denoiser for normally distributed data of standard deviation 0.2."""
    return 0.04 / (0.04 + sigma**2) * x


def test_without_churn_euler_follows_the_known_solution():
    # For normally distributed data of standard deviation s, x(0) = x(sigma) s / sqrt(s^2 + sigma^2).
    shape = (1, 4, 64)
    result = last(euler(of_normal_data, seeded(1, *shape), karras_schedule(1000), stream(0, shape), s_churn=0.0))
    assert relative_l2(result, 20 * seeded(1, *shape) * 0.2 / (0.04 + 20**2) ** 0.5) < 0.02


def test_with_churn_euler_samples_the_known_distribution():
    shape = (1, 4, 10_000)
    result = last(euler(of_normal_data, seeded(1, *shape), karras_schedule(400), stream(0, shape)))
    assert float(result.std()) == pytest.approx(0.2, rel=0.03)


@pytest.mark.parametrize("steps, off", [(150, 0.01), (LEAST_STEPS, 0.1)])
def test_separation_with_a_perfect_denoiser_returns_the_stems(steps, off):
    stems, shape, sigmas = 0.3 * seeded(1, 2, 4, 64), (2, 4, 64), karras_schedule(steps, sigma_max=1.0)
    mixture = stems.sum(dim=1, keepdim=True)
    result = last(separate(lambda x, sigma: stems, seeded(2, *shape), sigmas, stream(3, shape), mixture))
    assert relative_l2(result, stems) < off


def test_known_waves_need_a_mask():
    with pytest.raises(ValueError, match="must be passed together"):
        next(euler(toy, seeded(1, 2, 4, 512), karras_schedule(3), stream(0), known=torch.zeros(2, 4, 512)))


def suite_of(seconds: float = 0.1, rate: int = 16000):
    return SimpleNamespace(name="short", sample_rate=rate, n_samples=round(seconds * rate), stems=STEMS)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A checkpoint in the format of mtbench's training, of a network with a few channels."""
    path = tmp_path_factory.mktemp("own") / "own.pt"
    with torch.no_grad():
        network = small()
    torch.save(
        {
            "config": asdict(network.config),
            "state_dict": network.half().state_dict(),
            "metadata": {"training_data": "mtbench band version 2, seeds 1 to 2", "steps": 3, "minutes": 0.1},
        },
        path,
    )
    return path


def generator_of(path, suite=None, steps: int = 4, **options) -> Generator:
    return registry.make_model(
        "msdm", suite=suite or suite_of(), weights=str(path), options={"steps": steps, **options}
    )


def song(i: int, *stems: str, samples: int = 1600, rate: int = 16000) -> StemSet:
    random = np.random.default_rng(i)
    waves = {stem: random.uniform(-0.2, 0.2, samples).astype(np.float32) for stem in (*STEMS, "mixture")}
    return StemSet(f"song-{i}", {stem: waves[stem] for stem in stems}, rate)


def test_it_is_a_generator_with_provenance(own):
    generator = registry.make_model("msdm", suite=suite_of(), weights=str(own))
    assert isinstance(generator, Generator) and generator.name == "msdm" and generator.sample_rate == 22050
    assert generator.stems == STEMS and generator.tasks == {"total", "arrangement", "separation"}
    assert generator.provenance["trained_on"] == "synthetic songs" and len(generator.provenance["weights_sha256"]) == 64
    assert generator.provenance["training_steps"] == 3 and generator.provenance["parameters"] == sum(
        p.numel() for p in small().parameters()
    )
    assert "total 100 steps, arrangement 100 steps, separation 150 steps" in generator.provenance["sampler"]


def test_samples_have_the_suites_duration(own):
    (sample,) = generator_of(own).generate(1, ["drums", "bass"], seed=1, start=5)
    assert sample.id == "00005" and list(sample.stems) == ["drums", "bass"] and sample.sample_rate == 22050
    for wave in sample.stems.values():
        assert wave.dtype == np.float32 and wave.shape == (2205,) and 0 < np.abs(wave).max() <= 1.0


@pytest.mark.parametrize(
    "seconds, rate, samples, note",
    [
        (0.1, 16000, 2208, "0.1 s by a model trained on 0.09288 s"),
        (0.2, 22050, 4416, "0.2 s by a model trained on 0.09288 s"),
        (0.05, 44100, 2048, None),
    ],
)
def test_the_networks_length_is_a_multiple_of_its_downsampling(own, seconds, rate, samples, note):
    generator, seen = generator_of(own, suite_of(seconds, rate)), []
    hook = generator._network.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape)))
    (sample,) = generator.generate(1, ["bass"])
    hook.remove()
    assert seen == 4 * [(1, 4, samples)] and len(sample.stems["bass"]) == -(-round(seconds * 22050 * 10) // 10)
    assert generator.provenance.get("duration") == note


def test_sample_i_depends_only_on_seed_and_i(own):
    four = list(generator_of(own, batch_size=3).generate(4, STEMS, seed=7))
    (alone,) = generator_of(own).generate(1, STEMS, seed=7, start=2)
    (other,) = generator_of(own).generate(1, STEMS, seed=8, start=2)
    for stem in STEMS:
        assert relative_l2(four[2].stems[stem], alone.stems[stem]) < 1e-3
        assert relative_l2(other.stems[stem], alone.stems[stem]) > 0.1
        assert relative_l2(four[1].stems[stem], alone.stems[stem]) > 0.1


def test_a_sample_is_the_output_of_the_released_sampler(own):
    generator = generator_of(own, steps=6)
    (sample,) = generator.generate(1, STEMS, seed=3, start=4)
    noise = noise_per_sample(3, [4], (4, 2208))
    x = last(
        euler(lambda x, sigma: denoised(generator._network, x, sigma.expand(1)), noise(), karras_schedule(6), noise)
    )
    for row, stem in enumerate(STEMS):
        assert relative_l2(sample.stems[stem], x[0, row, :2205].clamp(-1, 1)) < 1e-6


def test_generation_is_lazy(own):
    assert next(generator_of(own).generate(10**9, ["drums"])).id == "00000"


@pytest.mark.parametrize("kept", [kept for size in (1, 2, 3) for kept in combinations(STEMS, size)])
def test_every_subset_can_be_given(own, kept):
    generator = generator_of(own)
    (sample,) = generator.generate(1, STEMS, given=[song(0, *kept)])
    assert list(sample.stems) == list(STEMS) and sample.sample_rate == 16000
    for stem in STEMS:
        if stem in kept:
            assert np.array_equal(sample.stems[stem], song(0, *kept).stems[stem])
        else:
            assert sample.stems[stem].shape == (1600,) and sample.stems[stem].dtype == np.float32


def test_generated_stems_depend_on_the_given_ones(own):
    generator, kept = generator_of(own), ("bass", "drums")
    first, second = (next(generator.generate(1, ["piano"], given=[song(i, *kept)])).stems["piano"] for i in (0, 1))
    assert relative_l2(second, first) > 1e-3


def test_the_network_input_contains_the_given_stems_with_noise(own):
    # Without its noise, the network's first input is the given stem, up to the end of that stem.
    generator, seen = generator_of(own, steps=2), []
    given = song(5, "guitar", samples=2205, rate=22050)
    hook = generator._network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    list(generator.generate(1, ["bass"], given=[given], seed=9))
    hook.remove()
    draw = noise_per_sample(9, [0], (4, 2208))
    first, known, churn = draw(), draw(), draw()
    raised = 20.0 * (1 + 2**0.5 - 1)  # s_churn 10 in 2 steps exceeds the maximum of sqrt(2) - 1
    x = seen[0] * (raised**2 + 0.04) ** 0.5 - (raised**2 - 20.0**2) ** 0.5 * churn
    np.testing.assert_allclose((x - 20 * known)[0, 2, :2205], given.stems["guitar"], atol=1e-4)
    np.testing.assert_allclose(x[0, 2, 2205:], 20 * first[0, 2, 2205:], atol=1e-4)
    np.testing.assert_allclose(x[0, 0], 20 * first[0, 0], atol=1e-4)


def test_an_arranged_sample_is_the_same_in_any_batch(own):
    songs = [song(i, *STEMS[: 1 + i % 3]) for i in range(6)]
    loaded = []

    def load(i: int) -> StemSet:
        loaded.append(i)
        return songs[i]

    samples = list(generator_of(own, batch_size=2).generate(3, STEMS, given=Songs(range(6), load), seed=1, start=3))
    (alone,) = generator_of(own).generate(1, STEMS, given=songs, seed=1, start=4)
    assert [sample.id for sample in samples] == ["00003", "00004", "00005"] and set(loaded) == {3, 4, 5}
    for stem in STEMS:
        assert relative_l2(samples[1].stems[stem], alone.stems[stem]) < 1e-3


def test_separated_stems_sum_up_to_the_mixture(own):
    songs = [song(i, "mixture") for i in range(3)]
    samples = list(generator_of(own, steps=LEAST_STEPS).generate(2, STEMS, given=songs, start=1))
    for i, sample in enumerate(samples, 1):
        assert list(sample.stems) == list(STEMS) and sample.sample_rate == 22050
        waves = np.stack(list(sample.stems.values()))
        inside = np.abs(waves).max(axis=0) < 1.0  # other samples are clipped
        assert inside.mean() > 0.2
        mixture = audio.resample(songs[i].stems["mixture"], 16000, 22050)
        np.testing.assert_allclose(waves.sum(axis=0)[inside], mixture[inside], atol=1e-5)
    (alone,) = generator_of(own, steps=LEAST_STEPS).generate(1, ["piano"], given=songs, start=2)
    assert list(alone.stems) == ["piano"] and relative_l2(alone.stems["piano"], samples[1].stems["piano"]) < 1e-3


def test_a_separation_that_diverges_is_refused(own):
    assert generator_of(own, steps=20).tasks == {"total", "arrangement"}
    with pytest.raises(UsageError, match="separation with 20 steps diverges; use steps of at least 52"):
        next(generator_of(own, steps=20).generate(1, STEMS, given=[song(0, "mixture")]))


@pytest.mark.parametrize(
    "given, message",
    [
        ([song(0, "bass")], "given has only 1 samples, but sample 1 was requested"),
        ([None, StemSet("x", {}, 16000)], "has no stems"),
        ([None, song(1, *STEMS)], "there is nothing left to generate"),
        ([None, song(1, "bass", "mixture")], "contains 'bass', but model 'msdm' accepts"),
        (
            [None, StemSet("x", {"vocals": np.zeros(1600, np.float32)}, 16000)],
            "contains 'vocals', but model 'msdm' accepts",
        ),
        ([None, song(1, "bass", samples=1599)], r": bass has shape \[1599\], expected \[1600\]"),
        ([None, song(1, "bass", samples=1600, rate=44100)], r": bass has shape \[1600\], expected \[4410\]"),
        (
            [None, StemSet("x", {"mixture": np.full(1600, np.nan, np.float32)}, 16000)],
            ": mixture has samples outside",
        ),
        ([None, song(1, "bass"), song(2, "mixture")], r"given\[2\] .*all clips of a call must be mixtures to separate"),
    ],
)
def test_invalid_given_stems_are_named(own, given, message):
    with pytest.raises(UsageError, match=message):
        list(generator_of(own, steps=LEAST_STEPS).generate(max(len(given) - 1, 1), STEMS, given=given, start=1))


def test_an_unknown_stem_is_named(own):
    with pytest.raises(UsageError, match="unknown stem 'drum'. Did you mean 'drums'"):
        list(generator_of(own).generate(1, ["drum"]))


def test_steps_are_reported(own):
    generator, reports = generator_of(own, batch_size=2), []
    generator.on_step = lambda step, steps: reports.append((step, steps))
    list(generator.generate(3, STEMS))
    assert reports == 2 * [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"steps": 1}, "steps must be at least 2, got 1"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"precision": "int8"}, "precision must be one of float32, .*got 'int8'"),
    ],
)
def test_bad_options_are_refused(own, options, message):
    with pytest.raises(UsageError, match=f"model 'msdm': {message}"):
        registry.make_model("msdm", suite=suite_of(), weights=str(own), options=options)


def test_the_embedded_checkpoint_has_provenance_and_samples():
    generator = registry.make_model("msdm", suite=suite_of(), options={"steps": 2})
    assert generator.provenance["trained_on"] == "synthetic songs" and generator.provenance["training_steps"] > 1000
    (sample,) = generator.generate(1, STEMS, seed=3)
    assert sample.sample_rate == 22050 and all(np.isfinite(wave).all() for wave in sample.stems.values())


def test_missing_and_wrong_weights_are_named(tmp_path):
    with pytest.raises(UsageError, match="'published' is not available: extract.*glorious-star-335.*drive.google.com"):
        registry.make_model("msdm", suite=suite_of(), weights="published")
    with pytest.raises(UsageError, match="absent.pt: no such checkpoint"):
        generator_of(tmp_path / "absent.pt")
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(UsageError, match="other.pt is neither a checkpoint trained by mtbench nor a published one"):
        generator_of(tmp_path / "other.pt")
    torch.save({"config": {"model_channels": 8}, "state_dict": {}, "metadata": {}}, tmp_path / "other.pt")
    with pytest.raises(UsageError, match="other.pt is not a checkpoint of model 'msdm'"):
        generator_of(tmp_path / "other.pt")


def lightning_state() -> dict[str, torch.Tensor]:
    return {f"model.{name}": value for name, value in twice(small()).state_dict().items()}


@pytest.fixture
def small_is_published(monkeypatch):
    monkeypatch.setattr(msdm.generator, "PUBLISHED", MSDMConfig(**SMALL))


def test_a_published_file(small_is_published, tmp_path, own):
    path = write_lightning(tmp_path / "epoch=729-valid_loss=0.014.ckpt", lightning_state())
    generator = registry.make_model("msdm", suite=suite_of(), weights=str(path))
    assert generator.provenance["trained_on"] == "Slakh2100" and generator.provenance["form"] == "published"
    assert "total 150 steps, arrangement 256 steps, separation 150 steps" in generator.provenance["sampler"]
    (sample,), (same,) = (model.generate(1, STEMS) for model in (generator_of(path), generator_of(own)))
    assert relative_l2(sample.stems["bass"], same.stems["bass"]) < 0.1  # the other checkpoint is in float16


def broken(change) -> dict[str, torch.Tensor]:
    state = lightning_state()
    change(state)
    return state


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda state: state.pop("model.diffusion.net.to_mapping.0.bias"),
            "the tensors under model.diffusion.net. and model.unet. differ in their names or shapes",
        ),
        (
            lambda state: state.update({"model.diffusion.net.to_mapping.0.bias": torch.zeros(3)}),
            "the tensors under model.diffusion.net. and model.unet. differ in their names or shapes",
        ),
        (lambda state: state.update({"model.more": torch.zeros(3)}), r"1 unexpected \(model.more\)"),
        (
            lambda state: [state.pop(f"model.{name}.to_mapping.0.bias") for name in ("unet", "diffusion.net")],
            r"1 missing \(to_mapping.0.bias\)",
        ),
    ],
)
def test_unexpected_content_of_a_published_file_is_named(small_is_published, tmp_path, change, message):
    path = write_lightning(tmp_path / "broken.ckpt", broken(change))
    with pytest.raises(UsageError, match=f"broken.ckpt does not contain the expected weights: .*{message}"):
        generator_of(path)


def test_a_published_file_of_another_size_is_refused(tmp_path):
    with pytest.raises(UsageError, match="missing.*of the wrong shape"):
        generator_of(write_lightning(tmp_path / "small.ckpt", lightning_state()))


@pytest.fixture
def waves(tmp_path) -> Shards:
    """Three songs of four stems; sample t of stem s of song i is 1000 i + 100 s + t."""
    songs, stems, times = np.ogrid[:3, :4, :50]
    np.save(tmp_path / "000000.npy", (1000 * songs + 100 * stems + times).astype(np.int16))
    return Shards(tmp_path, 3)


def test_crops_are_aligned_across_stems(waves):
    cut = 32768 * stretches(waves, torch.tensor([2, 0]), 30, torch.Generator().manual_seed(1))
    assert cut.shape == (2, 4, 30)
    for row, i in enumerate((2, 0)):
        start = float(cut[row, 0, 0]) - 1000 * i
        assert start in range(21)
        expected = 1000 * i + 100 * torch.arange(4)[:, None] + start + torch.arange(30)
        assert torch.equal(cut[row], expected.float())


def test_short_songs_end_in_silence(waves):
    cut = 32768 * stretches(waves, torch.tensor([1]), 64, torch.Generator())
    assert torch.equal(cut[0, :, 50:], torch.zeros(4, 14)) and float(cut[0, 3, 49]) == 1349


def test_the_loss_is_one_if_the_network_is_off_by_one(tmp_path):
    # For songs with a constant 0.25 the right output is known; an error of 1 gives a loss of 1 at any noise level.
    np.save(tmp_path / "000000.npy", np.full((2, 4, 64), 8192, np.int16))
    loss, songs, sigmas = denoising_loss(Shards(tmp_path, 2), 64), torch.tensor([0, 1] * 200), []

    def network(x: torch.Tensor, c_noise: torch.Tensor, off: float) -> torch.Tensor:
        sigma = (4 * c_noise).exp()
        sigmas.extend(sigma.tolist())
        c_skip, c_out, c_in, _ = (scale[:, None, None] for scale in scalings(sigma))
        return (0.25 - c_skip * x / c_in) / c_out + off

    for off in (0.0, 1.0, -2.0):
        value = loss(partial(network, off=off), songs, torch.Generator().manual_seed(0))
        assert float(value) == pytest.approx(off**2, abs=1e-3)
    assert np.log(sigmas).mean() == pytest.approx(-3.0, abs=0.05)
    assert np.log(sigmas).std() == pytest.approx(1.0, abs=0.05)


def test_waves_for_training_are_at_the_models_rate():
    songs = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 163_900)).astype(np.float32)
    pcm = _pcm16(songs, 22050)
    assert pcm.dtype == np.int16 and pcm.shape == (2, 225_792)
    np.testing.assert_allclose(pcm[1], 32768 * audio.resample(songs[1, :163_840], 16000, 22050), atol=0.51)


def test_training_ends_in_a_checkpoint_that_generates(tmp_path, waves):
    config = WaveTraining(
        name="toy",
        network=SMALL | {"samples": 64},
        out=tmp_path / "toy.pt",
        work=tmp_path,
        songs=3,
        validation=1,
        steps=2,
        batch=2,
        learning_rate=1e-3,
        precision="32-true",
    )
    existing = tmp_path / f"waves-22050-{data_key(config)}"
    existing.mkdir()
    (tmp_path / "000000.npy").rename(existing / "000000.npy")
    with torch.enable_grad():
        train(config)
    (sample,) = generator_of(tmp_path / "toy.pt").generate(1, STEMS)
    assert sample.stems["piano"].shape == (2205,) and np.isfinite(sample.stems["piano"]).all()
    with pytest.raises(UsageError, match="toy: network: .*'channel'"):
        train(config.model_copy(update={"network": {"channel": 8}}))
