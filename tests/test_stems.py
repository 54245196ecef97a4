"""Any set of stems: what is scored for stems of other names and numbers, for mixtures alone, and for missing stems."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

import mtbench
from conftest import clicks, write_clips
from mtbench import cli, config, registry, runner
from mtbench.cache import Cache
from mtbench.controls import Heldout
from mtbench.errors import MtbenchError, UsageError
from mtbench.folder import FolderModel
from mtbench.metrics import fad
from mtbench.metrics.embeddings import embedding
from mtbench.progress import hidden
from mtbench.runner.analyse import analyse_reference
from mtbench.runner.evaluation import Arrays
from mtbench.stems import Songs, StemSet, with_silence
from mtbench.suites.folder import complete_clips, stem_folder

RATE = 16000
SETTING = {"fps": 100, "window": 0.15, "timebase": "real", "progress": False}
OPTIONS = ["--fps", "100", "--window", "0.15", "--timebase", "real"]
STAGE = hidden


def waves(stems, number=0, bpm=120):
    """Return {stem: clicks of 10.24 s at `bpm`}, each stem at another pitch."""
    random = np.random.default_rng(number)
    return {
        stem: clicks(bpm, 10.24, 0.1 + 0.02 * number, tone=300.0 * (i + 1))
        + 0.003 * random.standard_normal(163840).astype(np.float32)
        for i, stem in enumerate(stems)
    }


def clips(stems, n=4, first=0):
    return {f"c{i}": waves(stems, i) for i in range(first, first + n)}


def write_songs(folder: Path, of_clips) -> Path:
    """Write {clip: {stem: wave}} as one folder per song."""
    for clip, stems in of_clips.items():
        (folder / clip).mkdir(parents=True)
        for stem, wave in stems.items():
            soundfile.write(folder / clip / f"{stem}.wav", wave, RATE)
    return folder


def tracks(result, model, metric):
    scores = result.scores[(result.scores["model"] == model) & (result.scores["metric"] == metric)]
    return scores["track"].tolist()


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """A `folder:` suite of three stems, one folder per song: four reference songs and four held-out songs."""
    folder = tmp_path_factory.mktemp("songs")
    write_songs(folder / "reference", clips(["Vocals", "Drums", "Bass"]))
    write_songs(folder / "heldout", clips(["bass", "drums", "vocals"], first=4))
    return folder


def test_fad_is_compared_for_the_mixture_and_the_stems_of_both_sides(songs):
    mine = clips(["BASS", "oud", "drums"], first=8)
    result = mtbench.evaluate(mine, f"folder:{songs}", sample_rate=RATE, name="mine", **SETTING)
    assert tracks(result, "mine", "fad") == ["mixture", "bass", "drums"]
    assert tracks(result, "heldout", "fad") == ["mixture", "bass", "drums", "vocals"]
    assert tracks(result, "mine", "irs") == ["bass", "drums", "oud", "all"]
    assert tracks(result, "mine", "cbs") == ["all"]
    assert tracks(result, "mine", "tuning") == ["bass", "oud"]  # not of drums
    assert (
        f"mine: FAD is not compared for oud (only in mine) and vocals (only in folder:{songs}); rhythm scores over "
        "all stems are not comparable with those of the controls, which have other stems"
    ) in result.notices
    irs = next(line for line in result.table("markdown", full=True).splitlines() if line.startswith("| model | bass"))
    assert irs.startswith("| model | bass ↓ | drums ↓ | vocals ↓ | oud ↓ | all ↓ |")
    # The FAD of a stem by a plain call.
    embed = embedding("log-mel-stats")
    sides = [
        [embed(np.floor(clip[stem] * 32768) / np.float32(32768)) for clip in side.values()]
        for side, stem in ((mine, "drums"), (clips(["Vocals", "Drums", "Bass"]), "Drums"))
    ]
    expected = fad(*(np.concatenate(frames) for frames in sides))
    scores = result.scores.query("model == 'mine' and metric == 'fad' and track == 'drums'")
    assert scores["value"].item() == pytest.approx(expected, rel=1e-6)


def test_rhythm_across_stems_needs_two_stems():
    one, two = (
        mtbench.evaluate(clips(stems, n=1), sample_rate=RATE, **SETTING).scores for stems in (["oud"], ["oud", "ney"])
    )
    assert set(one["metric"]) == {"irs", "live", "tuning", "clipped"} and set(one["track"]) == {"oud", "all", "mixture"}
    assert set(two["metric"]) == {*one["metric"], "cbs", "cbd_mean", "cbd_std", "cbd_median"}
    irs = two[two["metric"] == "irs"].set_index("track")["value"]
    assert irs["all"] == pytest.approx((irs["oud"] + irs["ney"]) / 2)


def test_a_mixture_alone_has_only_the_fad_of_the_mixture(songs, tmp_path):
    for clip, stems in clips(["a", "b"]).items():
        soundfile.write(tmp_path / f"{clip}.wav", np.clip(sum(stems.values()), -1, 1), RATE)
    stems = mtbench.evaluate(clips(["a", "b"]), f"folder:{songs}", sample_rate=RATE, name="mine", **SETTING)
    result = mtbench.evaluate(tmp_path, f"folder:{songs}", **SETTING)
    of_mixture = result.scores[result.scores["model"] == tmp_path.name]
    assert of_mixture[["metric", "track", "n_scored"]].to_numpy().tolist() == [["fad", "mixture", 4]]
    # The sum of the stems, each rounded to 16 bits, differs from the rounded sum by a step or two.
    assert of_mixture["value"].item() == pytest.approx(value(stems, "mine"), rel=1e-3)
    assert tracks(result, "heldout", "cbs") == ["all"]
    with pytest.raises(UsageError, match="contains mixtures without stems, .* use --reference"):
        mtbench.evaluate(tmp_path, **SETTING)


def value(result, model, metric="fad", track="mixture"):
    where = result.scores[["model", "metric", "track"]].eq([model, metric, track]).all(axis=1)
    return result.scores[where]["value"].item()


def test_mixtures_are_a_reference(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for part, first in (("reference", 0), ("heldout", 4), ("mdl", 8)):
        folder = tmp_path / part if part == "mdl" else tmp_path / "songs" / part
        folder.mkdir(parents=True)
        for clip, stems in clips(["a", "b"], first=first).items():
            soundfile.write(folder / f"{clip}.wav", np.clip(sum(stems.values()), -1, 1), RATE)
    result = mtbench.run("folder:mdl", suite="folder:songs", n=4, **SETTING)
    table = result.scores[["model", "metric", "track"]].to_numpy().tolist()
    assert table == [[model, "fad", "mixture"] for model in ("mdl", "heldout", "noise")]
    assert (result.folder / "site" / "index.html").is_file() and "FAD mixture" in result.table()
    mine = mtbench.evaluate(clips(["a", "b"], first=8), "folder:songs", sample_rate=RATE, name="mine", **SETTING)
    assert tracks(mine, "mine", "fad") == ["mixture"] and tracks(mine, "mine", "irs") == ["a", "b", "all"]
    assert tracks(mine, "heldout", "irs") == []
    with pytest.raises(UsageError, match="has mixtures without stems, which model 'synctrack' cannot .* mtbench eval"):
        mtbench.run("synctrack", suite="folder:songs", n=4, **SETTING)
    with pytest.raises(UsageError, match="'arrangement' needs at least two stems .the suite has mixture"):
        mtbench.run("folder:mdl", suite="folder:songs", n=4, task="arrangement", **SETTING)


def test_a_run_has_the_stems_of_its_suite(songs, tmp_path):
    mine = write_songs(tmp_path / "mine", clips(["01_bass", "02_drums", "03_vocals", "04_oud"], first=8))
    options = {"suite": f"folder:{songs}", "n": 4, **SETTING}
    result = mtbench.run(f"folder:{mine}", out=tmp_path / "run", **options)
    for model in ("mine", "heldout", "noise"):
        assert tracks(result, model, "fad") == ["mixture", "bass", "drums", "vocals"]
        assert tracks(result, model, "irs") == ["bass", "drums", "vocals", "all"]
    assert sorted(path.name for path in (tmp_path / "run/audio/total/mine").iterdir() if path.is_dir()) == [
        "bass",
        "conversions",
        "drums",
        "vocals",
    ]
    (page,) = (tmp_path / "run/site/models").rglob("mine*.html")
    assert '<span class="stem stem-vocals">vocals</span>' in page.read_text()
    arranged = mtbench.run("noise", task="arrangement", subsets="BV", out=tmp_path / "arranged", **options)
    assert set(arranged.scores["given"]) == {"drums"}
    assert tracks(arranged, "noise", "fad") == ["mixture", "generated", "bass", "vocals"]
    without = write_songs(tmp_path / "without", clips(["bass", "drums"]))
    with pytest.raises(UsageError, match=f"folder:{without}: the folder has no vocals .found: bass, drums., and suite"):
        mtbench.run(f"folder:{without}", out=tmp_path / "other", **options)


def test_eval_names_the_stems_and_takes_stems(tmp_path):
    folder = write_songs(tmp_path / "mine", clips(["Vocals", "drums", "oud", "mixture"], n=1))

    def mtbench_eval(*more):
        done = CliRunner().invoke(cli.app, ["eval", str(folder), "--out", str(tmp_path / "run"), *OPTIONS, *more])
        return done.exit_code, " ".join((done.stdout + done.stderr).split())

    code, output = mtbench_eval()
    assert (
        code == 0
        and "note: mine: stems drums, oud, vocals (one folder per song); 1 clip: c0; not used: 1 file: c0/mixture.wav"
        in output
    )
    code, output = mtbench_eval("--stems", "vocals,oud")
    assert (
        code == 0 and "mine: stems vocals, oud (one folder per song); 1 clip: c0; not used: 2 files, such as" in output
    )
    result = mtbench.load(tmp_path / "run")
    assert tracks(result, "mine", "irs") == ["vocals", "oud", "all"]
    code, output = mtbench_eval("--stems", "vocals,piano")
    assert code == 2 and f"{folder}: no stem piano (found: drums, mixture, oud, vocals)" in output
    code, output = mtbench_eval("--stems", "vocals,,oud")
    assert code == 2 and "--stems: 'vocals,,oud' is not a comma-separated list" in output


def test_numbered_stems_are_named_in_python_and_by_the_reference(songs, tmp_path):
    folder = write_songs(tmp_path / "mine", clips(["stem_0", "stem_1", "stem_2"], n=1))
    plain = mtbench.evaluate(folder, **SETTING)
    assert tracks(plain, "mine", "irs") == ["stem_0", "stem_1", "stem_2", "all"]
    named = mtbench.evaluate(folder, stem_names=["oud", "ney", "daf"], **SETTING)
    assert tracks(named, "mine", "irs") == ["oud", "ney", "daf", "all"]
    compared = mtbench.evaluate(folder, f"folder:{songs}", **SETTING)
    assert tracks(compared, "mine", "irs") == ["bass", "drums", "vocals", "all"]


def test_names_of_stems_given_by_the_user_are_literal_and_in_lower_case(tmp_path):
    folder = write_songs(tmp_path / "mine", clips(["stem_0", "stem_1", "Drums"], n=1))
    with_names = mtbench.evaluate(folder, stem_names=["stem_1", "DRUMS", "stem_0"], **SETTING)
    assert tracks(with_names, "mine", "irs") == ["stem_1", "drums", "stem_0", "all"]
    assert tracks(with_names, "mine", "tuning") == ["stem_1", "stem_0"]  # not of drums
    without = mtbench.evaluate(folder, stem_names=["stem_0", "stem_1"], **SETTING)
    for stem in ("stem_0", "stem_1"):
        assert value(with_names, "mine", "irs", stem) == value(without, "mine", "irs", stem)
    for names in (["mixture", "drums"], ["Mix", "drums"]):
        with pytest.raises(UsageError, match="either 'mixture' alone or without it, because it is the sum"):
            mtbench.evaluate(folder, stem_names=names, **SETTING)
    for names in (["bass", "BASS"], ["stem_1", "stem_01"]):
        with pytest.raises(UsageError, match="must have different names"):
            mtbench.evaluate(folder, stem_names=names, **SETTING)
    with pytest.raises(UsageError, match=f"{folder}: no stem drmus .found: drums, stem_0, stem_1.. Did you mean drums"):
        mtbench.evaluate(folder, stem_names=["drmus"], **SETTING)


def test_a_note_says_which_numbered_stem_is_which(songs, tmp_path):
    folder = write_songs(tmp_path / "mine", clips(["stem_0", "stem_1", "stem_2"], n=1))
    said = "one folder per song; stem_0 = bass, stem_1 = drums, stem_2 = vocals"
    notices = mtbench.evaluate(folder, f"folder:{songs}", **SETTING).notices
    assert f"mine: stems bass, drums, vocals ({said}); 1 clip: c0" in notices
    arrays = clips(["stem_0", "stem_1", "stem_2"], n=1)
    result = mtbench.evaluate(arrays, f"folder:{songs}", sample_rate=RATE, name="mine", **SETTING)
    assert "mine: stem_0 = bass, stem_1 = drums, stem_2 = vocals" in result.notices
    assert tracks(result, "mine", "irs") == ["bass", "drums", "vocals", "all"]
    named = mtbench.evaluate(arrays, sample_rate=RATE, stem_names=["oud", "ney"], **SETTING)
    assert tracks(named, "stems", "irs") == ["oud", "ney", "all"]
    assert "stems: stem_0 = oud, stem_1 = ney" in named.notices
    assert "stems: stems oud, ney; not used: stem_2 of 1 clip" in named.notices


def test_arrays_that_are_not_used_are_counted():
    arrays = clips(["Drums", "oud", "Mix"], n=2)
    del arrays["c1"]["Mix"]
    result = mtbench.evaluate(arrays, sample_rate=RATE, **SETTING)
    assert tracks(result, "stems", "irs") == ["drums", "oud", "all"]
    assert tracks(result, "stems", "tuning") == ["oud"]
    assert "stems: stems drums, oud; not used: mixture of 1 clip" in result.notices
    only = mtbench.evaluate(arrays, sample_rate=RATE, stem_names="OUD", **SETTING)
    assert tracks(only, "stems", "irs") == ["oud", "all"]
    assert "stems: stems oud; not used: drums of 2 clips, mixture of 1 clip" in only.notices
    with pytest.raises(UsageError, match="either 'mixture' alone or without it"):
        mtbench.evaluate(arrays, sample_rate=RATE, stem_names=["mixture", "oud"], **SETTING)
    del arrays["c1"]["oud"]
    with pytest.raises(UsageError, match="clip 'c1': expected the stems drums, oud, got drums"):
        mtbench.evaluate(arrays, sample_rate=RATE, **SETTING)


def touched(folder: Path, *names: str) -> Path:
    """Create empty files; only their names count where no audio is read."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_audio_that_is_not_used_is_counted(tmp_path):
    folder = touched(
        tmp_path / "mine",
        *("bass/1.wav", "drums/1.wav", "mix/1.wav", "vocals/1.aac", "vocals/2.WMA", "all.mp3", "notes.txt"),
        *("bass/old/1.wav", "bass/old/older/1.wav", ".hidden/a/b.wav", "bass/._1.wav"),
    )
    assert stem_folder(folder).in_words == (
        "stems bass, drums (one folder per stem); 1 clip: 1; not used: 1 file: mix/1.wav; 1 file outside the "
        "subfolders: all.mp3; 2 files in subfolders of subfolders, such as bass/old/1.wav; 2 files of a format that is "
        "not read, such as vocals/1.aac"
    )
    slakh = touched(tmp_path / "slakh", *(f"T{i}/{name}" for i in "12" for name in ("mix.flac", "stems/S00.flac")))
    assert stem_folder(slakh).in_words == (
        "2 mixtures, such as T1/mix.flac; not used: 2 files in subfolders of subfolders, such as T1/stems/S00.flac"
    )
    many = touched(tmp_path / "many", *(f"{song}/{stem}.wav" for song in "abc" for stem in ("bass", *"klmnopq")))
    said = stem_folder(many, ["bass"], only_wanted=True).in_words
    assert said.endswith("3 files, such as a/o.wav; 6 files, such as a/p.wav") and said.count("3 files") == 5


