import os
import shutil

import numpy as np
import pytest
import soundfile

from conftest import STEMS, write_clips
from mtbench import registry
from mtbench.controls import Heldout
from mtbench.errors import UsageError
from mtbench.suites.folder import Folder, stem_folder
from mtbench.suites.slakh2100 import SLAKH2100
from mtbench.suites.tracks import windows
from parity import golden, seeded


def slakh_track(folder, name, seconds=25.0, rate=22050, leave_out=(), lengths=None):
    (folder / name).mkdir(parents=True)
    for stem in STEMS:
        if stem in leave_out:
            continue
        n = round((lengths or {}).get(stem, seconds) * rate)
        ramp = np.arange(n) / rate / 100  # each value is a time in the song
        soundfile.write(folder / name / f"{stem}.wav", 0 * ramp if stem == "piano" else ramp, rate)


def test_slakh_is_cut_as_published(tmp_path, monkeypatch):
    monkeypatch.setenv("MTBENCH_DATA", str(tmp_path))
    split = tmp_path / "slakh2100" / "test"
    slakh_track(split, "Track00002", seconds=25.0)  # 1 + floor((25 - 10.24) / 10.24) = 2 windows
    slakh_track(split, "Track00001", seconds=10.24)  # exactly one
    slakh_track(split, "Track00003", seconds=10.0)  # too short
    slakh_track(split, "Track00004", leave_out=["guitar"])
    slakh_track(split, "Track00005", lengths={"bass": 24.0})
    songs = registry.open_suite("slakh2100/test").reference()
    assert [songs[i].id for i in range(len(songs))] == ["Track00001-000", "Track00002-000", "Track00002-001"]
    second = songs[2]
    assert {stem: wave.shape for stem, wave in second.stems.items()} == dict.fromkeys(STEMS, (163840,))
    # Window 1 begins at 10.24 s, where the ramp is 0.1024; silent stems stay.
    assert second.stems["bass"][100] == pytest.approx(0.1024 + 100 / 16000 / 100, abs=1e-4)
    assert not second.stems["piano"].any()


def test_slakh_is_cut_into_longer_windows_by_the_same_rule(tmp_path, monkeypatch):
    monkeypatch.setenv("MTBENCH_DATA", str(tmp_path))
    split = tmp_path / "slakh2100" / "test"
    slakh_track(split, "Track00001", seconds=70.0)  # 1 + floor((70 - c) / c): 6 of 10.24 s, 2 of 30.72 s, 1 of 61.44 s
    slakh_track(split, "Track00002", seconds=61.5)  # 6, 2 and 1
    slakh_track(split, "Track00003", seconds=61.4)  # 5, 1 and none
    for n_samples, counts in ((163840, [6, 6, 5]), (491520, [2, 2, 1]), (983040, [1, 1, 0])):
        tracks = [track.name for track, _ in windows(split, SLAKH2100, n_samples).windows]
        assert [tracks.count(f"Track0000{i}") for i in (1, 2, 3)] == counts
    opened = [registry.open_suite(f"slakh2100/test{length}") for length in ("", "/30s", "/60s")]
    assert [len(suite.reference()) for suite in opened] == [17, 5, 2]
    suite, second = opened[1], opened[1].reference()[1]
    assert suite.name == "slakh2100/test/30s" and suite.split == "test" and suite.n_samples == 491520
    assert second.id == "Track00001-001" and {wave.shape for wave in second.stems.values()} == {(491520,)}
    # Window 1 begins at 30.72 s, where the ramp is 0.3072, and ends at 61.44 s; what follows is dropped.
    assert second.stems["bass"][100] == pytest.approx(0.3072 + 100 / 16000 / 100, rel=1e-3)
    assert second.stems["bass"][-100] == pytest.approx(0.6144 - 100 / 16000 / 100, rel=1e-3)


