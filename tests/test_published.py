"""Published checkpoints: files in their layout load by key, reproduce the published numbers, and are read safely."""

import os
import sys

import pytest
import torch

from adapterkit.weights import load
from msg_ld.generator import _lightning
from mtbench.errors import UsageError
from musicldm import VAE, HiFiGAN, published
from musicldm.first_stage import load_vae, load_vocoder
from parity import assert_golden, fill, golden, manifest, relative_l2, seeded
from published_files import SCALE_FACTOR, TINY_VAE, TINY_VOCODER, lightning_state, tiny, write_lightning
from synctrack import SyncTrackConfig, SyncTrackUNet


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def state():
    return tiny("synctrack_unet_tiny")


def network(state):
    return SyncTrackUNet(SyncTrackConfig.published(**manifest("synctrack_unet_tiny")["config"]))


def read(path):
    return published.read(path, load(path), network, TINY_VAE, TINY_VOCODER)


def test_the_test_files_have_the_published_names(state):
    assert set(state) == {name for name, _, _ in manifest("synctrack_lightning")["state_dict"]}


def test_a_lightning_file_reproduces_the_published_numbers(state, tmp_path):
    path = write_lightning(tmp_path / "synctrack.ckpt", state)
    assert published.is_lightning(load(path))
    model = read(path)
    assert model.scale_factor == SCALE_FACTOR and set(model.sha256) == {"weights"}
    assert torch.equal(model.network.switcher, torch.eye(4).flip(1)) and not model.network.switcher.requires_grad
    latents = seeded(1111, 4, 16, 256, 16)[:, :8].unflatten(0, (1, 4))  # the second half is unused conditioning
    arrays = golden("synctrack_unet_tiny_b1_s1111")
    assert_golden(arrays, "out", model.network(latents, torch.tensor([500])).flatten(0, 1))
    assert_golden(golden("vae_tiny_decode_s3161"), "out", model.vae.decode(seeded(3161, 1, 8, 256, 16)))
    assert_golden(golden("hifigan_tiny_s3211"), "out", model.vocoder(seeded(3211, 1, 64, 32)))
    assert not (model.network.training or model.vae.training or model.vocoder.training)


def test_the_first_stage_may_be_in_separate_files(state, tmp_path):
    lean = {name: value for name, value in state.items() if not name.startswith("first_stage_model.")}
    path = write_lightning(tmp_path / "synctrack.ckpt", lean)
    with pytest.raises(UsageError, match="no vae-ckpt.ckpt next to it.*python -m musicldm.fetch musicldm"):
        read(path)
    vae, vocoder = fill(VAE(TINY_VAE)), fill(HiFiGAN(TINY_VOCODER))
    losses = {name.removeprefix("first_stage_model."): value for name, value in state.items() if ".loss." in name}
    torch.save({"state_dict": vae.state_dict() | losses}, tmp_path / "vae-ckpt.ckpt")
    torch.save({"generator": vocoder.state_dict()}, tmp_path / "hifigan-ckpt.ckpt")
    model = read(path)
    assert set(model.sha256) == {"weights", "vae", "vocoder"}
    assert torch.equal(model.vae.decoder.conv_in.weight, vae.decoder.conv_in.weight)
    mel = seeded(1, 1, 64, 16)
    assert hasattr(model.vocoder.conv_pre, "weight")  # folded
    assert relative_l2(model.vocoder(mel), vocoder(mel)) < 1e-6


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s: s.pop("model_ema.diffusion_modelout2bias"), "1 missing .model_ema.diffusion_modelout2bias."),
        (lambda s: s.pop("model.diffusion_model.out.2.bias"), "1 missing .model.diffusion_model.out.2.bias."),
        (lambda s: s.pop("scale_factor"), "1 missing .scale_factor."),
        (
            lambda s: s.update({f"cond_stage_model.{i}": torch.zeros(1) for i in range(5)}),
            "5 unexpected .cond_stage_model.0, cond_stage_model.1, cond_stage_model.2, ....",
        ),
        (
            lambda s: s.update({"model.diffusion_model.time_embed.0.bias": torch.zeros(64)}),
            r"1 of the wrong shape .model.diffusion_model.time_embed.0.bias \[64\] instead of \[128\].",
        ),
        (lambda s: s.pop("first_stage_model.encoder.conv_in.bias"), "1 missing .encoder.conv_in.bias."),
        (lambda s: s.pop("first_stage_model.vocoder.conv_pre.bias"), "1 missing .conv_pre.bias."),
        (lambda s: [s.pop(name) for name in list(s) if name.startswith("model_ema.")], "no averaged weights"),
        (lambda s: s.update(betas=torch.linspace(1e-4, 0.02, 1000)), "a different noise schedule"),
    ],
)
def test_defects_of_a_file_are_named(state, tmp_path, change, message):
    broken = dict(state)
    change(broken)
    path = tmp_path / "broken.ckpt"
    path.touch()
    with pytest.raises(UsageError, match=f"broken.ckpt.*{message}"):
        published.read(path, {"state_dict": broken}, network, TINY_VAE, TINY_VOCODER)


