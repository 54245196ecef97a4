"""MT-MusicLDM as a generator: published files load by key, CLAP conditioning, and archives of its checkpoints."""

import io
import json
import sys
import tarfile
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from adapterkit.download import unpack
from adapterkit.weights import load, noted_sha256, sha256
from conftest import STEMS
from msg_ld import MSGLDConfig, MSGLDUNet, clap
from msg_ld.generator import EMBEDDED, make, make_mt_musicldm
from mtbench.errors import MtbenchError, UsageError
from mtbench.stems import StemSet
from musicldm import fetch, published
from parity import recipe_tensor, relative_l2
from published_files import TINY_VAE, TINY_VOCODER, tiny, write_lightning

SHORT = SimpleNamespace(name="short", sample_rate=16000, n_samples=10240, stems=STEMS)
generator_of = partial(make_mt_musicldm, device="cpu", suite=SHORT, steps=2)


@pytest.fixture(autouse=True)
def tiny_first_stage(monkeypatch, tmp_path):
    monkeypatch.setenv("MTBENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(published, "read", partial(published.read, vae=TINY_VAE, vocoder=TINY_VOCODER))


@pytest.fixture(scope="module")
def unconditional(tmp_path_factory):
    return write_lightning(tmp_path_factory.mktemp("published") / "uncond.ckpt", tiny("msgld_unet_tiny"))


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    """A file in the published conditional layout at width 32, with a CLAP that consists of a single number."""
    with torch.device("meta"):
        shapes = {
            name: value.shape
            for name, value in MSGLDUNet(MSGLDConfig(model_channels=32, extra_film_condition_dim=512))
            .state_dict()
            .items()
        }
    state = tiny("msgld_unet_tiny")
    for name, shape in shapes.items():
        raw, averaged = f"model.diffusion_model.{name}", "model_ema.diffusion_model" + name.replace(".", "")
        if raw not in state or state[raw].shape != shape:
            state |= {raw: torch.full((), torch.nan).expand(shape), averaged: recipe_tensor(name, tuple(shape))}
    state["cond_stage_model.model.logit_scale_a"] = torch.tensor(3.0)
    return write_lightning(tmp_path_factory.mktemp("published") / "clap.ckpt", state)


class FakeCLAP:
    """Embeds a text as its length and audio as its peak, repeated 512 times."""

    def __init__(self, path, state):
        self.scale = float(state["logit_scale_a"])

    def of_text(self, text):
        return torch.full((512,), self.scale * len(text) / 100)

    def of_audio(self, samples, rate):
        return torch.full((512,), float(np.abs(samples).max()))


def test_the_unconditional_file_loads_by_key(unconditional):
    generator = generator_of(weights=str(unconditional))
    assert generator.name == "mt-musicldm" and generator.tasks == {"total", "arrangement"}
    assert generator.provenance["trained_on"] == "Slakh2100" and generator.provenance["parameters"] == 19_099_940
    assert generator.provenance["vocoder"] == "HiFi-GAN" and "guidance_scale" not in generator.provenance
    (sample,) = generator.generate(1, STEMS, seed=3)
    (same,) = make(weights=str(unconditional), device="cpu", suite=SHORT, steps=2).generate(1, STEMS, seed=3)
    assert all(np.array_equal(sample.stems[stem], same.stems[stem]) for stem in STEMS)  # MSG-LD without a mixture
    mixture = StemSet("x", {"mixture": np.zeros(10240, np.float32)}, 16000)
    with pytest.raises(UsageError, match="contains 'mixture', but model 'mt-musicldm' accepts bass, drums"):
        list(generator.generate(1, STEMS, given=[mixture]))


def test_a_prompt_conditions_all_samples(conditional, monkeypatch):
    monkeypatch.setattr(clap, "CLAP", FakeCLAP)
    generator = generator_of(weights=str(conditional), prompt="soft music", guidance_scale=3.0)
    assert (
        generator.provenance["conditioned_on"] == {"prompt": "soft music"}
        and generator.provenance["guidance_scale"] == 3.0
    )
    seen = []
    hook = generator._network.register_forward_pre_hook(
        lambda module, inputs, named: seen.append((inputs[0], named["embedding"])), with_kwargs=True
    )
    together = generator._latents(5, [0, 1])
    hook.remove()
    assert len(seen) == 2
    for x, embedding in seen:  # a doubled batch: without and with the condition
        assert torch.equal(x[:2], x[2:]) and embedding.shape == (4, 512)
        np.testing.assert_allclose(embedding[:, 0], [0, 0, 0.3, 0.3], rtol=1e-6)  # 10 characters, scaled by 3 / 100
    assert relative_l2(together[1:], generator._latents(5, [1])) < 1e-4
    other = generator_of(weights=str(conditional), prompt="energetic music", guidance_scale=3.0)
    assert relative_l2(other._latents(5, [1]), together[1:]) > 1e-3


def test_audio_conditions_and_no_condition_is_the_empty_text(conditional, monkeypatch, tmp_path):
    monkeypatch.setattr(clap, "CLAP", FakeCLAP)
    soundfile.write(tmp_path / "song.wav", np.array([0.0, -0.5, 0.25]), 16000, subtype="FLOAT")
    generator = generator_of(weights=str(conditional), audio=str(tmp_path / "song.wav"))
    assert generator.provenance["guidance_scale"] == 2.0
    assert generator.provenance["conditioned_on"] == {"audio_sha256": sha256(tmp_path / "song.wav")}
    assert generator._embeddings[:, 0].tolist() == [0.0, 0.5]
    free = generator_of(weights=str(conditional))
    assert free.provenance["conditioned_on"] == "nothing" and free.provenance["guidance_scale"] == 0.0
    assert not free._embeddings.any()


def test_invalid_conditions_are_refused(unconditional, conditional, monkeypatch):
    with pytest.raises(UsageError, match="prompt and audio cannot both be given"):
        generator_of(weights=str(conditional), prompt="soft", audio="song.wav")
    with pytest.raises(UsageError, match="uncond.ckpt was trained without CLAP"):
        generator_of(weights=str(unconditional), prompt="soft")
    with pytest.raises(UsageError, match="clap.ckpt was trained with CLAP and is a checkpoint of model 'mt-musicldm'"):
        make(weights=str(conditional), device="cpu", suite=SHORT)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r'package transformers\. Run in .* -c constraints\.txt -e "\.\[clap\]"'):
        generator_of(weights=str(conditional), prompt="soft")


