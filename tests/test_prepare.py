"""Preparing data sets from the layouts in which they are distributed; what suites then read."""

import json
import os
import shutil

import numpy as np
import pytest
import soundfile
import yaml
from filelock import FileLock

import raw_folders
from conftest import killed_at
from mtbench import audio, registry
from mtbench.errors import UsageError
from mtbench.prepare import RECIPES, midi, midi_files, mixing, moisesdb, prepare, work
from mtbench.suites import midi as midi_suite
from mtbench.suites.slakh2100 import DUPLICATES
from mtbench.suites.tracks import data_folder
from test_cli import mtbench

needs_fluidsynth = pytest.mark.skipif(shutil.which("fluidsynth") is None, reason="needs FluidSynth and a sound font")
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("MTBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("mtbench.execute.joblib.cpu_count", lambda: 1)
    return tmp_path / "data"


class no_progress:
    def __init__(self, title, total): ...
    def __enter__(self):
        return lambda steps, detail="": None

    def __exit__(self, *_): ...


def prepared(name, raw):
    return prepare(RECIPES[name], raw, data_folder() / name, no_progress)


def levels(track, rate=44100):
    """Return {stem: level} of a prepared track, whose stems are constant, all of one length."""
    files = sorted(track.glob("*.wav"))
    assert len({audio.info(file) for file in files}) == 1 and audio.info(files[0])[1] == rate
    return {file.stem: float(soundfile.read(file)[0][1000]) for file in files}


def test_slakh_by_the_command(tmp_path, data):
    raw = raw_folders.slakh(tmp_path / "slakh2100_flac_redux")
    code, output = mtbench("prepare", "slakh2100", raw)
    assert code == 0 and "4 tracks prepared, 0 already there" in output
    assert "left out: omitted/Track00049: a duplicate that Slakh2100-redux omits" in output
    sums = {"bass": 0.25, "drums": 0.125, "guitar": 0.0625, "piano": 0.375}  # the trumpet is not used
    assert levels(data / "slakh2100/test/Track01876") == sums
    assert levels(data / "slakh2100/test/Track01885") == {**sums, "piano": 0.0}  # not rendered: silent
    code, output = mtbench("prepare", "slakh2100", raw)
    assert code == 0 and "0 tracks prepared, 4 already there" in output
    manifest = json.loads((data / "slakh2100/manifest.json").read_text())
    file = manifest["tracks"]["test/Track01876"]["files"]["bass.wav"]
    assert (file["frames"], file["rate"], file["silent"], file["clipped"]) == (926100, 44100, False, 0.0)

    suite = registry.open_suite("slakh2100/test")
    songs = suite.reference()
    assert [song.id for song in songs] == ["Track01876-000", "Track01876-001", "Track01885-000"]
    assert songs[1].stems["piano"][80000] == pytest.approx(0.375, abs=1e-3)
    assert [song.id for song in suite.heldout()] == ["Track01501-000"]
    assert [song.id for song in registry.open_suite("slakh2100-redux/test").reference()] == [
        "Track01876-000",
        "Track01876-001",
    ]
    assert suite.version.startswith("3-") and suite.version == registry.open_suite("slakh2100/test").version


def test_the_duplicates_are_those_of_slakh_utils():
    """211, 105 and 74 of them are in the splits of the original distribution; 1710 tracks are left."""
    counts = [
        sum(first <= number <= last for number in DUPLICATES) for first, last in ((1, 1500), (1501, 1875), (1876, 2100))
    ]
    assert counts == [211, 105, 74] and len(set(DUPLICATES)) == 390


def test_an_empty_or_missing_split_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="no such folder. Prepare Slakh2100 with 'mtbench prepare slakh2100 FOLDER'"):
        registry.open_suite("slakh2100/test")
    prepared("slakh2100", raw_folders.slakh(tmp_path / "raw"))
    suite = registry.open_suite("slakh2100/train")
    with pytest.raises(
        UsageError, match=r"'slakh2100/train': no clips in .*train: skipped: 1 track \(shorter than 10.24 s\)"
    ):
        suite.reference()
    code, output = mtbench("run", "--models", "noise", "--suite", "slakh2100/train", "-n", "1", "--out", tmp_path / "r")
    assert code == 2 and "no clips in" in output
    shutil.rmtree(data_folder() / "slakh2100/test/Track01876")
    shutil.rmtree(data_folder() / "slakh2100/test/Track01885")
    with pytest.raises(UsageError, match="it has no tracks"):
        registry.open_suite("slakh2100/test").reference()