def test_folders_without_audio_that_can_be_scored(tmp_path):
    deep = touched(tmp_path / "deep", "train/A/bass.wav", "train/A/drums.wav")
    with pytest.raises(UsageError) as error:
        stem_folder(deep)
    assert "no audio files in it or in its subfolders, but deeper, such as train/A/bass.wav" in str(error.value)
    assert str(error.value).endswith(f"name one of its subfolders, such as {deep}/train")
    other = touched(tmp_path / "other", "bass/1.wma", "bass/2.wma", "song.stem.mp4")
    with pytest.raises(
        UsageError, match=r"no audio files that mtbench reads \(.wav, .*\), but 3 files of other formats"
    ):
        stem_folder(other)
    unknown = touched(tmp_path / "unknown", "x/1.wav", "y/2.wav", "x/old/3.wav", "x/1.ape")
    with pytest.raises(UsageError, match="The folder also has 1 file in subfolders of .* and 1 file of a format"):
        stem_folder(unknown)


def test_incomplete_clips_are_named_with_how_files_are_matched(tmp_path):
    with pytest.raises(UsageError) as error:
        complete_clips(touched(tmp_path / "x", "bass/Song.wav", "drums/song.wav"))
    assert "no clip has all stems (bass, drums); files of the same clip need the same name in every" in str(error.value)
    assert str(error.value).endswith("2 incomplete clips are left out: Song (no drums); song (no bass)")
    found = stem_folder(touched(tmp_path / "y", "A/bass.wav", "A/drums.wav", "A/mixture.wav", "Fox/mixture.wav"))
    assert list(found.clips) == ["A"] and found.incomplete == {"Fox": ["bass", "drums"]}
    # A clip that has only stems that are not wanted is not one of silent optional stems.
    optional = stem_folder(tmp_path / "y", ["bass", "drums"], True, ["bass", "drums"])
    assert optional.incomplete == {"Fox": ["bass", "drums"]}


