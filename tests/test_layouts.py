"""Layouts of folders of audio, recognised from the names of the files. Each expected value is written by hand."""

from hashlib import sha256
from pathlib import PurePath

import pytest

from mtbench.suites.layouts import LayoutError, in_order, plain, recognise

FOUR = ("bass", "drums", "guitar", "piano")


def grid(folders, names, suffix=".wav"):
    return [PurePath(folder, f"{name}{suffix}") for folder in folders for name in names]


def found(files, **options):
    """Return the stems and {clip: {stem: path}} of a layout."""
    layout = recognise(files, **options)
    return layout.stems, {clip: {s: str(f) for s, f in stems.items()} for clip, stems in layout.clips.items()}


@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
def test_one_folder_per_stem(case):
    stems, clips = found(grid(map(case, ("bass", "drums", "vocals")), ["a", "B"]))
    assert stems == ("bass", "drums", "vocals")
    assert clips["B"] == {stem: f"{case(stem)}/B.wav" for stem in stems} and set(clips) == {"a", "B"}


@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
def test_one_folder_per_song_as_in_musdb(case):
    names = [case(name) for name in ("mixture", "vocals", "drums", "bass", "other")]
    layout = recognise(grid(["A Song", "Bass - Solo"], names, ".flac"))
    assert layout.words == "one folder per song" and layout.stems == ("bass", "drums", "other", "vocals")
    assert layout.ignored == ("mixture",)
    assert layout.clips["A Song"]["bass"] == PurePath("A Song", f"{case('bass')}.flac")


def test_the_sum_that_museval_adds_is_not_a_stem():
    names = ["vocals", "drums", "bass", "other", "accompaniment"]
    assert recognise(grid(["song"], names)).stems == ("bass", "drums", "other", "vocals")
    # With two stems, it is one of them.
    assert recognise(grid(["song"], ["vocals", "accompaniment"])).stems == ("accompaniment", "vocals")


@pytest.mark.parametrize(
    "names",
    [
        ["01_bass", "02_drums"],
        ["1 - Bass", "2 - Drums"],
        ["song_bass", "song_drums"],
        ["Bass.song", "Drums.song"],
        ["bass_01", "drums_01"],
        ["final mix 3 bass", "final mix 3 drums"],
    ],
)
def test_numbers_and_names_of_songs_around_a_stem(names):
    assert recognise(grid(["song"], names)).stems == ("bass", "drums")


def test_a_stem_may_be_part_of_the_names_of_its_clips():
    _, clips = found([*grid(["bass"], ["01_bass", "02_bass"]), *grid(["Drums"], ["01_drums", "02_drums"])])
    assert clips == {c: {"bass": f"bass/{c}_bass.wav", "drums": f"Drums/{c}_drums.wav"} for c in in_order(["01", "02"])}


def test_numbered_stems():
    folders = [f"stem_{i}" for i in range(11)]
    assert recognise(grid(folders, ["a", "b"])).stems == tuple(folders)  # 10 after 9
    assert recognise(grid(["Stem_00", "Stem_01"], ["a", "b", "c"])).stems == ("stem_0", "stem_1")
    assert recognise(grid(["x", "y", "z"], ["stem_0", "stem_1"])).stems == ("stem_0", "stem_1")
    # The expected stems are their names only if there is one for each.
    stems, clips = found(grid(folders[:4], ["a"]), wanted=FOUR)
    assert stems == FOUR and clips["a"]["guitar"] == "stem_2/a.wav"
    assert recognise(grid(folders[:3], ["a"]), wanted=FOUR).stems == ("stem_0", "stem_1", "stem_2")
    assert recognise(grid(["bass", "drums", "stem_2", "piano"], ["a"]), wanted=FOUR).stems == FOUR
    assert recognise(grid(folders[:3], ["a"]), wanted=("x", "y"), only_wanted=True).stems == ("x", "y")


@pytest.mark.parametrize(
    "files, clips",
    [
        (["a.wav", "b.flac"], {"a": "a.wav", "b": "b.flac"}),
        (["mixture/a.wav", "mixture/b.wav"], {"a": "mixture/a.wav", "b": "mixture/b.wav"}),
        (["Mix/a.wav"], {"a": "Mix/a.wav"}),
        (["x/mixture.wav", "y/mixture.wav"], {"x": "x/mixture.wav", "y": "y/mixture.wav"}),
        (["a.wav", "old/b.wav", "older/c.wav"], {"a": "a.wav"}),
    ],
)
def test_mixtures_alone(files, clips):
    layout = recognise(map(PurePath, files))
    assert layout.words == "mixtures alone" and layout.stems == ("mixture",)
    assert layout.clips == {clip: {"mixture": PurePath(file)} for clip, file in clips.items()}
    assert layout.ignored == (("old/", "older/") if "a.wav" in files and "old/b.wav" in files else ())