def test_a_stopped_preparation_resumes_with_the_same_files(tmp_path, data, monkeypatch):
    raw = raw_folders.slakh(tmp_path / "raw")
    prepared("slakh2100", raw)
    files = {path.relative_to(data): path.read_bytes() for path in data.rglob("*") if path.is_file()}
    shutil.rmtree(data)
    for call in (1, 3, 6):
        with monkeypatch.context() as patch:
            patch.setattr(work.audio, "write_wav", killed_at(call, audio.write_wav))
            with pytest.raises(KeyboardInterrupt):
                prepared("slakh2100", raw)
    assert any(data.rglob(".partial-*"))
    again = prepared("slakh2100", raw)
    assert again.made and again.made + again.kept == 4 and not any(data.rglob(".partial-*"))
    assert files == {path.relative_to(data): path.read_bytes() for path in data.rglob("*") if path.is_file()}


def test_changed_raw_files_are_prepared_again(tmp_path, data):
    raw = raw_folders.slakh(tmp_path / "raw")
    prepared("slakh2100", raw)
    version = registry.open_suite("slakh2100/test").version
    soundfile.write(raw / "test/Track01876/stems/S00.flac", raw_folders.tone(0.5, 21.0), 44100)
    assert prepared("slakh2100", raw).made == 1
    assert levels(data / "slakh2100/test/Track01876")["bass"] == 0.5
    assert registry.open_suite("slakh2100/test").version != version


def test_broken_tracks_are_named_and_the_others_prepared(tmp_path, data):
    raw = raw_folders.slakh(tmp_path / "raw")
    (raw / "test/Track01876/metadata.yaml").write_text("stems: [")
    (raw / "validation/Track01501/stems/S01.flac").write_bytes(b"no audio")
    code, output = mtbench("prepare", "slakh2100", raw)
    assert code == 1 and "2 tracks prepared" in output
    assert "error: test/Track01876:" in output and "metadata.yaml, line 1: not valid YAML" in output
    assert "error: validation/Track01501:" in output and "S01.flac: cannot be read as audio" in output
    assert not (data / "slakh2100/validation/Track01501").exists()
    shutil.copy(raw / "test/Track01885/metadata.yaml", raw / "test/Track01876/metadata.yaml")
    (raw / "validation/Track01502").mkdir()  # without metadata
    shutil.copy(raw / "train/Track00001/stems/S01.flac", raw / "validation/Track01501/stems/S01.flac")
    code, output = mtbench("prepare", "slakh2100", raw)
    assert code == 1 and "2 tracks prepared, 2 already there" in output
    assert "validation/Track01502/metadata.yaml: cannot be read" in output


def test_audio_from_elsewhere_is_not_overwritten(tmp_path, data):
    foreign = data / "slakh2100/test/Track01876"
    foreign.mkdir(parents=True)
    soundfile.write(foreign / "bass.wav", np.zeros(100), 22050)
    with pytest.raises(UsageError, match="Track01876: contains files that mtbench prepare did not write"):
        prepared("slakh2100", raw_folders.slakh(tmp_path / "raw"))
    assert audio.info(foreign / "bass.wav") == (100, 22050)


def test_a_folder_without_the_data_set_is_one_line(tmp_path):
    (tmp_path / "raw").mkdir()
    code, output = mtbench("prepare", "slakh2100", tmp_path / "raw")
    assert code == 2 and "no tracks found. Expected the folder of Slakh2100 as it is distributed" in output
    code, output = mtbench("prepare", "slakh", tmp_path / "raw")
    assert code == 2 and "Did you mean 'slakh2100'" in output
    code, output = mtbench("prepare", "moisesdb", tmp_path / "absent")
    assert code == 2 and "absent: no such folder" in output


def test_musdb18_hq(tmp_path, data):
    raw = raw_folders.musdb_hq(tmp_path / "raw")
    assert prepared("musdb18-hq", raw).made == 3
    averages = {"drums": 0.0625, "bass": 0.125, "other": 0.1875, "vocals": 0.25}
    assert levels(data / "musdb18-hq/test/AM Contra - Heart Peripheral") == averages
    assert (data / "musdb18-hq/validation/ANiMAL - Rockshow").is_dir()  # distributed in train
    suite = registry.open_suite("musdb18-hq/test")
    assert suite.stems == ("bass", "drums", "other", "vocals")
    assert [song.id for song in suite.heldout()] == ["ANiMAL - Rockshow-000"]


