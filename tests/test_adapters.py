"""SyncTrack and MSG-LD as generators: the interface's promises, on the embedded checkpoints with few steps, on files in
the published layout, and on networks of a few channels."""

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
def made(request, band):
    return registry.make_model(request.param, suite=band, options={"steps": 5, "batch_size": 3})


def test_it_is_a_generator_that_says_where_it_comes_from(made):
    assert isinstance(made, Generator) and made.name in MODELS
    assert made.stems == STEMS and made.sample_rate == 16000 and made.tasks == TASKS[made.name]
    assert made.provenance["trained_on"] == "synthetic songs" and len(made.provenance["weights_sha256"]) == 64
    assert {"training_data", "training_steps", "training_minutes", "form", "sampler", "vocoder"} <= set(made.provenance)


def test_samples_have_the_suites_form(made, band):
    (sample,) = made.generate(1, ["drums", "bass"], seed=1, start=5)
    assert list(sample.stems) == ["drums", "bass"] and sample.sample_rate == 16000
    for wave in sample.stems.values():
        assert wave.dtype == np.float32 and wave.shape == (band.n_samples,) and np.abs(wave).max() <= 1.0


def test_sample_i_depends_on_seed_and_i_alone(made, band):
    # Latents, since Griffin-Lim makes audible differences of float rounding in quiet places.
    four = made._latents(7, range(4))
    alone = made._latents(7, [2])
    assert torch.linalg.norm(four[2:3] - alone) < 1e-3 * torch.linalg.norm(alone)
    assert torch.linalg.norm(made._latents(8, [2]) - alone) > 0.1 * torch.linalg.norm(alone)
    assert torch.linalg.norm(four[1:2] - alone) > 0.1 * torch.linalg.norm(alone)


def test_generation_is_lazy(made):
    first = next(made.generate(10**9, ["drums"]))
    assert first.id == "00000"


@pytest.mark.parametrize("name", MODELS)
def test_bad_checkpoints_are_named(name, band, tmp_path):
    with pytest.raises(UsageError, match="no checkpoint.*absent.pt"):
        registry.make_model(name, suite=band, weights=str(tmp_path / "absent.pt"))
    (tmp_path / "text.pt").write_text("not a checkpoint")
    with pytest.raises(UsageError, match="text.pt cannot be read as a checkpoint"):
        registry.make_model(name, suite=band, weights=str(tmp_path / "text.pt"))
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(UsageError, match="other.pt is neither a checkpoint that mtbench trained nor a published one"):
        registry.make_model(name, suite=band, weights=str(tmp_path / "other.pt"))


def test_one_models_checkpoint_is_not_the_others(band):
    with pytest.raises(UsageError, match="band.pt is no checkpoint of model 'msg-ld'"):
        registry.make_model("msg-ld", suite=band, weights=str(EMBEDDED))


def test_a_checkpoint_knows_its_vae(band, tmp_path):
    held = torch.load(EMBEDDED, weights_only=True) | {"vae_sha256": "0" * 64}
    torch.save(held, tmp_path / "band.pt")
    with pytest.raises(UsageError, match=f"latents of a VAE with the SHA-256 {'0' * 64}.*as vae-ckpt.ckpt"):
        registry.make_model("synctrack", suite=band, weights=str(tmp_path / "band.pt"))


def test_what_a_checkpoints_network_predicts_is_read_from_it(band, tmp_path):
    held = torch.load(EMBEDDED, weights_only=True)
    made = {}
    for predicts in ("eps", "v"):
        torch.save(held | {"parameterization": predicts}, tmp_path / "band.pt")
        model = registry.make_model("synctrack", suite=band, weights=str(tmp_path / "band.pt"))
        x, t = torch.randn(1, 4, 8, 64, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([500])
        made[predicts] = model._estimated_noise(x, t).detach()
    torch.testing.assert_close(made["v"], noise_schedule().noise_of_velocity(x, made["eps"], t))
    torch.save(held | {"parameterization": "x0"}, tmp_path / "band.pt")
    with pytest.raises(
        UsageError, match="band.pt: its network predicts 'x0', which model 'synctrack' cannot.*eps and v"
    ):
        registry.make_model("synctrack", suite=band, weights=str(tmp_path / "band.pt"))


def test_nothing_asked_for_is_nothing_made(made):
    assert list(made.generate(0, ["drums"], start=5)) == []
    with pytest.raises(UsageError, match="no stem was asked for"):
        list(made.generate(1, []))


def test_a_file_that_holds_code_runs_none(band, tmp_path):
    class Run:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"config": {}, "state_dict": {}, "metadata": Run()}, tmp_path / "evil.pt")
    with pytest.raises(UsageError, match="evil.pt does not hold the expected weights"):
        registry.make_model("synctrack", suite=band, weights=str(tmp_path / "evil.pt"))
    assert not (tmp_path / "ran").exists()


