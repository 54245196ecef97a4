"""Layouts of folders of audio, recognised from the names of the files. Each expected value is written by hand."""

from hashlib import sha256
from pathlib import PurePath

import pytest

from mtbench.suites.layouts import LayoutError, in_order, recognise
from mtbench.suites.names import plain

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
    assert layout.unused == (f"2 files, such as A Song/{case('mixture')}.flac",)
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
        (["mixes/a.wav"], {"a": "mixes/a.wav"}),
        (["master/a.wav"], {"a": "master/a.wav"}),
        (["x/x.wav", "y/y.wav"], {"x": "x/x.wav", "y": "y/y.wav"}),
        (["x/mixture.wav", "y/mixture.wav"], {"x": "x/mixture.wav", "y": "y/mixture.wav"}),
        (["a.wav", "old/b.wav", "older/c.wav"], {"a": "a.wav"}),
    ],
)
def test_mixtures_alone(files, clips):
    layout = recognise(map(PurePath, files))
    assert layout.words == "mixtures" and layout.stems == ("mixture",)
    assert layout.clips == {clip: {"mixture": PurePath(file)} for clip, file in clips.items()}
    assert layout.unused == (("2 files in subfolders, such as old/b.wav",) if "old/b.wav" in files else ())


def test_the_folder_of_a_single_song():
    stems, clips = found(map(PurePath, ["01_Vocals.mp3", "02_Drums.mp3", "mixture.mp3"]), name="My Song")
    assert stems == ("drums", "vocals")
    assert clips == {"My Song": {"drums": "02_Drums.mp3", "vocals": "01_Vocals.mp3"}}


def refused(files, **options):
    """Return the message of the error for a layout."""
    with pytest.raises(LayoutError) as error:
        recognise(files, **options)
    return str(error.value)


@pytest.mark.parametrize(
    "folders, names",
    [
        (["x", "y"], ["one", "two"]),
        (["renders"], ["one", "two"]),
        (["alpha", "beta", "gamma"], [f"inst{i:02}" for i in range(20)]),
        (["bateria", "Schlagzeug", "Stimme"], ["0001", "0002"]),
        ([f"song {i}" for i in range(40)], ["1", "2", "3"]),  # bare numbers are not stems
        (["train", "test"], ["a", "b", "c", "d", "e"]),
    ],
)
def test_unknown_names_are_refused_unless_the_user_names_the_stems(folders, names):
    files = grid(folders, names)
    message = refused(files)
    for words in (f"{len(files)} audio files", folders[0], names[0], "song/bass.wav", "bass/0001.wav", "stem_0/"):
        assert words in message
    assert "name the stems with --stems (stem_names in Python)" in message
    for stems in (names, folders):
        assert recognise(files, wanted=stems, only_wanted=True).stems == tuple(stems)


def test_unknown_names_are_stems_if_the_others_are_too_many():
    songs = [f"song {i}" for i in range(33)]
    assert recognise(grid(songs, ["alpha", "beta"])).stems == ("alpha", "beta")
    assert recognise(grid(["alpha", "beta"], songs)).stems == ("alpha", "beta")
    refused(grid(["alpha", "beta"], songs[:32]))
    refused([*grid(["alpha"], songs[:20]), *grid(["beta"], songs[20:])])  # artists: the names do not agree


@pytest.mark.parametrize("songs", [["bass"], ["bass", "drums"]])
def test_songs_that_are_named_like_stems(songs):
    names = ["bass", "drums", "other", "vocals"]
    message = refused(grid(songs, names))
    assert "can be read in two ways: as one folder per stem with the stems bass" in message
    assert "or as one folder per song with the stems bass, drums, other, vocals" in message and "--stems" in message
    assert "bass/bass.wav" in message
    stems, clips = found(grid(songs, names), wanted=names, only_wanted=True)
    assert stems == tuple(names) and set(clips) == {*songs}
    if len(songs) == 2:
        message = refused(grid(songs, names), wanted=songs, only_wanted=True)
        assert "two ways" in message and message.endswith("Rename some of them")
    # Other songs make clear what is a song.
    assert set(found(grid([*songs, "Hello", "World", "Again"], names))[1]) == {*songs, "Hello", "World", "Again"}