@needs_ffmpeg
def test_musdb18_has_the_streams_of_its_mp4_files(tmp_path, data):
    raw = raw_folders.musdb(tmp_path / "raw", raw_folders.musdb_hq(tmp_path / "hq"))
    assert prepared("musdb18", raw).made == 3
    track = data / "musdb18/test/AM Contra - Heart Peripheral"
    assert levels(track) == {"drums": 0.0625, "bass": 0.125, "other": 0.1875, "vocals": 0.25}


def test_a_file_that_only_has_the_name_of_an_mp4_is_refused(tmp_path, data):
    """It has no streams, so it must not become all four stems."""
    (tmp_path / "raw" / "test").mkdir(parents=True)
    soundfile.write(tmp_path / "raw" / "test" / "a.stem.mp4", raw_folders.tone(0.5, 11.0), 44100, format="WAV")
    code, output = mtbench("prepare", "musdb18", tmp_path / "raw")
    assert code == 1 and "a.stem.mp4: not an MP4 file" in output and not any(data.rglob("*.wav"))


def test_moisesdb_in_its_own_and_in_four_stems(tmp_path, data, monkeypatch):
    monkeypatch.setattr(moisesdb, "split_of", lambda song: "test")
    raw = tmp_path / "raw" / "moisesdb_v0.1"
    stems = {"bass": [0.25], "other_keys": [0.125, 0.0625], "wind": [0.25], "drums": [0.125]}
    raw_folders.moises_song(raw / "a-b", stems)
    raw_folders.moises_song(raw / "c-d", {"kazoo": [0.5]})
    done = prepared("moisesdb", tmp_path / "raw")
    assert done.made == 1 and "unknown stem kazoo" in done.failed["c-d"]
    expected = {"bass": 0.25, "other_keys": 0.1875, "wind": 0.25, "drums": 0.125}
    assert levels(data / "moisesdb/test/a-b") == expected
    (song,) = registry.open_suite("moisesdb/test").reference()
    assert set(song.stems) == set(stems)
    (song,) = registry.open_suite("moisesdb-4/test").reference()
    assert set(song.stems) == {"bass", "drums", "other"} and song.stems["other"][80000] == pytest.approx(
        0.4375, abs=1e-3
    )


def test_the_splits_of_moisesdb_follow_from_the_id():
    songs = [f"song {number}" for number in range(1000)]
    shares = [
        sum(moisesdb.split_of(song) == split for song in songs) / 1000 for split in ("train", "validation", "test")
    ]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.03)
    # The last digits of the SHA-256 as decimal numbers: 9, 0 and 1.
    assert [moisesdb.split_of(song) for song in ("a", "d", "j")] == ["train", "test", "validation"]


def test_a_path_out_of_the_folder_is_refused(tmp_path):
    folder = raw_folders.moises_song(tmp_path / "raw" / "a", {"bass": [0.5]})
    text = (folder / "data.json").read_text().replace('"b0"', '"../../../secret"')
    (folder / "data.json").write_text(text)
    soundfile.write(tmp_path / "secret.wav", np.zeros(10), 16000)
    with pytest.raises(UsageError, match="outside of its folder"):
        prepared("moisesdb", tmp_path / "raw")


def test_stems_of_different_lengths_are_padded_and_clipping_is_counted(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.full(100, 0.75), 8000)
    soundfile.write(tmp_path / "b.wav", np.full(50, 0.5), 8000)
    sources = [work.Source(tmp_path / name) for name in ("a.wav", "b.wav")]
    track = work.Track("test", "x", {"bass": sources, "drums": sources[1:], "piano": []})
    products = {product.name: product for product in mixing.mixed(track)}
    assert products["bass.wav"].content[[0, 60]].tolist() == [32767, 24576] and products["bass.wav"].clipped == 0.5
    assert products["drums.wav"].content[[0, 60]].tolist() == [16384, 0]
    assert len(products["piano.wav"].content) == 100 and not products["piano.wav"].content.any()