def test_buffers_that_sampling_does_not_need_may_be_absent(state, tmp_path):
    lean = {
        name: value
        for name, value in state.items()
        if not (name.startswith("first_stage_model.loss.") or "." not in name) or name == "scale_factor"
    }
    assert len(lean) < len(state) - 60
    assert read(write_lightning(tmp_path / "lean.ckpt", lean)).scale_factor == SCALE_FACTOR


def test_objects_in_a_file_are_neither_needed_nor_created(tmp_path):
    class Run:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    path = write_lightning(tmp_path / "with.ckpt", {"x": torch.ones(2)})
    assert "pytorch_lightning" not in sys.modules
    checkpoint = load(path)
    assert checkpoint["epoch"] == 20 and checkpoint["state_dict"]["x"].tolist() == [1, 1]
    assert checkpoint["callbacks"]["ModelCheckpoint"]["best_model_score"] == 1.5
    torch.save({"state_dict": {"x": torch.ones(2)}, "evil": Run()}, tmp_path / "evil.ckpt")
    assert load(tmp_path / "evil.ckpt")["state_dict"]["x"].tolist() == [1, 1]
    assert not (tmp_path / "ran").exists()


def test_a_file_that_can_only_be_read_by_running_code_is_refused(tmp_path):
    class Run:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path}/ran",))

    torch.save({"state_dict": {}, "evil": Run()}, tmp_path / "evil.ckpt")
    with pytest.raises(UsageError, match="evil.ckpt cannot be read as a checkpoint.*by running code"):
        load(tmp_path / "evil.ckpt")
    assert not (tmp_path / "ran").exists()


def test_a_file_in_the_old_format_is_read(tmp_path):
    torch.save({"state_dict": {"x": torch.ones(2)}}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    assert load(tmp_path / "old.ckpt")["state_dict"]["x"].tolist() == [1, 1]


def test_a_file_that_changed_since_it_was_fetched_is_refused(state, tmp_path):
    path = write_lightning(tmp_path / "synctrack.ckpt", state)
    (tmp_path / "synctrack.ckpt.sha256").write_text(f"{'0' * 64}  synctrack.ckpt\n")
    with pytest.raises(UsageError, match=f"synctrack.ckpt has SHA-256 [0-9a-f]{{64}}, expected {'0' * 64}"):
        read(path)


def test_msg_lds_width_is_read_from_the_file(tmp_path):
    path = write_lightning(tmp_path / "msg-ld.ckpt", tiny("msgld_unet_tiny"))
    model = published.read(path, load(path), _lightning, TINY_VAE, TINY_VOCODER)
    assert model.network.config.model_channels == 32
    assert torch.equal(model.network.out[2].bias, fill(torch.nn.ModuleDict({"out": model.network.out}))["out"][2].bias)


def test_vae_and_vocoder_trained_by_mtbench(tmp_path):
    vae, vocoder = fill(VAE(TINY_VAE)), fill(HiFiGAN(TINY_VOCODER))
    for module, name in ((vae, "vae.pt"), (vocoder, "vocoder.pt")):
        half = {key: value.half() for key, value in module.state_dict().items()}
        torch.save({"config": vars(module.config), "state_dict": half, "metadata": {}}, tmp_path / name)
    loaded = load_vae(tmp_path / "vae.pt")
    assert loaded.config == TINY_VAE and not loaded.training
    assert torch.equal(loaded.quant_conv.weight, vae.quant_conv.weight.half().float())
    mel = seeded(1, 1, 64, 16)
    assert relative_l2(load_vocoder(tmp_path / "vocoder.pt")(mel), vocoder(mel)) < 1e-2  # float16


def test_vae_and_vocoder_are_not_confused(tmp_path):
    torch.save({"generator": {}}, tmp_path / "vocoder.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "vae.ckpt")
    with pytest.raises(UsageError, match="vocoder.ckpt is not a VAE"):
        load_vae(tmp_path / "vocoder.ckpt")
    with pytest.raises(UsageError, match="vae.ckpt is not a HiFi-GAN"):
        load_vocoder(tmp_path / "vae.ckpt")


@pytest.mark.slow
def test_a_file_of_the_published_size(tmp_path):
    """The file has 2.4 GB, with raw and averaged weights."""
    state = {
        name: value.contiguous()
        for name, value in lightning_state("synctrack_unet", fill(VAE()), fill(HiFiGAN())).items()
    }
    shapes = {name: (list(value.shape), str(value.dtype).removeprefix("torch.")) for name, value in state.items()}
    assert shapes == {name: (shape, dtype) for name, shape, dtype in manifest("synctrack_lightning")["state_dict"]}
    path = write_lightning(tmp_path / "synctrack_slakh2100_pretrained.ckpt", state)
    del state
    model = published.read(path, load(path), lambda state: SyncTrackUNet(SyncTrackConfig.published()))
    path.unlink()  # otherwise pytest would keep it
    latents = seeded(1101, 4, 16, 256, 16)[:, :8].unflatten(0, (1, 4))
    out = model.network(latents, torch.tensor([500])).flatten(0, 1)
    assert_golden(golden("synctrack_unet_full_b1_s1101"), "out", out)
