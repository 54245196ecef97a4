"""Stems as they exist: formats, names, and what is reported about them."""

import shutil
import subprocess
import unicodedata
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from conftest import STEMS, clicks
from mtbench import analysis, audio, config, registry, runner
from mtbench.audio import AudioError
from mtbench.beats import read_44100, track
from mtbench.cache import Cache
from mtbench.errors import MtbenchError
from mtbench.results.store import ModelFolder
from mtbench.runner.record import Report
from mtbench.stems import StemSet
from mtbench.suites.folder import stem_folder
from test_runner import ONE_SETTING, no_progress

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
BPM = (90, 100, 110, 120)


def write_stems(folder, name="a", write=soundfile.write, seconds=6.0, rate=44100, suffix=".wav"):
    """Write a clip whose stems differ. Returns the folder."""
    for stem, bpm in zip(STEMS, BPM):
        (folder / stem).mkdir(parents=True, exist_ok=True)
        write(folder / stem / f"{name}{suffix}", clicks(bpm, seconds, rate=rate), rate)
    return folder


def evaluate(folder, reference=None):
    return runner.evaluate([folder], reference, config.Grid(**ONE_SETTING), ["log-mel-stats"], None, no_progress)


def converted(path, wave, rate):
    soundfile.write(path.with_suffix(".wav"), wave, rate)
    subprocess.run(["ffmpeg", "-v", "error", "-i", path.with_suffix(".wav"), path], check=True)
    path.with_suffix(".wav").unlink()


