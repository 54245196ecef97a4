"""The arrangement task, and a folder of audio as a model: given stems, generated stems, and metrics."""

import shutil
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile

from conftest import STEMS, clicks, write_clips
from mtbench import audio, config, execute, registry, runner
from mtbench.config import generated_stems
from mtbench.errors import UsageError
from mtbench.files import link_or_copy
from mtbench.folder import FolderModel
from mtbench.metrics import fad
from mtbench.metrics.embeddings import embedding
from mtbench.registry import open_suite
from mtbench.results.store import RunFolder
from mtbench.stems import StemSet

ONE_SETTING = {"fps": (100,), "window": (0.15,), "timebase": ("real",)}
LETTERS = {"B": "bass", "D": "drums", "G": "guitar", "P": "piano"}


class Fake:
    """Generates clicks at 90 BPM in every requested stem, and records the requests and the given clips."""

    name, sample_rate, stems, provenance = "fake", 16000, STEMS, {"what": "clicks"}
    tasks = frozenset({"total", "arrangement"})

    def __init__(self, fail_at=None, **attributes):
        self.fail_at, self.asked, self.given = fail_at, [], {}
        vars(self).update(attributes)

    def generate(self, n, stems, *, given=None, seed=0, start=0):
        for i in range(start, start + n):
            if (tuple(stems), i) == self.fail_at:
                raise KeyboardInterrupt
            self.asked.append((tuple(stems), i))
            if given is not None:
                assert len(given) > i
                self.given[tuple(stems), i] = given[i]
            yield StemSet(str(i), dict.fromkeys(stems, clicks(90, 10.24)), 16000)


class progress:
    shown: ClassVar[list[str]] = []

    def __init__(self, title, total):
        self.shown.append(title)

    def __enter__(self):
        return lambda steps, detail="": None

    def __exit__(self, *_): ...


def run(fake, suite_folder, out, monkeypatch, **asked):
    real = registry.make_model
    monkeypatch.setattr(registry, "make_model", lambda name, **o: fake if name == "fake" else real(name, **o))
    monkeypatch.setattr(execute.joblib, "cpu_count", lambda: 1)
    base = {"task": "arrangement", "models": ["fake"], "suite": f"folder:{suite_folder}", "n": 4, "grid": ONE_SETTING}
    return runner.run(config.validate(base | asked, "test"), out, "cpu", progress)


@pytest.fixture(scope="module")
def arranged(suite_folder, tmp_path_factory):
    """A run that generates bass, bass and piano, and all four stems: (fake, result, titles of its stages)."""
    fake, progress.shown = Fake(), []
    with pytest.MonkeyPatch.context() as patch:
        result = run(
            fake, suite_folder, tmp_path_factory.mktemp("arranged") / "run", patch, subsets=["B", "PB", "BDGP"]
        )
    return fake, result, progress.shown


def rows(result, **where):
    table = result.scores
    for column, wanted in where.items():
        table = table[table[column] == wanted]
    return table


GIVEN_OF_B, GIVEN_OF_BP = "drums+guitar+piano", "drums+guitar"


def test_every_subset_has_its_rows(arranged):
    _, result, _ = arranged
    models = {(row.task, row.given): set() for row in result.scores.itertuples()}
    for row in result.scores.itertuples():
        models[row.task, row.given].add(row.model)
    four = {"fake", "heldout", "shuffled", "noise"}
    assert models == {
        ("arrangement", GIVEN_OF_B): four,
        ("arrangement", GIVEN_OF_BP): four,
        ("total", ""): four - {"shuffled"},
    }
    assert result.failed == []
    assert set(result.provenances) == four


def test_tracks_of_each_metric(arranged):
    _, result, _ = arranged
    for given, generated in ((GIVEN_OF_B, ["bass"]), (GIVEN_OF_BP, ["bass", "piano"])):
        where = {"model": "fake", "given": given, "task": "arrangement"}
        assert rows(result, metric="fad", **where)["track"].tolist() == ["mixture", "generated", *generated]
        assert set(rows(result, metric="irs", **where)["track"]) == {*generated, "all"}
        assert set(rows(result, metric="live", **where)["track"]) == {*STEMS, "all"}
        assert rows(result, metric="cbs", **where)["track"].tolist() == ["all"]
    assert rows(result, metric="fad", model="fake", task="total")["track"].tolist() == ["mixture", *STEMS]


