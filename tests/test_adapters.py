"""SyncTrack, MSG-LD and MT-MusicLDM as Generators.

The interface is tested on the embedded checkpoints with few steps, on files in the published layout, and on networks
with a few channels.
"""

from functools import partial
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from adapterkit.randomness import noise_per_sample
from adapterkit.sampling import SamplingOptions
from adapterkit.weights import sha256
from conftest import STEMS
from mtbench import registry
from mtbench.errors import UsageError
from mtbench.generator import Generator
from mtbench.registry import open_suite
from mtbench.stems import StemSet
from musicldm import VAE, HiFiGAN, VAEConfig, log_mel, noise_schedule, published
from musicldm.first_stage import EMBEDDED_VAE
from musicldm.generator import LatentDiffusion, LatentModel
from parity import fill, manifest, relative_l2
from published_files import TINY_VAE, TINY_VOCODER, tiny, write_lightning
from synctrack import SyncTrackConfig, SyncTrackUNet
from synctrack.generator import EMBEDDED, form

TASKS = {
    "synctrack": {"total", "arrangement"},
    "msg-ld": {"total", "arrangement", "separation"},
    "mt-musicldm": {"total", "arrangement"},
}
MODELS = list(TASKS)


@pytest.fixture(scope="module")
def band():
    return open_suite("band")


@pytest.fixture(scope="module", params=MODELS)
def generator(request, band):
    return registry.make_model(request.param, suite=band, options={"steps": 5, "batch_size": 3})


def test_it_is_a_generator_with_provenance(generator):
    assert isinstance(generator, Generator) and generator.name in MODELS
    assert generator.stems == STEMS and generator.sample_rate == 16000 and generator.tasks == TASKS[generator.name]
    assert generator.provenance["trained_on"] == "synthetic songs" and len(generator.provenance["weights_sha256"]) == 64
    assert {"training_data", "training_steps", "training_minutes", "form", "sampler", "vocoder"} <= set(
        generator.provenance
    )


def test_samples_have_the_suites_form(generator, band):
    (sample,) = generator.generate(1, ["drums", "bass"], seed=1, start=5)
    assert list(sample.stems) == ["drums", "bass"] and sample.sample_rate == 16000
    for wave in sample.stems.values():
        assert wave.dtype == np.float32 and wave.shape == (band.n_samples,) and np.abs(wave).max() <= 1.0


def test_sample_i_depends_only_on_seed_and_i(generator, band):
    # Compare latents, since Griffin-Lim turns float rounding into audible differences in quiet passages.
    four = generator._latents(7, range(4))
    alone = generator._latents(7, [2])
    assert torch.linalg.norm(four[2:3] - alone) < 1e-3 * torch.linalg.norm(alone)
    assert torch.linalg.norm(generator._latents(8, [2]) - alone) > 0.1 * torch.linalg.norm(alone)
    assert torch.linalg.norm(four[1:2] - alone) > 0.1 * torch.linalg.norm(alone)


def test_generation_is_lazy(generator):
    first = next(generator.generate(10**9, ["drums"]))
    assert first.id == "00000"


@pytest.mark.parametrize("name", MODELS)
def test_bad_checkpoints_are_named(name, band, tmp_path):
    with pytest.raises(UsageError, match="absent.pt: no such checkpoint"):
        registry.make_model(name, suite=band, weights=str(tmp_path / "absent.pt"))
    (tmp_path / "text.pt").write_text("not a checkpoint")
    with pytest.raises(UsageError, match="text.pt cannot be read as a checkpoint"):
        registry.make_model(name, suite=band, weights=str(tmp_path / "text.pt"))
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(UsageError, match="other.pt is neither a checkpoint trained by mtbench nor a published one"):
        registry.make_model(name, suite=band, weights=str(tmp_path / "other.pt"))


def test_a_checkpoint_of_another_model_is_refused(band):
    with pytest.raises(UsageError, match="band.pt is not a checkpoint of model 'msg-ld'"):
        registry.make_model("msg-ld", suite=band, weights=str(EMBEDDED))


