"""The site's files: the same every time, nothing from elsewhere, ranks as compared, timebases apart, texts escaped."""

import json
import re
import shutil
import struct
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import soundfile
from site_runs import make_run

from mtbench import beats
from mtbench.errors import UsageError
from mtbench.report import board, figures, listening, sensitivity, site, sources

RESULTS = Path(__file__).resolve().parents[1] / "results"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module")
def built(run, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("site")
    assert site.write([run], out) == out / "index.html"
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class Page(HTMLParser):
    """What a page points to, and its ids."""

    def __init__(self, text: str):
        super().__init__()
        self.targets, self.ids = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("href", "src", "action", "data"):
                self.targets.append(value)
            if name == "id":
                self.ids.append(value)


def test_the_same_bytes_every_time(run, built, tmp_path):
    site.write([run], tmp_path)
    assert contents(tmp_path) == contents(built)


def test_every_link_leads_to_a_file_of_the_site(built):
    pages = sorted(built.rglob("*.html"))
    # board, listening, sensitivity, data; a page a model; of each model the samples 0 (worst and fixed), 1 and 2 (best)
    assert len(pages) == 4 + 5 + 5 * 3
    for path in pages:
        page = Page(path.read_text())
        assert len(page.ids) == len(set(page.ids))
        for target in page.targets:
            assert "//" not in target and ":" not in target, (path, target)
            file, _, anchor = target.partition("#")
            found = (path.parent / unquote(file)).resolve() if file else path
            assert found.is_file() and found.is_relative_to(built), (path, target)
            if anchor:
                assert anchor in Page(found.read_text()).ids
    for path in [*built.glob("*.css"), *built.glob("*.js")]:
        assert not re.search(r"https?:|@import|url\(|fetch\(|innerHTML|insertAdjacentHTML|document\.write|eval\(", path.read_text())


def test_texts_from_outside_stay_texts(tmp_path):
    bad = "</script><img src=x onerror=alert(1)>\u2028"
    run = make_run(tmp_path / "<i>run", {bad: 2.0, "NA": 3.0, "heldout": 1.0}, audio=False, provenance={bad: {bad: bad}})
    site.write([run], tmp_path / "site")
    for path in (tmp_path / "site").rglob("*.html"):
        assert "<img" not in path.read_text() and "<i>run" not in path.read_text() and "<b>memory" not in path.read_text()
    text = (tmp_path / "site" / "data" / "board-total-band.js").read_text()
    assert text.isascii() and "<" not in text
    values = json.loads(text.removeprefix("mtbenchBoard(").removesuffix(")\n"))
    assert [row[0] for row in values["rows"]] == [bad, "NA", "heldout"]
    pages = sorted(path.name for path in (tmp_path / "site" / "models").rglob("*.html"))
    assert all(re.fullmatch(r"[a-z0-9._-]+", name) for name in pages) and len(pages) == 3


def test_names_of_files():
    taken = set()
    assert [sources.slug("a-b", taken), sources.slug("a-b", taken)] == ["a-b", "a-b-2"]
    assert sources.slug("A-b").startswith("a-b-") and sources.slug("A-b") != sources.slug("a-B")  # where case does not count
    assert sources.slug("../..") != sources.slug("..") and "/" not in sources.slug("../..")
    assert sources.slug(sources.slug("A-b")) != sources.slug("A-b")  # a name that looks like another's slug


def table_of(built: Path, slug: str = "total-band") -> dict:
    text = (built / "data" / f"board-{slug}.js").read_text()
    return json.loads(text.removeprefix("mtbenchBoard(").removesuffix(")\n"))


def test_ranks_are_those_of_the_comparisons(built):
    table = table_of(built)
    column = [column["title"] for column in table["columns"]].index("FAD mixture")
    ranks = {table["rows"][score[0]][0]: score[-1] for score in table["scores"] if score[1] == column}
    # alpha beats both, which are tied; the better controls take no rank and push nobody down.
    assert ranks == {"alpha": 1, "beta": 2, "gamma": 2, "heldout": None, "noise": None}
    live = [column["title"] for column in table["columns"]].index("Live stems")
    assert {score[-1] for score in table["scores"] if score[1] == live} == {None}  # neither side is better
    kinds = {row[0]: row[2] for row in table["rows"]}
    assert kinds == {"alpha": "measured", "beta": "embedded", "gamma": "measured", "heldout": "control", "noise": "control"}


def test_without_comparisons_no_rank_is_claimed(tmp_path):
    run = make_run(tmp_path / "run", audio=False, compared=False)
    site.write([run], tmp_path / "site")
    assert {score[-1] for score in table_of(tmp_path / "site")["scores"]} == {None}
    page = (tmp_path / "site" / "index.html").read_text()
    assert "No ranks" in page and page.count('<td class="rank">–</td>') == 5
    assert 'class="best"' not in page


def test_the_first_view_is_one_setting_of_the_true_timebase(run):
    read = sources.read([run])
    (one,) = board.boards(read.runs, sources.reported(None))
    lines = board.shown(one)
    assert [line["row"].model for line in lines] == ["heldout", "alpha", "beta", "gamma", "noise"]  # by FAD, lower first
    titles = [column.title for column in one.columns if "summary" in column.views]
    alpha = dict(zip(titles, lines[1]["cells"]))
    # FAD 2: IRS 2/100 s, CBS 1/3 + 0.15 (the standard window), never the published 2/3 of it.
    assert alpha["FAD mixture"]["text"] == "2.000" and alpha["IRS"]["text"] == "0.0200" and alpha["CBS"]["text"] == "0.483"
    assert alpha["FAD mixture"]["ends"][:2] == ["1.800", "2.200"] and alpha["FAD mixture"]["best"]
    assert lines[1]["coverage"] == "4/4"  # of the FAD that rows are in order of; CBS has 3
    # The axis is the competitors': from alpha's 1.8 to gamma's 5.5 and 6% more on each side; noise stands at its edge.
    low, high = 1.8 - 0.06 * 3.7, 5.5 + 0.06 * 3.7
    assert alpha["FAD mixture"]["at"] == pytest.approx(100 * (2 - low) / (high - low), abs=0.05)
    assert lines[-1]["cells"][0]["at"] == 100.0


def test_timebases_share_no_column(built):
    table = table_of(built)
    irs = [column["title"] for column in table["columns"]].index("IRS")
    bases = table["settings"]["timebase"]
    values = {(bases[score[3]], table["settings"]["fps"][score[4]]): score[8] for score in table["scores"]
              if score[1] == irs and table["rows"][score[0]][0] == "alpha"}
    assert values == {("true", 100.0): 0.02, ("true", 150.0): 0.02, ("published", 150.0): pytest.approx(0.02 * 2 / 3, rel=1e-5)}
    for path in built.rglob("*.html"):
        for part in re.findall(r"<table.*?</table>", path.read_text(), re.S):
            heads = re.findall(r"<thead>.*?</thead>", part, re.S)[0]
            if "0.0133" in part and "0.0200" in part:  # alpha's IRS in both
                assert ">published</th>" in heads and ">true</th>" in heads or ">timebase</th>" in heads


@pytest.fixture(scope="module")
def with_results(tmp_path_factory) -> Path:
    """A folder like ``results/``: a run on Slakh2100, scores alone, and the published numbers."""
    root = tmp_path_factory.mktemp("results")
    make_run(root / "slakh", {"synctrack": 2.0, "heldout": 1.0}, audio=False, suite="slakh2100/test")
    (root / "slakh" / "samples.csv").unlink()
    (root / "slakh" / "failures.csv").unlink()
    for name in ("published.csv", "releases.yaml"):
        shutil.copy(RESULTS / name, root / name)
    site.write([root], root / "site")
    return root / "site"


def test_reported_numbers_stand_apart(with_results):
    table = table_of(with_results, "total-slakh2100-test")
    titles, bases = [column["title"] for column in table["columns"]], table["settings"]["timebase"]
    reported = {i: row for i, row in enumerate(table["rows"]) if row[2] == "reported"}
    held = [score for score in table["scores"] if score[0] in reported]
    assert held and all(score[9:] == [None] * 5 for score in held)  # no interval, no counts, no rank
    assert all(bases[score[3]] == "published" for score in held if score[3] >= 0)
    mine = next(i for i, row in reported.items() if row[0] == "synctrack" and row[3].startswith("SyncTrack, ICLR 2026"))
    values = {(titles[score[1]], tuple(score[4:7])): score[8] for score in held if score[0] == mine}
    fps, window = table["settings"]["fps"].index(150.0), table["settings"]["window"].index(0.15)
    assert values["CBS", (fps, table["settings"]["transition_lambda"].index(100.0), window)] == 0.5206  # Table 5
    # Another embedding than the run's: the reported FAD does not stand under that one.
    fads = table["settings"]["fad"]
    assert fads == ["log-mel-stats@1, reference:64:abcdef01", "vggish-audioldm"]
    assert {fads[score[7]] for score in held if score[7] >= 0} == {"vggish-audioldm"}
    assert values["FAD mixture", (-1, -1, -1)] == 1.26
    page = (with_results / "index.html").read_text()
    assert "reported" in page and "Reported in papers, not ranked" in page


def test_the_sum_of_generated_stems_is_one_column(with_results):
    table = table_of(with_results, "arrangement-slakh2100-test")
    titles, given = [column["title"] for column in table["columns"]], table["settings"]["given"]
    assert [title for title in titles if title.startswith("FAD")] == ["FAD mixture", "FAD generated"]
    held = {(table["rows"][score[0]][0], given[score[2]]): score[8] for score in table["scores"] if titles[score[1]] == "CBS"}
    assert held == {("synctrack", "drums"): 0.5259, ("synctrack", "drums+guitar"): 0.5576, ("synctrack", "drums+guitar+piano"): 0.5620}


def test_results_alone_are_enough(with_results):
    assert "No audio here" in (with_results / "listening.html").read_text()
    model = (with_results / "models" / "slakh" / "synctrack.html").read_text()
    assert "kept no scores of single samples" in model and "kept no list of failures" in model
    assert "First release" in (with_results / "data.html").read_text()
    assert not (with_results / "audio").exists()


@pytest.mark.parametrize("name, text, said", [
    ("published.csv", "a,b\n", "it has no column paper"), ("published.csv", '"', "cannot be read as a table"),
    ("releases.yaml", "releases: 3", "must be a list"), ("releases.yaml", "releases: [{version: 1}]", "must be a list"),
])
def test_damaged_results_are_named(name, text, said, tmp_path):
    make_run(tmp_path / "run", audio=False)
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=said) as raised:
        site.write([tmp_path], tmp_path / "site")
    assert str(tmp_path / name) in str(raised.value)