def test_a_run_and_an_evaluation_use_the_same_words_for_a_folder(songs, tmp_path):
    mine = write_songs(tmp_path / "mine", {**clips(["bass", "drums", "vocals", "mix"], n=2), "x": waves(["bass"])})
    said = [
        "mine: stems bass, drums, vocals (one folder per song); 2 clips, such as c0; "
        "not used: 2 files, such as c0/mix.wav",
        "mine: 1 incomplete clip is left out: x (no drums, vocals)",
    ]
    ran = mtbench.run(f"folder:{mine}", suite=f"folder:{songs}", n=2, out=tmp_path / "run", **SETTING)
    evaluated = mtbench.evaluate(mine, f"folder:{songs}", **SETTING)
    for result in (ran, evaluated):
        assert {*said} <= {*result.notices}
    reference = f"reference of folder:{songs}: stems bass, drums, vocals (one folder per song); 4 clips, such as c0"
    assert reference in ran.notices and reference in evaluated.notices
    none = f"suite 'folder:{mine}' has no held-out songs, so the control 'heldout' is left out"
    assert none in mtbench.run(f"folder:{mine}", suite=f"folder:{mine}", n=2, out=tmp_path / "2", **SETTING).notices
    assert none in mtbench.evaluate(mine, f"folder:{mine}", **SETTING).notices