def opus(path, wave, rate):
    soundfile.write(path, wave[:: rate // 24000] if rate != 24000 else wave, 24000, format="OGG", subtype="OPUS")


WRITERS = {
    ".aiff": soundfile.write,
    ".aif": lambda path, wave, rate: soundfile.write(path, wave, rate, format="AIFF"),
    ".w64": soundfile.write,
    ".caf": soundfile.write,
    ".opus": opus,
    ".m4a": pytest.param(converted, marks=needs_ffmpeg),
}


@pytest.mark.parametrize(
    "suffix, write",
    [
        pytest.param(suffix, write, id=suffix)
        if callable(write)
        else pytest.param(suffix, *write.values, marks=write.marks, id=suffix)
        for suffix, write in WRITERS.items()
    ],
)
def test_every_format_works_as_stems_as_reference_and_for_beats(tmp_path, suffix, write):
    rate = 48000
    wav = write_stems(tmp_path / "wav", rate=rate)
    folder = write_stems(tmp_path / "mine", write=write, rate=rate, suffix=suffix)
    beats = track(folder / "drums" / f"a{suffix}")
    expected = track(wav / "drums" / "a.wav")
    assert len(beats) == len(expected) and np.abs(beats - expected).max() <= 0.02
    result = evaluate(folder, f"folder:{folder}")
    assert set(result.scores["model"]) >= {"mine"} and result.failures.empty
    fad = result.scores[(result.scores["metric"] == "fad") & (result.scores["model"] == "mine")]
    assert (fad["value"].dropna().abs() < 1e-6).all()


@needs_ffmpeg
def test_m4a_is_decoded_as_ffmpeg_decodes_it(tmp_path):
    wave = np.stack([clicks(120, 3.0, rate=44100), clicks(90, 3.0, rate=44100)], axis=1)
    converted(tmp_path / "a.m4a", wave, 44100)
    command = ["ffmpeg", "-v", "error", "-i", tmp_path / "a.m4a", "-f", "f32le", "-"]
    expected = np.frombuffer(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout, np.float32)
    samples, rate = audio.read(tmp_path / "a.m4a")
    assert rate == 44100
    np.testing.assert_array_equal(samples, expected.reshape(-1, 2).mean(axis=1, dtype=np.float32))
    np.testing.assert_array_equal(audio.read(tmp_path / "a.m4a", 1000, 500)[0], samples[1000:1500])
    assert audio.info(tmp_path / "a.m4a") == (len(samples), 44100)
    assert read_44100(tmp_path / "a.m4a").dtype == np.int16


@needs_ffmpeg
@pytest.mark.parametrize("faststart", [False, True])
def test_a_truncated_m4a_is_refused(tmp_path, faststart):
    soundfile.write(tmp_path / "a.wav", clicks(120, 10.0, rate=44100), 44100)
    flags = ["-movflags", "+faststart"] if faststart else []
    subprocess.run(["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", *flags, tmp_path / "a.m4a"], check=True)
    data = (tmp_path / "a.m4a").read_bytes()
    (tmp_path / "a.m4a").write_bytes(data[: len(data) // 2])
    with pytest.raises(AudioError, match=r"a\.m4a: (cannot be read as audio|truncated)"):
        audio.read(tmp_path / "a.m4a")


def m4a(path, wave=None, rate=None):
    path.write_bytes(b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom\0\0\0\0" + bytes(100))


def test_without_ffmpeg_m4a_is_named_and_counted_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: None)
    folder = write_stems(write_stems(tmp_path / "mine", "b"), "a")
    (folder / "bass" / "a.wav").unlink()
    m4a(folder / "bass" / "a.m4a")
    result = evaluate(folder)
    assert result.failures["sample"].tolist() == ["a"]
    assert (
        f"{folder}/bass/a.m4a: this format needs ffmpeg, which was not found on the PATH; install it"
        in (result.failures["reason"][0])
    )
    with pytest.raises(MtbenchError, match=r"reference.*a\.m4a: this format needs ffmpeg"):
        evaluate(folder, f"folder:{folder}")


def test_names_composed_and_decomposed_are_one_clip(tmp_path):
    for form, stem in zip(("NFC", "NFD", "NFC", "NFD"), STEMS):
        (tmp_path / stem).mkdir()
        soundfile.write(tmp_path / stem / f"{unicodedata.normalize(form, 'Café')}.wav", np.zeros(10), 16000)
    folder = stem_folder(tmp_path)
    assert list(folder.clips) == [unicodedata.normalize("NFC", "Café")] and not folder.incomplete
    assert all(path.is_file() for path in folder.clips["Café"].values())


def test_attributes_of_macos_are_not_clips(tmp_path):
    folder = write_stems(tmp_path)
    (folder / "bass" / "._a.wav").write_bytes(b"\0\5\x16\7")
    assert list(stem_folder(folder).clips) == ["a"]


def notices(folder):
    """Return the notices of an evaluation, except those on the layout of the folder and on how the tracker runs."""
    result = evaluate(folder)
    return [notice for notice in result.notices if "Numba" not in notice and "(one folder per stem)" not in notice]


def test_good_stems_need_no_notice(tmp_path):
    assert notices(write_stems(tmp_path / "mine")) == []


def test_samples_beyond_full_scale_are_reported_with_their_share(tmp_path):
    folder = write_stems(tmp_path / "mine", rate=16000)
    loud = np.tile(np.float32([0.5, 1000, -1000, 1.0]), 16000)  # at the rate of scoring, so that the share is exact
    soundfile.write(folder / "bass" / "a.wav", loud, 16000, subtype="FLOAT")
    form = audio.read_canonical(folder / "bass" / "a.wav", 16000)
    assert form.saturated == 0.5 and form.samples[:4].tolist() == [16384, 32767, -32768, 32767]
    assert notices(folder)[0] == (
        "mine: 1 stem has samples beyond full scale (1.0), which are saturated (a, bass: 50%)"
    )


def test_channels_that_cancel_are_reported(tmp_path):
    folder = write_stems(tmp_path / "mine")
    wave = clicks(90, 6.0, rate=44100)
    soundfile.write(folder / "bass" / "a.wav", np.stack([wave, -wave], axis=1), 44100, subtype="FLOAT")
    assert audio.read_canonical(folder / "bass" / "a.wav", 16000).cancelled
    assert notices(folder) == [
        "mine: 1 stem is silent because the channels of the file cancel: left is the negative of right (a, bass)"
    ]


def test_silence_does_not_cancel(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((1000, 2)), 16000)
    assert not audio.read_canonical(tmp_path / "a.wav", 16000).cancelled


def test_stems_that_are_copies_and_of_different_lengths_are_reported(tmp_path):
    folder = write_stems(write_stems(tmp_path / "mine"), "b")
    shutil.copy(folder / "bass" / "b.wav", folder / "piano" / "b.wav")
    for stem in ("drums", "guitar"):  # silent stems are equal, too, but that is no mistake
        soundfile.write(folder / stem / "a.wav", np.zeros(5 * 44100), 44100)
    assert notices(folder) == [
        "mine: 1 clip has stems that are exact copies of each other (b, bass = piano)",
        "mine: 1 clip has stems of different lengths (a, 5.00 to 6.00 s)",
    ]


def test_stems_at_different_sample_rates_have_the_same_length(tmp_path):
    folder = write_stems(tmp_path / "mine")
    soundfile.write(folder / "bass" / "a.wav", clicks(90, 6.0, rate=22050), 22050)
    assert notices(folder) == []


def test_lengths_that_only_an_encoder_changed_need_no_notice(tmp_path):
    folder = write_stems(tmp_path / "mine")
    soundfile.write(folder / "bass" / "a.wav", clicks(90, 6.05, rate=44100), 44100)
    assert notices(folder) == []
    soundfile.write(folder / "bass" / "a.wav", clicks(90, 6.2, rate=44100), 44100)
    assert notices(folder) == ["mine: 1 clip has stems of different lengths (a, 6.00 to 6.20 s)"]


def bad_stems(folder):
    """Write a clip with a stem of 16-bit values in a float file, one whose channels cancel, and two that are equal."""
    write_stems(folder)
    wave = clicks(90, 6.0, rate=44100)
    soundfile.write(folder / "bass" / "a.wav", 32768 * wave, 44100, subtype="FLOAT")
    soundfile.write(folder / "drums" / "a.wav", np.stack([wave, -wave], axis=1), 44100)
    shutil.copy(folder / "guitar" / "a.wav", folder / "piano" / "a.wav")
    return folder


def test_the_stems_of_a_reference_are_reported_like_those_that_are_scored(tmp_path):
    reference = f"folder:{bad_stems(tmp_path / 'reference')}"
    texts = "\n".join(evaluate(write_stems(tmp_path / "mine"), reference).notices)
    title = f"reference of {reference}"
    assert f"{title}: 1 stem has samples beyond full scale (1.0), which are saturated (a, bass: " in texts
    assert f"{title}: 1 stem is silent because the channels of the file cancel" in texts and "(a, drums)" in texts
    assert f"{title}: 1 clip has stems that are exact copies of each other (a, guitar = piano)" in texts


def test_reading_a_reference_from_its_files_changes_no_embedding(tmp_path):
    write_stems(tmp_path / "reference", seconds=11.0)
    write_stems(tmp_path / "reference", "b", seconds=4.0, rate=22050)
    suite = registry.open_suite(f"folder:{tmp_path / 'reference'}")
    songs = suite.reference()
    by_file = [
        analysis.clip_of_files(*songs.files[i], suite.sample_rate, suite.n_samples, suite.stems) for i in range(2)
    ]
    by_song = [analysis.clip_of_song(songs, i, suite) for i in range(2)]
    request = analysis.Request(suite.sample_rate, embeddings=["log-mel-stats"], sums={"two": ["bass", "drums"]})
    of_files, of_songs = (
        analysis.analyse(clips, request, Cache(tmp_path / name)) for clips, name in ((by_file, "f"), (by_song, "s"))
    )
    for file, song in zip(of_files, of_songs):
        assert file.digest == song.digest
        assert list(file.embeddings["log-mel-stats"]) == list(song.embeddings["log-mel-stats"])
        for name, frames in file.embeddings["log-mel-stats"].items():
            np.testing.assert_array_equal(frames, song.embeddings["log-mel-stats"][name])


def test_arrays_whose_channels_cancel_are_reported():
    wave = clicks(100, 6.0)
    stems = {"bass": np.stack([wave, -wave], axis=1), "drums": np.stack([wave, wave], axis=1)}
    arrays = runner.Arrays("mine", {"a": stems}, 16000)
    result = runner.evaluate([arrays], None, config.Grid(**ONE_SETTING), [], None, no_progress)
    text = "mine: 1 stem is silent because the channels of the file cancel: left is the negative of right (a, bass)"
    assert text in result.notices


@pytest.mark.parametrize("dtype", ["<i2", ">i2", ">f4", "<f8", ">f8"])
def test_arrays_of_any_byte_order(dtype):
    whole = dtype[1] == "i"
    wave = np.round(clicks(100, 6.0) * 32768)
    given = (wave if whole else wave / 32768).astype(dtype)
    expected = (wave / 32768).astype(np.float32)
    scores = []
    for samples in (given, expected):
        arrays = runner.Arrays("mine", {"a": {"bass": samples, "drums": samples[::-1]}}, 16000)
        result = runner.evaluate([arrays], None, config.Grid(**ONE_SETTING), [], None, no_progress)
        scores.append(result.scores)
    assert scores[0].equals(scores[1])


def test_a_run_reports_samples_whose_channels_cancelled(tmp_path):
    folder = ModelFolder(tmp_path, ("bass", "drums"), 16000, 100)
    waves = {stem: np.zeros(100, np.float32) for stem in ("bass", "drums")}
    folder.add(0, StemSet("a", waves, 16000, cancelled=["drums"]))
    folder.add(1, StemSet("b", waves, 16000))
    assert folder.conversions(2)["cancelled"].tolist() == [False, True, False, False]
    assignment = SimpleNamespace(made=("bass", "drums"))
    report, batch = Report(), SimpleNamespace(title="mine", row=SimpleNamespace(name="mine"), assignment=assignment)
    report.add_conversions(batch, folder.conversions(2))
    assert report.notices == [
        "mine: 1 stem is silent because the channels of the file cancel: left is the negative of right (00000, drums)"
    ]


def test_a_model_folder_says_which_channels_cancelled(tmp_path):
    folder = write_stems(tmp_path / "mine")
    wave = clicks(90, 6.0, rate=44100)
    soundfile.write(folder / "bass" / "a.wav", np.stack([wave, -wave], axis=1), 44100, subtype="FLOAT")
    suite = registry.open_suite(f"folder:{write_stems(tmp_path / 'suite')}")
    (sample,) = registry.make_model(f"folder:{folder}", suite=suite).generate(1, suite.stems)
    assert list(sample.cancelled) == ["bass"] and not sample.stems["bass"].any()


def test_suites_read_every_suffix(tmp_path):
    folder = write_stems(tmp_path / "suite", suffix=".aiff")
    assert len(registry.open_suite(f"folder:{folder}").reference()) == 1