def test_where_clap_is_found(tmp_path):
    path = tmp_path / "mine.ckpt"
    with pytest.raises(UsageError, match="mine.ckpt does not contain CLAP weights.*python -m musicldm.fetch clap"):
        clap.weights_of(path, {"state_dict": {"film_emb.bias": torch.zeros(1)}})
    torch.save({"epoch": 1, "state_dict": {"module.logit_scale_a": torch.tensor(2.0)}}, tmp_path / "clap-ckpt.pt")
    file, state, provenance = clap.weights_of(path, {"state_dict": {}})
    assert file.name == "clap-ckpt.pt" and state == {"logit_scale_a": torch.tensor(2.0)}
    assert provenance == {"clap_sha256": sha256(file)}


def test_names_are_translated():
    qkv = torch.arange(6.0)[:, None]
    block = "audio_branch.layers.0.blocks.1."
    renamed = clap.translated(
        {
            f"{block}attn.qkv.weight": qkv,
            f"{block}norm1.bias": qkv,
            f"{block}attn_mask": qkv,
            "audio_branch.bn0.bias": qkv,
            "text_projection.2.weight": qkv,
            "text_branch.pooler.dense.bias": qkv,
            "audio_transform.sequential.0.bias": qkv,
            "audio_branch.logmel_extractor.melW": qkv,
            "audio_branch.patch_embed.proj.bias": qkv,
            "audio_branch.layers.0.downsample.norm.bias": qkv,
            f"{block}attn.proj.bias": qkv,
            f"{block}mlp.fc2.bias": qkv,
        }
    )
    encoder = "audio_model.audio_encoder."
    block = f"{encoder}layers.0.blocks.1."
    assert set(renamed) == {
        f"{block}attention.self.query.weight",
        f"{block}attention.self.key.weight",
        f"{block}attention.self.value.weight",
        f"{block}layernorm_before.bias",
        f"{encoder}batch_norm.bias",
        "text_projection.linear2.weight",
        "text_model.pooler.dense.bias",
        f"{encoder}patch_embed.proj.bias",
        f"{encoder}layers.0.downsample.norm.bias",
        f"{block}attention.output.dense.bias",
        f"{block}output.dense.bias",
    }
    assert renamed[f"{block}attention.self.key.weight"].tolist() == [[2.0], [3.0]]