def test_folders_of_mixtures_or_without_a_mixture_cannot_run(songs, tmp_path):
    flat = touched(tmp_path / "flat", "1.wav", "2.wav")
    for number in "12":
        soundfile.write(flat / f"{number}.wav", waves(["a"])["a"], RATE)
    with pytest.raises(UsageError, match=f"folder:{flat}: the folder has mixtures without stems; use mtbench eval"):
        mtbench.run(f"folder:{flat}", suite=f"folder:{songs}", n=2, out=tmp_path / "run", **SETTING)
    with pytest.raises(UsageError, match="the folder has stems and no mixture; use mtbench eval"):
        mtbench.run(f"folder:{songs}/heldout", suite=f"folder:{flat}", n=2, out=tmp_path / "run", **SETTING)
    assert "flat: 2 mixtures, such as 1.wav" in mtbench.evaluate(flat, f"folder:{songs}", **SETTING).notices


PAIRS = (("bass", "drums"), ("bass", "vocals"))


def test_rows_of_different_stems_have_a_notice(tmp_path):
    folders = [write_songs(tmp_path / name, clips(stems, n=1)) for name, stems in (("x", PAIRS[0]), ("y", PAIRS[1]))]
    names = {"stem_names": ["bass"]}
    assert any("rows have different stems" in notice for notice in evaluate_pair(folders).notices)
    assert not any("rows have different stems" in notice for notice in evaluate_pair(folders, **names).notices)