def test_a_model_generates_the_missing_stems_and_is_given_the_others(arranged, suite_folder):
    fake, _, _ = arranged
    assert fake.asked == [(made, i) for made in (("bass",), ("bass", "piano"), STEMS) for i in range(4)]
    assert set(fake.given) == {(made, i) for made in (("bass",), ("bass", "piano")) for i in range(4)}
    songs = open_suite(f"folder:{suite_folder}").heldout()
    for (made, i), given in fake.given.items():
        assert list(given.stems) == [stem for stem in STEMS if stem not in made] and given.sample_rate == 16000
        for stem, wave in given.stems.items():
            assert wave.dtype == np.float32
            np.testing.assert_array_equal(wave, songs[i].stems[stem])


def test_the_given_stems_are_the_recordings_bit_for_bit(arranged, suite_folder):
    _, result, _ = arranged
    names = [song.id for song in open_suite(f"folder:{suite_folder}").heldout()]
    assert sorted(names) == ["h0", "h1", "h2", "h3"]
    for model in ("fake", "heldout", "shuffled", "noise"):
        for i in range(4):
            folder = result.folder / f"audio/arrangement-{GIVEN_OF_BP}" / model
            for stem in ("drums", "guitar"):
                made, _ = soundfile.read(folder / stem / f"{i:05d}.wav", dtype="int16")
                recording, _ = audio.read(suite_folder / "heldout" / stem / f"{names[i]}.wav")
                np.testing.assert_array_equal(made, audio.to_pcm16(recording))
            made, _ = soundfile.read(folder / "bass" / f"{i:05d}.wav", dtype="int16")
            song = {"heldout": i, "shuffled": (i + 2) % 4}.get(model)
            if song is not None:
                recording, _ = audio.read(suite_folder / "heldout" / "bass" / f"{names[song]}.wav")
                np.testing.assert_array_equal(made, audio.to_pcm16(recording))
            if model == "fake":
                np.testing.assert_array_equal(made, audio.to_pcm16(clicks(90, 10.24)))


def frames(songs, stems):
    """Compute independently the embedding of the clipped sum of some stems."""
    network = embedding("log-mel-stats")
    sums = [np.clip(np.sum([song[stem] for stem in stems], axis=0, dtype=np.float32), -1, 1) for song in songs]
    return np.concatenate([network(audio.resample(wave, 16000, network.sample_rate)) for wave in sums])


@pytest.mark.parametrize("given, made", [(GIVEN_OF_B, ["bass"]), (GIVEN_OF_BP, ["bass", "piano"])])
def test_fad_equals_that_of_the_arrays(arranged, suite_folder, given, made):
    _, result, _ = arranged
    suite = open_suite(f"folder:{suite_folder}")
    reference, heldout = ([song.stems for song in songs] for songs in (suite.reference(), suite.heldout()))
    click = audio.to_float(audio.to_pcm16(clicks(90, 10.24)))
    samples = {
        "heldout": heldout,
        "fake": [{**song, **dict.fromkeys(made, click)} for song in heldout],
        "shuffled": [{**song, **{stem: heldout[(i + 2) % 4][stem] for stem in made}} for i, song in enumerate(heldout)],
    }
    for model, songs in samples.items():
        for track, stems in {"generated": made, "mixture": STEMS, "bass": ["bass"]}.items():
            value = rows(result, metric="fad", model=model, given=given, track=track)["value"].item()
            assert value == pytest.approx(fad(frames(songs, stems), frames(reference, stems)), rel=1e-6, abs=1e-6)


def test_the_controls_bound_the_synchronization_metrics(arranged):
    # The stems of a song click together, in song i at 0.1 + 0.01 i s; noise has no beats in common with them.
    _, result, _ = arranged

    def value(model, metric):
        return rows(result, model=model, metric=metric, given=GIVEN_OF_BP, track="all")["value"].item()

    assert value("heldout", "cbd_mean") == pytest.approx(0.0, abs=1e-3)
    assert value("shuffled", "cbd_mean") > value("heldout", "cbd_mean")
    assert value("fake", "cbs") < value("heldout", "cbs")  # 90 BPM together with 120 BPM
    total = rows(result, model="heldout", task="total", metric="cbs")["value"].item()
    assert value("heldout", "cbs") == total