@pytest.mark.parametrize(
    "files",
    [
        ["bass/0a-b.wav", "drums/1a-d.wav", "vocals/2a-v.wav"],
        grid(["bass"], ["bass1", "bass2"]) + grid(["drums"], ["drums1", "drums2"]) + grid(["piano"], ["piano1"]),
        ["A/vocals.wav", "A/drums.wav", "B/bass.wav", "B/piano.wav", "C/guitar.wav", "C/strings.wav"],
    ],
)
def test_names_that_do_not_agree_across_stems_or_songs(files):
    message = refused(map(PurePath, files))
    assert (
        "the names of the files do not agree" in message
        and str(sorted(map(PurePath, files))[0]).split("/")[0] in message
    )
    assert "need the same name in every" in message


@pytest.mark.parametrize("brackets", ["{song} ({stem})", "{stem}_{song}", "{song} - {stem}"])
def test_names_of_clips_are_without_the_stem_where_they_differ(brackets):
    files = [
        PurePath(stem, brackets.format(song=song, stem=stem.title()) + ".wav") for stem in FOUR for song in ("A B", "C")
    ]
    stems, clips = found(files)
    assert stems == FOUR and set(clips) == {"A B", "C"} and all(len(clip) == 4 for clip in clips.values())


def test_names_of_clips_that_agree_are_kept():
    basses = ["Intro Bass", "Slap Bass"]
    _, clips = found([*grid(["bass"], basses), *grid(["drums"], [*basses, "Intro", "Slap"])])
    assert clips["Intro Bass"] == {"bass": "bass/Intro Bass.wav", "drums": "drums/Intro Bass.wav"}
    assert clips["Intro"] == {"drums": "drums/Intro.wav"}
    # Clips with and without the name of the stem.
    mixed = [*grid(["bass"], ["1_bass", "2_bass", "3"]), *grid(["drums"], ["1_drums", "2", "3"])]
    assert {clip: len(files) for clip, files in found(mixed)[1].items()} == {"1": 2, "2": 2, "3": 2}


@pytest.mark.parametrize(
    "names, stems",
    [
        (["bass drum", "bass guitar"], ("bass drum", "bass guitar")),
        (["lead_vocals", "lead_guitar"], ("lead_guitar", "lead_vocals")),
        (["stem_bass", "stem_drums", "mix"], ("bass", "drums")),
        (["take1_bass_dry", "take1_drums_dry"], ("bass", "drums")),
        (["My Song bass", "My Song drums", "My Song mix"], ("bass", "drums")),
        (["My_Song_01_bass", "My_Song_02_drums", "My_Song_Mix"], ("bass", "drums")),
        (["x_stem_0", "x_stem_1"], ("stem_0", "stem_1")),
        (["1_X_(Vocals)", "1_X_(Instrumental)"], ("instrumental", "vocals")),
    ],
)
def test_words_that_all_names_have(names, stems):
    assert recognise(grid(["a", "b"], names)).stems == stems


def test_common_words_are_removed_in_all_songs_or_in_none():
    synths = ["synth_bass", "synth_lead", "synth_pad"]
    stems, clips = found([*grid("abcd", synths), *grid("cd", ["drums"])])
    assert stems == ("drums", *synths) and set(clips) == {*"abcd"}
    unknown = [*grid("abc", ["gtr_left", "gtr_right"]), *grid("bc", ["bass"])]
    assert recognise(unknown).stems == ("bass", "gtr_left", "gtr_right")