@pytest.fixture
def small_clap(monkeypatch):
    """CLAP with a few channels: the model of transformers, and its weights under their published names."""
    transformers = pytest.importorskip("transformers")
    heads = {"num_attention_heads": [1, 2, 2, 2], "num_hidden_layers": 4}
    monkeypatch.setattr(
        clap, "AUDIO", {"depths": [1, 1, 1, 1], "patch_embeds_hidden_size": 8, "hidden_size": 64, **heads}
    )
    monkeypatch.setattr(
        clap,
        "TEXT",
        {
            "layer_norm_eps": 1e-5,
            "vocab_size": 12,
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
        },
    )
    torch.manual_seed(0)
    model = transformers.ClapModel(transformers.ClapConfig(audio_config=clap.AUDIO, text_config=clap.TEXT))
    state = {}
    for name, value in model.state_dict().items():
        for ours, theirs in (
            ("audio_model.audio_encoder.", "audio_branch."),
            ("text_model.", "text_branch."),
            ("projection.linear1.", "projection.0."),
            ("projection.linear2.", "projection.2."),
            ("batch_norm.", "bn0."),
            ("layernorm_before.", "norm1."),
            ("layernorm_after.", "norm2."),
        ):
            name = name.replace(ours, theirs)
        if name.startswith("audio_branch."):
            for ours, theirs in (
                ("attention.self.", "attn."),
                ("attention.output.dense.", "attn.proj."),
                ("intermediate.dense.", "mlp.fc1."),
                ("output.dense.", "mlp.fc2."),
            ):
                name = name.replace(ours, theirs)
        state[name] = value
    for name in [name for name in state if ".attn.query." in name]:
        rows = [state.pop(name.replace("query", matrix)) for matrix in ("query", "key", "value")]
        state[name.replace("query", "qkv")] = torch.cat(rows)
    return model.eval(), state


def test_clap_embeds_with_the_published_names(small_clap, tmp_path):
    model, state = small_clap
    embedder = clap.CLAP(tmp_path / "clap-ckpt.pt", state)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in embedder._model.state_dict().items())
    silence, tone = np.zeros(16000, np.float32), np.sin(np.arange(16000) / 5).astype(np.float32)
    for embedding in (embedder.of_audio(tone, 16000), embedder.of_text("")):
        assert embedding.shape == (512,) and float(embedding.norm()) == pytest.approx(1.0, abs=1e-5)
    assert relative_l2(embedder.of_audio(tone, 16000), embedder.of_audio(silence, 16000)) > 1e-4
    repeated = embedder.of_audio(np.tile(tone, 10), 16000)  # shorter audio is repeated up to 10 s
    assert relative_l2(embedder.of_audio(tone, 16000), repeated) < 1e-2
    longer = embedder.of_audio(np.append(np.tile(tone, 10), silence), 16000)  # only the first 10 s are used
    assert torch.equal(longer, repeated) or relative_l2(longer, repeated) < 1e-2


