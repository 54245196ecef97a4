import importlib.util
import os
import re
from urllib.error import URLError

import numpy as np
import pytest
import torch

from mtbench.errors import UsageError
from mtbench.metrics import embeddings, fad, frames_needed
from mtbench.metrics.embeddings import EmbeddingUnavailable, embedding, missing

CLIP = 163_840  # 10.24 s
FRAME = 15_360  # 0.96 s
SHORTEST = 400 + 95 * 160  # the samples covered by 96 STFT columns

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("frechet_audio_distance") is None,
    reason='the optional package is not installed: pip install -c constraints.txt -e ".[fad]"',
)


def noise(samples=CLIP, level=0.1, seed=0):
    return (level * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


# log-mel-stats


def by_the_formulas(frame):
    """Compute the 32 statistics of one frame from their definitions, with explicit Fourier sums."""
    columns = []
    phase = np.exp(-2j * np.pi * np.outer(np.arange(257), np.arange(400)) / 512)
    hann = np.sin(np.pi * np.arange(400) / 400) ** 2
    mel = [1127 * np.log(1 + 31.25 * k / 700) for k in range(257)]
    lowest, highest = 1127 * np.log(1 + 125 / 700), 1127 * np.log(1 + 7500 / 700)
    width = (highest - lowest) / 65
    triangles = np.array(
        [[max(0, 1 - abs(m - (lowest + (band + 1) * width)) / width) for m in mel] for band in range(64)]
    )
    for column in range(96):
        windowed = frame[160 * column : 160 * column + 400].astype(np.float64) * hann
        columns.append(np.log(triangles @ np.abs(phase @ windowed) + 0.01))
    statistics = []
    for over_bands in (np.mean(columns, axis=0), np.std(columns, axis=0)):
        for k in range(16):
            scale = np.sqrt((1 if k == 0 else 2) / 64)
            cosines = [np.cos(np.pi * k * (2 * band + 1) / 128) for band in range(64)]
            statistics.append(scale * np.dot(cosines, over_bands))
    return statistics


def test_log_mel_stats_follows_its_definition():
    waveform = noise(SHORTEST) + np.sin(np.arange(SHORTEST) * 0.3).astype(np.float32)
    assert embedding("log-mel-stats")(waveform)[0] == pytest.approx(by_the_formulas(waveform), rel=1e-5, abs=1e-5)


def test_a_tone_fills_the_bands_around_its_frequency():
    lowest, highest = 1127 * np.log(1 + 125 / 700), 1127 * np.log(1 + 7500 / 700)
    nearest = round((1127 * np.log(1 + 1000 / 700) - lowest) / ((highest - lowest) / 65)) - 1
    columns = embeddings.log_mel(np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000))
    assert set(columns.argmax(axis=1)) == {nearest}


@pytest.mark.parametrize(
    "samples, frames", [(0, 0), (399, 0), (SHORTEST - 1, 0), (SHORTEST, 1), (CLIP, 10), (SHORTEST + FRAME, 2)]
)
def test_log_mel_stats_frames(samples, frames):
    result = embedding("log-mel-stats")(noise(samples))
    assert result.shape == (frames, 32)
    assert result.dtype == np.float32


def test_silence_is_finite_and_constant():
    frames = embedding("log-mel-stats")(np.zeros(CLIP, np.float32))
    # log 0.01 in each band: the first coefficient is 8 log 0.01 (8 = sqrt 64), the others are 0.
    assert frames[:, 0] == pytest.approx(np.full(10, 8 * np.log(0.01)), rel=1e-6)
    assert np.abs(frames[:, 1:]).max() < 1e-5


def test_gain_moves_one_coefficient_and_polarity_none():
    embed = embedding("log-mel-stats")
    quiet, loud = embed(noise(level=0.2)), embed(noise(level=0.4))
    assert loud[:, 0] - quiet[:, 0] == pytest.approx(np.full(10, 8 * np.log(2)), rel=1e-2)
    assert np.abs(np.delete(loud - quiet, 0, axis=1)).max() < 0.05
    assert np.array_equal(embed(-noise()), embed(noise()))