def test_the_name_of_a_song_is_not_that_of_a_stem():
    files = [PurePath(song, f"{song} - {stem}.wav") for song in ("Slow Bass", "X") for stem in ("Bass", "Drums")]
    assert recognise(files).stems == ("bass", "drums")
    files += [PurePath(song, f"{song}.wav") for song in ("Slow Bass", "X")]
    layout = recognise(files)
    assert layout.stems == ("bass", "drums") and layout.unused == ("2 files, such as Slow Bass/Slow Bass.wav",)


@pytest.mark.parametrize(
    "names, stems",
    [
        (["808_kick", "909_kick", "bass"], ("808_kick", "909_kick", "bass")),
        (["12_string_guitar", "bass", "guitar"], ("12_string_guitar", "bass", "guitar")),
        (["01_guitar", "02_guitar", "03_bass"], ("01_guitar", "02_guitar", "bass")),
        (["01_oud", "02_ney", "03_bass", "mix"], ("bass", "ney", "oud")),
        (["01_bass", "drums"], ("bass", "drums")),
    ],
)
def test_numbers_in_front_of_stems(names, stems):
    assert recognise(grid(["a", "b"], names)).stems == stems
    assert recognise(grid(names, ["a", "b", "c"])).stems == stems


@pytest.mark.parametrize(
    "name",
    [
        *("mix", "Mixes", "mixtures", "master", "full_mix", "Full-Mix", "linear_mixture"),
        *("accompaniment", "instrumental", "no_vocals", "no_bass", "minus_one"),
    ],
)
def test_sums_are_not_stems_next_to_stems(name):
    stems = ("bass", "drums", "vocals")
    layout = recognise(grid(["a", "b"], [*stems, name]))
    assert layout.stems == stems and layout.unused == (f"2 files, such as a/{name}.wav",)
    layout = recognise(grid([*stems, name], ["1", "2"]))
    assert layout.stems == stems and layout.unused == (f"2 files, such as {name}/1.wav",)
    if name not in ("mix", "Mixes", "mixtures"):  # they are the mixture
        wanted = [*stems, plain(name)]
        assert recognise(grid(["a", "b"], [*stems, name]), wanted=wanted).stems == tuple(wanted)
        assert recognise(grid(["a"], [*stems, name]), wanted=wanted, only_wanted=True).stems == tuple(wanted)


@pytest.mark.parametrize(
    "names, stems",
    [
        (["vocals", "accompaniment", "mixture"], ("accompaniment", "vocals")),
        (["vocals", "instrumental"], ("instrumental", "vocals")),
        (["vocals", "no_vocals"], ("no_vocals", "vocals")),
        (["drums", "no_drums"], ("drums", "no_drums")),
        (["drums", "vocals", "accompaniment"], ("drums", "vocals")),
        (["bass", "accompaniment"], ("bass",)),
    ],
)
def test_the_sum_of_all_other_stems_is_a_stem_next_to_one(names, stems):
    assert recognise(grid(["a", "b"], names)).stems == stems


def test_songs_without_any_stem_are_incomplete_clips():
    files = [*grid(["A", "B"], ["bass", "drums", "mixture"]), *grid(["Fox"], ["mixture", "accompaniment"])]
    assert recognise(files).clips["Fox"] == {}
    assert recognise([*grid(["bass", "drums", "mixture"], ["1"]), *grid(["mixture"], ["2"])]).clips["2"] == {}
    assert recognise([*grid(["A", "B"], ["bass", "drums"]), *grid(["C"], ["strings"])]).clips["C"] == {}