def test_the_committed_results_make_light_pages(tmp_path):
    site.write([RESULTS], tmp_path)
    shared = sum((tmp_path / name).stat().st_size for name in ("site.css", "icon.svg"))
    for path in tmp_path.rglob("*.html"):
        page = Page(path.read_text())
        scripts = sum((path.parent / target).stat().st_size for target in page.targets if target.endswith(".js"))
        pictures = sum((path.parent / target).stat().st_size for target in page.targets if target.endswith(".png"))
        boards = sum(file.stat().st_size for file in tmp_path.glob("data/board-*.js")) if path.name == "index.html" else 0
        assert shared + path.stat().st_size + scripts + pictures + boards < 300_000, path


def test_a_models_page(built):
    page = (built / "models" / "demo" / "beta.html").read_text()
    assert "ab" * 32 in page and "a small checkpoint trained on synthetic songs" in page and "c0ffee" in page
    assert "00009: no &lt;b&gt;memory&lt;/b&gt;" in page
    assert ("mtbench run --models beta --suite band -n 4 --seed 7 --fps 100,150 --transition-lambda 100 --window 0.05,0.15 "
            "--timebase true,published --embedding log-mel-stats") in page
    # FAD 4: the samples' CBD mean are 0.04, 0.044, 0.048, 0.052; their quartiles by linear interpolation.
    assert re.search(r"beta</th><td>4/4</td><td>0.040</td><td>0.043</td><td>0.046</td><td>0.049</td><td>0.052</td>", page)