def test_a_shift_by_whole_frames_moves_the_rows():
    embed = embedding("log-mel-stats")
    waveform = noise()
    assert embed(waveform[FRAME:]) == pytest.approx(embed(waveform)[1:], rel=1e-6)
    assert np.abs(embed(waveform[FRAME // 2 :])[:9] - embed(waveform)[:9]).max() > 0.01


def test_32_clips_outnumber_the_dimension_tenfold():
    embed = embedding("log-mel-stats")
    assert 32 * len(embed(noise())) >= 10 * embed.dimension
    assert 4 * len(embed(noise())) >= frames_needed(embed.dimension)


def test_the_distance_grows_with_the_damage():
    embed = embedding("log-mel-stats")
    time = np.arange(CLIP) / 16000
    decays = [np.exp(-4 * (time % (0.4 + 0.02 * i))) for i in range(6)]
    clips = [
        (0.3 * np.sin(2 * np.pi * (110 + 20 * i) * time) * decay).astype(np.float32) for i, decay in enumerate(decays)
    ]

    def embedded(level):
        return np.concatenate([embed(clip + noise(level=level, seed=i)) for i, clip in enumerate(clips)])

    clean = embedded(0.0)
    distances = [fad(clean, embedded(level)) for level in (0.0, 0.001, 0.01, 0.1)]
    assert distances[0] == pytest.approx(0, abs=1e-6)
    assert distances == sorted(distances)
    assert distances[-1] > 10 * distances[1]


@pytest.mark.parametrize(
    "waveform, reason",
    [
        (np.zeros((2, 800)), r"expected mono \[samples\], got shape \(2, 800\)"),
        (np.array([0, 0, np.nan]), "sample 2 is not finite"),
        (np.array([np.inf, 0]), "sample 0 is not finite"),
    ],
)
def test_bad_waveforms(waveform, reason):
    with pytest.raises(ValueError, match=reason):
        embedding("log-mel-stats")(waveform)


# the registry


@pytest.mark.parametrize("name, meant", [("log_mel_stats", "log-mel-stats"), ("VGGish", "vggish"), ("PANN", "pann")])
def test_an_unknown_name_gets_a_suggestion(name, meant):
    with pytest.raises(UsageError, match=f"unknown embedding '{name}'. Did you mean '{meant}'"):
        embedding(name)


def test_a_name_without_a_close_match_gets_the_list():
    known = "log-mel-stats, pann, vggish, vggish-audioldm"
    with pytest.raises(UsageError, match=f"unknown embedding 'zzz'. Available: {known}"):
        embedding("zzz")


def test_the_default_needs_nothing():
    assert missing("log-mel-stats") is None
    assert embedding("log-mel-stats").name == "log-mel-stats"


# the extra: weights in torch.hub's folder

HUBCONF = '''
import os
import torch

dependencies = ["torch"]


class Standin(torch.nn.Module):
    """Mean and standard deviation of each 0.96 s, through layers named and ordered as VGGish's."""

    def __init__(self, pretrained, postprocess):
        super().__init__()
        self.embeddings = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(2, 128), torch.nn.ReLU())
        self.device = torch.device("cpu")
        self.postprocess = postprocess
        if pretrained:
            path = os.path.join(torch.hub.get_dir(), "checkpoints", "vggish-10086976.pth")
            self.load_state_dict(torch.load(path, weights_only=True))

    def forward(self, x, fs):
        assert fs == 16000
        frames = torch.as_tensor(x[: len(x) // 15360 * 15360]).reshape(-1, 15360)
        y = self.embeddings(torch.stack([frames.mean(1), frames.std(1)], dim=1))
        return 0 * y if self.postprocess else y


def vggish(pretrained=True, postprocess=True):
    return Standin(pretrained, postprocess)
'''


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty torch.hub folder, without network or stdin; the package appears to be installed."""

    def offline(*args, **kwargs):
        raise URLError("no network")

    def nobody(*args):
        raise EOFError("a question on stdin")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(torch.hub, "urlopen", offline)
    monkeypatch.setattr("builtins.input", nobody)
    monkeypatch.setattr(embeddings, "_package_installed", lambda: True)
    return tmp_path / "hub"


@pytest.fixture
def vggish_hub(hub):
    """The same folder with a fake VGGish repository and random weights."""
    (hub / "harritaylor_torchvggish_master").mkdir(parents=True)
    (hub / "harritaylor_torchvggish_master/hubconf.py").write_text(HUBCONF)
    (hub / "checkpoints").mkdir()
    weights = {
        "embeddings.1.weight": torch.randn(128, 2, generator=torch.Generator().manual_seed(1)),
        "embeddings.1.bias": torch.randn(128, generator=torch.Generator().manual_seed(2)),
    }
    torch.save(weights, hub / "checkpoints/vggish-10086976.pth")
    return hub


def linear(hub, waveform):
    """Compute the output of the fake network without the final ReLU."""
    weights = torch.load(hub / "checkpoints/vggish-10086976.pth", weights_only=True)
    frames = waveform[: len(waveform) // FRAME * FRAME].reshape(-1, FRAME)
    statistics = np.stack([frames.mean(axis=1), frames.std(axis=1, ddof=1)], axis=1)
    return statistics @ weights["embeddings.1.weight"].numpy().T + weights["embeddings.1.bias"].numpy()


def test_vggish_is_taken_before_the_last_relu_in_evaluation_mode(vggish_hub):
    assert missing("vggish") is None
    embed = embedding("vggish")
    frames = embed(noise())
    assert (embed.name, embed.sample_rate, embed.dimension) == ("vggish", 16000, 128)
    assert frames.shape == (10, 128) and frames.dtype == np.float32
    assert frames.min() < 0
    assert frames == pytest.approx(linear(vggish_hub, noise()), rel=1e-4, abs=1e-5)


def test_vggish_version_changes_with_its_weights_and_with_the_code_fetched_for_it(vggish_hub):
    version = embedding("vggish").version
    assert embedding("vggish-audioldm").version == version and re.fullmatch("[0-9a-f]{16}", version)
    code = vggish_hub / "harritaylor_torchvggish_master" / "hubconf.py"
    code.write_text(code.read_text() + "# another front end, say\n")
    after_code = embedding("vggish").version
    weights = vggish_hub / "checkpoints/vggish-10086976.pth"
    held = torch.load(weights, weights_only=True)
    torch.save({name: value + 1 for name, value in held.items()}, weights)
    assert len({version, after_code, embedding("vggish").version}) == 3


def test_loading_vggish_does_not_change_the_hub_folder(vggish_hub, monkeypatch):
    embedding("vggish")
    monkeypatch.setenv("TORCH_HOME", os.sep + "elsewhere")
    assert torch.hub.get_dir() == os.path.join(os.sep + "elsewhere", "hub")


def test_vggish_audioldm_removes_the_mean_of_the_file(vggish_hub):
    offset = noise() + np.float32(0.25)
    plain, audioldm = embedding("vggish"), embedding("vggish-audioldm")
    assert audioldm.name == "vggish-audioldm"
    assert audioldm(offset) == pytest.approx(plain(offset - offset.mean()), rel=1e-5, abs=1e-6)
    assert np.abs(audioldm(offset) - plain(offset)).max() > 0.1
    # One mean for the file, not one per frame.
    halves = np.concatenate([noise(CLIP // 2), noise(CLIP // 2) + np.float32(0.5)])
    assert audioldm(halves)[0] == pytest.approx(linear(vggish_hub, halves - halves.mean())[0], rel=1e-4, abs=1e-4)


def test_vggish_audioldm_pads_short_files_to_two_seconds(vggish_hub):
    short = noise(16_000)
    padded = np.pad(short - short.mean(), (0, 16_000))
    assert embedding("vggish")(short).shape == (1, 128)
    assert embedding("vggish-audioldm")(short) == pytest.approx(linear(vggish_hub, padded), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("samples, frames", [(0, 0), (SHORTEST - 1, 0), (SHORTEST, 1)])
def test_vggish_of_a_short_waveform_has_no_frames(vggish_hub, samples, frames):
    assert embedding("vggish")(noise(samples)).shape == (frames, 128)


def test_vggish_refuses_bad_waveforms(vggish_hub):
    with pytest.raises(ValueError, match="sample 3 is not finite"):
        embedding("vggish")(np.array([0, 0, 0, np.nan]))


def test_missing_files_are_named_with_their_sources(hub):
    text = missing("vggish")
    assert str(hub / "harritaylor_torchvggish_master") in text
    assert f"{hub / 'checkpoints' / 'vggish-10086976.pth'}  from  https://github.com/" in text
    assert str(hub / "Cnn14_16k_mAP%3D0.438.pth") in missing("pann")
    assert "TORCH_HOME" in missing("pann")
    for name in ("vggish", "vggish-audioldm", "pann"):
        with pytest.raises(EmbeddingUnavailable, match=r"(?s)these files are missing.*Download failed.*no network"):
            embedding(name)


def test_a_missing_repository_alone_is_named(vggish_hub):
    (vggish_hub / "harritaylor_torchvggish_master/hubconf.py").unlink()
    (vggish_hub / "harritaylor_torchvggish_master").rmdir()
    with pytest.raises(EmbeddingUnavailable) as caught:
        embedding("vggish")
    assert "harritaylor_torchvggish_master" in str(caught.value)
    assert "vggish-10086976.pth" not in str(caught.value)


def test_missing_weights_are_downloaded_to_the_hub_folder(vggish_hub, monkeypatch):
    weights = vggish_hub / "checkpoints/vggish-10086976.pth"
    kept = weights.rename(vggish_hub / "kept")
    calls = []

    def download(url, destination, hash_prefix):
        calls.append((url, destination, hash_prefix))
        kept.rename(destination)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    assert embedding("vggish")(noise()).shape == (10, 128)
    [(url, destination, hash_prefix)] = calls
    assert url.startswith("https://github.com/harritaylor/torchvggish/releases/")
    assert (destination, hash_prefix) == (str(weights), "10086976")
    embedding("vggish")
    assert len(calls) == 1


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", "other keys"])
def test_unusable_weights_are_named(vggish_hub, content):
    weights = vggish_hub / "checkpoints/vggish-10086976.pth"
    weights.write_bytes(content) if isinstance(content, bytes) else torch.save({"x": torch.zeros(1)}, weights)
    with pytest.raises(EmbeddingUnavailable, match="embedding 'vggish' cannot be loaded from .*vggish-10086976.pth"):
        embedding("vggish")


@pytest.mark.parametrize("name", ["vggish", "vggish-audioldm", "pann"])
def test_without_the_package_the_extra_is_named(name, monkeypatch):
    monkeypatch.setattr(embeddings, "_package_installed", lambda: False)
    with pytest.raises(EmbeddingUnavailable) as error:
        embedding(name)
    for text in (missing(name), str(error.value)):
        assert name in text and 'pip install -c constraints.txt -e ".[fad]"' in text


@pytest.mark.parametrize("as_numpy_1", [False, True])
def test_checkpoints_with_numpy_arrays_load_without_running_code(tmp_path, as_numpy_1):
    # Written as by a training script of 2020: torch's old format, and module names of NumPy 1.
    state = {"model": torch.ones(2), "indexes": np.arange(3), "share": np.float64(0.5), "p": np.ones(2, np.float32)}
    path = tmp_path / "checkpoint.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    if as_numpy_1:
        path.write_bytes(path.read_bytes().replace(b"numpy._core.", b"numpy.core."))
    with torch.serialization.safe_globals(embeddings._numpy_globals()):
        loaded = torch.load(path, weights_only=True)
    assert loaded["indexes"].tolist() == [0, 1, 2] and loaded["share"] == 0.5


# beside the package itself


@needs_package
def test_vggish_equals_the_package(vggish_hub):
    from frechet_audio_distance.fad import FrechetAudioDistance

    peer = FrechetAudioDistance(model_name="vggish").get_embeddings([noise()])
    assert embedding("vggish")(noise()) == pytest.approx(peer, rel=1e-6, abs=1e-7)


@needs_package
def test_pann_gives_a_row_per_clip(hub):
    from frechet_audio_distance.fad import FrechetAudioDistance
    from frechet_audio_distance.models.pann import Cnn14_16k

    torch.manual_seed(0)
    network = Cnn14_16k(16000, 512, 160, 64, 50, 8000, 527)
    weights = hub / "Cnn14_16k_mAP%3D0.438.pth"
    weights.parent.mkdir()
    # As published, the file also contains the state of the training sampler, in NumPy arrays and scalars.
    sampler = {"indexes": np.arange(5), "probability": np.array([0.5], np.float32), "pointer": np.int64(3)}
    torch.save({"iteration": 7, "model": network.state_dict(), "sampler": sampler}, weights)
    try:
        assert missing("pann") is None
        embed = embedding("pann")
    finally:
        weights.unlink()  # 330 MB

    clips = [noise(8_000, seed=1), noise(12_000, seed=2)]
    rows = [embed(clip) for clip in clips]
    assert all(row.shape == (1, 2048) and row.dtype == np.float32 for row in rows)
    peer = FrechetAudioDistance.__new__(FrechetAudioDistance)
    peer.model, peer.model_name, peer.verbose, peer.device = network.eval(), "pann", False, torch.device("cpu")
    # The package concatenates the clips.
    assert np.concatenate(rows).ravel() == pytest.approx(peer.get_embeddings(clips), rel=1e-5, abs=1e-7)
    assert np.array_equal(embed(clips[0]), rows[0])
    assert embed(np.zeros(8_000, np.float32)).shape == (1, 2048)
    assert embed(noise(4960)).shape == (1, 2048)
    assert embed(noise(4959)).shape == (0, 2048)