def test_a_prompt_needs_the_vocabulary(small_clap, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    _, state = small_clap
    embedder, folder = clap.CLAP(tmp_path / "clap-ckpt.pt", state), tmp_path / "roberta-base"
    folder.mkdir()
    with pytest.raises(UsageError, match=f"put vocab.json and merges.txt from .*roberta-base into {folder}"):
        embedder.of_text("soft")
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "s", "o", "f", "t", "so", "ft", "soft"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\ns o\nf t\nso ft\n")
    assert torch.equal(embedder.of_text("soft"), embedder._of_tokens([0, 11, 2]))
    assert relative_l2(embedder.of_text("soft"), embedder.of_text("")) > 1e-4


def test_unexpected_clap_weights_are_refused(small_clap, tmp_path):
    _, state = small_clap
    with pytest.raises(
        UsageError, match=r"clap.pt does not contain the expected CLAP weights: 1 missing \['logit_scale_a'\], 1 un"
    ):
        clap.CLAP(tmp_path / "clap.pt", {name.replace("logit_scale_a", "other"): v for name, v in state.items()})
    with pytest.raises(UsageError, match="clap.pt does not contain the expected CLAP weights: .*size mismatch"):
        clap.CLAP(tmp_path / "clap.pt", state | {"text_branch.pooler.dense.bias": torch.zeros(3)})


def test_checkpoints_of_mtbench(tmp_path):
    checkpoint = torch.load(EMBEDDED, weights_only=True)
    torch.save(checkpoint | {"mixture": False}, tmp_path / "mine.pt")
    generator = generator_of(weights=str(tmp_path / "mine.pt"))
    assert generator.tasks == {"total", "arrangement"} and generator.provenance["trained_on"] == "synthetic songs"
    torch.save(checkpoint | {"mixture": True}, tmp_path / "mine.pt")
    with pytest.raises(UsageError, match="mine.pt was trained with mixtures and is a checkpoint of model 'msg-ld'"):
        generator_of(weights=str(tmp_path / "mine.pt"))


def test_wrong_files_are_named(unconditional, tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(UsageError, match="other.pt is neither a checkpoint trained by mtbench nor a published one"):
        generator_of(weights=str(tmp_path / "other.pt"))
    state = load(unconditional)["state_dict"]
    del state["model_ema.diffusion_modelout2bias"]
    write_lightning(tmp_path / "cut.ckpt", state)
    with pytest.raises(UsageError, match="cut.ckpt does not contain the expected weights: 1 missing .*out2bias"):
        generator_of(weights=str(tmp_path / "cut.ckpt"))


def archive(path, *members: tuple[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_published_weights_are_extracted(tmp_path):
    folder = tmp_path / "weights" / "mt-musicldm"
    with pytest.raises(
        UsageError, match=f"`python -m musicldm.fetch mt-musicldm`.*uncond_ch=192.*into {folder} and run that command"
    ):
        generator_of(weights="published")
    with pytest.raises(UsageError, match="`python -m musicldm.fetch mt-musicldm-clap`"):
        generator_of(weights="published", prompt="soft music")
    ((path, url),) = fetch.files_of("mt-musicldm").items()
    assert url == (
        "https://zenodo.org/records/13947715/files/"
        "2024-03-24T19-51-37_3_D_4_stems_slakh_uncond_ch%3D192_3e-05_.tar.gz?download=1"
    )
    name = fetch.ARCHIVED["mt-musicldm"]
    archive(
        path,
        ("run/hparams.yaml", b"a: 1"),
        (f"run/checkpoints/{name}", b"weights"),
        ("run/checkpoints/last.ckpt", b"others"),
    )
    fetch.main(["mt-musicldm", "--sha256", f"{path.name}={sha256(path)}"])  # already downloaded: only extracted
    assert fetch.trained_model("mt-musicldm") == folder / name and (folder / name).read_bytes() == b"weights"
    assert noted_sha256(folder / name) == sha256(folder / name)
    with pytest.raises(UsageError, match=f"{name} cannot be read as a checkpoint"):
        generator_of(weights="published")


def test_bad_archives_are_named(tmp_path):
    path = tmp_path / "some.tar.gz"
    archive(path, ("a/other.ckpt", b"x"), ("a/log.txt", b"y"))
    with pytest.raises(
        MtbenchError, match="some.tar.gz contains 0 files named last.ckpt, .*checkpoints: a/other.ckpt. Extract one"
    ):
        unpack(path, "last.ckpt")
    archive(path, ("last.ckpt", b"x" * 100_000))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(MtbenchError, match="some.tar.gz is not a complete tar archive"):
        unpack(path, "last.ckpt")
    assert not (tmp_path / "last.ckpt").exists()
