"""Audio files whose headers are unusual or wrong, written byte by byte; and formats that only ffmpeg decodes."""

import shutil
import struct
import subprocess

import numpy as np
import pytest
import soundfile

from mtbench import audio
from test_audio_files import ffmpeg, flac, music, needs_ffmpeg, refused, wav

RATE = 44100
GUID = bytes.fromhex("000000001000800000aa00389b71")
W64 = {name: name.encode() + bytes.fromhex("f3acd3118cd100c04f8edb8a") for name in ("wave", "fmt ", "data", "junk")}
W64_RIFF = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")


def w64(samples, tag, bits, channels, rate=RATE, length=None, guid=GUID, after=b""):
    """Return a W64 file with the extensible format that ffmpeg writes for float samples and for many channels."""
    fmt = struct.pack("<HHIIHH", 0xFFFE, channels, rate, channels * rate * bits // 8, channels * bits // 8, bits)
    fmt += struct.pack("<HHIH", 22, bits, 0, tag) + guid
    length = len(samples) if length is None else length
    body = W64["wave"] + W64["fmt "] + struct.pack("<Q", 64) + fmt
    body += W64["data"] + struct.pack("<Q", 24 + length) + samples + after
    return W64_RIFF + struct.pack("<Q", 24 + len(body)) + body


@pytest.mark.parametrize("tag, dtype, scale", [(1, "<i2", 32768), (3, "<f4", 1), (3, "<f8", 1)])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_w64_of_ffmpeg_is_read_by_its_actual_encoding(tmp_path, tag, dtype, scale, channels):
    """libsndfile takes extensible W64 for PCM: float samples become loud noise."""
    wave = np.round(music(1, channels=channels) * 32768) / 32768
    data = (wave * scale).astype(dtype).tobytes()
    (tmp_path / "a.w64").write_bytes(w64(data, tag, 8 * np.dtype(dtype).itemsize, channels))
    samples, rate = audio.read(tmp_path / "a.w64")
    assert rate == RATE
    np.testing.assert_array_equal(samples, wave.mean(axis=1, dtype=np.float32))


@pytest.mark.parametrize("tag, subtype", [(6, "ALAW"), (7, "ULAW")])
def test_w64_with_logarithmic_samples(tmp_path, tag, subtype):
    soundfile.write(tmp_path / "a.au", music(1, channels=6), RATE, format="AU", subtype=subtype)
    expected = audio.read(tmp_path / "a.au")[0]
    (tmp_path / "a.w64").write_bytes(w64((tmp_path / "a.au").read_bytes()[24:], tag, 8, 6))
    np.testing.assert_array_equal(audio.read(tmp_path / "a.w64")[0], expected)


def test_w64_with_an_unknown_encoding_is_refused(tmp_path):
    (tmp_path / "a.w64").write_bytes(w64(bytes(1000), 1, 16, 1, guid=bytes(range(14))))
    refused(tmp_path / "a.w64", "its header states an unknown encoding")


@needs_ffmpeg
@pytest.mark.parametrize("codec", ["pcm_f32le", "pcm_f64le", "pcm_s16le", "pcm_s24le", "pcm_alaw", "pcm_mulaw"])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_w64_as_ffmpeg_writes_and_reads_it(tmp_path, codec, channels):
    soundfile.write(tmp_path / "a.wav", music(1, channels=channels), RATE, subtype="FLOAT")
    ffmpeg("-i", tmp_path / "a.wav", "-c:a", codec, tmp_path / "b.w64")
    ffmpeg("-i", tmp_path / "b.w64", "-f", "f32le", "-c:a", "pcm_f32le", tmp_path / "decoded")
    decoded = np.fromfile(tmp_path / "decoded", np.float32).reshape(-1, channels)
    np.testing.assert_array_equal(audio.read(tmp_path / "b.w64")[0], decoded.mean(axis=1, dtype=np.float32))


# Formats that only ffmpeg decodes

ENCODED = {
    "flac.ogg": ["-c:a", "flac", "-f", "ogg"],
    "speex.ogg": ["-ar", 32000, "-c:a", "libspeex", "-f", "ogg"],
    "webm.opus": ["-ar", 48000, "-c:a", "libopus", "-f", "webm"],
    "vorbis-in-matroska.ogg": ["-c:a", "libvorbis", "-f", "matroska"],
    "adts.m4a": ["-c:a", "aac", "-f", "adts"],
    "ac3.wav": ["-c:a", "ac3"],
    "adpcm-in-rf64.wav": ["-c:a", "adpcm_ms", "-rf64", "always"],
    "alac.caf": ["-c:a", "alac"],
}


def encoded(path, name, seconds=3):
    """Write a file with an encoding that libsndfile does not decode. Skips the test if ffmpeg has no such encoder."""
    soundfile.write(path / "a.wav", music(seconds, channels=2), RATE, subtype="PCM_16")
    options = ENCODED[name]
    encoders = ffmpeg("-encoders", capture_output=True, text=True).stdout
    if f" {options[options.index('-c:a') + 1]} " not in encoders:
        pytest.skip(f"this ffmpeg cannot write {name}")
    ffmpeg("-i", path / "a.wav", *options, path / name)
    return path / name


@needs_ffmpeg
@pytest.mark.parametrize("name", ENCODED)
def test_what_libsndfile_does_not_decode_is_decoded_by_ffmpeg(tmp_path, name):
    path = encoded(tmp_path, name)
    ffmpeg("-i", path, "-f", "f32le", "-c:a", "pcm_f32le", tmp_path / "decoded")
    decoded = np.fromfile(tmp_path / "decoded", np.float32).reshape(-1, 2).mean(axis=1, dtype=np.float32)
    samples, rate = audio.read(path)
    assert abs(len(samples) - 3 * rate) < 2500
    np.testing.assert_array_equal(samples, decoded)
    np.testing.assert_array_equal(audio.read(path, 1000, 500)[0], decoded[1000:1500])


@needs_ffmpeg
@pytest.mark.parametrize("name", list(ENCODED))
def test_truncated_files_for_ffmpeg_are_refused(tmp_path, name):
    path = encoded(tmp_path, name)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    refused(path, "truncated|cannot be read as audio")


@needs_ffmpeg
def test_without_ffmpeg_only_what_needs_it_is_said_to_need_it(tmp_path, monkeypatch):
    path = encoded(tmp_path, "flac.ogg")
    soundfile.write(tmp_path / "a.caf", music(1), RATE, subtype="PCM_16")
    data = bytearray((tmp_path / "a.caf").read_bytes())
    data[data.index(b"lpcm") + 4 + 12 + 3] = 7  # bits
    (tmp_path / "a.caf").write_bytes(data)
    monkeypatch.setattr(shutil, "which", lambda program: None)
    refused(path, "this format needs ffmpeg")
    refused(tmp_path / "a.caf", "cannot be read as audio")
    with pytest.raises(audio.AudioError) as raised:
        audio.read(tmp_path / "a.caf")
    assert "needs ffmpeg" not in str(raised.value)


@needs_ffmpeg
def test_compressed_samples_in_extensible_w64_are_not_taken_for_pcm(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", music(3, channels=2), RATE)
    ffmpeg("-i", tmp_path / "a.wav", "-c:a", "ac3", tmp_path / "a.ac3")
    ffmpeg("-i", tmp_path / "a.ac3", "-f", "f32le", "-c:a", "pcm_f32le", tmp_path / "decoded")
    (tmp_path / "b.w64").write_bytes(w64((tmp_path / "a.ac3").read_bytes(), 0x2000, 16, 2))
    decoded = np.fromfile(tmp_path / "decoded", np.float32).reshape(-1, 2).mean(axis=1, dtype=np.float32)
    np.testing.assert_array_equal(audio.read(tmp_path / "b.w64")[0], decoded)
    monkeypatch.setattr(shutil, "which", lambda program: None)
    refused(tmp_path / "b.w64", "this format needs ffmpeg")


@needs_ffmpeg
def test_mp3_in_w64(tmp_path):
    soundfile.write(tmp_path / "a.wav", music(3, channels=2), RATE)
    ffmpeg("-i", tmp_path / "a.wav", "-c:a", "libmp3lame", tmp_path / "b.w64")
    ffmpeg("-i", tmp_path / "a.wav", "-c:a", "libmp3lame", tmp_path / "b.wav")
    np.testing.assert_array_equal(audio.read(tmp_path / "b.w64")[0], audio.read(tmp_path / "b.wav")[0])


@needs_ffmpeg
def test_the_priming_frames_of_aac_in_caf_are_removed(tmp_path):
    """Without this, a CBS window of 50 ms contains 1,024 frames (23 ms) of delay."""
    click = np.zeros(3 * RATE)
    click[RATE] = 0.9
    soundfile.write(tmp_path / "a.wav", click, RATE)
    ffmpeg("-i", tmp_path / "a.wav", "-c:a", "aac", "-b:a", "256k", tmp_path / "a.m4a")
    for at_end in (False, True):
        (tmp_path / "a.caf").write_bytes(caf_of_m4a(tmp_path / "a.m4a", 3 * RATE, at_end))
        samples, _ = audio.read(tmp_path / "a.caf")
        assert len(samples) == 3 * RATE
        assert abs(int(np.abs(samples).argmax()) - RATE) <= 1
        np.testing.assert_array_equal(audio.read(tmp_path / "a.caf", 1000, 500)[0], samples[1000:1500])


def caf_of_m4a(path, frames, at_end):
    """Return the AAC of an MP4 file in a CAF file, as Apple's encoder writes it; ffmpeg cannot write such files."""
    if shutil.which("ffprobe") is None:
        pytest.skip("needs ffprobe")
    command = ["ffprobe", "-v", "error", "-show_entries", "packet=pos,size", "-of", "csv=p=0", path]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    packets = [(int(at), int(size)) for size, at in (line.strip(",").split(",") for line in listed)]
    data = path.read_bytes()
    at = data.index(b"esds")
    cookie = data[at + 8 : at - 4 + struct.unpack(">I", data[at - 4 : at])[0]]
    sizes = b"".join(bytes([size >> 7 | 128, size & 127]) for _, size in packets)
    counts = struct.pack(">qqii", len(packets), frames, 1024, len(packets) * 1024 - frames - 1024)
    encoded = bytes(4) + b"".join(data[at : at + size] for at, size in packets)
    desc = struct.pack(">d4s5I", RATE, b"aac ", 0, 0, 1024, 1, 0)
    chunks = [(b"desc", desc), (b"kuki", cookie), (b"pakt", counts + sizes), (b"data", encoded)]
    chunks = [*chunks[:2], *chunks[:1:-1]] if at_end else chunks
    return b"caff\0\1\0\0" + b"".join(name + struct.pack(">q", len(each)) + each for name, each in chunks)


@pytest.mark.parametrize(
    "container, subtype",
    [
        ("WAV", "GSM610"),
        ("W64", "GSM610"),
        ("AIFF", "GSM610"),
        ("WAV", "NMS_ADPCM_32"),
        ("AU", "G721_32"),
        ("XI", "DPCM_16"),
    ],
)
def test_formats_in_which_nothing_can_seek(tmp_path, container, subtype):
    path = tmp_path / "a.wav"
    soundfile.write(path, music(1, 8000), 8000, format=container, subtype=subtype)
    samples, _ = audio.read(path)
    assert 8000 <= len(samples) < 8400
    assert np.corrcoef(samples[4100:8000], music(1, 8000)[4100:, 0])[0, 1] > 0.9
    np.testing.assert_array_equal(audio.read(path, 5000, 500)[0], samples[5000:5500])


# Lengths that are stated but wrong


def riff(name, data, order="<"):
    return name + struct.pack(f"{order}I", len(data)) + data + bytes(len(data) % 2)


def aiff(data, length=None):
    common = struct.pack(">HIH", 1, len(data) // 2, 16) + bytes.fromhex("400eac44000000000000")
    length = len(data) if length is None else length
    common = common[:2] + struct.pack(">I", length // 2) + common[6:]
    body = b"AIFF" + riff(b"COMM", common, ">") + b"SSND" + struct.pack(">III", 8 + length, 0, 0) + data
    return b"FORM" + struct.pack(">I", len(body)) + body


def caf(data, length=None, rate=44100.0, channels=1, encoding=b"lpcm"):
    length = len(data) if length is None else length
    desc = struct.pack(">d4s5I", rate, encoding, 0, 2, 1, channels, 16)
    return b"caff\0\1\0\0desc" + struct.pack(">q", 32) + desc + b"data" + struct.pack(">qI", 4 + length, 0) + data


def au(data, length=None, rate=RATE):
    return b".snd" + struct.pack(">5I", 24, len(data) if length is None else length, 3, rate, 1) + data


def rf64(data, length=None):
    sizes = struct.pack("<QQQI", 100, len(data) if length is None else length, 0, 0)
    fmt = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    chunks = riff(b"ds64", sizes) + riff(b"fmt ", fmt) + b"data\xff\xff\xff\xff" + data
    return b"RF64\xff\xff\xff\xffWAVE" + chunks


def little_wav(data, length=None):
    return wav(data=data, length=length)


def little_w64(data, length=None, after=b""):
    return w64(data, 1, 16, 1, length=length)


WRITERS = {"wav": little_wav, "rf64": rf64, "aiff": aiff, "au": au, "caf": caf, "w64": little_w64}
BIG = ("aiff", "au", "caf")


def pcm(form, seconds=1.0):
    """Return (bytes of 16-bit samples, the samples as they are read)."""
    samples = np.random.default_rng(1).integers(-20000, 20000, int(seconds * RATE)).astype(np.int16)
    return samples.astype(">i2" if form in BIG else "<i2").tobytes(), (samples / 32768).astype(np.float32)


@pytest.mark.parametrize("form", WRITERS)
def test_a_length_that_is_right(tmp_path, form):
    data, expected = pcm(form)
    (tmp_path / "a.wav").write_bytes(WRITERS[form](data))
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav")[0], expected)


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_headers_that_state_too_little_are_refused(tmp_path, form, share):
    """A recorder that crashed leaves 0 or an early length; one beyond 4 GiB leaves the rest of a division by 2^32."""
    data, expected = pcm(form)
    length = int(share * RATE) * 2
    (tmp_path / "a.wav").write_bytes(WRITERS[form](data, length))
    if share == 0 and form == "w64":  # there, a length of 0 means that it is not known
        np.testing.assert_array_equal(audio.read(tmp_path / "a.wav")[0], expected)
        return
    edit_count = 4 * (form == "caf")
    states = f"its header states {length + edit_count} bytes of audio, the file has {2 * RATE + edit_count}"
    refused(tmp_path / "a.wav", states)


def test_aiff_chunks_that_contradict_each_other_are_refused(tmp_path):
    """libsndfile believes the chunk with the samples, and not the number of frames."""
    data, _ = pcm("aiff")
    content = bytearray(aiff(data))
    at = content.index(b"SSND") + 4
    content[at : at + 4] = struct.pack(">I", 8 + 200)
    (tmp_path / "a.aiff").write_bytes(content)
    refused(tmp_path / "a.aiff", "its header states 200 bytes of audio, the file has 88200")


@pytest.mark.parametrize("offset", [0, 16, 2**16, 2**31 - 1])
def test_the_offset_of_the_samples_in_aiff(tmp_path, offset):
    data, expected = pcm("aiff")
    content = bytearray(aiff(data))
    at = content.index(b"SSND") + 8
    content[at : at + 4] = struct.pack(">I", offset)
    (tmp_path / "a.aiff").write_bytes(content)
    if offset:
        refused(tmp_path / "a.aiff", f"truncated .*it has {max(len(data) - offset, 0)}")
    else:
        np.testing.assert_array_equal(audio.read(tmp_path / "a.aiff")[0], expected)


def chunk(form, name=b"LIST", size=100):
    if form == "w64":
        return W64["junk"] + struct.pack("<Q", 24 + size) + bytes(size)
    if form == "caf":
        return name + struct.pack(">q", size) + bytes(size)
    return riff(name, bytes(size), ">" if form in BIG else "<")


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("what", ["chunk", "chunks", "id3v1", "id3v2", "ape", "zeros", "few"])
def test_what_may_follow_the_audio(tmp_path, form, what):
    """libsndfile reads what follows the audio of a W64 file as audio."""
    data, expected = pcm(form)
    after = {
        "chunk": chunk(form),
        "chunks": chunk(form) + chunk(form, b"id3 "),
        "id3v1": b"TAG" + bytes(125),
        "id3v2": b"ID3\4" + bytes(100),
        "ape": b"APETAGEX" + bytes(100),
        "zeros": bytes(5000),
        "few": b"\x11" * 3,
    }[what]
    padding = bytes(-len(WRITERS[form](data)) % 8) if form == "w64" else b""
    (tmp_path / "a.wav").write_bytes(WRITERS[form](data) + padding + after)
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav")[0], expected)


@pytest.mark.parametrize("form", WRITERS)
def test_two_files_in_one_are_refused(tmp_path, form):
    data, _ = pcm(form, 0.1)
    (tmp_path / "a.wav").write_bytes(2 * WRITERS[form](data))
    refused(tmp_path / "a.wav", "contains another file after its end")


def test_an_rf64_file_of_length_minus_one_is_read_to_the_end(tmp_path, capfd):
    data, expected = pcm("rf64")
    (tmp_path / "a.wav").write_bytes(rf64(data, 2**64 - 1))
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav")[0], expected)
    assert capfd.readouterr().err == ""


# Messages

RATES = [0, 1, 2**31, 2**32 - 1]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("form", ["wav", "au", "w64", "caf"])
def test_an_absurd_rate_is_named(tmp_path, form, rate):
    data = bytes(1000)
    content = {
        "wav": lambda: wav(rate=rate),
        "au": lambda: au(data, rate=rate),
        "w64": lambda: w64(data, 1, 16, 1, rate=rate % 2**31) if rate < 2**31 else w64_rate(rate),
        "caf": lambda: caf(data, rate=float(rate)),
    }[form]()
    (tmp_path / "a.wav").write_bytes(content)
    refused(tmp_path / "a.wav", f"its header states a sample rate of {rate} Hz; only rates from 1000 to 768000 Hz")


def w64_rate(rate):
    content = bytearray(w64(bytes(1000), 1, 16, 1))
    content[68:72] = struct.pack("<I", rate)
    return bytes(content)


@pytest.mark.parametrize(
    "rate, words", [(float("nan"), "nan"), (float("inf"), "inf"), (-44100.0, "-44100"), (1e300, "1e")]
)
def test_a_rate_that_only_caf_can_state(tmp_path, rate, words):
    (tmp_path / "a.caf").write_bytes(caf(bytes(1000), rate=rate))
    refused(tmp_path / "a.caf", f"its header states a sample rate of {words}")


def test_absurd_channels_in_caf(tmp_path):
    for channels in (0, 65, 300, 2**32 - 1):
        (tmp_path / "a.caf").write_bytes(caf(bytes(6000), channels=channels))
        refused(tmp_path / "a.caf", f"its header states {channels} channels; files with 1 to 64 are read")


def test_flac_with_a_rate_of_zero(tmp_path):
    data = bytearray(flac(tmp_path / "a.flac", music(0.1)))
    data[18:20] = bytes(2)
    data[20] &= 0x0F
    (tmp_path / "a.flac").write_bytes(data)
    refused(tmp_path / "a.flac", "its header states a sample rate of 0 Hz")


def test_two_chunks_of_audio(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav() + riff(b"data", bytes(2000)))
    refused(tmp_path / "a.wav", "contains two chunks of audio")


def test_an_empty_file_and_a_dangling_link(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    refused(tmp_path / "a.wav", r"a\.wav: is empty")
    (tmp_path / "b.wav").symlink_to(tmp_path / "nowhere.wav")
    refused(tmp_path / "b.wav", r"b\.wav: a link to a file that does not exist")


@needs_ffmpeg
def test_messages_of_ffmpeg_are_the_first_and_the_same_each_time(tmp_path):
    soundfile.write(tmp_path / "a.wav", music(1), RATE)
    ffmpeg("-i", tmp_path / "a.wav", tmp_path / "a.m4a")
    data = (tmp_path / "a.m4a").read_bytes()
    (tmp_path / "a.m4a").write_bytes(data[: len(data) // 2])
    refused(tmp_path / "a.m4a", r"a\.m4a: cannot be read as audio \(ffmpeg: moov atom not found\)$")
    ffmpeg("-f", "lavfi", "-i", "color=size=16x16:duration=1", tmp_path / "b.mp4")
    refused(tmp_path / "b.mp4", r"b\.mp4: contains no audio stream$")


@needs_ffmpeg
def test_the_second_audio_stream_of_an_mp4_file(tmp_path):
    for number, name in enumerate(("a", "b")):
        soundfile.write(tmp_path / f"{name}.wav", (1 - number / 2) * music(1), RATE)
    both = ["-i", tmp_path / "a.wav", "-i", tmp_path / "b.wav", "-map", "0:a", "-map", "1:a"]
    ffmpeg(*both, "-c:a", "alac", tmp_path / "c.m4a")
    for stream, name in ((None, "a"), (0, "a"), (1, "b")):
        np.testing.assert_array_equal(
            audio.read(tmp_path / "c.m4a", stream=stream)[0], audio.read(tmp_path / f"{name}.wav")[0]
        )
    with pytest.raises(audio.AudioError, match=r"c\.m4a: contains no audio stream 2$"):
        audio.read(tmp_path / "c.m4a", stream=2)