@needs_fluidsynth
def test_midi_files_become_a_suite_with_true_beats(tmp_path, data):
    raw = tmp_path / "raw"
    raw_folders.midi_piece(raw / "a" / "one.mid", bpm=120)
    raw_folders.midi_piece(raw / "copy.MID", bpm=120)  # the same content
    raw_folders.midi_piece(raw / "two.mid", bpm=97, melody=(0, 3, 1, 8, 2, 5, 11))
    raw_folders.midi_piece(raw / "bare.mid", parts=("drums", "piano"))
    raw_folders.midi_piece(raw / "off.mid", bpm=80, melody=(1, 9, 2, 7, 3, 12, 5, 8), shift=0.4)
    (raw / "broken.mid").write_bytes(b"MThd")
    code, output = mtbench("prepare", "midi", raw, "--name", "mine")
    assert code == 0 and "left out: bare.mid: stems: drums, piano; at least 3" in output
    assert "near-duplicate of" in output and "left out: broken.mid" in output
    manifest = json.loads((data / "mine" / "manifest.json").read_text())
    assert manifest["recipe"] == "midi" and len(manifest["sound_font_sha256"]) == 64
    assert len({record["piece"] for record in manifest["tracks"].values()}) == 3
    code, output = mtbench("prepare", "midi", raw, "--name", "mine")
    assert code == 0 and "0 tracks prepared" in output

    known = 0
    for name, record in manifest["tracks"].items():
        beats = midi_suite.true_beats(data / "mine" / name)
        assert (beats is not None) == record["has_beats"]
        stems = {stem: soundfile.read(data / "mine" / name / f"{stem}.wav")[0] for stem in midi_suite.STEMS}
        assert {len(wave) for wave in stems.values()} == {163840}
        if beats is None:
            continue
        known += 1
        assert beats[:, 1].max() == 4 and np.ptp(np.diff(beats[:, 0])) < 0.002
        # The drums begin on each true beat: the level rises there.
        envelope = np.abs(stems["drums"])
        for time in beats[1:-1, 0]:
            at = round(time * 16000)
            assert envelope[at : at + 320].max() > 4 * envelope[at - 320 : at - 80].max()
    assert known and known < len(manifest["tracks"])  # those of off.mid are unknown

    splits = {name.partition("/")[0] for name in manifest["tracks"]}
    suite = registry.open_suite(f"mine/{min(splits)}")
    songs = suite.reference()
    assert songs.pieces is not None and all(piece in song.id for piece, song in zip(songs.pieces, songs))
    code, output = mtbench("suites")
    assert "mine/test" in output


@needs_fluidsynth
def test_clips_that_cannot_be_used_are_remembered(tmp_path, data, monkeypatch):
    raw_folders.midi_piece(tmp_path / "raw" / "one.mid")

    def silent(*arguments):
        raise midi.MidiError("clip at 0.0 s: silent when rendered: bass, drums")

    monkeypatch.setattr(midi_files.midi, "render", silent)
    done = prepare(midi_files.recipe(None), tmp_path / "raw", data / "midi", no_progress)
    assert (
        done.made == 0
        and not done.failed
        and set(done.dropped.values()) == {"one.mid: clip at 0.0 s: silent when rendered: bass, drums"}
    )
    monkeypatch.setattr(midi_files.midi, "render", lambda *arguments: pytest.fail("rendered again"))
    assert prepare(midi_files.recipe(None), tmp_path / "raw", data / "midi", no_progress).dropped == done.dropped


def test_options_of_midi_are_checked(tmp_path):
    (tmp_path / "raw").mkdir()
    for name in ("band", "slakh2100", "a/b", "", "a b", "../x"):
        code, output = mtbench("prepare", "midi", tmp_path / "raw", "--name", name)
        said = "is the name of another suite" if name in ("band", "slakh2100") else "cannot be the name of a suite"
        assert code == 2 and said in output
    code, output = mtbench("prepare", "slakh2100", tmp_path / "raw", "--name", "x")
    assert code == 2 and "--name is only for midi" in output