def test_the_vae_of_a_checkpoint_is_identified_by_its_sha256(band, tmp_path):
    checkpoint = torch.load(EMBEDDED, weights_only=True) | {"vae_sha256": "0" * 64}
    torch.save(checkpoint, tmp_path / "band.pt")
    message = f"latents of a VAE with SHA-256 {'0' * 64}.*nor {tmp_path / 'vae-ckpt.ckpt'}"
    with pytest.raises(UsageError, match=message):
        registry.make_model("synctrack", suite=band, weights=str(tmp_path / "band.pt"))


def test_the_parameterization_is_read_from_the_checkpoint(band, tmp_path):
    checkpoint = torch.load(EMBEDDED, weights_only=True)
    noises = {}
    for predicts in ("eps", "v"):
        torch.save(checkpoint | {"parameterization": predicts}, tmp_path / "band.pt")
        model = registry.make_model("synctrack", suite=band, weights=str(tmp_path / "band.pt"))
        x, t = torch.randn(1, 4, 8, 64, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([500])
        noises[predicts] = model._estimated_noise(x, t).detach()
    torch.testing.assert_close(noises["v"], noise_schedule().noise_of_velocity(x, noises["eps"], t))
    torch.save(checkpoint | {"parameterization": "x0"}, tmp_path / "band.pt")
    with pytest.raises(
        UsageError, match="band.pt: the network predicts 'x0', but model 'synctrack' supports only eps and v"
    ):
        registry.make_model("synctrack", suite=band, weights=str(tmp_path / "band.pt"))


def test_no_samples_and_no_stems(generator):
    assert list(generator.generate(0, ["drums"], start=5)) == []
    with pytest.raises(UsageError, match="no stems were requested"):
        list(generator.generate(1, []))


def test_code_in_a_file_is_not_run(band, tmp_path):
    class Run:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"config": {}, "state_dict": {}, "metadata": Run()}, tmp_path / "evil.pt")
    with pytest.raises(UsageError, match="evil.pt does not contain the expected weights"):
        registry.make_model("synctrack", suite=band, weights=str(tmp_path / "evil.pt"))
    assert not (tmp_path / "ran").exists()


def test_vae_and_vocoder_may_be_next_to_a_checkpoint(tmp_path, monkeypatch):
    vae = torch.load(EMBEDDED_VAE, weights_only=True) | {"metadata": {"name": "another"}}
    torch.save(vae, tmp_path / "vae-ckpt.ckpt")
    vocoder = {"config": vars(TINY_VOCODER), "state_dict": fill(HiFiGAN(TINY_VOCODER)).state_dict(), "metadata": {}}
    torch.save(vocoder, tmp_path / "hifigan-ckpt.ckpt")
    checkpoint = torch.load(EMBEDDED, weights_only=True)
    checkpoint["vae_sha256"] = sha256(tmp_path / "vae-ckpt.ckpt")
    checkpoint["metadata"]["training_data"] = "slakh2100/train"
    torch.save(checkpoint, tmp_path / "mine.pt")
    generator = registry.make_model(
        "synctrack", suite=suite_of(0.64), weights=str(tmp_path / "mine.pt"), options={"steps": 1}
    )
    assert generator.provenance["vocoder"] == "HiFi-GAN" and generator.provenance["trained_on"] == "slakh2100/train"
    for what, name in (("vae", "vae-ckpt.ckpt"), ("vocoder", "hifigan-ckpt.ckpt")):
        assert generator.provenance[f"{what}_sha256"] == sha256(tmp_path / name)
    (sample,) = generator.generate(1, ["bass"])
    assert sample.stems["bass"].shape == (10240,)

    # A copy of the VAE next to the checkpoint does not hide the vocoder that was fetched together with the same VAE.
    monkeypatch.setenv("MTBENCH_WEIGHTS", str(tmp_path / "weights"))
    fetched = tmp_path / "weights" / "synctrack"
    fetched.mkdir(parents=True)
    (tmp_path / "hifigan-ckpt.ckpt").rename(fetched / "hifigan-ckpt.ckpt")
    alone = registry.make_model(
        "synctrack", suite=suite_of(0.64), weights=str(tmp_path / "mine.pt"), options={"steps": 1}
    )
    assert alone.provenance["vocoder"] == "Griffin-Lim"
    (fetched / "vae-ckpt.ckpt").write_bytes((tmp_path / "vae-ckpt.ckpt").read_bytes())
    again = registry.make_model(
        "synctrack", suite=suite_of(0.64), weights=str(tmp_path / "mine.pt"), options={"steps": 1}
    )
    assert again.provenance["vocoder"] == "HiFi-GAN"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"steps": 3}, "steps"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"precision": "float8"}, "precision must be one of"),
    ],
)
def test_bad_options_are_refused(band, options, message):
    with pytest.raises(UsageError, match=f"model 'synctrack': {message}"):
        registry.make_model("synctrack", suite=band, options=options)