def test_a_run_with_weights_is_reproduced_by_a_config(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "run")
    record = (other / "run.yaml").read_text()
    (other / "run.yaml").write_text(record.replace("label: null\n    weights: null", "label: null\n    weights: 'a b.pt'", 1))
    site.write([other], tmp_path / "site")
    page = (tmp_path / "site" / "models" / "run" / "alpha.html").read_text()
    assert "weights: a b.pt" in page and "mtbench run --config reproduce.yaml" in page


def test_which_samples_there_are_to_hear(run):
    chosen = [sample for sample in listening.choose(sources.read([run]).runs[0]) if sample.model == "alpha"]
    # CBS grows with the number of the sample, and the last, 3, has none: best 2, worst 0.
    assert [(sample.id, sample.why) for sample in chosen] == [("00000", ("fixed", "worst")), ("00001", ("fixed",)), ("00002", ("best",))]
    assert chosen[0].kept == 4 and chosen[0].setting == (100.0, 100.0, 0.15, "true")
    times, down = chosen[0].beats["bass"]
    assert times == pytest.approx([0.1, 0.6, 1.1, 1.6]) and down.tolist() == [True, False, False, False]


def test_published_beats_are_drawn_in_true_seconds(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "run")
    for name in ("scores.csv", "samples.csv"):
        table = pd.read_csv(other / name, dtype=str, keep_default_na=False)
        table[table["timebase"] != "true"].to_csv(other / name, index=False)
    sample = listening.choose(sources.read([other]).runs[0])[0]
    assert sample.setting[3] == "published" and sample.beats["bass"][0] == pytest.approx([0.1, 0.6, 1.1, 1.6])