def test_slakh_from_a_golden_resampling(tmp_path, monkeypatch):
    monkeypatch.setenv("MTBENCH_DATA", str(tmp_path))
    x = 0.15 * seeded(4201, 225792).numpy()  # half of the golden input
    folder = tmp_path / "slakh2100" / "test" / "Track00001"
    folder.mkdir(parents=True)
    for stem in STEMS:
        soundfile.write(folder / f"{stem}.wav", x, 22050, subtype="FLOAT")
    wave = registry.open_suite("slakh2100/test").reference()[0].stems["drums"]
    expected = golden("resample_22050_16000_s4201")["out__flat11"] / 2
    assert np.abs(wave[::11] - expected).max() <= 1.1 / 32768  # one PCM-16 step


def test_heldout_songs_come_from_another_split(tmp_path, monkeypatch):
    monkeypatch.setenv("MTBENCH_DATA", str(tmp_path))
    slakh_track(tmp_path / "slakh2100" / "test", "Track00001")
    assert len(registry.open_suite("slakh2100/test").heldout()) == 0
    slakh_track(tmp_path / "slakh2100" / "validation", "Track00009")
    assert registry.open_suite("slakh2100/test").heldout()[0].id == "Track00009-000"


def test_missing_slakh_gets_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.setenv("MTBENCH_DATA", str(tmp_path))
    with pytest.raises(UsageError, match="MTBENCH_DATA"):
        registry.open_suite("slakh2100/test")


def test_unknown_suites_get_a_suggestion():
    with pytest.raises(UsageError, match="Did you mean 'band'"):
        registry.open_suite("bond")
    with pytest.raises(UsageError, match="no such folder"):
        registry.open_suite("folder:/nowhere/at/all")


@pytest.mark.parametrize(
    "name, available",
    [
        ("band/20s", "band (10.24 s), band/30s (30.72 s), band/60s (61.44 s)"),
        (
            "slakh2100/train/30",
            "slakh2100/train (10.24 s), slakh2100/train/30s (30.72 s), slakh2100/train/60s (61.44 s)",
        ),
    ],
)
def test_an_unknown_length_gets_the_available_ones(name, available):
    with pytest.raises(UsageError) as error:
        registry.open_suite(name)
    assert available in str(error.value) and f"'{name.rpartition('/')[2]}'" in str(error.value)


@pytest.mark.parametrize("length, n_samples", [("", 163840), ("/30s", 491520), ("/60s", 983040)])
def test_band_at_every_length(length, n_samples):
    band = registry.open_suite(f"band{length}")
    assert (band.name, band.split, band.version, band.n_samples) == (f"band{length}", "reference", "2", n_samples)
    for songs, seed in ((band.reference(), 3), (band.heldout(), 500_003)):
        song = songs[3]
        assert song.id == f"band-2-{seed}" and {wave.shape for wave in song.stems.values()} == {(n_samples,)}
    assert len(band.reference()) == 64


def test_the_lengths_are_listed():
    descriptions = {name: what for name, what, _ in registry.describe_suites()}
    names = ("band", "slakh2100/test, /train, /validation", "musdb18-hq/test, /train, /validation")
    assert all("/30s" in descriptions[name] and "61.44 s" in descriptions[name] for name in names)


def test_band_reference_and_heldout_share_no_song():
    band = registry.open_suite("band")
    assert len(band.reference()) == 64 and len(band.heldout()) >= 10_000
    assert band.reference()[0].id != band.heldout()[0].id
    assert not np.array_equal(band.reference()[0].stems["drums"], band.heldout()[0].stems["drums"])


def test_stem_folder_finds_both_namings_and_missing_stems(tmp_path):
    write_clips(tmp_path, ["a", "b", "c"], seconds=0.2)
    (tmp_path / "piano" / "b.wav").unlink()
    (tmp_path / "drums" / "notes.txt").write_text("not audio")
    (tmp_path / "guitar").rename(tmp_path / "stem_2")
    found = stem_folder(tmp_path, STEMS)
    assert sorted(found.clips) == ["a", "c"] and found.incomplete == {"b": ["piano"]}
    assert found.clips["a"]["guitar"] == tmp_path / "stem_2" / "a.wav"


