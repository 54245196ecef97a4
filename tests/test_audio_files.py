"""Audio files as they exist: written to pipes, with headers that are wrong, truncated, chained, or not files at all."""

import contextlib
import os
import shutil
import socket
import struct
import subprocess

import numpy as np
import pytest
import soundfile

import broken_files
from mtbench import audio
from mtbench.audio import AudioError, mpeg, quiet

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
RATE = 44100


def music(seconds=2.0, rate=RATE, channels=1):
    """Return float32 [n, channels]: silence, then a decaying tone and noise, so that a variable bit rate varies."""
    n = int(seconds * rate)
    t = np.arange(n) / rate
    wave = 0.4 * np.sin(2 * np.pi * 440 * t) + 0.1 * np.random.default_rng(0).standard_normal(n)
    wave[: n // 2] = 0
    return np.stack([wave / (c + 1) for c in range(channels)], axis=1).astype(np.float32)


def ffmpeg(*arguments, **options):
    return subprocess.run(["ffmpeg", "-y", "-v", "error", *map(str, arguments)], check=True, **options)


def refused(path, reason):
    with pytest.raises(AudioError, match=reason) as raised:
        audio.read(path)
    assert str(path) in str(raised.value)


# MP3


def mp3(path, mode, channels=2, rate=RATE):
    """Write an MP3, whose first frame is a Xing frame. Returns (its samples, its bytes, the length of that frame)."""
    soundfile.write(path, music(4, rate, channels), rate, bitrate_mode=mode, compression_level=0.5)
    data = path.read_bytes()
    frame = mpeg.parse(int.from_bytes(data[:4], "big"))
    assert data[4 + frame.side :][:4] in (b"Xing", b"Info")
    return audio.read(path)[0], data, frame.length


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("rate, channels", [(44100, 2), (48000, 1), (22050, 2), (8000, 1)])
def test_an_mp3_without_a_xing_frame_is_read_to_the_end(tmp_path, mode, rate, channels):
    expected, data, xing = mp3(tmp_path / "a.mp3", mode, channels, rate)
    (tmp_path / "b.mp3").write_bytes(data[xing:])
    samples, read_rate = audio.read(tmp_path / "b.mp3")
    frames = struct.unpack(">I", data[data.index(b"\0\0\0\x0f") + 4 :][:4])[0]  # as the Xing frame stated
    assert read_rate == rate and len(samples) == frames * (1152 if rate > 32000 else 576)
    # Without the Xing frame, nobody knows that the encoder's and the decoder's delay are to be removed.
    delay = struct.unpack(">I", b"\0" + data[data.index(b"LAME") + 21 :][:3])[0] >> 12
    start = delay + 529
    np.testing.assert_allclose(samples[start : start + len(expected)], expected, atol=1e-5)
    assert audio.info(tmp_path / "b.mp3") == (len(samples), rate)


def test_an_mp3_with_a_xing_frame_is_read_as_libsndfile_reads_it(tmp_path):
    samples, _, _ = mp3(tmp_path / "a.mp3", "VARIABLE")
    expected, _ = soundfile.read(tmp_path / "a.mp3", dtype="float32")
    np.testing.assert_array_equal(samples, expected.mean(axis=1, dtype=np.float32))
    assert len(samples) == 4 * RATE


def test_a_xing_frame_that_states_too_few_frames_is_not_believed(tmp_path):
    expected, data, _ = mp3(tmp_path / "a.mp3", "VARIABLE")
    at = data.index(b"\0\0\0\x0f") + 4
    (tmp_path / "b.mp3").write_bytes(data[:at] + struct.pack(">I", 10) + data[at + 4 :])
    np.testing.assert_allclose(audio.read(tmp_path / "b.mp3")[0], expected, atol=1e-6)


def test_an_mp3_with_fewer_frames_than_its_xing_frame_states_is_truncated(tmp_path):
    _, data, _ = mp3(tmp_path / "a.mp3", "CONSTANT")
    (tmp_path / "b.mp3").write_bytes(data[: len(data) // 2])
    refused(tmp_path / "b.mp3", r"truncated \(its header states 155 MP3 frames, it has 7\d\)")


def test_an_mp3_without_a_xing_frame_that_ends_within_a_frame_is_truncated(tmp_path):
    _, data, xing = mp3(tmp_path / "a.mp3", "CONSTANT")
    (tmp_path / "b.mp3").write_bytes(data[xing:-100])
    refused(tmp_path / "b.mp3", r"truncated \(its last MP3 frame is not complete\)")


def test_mp3_inside_wav(tmp_path):
    _, data, xing = mp3(tmp_path / "a.mp3", "VARIABLE")
    (tmp_path / "b.mp3").write_bytes(data[xing:])
    stream = data[xing:]
    fmt = struct.pack("<HHIIHHHHIHHH", 0x55, 2, RATE, 16000, 1, 0, 12, 1, 2, 1000, 1, 1393)
    chunks = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(stream)) + stream
    (tmp_path / "c.wav").write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)
    np.testing.assert_array_equal(audio.read(tmp_path / "c.wav")[0], audio.read(tmp_path / "b.mp3")[0])


@pytest.mark.parametrize("junk", [b"junk" * 700, b"\xff\xfb" + bytes(5000)])
def test_junk_around_an_mp3_is_skipped(tmp_path, junk):
    expected, data, _ = mp3(tmp_path / "a.mp3", "CONSTANT")
    (tmp_path / "b.mp3").write_bytes(junk + data + b"TAG" + bytes(125))
    np.testing.assert_allclose(audio.read(tmp_path / "b.mp3")[0], expected, atol=1e-6)


def test_the_attributes_of_macos_are_ignored(tmp_path):
    """libsndfile takes ._a.mp3 for the resource fork of a.mp3, and a.mp3 for a Sound Designer II file."""
    expected, data, _ = mp3(tmp_path / "a.mp3", "VARIABLE")
    assert not data.startswith(b"ID3")
    (tmp_path / "._a.mp3").write_bytes(bytes.fromhex("0005160700020000") + b"Mac OS X        " + bytes(4000))
    np.testing.assert_array_equal(audio.read(tmp_path / "a.mp3")[0], expected)


LYRICS3 = b"LYRICSBEGIN" + b"IND00002" * 200 + b"001611LYRICS200"
JUNK = {
    "zeros": bytes(1500),
    "text": b"Hello, world. " * 200,
    "random": np.random.default_rng(3).bytes(5000),
    "lyrics": LYRICS3,
    "much": bytes(3 << 20),
}


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("xing", [True, False])
def test_junk_after_an_mp3_is_left_out_and_nothing_is_printed(tmp_path, capfd, junk, xing):
    """libmpg123 gives up after about 1 KB of it, and writes so to the terminal."""
    _, data, length = mp3(tmp_path / "a.mp3", "VARIABLE")
    data = data if xing else data[length:]
    (tmp_path / "b.mp3").write_bytes(data)
    (tmp_path / "c.mp3").write_bytes(data + JUNK[junk])
    np.testing.assert_array_equal(audio.read(tmp_path / "c.mp3")[0], audio.read(tmp_path / "b.mp3")[0])
    assert audio.info(tmp_path / "c.mp3") == audio.info(tmp_path / "b.mp3")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("xing", [True, False])
def test_junk_between_the_frames_of_an_mp3_is_left_out(tmp_path, capfd, junk, xing):
    _, data, length = mp3(tmp_path / "a.mp3", "CONSTANT")
    data = data if xing else data[length:]
    at = len(data) // 2
    while (frame := mpeg.parse(int.from_bytes(data[at : at + 4], "big"))) is None or data[
        at + frame.length : at + frame.length + 2
    ] != data[:2]:
        at += 1
    (tmp_path / "b.mp3").write_bytes(data)
    (tmp_path / "c.mp3").write_bytes(data[:at] + JUNK[junk] + data[at:])
    np.testing.assert_array_equal(audio.read(tmp_path / "c.mp3")[0], audio.read(tmp_path / "b.mp3")[0])
    assert capfd.readouterr() == ("", "")


def test_a_damaged_mp3_prints_nothing_and_what_others_write_is_kept(tmp_path, capfd):
    _, data, _ = mp3(tmp_path / "a.mp3", "VARIABLE")
    random = np.random.default_rng(0)
    damaged = bytearray(data)
    for at in random.integers(2000, len(data), 200):
        damaged[at] ^= 1 << random.integers(8)
    (tmp_path / "b.mp3").write_bytes(damaged)
    with contextlib.suppress(AudioError):
        audio.read(tmp_path / "b.mp3")
    assert capfd.readouterr().err == ""
    with quiet.quiet():
        os.write(2, b"Note: Trying to resync...\nmine\n[src/libmpg123/parse.c:1()] error: x\n")
    assert capfd.readouterr().err == "mine\n"


def test_mp3s_one_after_another_are_all_read(tmp_path):
    _, data, length = mp3(tmp_path / "a.mp3", "VARIABLE")
    (tmp_path / "b.mp3").write_bytes(2 * data[length:])
    frames = struct.unpack(">I", data[data.index(b"\0\0\0\x0f") + 4 :][:4])[0]
    assert len(audio.read(tmp_path / "b.mp3")[0]) == 2 * 1152 * frames


@pytest.mark.parametrize("other, changes", [((44100, 1), "number of channels"), ((48000, 2), "sample rate")])
def test_mp3s_of_different_kinds_one_after_another_are_refused(tmp_path, other, changes):
    _, data, _ = mp3(tmp_path / "a.mp3", "CONSTANT")
    _, more, _ = mp3(tmp_path / "b.mp3", "CONSTANT", other[1], other[0])
    for between in (b"", b"ID3\4\0\0\0\0\0\x0a" + bytes(10), bytes(2 << 20)):
        (tmp_path / "c.mp3").write_bytes(data + between + more)
        refused(tmp_path / "c.mp3", f"its {changes} changes within the file")


@needs_ffmpeg
@pytest.mark.parametrize("options", [("-q:a", 4), ("-b:a", "128k")])
def test_mp3_of_ffmpeg_without_a_xing_frame(tmp_path, options):
    soundfile.write(tmp_path / "a.wav", music(20, channels=2), RATE)
    ffmpeg("-i", tmp_path / "a.wav", *options, "-write_xing", 0, tmp_path / "a.mp3")
    ffmpeg("-i", tmp_path / "a.wav", *options, "-c:a", "libmp3lame", tmp_path / "mp3.wav")
    for name in ("a.mp3", "mp3.wav"):
        ffmpeg("-i", tmp_path / name, "-f", "f32le", tmp_path / "decoded")
        samples = audio.read(tmp_path / name)[0]
        decoded = np.fromfile(tmp_path / "decoded", np.float32).reshape(-1, 2).mean(axis=1)
        assert len(samples) == 767 * 1152  # 20 s and the delays of encoder and decoder, in frames
        # ffmpeg, too, decodes all frames, but gives less of the first.
        assert 0 <= len(samples) - len(decoded) < 1152
        np.testing.assert_allclose(samples[len(samples) - len(decoded) :], decoded, atol=1e-4)


# Lengths that are not stated, or wrong


def flac_of_unknown_length(path, samples):
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # the 36 bits of the number of samples in STREAMINFO
    data[22:26] = bytes(4)
    path.write_bytes(data)


def test_flac_without_a_number_of_samples_is_read_to_the_end(tmp_path):
    flac_of_unknown_length(tmp_path / "a.flac", music(20))
    samples, rate = audio.read(tmp_path / "a.flac")
    np.testing.assert_array_equal(audio.to_pcm16(samples), audio.to_pcm16(np.rint(music(20)[:, 0] * 32768) / 32768))
    assert audio.info(tmp_path / "a.flac") == (20 * RATE, RATE) == (len(samples), rate)


FORMATS = [("wav", "WAV"), ("wav", "RF64"), ("w64", "W64"), ("aiff", "AIFF"), ("caf", "CAF"), ("au", "AU")]


@pytest.mark.parametrize("suffix, container", FORMATS)
@pytest.mark.parametrize("named", [None, ".wav"])
def test_truncated_files_are_refused_whatever_their_name(tmp_path, suffix, container, named):
    soundfile.write(tmp_path / f"a.{suffix}", music(1), RATE, format=container, subtype="PCM_16")
    data = (tmp_path / f"a.{suffix}").read_bytes()
    whole, cut = tmp_path / f"whole{named or '.' + suffix}", tmp_path / f"cut{named or '.' + suffix}"
    whole.write_bytes(data)
    assert len(audio.read(whole)[0]) == RATE
    for share in (0.3, 0.5, 0.999):
        cut.write_bytes(data[: int(len(data) * share)])
        refused(cut, "truncated")


def test_an_rf64_file_with_a_false_length_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", music(1), RATE, format="RF64", subtype="PCM_16")
    data = (tmp_path / "a.wav").read_bytes()
    at = data.index(b"ds64") + 16
    assert struct.unpack("<Q", data[at : at + 8]) == (2 * RATE,)
    (tmp_path / "a.wav").write_bytes(data[:at] + struct.pack("<Q", 10**12) + data[at + 8 :])
    refused(tmp_path / "a.wav", r"truncated \(its header states 1000000000000 bytes of audio, it has 88200\)")


@needs_ffmpeg
@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff", "w64", "caf", "ogg", "mp3"])
def test_files_written_to_a_pipe_are_read_to_the_end(tmp_path, suffix):
    soundfile.write(tmp_path / "a.wav", music(3), RATE, subtype="PCM_16")
    form = ["-f", suffix, *(["-c:a", "libvorbis"] if suffix == "ogg" else [])]
    written = ffmpeg("-i", tmp_path / "a.wav", *form, "-", stdout=subprocess.PIPE)
    (tmp_path / f"b.{suffix}").write_bytes(written.stdout)
    samples, _ = audio.read(tmp_path / f"b.{suffix}")
    if suffix in ("ogg", "mp3"):
        assert 3 * RATE <= len(samples) <= 3 * RATE + 2500
    else:
        np.testing.assert_array_equal(samples, audio.read(tmp_path / "a.wav")[0])


def test_a_caf_file_of_unknown_length(tmp_path):
    soundfile.write(tmp_path / "a.caf", music(1), RATE, subtype="PCM_16")
    expected, data = audio.read(tmp_path / "a.caf")[0], (tmp_path / "a.caf").read_bytes()
    at = data.index(b"data") + 4
    (tmp_path / "a.caf").write_bytes(data[:at] + struct.pack(">q", -1) + data[at + 8 :])
    np.testing.assert_array_equal(audio.read(tmp_path / "a.caf")[0], expected)


def wav(channels=1, rate=RATE, length=None, data=bytes(2000)):
    fmt = struct.pack("<HHIIHH", 1, channels, rate, 2 * channels * rate & 0xFFFFFFFF, 2 * channels & 0xFFFF, 16)
    length = len(data) if length is None else length
    return (
        b"RIFF"
        + struct.pack("<I", 36 + len(data))
        + b"WAVEfmt \x10\0\0\0"
        + fmt
        + struct.pack("<4sI", b"data", length)
        + data
    )


@pytest.mark.parametrize(
    "header, reason",
    [
        ({"rate": 1}, "its header states a sample rate of 1 Hz; only rates from 1000 to 768000 Hz are read"),
        ({"rate": 999}, "sample rate of 999 Hz"),
        ({"rate": 768001}, "sample rate of 768001 Hz"),
        ({"rate": 2**31 - 1}, "sample rate of 2147483647 Hz"),
        ({"rate": 2**31}, "a.wav"),  # libsndfile refuses it itself
        ({"channels": 65}, "its header states 65 channels; files with 1 to 64 are read"),
        ({"channels": 300}, "300 channels"),
        ({"channels": 0}, "a.wav"),
        ({"channels": 65535}, "a.wav"),
        ({"length": 2**32 - 2}, r"truncated \(its header states 4294967294 bytes of audio, it has 2000\)"),
    ],
)
def test_absurd_headers_are_refused_at_once(tmp_path, header, reason):
    (tmp_path / "a.wav").write_bytes(wav(**header))
    refused(tmp_path / "a.wav", reason)


@pytest.mark.parametrize("header", [{"rate": 1000}, {"rate": 768000}, {"channels": 64}])
def test_headers_at_the_limits_are_read(tmp_path, header):
    (tmp_path / "a.wav").write_bytes(wav(**header, data=struct.pack("<h", 16384) * 6400))
    samples, rate = audio.read(tmp_path / "a.wav")
    assert rate == header.get("rate", RATE) and samples.tolist() == [0.5] * (6400 // header.get("channels", 1))


def test_a_flac_header_with_an_absurd_length_takes_no_memory(tmp_path):
    soundfile.write(tmp_path / "a.flac", music(1), RATE)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[21] |= 0x0F
    data[22:26] = b"\xff" * 4
    (tmp_path / "a.flac").write_bytes(data)
    refused(tmp_path / "a.flac", r"truncated \(its header states 68719476735 frames, it has 44100\)")


# Chained Ogg


@pytest.mark.parametrize("subtype, count", [("VORBIS", 2), ("OPUS", 3)])
def test_chained_ogg_streams_are_all_read(tmp_path, subtype, count):
    rate = 48000 if subtype == "OPUS" else RATE
    soundfile.write(tmp_path / "a.ogg", music(1, rate), rate, format="OGG", subtype=subtype)
    one = audio.read(tmp_path / "a.ogg")[0]
    (tmp_path / "b.ogg").write_bytes(count * (tmp_path / "a.ogg").read_bytes())
    samples, _ = audio.read(tmp_path / "b.ogg")
    assert len(one) == rate
    np.testing.assert_array_equal(samples, np.tile(one, count))
    np.testing.assert_array_equal(audio.read(tmp_path / "b.ogg", rate + 5, 10)[0], one[5:15])
    assert audio.info(tmp_path / "b.ogg") == (count * rate, rate)


def test_chained_ogg_streams_that_differ_are_refused(tmp_path):
    for name, rate in (("a", 44100), ("b", 22050)):
        soundfile.write(tmp_path / f"{name}.ogg", music(1, rate), rate)
    a, b = (tmp_path / "a.ogg").read_bytes(), (tmp_path / "b.ogg").read_bytes()
    (tmp_path / "c.ogg").write_bytes(a + b)
    refused(tmp_path / "c.ogg", "its 2 Ogg streams differ in sample rate or number of channels")
    (tmp_path / "c.ogg").write_bytes(a[:-2000] + a)
    refused(tmp_path / "c.ogg", "truncated")


# FLAC


def flac(path, samples, rate=RATE):
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return path.read_bytes()


@pytest.mark.parametrize("between", [b"", b"TAG" + bytes(125), b"junk" * 500])
def test_flac_streams_one_after_another_are_all_read(tmp_path, between):
    a, b = flac(tmp_path / "a.flac", music(4)), flac(tmp_path / "b.flac", music(3)[::-1])
    expected = np.concatenate([audio.read(tmp_path / "a.flac")[0], audio.read(tmp_path / "b.flac")[0]])
    (tmp_path / "c.flac").write_bytes(a + between + b + between)
    np.testing.assert_array_equal(audio.read(tmp_path / "c.flac")[0], expected)
    np.testing.assert_array_equal(audio.read(tmp_path / "c.flac", 4 * RATE - 5, 10)[0], expected[4 * RATE - 5 :][:10])
    assert audio.info(tmp_path / "c.flac") == (7 * RATE, RATE)


def test_flac_streams_that_differ_are_refused(tmp_path):
    a, b = flac(tmp_path / "a.flac", music(1)), flac(tmp_path / "b.flac", music(1, 48000), 48000)
    (tmp_path / "c.flac").write_bytes(a + b)
    refused(tmp_path / "c.flac", "its 2 FLAC streams differ in sample rate or number of channels")


def with_total(data, total):
    changed = bytearray(data)
    changed[21] = changed[21] & 0xF0 | total >> 32
    changed[22:26] = struct.pack(">I", total & 0xFFFFFFFF)
    return bytes(changed)


@pytest.mark.parametrize("total", [1, RATE - 1, RATE])
def test_flac_that_states_too_few_frames_is_refused(tmp_path, total):
    (tmp_path / "a.flac").write_bytes(with_total(flac(tmp_path / "a.flac", music(2)), total))
    refused(tmp_path / "a.flac", f"its header states {total} frames, it has more")


@pytest.mark.parametrize("junk", [b"TAG" + bytes(125), bytes(1000), b"text" * 100, b"APETAGEX" + bytes(50)])
def test_junk_after_flac_is_not_audio(tmp_path, junk):
    data = flac(tmp_path / "a.flac", music(2))
    expected = audio.read(tmp_path / "a.flac")[0]
    (tmp_path / "b.flac").write_bytes(data + junk)
    np.testing.assert_array_equal(audio.read(tmp_path / "b.flac")[0], expected)


def test_flac_of_unknown_length_with_an_id3v1_tag(tmp_path):
    data = flac(tmp_path / "a.flac", music(2))
    expected = audio.read(tmp_path / "a.flac")[0]
    (tmp_path / "b.flac").write_bytes(with_total(data, 0) + b"TAG" + bytes(125))
    np.testing.assert_array_equal(audio.read(tmp_path / "b.flac")[0], expected)


def test_truncated_flac_is_called_truncated(tmp_path):
    data = flac(tmp_path / "a.flac", music(4))
    for total in (4 * RATE, 0):
        (tmp_path / "b.flac").write_bytes(with_total(data, total)[: len(data) // 2])
        refused(tmp_path / "b.flac", "truncated")


@pytest.mark.parametrize("start", [0, 1, 4095, 4096, 100_000, 4 * RATE - 1])
def test_a_part_of_a_flac_file(tmp_path, start):
    flac(tmp_path / "a.flac", music(4))
    np.testing.assert_array_equal(
        audio.read(tmp_path / "a.flac", start, 1)[0], audio.read(tmp_path / "a.flac")[0][start : start + 1]
    )


# Not files


def test_anything_but_a_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "device.wav").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.wav"))
        for name, kind in [("pipe", "pipe"), ("folder", "folder"), ("device", "device"), ("s", "socket")]:
            refused(tmp_path / f"{name}.wav", f"cannot be read as audio \\(it is a {kind}, not a file\\)")
            with pytest.raises(AudioError, match=kind):
                audio.info(tmp_path / f"{name}.wav")


def test_names_that_no_file_can_have(tmp_path):
    refused(tmp_path / ("a" * 300 + ".wav"), "File name too long")
    with pytest.raises(AudioError, match="null"):
        audio.read("a\0.wav")


# Blocks


@pytest.mark.parametrize("suffix, subtype", [("wav", "FLOAT"), ("flac", "PCM_24"), ("ogg", "VORBIS"), ("mp3", None)])
def test_blocks_join_to_the_file_as_a_whole(tmp_path, suffix, subtype):
    """A minute of stereo is 21 blocks. MP3 depends on it that nothing seeks between them."""
    with soundfile.SoundFile(tmp_path / f"a.{suffix}", "w", RATE, 2, subtype) as file:
        for second in np.split(music(60, channels=2), 60):  # libsndfile crashes when it writes much Vorbis at once
            file.write(second)
    expected, _ = soundfile.read(tmp_path / f"a.{suffix}", dtype="float32")
    with audio.open_audio(tmp_path / f"a.{suffix}") as file:
        blocks = list(file.blocks())
    assert len(blocks) == 21
    np.testing.assert_array_equal(np.concatenate(blocks), expected)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 32000, 44100, 48000, 96000])
def test_resampling_in_blocks_is_resampling(monkeypatch, rate):
    x = np.random.default_rng(0).standard_normal(3 * rate + 7).astype(np.float32)
    expected = audio.resample(x, rate, 16000)
    monkeypatch.setattr(audio.resampling, "AT_ONCE", 9000)
    blocks = list(audio.resampling.resampled(np.array_split(x, 11), rate, 16000))
    assert len(blocks) > 1
    np.testing.assert_array_equal(np.concatenate(blocks), expected)


def test_joining_arrays():
    arrays = [np.arange(n, dtype=np.int16) for n in (5, 0, 3, 1000)]
    np.testing.assert_array_equal(audio.joined(iter(arrays)), np.concatenate(arrays))
    assert audio.joined([arrays[0]]) is arrays[0]


def test_a_rate_that_cannot_be_resampled_is_reported_with_the_file(tmp_path):
    soundfile.write(tmp_path / "a.wav", music(0.1, 44101), 44101)
    with pytest.raises(AudioError, match=r"a\.wav: 44101 Hz cannot be resampled to 16000 Hz exactly"):
        audio.read_canonical(tmp_path / "a.wav", 16000)


def test_broken_files_give_an_error_that_names_them_or_samples(tmp_path):
    """Every 13th file of the corpus, each in a process of its own; the complete one is in benchmarks/results."""
    outcomes = [
        (path.name, broken_files.read_apart(path, expected))
        for _, _, path, expected in broken_files.corpus(tmp_path, 13)
    ]
    assert len(outcomes) > 100
    assert [(name, outcome) for name, outcome in outcomes if outcome.kind not in ("error", "equal", "different")] == []
    assert max(outcome.memory for _, outcome in outcomes) < 100  # MB