def test_audio_that_was_not_kept_is_not_offered(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "run")
    for stem in ("bass", "drums", "guitar", "piano"):
        (other / "audio" / "total" / "alpha" / stem / "00002.wav").unlink()
    chosen = [sample for sample in listening.choose(sources.read([other]).runs[0]) if sample.model == "alpha"]
    assert [(sample.id, sample.why) for sample in chosen] == [("00000", ("fixed", "worst")), ("00001", ("fixed", "best"))]
    assert {sample.kept for sample in chosen} == {3}


@pytest.mark.parametrize("absolute", [False, True])
def test_no_audio_or_beats_from_outside_the_run(absolute, run, tmp_path, monkeypatch):
    inside, outside = shutil.copytree(run, tmp_path / "run"), tmp_path / "other"
    name = str(outside) if absolute else "../../../other"
    for kind, source in (("audio", "audio/total/alpha"), ("beats", "beats/total/alpha.csv")):
        (inside / source).rename(outside.with_suffix(".csv") if kind == "beats" else outside)
    monkeypatch.chdir(tmp_path)  # a run's path may be relative
    for file in ("scores.csv", "samples.csv"):
        table = pd.read_csv(inside / file, dtype=str, keep_default_na=False)
        table.assign(model=table["model"].replace("alpha", name)).to_csv(inside / file, index=False)
    assert {sample.model for sample in listening.choose(sources.read([Path("run")]).runs[0])} == {"beta", "gamma", "heldout", "noise"}
    (inside / "beats" / "total" / "beta.csv").rename(tmp_path / "beta.csv")
    (inside / "beats" / "total" / "beta.csv").symlink_to(tmp_path / "beta.csv")
    assert {sample.model: bool(sample.beats) for sample in listening.choose(sources.read([Path("run")]).runs[0])} == {
        "beta": False, "gamma": True, "heldout": True, "noise": True}


def test_flac_holds_the_very_samples(run):
    import io

    path = run / "audio" / "total" / "alpha" / "bass" / "00000.wav"
    held, rate = soundfile.read(io.BytesIO(listening.flac(path)), dtype="int16")
    wanted, wanted_rate = soundfile.read(path, dtype="int16")
    assert rate == wanted_rate and np.array_equal(held, wanted)