def test_stem_folder_refuses(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        stem_folder(tmp_path / "absent")
    write_clips(tmp_path, ["a"], seconds=0.2)
    soundfile.write(tmp_path / "bass" / "a.flac", np.zeros(100), 16000)
    with pytest.raises(UsageError, match="a.wav: same clip as a.flac in the same folder"):
        stem_folder(tmp_path)
    (tmp_path / "bass" / "a.flac").unlink()
    (tmp_path / "drums").rename(tmp_path / "percussion")
    with pytest.raises(UsageError, match="no stem drums .found: bass, guitar, percussion, piano"):
        stem_folder(tmp_path, STEMS, only_wanted=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty: no audio files"):
        stem_folder(tmp_path / "empty")


def heldout_windows(tmp_path, monkeypatch, counts):
    """Return `slakh2100/test`, whose held-out tracks 1, 2, ... have these numbers of windows."""
    monkeypatch.setenv("MTBENCH_DATA", str(tmp_path))
    slakh_track(tmp_path / "slakh2100" / "test", "Track00100", seconds=21.0)
    for track, count in enumerate(counts, 1):
        slakh_track(tmp_path / "slakh2100" / "validation", f"Track{track:05d}", seconds=10.24 * count + 1, rate=2000)
    return registry.open_suite("slakh2100/test")


def test_heldout_windows_of_slakh_take_turns(tmp_path, monkeypatch):
    suite = heldout_windows(tmp_path, monkeypatch, (3, 1, 2, 3))
    order = ["1-000", "2-000", "3-000", "4-000", "1-001", "3-001", "4-001", "1-002", "4-002"]
    assert [song.id for song in suite.heldout()] == [f"Track0000{name}" for name in order]
    # Four songs further on, and one more if that is the same track.
    others = ["3-001", "3-001", "4-001", "1-002", "4-002", "1-000", "2-000", "3-000", "1-001"]
    assert [song.id for song in Heldout(suite, shuffled=True).generate(9, STEMS)] == [
        f"Track0000{name}" for name in others
    ]
    assert [song.id for song in suite.reference()] == ["Track00100-000", "Track00100-001"]  # the published order


@pytest.mark.parametrize("counts", [(3, 6, 1), (1, 6, 3), (9, 1), (2, 2, 2), (1, 1)])
def test_shuffled_never_takes_a_window_of_the_same_track(counts, tmp_path, monkeypatch):
    suite = heldout_windows(tmp_path, monkeypatch, counts)
    n = sum(counts)
    given, shuffled = suite.heldout(), list(Heldout(suite, shuffled=True).generate(n, STEMS))
    assert len(given) == len(shuffled) == n
    assert not any(song.id[:10] == other.id[:10] for song, other in zip(given, shuffled))
    (last,) = Heldout(suite, shuffled=True).generate(1, STEMS, start=n - 1)
    assert last.id == shuffled[-1].id  # regardless of earlier requests


def test_shuffled_of_a_single_track_takes_another_window(tmp_path, monkeypatch):
    suite = heldout_windows(tmp_path, monkeypatch, (3,))
    shuffled = [song.id for song in Heldout(suite, shuffled=True).generate(3, STEMS)]
    assert shuffled == ["Track00001-001", "Track00001-002", "Track00001-000"]


def test_shuffled_of_band_is_the_song_half_the_suite_further_on():
    (song,) = Heldout(registry.open_suite("band"), shuffled=True).generate(1, STEMS, start=3)
    assert song.id == "band-2-750003"  # the held-out seeds are 500,000 to 999,999


@pytest.fixture
def songs(tmp_path):
    """A folder suite with two reference clips and one held-out clip."""
    write_clips(tmp_path / "reference", ["a", "b"], seconds=0.2, seed=1)
    write_clips(tmp_path / "heldout", ["c"], seconds=0.2, seed=2)
    return tmp_path


def test_a_folders_version_depends_only_on_its_content(songs):
    version = Folder(songs).version
    for file in songs.rglob("*.wav"):
        os.utime(file, (0, 0))
    shutil.copytree(songs / "reference", songs / "else" / "reference")
    shutil.copytree(songs / "heldout", songs / "else" / "heldout")
    (songs / "reference" / "drums").rename(songs / "reference" / "Drums")  # the same stem
    (songs / "heldout" / "drums" / "d.wav").write_bytes(b"of a clip without its other stems")
    assert Folder(songs).version == Folder(songs / "else").version == version
    assert Folder(songs / "reference").version != version


def swap(file, other):
    content = file.read_bytes()
    file.write_bytes(other.read_bytes())
    other.write_bytes(content)


@pytest.mark.parametrize(
    "change",
    [
        lambda songs: soundfile.write(songs / "heldout/piano/c.wav", np.zeros(3200), 16000),
        lambda songs: soundfile.write(songs / "reference/piano/a.wav", np.zeros(3200), 16000),
        lambda songs: [file.rename(file.with_stem("d")) for file in (songs / "heldout").rglob("c.wav")],
        lambda songs: (songs / "reference/bass/b.wav").unlink(),
        lambda songs: [(songs / f"reference/{stem}/b.wav").rename(songs / f"heldout/{stem}/b.wav") for stem in STEMS],
        lambda songs: swap(songs / "heldout/bass/c.wav", songs / "heldout/guitar/c.wav"),
    ],
    ids=["held-out audio", "reference audio", "a name", "a clip less", "a clip elsewhere", "stems swapped"],
)
def test_the_version_changes_with_the_songs(change, songs):
    version = Folder(songs).version
    change(songs)
    assert Folder(songs).version != version


def test_a_heldout_clip_that_is_in_the_reference_is_refused(songs):
    for stem in STEMS[:3]:
        shutil.copy(songs / "reference" / stem / "b.wav", songs / "heldout" / stem / "c.wav")
    assert len(Folder(songs).heldout()) == 1  # its piano is different
    shutil.copy(songs / "reference" / "piano" / "b.wav", songs / "heldout" / "piano" / "c.wav")
    with pytest.raises(UsageError) as error:
        Folder(songs).heldout()
    assert f"{songs}/heldout/bass/c.wav is identical to {songs}/reference/bass/b.wav" in str(error.value)


def test_a_folder_has_notices_of_cut_padded_and_incomplete_clips(tmp_path):
    write_clips(tmp_path / "reference", ["a", "b", "c"])
    write_clips(tmp_path / "reference", ["s", "t"], seconds=5.0, rate=44100)
    for number in range(7):
        soundfile.write(tmp_path / f"reference/bass/x{number}.wav", np.zeros(10), 16000)
    soundfile.write(tmp_path / "reference/piano/a.wav", np.zeros(163841), 16000)  # one sample more than 10.24 s
    write_clips(tmp_path / "heldout", ["d", "e"], rate=22050, seed=2)  # 225,792 samples are 10.24 s
    suite, lacks = Folder(tmp_path), "no drums, guitar, piano"
    assert suite.reference().notices == [
        f"reference of folder:{tmp_path}: 1 of 5 clips has stems longer than 10.24 s, which are cut",
        f"reference of folder:{tmp_path}: 2 of 5 clips have stems shorter than 10.24 s, which are zero-padded",
        f"reference of folder:{tmp_path}: 7 incomplete clips are left out: "
        + "; ".join(f"x{number} ({lacks})" for number in range(5))
        + "; and 2 more",
        f"reference of folder:{tmp_path}: stems bass, drums, guitar, piano (one folder per stem); 5 clips, such as a",
    ]
    of_heldout = f"heldout of folder:{tmp_path}: stems bass, drums, guitar, piano (one folder per stem)"
    assert list(suite.heldout().notices) == [f"{of_heldout}; 2 clips, such as d"]
    (tmp_path / "heldout/drums/e.wav").unlink()
    assert Folder(tmp_path).heldout().notices == [
        f"heldout of folder:{tmp_path}: 1 incomplete clip is left out: e (no drums)",
        f"{of_heldout}; 1 clip: d",
    ]
    assert list(registry.open_suite("band").reference().notices) == []
