import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from mtbench import audio
from mtbench.audio import AudioError
from mtbench.files import whole_file
from parity import assert_golden, golden, seeded


def test_rounding_matches_libsndfile():
    arrays = golden("pcm16_rounding")
    np.testing.assert_array_equal(audio.to_pcm16(arrays["x"]), arrays["int16"])


def test_rounding_by_hand():
    # floor(32768 x), saturated: half a step below zero rounds down, half a step above rounds to zero.
    x = [-2.0, -1.0, -0.5 / 32768, 0.0, 0.9 / 32768, 1.0, 2.0, np.nan]
    assert audio.to_pcm16(np.array(x)).tolist() == [-32768, -32768, -1, 0, 0, 32767, 32767, 0]


def test_pcm_survives_conversion_to_float_and_back():
    pcm = np.arange(-32768, 32768).astype(np.int16)
    np.testing.assert_array_equal(audio.to_pcm16(audio.to_float(pcm)), pcm)


def test_resampling_golden():
    y = audio.resample(0.3 * seeded(4201, 225792).numpy(), 22050, 16000)
    assert y.shape == (163840,) and y.dtype == np.float32
    assert_golden(golden("resample_22050_16000_s4201"), "out", torch.from_numpy(y))


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resampling_keeps_a_tone(rate):
    x = np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)
    y = audio.resample(x, rate, 16000)
    expected = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert len(y) == 16000
    assert np.abs(y - expected)[200:-200].max() < 2e-3  # the kernel is short, so its pass band is not quite flat


def test_resampling_removes_frequencies_above_nyquist():
    x = np.sin(2 * np.pi * 15000 * np.arange(44100) / 44100).astype(np.float32)
    assert np.abs(audio.resample(x, 44100, 16000)[200:-200]).max() < 0.01


def test_same_rate_is_untouched():
    x = np.random.default_rng(0).standard_normal(100).astype(np.float32)
    assert audio.resample(x, 16000, 16000) is x


def test_canonical_cuts_and_pads():
    x = np.full(10, 0.5, np.float32)
    cut = audio.canonical(x, 16000, 16000, 8)
    assert (len(cut.samples), cut.cut, cut.padded) == (8, 2, 0)
    padded = audio.canonical(x, 16000, 16000, 12)
    assert padded.samples.tolist() == [16384] * 10 + [0, 0] and (padded.cut, padded.padded) == (0, 2)


def test_mixture_is_the_clipped_sum():
    stems = [np.array([16384, 16384, -32768], np.int16), np.array([16384, 8192], np.int16), np.array([16384], np.int16)]
    mixture, clipped = audio.mix(stems)
    np.testing.assert_array_equal(mixture, np.float32([1.0, 0.75, -1.0]))
    assert clipped == pytest.approx(1 / 3)  # only the first sample, 1.5, is beyond full scale


def test_read_averages_channels(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([[0.5, 0.0], [0.25, -0.25]]), 44100)
    samples, rate = audio.read(tmp_path / "a.wav")
    assert rate == 44100 and samples.tolist() == [0.25, 0.0]


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_read_formats(tmp_path, suffix):
    wave = 0.3 * np.sin(np.arange(4000) / 10)
    soundfile.write(tmp_path / f"a{suffix}", wave, 8000)
    samples, rate = audio.read(tmp_path / f"a{suffix}")
    assert rate == 8000 and abs(len(samples) - 4000) <= 1 and np.abs(samples[:3999] - wave[:3999]).max() < 0.05


def test_truncated_files_are_named(tmp_path):
    for suffix in (".wav", ".flac", ".ogg"):
        path = tmp_path / f"a{suffix}"
        soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, 20000), 16000)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(AudioError, match=f"a{suffix}"):
            audio.read(path)


def test_bad_files_are_named(tmp_path):
    (tmp_path / "text.wav").write_text("not audio")
    (tmp_path / "empty.wav").write_bytes(b"")
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "inf.wav", np.array([0.0, np.inf]), 16000, subtype="FLOAT")
    for name, problem in [
        ("text", "cannot be read"),
        ("empty", "is empty"),
        ("none", "contains no samples"),
        ("nan", "NaN or infinite"),
        ("inf", "NaN or infinite"),
        ("absent", "no such file"),
    ]:
        with pytest.raises(AudioError, match=problem) as raised:
            audio.read(tmp_path / f"{name}.wav")
        assert f"{name}.wav" in str(raised.value)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    def is_stopped():
        with whole_file(tmp_path / "a") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        is_stopped()
    assert list(tmp_path.iterdir()) == []
    with whole_file(tmp_path / "a") as file:
        file.write(b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_interrupt_just_after_renaming_is_not_masked(tmp_path, monkeypatch):
    def renamed_then_interrupted(source, target):
        Path(source).rename(target)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", renamed_then_interrupted)
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "a") as file:
        file.write(b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_a_name_that_is_not_utf8_gets_a_clear_error(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    path.write_bytes(b"")
    for ask in (audio.read, audio.info):
        with pytest.raises(AudioError, match=r"caf\\xe9.wav': the file name is not valid UTF-8; rename the file"):
            ask(path)


def test_a_rate_that_would_exhaust_memory_is_refused():
    with pytest.raises(AudioError, match="44101 Hz"):
        audio.resample(np.zeros(1000, np.float32), 44101, 16000)