@pytest.mark.parametrize(
    "form, song",
    [
        ("{song}_{stem}.wav", "Song A"),
        ("{stem}_{song}.wav", "0001"),
        ("{song}_{stem}.wav", "0001"),
        ("{stem}_{song}.wav", "01"),
        ("1_{song}_({stem}).wav", "Slow Bass"),
    ],
)
def test_files_of_several_songs_in_one_folder(form, song):
    songs = [song, song[:-1] + "2", song[:-1] + "3"]
    layout = recognise(
        PurePath(form.format(song=s, stem=stem)) for s in songs for stem in ("Bass", "Drums", "Vocals", "Mix")
    )
    first = ("1_" if form.startswith("1_") else "") + song
    assert layout.stems == ("bass", "drums", "vocals") and len(layout.clips) == 3
    assert layout.clips[first]["drums"] == PurePath(form.format(song=song, stem="Drums"))
    assert layout.words == ("files named <stem>_<song>" if form.startswith("{stem}") else "files named <song>_<stem>")


def test_stems_of_two_words_in_one_folder():
    names = [f"{song}_{stem}.wav" for song in "AB" for stem in ("lead_vocals", "lead_guitar", "bass", "no_vocals")]
    stems, clips = found(map(PurePath, names))
    assert stems == ("bass", "lead_guitar", "lead_vocals") and set(clips) == {"A", "B"}


def test_unknown_stems_in_one_folder_are_named_by_the_user():
    files = [PurePath(f"{song}_{stem}.wav") for song in "AB" for stem in ("x1", "x2", "rough")]
    layout = recognise(files, wanted=["x1", "x2"], only_wanted=True)
    assert layout.stems == ("x1", "x2") and set(layout.clips) == {"A", "B"}
    assert layout.unused == ("2 files without the name of a stem, such as A_rough.wav",)


@pytest.mark.parametrize(
    "names",
    [["bass.wav", "drums.wav", "track.wav"], ["Guitar Rock.wav", "Slap Bass.wav"], ["bass_1.wav", "bass_2.wav"]],
)
def test_files_that_look_like_stems_are_not_mixtures(names):
    message = refused(map(PurePath, names))
    assert "named like stems, such as " in message and "--stems" in message and "subfolder mixture/" in message
    assert recognise(map(PurePath, names), wanted=["mixture"], only_wanted=True).words == "mixtures"


def test_the_stems_of_slakh():
    names = ["S00", "S01", "S02"]
    assert recognise(grid(["Track1", "Track2"], names)).stems == ("s00", "s01", "s02")
    assert recognise(PurePath(f"{name}.flac") for name in names).stems == ("s00", "s01", "s02")
    layout = recognise([PurePath("mix.flac"), *grid(["stems"], names)])
    assert layout.stems == ("s00", "s01", "s02") and layout.unused == ("1 file outside the subfolders: mix.flac",)


def test_subfolders_with_files_of_several_songs():
    files = grid(["train", "test"], [f"{song}_{stem}" for song in "AB" for stem in ("bass", "drums")])
    message = refused(files)
    assert (
        "each subfolder has the stems of several songs, such as test/A_bass.wav" in message
        and "test/, instead" in message
    )


def test_unknown_subfolders_next_to_mixtures():
    message = refused([*grid(["bateria", "voz"], ["1", "2"]), PurePath("1.wav"), PurePath("2.wav")])
    assert "bateria/1.wav, voz/1.wav" in message and "1.wav" in message and "--stems" in message


def test_stems_that_few_clips_have_are_ignored_unless_they_are_expected():
    files = [*grid(["bass", "drums"], ["a", "b", "c"]), *grid(["piano"], ["a"])]
    layout = recognise(files)
    assert layout.stems == ("bass", "drums") and layout.unused == ("1 file: piano/a.wav",)
    assert recognise(files, wanted=["drums", "piano", "flute"]).stems == ("drums", "piano", "bass")
    # Clips with one file do not decide.
    assert recognise([*files, *grid(["bass"], "defghij")]).stems == ("bass", "drums")