def test_progress_and_tables_name_subset_and_model(arranged):
    _, result, shown = arranged
    assert "generate fake (bass, given drums+guitar+piano)" in shown
    assert "analyse shuffled (bass+piano, given drums+guitar)" in shown and "generate noise" in shown
    folder = RunFolder(result.folder)
    assert set(folder.read_table(f"beats/arrangement-{GIVEN_OF_BP}/fake.csv")["track"]) <= set(STEMS)
    conversions = folder.read_table(f"audio/arrangement-{GIVEN_OF_BP}/fake/conversions.csv")
    assert conversions["stem"].tolist() == 4 * ["bass", "piano"]
    assert folder.read_record()["config"]["subsets"] == ["B", "PB", "BDGP"]


def test_given_stems_do_not_depend_on_the_number_of_samples(suite_folder, tmp_path, monkeypatch):
    # A network that mixes the samples of a batch fills it up with further samples, and uses their given stems.
    class Mixes(Fake):
        def generate(self, n, stems, *, given=None, seed=0, start=0):
            self.given = [given[i] for i in range(len(given))]
            return super().generate(n, stems, seed=seed, start=start)

    monkeypatch.setattr(runner, "analyse_batch", stops)
    monkeypatch.setattr(runner, "analyse_reference", lambda *_: None)
    songs, given_of = open_suite(f"folder:{suite_folder}").heldout(), {}
    for n in (1, 3, 4):
        fake = Mixes()
        with pytest.raises(RuntimeError, match="far enough"):
            run(fake, suite_folder, tmp_path / str(n), monkeypatch, n=n, subsets=["BP"])
        assert len(list((tmp_path / str(n) / "audio/songs/bass").iterdir())) == n
        given_of[n] = fake.given
    for given in given_of.values():
        assert [(clip.id, list(clip.stems), clip.sample_rate) for clip in given] == [
            (f"{i:05d}", ["drums", "guitar"], 16000) for i in range(4)
        ]
        for clip, song in zip(given, songs):
            for stem, wave in clip.stems.items():
                np.testing.assert_array_equal(wave, song.stems[stem])


def test_each_subset_and_model_resumes_independently(suite_folder, tmp_path, monkeypatch):
    asked = {"n": 2, "subsets": ["B", "P"]}
    with pytest.raises(KeyboardInterrupt):
        run(Fake(fail_at=(("piano",), 1)), suite_folder, tmp_path / "run", monkeypatch, **asked)
    damaged = tmp_path / f"run/audio/arrangement-{GIVEN_OF_B}/fake/drums/00000.wav"  # a given stem
    damaged.unlink()
    damaged.write_bytes(b"")
    again = Fake()
    result = run(again, suite_folder, tmp_path / "run", monkeypatch, **asked)
    assert again.asked == [(("bass",), 0), (("piano",), 1)] and result.failed == []
    first = open_suite(f"folder:{suite_folder}").heldout()[0].id
    recording, _ = audio.read(suite_folder / f"heldout/drums/{first}.wav")
    np.testing.assert_array_equal(soundfile.read(damaged, dtype="int16")[0], audio.to_pcm16(recording))


def test_a_run_does_not_resume_with_other_songs(suite_folder, tmp_path, monkeypatch):
    suite = shutil.copytree(suite_folder, tmp_path / "suite")
    with pytest.raises(KeyboardInterrupt):
        run(Fake(fail_at=(("bass",), 0)), suite, tmp_path / "run", monkeypatch, n=1, subsets=["B"])
    soundfile.write(suite / "heldout/piano/h0.wav", np.zeros(163840), 16000)
    again = Fake()
    with pytest.raises(
        UsageError, match="songs contains samples of another run .different suite_version.; choose another --out"
    ):
        run(again, suite, tmp_path / "run", monkeypatch, n=1, subsets=["B"])
    assert again.asked == []


def test_given_stems_are_copied_if_hard_links_are_impossible(suite_folder, tmp_path, monkeypatch):
    def refuses(*_):
        raise OSError

    monkeypatch.setattr(Path, "hardlink_to", refuses)
    monkeypatch.setattr(runner, "analyse_reference", stops)
    (tmp_path / "song.wav").write_bytes(b"a song")
    for _ in range(2):  # the second time, an existing file is replaced
        link_or_copy(tmp_path / "song.wav", tmp_path / "below/given.wav")
        assert (tmp_path / "below/given.wav").read_bytes() == b"a song"


def stops(*_):
    raise RuntimeError("far enough")