def evaluate_pair(folders, **options):
    return mtbench.evaluate(folders, **SETTING, **options)


def test_scores_do_not_depend_on_the_order_of_arrays():
    forward = clips(["oud", "ney"])
    backward = dict(reversed(forward.items()))
    one, other = (mtbench.evaluate(arrays, sample_rate=RATE, **SETTING) for arrays in (forward, backward))
    pd.testing.assert_frame_equal(one.scores, other.scores)
    pd.testing.assert_frame_equal(one.samples, other.samples)


class Optional:
    """A suite of two stems, of which songs may lack the vocals."""

    name, split, version, sample_rate, n_samples = "theirs", "all", "1", RATE, 163840
    stems, optional_stems = ("drums", "vocals"), ("vocals",)

    def songs(self, first):
        def load(number):
            stems = waves(self.stems, number)
            return StemSet(f"s{number}", stems if number % 3 else {"drums": stems["drums"]}, RATE)

        return Songs(range(first, first + 4), load)

    def reference(self):
        return self.songs(0)

    def heldout(self):
        return self.songs(4)


def test_a_missing_optional_stem_is_silent_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "open_suite", lambda name: Optional())
    monkeypatch.setattr("mtbench.execute.joblib.cpu_count", lambda: 1)
    mine = clips(["drums", "vocals"], first=8)
    del mine["c9"]["vocals"]
    zeros = {**mine, "c9": {**mine["c9"], "vocals": np.zeros(163840, np.float32)}}
    grid = config.Grid(fps=(100,), window=(0.15,), timebase=("real",))
    results = [
        runner.evaluate([source], "theirs", grid, ["log-mel-stats"], None, STAGE)
        for source in (
            Arrays("mine", mine, RATE),
            Arrays("mine", zeros, RATE),
            write_songs(tmp_path / "mine", mine),
        )
    ]
    pd.testing.assert_frame_equal(results[0].scores, results[1].scores)
    pd.testing.assert_frame_equal(results[0].scores, results[2].scores, rtol=1e-3)  # files have 16 bits
    missing = "the optional stem vocals is silent or missing in {} of 4 clips"
    for result in results:
        assert f"mine: {missing.format(1)}" in result.notices
        assert f"heldout: {missing.format(1)}" in result.notices  # song 6
        assert f"reference of theirs: {missing.format(2)}" in result.notices  # songs 0 and 3
        assert value(result, "heldout", "live", "vocals") == 0.75  # not in song 6
        assert np.isfinite(value(result, "mine", "fad", "vocals"))
    (song,) = Heldout(Optional()).generate(1, ["vocals"], start=2)
    assert song.stems["vocals"].shape == (163840,) and not song.stems["vocals"].any()
    model = FolderModel(str(tmp_path / "mine"), Optional())
    assert model.available == 4 and model.stems == ("drums", "vocals")
    silent = {sample.id: not sample.stems["vocals"].any() for sample in model.generate(4, ["drums", "vocals"])}
    assert silent == {"c8": False, "c9": True, "c10": False, "c11": False}