def test_vae_and_vocoder_may_lie_beside_a_checkpoint(tmp_path, monkeypatch):
    vae = torch.load(EMBEDDED_VAE, weights_only=True) | {"metadata": {"name": "another"}}
    torch.save(vae, tmp_path / "vae-ckpt.ckpt")
    vocoder = {"config": vars(TINY_VOCODER), "state_dict": fill(HiFiGAN(TINY_VOCODER)).state_dict(), "metadata": {}}
    torch.save(vocoder, tmp_path / "hifigan-ckpt.ckpt")
    held = torch.load(EMBEDDED, weights_only=True)
    held["vae_sha256"], held["metadata"]["training_data"] = sha256(tmp_path / "vae-ckpt.ckpt"), "slakh2100/train"
    torch.save(held, tmp_path / "mine.pt")
    made = registry.make_model(
        "synctrack", suite=suite_of(0.64), weights=str(tmp_path / "mine.pt"), options={"steps": 1}
    )
    assert made.provenance["vocoder"] == "HiFi-GAN" and made.provenance["trained_on"] == "slakh2100/train"
    for what, name in (("vae", "vae-ckpt.ckpt"), ("vocoder", "hifigan-ckpt.ckpt")):
        assert made.provenance[f"{what}_sha256"] == sha256(tmp_path / name)
    (sample,) = made.generate(1, ["bass"])
    assert sample.stems["bass"].shape == (10240,)

    # A VAE copied beside the checkpoint does not hide the vocoder that was fetched with the same VAE.
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


def test_published_weights_that_are_not_here(band, monkeypatch, tmp_path):
    monkeypatch.setenv("MTBENCH_WEIGHTS", str(tmp_path))
    with pytest.raises(UsageError, match=f"`python -m musicldm.fetch synctrack`.*into {tmp_path}/synctrack"):
        registry.make_model("synctrack", suite=band, weights="published")
    with pytest.raises(UsageError, match="no weights of MSG-LD are published"):
        registry.make_model("msg-ld", suite=band, weights="published")


def suite_of(seconds: float):
    return SimpleNamespace(name="short", sample_rate=16000, n_samples=round(seconds * 16000), stems=STEMS)