@pytest.mark.parametrize(
    "fake, asked, said",
    [
        (
            Fake(tasks={"total"}),
            {"subsets": ["B"]},
            r"model 'fake' does not support the task 'arrangement' \(it supports total\)$",
        ),
        (
            Fake(tasks={"arrangement"}),
            {},
            r"does not support the task 'total' \(it supports arrangement\); "
            "use --subsets to leave out the subset of all stems",
        ),
        (
            Fake(stems=("bass",)),
            {"subsets": ["B", "BP"]},
            "model 'fake' cannot generate these stems of suite '.*': piano",
        ),
        (
            Fake(),
            {"n": 5, "subsets": ["B"]},
            "has only 4 held-out songs, but 5 samples per model need 5 for the given stems; use -n 4 or less",
        ),
        (
            Fake(),
            {"subsets": ["BX"]},
            r"subset 'BX': name the stems to generate by their initials \(B, D, G, P\) or in full, as in bass\+drums",
        ),
        (
            Fake(available=3),
            {"subsets": ["B"]},
            "model 'fake' has only 3 samples, but 4 were requested; use -n 3 or less",
        ),
    ],
)
def test_impossible_arrangements_are_refused_before_generating(fake, asked, said, suite_folder, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=said):
        run(fake, suite_folder, tmp_path / "run", monkeypatch, **asked)
    assert fake.asked == [] and not (tmp_path / "run").exists()


def test_a_suite_without_heldout_songs_cannot_be_arranged(suite_folder, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="has no held-out songs, so the task 'arrangement' is not possible"):
        run(Fake(), suite_folder / "reference", tmp_path / "run", monkeypatch, subsets=["B"])


def test_a_model_of_one_stem_generates_the_subset_of_that_stem(suite_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "analyse_reference", stops)
    fake = Fake(stems=("bass",), tasks={"arrangement"})
    with pytest.raises(RuntimeError, match="far enough"):
        run(fake, suite_folder, tmp_path / "run", monkeypatch, subsets=["bass"])


def test_default_subsets_are_those_of_the_papers_tables():
    table_3 = ["B", "D", "G", "P", "BD", "BG", "BP", "DG", "DP", "GP", "BDG", "BDP", "BGP", "DGP"]
    assert generated_stems((), STEMS) == [tuple(LETTERS[letter] for letter in subset) for subset in [*table_3, "BDGP"]]
    assert generated_stems((), ("drums", "vocals")) == [("drums",), ("vocals",), ("drums", "vocals")]


@pytest.mark.parametrize(
    "subsets, made",
    [
        (["PB"], [("bass", "piano")]),
        (["piano+bass", "BP", ("bass", "piano")], [("bass", "piano")]),
        (["drums", "D", "BDGP"], [("drums",), STEMS]),
    ],
)
def test_subsets_are_initials_or_names(subsets, made):
    assert generated_stems(subsets, STEMS) == made


@pytest.mark.parametrize("subset", ["", "BB", "bp", "bass+flute", "bass+bass", ()])
def test_invalid_subsets_are_named(subset):
    with pytest.raises(UsageError, match="name the stems to generate by their initials"):
        generated_stems([subset], STEMS)


def test_stems_with_the_same_initial_must_be_named_in_full():
    assert generated_stems(["bass+banjo"], ("bass", "banjo")) == [("bass", "banjo")]
    with pytest.raises(UsageError, match="subset 'B'"):
        generated_stems(["B"], ("bass", "banjo"))


def test_a_folder_of_audio_is_a_model(suite_folder, tmp_path, monkeypatch):
    mine = write_clips(tmp_path / "mine", ["b", "a", "c"], rate=44100, seconds=9.0)
    (mine / "drums" / "c.wav").unlink()
    asked = {"task": "total", "models": [f"folder:{mine}"], "n": 2}
    result = run(None, suite_folder, tmp_path / "run", monkeypatch, **asked)
    beside = runner.evaluate(
        [write_clips(tmp_path / "two/mine", ["b", "a"], rate=44100, seconds=9.0)],
        f"folder:{suite_folder}",
        config.Grid(**ONE_SETTING),
        ["log-mel-stats"],
        tmp_path / "eval",
        progress,
    )
    ours, theirs = (
        table[table["model"] == "mine"].set_index(["metric", "track"])["value"]
        for table in (result.scores, beside.scores)
    )
    assert len(ours) == len(theirs) > 10
    for key, value in theirs.items():
        assert ours[key] == pytest.approx(value, abs=1e-9, nan_ok=True), key
    provenance = result.provenances["mine"]
    assert (provenance["clips"], provenance["incomplete"]) == (2, 1) and len(provenance["content_sha256"]) == 64
    assert "mine: 8 stems shorter than the suite's clips were zero-padded" in result.notices
    run(None, suite_folder, tmp_path / "run", monkeypatch, **asked)  # resumes
    soundfile.write(mine / "bass" / "a.wav", np.zeros(9 * 44100), 44100)
    with pytest.raises(UsageError, match="different provenance"):
        run(None, suite_folder, tmp_path / "run", monkeypatch, **asked)