def test_a_missing_stem_that_is_not_optional_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(Optional, "optional_stems", ())
    with pytest.raises(MtbenchError, match="song 's0' has no stem vocals"):
        analyse_reference(Optional(), Optional().reference(), {}, ["log-mel-stats"], Cache(), STAGE)
    with pytest.raises(MtbenchError, match="song 's6' has no stem vocals"):
        with_silence(Optional().heldout()[2], ["drums", "vocals"], [])


def test_a_folder_is_the_same_however_its_path_is_written(songs, tmp_path, monkeypatch):
    shutil.copytree(songs, tmp_path / "songs")
    write_songs(tmp_path / "mdl", clips(["bass", "drums", "vocals"], first=8))
    (tmp_path / "below").mkdir()
    spellings = [
        (tmp_path, "folder:mdl", "folder:songs"),
        (tmp_path, "folder:./mdl/", "folder:songs/"),
        (tmp_path / "below", f"folder:{tmp_path}/mdl", "folder:../songs"),
    ]
    folders = []
    for where, model, suite in spellings:
        monkeypatch.chdir(where)
        wanted = config.validate({"models": [model], "suite": suite, "n": 2}, "test")
        folders.append(runner.default_folder(wanted))
        result = mtbench.run(model, suite=suite, n=2, out=tmp_path / "run", **SETTING)
        assert not result.failed
        monkeypatch.setattr(FolderModel, "generate", refuses)  # the samples of the first run are used
    assert folders[0] == folders[1] == folders[2] and folders[0].name.startswith("folder-songs-")
    (tmp_path / "mdl/c8/bass.wav").write_bytes((tmp_path / "mdl/c9/bass.wav").read_bytes())
    with pytest.raises(UsageError, match="samples of another run .different provenance."):
        mtbench.run(f"folder:{tmp_path}/mdl", suite="folder:../songs", n=2, out=tmp_path / "run", **SETTING)


def refuses(*arguments, **options):
    raise AssertionError("generated again")


def test_a_long_name_of_a_folder_is_shortened(tmp_path):
    long = tmp_path / ("n" * 250)
    write_clips(long, ["a"], seconds=2.0)
    row = config.folder_row(long)
    assert len(row) == 100 and row.startswith("n" * 91 + "-") and config.Model(name=f"folder:{long}").row == row
    assert config.folder_row("n" * 100) == "n" * 100
    assert len(config.folder_row(tmp_path / ("ü" * 120)).encode()) <= 100
    result = mtbench.evaluate(long, out=tmp_path / "run", **SETTING)
    assert set(result.scores["model"]) == {row} and mtbench.load(tmp_path / "run").folder == tmp_path / "run"
    with pytest.raises(UsageError, match="label must have at most 100 characters"):
        config.validate({"models": [{"name": "noise", "label": "n" * 101}]}, "test")