@pytest.fixture
def fetched(monkeypatch, tmp_path):
    """A weights folder with a published file of the tiny sizes, which the adapters take for the published ones."""
    monkeypatch.setenv("MTBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(published, "read", partial(published.read, vae=TINY_VAE, vocoder=TINY_VOCODER))
    form = SyncTrackConfig.published
    monkeypatch.setattr(SyncTrackConfig, "published", lambda: form(**manifest("synctrack_unet_tiny")["config"]))
    (tmp_path / "synctrack").mkdir()
    write_lightning(tmp_path / "synctrack" / "synctrack_slakh2100_pretrained.ckpt", tiny("synctrack_unet_tiny"))
    return tmp_path


def test_published_weights_sample_in_whole_batches(fetched):
    # 0.64 s is 64 frames of log-mel, 16 positions in time.
    make = partial(registry.make_model, "synctrack", suite=suite_of(0.64), weights="published")
    made = make(options={"steps": 2, "batch_size": 3})
    assert made.provenance["form"] == "published" and made.provenance["batch_size"] == 3
    assert made.provenance["vocoder"] == "HiFi-GAN" and made.provenance["trained_on"] == "Slakh2100"
    assert made.provenance["duration"] == "0.64 s by a model trained on 10.24 s"
    samples = list(made.generate(5, STEMS, seed=4))
    assert [sample.id for sample in samples] == [f"{i:05d}" for i in range(5)]
    assert all(wave.shape == (10240,) for wave in samples[0].stems.values())
    for start, n in ((4, 1), (1, 3)):  # from the middle of a batch, and over its end
        for i, again in enumerate(made.generate(n, ["piano"], seed=4, start=start), start):
            np.testing.assert_allclose(again.stems["piano"], samples[i].stems["piano"], atol=1e-5)
    alone = next(make(options={"steps": 2, "batch_size": 1}).generate(1, ["piano"], seed=4, start=4))
    difference = np.linalg.norm(alone.stems["piano"] - samples[4].stems["piano"])
    assert difference > 1e-3 * np.linalg.norm(alone.stems["piano"])  # the samples of a batch mix


def test_published_weights_take_the_published_steps_and_batch(fetched):
    made = registry.make_model("synctrack", suite=suite_of(0.64), weights="published")
    assert made.provenance["sampler"] == "DDIM, 200 steps, eta 1" and made.provenance["batch_size"] == 16


def test_the_form_names_what_sets_a_network_apart():
    assert form(SyncTrackConfig()) == "paper" and form(SyncTrackConfig.published()) == "published"
    assert form(SyncTrackConfig(cross_track="none", time_residuals=2)) == "paper but time_residuals=2, cross_track=none"


@pytest.fixture(scope="module")
def small():
    """SyncTrack of a few channels in the paper's form on clips of 0.64 s, and its VAE."""
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
    """The velocity by a network that estimates the noise: v = (e - sqrt(1 - a_t) x_t) / sqrt(a_t)."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network, self.config = network, network.config

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        a = noise_schedule().alphas_cumprod[t].view(-1, 1, 1, 1, 1)
        return (self.network(x, t) - (1 - a).sqrt() * x) / a.sqrt()


def test_a_network_of_the_velocity_makes_what_one_of_the_noise_makes(small):
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
    made = small_model(small)
    (sample,) = made.generate(1, STEMS, given=[song(0, *kept)])
    (free,) = made.generate(1, STEMS)
    for stem in STEMS:
        if stem in kept:
            assert np.array_equal(sample.stems[stem], song(0, *kept).stems[stem])
        else:
            assert sample.stems[stem].shape == (10240,) and not np.array_equal(sample.stems[stem], free.stems[stem])


def test_what_is_made_follows_what_is_given(small):
    made, kept = small_model(small), ("bass", "drums")
    one, two = (made._latents(0, [0], [song(i, *kept).stems]) for i in (0, 1))
    assert torch.linalg.norm((one - two)[:, 2:]) > 1e-3 * torch.linalg.norm(one[:, 2:])


def test_the_network_is_given_the_stems_latents_at_the_steps_noise(small):
    # By hand, at the last step: with a_0 of timestep 1 nearly 1, what is given is nearly the scaled latents themselves.
    _, vae = small
    seen = []
    made = small_model(small, batch_size=1)
    hook = made._network.register_forward_pre_hook(lambda module, inputs: seen.append((inputs[0], int(inputs[1][0]))))
    try:
        made._latents(0, [5], [song(5, "guitar").stems])
    finally:
        hook.remove()
    with torch.no_grad():
        mean, logvar = vae.encode(log_mel(torch.from_numpy(song(5, "guitar").stems["guitar"]), 64)[None, None])
    draw = noise_per_sample(0, [5], (4, 8, 8, 8))
    posterior, _ = draw(), draw()  # then come, for every step, the noise on what is given and the step's own
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


def test_a_batch_that_mixes_is_filled_up_with_what_is_given(small):
    songs, looked = [song(i, "bass") for i in range(5)], []

    class Lazy:
        def __len__(self):
            return len(songs)

        def __getitem__(self, i):
            looked.append(i)
            return songs[i]

    made = small_model(small, batch_size=4, mixes_samples=True)
    (last,) = made.generate(1, ["drums"], given=Lazy(), start=4)
    assert looked == [4, 0, 1, 2] and list(last.stems) == ["drums"] and made.provenance["batch_size"] == 4
    songs = [song(i, "drums") for i in range(5)] + [song(5, "bass")]  # of the others nothing is asked
    assert [sample.id for sample in made.generate(1, ["drums"], given=songs, start=5)] == ["00005"]


@pytest.mark.parametrize(
    "given, message",
    [
        ([song(0, "bass")], "given holds 1 samples, sample 1 was asked for"),
        (
            [None, StemSet("x", {"mixture": np.zeros(10240, np.float32)}, 16000)],
            "'x'. holds 'mixture'; model 'small' can",
        ),
        ([None, StemSet("x", {}, 16000)], "holds no stem"),
        ([None, song(1, *STEMS)], "nothing is left to make"),
        ([None, song(1, "bass", samples=10239)], r"its bass has the shape \[10239\], not \[10240\]"),
        ([None, song(1, "bass", rate=44100)], "is at 44100 Hz; model 'small' takes 16000 Hz"),
        ([None, StemSet("x", {"bass": np.full(10240, np.nan, np.float32)}, 16000)], "its bass has samples outside"),
    ],
)
def test_what_cannot_be_kept_is_named(small, given, message):
    with pytest.raises(UsageError, match=message):
        list(small_model(small).generate(1, STEMS, given=given, start=1))


def test_steps_are_told(small):
    made, told = small_model(small, batch_size=2), []
    made.on_step = lambda done, steps: told.append((done, steps))
    list(made.generate(3, STEMS))
    assert told == 2 * [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_lower_precision_changes_samples_a_little_and_is_told(small):
    plain, reduced = (small_model(small, **options) for options in ({}, {"precision": "bfloat16"}))
    assert "precision" not in plain.provenance and reduced.provenance["precision"] == "bfloat16"
    exact, rounded = (torch.cat([model._latents(0, [i]) for i in range(4)]) for model in (plain, reduced))
    assert 1e-4 < float((exact - rounded).norm() / exact.norm()) < 0.1


@pytest.mark.slow
def test_a_compiled_network_makes_the_same_samples(small):
    plain, compiled = (small_model(small, **options)._latents(0, [0, 1]) for options in ({}, {"compile": True}))
    assert float((plain - compiled).norm() / plain.norm()) < 1e-4


def test_a_strange_stem_is_named(small):
    with pytest.raises(UsageError, match="unknown stem 'drum'. Did you mean 'drums'"):
        list(small_model(small).generate(1, ["drum"]))


def test_a_vocoder_is_used_where_there_is_one(small):
    made = small_model(small, vocoder=fill(HiFiGAN(TINY_VOCODER)))
    (sample,) = made.generate(1, ["bass"])
    assert made.provenance["vocoder"] == "HiFi-GAN" and sample.stems["bass"].shape == (10240,)
    latents = made._latents(0, [0])[:, 0]
    with torch.no_grad():
        mel = small[1].decode(latents / 0.5)[:, 0]
        assert relative_l2(sample.stems["bass"], made._vocoder(mel.transpose(1, 2))[0, 0, :10240].clamp(-1, 1)) < 1e-5


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seconds, frames", [(20.48, 2048), (5.0, 512)])
def test_clips_of_other_lengths(name, seconds, frames):
    made = registry.make_model(name, suite=suite_of(seconds), options={"steps": 1})
    (sample,) = made.generate(1, ["bass"])
    assert sample.stems["bass"].shape == (round(16000 * seconds),)
    assert made._latents(0, [0]).shape == (1, 4, 8, frames // 16, 4)
    assert made.provenance["duration"] == f"{seconds:g} s by a model trained on 10.24 s"


def test_a_longer_suite_gets_and_gives_its_whole_clips(small):
    suite = open_suite("band/30s")
    made = small_model(small, samples=suite.n_samples, batch_size=1)
    made._vocoder = silence_but_for_the_end
    held = StemSet("held", {"drums": suite.heldout()[0].stems["drums"]}, 16000)
    (sample,) = made.generate(1, ["bass", "drums"], given=[held])
    assert sample.stems["bass"].shape == (491_520,) and sample.stems["bass"][-1] == 0.5
    assert np.array_equal(sample.stems["drums"], held.stems["drums"])
    with pytest.raises(UsageError, match=r"its drums has the shape \[163840\], not \[491520\]"):
        list(made.generate(1, ["bass"], given=[song(0, "drums", samples=163_840)]))


def silence_but_for_the_end(mels: torch.Tensor) -> torch.Tensor:
    """In place of a vocoder: [rows, 64, frames] -> [rows, 1, 160 frames]."""
    waves = torch.zeros(len(mels), 1, 160 * mels.shape[2])
    waves[:, :, -1] = 0.5
    return waves


@pytest.mark.parametrize(
    "samples, at_once", [(10_240, [16, 16, 2]), (163_840, [16, 16, 2]), (491_520, 6 * [5] + [4]), (983_040, 17 * [2])]
)
def test_fewer_long_clips_are_decoded_at_once(small, monkeypatch, samples, at_once):
    """16 stems of 10.24 s, a third of that of 30.72 s, a sixth of 61.44 s."""
    made, decoded = small_model(small, samples=samples), []
    mels = torch.zeros(16, 1, samples // 160, 64)
    monkeypatch.setattr(made._vae, "decode", lambda rows: decoded.append(len(rows)) or mels[: len(rows)])
    made._vocoder = silence_but_for_the_end
    assert made._waveforms(torch.zeros(34, 1, 1, 1)).shape == (34, samples) and decoded == at_once


def test_a_suite_at_another_rate_gets_clips_of_its_duration():
    suite = SimpleNamespace(name="cd", sample_rate=44100, n_samples=44100, stems=STEMS)
    (sample,) = registry.make_model("msg-ld", suite=suite, options={"steps": 1}).generate(1, ["bass"])
    assert sample.sample_rate == 16000 and sample.stems["bass"].shape == (16000,)
