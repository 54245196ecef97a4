"""The input of the networks, compared with ffmpeg and with the samples that madmom itself reads from files."""

import shutil

import numpy as np
import pytest
import soundfile

import beats_peers
from goldens import METRICS_DATA
from mtbench import beats
from mtbench.beats import compiled, resampling

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg for comparison")
BOTH_FORMS = pytest.mark.parametrize("available", [True, False])


def noise(n, seed=0, channels=None):
    """Return int16 samples, loud enough to saturate occasionally."""
    shape = n if channels is None else (n, channels)
    return np.random.default_rng(seed).normal(0, 12000, shape).clip(-32768, 32767).astype(np.int16)


@BOTH_FORMS
def test_signal_of_the_golden_stem(monkeypatch, available):
    monkeypatch.setattr(compiled, "AVAILABLE", available and compiled.AVAILABLE)
    golden = dict(np.load(METRICS_DATA / "stages.npz"))
    clip, stem = str(golden["clip"]).split("/")
    samples, rate = soundfile.read(METRICS_DATA / "audio" / stem / f"{clip}.flac", dtype="int16")
    signal = resampling.to_44100(samples, rate)
    assert signal.shape == (451584,)  # 10.24 s
    np.testing.assert_array_equal(signal[::11], golden["signal_44100__flat11"])


@needs_ffmpeg
@BOTH_FORMS
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 32000, 48000, 88200, 96000])
def test_16_bit_samples_match_ffmpeg(monkeypatch, available, rate):
    monkeypatch.setattr(compiled, "AVAILABLE", available and compiled.AVAILABLE)
    for length in (100003, 1237, 300, 301, 302, 303):
        samples = noise(length)
        np.testing.assert_array_equal(resampling.to_44100(samples, rate), beats_peers.ffmpeg_44100(samples, rate))


@needs_ffmpeg
@pytest.mark.parametrize("rate", [11111, 44056])
def test_samples_at_unusual_rates_match_ffmpeg_within_a_step(rate):
    samples = noise(20000)
    made, expected = resampling.to_44100(samples, rate).astype(int), beats_peers.ffmpeg_44100(samples, rate)
    assert np.abs(made - expected).max() <= 1 and (made != expected).mean() < 1e-3


def test_across_chunk_boundaries(monkeypatch):
    samples = noise(5000)
    expected = resampling.resample_as_ffmpeg(samples, 16000)
    monkeypatch.setattr(resampling, "AT_ONCE", 1000)
    np.testing.assert_array_equal(resampling.resample_as_ffmpeg(samples, 16000), expected)


def test_a_constant_stays_constant():
    """Phase 0 is normalised; the other phases are within a few steps of 1."""
    made = resampling.to_44100(np.full(3000, 10000, np.int16), 16000)
    assert made[0] == 10000 and np.abs(made.astype(int) - 10000).max() <= 10


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 32000, 44056, 48000, 96000])
def test_a_sine_stays_a_sine(rate):
    sine = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate // 2) / rate)
    resampled = resampling.to_44100(sine.astype(np.float32), rate)
    assert resampled.dtype == np.int16 and abs(len(resampled) - 22050) <= 1
    expected = 16384 * np.sin(2 * np.pi * 440 * np.arange(len(resampled)) / 44100)
    np.testing.assert_allclose(resampled[500:-500], expected[500:-500], atol=0.001 * 16384)


def test_resampling_saturates_and_leaves_44100_alone():
    assert resampling.to_44100(np.full(1000, 1.5, np.float32), 22050).max() == 32767
    signal = np.array([0.1, -0.2], np.float32)
    assert resampling.to_44100(signal, 44100) is signal


@pytest.mark.parametrize("n", [1, 2, 5, 40])
@pytest.mark.parametrize("rate", [8000, 16000, 96000])
def test_a_few_samples_are_enough(n, rate):
    assert 1 <= len(resampling.to_44100(np.ones(n, np.int16), rate)) <= 1 + n * 44100 // rate


@pytest.mark.parametrize("pair, cut, upward", [((3, 4), 3, 4), ((-3, -4), -3, -3), ((32767, 32767), 32767, 32767)])
def test_two_channels_by_hand(pair, cut, upward):
    """madmom's average truncates towards zero; ffmpeg's rounds halves up."""
    samples = np.array([pair] * 3, np.int16)
    assert resampling.to_44100(samples, 44100).tolist() == [cut] * 3
    assert resampling.mix_16_bit(samples).tolist() == [upward] * 3