def test_missing_published_weights(band, monkeypatch, tmp_path):
    monkeypatch.setenv("MTBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(UsageError, match=f"`python -m musicldm.fetch synctrack`.*into {tmp_path}/synctrack"):
        registry.make_model("synctrack", suite=band, weights="published")
    with pytest.raises(UsageError, match="no weights of MSG-LD have been published"):
        registry.make_model("msg-ld", suite=band, weights="published")


def suite_of(seconds: float):
    return SimpleNamespace(name="short", sample_rate=16000, n_samples=round(seconds * 16000), stems=STEMS)


@pytest.fixture
def fetched(monkeypatch, tmp_path):
    """A weights folder with a published file of tiny sizes, which are patched in as the published ones."""
    monkeypatch.setenv("MTBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(published, "read", partial(published.read, vae=TINY_VAE, vocoder=TINY_VOCODER))
    form = SyncTrackConfig.published
    monkeypatch.setattr(SyncTrackConfig, "published", lambda: form(**manifest("synctrack_unet_tiny")["config"]))
    (tmp_path / "synctrack").mkdir()
    write_lightning(tmp_path / "synctrack" / "synctrack_slakh2100_pretrained.ckpt", tiny("synctrack_unet_tiny"))
    return tmp_path


def test_published_weights_sample_in_full_batches(fetched):
    # 0.64 s is 64 frames of log-mel, 16 positions in time.
    make = partial(registry.make_model, "synctrack", suite=suite_of(0.64), weights="published")
    generator = make(options={"steps": 2, "batch_size": 3})
    assert generator.provenance["form"] == "published" and generator.provenance["batch_size"] == 3
    assert generator.provenance["vocoder"] == "HiFi-GAN" and generator.provenance["trained_on"] == "Slakh2100"
    assert generator.provenance["duration"] == "0.64 s by a model trained on 10.24 s"
    samples = list(generator.generate(5, STEMS, seed=4))
    assert [sample.id for sample in samples] == [f"{i:05d}" for i in range(5)]
    assert all(wave.shape == (10240,) for wave in samples[0].stems.values())
    for start, n in ((4, 1), (1, 3)):  # starting within a batch, and across two batches
        for i, again in enumerate(generator.generate(n, ["piano"], seed=4, start=start), start):
            np.testing.assert_allclose(again.stems["piano"], samples[i].stems["piano"], atol=1e-5)
    alone = next(make(options={"steps": 2, "batch_size": 1}).generate(1, ["piano"], seed=4, start=4))
    difference = np.linalg.norm(alone.stems["piano"] - samples[4].stems["piano"])
    assert difference > 1e-3 * np.linalg.norm(alone.stems["piano"])  # the samples of a batch mix


def test_published_weights_use_the_published_steps_and_batch_size(fetched):
    generator = registry.make_model("synctrack", suite=suite_of(0.64), weights="published")
    assert generator.provenance["sampler"] == "DDIM, 200 steps, eta 1" and generator.provenance["batch_size"] == 16


def test_the_form_names_the_differences_of_a_network():
    assert form(SyncTrackConfig()) == "paper" and form(SyncTrackConfig.published()) == "published"
    assert form(SyncTrackConfig(cross_track="none", time_residuals=2)) == "paper but time_residuals=2, cross_track=none"


@pytest.fixture(scope="module")
def small():
    """A SyncTrack network with a few channels, in the paper's form, for clips of 0.64 s, and its VAE."""
    network = fill(
        SyncTrackUNet(
            SyncTrackConfig(
                model_channels=16,
                channel_mult=(1, 2),
                num_res_blocks=1,
                attention_resolutions=(2,),
                num_head_channels=8,
                latent_t=8,
                latent_f=8,
                norm_groups=8,
            )
        )
    )
    vae = fill(VAE(VAEConfig(ch=8, ch_mult=(1, 1, 2, 2), num_res_blocks=1, norm_groups=4)))
    return network, vae


def small_model(
    small, samples: int = 10240, batch_size: int = 3, precision: str = "float32", compile: bool = False, **options
) -> LatentDiffusion:
    network, vae = small
    T = -(-samples // (160 * 8 * 2)) * 2
    few = SamplingOptions(steps=4, batch_size=batch_size, precision=precision, compile=compile)
    model = LatentModel(network, vae, 0.5, **options)
    return LatentDiffusion("small", model, (4, 8, T, 8), {}, "cpu", few, samples=samples)


class Velocity(nn.Module):
    """Computes the velocity from a network that predicts the noise: v = (e - sqrt(1 - a_t) x_t) / sqrt(a_t)."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network, self.config = network, network.config

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        a = noise_schedule().alphas_cumprod[t].view(-1, 1, 1, 1, 1)
        return (self.network(x, t) - (1 - a).sqrt() * x) / a.sqrt()


def test_equivalent_networks_of_noise_and_velocity_give_the_same_samples(small):
    network, vae = small
    velocity = small_model((Velocity(network), vae), batch_size=1, parameterization="v")
    torch.testing.assert_close(
        velocity._latents(0, [3]), small_model(small, batch_size=1)._latents(0, [3]), rtol=1e-3, atol=1e-3
    )


def song(i: int, *stems: str, samples: int = 10240, rate: int = 16000) -> StemSet:
    random = np.random.default_rng(i)
    waves = {stem: random.uniform(-0.5, 0.5, samples).astype(np.float32) for stem in STEMS}
    return StemSet(f"song-{i}", {stem: waves[stem] for stem in stems}, rate)


@pytest.mark.parametrize("kept", [kept for size in (1, 2, 3) for kept in combinations(STEMS, size)])
def test_every_subset_can_be_given(small, kept):
    generator = small_model(small)
    (sample,) = generator.generate(1, STEMS, given=[song(0, *kept)])
    (free,) = generator.generate(1, STEMS)
    for stem in STEMS:
        if stem in kept:
            assert np.array_equal(sample.stems[stem], song(0, *kept).stems[stem])
        else:
            assert sample.stems[stem].shape == (10240,) and not np.array_equal(sample.stems[stem], free.stems[stem])


def test_generated_stems_depend_on_the_given_ones(small):
    generator, kept = small_model(small), ("bass", "drums")
    first, second = (generator._latents(0, [0], [song(i, *kept).stems]) for i in (0, 1))
    assert torch.linalg.norm((first - second)[:, 2:]) > 1e-3 * torch.linalg.norm(first[:, 2:])


def test_the_network_input_contains_the_given_latents_with_noise(small):
    # Computed independently: at every step, the given part is the scaled latents with that step's noise. At the last
    # step (timestep 1, a_t almost 1) this is almost the scaled latents themselves.
    _, vae = small
    seen = []
    generator = small_model(small, batch_size=1)
    hook = generator._network.register_forward_pre_hook(
        lambda module, inputs: seen.append((inputs[0], int(inputs[1][0])))
    )
    try:
        generator._latents(0, [5], [song(5, "guitar").stems])
    finally:
        hook.remove()
    with torch.no_grad():
        mean, logvar = vae.encode(log_mel(torch.from_numpy(song(5, "guitar").stems["guitar"]), 64)[None, None])
    draw = noise_per_sample(0, [5], (4, 8, 8, 8))
    posterior, _ = draw(), draw()  # followed, for every step, by the noise of the given stems and that of the step
    known = 0.5 * (mean + (logvar / 2).exp() * posterior[:, 2])
    alphas = noise_schedule().alphas_cumprod
    assert [t for _, t in seen] == [751, 501, 251, 1]
    for x, t in seen:
        expected = alphas[t].sqrt() * known + (1 - alphas[t]).sqrt() * draw()[:, 2]
        assert relative_l2(x[:, 2], expected) < 1e-5
        draw()


def test_an_arranged_sample_is_the_same_in_any_batch(small):
    songs = [song(i, *STEMS[: 1 + i % 3]) for i in range(6)]
    together = small_model(small, batch_size=6)._latents(1, range(6), [s.stems for s in songs])
    for i in (0, 4):
        alone = small_model(small)._latents(1, [i], [songs[i].stems])
        assert relative_l2(together[i : i + 1], alone) < 1e-4
    samples = list(small_model(small, batch_size=4).generate(2, STEMS, given=songs, seed=1, start=3))
    assert [sample.id for sample in samples] == ["00003", "00004"]
    assert np.array_equal(samples[1].stems["drums"], songs[4].stems["drums"])


def test_a_batch_that_mixes_samples_is_filled_up_with_given_stems(small):
    songs, loaded = [song(i, "bass") for i in range(5)], []

    class Lazy:
        def __len__(self):
            return len(songs)

        def __getitem__(self, i):
            loaded.append(i)
            return songs[i]

    generator = small_model(small, batch_size=4, mixes_samples=True)
    (last,) = generator.generate(1, ["drums"], given=Lazy(), start=4)
    assert loaded == [4, 0, 1, 2] and list(last.stems) == ["drums"] and generator.provenance["batch_size"] == 4
    songs = [song(i, "drums") for i in range(5)] + [song(5, "bass")]  # the other samples of the batch are not requested
    assert [sample.id for sample in generator.generate(1, ["drums"], given=songs, start=5)] == ["00005"]


@pytest.mark.parametrize(
    "given, message",
    [
        ([song(0, "bass")], "given has only 1 samples, but sample 1 was requested"),
        (
            [None, StemSet("x", {"mixture": np.zeros(10240, np.float32)}, 16000)],
            "'x'. contains 'mixture', but model 'small' accepts",
        ),
        ([None, StemSet("x", {}, 16000)], "has no stems"),
        ([None, song(1, *STEMS)], "there is nothing left to generate"),
        ([None, song(1, "bass", samples=10239)], r": bass has shape \[10239\], expected \[10240\]"),
        ([None, song(1, "bass", rate=44100)], "is at 44100 Hz, but model 'small' requires 16000 Hz"),
        ([None, StemSet("x", {"bass": np.full(10240, np.nan, np.float32)}, 16000)], ": bass has samples outside"),
    ],
)
def test_invalid_given_stems_are_named(small, given, message):
    with pytest.raises(UsageError, match=message):
        list(small_model(small).generate(1, STEMS, given=given, start=1))


def test_steps_are_reported(small):
    generator, reports = small_model(small, batch_size=2), []
    generator.on_step = lambda step, steps: reports.append((step, steps))
    list(generator.generate(3, STEMS))
    assert reports == 2 * [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_lower_precision_changes_samples_a_little_and_is_in_the_provenance(small):
    plain, reduced = (small_model(small, **options) for options in ({}, {"precision": "bfloat16"}))
    assert "precision" not in plain.provenance and reduced.provenance["precision"] == "bfloat16"
    exact, rounded = (torch.cat([model._latents(0, [i]) for i in range(4)]) for model in (plain, reduced))
    assert 1e-4 < float((exact - rounded).norm() / exact.norm()) < 0.1


@pytest.mark.slow
def test_a_compiled_network_gives_the_same_samples(small):
    plain, compiled = (small_model(small, **options)._latents(0, [0, 1]) for options in ({}, {"compile": True}))
    assert float((plain - compiled).norm() / plain.norm()) < 1e-4


def test_an_unknown_stem_is_named(small):
    with pytest.raises(UsageError, match="unknown stem 'drum'. Did you mean 'drums'"):
        list(small_model(small).generate(1, ["drum"]))


def test_a_vocoder_is_used_if_there_is_one(small):
    generator = small_model(small, vocoder=fill(HiFiGAN(TINY_VOCODER)))
    (sample,) = generator.generate(1, ["bass"])
    assert generator.provenance["vocoder"] == "HiFi-GAN" and sample.stems["bass"].shape == (10240,)
    latents = generator._latents(0, [0])[:, 0]
    with torch.no_grad():
        mel = small[1].decode(latents / 0.5)[:, 0]
        assert (
            relative_l2(sample.stems["bass"], generator._vocoder(mel.transpose(1, 2))[0, 0, :10240].clamp(-1, 1)) < 1e-5
        )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seconds, frames", [(20.48, 2048), (5.0, 512)])
def test_clips_of_other_lengths(name, seconds, frames):
    generator = registry.make_model(name, suite=suite_of(seconds), options={"steps": 1})
    (sample,) = generator.generate(1, ["bass"])
    assert sample.stems["bass"].shape == (round(16000 * seconds),)
    assert generator._latents(0, [0]).shape == (1, 4, 8, frames // 16, 4)
    assert generator.provenance["duration"] == f"{seconds:g} s by a model trained on 10.24 s"


def test_clips_of_a_longer_suite_are_complete(small):
    suite = open_suite("band/30s")
    generator = small_model(small, samples=suite.n_samples, batch_size=1)
    generator._vocoder = silence_except_the_last_sample
    clip = StemSet("clip", {"drums": suite.heldout()[0].stems["drums"]}, 16000)
    (sample,) = generator.generate(1, ["bass", "drums"], given=[clip])
    assert sample.stems["bass"].shape == (491_520,) and sample.stems["bass"][-1] == 0.5
    assert np.array_equal(sample.stems["drums"], clip.stems["drums"])
    with pytest.raises(UsageError, match=r": drums has shape \[163840\], expected \[491520\]"):
        list(generator.generate(1, ["bass"], given=[song(0, "drums", samples=163_840)]))


def silence_except_the_last_sample(mels: torch.Tensor) -> torch.Tensor:
    """Replace the vocoder: [rows, 64, frames] -> [rows, 1, 160 frames]."""
    waves = torch.zeros(len(mels), 1, 160 * mels.shape[2])
    waves[:, :, -1] = 0.5
    return waves


@pytest.mark.parametrize(
    "samples, at_once", [(10_240, [16, 16, 2]), (163_840, [16, 16, 2]), (491_520, 6 * [5] + [4]), (983_040, 17 * [2])]
)
def test_fewer_long_clips_are_decoded_at_once(small, monkeypatch, samples, at_once):
    """At most 16 stems of 10.24 s, a third of that of 30.72 s, or a sixth of 61.44 s are decoded at once."""
    generator, decoded = small_model(small, samples=samples), []
    mels = torch.zeros(16, 1, samples // 160, 64)
    monkeypatch.setattr(generator._vae, "decode", lambda rows: decoded.append(len(rows)) or mels[: len(rows)])
    generator._vocoder = silence_except_the_last_sample
    assert generator._waveforms(torch.zeros(34, 1, 1, 1)).shape == (34, samples) and decoded == at_once


def test_a_suite_at_another_rate_gets_clips_of_its_duration():
    suite = SimpleNamespace(name="cd", sample_rate=44100, n_samples=44100, stems=STEMS)
    (sample,) = registry.make_model("msg-ld", suite=suite, options={"steps": 1}).generate(1, ["bass"])
    assert sample.sample_rate == 16000 and sample.stems["bass"].shape == (16000,)
