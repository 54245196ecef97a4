import numpy as np
import pytest
import soundfile
from conftest import STEMS, write_clips

from mtbench import suites
from mtbench.errors import UsageError
from mtbench.suites.folder import stem_folder
from mtbench.suites.slakh2100 import Slakh2100


def slakh_track(folder, name, seconds=25.0, rate=22050, leave_out=(), lengths=None):
    (folder / name).mkdir(parents=True)
    for i, stem in enumerate(STEMS):
        if stem in leave_out:
            continue
        n = round((lengths or {}).get(stem, seconds) * rate)
        ramp = np.arange(n) / rate / 100  # the value says where in the song it is
        soundfile.write(folder / name / f"{stem}.wav", 0 * ramp if stem == "piano" else ramp, rate)


def test_slakh_is_cut_as_published(tmp_path, monkeypatch):
    monkeypatch.setenv("MTBENCH_DATA", str(tmp_path))
    split = tmp_path / "slakh2100" / "test"
    slakh_track(split, "Track00002", seconds=25.0)  # 1 + floor((25 - 10.24) / 10.24) = 2 windows
    slakh_track(split, "Track00001", seconds=10.24)  # exactly one
    slakh_track(split, "Track00003", seconds=10.0)  # too short
    slakh_track(split, "Track00004", leave_out=["guitar"])
    slakh_track(split, "Track00005", lengths={"bass": 24.0})
    songs = Slakh2100("test").reference()
    assert [songs[i].id for i in range(len(songs))] == ["Track00001-000", "Track00002-000", "Track00002-001"]
    second = songs[2]
    assert {stem: wave.shape for stem, wave in second.stems.items()} == {stem: (163840,) for stem in STEMS}
    # Window 1 begins at 10.24 s, where the ramp is 0.1024; silent stems stay.
    assert second.stems["bass"][100] == pytest.approx(0.1024 + 100 / 16000 / 100, abs=1e-4)
    assert not second.stems["piano"].any()


def test_slakh_from_a_golden_resampling(shared, tmp_path, monkeypatch):
    import torch

    monkeypatch.setenv("MTBENCH_DATA", str(tmp_path))
    x = 0.15 * torch.randn(225792, generator=torch.Generator().manual_seed(4201)).numpy()  # half of the golden's input
    folder = tmp_path / "slakh2100" / "test" / "Track00001"
    folder.mkdir(parents=True)
    for stem in STEMS:
        soundfile.write(folder / f"{stem}.wav", x, 22050, subtype="FLOAT")
    wave = Slakh2100("test").reference()[0].stems["drums"]
    golden = np.load(shared / "parity/goldens/resample_22050_16000_s4201.npz")["out__flat11"]
    assert np.abs(wave[::11] - golden / 2).max() <= 1.1 / 32768  # one PCM-16 step


def test_heldout_songs_come_from_another_split(tmp_path, monkeypatch):
    monkeypatch.setenv("MTBENCH_DATA", str(tmp_path))
    slakh_track(tmp_path / "slakh2100" / "test", "Track00001")
    assert len(Slakh2100("test").heldout()) == 0
    slakh_track(tmp_path / "slakh2100" / "validation", "Track00009")
    assert Slakh2100("test").heldout()[0].id == "Track00009-000"


def test_absent_slakh_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("MTBENCH_DATA", str(tmp_path))
    with pytest.raises(UsageError, match="MTBENCH_DATA"):
        suites.open_suite("slakh2100/test")


def test_unknown_suites_get_a_guess():
    with pytest.raises(UsageError, match="Did you mean 'band'"):
        suites.open_suite("bond")
    with pytest.raises(UsageError, match="no such folder"):
        suites.open_suite("folder:/nowhere/at/all")


def test_band_reference_and_heldout_share_no_song():
    band = suites.open_suite("band")
    assert len(band.reference()) == 64 and len(band.heldout()) >= 10_000
    assert band.reference()[0].id != band.heldout()[0].id
    assert not np.array_equal(band.reference()[0].stems["drums"], band.heldout()[0].stems["drums"])


def test_stem_folder_finds_both_namings_and_names_what_lacks(tmp_path):
    write_clips(tmp_path, ["a", "b", "c"], seconds=0.2)
    (tmp_path / "piano" / "b.wav").unlink()
    (tmp_path / "drums" / "notes.txt").write_text("not audio")
    (tmp_path / "guitar").rename(tmp_path / "stem_2")
    found = stem_folder(tmp_path)
    assert sorted(found.clips) == ["a", "c"] and found.incomplete == {"b": ["piano"]}
    assert found.clips["a"]["guitar"] == tmp_path / "stem_2" / "a.wav"


def test_stem_folder_refuses(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        stem_folder(tmp_path / "absent")
    write_clips(tmp_path, ["a"], seconds=0.2)
    soundfile.write(tmp_path / "bass" / "a.flac", np.zeros(100), 16000)
    with pytest.raises(UsageError, match="a.flac beside it is the same clip|a.wav: a.flac"):
        stem_folder(tmp_path)
    (tmp_path / "bass" / "a.flac").unlink()
    (tmp_path / "drums").rename(tmp_path / "percussion")
    with pytest.raises(UsageError, match="drums stem .looked for drums and stem_1."):
        stem_folder(tmp_path)