def test_only_the_expected_stems():
    files = grid(["one", "two"], ["mixture", "Vocals", "drums", "bass"])
    assert recognise(files, wanted=["VOCALS", "bass"], only_wanted=True).stems == ("VOCALS", "bass")
    layout = recognise(files, wanted=["mixture"], only_wanted=True)
    assert layout.words == "mixtures" and layout.stems == ("mixture",)
    assert layout.unused[0] == "2 files, such as one/bass.wav" and len(layout.unused) == 3
    assert "no stem piano (found: mixture, Vocals" not in (
        message := refused(files, wanted=["piano"], only_wanted=True)
    )
    assert message == "no stem piano (found: bass, drums, mixture, vocals)"
    message = refused(files, wanted=["voclas"], only_wanted=True)
    assert message == "no stem voclas (found: bass, drums, mixture, vocals). Did you mean vocals?"
    master = recognise(grid(["one", "two"], ["bass", "drums", "master"]), wanted=["mixture"], only_wanted=True)
    assert master.stems == ("mixture",) and master.clips["one"]["mixture"] == PurePath("one/master.wav")


def test_names_given_by_the_user_are_meant_literally():
    folders = [f"stem_{i}" for i in range(4)]
    for wanted in (folders[::-1], ["stem_1", "stem_3"], ["stem_3"]):
        stems, clips = found(grid(folders, ["a"]), wanted=wanted, only_wanted=True)
        assert stems == tuple(wanted) and clips["a"] == {stem: f"{stem}/a.wav" for stem in wanted}
    # Also those of a reference.
    stems, clips = found(grid(folders, ["a"]), wanted=[f"stem_{i}" for i in range(1, 5)])
    assert {*stems} == {*folders} and clips["a"] == {stem: f"{stem}/a.wav" for stem in stems}
    assert recognise(grid(["stem_0"], ["a"]), wanted=["mixture"]).stems == ("stem_0",)
    files = grid(["s", "t"], ["01_bass", "02_bass"])
    stems, clips = found(files, wanted=["02_bass", "01_bass"], only_wanted=True)
    assert stems == ("02_bass", "01_bass") and clips["s"]["02_bass"] == "s/02_bass.wav"
    assert refused(grid(["s", "t"], ["01_bass"]), wanted=["bass", "01_bass"], only_wanted=True).startswith(
        "no stem bass"
    )


def test_the_names_of_numbered_stems_are_returned():
    folders = [f"stem_{i}" for i in range(4)]
    names = dict(zip(folders, FOUR))
    assert recognise(grid(folders, ["a"]), wanted=FOUR).renamed == names
    assert recognise(grid(folders, ["a"]), wanted=["x"], only_wanted=True).renamed == {"stem_0": "x"}
    assert recognise(grid(FOUR, ["a"]), wanted=FOUR).renamed == recognise(grid(folders, ["a"])).renamed == {}


def test_single_files_that_are_not_used_are_counted_together():
    files = [*grid(["A", "B", "C"], ["bass", "drums"]), *grid(["previews"], ["A", "B", "C"]), PurePath("all.wav")]
    layout = recognise(files)
    assert layout.unused == ("3 files, such as previews/A.wav", "1 file outside the subfolders: all.wav")


@pytest.mark.parametrize(
    "files, said",
    [
        (["bass/a.wav", "bass/a.flac"], "bass/a.wav: same clip as a.flac in the same folder"),
        (["bass/a.wav", "Bass/a.wav", "drums/a.wav"], "two folders for the stem bass, Bass and bass"),
        (["bass/a.wav", "Bass/b.wav", "drums/a.wav"], "two folders for the stem bass, Bass and bass"),
        (["s/Bass.wav", "s/bass.flac", "s/drums.wav"], "s/bass.flac: same stem as Bass.wav in the same folder"),
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
    [
        ("01 Bass", "01 bass"),
        ("STEM-03", "stem_3"),
        ("02", "02"),
        ("Mixes", "mixture"),
        ("Lead Vocals", "lead vocals"),
        ("(Vocals)", "vocals"),
    ],
)
def test_plain_names(name, label):
    assert plain(name) == label