FILES = [
    ("wav", "PCM_16", 16000, 1),
    ("wav", "PCM_16", 44100, 1),
    ("wav", "PCM_16", 44100, 2),
    ("wav", "PCM_16", 48000, 2),
    ("wav", "FLOAT", 44100, 1),
    ("wav", "FLOAT", 44100, 2),
    ("wav", "PCM_U8", 22050, 1),
    ("flac", "PCM_16", 44100, 1),
    ("flac", "PCM_16", 44100, 2),
    ("flac", "PCM_16", 16000, 2),
    ("flac", "PCM_24", 44100, 1),
    ("aiff", "PCM_16", 32000, 1),
]


@needs_ffmpeg
@pytest.mark.filterwarnings("ignore:Chunk")  # SciPy warns about WAV files that contain floats
@pytest.mark.parametrize("suffix, subtype, rate, channels", FILES)
def test_files_are_read_as_madmom_reads_them(tmp_path, suffix, subtype, rate, channels):
    soundfile.write(tmp_path / f"a.{suffix}", noise(30000, channels=channels) / 32768, rate, subtype=subtype)
    expected = beats_peers.samples_of_file(tmp_path / f"a.{suffix}")
    made = beats.read_44100(tmp_path / f"a.{suffix}")
    assert made.dtype == expected.dtype
    if made.dtype == np.float32 and channels == 2:  # madmom averages in float32
        np.testing.assert_allclose(made, expected, atol=1e-7)
    else:
        np.testing.assert_array_equal(made, expected)


@needs_ffmpeg
@pytest.mark.filterwarnings("ignore:Chunk")
@pytest.mark.parametrize(
    "suffix, subtype, rate, channels",
    [("wav", "FLOAT", 16000, 1), ("wav", "FLOAT", 48000, 2), ("wav", "PCM_24", 48000, 1), ("flac", "PCM_24", 22050, 1)],
)
def test_files_of_more_than_16_bits_are_read_within_a_step(tmp_path, suffix, subtype, rate, channels):
    """ffmpeg filters them in float32, in an order that depends on the processor's vector width."""
    soundfile.write(tmp_path / f"a.{suffix}", noise(30000, channels=channels) / 40000, rate, subtype=subtype)
    expected = beats_peers.samples_of_file(tmp_path / f"a.{suffix}").astype(int)
    made = beats.read_44100(tmp_path / f"a.{suffix}")
    assert made.dtype == np.int16
    assert np.abs(made - expected).max() <= 1 and (made != expected).mean() < 2e-3


def test_wav_at_44100_with_24_bits_keeps_them(tmp_path):
    """madmom reads such a file as 32-bit integers and divides by 2^31 - 1; the result agrees within 1e-9."""
    soundfile.write(tmp_path / "a.wav", np.array([0.5, -0.25 + 2.0**-23]), 44100, subtype="PCM_24")
    assert beats.read_44100(tmp_path / "a.wav").tolist() == [0.5, -0.25 + 2.0**-23]


@pytest.mark.parametrize("dtype", [">i2", ">f4", "<f8"])
def test_arrays_of_any_byte_order_are_the_same_samples(dtype):
    samples = noise(5000) if dtype == ">i2" else noise(5000) / np.float32(40000)
    native = samples.astype(np.dtype(dtype).newbyteorder("="))
    expected = resampling.to_44100(native, 16000)
    np.testing.assert_array_equal(resampling.to_44100(samples.astype(dtype), 16000), expected)


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), 0, -16000, 16000.5, None])
def test_a_sample_rate_that_is_not_one_is_named(rate):
    with pytest.raises(ValueError, match="sample_rate"):
        beats.track(noise(16000), sample_rate=rate)


@pytest.mark.parametrize("channels, dtype", [(1, np.int16), (2, np.int16), (3, np.float32)])
@pytest.mark.parametrize("rate", [8000, 16000, 44056, 44100, 96000])
def test_blocks_are_converted_like_the_whole(monkeypatch, channels, dtype, rate):
    samples = noise(20011, channels=channels)
    samples = samples if dtype == np.int16 else (samples / 40000).astype(dtype)
    expected = resampling.to_44100(samples, rate)  # of all samples in one block
    monkeypatch.setattr(resampling, "AT_ONCE", 1000)
    blocks = list(resampling.blocks_to_44100(np.array_split(samples, 7), rate))
    assert len(blocks) > 5
    np.testing.assert_array_equal(np.concatenate(blocks), expected)