@pytest.mark.parametrize(
    "change, said",
    [
        ({"program_num": "33"}, "stem S00: program_num must be a whole number from 0 to 128 (got '33')"),
        ({"program_num": None}, "(got None)"),
        ({"program_num": True}, "(got True)"),
        ({"is_drum": "no"}, "is_drum and audio_rendered must be true or false (got no, True)"),
        ({"audio_rendered": "false"}, "(got False, false)"),
    ],
)
def test_metadata_of_the_wrong_type_is_an_error(tmp_path, data, change, said):
    """It would otherwise be taken for another instrument, or for silence."""
    raw = raw_folders.slakh(tmp_path / "raw")
    path = raw / "test/Track01876/metadata.yaml"
    metadata = yaml.safe_load(path.read_text())
    metadata["stems"]["S00"] |= change
    path.write_text(yaml.safe_dump(metadata))
    done = prepared("slakh2100", raw)
    assert done.made == 3 and said in done.failed["test/Track01876"]


def test_only_tracks_of_the_manifest_are_scored(tmp_path, data):
    """A track whose raw file is damaged now is not, although it was prepared before."""
    raw = raw_folders.slakh(tmp_path / "raw")
    prepared("slakh2100", raw)
    (raw / "test/Track01885/stems/S00.flac").write_bytes(b"no audio")
    assert set(prepared("slakh2100", raw).failed) == {"test/Track01885"}
    songs = registry.open_suite("slakh2100/test").reference()
    assert {song.id[:10] for song in songs} == {"Track01876"}
    assert songs.notices == [
        "reference of slakh2100/test: skipped: 1 track (not listed in manifest.json; run mtbench prepare again)"
    ]


def test_a_track_that_is_stopped_while_it_is_replaced_is_made_again(tmp_path, data, monkeypatch):
    raw = raw_folders.slakh(tmp_path / "raw")
    prepared("slakh2100", raw)
    soundfile.write(raw / "test/Track01876/stems/S00.flac", raw_folders.tone(0.5, 21.0), 44100)
    with monkeypatch.context() as patch:
        patch.setattr(work.shutil, "rmtree", killed_at(1, shutil.rmtree))
        with pytest.raises(KeyboardInterrupt):
            prepared("slakh2100", raw)
    prepared("slakh2100", raw)
    assert levels(data / "slakh2100/test/Track01876")["bass"] == 0.5 and not any(data.rglob(".partial-*"))


def test_two_preparations_at_once(tmp_path, data):
    raw = raw_folders.slakh(tmp_path / "raw")
    (data / "slakh2100").mkdir(parents=True)
    lock = FileLock(data / "slakh2100" / work.LOCK)
    with lock, pytest.raises(UsageError, match="another mtbench prepare is at work"):
        prepared("slakh2100", raw)
    assert prepared("slakh2100", raw).made == 4


def test_names_of_files_that_are_not_valid_utf_8(tmp_path, data):
    raw = raw_folders.slakh(tmp_path / "raw")
    (raw / "train" / os.fsdecode(b"Track\x83")).mkdir()
    assert len(prepared("slakh2100", raw).failed) == 1
    assert len(registry.open_suite("slakh2100/test").reference()) == 3


def test_two_songs_of_the_same_name_are_refused(tmp_path):
    for folder in ("a", "b"):
        raw_folders.moises_song(tmp_path / "raw" / folder / "song", {"bass": [0.5]})
    with pytest.raises(UsageError, match="two tracks are named train/song; remove one of them"):
        prepared("moisesdb", tmp_path / "raw")


def test_a_damaged_record_or_manifest(tmp_path, data):
    raw = raw_folders.slakh(tmp_path / "raw")
    prepared("slakh2100", raw)
    for text in ('{"made_from": 1, "files": 2}', '{"made_from": {"detail": {}}, "files": {"a": null}}', "{"):
        (data / "slakh2100/test/Track01876/track.json").write_text(text)
        assert prepared("slakh2100", raw).made == 1
    (data / "slakh2100/manifest.json").write_text("{")
    with pytest.raises(UsageError, match="manifest.json: not a manifest of mtbench prepare; run mtbench prepare again"):
        registry.open_suite("slakh2100/test").reference()
    assert prepared("slakh2100", raw).kept == 4
    assert len(registry.open_suite("slakh2100/test").reference()) == 3


def test_a_folder_that_is_one_level_too_high(tmp_path):
    raw_folders.slakh(tmp_path / "raw" / "slakh2100_flac_redux")
    assert prepared("slakh2100", tmp_path / "raw").made == 4
    raw_folders.slakh(tmp_path / "raw" / "again")
    with pytest.raises(UsageError, match="several of its folders look like the data set; name one of them"):
        prepared("slakh2100", tmp_path / "raw")