def test_the_folder_of_a_single_song():
    stems, clips = found(map(PurePath, ["01_Vocals.mp3", "02_Drums.mp3", "mixture.mp3"]), name="My Song")
    assert stems == ("drums", "vocals")
    assert clips == {"My Song": {"drums": "02_Drums.mp3", "vocals": "01_Vocals.mp3"}}


def test_unknown_names_are_told_apart_by_their_number():
    assert recognise(grid(["alpha", "beta"], ["1", "2", "3"])).stems == ("alpha", "beta")
    assert recognise(grid(["1", "2", "3"], ["alpha", "beta"])).stems == ("alpha", "beta")
    for files in (grid(["x", "y"], ["one", "two"]), grid(["renders"], ["one", "two"])):
        with pytest.raises(LayoutError) as error:
            recognise(files)
        for words in (
            f"{len(files)} audio files",
            str(files[0]),
            "song/bass.wav",
            "bass/0001.wav",
            "0001.wav",
            "stem_0/",
        ):
            assert words in str(error.value)
    assert recognise(grid(["x", "y"], ["one", "two"]), wanted=("one", "two"), only_wanted=True).stems == ("one", "two")


def test_stems_that_few_clips_have_are_ignored_unless_they_are_expected():
    files = [*grid(["bass", "drums"], ["a", "b", "c"]), *grid(["piano"], ["a"])]
    layout = recognise(files)
    assert layout.stems == ("bass", "drums") and layout.ignored == ("piano",)
    assert recognise(files, wanted=["drums", "piano", "flute"]).stems == ("drums", "piano", "bass")
    # Clips with one file do not decide.
    assert recognise([*files, *grid(["bass"], "defghij")]).stems == ("bass", "drums")


def test_only_the_expected_stems():
    files = grid(["one", "two"], ["mixture", "Vocals", "drums", "bass"])
    assert recognise(files, wanted=["VOCALS", "bass"], only_wanted=True).stems == ("VOCALS", "bass")
    assert recognise(files, wanted=["mixture"], only_wanted=True).stems == ("mixture",)
    with pytest.raises(LayoutError, match=r"no stem piano \(found: bass, drums, mixture, vocals\)"):
        recognise(files, wanted=["bass", "piano"], only_wanted=True)


@pytest.mark.parametrize(
    "files, said",
    [
        (["bass/a.wav", "bass/a.flac"], "bass/a.wav: same clip as a.flac in the same folder"),
        (["bass/a.wav", "Bass/a.wav", "drums/a.wav"], "two folders for the stem bass, Bass and bass"),
        (["s/01_bass.wav", "s/bass.wav", "s/drums.wav"], "s/bass.wav: same stem as 01_bass.wav in the same folder"),
        (["a.wav", "a.mp3"], "a.wav: same clip as a.mp3 in the same folder"),
        (["bass/a.wav", "all/a.wav"], "a stem cannot be named 'all'; rename it"),
        (["bass+drums/a.wav", "vocals/a.wav"], r"a stem cannot be named 'bass\+drums'; rename it"),
    ],
)
def test_names_that_are_used_twice_or_reserved(files, said):
    with pytest.raises(LayoutError, match=said):
        recognise(map(PurePath, files))


def test_a_name_is_the_same_in_both_unicode_forms():
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    _, clips = found([PurePath("bass", f"{composed}.wav"), PurePath("drums", f"{decomposed}.wav")])
    assert list(clips) == [composed] and set(clips[composed]) == {"bass", "drums"}


def test_clips_are_in_the_order_of_the_hashes_of_their_names():
    names = ["a", "b", "c", "d"]
    # printf a | sha256sum begins with ca97, b with 3e23, c with 2e7d, d with 18ac
    assert in_order(names) == ["d", "c", "b", "a"] == sorted(names, key=lambda n: sha256(n.encode()).hexdigest())
    assert list(recognise(grid(["bass", "drums"], names)).clips) == ["d", "c", "b", "a"]


@pytest.mark.parametrize(
    "name, label",
    [("01 Bass", "bass"), ("STEM-03", "stem_3"), ("02", "02"), ("Mix", "mixture"), ("Lead Vocals", "lead vocals")],
)
def test_plain_names(name, label):
    assert plain(name) == label