def test_the_picture_is_a_png_low_bands_below(tmp_path):
    from PIL import Image  # matplotlib brings it

    columns = np.full((5, 64), -9.0)  # below the range: the first colour
    columns[3, 0] = 99.0  # the lowest band of the fourth column, beyond the range: the last colour
    data = listening.picture(columns)
    assert struct.unpack(">II", data[16:24]) == (5, 64)
    (tmp_path / "mel.png").write_bytes(data)
    levels = np.array(Image.open(tmp_path / "mel.png"))
    assert levels.shape == (64, 5) and levels[63, 3] == 15 and levels.sum() == 15


def test_the_click_track_shows_what_the_page_says(tmp_path):
    (tmp_path / "click.flac").write_bytes(listening.click_track())
    for timebase, interval in (("true", 0.5), ("published", 1 / 3)):
        times = beats.track(tmp_path / "click.flac", fps=150, timebase=timebase)
        assert len(times) > 15 and np.median(np.diff(times)) == pytest.approx(interval, abs=0.0071)  # a frame at 150/s


def test_sensitivity_holds_timebases_side_by_side(run):
    made = sensitivity.of_run(sources.read([run]).runs[0])
    assert [panel["title"] for panel in made["irs"]] == ["True timebase", "Published timebase"]
    assert made["irs"][0]["labels"] == ["100 / 100", "150 / 100"] and made["irs"][0]["lines"][0].y == pytest.approx([0.02, 0.02])
    assert [panel["title"] for panel in made["cbs"]] == [
        "True timebase, 100 fps, lambda 100", "True timebase, 150 fps, lambda 100", "Published timebase, 150 fps, lambda 100"]
    irs = made["timebase"][0]
    assert irs["rows"][0] == {"setting": "150 / 100", "model": "alpha", "true": "0.0200", "published": "0.0133", "ratio": "0.667",
                              "scale": "0.667"}
    best = [(cell, mark) for cell, mark in made["cbd"][0]["rows"][0]["cells"]]
    assert best == [("0.020", True), ("0.040", False), ("0.050", False), ("0.010", False), ("0.900", False)]  # controls take no mark


@pytest.mark.parametrize("windows, section", [((0.15,), False), ((0.05, 0.15), True)])
def test_one_setting_is_no_sensitivity(windows, section, run, tmp_path):
    other = shutil.copytree(run, tmp_path / "run")
    table = pd.read_csv(other / "scores.csv", keep_default_na=False, na_values={"window": [""], "fps": [""]})
    one = (table["fps"] == 100) & (table["window"].isna() | table["window"].isin(windows))
    table[one].to_csv(other / "scores.csv", index=False)
    assert (sensitivity.of_run(sources.read([other]).runs[0]) is not None) == section


def test_figures():
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, np.nan])
    drawn = figures.distributions("<title>", "s", [figures.Sample("a&b", "me", values)])
    assert "&lt;title&gt;" in drawn and "a&amp;b" in drawn and ">5 of 6<" in drawn
    # The axis goes in steps of 2 from 0 to 6, over 8 to 326 units: the median, 3, stands in the middle.
    assert f'cx="{(8 + 326) / 2:.1f}"' in drawn
    assert figures.distributions("none", "", [figures.Sample("a", "me", np.array([np.nan]))]) == ""
    assert figures._ticks(0.0, 1.0) == [0.0, 0.25, 0.5, 0.75, 1.0] and figures._ticks(0.0, 0.0737) == [0, 0.02, 0.04, 0.06, 0.08]