def test_the_samples_of_a_folder_are_its_files_in_the_order_of_their_hashes(tmp_path, suite_folder):
    mine = write_clips(tmp_path / "mine", ["b", "a"], rate=44100, seconds=1.0)
    suite = open_suite(f"folder:{suite_folder}")
    made = FolderModel(str(mine), suite)
    (b, a), (later,) = list(made.generate(2, STEMS)), made.generate(1, ["piano"], start=1)
    # The SHA-256 of "b" begins with 3e, that of "a" with ca.
    assert (b.id, a.id, later.id, made.sample_rate, made.available) == ("b", "a", "a", 44100, 2)
    np.testing.assert_array_equal(later.stems["piano"], audio.read(mine / "piano/a.wav")[0])
    assert b.sample_rate == 44100
    soundfile.write(mine / "bass" / "b.wav", np.zeros(22050), 22050)  # one stem at another rate
    (mixed,) = FolderModel(str(mine), suite).generate(1, STEMS)
    assert mixed.sample_rate == 16000 and all(len(wave) == 16000 for wave in mixed.stems.values())
    moved = mine.rename(tmp_path / "elsewhere")
    assert FolderModel(str(moved), suite).provenance["content_sha256"] != made.provenance["content_sha256"]


@pytest.mark.parametrize(
    "models, said",
    [
        (["folder:absent"], "absent: no such folder"),
        (["folder:{mine}", "noise"], "has only 2 samples, but 4 were requested; use -n 2"),
        ([{"name": "folder:{mine}", "weights": "w.pt"}], "accepts neither weights nor options"),
        (["folder"], "unknown model 'folder'. Did you mean 'folder:PATH'"),
        (["folder:{mine}", "folder:{mine}/../mine"], "'mine' is used twice; set a label for one of them"),
        (["folder:{mine}/../my stems"], "the folder name 'my stems' of folder:.* is not a valid row name; set a label"),
        (["heldouts"], "Did you mean 'heldout'"),
        (["shuffled"], "the control 'shuffled' exists only in the task arrangement"),
    ],
)
def test_invalid_folder_models_are_named(models, said, suite_folder, tmp_path, monkeypatch):
    mine = write_clips(tmp_path / "mine", ["a", "b"], seconds=1.0)
    models = [
        {key: text.format(mine=mine) for key, text in model.items()}
        if isinstance(model, dict)
        else model.format(mine=mine)
        for model in models
    ]
    with pytest.raises(UsageError, match=said):
        run(None, suite_folder, tmp_path / "run", monkeypatch, task="total", models=models)
    assert not (tmp_path / "run").exists()


def test_a_folder_may_have_a_label(suite_folder):
    labelled = config.Model(name="folder:some/my stems", label="stemgen")
    assert labelled.row == "stemgen" and config.Model(name="folder:some/stems/").row == "stems"
    with pytest.raises(UsageError, match="no such folder"):
        registry.make_model("folder:some/stems", suite=open_suite(f"folder:{suite_folder}"))


def test_a_recorded_config_is_read_back_unchanged():
    asked = config.validate(
        {"task": "arrangement", "models": ["synctrack"], "subsets": ["B", ["bass", "piano"]]}, "test"
    )
    assert [model.row for model in asked.models] == ["synctrack", "heldout", "shuffled", "noise"]
    assert config.validate(asked.model_dump(mode="json"), "test") == asked
    total = config.validate({"models": ["synctrack"]}, "test")
    assert config.validate(total.model_dump(mode="json"), "test") == total
    with pytest.raises(UsageError, match="only the task arrangement has subsets"):
        config.validate({"models": ["synctrack"], "subsets": "B"}, "test")
    with pytest.raises(UsageError, match="'shuffled' is the name of a control"):
        config.validate({"task": "arrangement", "models": [{"name": "synctrack", "label": "shuffled"}]}, "test")


def test_the_bundled_config_has_every_subset():
    asked = config.load(Path("arrangement-band.yaml"), {})
    assert generated_stems(asked.subsets, STEMS) == generated_stems((), STEMS)