def test_every_table_as_csv_and_json(built, run):
    for name in ("scores", "samples", "comparisons", "failures"):
        wanted = pd.read_csv(run / f"{name}.csv", keep_default_na=False)
        csv = pd.read_csv(built / "data" / f"{name}.csv", keep_default_na=False)
        held = json.loads((built / "data" / f"{name}.json").read_text())
        assert list(csv["run"].unique()) == ["demo"] and len(csv) == len(wanted) == len(held["rows"])
        assert held["columns"] == list(csv.columns)
        assert set(wanted.columns) <= set(csv.columns)
    values = pd.to_numeric(pd.read_csv(built / "data" / "scores.csv")["value"])
    rows = json.loads((built / "data" / "scores.json").read_text())
    place = rows["columns"].index("value")
    assert [row[place] for row in rows["rows"]] == pytest.approx(values.tolist(), rel=1e-12)
    assert json.loads((built / "data" / "runs.json").read_text())["demo"]["git_commit"] == "c0ffee"


def test_a_big_table_is_csv_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(site, "JSON_ROWS", 300)  # the run has 190 scores, 600 of samples
    site.write([make_run(tmp_path / "run", audio=False)], tmp_path / "site")
    assert {path.name for path in (tmp_path / "site" / "data").glob("s*.*")} == {"scores.csv", "scores.json", "samples.csv"}
    assert "no JSON: more than 300 rows" in (tmp_path / "site" / "data.html").read_text()


def test_tuning_has_a_view_and_infinity_is_null(tmp_path):
    folder = make_run(tmp_path / "run", {"alpha": 2.0, "beta": 4.0}, audio=False)
    table = pd.read_csv(folder / "scores.csv", keep_default_na=False, dtype=str)
    bass = (table["metric"] == "irs") & (table["track"] == "bass") & (table["fps"] == "100.0") & (table["model"] == "alpha")
    assert bass.sum() == 1
    tuned = table[bass].assign(metric="tuning", fps="", transition_lambda="", timebase="", value="7.25", ci_low="6",
                               ci_high="inf")
    pd.concat([table, tuned]).to_csv(folder / "scores.csv", index=False)
    record = (folder / "run.yaml").read_text()
    (folder / "run.yaml").write_text(record.replace("engine: '3'", "engine: .inf"))
    site.write([folder], tmp_path / "site")
    board = table_of(tmp_path / "site")
    (column,) = [i for i, column in enumerate(board["columns"]) if "tuning" in column["views"]]
    assert board["columns"][column]["title"] == "Tuning bass"
    assert [score[3:11] for score in board["scores"] if score[1] == column] == [[-1, -1, -1, -1, -1, 7.25, 6.0, None]]
    page = (tmp_path / "site" / "models" / "run" / "alpha.html").read_text()
    assert page.count('<span class="head">Tuning</span>') == 1  # in the first of two timebases
    text = (tmp_path / "site" / "data" / "runs.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["run"]["beats"] == {"engine": None}
    json.loads((tmp_path / "site" / "data" / "scores.json").read_text(), parse_constant=pytest.fail)


def test_two_runs_of_one_name_stay_two(tmp_path):
    paths = [make_run(tmp_path / part / "demo", {"alpha": 2.0, "beta": 4.0}, audio=False) for part in "xy"]
    site.write(paths, tmp_path / "site")
    assert table_of(tmp_path / "site")["runs"] == ["demo", "demo (2)"]
    assert set(json.loads((tmp_path / "site" / "data" / "runs.json").read_text())) == {"demo", "demo (2)"}
    assert len(list((tmp_path / "site" / "models").rglob("alpha.html"))) == 2
    assert "run demo (2)</small>" in (tmp_path / "site" / "index.html").read_text()  # whose failure it is


def test_two_runs_with_one_suite_are_one_table_of_two_runs(tmp_path):
    make_run(tmp_path / "in" / "a", audio=False)
    make_run(tmp_path / "in" / "b", {"alpha": 3.0, "heldout": 1.0}, audio=False)
    site.write([tmp_path / "in"], tmp_path / "site")
    table = table_of(tmp_path / "site")
    assert table["runs"] == ["a", "b"] and table["standard"]["run"] == 0  # the one with more scores first
    page = (tmp_path / "site" / "index.html").read_text()
    assert page.count('href="models/a/') == 5 and 'href="models/b/' not in page
