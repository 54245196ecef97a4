"""Test the site's files: reproducible, self-contained, correctly ranked, with separate timebases and escaped texts."""

import json
import re
import shutil
import struct
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

import strangers
from mtbench import beats, registry
from mtbench.errors import UsageError
from mtbench.report import site
from mtbench.report.selection import standard_setting
from mtbench.report.site import board, figures, folder, lengths, listening, pages, sensitivity, sources
from mtbench.report.tables import paper_tables
from site_runs import STEMS, make_full_run, make_run

SETTING = ("timebase", "fps", "transition_lambda", "window")
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
    """The link targets and the ids of a page."""

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


def test_the_site_is_reproducible(run, built, tmp_path):
    site.write([run], tmp_path)
    assert contents(tmp_path) == contents(built)


def test_every_link_leads_to_a_file_of_the_site(built):
    pages = sorted(built.rglob("*.html"))
    # Board, listening, sensitivity and data; one page per model; per model samples 0 (worst, fixed), 1 and 2 (best).
    assert len(pages) == 4 + 5 + 5 * 3
    for path in pages:
        page = Page(path.read_text())
        assert len(page.ids) == len(set(page.ids))
        for target in page.targets:
            assert "//" not in target and ":" not in target, (path, target)
            file, _, anchor = target.partition("#")
            linked = (path.parent / unquote(file)).resolve() if file else path
            assert linked.is_file() and linked.is_relative_to(built), (path, target)
            if anchor:
                assert anchor in Page(linked.read_text()).ids
    for path in [*built.glob("*.css"), *built.glob("*.js")]:
        assert not re.search(
            r"https?:|@import|url\(|fetch\(|innerHTML|insertAdjacentHTML|document\.write|eval\(", path.read_text()
        )


def test_untrusted_texts_are_escaped(tmp_path):
    bad = "</script><img src=x onerror=alert(1)>\u2028"
    run = make_run(
        tmp_path / "<i>run", {bad: 2.0, "NA": 3.0, "heldout": 1.0}, audio=False, provenance={bad: {bad: bad}}
    )
    site.write([run], tmp_path / "site")
    for path in (tmp_path / "site").rglob("*.html"):
        assert (
            "<img" not in path.read_text() and "<i>run" not in path.read_text() and "<b>memory" not in path.read_text()
        )
    text = (tmp_path / "site" / "data" / "board-total-band.js").read_text()
    assert text.isascii() and "<" not in text
    values = json.loads(text.removeprefix("mtbenchBoard(").removesuffix(")\n"))
    assert [row["model"] for row in values["rows"]] == [bad, "NA", "heldout"]
    pages = sorted(path.name for path in (tmp_path / "site" / "models").rglob("*.html"))
    assert all(re.fullmatch(r"[a-z0-9._-]+", name) for name in pages) and len(pages) == 3


def test_file_names():
    taken = set()
    assert [sources.unique("a-b", taken) for _ in range(3)] == ["a-b", "a-b-2", "a-b-3"] and taken == {
        "a-b",
        "a-b-2",
        "a-b-3",
    }
    assert sources.unique("a-b-2", taken) == "a-b-2-2" and sources.unique("a{}", {"a{}"}, "{} ({})") == "a{} (2)"
    assert sources.slug("A-b").startswith("a-b-") and sources.slug("A-b") != sources.slug(
        "a-B"
    )  # on file systems that ignore case
    assert sources.slug("../..") != sources.slug("..") and "/" not in sources.slug("../..")
    assert sources.slug(sources.slug("A-b")) != sources.slug("A-b")  # a name that looks like another's slug


def table_of(built: Path, slug: str = "total-band") -> dict:
    """Return a board as board.js sees it once all its files are loaded, with scores as mappings."""
    text = (built / "data" / f"board-{slug}.js").read_text()
    table = json.loads(text.removeprefix("mtbenchBoard(").removesuffix(")\n"))
    for given in range(len(table["settings"]["given"])):
        if given != table["standard"]["given"]:
            text = (built / "data" / f"board-{slug}" / f"{given}.js").read_text()
            more = json.loads(text.removeprefix("mtbenchScores(").removesuffix(")\n"))
            place = table["fields"].index("given")
            assert (more["slug"], more["given"]) == (slug, given) and {s[place] for s in more["scores"]} == {given}
            table["scores"] += more["scores"]
    table["scores"] = [dict(zip(table["fields"], score, strict=True)) for score in table["scores"]]
    table["titles"] = [column["title"] for column in table["columns"]]
    return table


def of_column(table: dict, title: str) -> list[dict]:
    """Return the scores of a column, each with the name of its model."""
    column = table["titles"].index(title)
    return [
        {**score, "model": table["rows"][score["row"]]["model"]}
        for score in table["scores"]
        if score["column"] == column
    ]


def at_standard(table: dict, title: str) -> dict[str, dict]:
    """Return {model: its score} for a column at the setting that is shown first."""
    wanted = table["standard"]
    return {
        score["model"]: score
        for score in of_column(table, title)
        if all(score[name] in (-1, wanted[name]) for name in board.DIMENSIONS)
    }


class Plain(HTMLParser):
    """The tables of a page inside noscript: (caption, {row: {column: text}})."""

    def __init__(self, text: str):
        super().__init__()
        self.tables: list[tuple[str, dict[str, dict[str, str]]]] = []
        self._inside, self._linked, self._cell, self._row = False, False, None, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self._inside |= tag == "noscript"
        if self._inside and tag == "table":
            self.tables.append(("", {}))
        elif self._inside and tag == "tr":
            self._row = []
        elif self._inside and tag in ("th", "td", "caption"):
            self._cell = ""
        self._linked |= tag == "a"

    def handle_data(self, data):
        if self._cell is not None:
            self._cell += data

    def handle_endtag(self, tag):
        if not self._inside:
            return
        self._inside = tag != "noscript"
        if tag == "caption":
            self.tables[-1] = (self._cell, {})
        elif tag in ("th", "td"):
            self._row.append(self._cell.split(" ")[0] if self._linked else self._cell)  # a badge follows a link
            self._linked = False
        elif tag == "thead":
            self._heads = self._row[1:]
        elif tag == "tr" and self._row and self.tables and self._row[0] != "model":
            self.tables[-1][1][self._row[0]] = dict(zip(self._heads, self._row[1:], strict=True))
        if tag in ("th", "td", "caption"):
            self._cell = None


def test_ranks_are_those_of_the_comparisons(built):
    table = table_of(built)
    ranks = {score["model"]: score["rank"] for score in of_column(table, "FAD mixture")}
    # alpha beats the other two, which are tied; controls take no rank and lower nobody's, even if they are better.
    assert ranks == {"alpha": 1, "beta": 2, "gamma": 2, "heldout": None, "noise": None}
    assert {score["rank"] for score in of_column(table, "Live stems")} == {None}  # no direction is better
    kinds = {row["model"]: row["kind"] for row in table["rows"]}
    assert kinds == {
        "alpha": "measured",
        "beta": "embedded",
        "gamma": "measured",
        "heldout": "control",
        "noise": "control",
    }


def test_without_comparisons_no_rank_is_claimed(tmp_path):
    run = make_run(tmp_path / "run", audio=False, compared=False)
    site.write([run], tmp_path / "site")
    assert {score["rank"] for score in table_of(tmp_path / "site")["scores"]} == {None}
    page = (tmp_path / "site" / "index.html").read_text()
    assert "No ranks" in page
    cells = [cell for _, rows in Plain(page).tables for row in rows.values() for cell in row.values()]
    assert len(cells) > 50 and not any("#" in cell for cell in cells)


def test_with_one_clip_per_model_no_rank_is_claimed(run, tmp_path):
    # The models were compared, but no difference could be tested.
    other = shutil.copytree(run, tmp_path / "run")
    table = pd.read_csv(other / "comparisons.csv", dtype=str, keep_default_na=False)
    table.assign(p="", p_adjusted="").to_csv(other / "comparisons.csv", index=False)
    site.write([other], tmp_path / "site")
    assert {score["rank"] for score in table_of(tmp_path / "site")["scores"]} == {None}
    page = (tmp_path / "site" / "index.html").read_text()
    assert "No ranks: no two models here were tested against each other" in page


def test_the_first_view_shows_one_setting_in_real_seconds(built):
    table = table_of(built)
    standard = {name: values[table["standard"][name]] for name, values in table["settings"].items()}
    assert standard == {
        "given": "",
        "timebase": "real",
        "fps": 100.0,
        "transition_lambda": 100.0,
        "window": 0.15,
        "fad": "log-mel-stats@1, reference:64:abcdef01",
    }
    said = [values[table["standard"][name]] for name, values in table["words"].items()]
    assert said == ["real seconds", "100 fps", "lambda 100", "window 0.15 s"]
    summary = [column["title"] for column in table["columns"] if "summary" in column["views"]]
    assert summary == ["FAD mixture", "IRS", "CBS", "CBD mean", "Live stems"]
    # FAD 2: IRS 2/100 s (not the published 2/3 of it), CBS 1/3 + 0.15 (the standard window); intervals of 10%.
    wanted = {"FAD mixture": 2.0, "IRS": 0.02, "CBS": 1 / 3 + 0.15, "CBD mean": 0.02, "Live stems": 1.0}
    for title, value in wanted.items():
        alpha = at_standard(table, title)["alpha"]
        ends = [alpha["value"], alpha["low"], alpha["high"]]
        assert ends == pytest.approx([value, 0.9 * value, 1.1 * value], rel=1e-5)
        assert (alpha["n"], alpha["n_scored"]) == (4, 3 if title == "CBS" else 4)  # the last clip has no CBS
    assert at_standard(table, "FAD mixture")["alpha"]["rank"] == 1


def test_without_a_script_the_board_is_plain_tables(built):
    tables = Plain((built / "index.html").read_text()).tables
    setting, published = "real seconds, 100 fps, lambda 100", "published timebase, 150 fps, lambda 100"
    assert [caption for caption, _ in tables] == [
        "FAD embedding log-mel-stats@1, reference band reference:64:abcdef01",
        f"IRS in s {setting}",
        f"Across stems {setting}, window 0.15 s",
        f"IRS in s {published}; its second lasts 1.5 s",
        f"Across stems {published}, window 0.15 s; its second lasts 1.5 s",
    ]
    fad, irs, across, irs_published, _ = (rows for _, rows in tables)
    assert list(fad) == ["alpha", "beta", "gamma", "heldout", "noise"]
    assert fad["alpha"]["mixture ↓"] == "2.00 [1.80, 2.20] #1" and fad["gamma"]["mixture ↓"] == "5.00 [4.50, 5.50] #2"
    assert fad["heldout"]["mixture ↓"] == "1.00 [0.90, 1.10]"  # controls take no rank
    assert irs["alpha"]["all ↓"] == "0.0200 [0.0180, 0.0220] #1" and irs["alpha"]["scored"] == "4/4"
    assert irs_published["alpha"]["all ↓"] == "0.0133 [0.0120, 0.0147] #1"
    assert across["alpha"]["CBS ↑"] == "0.483 [0.435, 0.532] #1" and across["alpha"]["scored"] == "3/4"
    assert across["alpha"]["Live stems"] == "1.00"
    page = (built / "index.html").read_text()
    assert '<a href="models/demo/beta.html">beta</a> <span class="badge embedded">embedded</span>' in page


def test_timebases_never_share_a_column(built):
    table = table_of(built)
    bases = table["settings"]["timebase"]
    values = {
        (bases[score["timebase"]], table["settings"]["fps"][score["fps"]]): score["value"]
        for score in of_column(table, "IRS")
        if score["model"] == "alpha"
    }
    assert values == {
        ("real", 100.0): 0.02,
        ("real", 150.0): 0.02,
        ("published", 150.0): pytest.approx(0.02 * 2 / 3, rel=1e-5),
    }
    for path in built.rglob("*.html"):
        for html in re.findall(r"<table.*?</table>", path.read_text(), re.S):
            if "0.0133" in html and "0.0200" in html:  # alpha's IRS in both
                heads = re.findall(r"<thead>.*?</thead>", html, re.S)[0]
                assert (">published</th>" in heads and ">real</th>" in heads) or ">timebase</th>" in heads


def rhythm(*rows: tuple) -> pd.DataFrame:
    """Return scores that have only a setting: (timebase, fps, lambda, window or NaN)."""
    return pd.DataFrame(rows, columns=["timebase", "fps", "transition_lambda", "window"])


ODD = {
    "the standard setting, in any position": (
        [
            ("published", 150, 100, 0.15),
            ("real", 200, 100, 0.15),
            ("real", 100, 10, 0.15),
            ("real", 100, 100, 0.05),
            ("real", 100, 100, 0.15),
        ],
        ("real", 100, 100, 0.15),
    ),
    "no 100 fps: the lower of the two that differ by 50": (
        [("real", 150, 100, 0.15), ("real", 50, 100, 0.15), ("real", 200, 100, 0.15)],
        ("real", 50, 100, 0.15),
    ),
    "only the published timebase: its own standard": (
        [("published", 100, 100, 0.15), ("published", 150, 100, 0.15)],
        ("published", 150, 100, 0.15),
    ),
    "real seconds, however unusual": ([("published", 150, 100, 0.15), ("real", 400, 7, 0.3)], ("real", 400, 7, 0.3)),
    "no lambda 100": (
        [("real", 100, 10, 0.15), ("real", 100, 120, 0.15), ("real", 100, 90, 0.15)],
        ("real", 100, 90, 0.15),
    ),
    "lambda 100 only at another fps": ([("real", 150, 100, 0.15), ("real", 100, 10, 0.15)], ("real", 100, 10, 0.15)),
    "no window 0.15": ([("real", 100, 100, 0.05), ("real", 100, 100, 0.2)], ("real", 100, 100, 0.2)),
    "two windows equally near": ([("real", 100, 100, 0.2), ("real", 100, 100, 0.1)], ("real", 100, 100, 0.1)),
    "window 0.15 of another decode": ([("real", 100, 100, 0.05), ("real", 150, 100, 0.15)], ("real", 100, 100, 0.05)),
}


@pytest.mark.parametrize("case", ODD)
def test_the_setting_that_is_shown(case):
    rows, wanted = ODD[case]
    fad, no_window = ("", np.nan, np.nan, np.nan), [(*row[:3], np.nan) for row in rows]
    for order in (rows, rows[::-1]):
        assert standard_setting(rhythm(fad, *no_window, *order)) == wanted


def test_standard_setting_without_window_or_rhythm():
    assert standard_setting(rhythm(("", np.nan, np.nan, np.nan))) is None
    setting = standard_setting(rhythm(("real", 150, 100, np.nan)))
    assert setting[:3] == ("real", 150, 100) and np.isnan(setting.window)


def test_every_page_shows_the_same_setting(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "run")
    for name in ("scores.csv", "samples.csv"):  # without the standard frames/s and window
        table = pd.read_csv(other / name, dtype=str, keep_default_na=False)
        table[(table["fps"] != "100.0") & (table["window"] != "0.15")].to_csv(other / name, index=False)
    site.write([other], tmp_path / "site")
    table = table_of(tmp_path / "site")
    at = {name: values[table["standard"][name]] for name, values in table["settings"].items()}
    assert (at["timebase"], at["fps"], at["transition_lambda"], at["window"]) == ("real", 150, 100, 0.05)
    real, published = (f"{base}, 150 fps, lambda 100, window 0.05 s" for base in ("real seconds", "published timebase"))
    page = (tmp_path / "site" / "models" / "run" / "alpha.html").read_text()
    assert f"<h3>Total generation: {real}</h3>" in page and f"<h3>Total generation: {published}</h3>" in page
    (read,) = sources.gather([other]).runs
    assert {sample.setting for sample in listening.choose(read)} == {("real", 150, 100, 0.05)}
    assert [title for title, _ in sensitivity.of_run(read).timebases] == ["IRS", "CBS, window 0.05 s", "CBD mean"]
    notes = {table.note for table in paper_tables(read.scores, read.comparisons) if table.title == "Across stems"}
    assert notes == {real, f"{published}; its second lasts 1.5 s"}
    captions = [caption for caption, _ in Plain((tmp_path / "site" / "index.html").read_text()).tables]
    assert f"Across stems {real}" in captions


@pytest.fixture(scope="module")
def with_results(tmp_path_factory) -> Path:
    """A folder like ``results/``: a run on Slakh2100 with scores only, and the published numbers."""
    root = tmp_path_factory.mktemp("results")
    make_run(root / "slakh", {"synctrack": 2.0, "heldout": 1.0}, audio=False, suite="slakh2100/test")
    (root / "slakh" / "samples.csv").unlink()
    (root / "slakh" / "failures.csv").unlink()
    for name in ("published.csv", "releases.yaml"):
        shutil.copy(RESULTS / name, root / name)
    site.write([root], root / "site")
    return root / "site"


def test_reported_numbers_are_separate(with_results):
    table = table_of(with_results, "total-slakh2100-test")
    titles, settings = table["titles"], table["settings"]
    reported = {i: row for i, row in enumerate(table["rows"]) if row["kind"] == "reported"}
    scores = [score for score in table["scores"] if score["row"] in reported]
    unknown = dict.fromkeys(("low", "high", "n", "n_scored", "rank"))  # no interval, no counts, no rank
    assert scores and all(score | unknown == score for score in scores)
    assert all(settings["timebase"][score["timebase"]] == "published" for score in scores if score["timebase"] >= 0)
    mine = next(
        i
        for i, row in reported.items()
        if row["model"] == "synctrack" and row["note"].startswith("SyncTrack, ICLR 2026")
    )
    values = {
        (titles[score["column"]], score["fps"], score["transition_lambda"], score["window"]): score["value"]
        for score in scores
        if score["row"] == mine
    }
    fps, window = settings["fps"].index(150.0), settings["window"].index(0.15)
    assert values["CBS", fps, settings["transition_lambda"].index(100.0), window] == 0.5206  # Table 5
    # The reported FAD has a different embedding than the run and is not shown under that of the run.
    fads = settings["fad"]
    assert fads == ["log-mel-stats@1, reference:64:abcdef01", "vggish-audioldm"]
    assert {fads[score["fad"]] for score in scores if score["fad"] >= 0} == {"vggish-audioldm"}
    assert values["FAD mixture", -1, -1, -1] == 1.26


def test_reported_numbers_have_separate_plain_tables(with_results):
    page = (with_results / "index.html").read_text()
    section = re.search(r'<section class="board" id="total-slakh2100-test".*?</section>', page, re.S)[0]
    measured, reported = section.split("<h3>Reported in papers, not ranked</h3>")
    ours, theirs = Plain(measured).tables, Plain("<noscript>" + reported).tables
    assert "1.26" not in measured and not any("SyncTrack, ICLR 2026" in caption for caption, _ in ours)
    assert all("ICLR 2026" in caption or "MT-MusicLDM, 2024" in caption for caption, _ in theirs)
    ((_, fad),) = [table for table in theirs if table[0].startswith("SyncTrack, ICLR 2026: FAD ")]
    assert fad["synctrack"]["mixture ↓"] == "1.260" and "scored" not in fad["synctrack"]  # Table 1
    # Only the numbers of a run have an interval.
    assert "[" in ours[0][1]["synctrack"]["mixture ↓"]
    assert not any("[" in text or "#" in text for _, rows in theirs for row in rows.values() for text in row.values())


def test_the_sum_of_generated_stems_is_one_column(with_results):
    table = table_of(with_results, "arrangement-slakh2100-test")
    assert [title for title in table["titles"] if title.startswith("FAD")] == ["FAD mixture", "FAD generated"]
    values = {
        (score["model"], table["settings"]["given"][score["given"]]): score["value"]
        for score in of_column(table, "CBS")
    }
    assert values == {
        ("synctrack", "drums"): 0.5259,
        ("synctrack", "drums+guitar"): 0.5576,
        ("synctrack", "drums+guitar+piano"): 0.5620,
    }


def test_results_alone_are_enough(with_results):
    assert "There is no audio" in (with_results / "listening.html").read_text()
    model = (with_results / "models" / "slakh" / "synctrack.html").read_text()
    assert "did not keep the scores of individual samples" in model and "did not record failures" in model
    assert "First release" in (with_results / "data.html").read_text()
    assert not (with_results / "audio").exists()


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("published.csv", "a,b\n", "missing columns: paper"),
        ("published.csv", '"', "cannot be read as a table"),
        ("releases.yaml", "releases: 3", "must be a list"),
        ("releases.yaml", "releases: [{version: 1}]", "must be a list"),
    ],
)
def test_damaged_results_are_named(name, text, message, tmp_path):
    make_run(tmp_path / "run", audio=False)
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=message) as raised:
        site.write([tmp_path], tmp_path / "site")
    assert str(tmp_path / name) in str(raised.value)


def weights(built: Path) -> dict[str, int]:
    """Return {page: bytes of everything it loads before Play is pressed}.

    The first page counts with its heaviest table: the file of the table and the heaviest one of other given stems.
    """
    shared = sum((built / name).stat().st_size for name in ("site.css", "icon.svg"))
    most = max(
        file.stat().st_size + max((other.stat().st_size for other in file.with_suffix("").glob("*.js")), default=0)
        for file in built.glob("data/board-*.js")
    )
    sizes = {}
    for path in built.rglob("*.html"):
        linked = [path.parent / target for target in Page(path.read_text()).targets if target.endswith((".js", ".png"))]
        sizes[str(path.relative_to(built))] = (
            shared
            + path.stat().st_size
            + sum(file.stat().st_size for file in linked)
            + (most if path.name == "index.html" else 0)
        )
    return sizes


def test_the_committed_results_make_light_pages(tmp_path):
    site.write([RESULTS], tmp_path)
    assert {page: size for page, size in weights(tmp_path).items() if size > 300_000} == {}


def test_the_fullest_runs_make_light_pages(tmp_path):
    subsets = [subset for count in (1, 2, 3, 4) for subset in combinations(STEMS, count)]
    assert len(subsets) == 15
    competing = ["synctrack", "msg-ld", "mt-musicldm", "msdm"]
    make_full_run(tmp_path / "in" / "arrangement", [*competing, "heldout", "shuffled", "noise"], subsets, 16)
    make_full_run(tmp_path / "in" / "total", [*competing, "heldout", "noise"], [], 32)
    site.write([tmp_path / "in"], tmp_path / "site")
    sizes = weights(tmp_path / "site")
    assert len(sizes) == 4 + 7 + 6 and {page: size for page, size in sizes.items() if size > 300_000} == {}
    # The scores that a model's page leaves out are linked as CSV.
    scores = pd.read_csv(tmp_path / "in" / "arrangement" / "scores.csv", dtype=str, keep_default_na=False)
    every = pd.read_csv(tmp_path / "site" / "models" / "arrangement" / "msdm.csv", dtype=str, keep_default_na=False)
    assert len(every) == (scores["model"] == "msdm").sum() > 4000 and set(every["model"]) == {"msdm"}
    page = (tmp_path / "site" / "models" / "arrangement" / "msdm.html").read_text()
    assert (
        f"All {len(every):,} scores of msdm, under every setting" in page
        and 'href="../../models/arrangement/msdm.csv"' in page
    )
    # Every score of a board is in one of its files, one file per set of given stems.
    table = table_of(tmp_path / "site", "arrangement-band")
    shown = scores[(scores["metric"] != "live") | (scores["track"] == "all")]
    assert len(table["scores"]) == len(shown) and len(table["settings"]["given"]) == 15


def test_each_run_has_a_page_of_its_settings(tmp_path):
    make_run(tmp_path / "in" / "a", audio=False)
    make_run(tmp_path / "in" / "b", {"alpha": 3.0, "heldout": 1.0}, audio=False)
    site.write([tmp_path / "in"], tmp_path / "site")
    first = (tmp_path / "site" / "sensitivity.html").read_text()
    other = (tmp_path / "site" / "sensitivity" / "b.html").read_text()
    assert (
        "Run a</h2>" in first
        and "Run b</h2>" not in first
        and 'href="sensitivity/b.html"' in first
        and 'id="timebase"' in first
    )
    assert "Run b</h2>" in other and 'href="../sensitivity.html"' in other and 'id="timebase"' not in other


def test_model_page(built):
    page = (built / "models" / "demo" / "beta.html").read_text()
    assert "ab" * 32 in page and "a small checkpoint trained on synthetic songs" in page and "c0ffee" in page
    assert "00009: no &lt;b&gt;memory&lt;/b&gt;" in page
    assert (
        "mtbench run --models beta --suite band -n 4 --seed 7 --fps 100,150 --transition-lambda 100 --window 0.05,0.15 "
        "--timebase real,published --embedding log-mel-stats"
    ) in page
    # FAD 4: the samples' CBD means are 0.04, 0.044, 0.048 and 0.052; quartiles by linear interpolation.
    assert re.search(
        r"beta</th><td>4/4</td><td>0.040</td><td>0.043</td><td>0.046</td><td>0.049</td><td>0.052</td>", page
    )


def test_a_run_with_weights_is_reproduced_by_a_config(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "run")
    record = (other / "run.yaml").read_text()
    (other / "run.yaml").write_text(
        record.replace("label: null\n    weights: null", "label: null\n    weights: 'a b.pt'", 1)
    )
    site.write([other], tmp_path / "site")
    page = (tmp_path / "site" / "models" / "run" / "alpha.html").read_text()
    assert "weights: a b.pt" in page and "mtbench run --config reproduce.yaml" in page


def test_a_folder_of_audio_is_reproduced_by_its_path(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "run")
    record = (other / "run.yaml").read_text()
    assert "name: alpha\n" in record
    (other / "run.yaml").write_text(record.replace("name: alpha\n", "name: folder:/my songs/alpha\n", 1))
    site.write([other], tmp_path / "site")
    page = (tmp_path / "site" / "models" / "run" / "alpha.html").read_text()
    assert "mtbench run --models &#39;folder:/my songs/alpha&#39; --suite band" in page


@pytest.mark.parametrize(
    "evaluated, more, command",
    [
        ("my stems", {}, "mtbench eval &#39;my stems&#39; --reference band --fps 100"),
        (["a", "b"], {}, "mtbench eval a b --reference band --fps 100"),
        ("a", {"stems": ["vocals", "bass"]}, "mtbench eval a --reference band --stems vocals,bass --fps 100"),
        ([], {}, "# The clips were passed to mtbench.evaluate() in Python, as arrays."),
    ],
)
def test_an_evaluation_is_reproduced_by_its_folders(evaluated, more, command, run, tmp_path):
    other = shutil.copytree(run, tmp_path / "run")
    record = yaml.safe_load((other / "run.yaml").read_text())
    record["config"] = {"eval": evaluated, "reference": "band", "grid": {"fps": [100]}, **more}
    (other / "run.yaml").write_text(yaml.safe_dump(record))
    site.write([other], tmp_path / "site")
    assert command in (tmp_path / "site" / "models" / "run" / "alpha.html").read_text()


def test_selection_of_samples_to_listen_to(run):
    chosen = [sample for sample in listening.choose(sources.gather([run]).runs[0]) if sample.model == "alpha"]
    # CBS grows with the sample's number, and the last one, 3, has none: 2 is best, 0 is worst.
    assert [(sample.id, sample.why) for sample in chosen] == [
        ("00000", ("fixed", "worst")),
        ("00001", ("fixed",)),
        ("00002", ("best",)),
    ]
    assert chosen[0].kept == 4 and chosen[0].setting == ("real", 100.0, 100.0, 0.15)
    times, down = chosen[0].beats["bass"]
    assert times == pytest.approx([0.1, 0.6, 1.1, 1.6]) and down.tolist() == [True, False, False, False]


def test_published_beats_are_drawn_in_real_seconds(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "run")
    for name in ("scores.csv", "samples.csv"):
        table = pd.read_csv(other / name, dtype=str, keep_default_na=False)
        table[table["timebase"] != "real"].to_csv(other / name, index=False)
    sample = listening.choose(sources.gather([other]).runs[0])[0]
    assert sample.setting.timebase == "published" and sample.beats["bass"][0] == pytest.approx([0.1, 0.6, 1.1, 1.6])


def test_audio_that_was_not_kept_is_not_offered(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "run")
    for stem in ("bass", "drums", "guitar", "piano"):
        (other / "audio" / "total" / "alpha" / stem / "00002.wav").unlink()
    chosen = [sample for sample in listening.choose(sources.gather([other]).runs[0]) if sample.model == "alpha"]
    assert [(sample.id, sample.why) for sample in chosen] == [
        ("00000", ("fixed", "worst")),
        ("00001", ("fixed", "best")),
    ]
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
    assert {sample.model for sample in listening.choose(sources.gather([Path("run")]).runs[0])} == {
        "beta",
        "gamma",
        "heldout",
        "noise",
    }
    (inside / "beats" / "total" / "beta.csv").rename(tmp_path / "beta.csv")
    (inside / "beats" / "total" / "beta.csv").symlink_to(tmp_path / "beta.csv")
    assert {sample.model: bool(sample.beats) for sample in listening.choose(sources.gather([Path("run")]).runs[0])} == {
        "beta": False,
        "gamma": True,
        "heldout": True,
        "noise": True,
    }


def test_flac_is_lossless(run):
    import io

    path = run / "audio" / "total" / "alpha" / "bass" / "00000.wav"
    samples, rate = soundfile.read(io.BytesIO(listening.flac(path)), dtype="int16")
    wanted, wanted_rate = soundfile.read(path, dtype="int16")
    assert rate == wanted_rate and np.array_equal(samples, wanted)


def test_the_picture_is_a_png_with_low_bands_at_the_bottom(tmp_path):
    from PIL import Image  # a dependency of matplotlib

    columns = np.full((5, 64), -9.0)  # below the range: the first colour
    columns[3, 0] = 99.0  # the lowest band of the fourth column, beyond the range: the last colour
    data = listening.picture(columns)
    assert struct.unpack(">II", data[16:24]) == (5, 64)
    (tmp_path / "mel.png").write_bytes(data)
    levels = np.array(Image.open(tmp_path / "mel.png"))
    assert levels.shape == (64, 5) and levels[63, 3] == 15 and levels.sum() == 15


def test_the_click_track_shows_what_the_page_says(tmp_path):
    (tmp_path / "click.flac").write_bytes(listening.click_track())
    for timebase, interval in (("real", 0.5), ("published", 1 / 3)):
        times = beats.track(tmp_path / "click.flac", fps=150, timebase=timebase)
        assert len(times) > 15 and np.median(np.diff(times)) == pytest.approx(interval, abs=0.0071)  # a frame at 150/s


def test_sensitivity_shows_timebases_side_by_side(run):
    shown = sensitivity.of_run(sources.gather([run]).runs[0])
    by_decode, by_window = shown.curves
    assert (by_decode.title, by_window.title) == ("IRS by decoder setting", "CBS by window")
    assert by_decode.note == "As in Figure A1. Lower is better. The panels share an axis."
    assert [panel.title for panel in by_decode.panels] == ["Real seconds", "Published timebase"]
    assert by_decode.panels[0].labels == ["100 / 100", "150 / 100"]
    assert by_decode.panels[0].lines[0].y == pytest.approx([0.02, 0.02])
    assert by_decode.panels[0].rows()[0][1][0] == ("0.0200", ("0.0180", "0.0220"))
    assert [panel.title for panel in by_window.panels] == [
        "Real seconds, 100 fps, lambda 100",
        "Real seconds, 150 fps, lambda 100",
        "Published timebase, 150 fps, lambda 100",
    ]
    title, rows = shown.timebases[0]
    assert title == "IRS"
    assert rows[0] == sensitivity.TimebaseRow("150 / 100", "alpha", "0.0200", "0.0133", "0.667", "0.667")
    assert shown.decoded == "CBD mean, CBD std and CBD median"
    assert shown.decodes[0][1][0].cells == [
        ("0.020", True),
        ("0.040", False),
        ("0.050", False),
        ("0.010", False),
        ("0.900", False),
    ]  # controls are not marked


@pytest.mark.parametrize("windows, section", [((0.15,), False), ((0.05, 0.15), True)])
def test_one_setting_gives_no_sensitivity_page(windows, section, run, tmp_path):
    other = shutil.copytree(run, tmp_path / "run")
    table = pd.read_csv(other / "scores.csv", keep_default_na=False, na_values={"window": [""], "fps": [""]})
    kept = (table["fps"] == 100) & (table["window"].isna() | table["window"].isin(windows))
    table[kept].to_csv(other / "scores.csv", index=False)
    assert (sensitivity.of_run(sources.gather([other]).runs[0]) is not None) == section


def test_distribution_figures():
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, np.nan])
    drawn = figures.distributions("<title>", "s", [figures.Violin("a&b", "me", values)])
    assert "&lt;title&gt;" in drawn and "a&amp;b" in drawn and ">5 of 6<" in drawn
    # The axis has steps of 2 from 0 to 6, drawn from 8 to 326 units: the median, 3, is in the middle.
    assert f'cx="{(8 + 326) / 2:.1f}"' in drawn
    assert figures.distributions("none", "", [figures.Violin("a", "me", np.array([np.nan]))]) == ""
    assert figures._ticks(0.0, 1.0) == [0.0, 0.25, 0.5, 0.75, 1.0] and figures._ticks(0.0, 0.0737) == [
        0,
        0.02,
        0.04,
        0.06,
        0.08,
    ]


def test_every_table_as_csv_and_json(built, run):
    # Samples may be millions of rows, so each run has its own file, without a column for the run.
    assert (built / "data" / "samples-demo.csv").read_bytes() == (run / "samples.csv").read_bytes()
    wanted = pd.read_csv(run / "samples.csv", keep_default_na=False)
    values = json.loads((built / "data" / "samples-demo.json").read_text())
    assert values["columns"] == list(wanted.columns) and len(values["rows"]) == len(wanted)
    for name in ("scores", "comparisons", "failures"):
        wanted = pd.read_csv(run / f"{name}.csv", keep_default_na=False)
        csv = pd.read_csv(built / "data" / f"{name}.csv", keep_default_na=False)
        values = json.loads((built / "data" / f"{name}.json").read_text())
        assert list(csv["run"].unique()) == ["demo"] and len(csv) == len(wanted) == len(values["rows"])
        assert values["columns"] == list(csv.columns)
        assert set(wanted.columns) <= set(csv.columns)
    values = pd.to_numeric(pd.read_csv(built / "data" / "scores.csv")["value"])
    rows = json.loads((built / "data" / "scores.json").read_text())
    place = rows["columns"].index("value")
    assert [row[place] for row in rows["rows"]] == pytest.approx(values.tolist(), rel=1e-12)
    assert json.loads((built / "data" / "runs.json").read_text())["demo"]["git_commit"] == "c0ffee"


def test_a_big_table_is_csv_only(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "JSON_ROWS", 300)
    monkeypatch.setattr(pages, "JSON_ROWS", 300)  # the run has 190 scores and 600 of samples
    site.write([make_run(tmp_path / "run", audio=False)], tmp_path / "site")
    assert {path.name for path in (tmp_path / "site" / "data").glob("s*.*")} == {
        "scores.csv",
        "scores.json",
        "samples-run.csv",
    }
    assert "no JSON: more than 300 rows" in (tmp_path / "site" / "data.html").read_text()


def test_tuning_has_a_view_and_infinity_becomes_null(tmp_path):
    folder = make_run(tmp_path / "run", {"alpha": 2.0, "beta": 4.0}, audio=False)
    table = pd.read_csv(folder / "scores.csv", keep_default_na=False, dtype=str)
    bass = (
        (table["metric"] == "irs")
        & (table["track"] == "bass")
        & (table["fps"] == "100.0")
        & (table["model"] == "alpha")
    )
    assert bass.sum() == 1
    tuned = table[bass].assign(
        metric="tuning", fps="", transition_lambda="", timebase="", value="7.25", ci_low="6", ci_high="inf"
    )
    pd.concat([table, tuned]).to_csv(folder / "scores.csv", index=False)
    record = (folder / "run.yaml").read_text()
    (folder / "run.yaml").write_text(record.replace("engine: '3'", "engine: .inf"))
    site.write([folder], tmp_path / "site")
    table = table_of(tmp_path / "site")
    assert [column["title"] for column in table["columns"] if "tuning" in column["views"]] == ["Tuning bass"]
    assert ["tuning", "Tuning by stem"] in table["views"]
    (score,) = of_column(table, "Tuning bass")
    assert [score[name] for name in (*SETTING, "fad")] == [-1] * 5
    assert (score["value"], score["low"], score["high"]) == (7.25, 6.0, None)
    page = (tmp_path / "site" / "models" / "run" / "alpha.html").read_text()
    assert page.count('<span class="head">Tuning</span>') == 1  # only in the table of the first timebase
    text = (tmp_path / "site" / "data" / "runs.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["run"]["beats"] == {"engine": None}
    json.loads((tmp_path / "site" / "data" / "scores.json").read_text(), parse_constant=pytest.fail)


@pytest.fixture
def with_strangers(tmp_path, monkeypatch) -> Path:
    """The site of a run with one metric of every kind from another package, and one that is not installed."""
    strangers.offer(monkeypatch)
    folder = make_run(tmp_path / "run", {"alpha": 2.0, "beta": 4.0, "heldout": 1.0})
    settings = [
        {"fps": fps, "transition_lambda": 100.0, "timebase": base} for fps, base in ((100, "real"), (150, "real"))
    ]
    for name in ("scores.csv", "samples.csv"):
        empty = {"fps": [""], "window": [""]}
        table = pd.read_csv(folder / name, dtype={"sample": str}, keep_default_na=False, na_values=empty)
        more = []
        for model, value in (("alpha", 0.25), ("beta", 0.5), ("heldout", 0.75)):
            cells = {**table.iloc[0].to_dict(), "model": model, "embedding": "", "reference": "", "timebase": ""}
            cells |= {"fps": np.nan, "transition_lambda": np.nan, "value": value, "ci_low": value, "ci_high": value}
            more += strangers.rows_of(cells, STEMS, settings, (0.05, 0.15))
            more.append({**cells, "metric": "unknown", "track": "all", **settings[0]})
        pd.concat([table, pd.DataFrame(more)[table.columns]]).to_csv(folder / name, index=False)
    site.write([folder], tmp_path / "site")
    yield tmp_path / "site"
    registry.metrics.cache_clear()


def test_metrics_of_other_packages_are_on_every_page(with_strangers):
    table = table_of(with_strangers)
    views = {column["title"]: column["views"] for column in table["columns"]}
    shown = {title: views[title] for title in views if title.split()[0].lower() in strangers.RECORDS}
    stems = {f"{name} {stem}": [name.lower(), "everything"] for name in ("Hiss", "Pulse") for stem in STEMS}
    assert shown == {
        "Groove": ["summary", "sync", "everything"],
        **stems,
        "Loudness": ["everything"],
        "Pulse": ["summary", "pulse", "everything"],
        "Share": ["sync", "everything"],
        "Swing": ["sync", "everything"],
    }
    assert not any("unknown" in title for title in views)
    assert at_standard(table, "Groove")["beta"]["value"] == at_standard(table, "Hiss drums")["beta"]["value"] == 0.5
    better = {column["title"]: column["better"] for column in table["columns"]}
    assert better["Pulse"] == "1/s <s>, higher is better" and better["Groove"] == "lower is better"
    page = (with_strangers / "index.html").read_text()
    swing = re.search(r'<div popover class="definition" id="def-swing".*?</div>', page, re.S)[0]
    assert "What swing says." in swing and "From A. Stranger, 2030." in swing and "higher is better" in swing
    assert "1/s &lt;s&gt;" in page and "<s>" not in page
    down = [name for name, metric in registry.metrics().items() if metric.down_to_control]
    definitions = re.findall(r'id="def-(\w+)" role.*?</div>', page, re.S)
    texts = dict(zip(definitions, re.split(r'<div popover class="definition"', page)[1:], strict=True))
    assert [name for name, text in texts.items() if "only down to the score of held-out songs" in text] == down
    assert "pulse" in down and "irs" in down and "fad" not in down
    model = (with_strangers / "models" / "run" / "alpha.html").read_text()
    heads = re.findall(r'<span class="head">(\w+)', model)
    assert {record.title for record in strangers.RECORDS.values()} <= set(heads) and "unknown" not in heads
    assert '<figcaption><span class="stem stem-bass">bass</span> Pulse</figcaption>' in model
    settings = (with_strangers / "sensitivity.html").read_text()
    assert "Pulse by decoder setting" in settings and "Groove by window" in settings and "and Swing by" in settings
    sample = (with_strangers / "listening" / "run" / "total" / "alpha" / "00000.html").read_text()
    assert "Pulse 0.25 1/s &lt;s&gt;" in sample and "<dt>Swing</dt><dd>0.25</dd>" in sample


def test_two_runs_with_the_same_name_stay_separate(tmp_path):
    paths = [make_run(tmp_path / folder / "demo", {"alpha": 2.0, "beta": 4.0}, audio=False) for folder in "xy"]
    site.write(paths, tmp_path / "site")
    assert table_of(tmp_path / "site")["runs"] == ["demo", "demo (2)"]
    assert set(json.loads((tmp_path / "site" / "data" / "runs.json").read_text())) == {"demo", "demo (2)"}
    assert len(list((tmp_path / "site" / "models").rglob("alpha.html"))) == 2
    assert "run demo (2)</small>" in (tmp_path / "site" / "index.html").read_text()  # the run that failed


def test_two_runs_on_one_suite_share_a_table(tmp_path):
    make_run(tmp_path / "in" / "a", audio=False)
    make_run(tmp_path / "in" / "b", {"alpha": 3.0, "heldout": 1.0}, audio=False)
    site.write([tmp_path / "in"], tmp_path / "site")
    table = table_of(tmp_path / "site")
    assert table["runs"] == ["a", "b"] and table["standard"]["run"] == 0  # the run with more scores comes first
    page = (tmp_path / "site" / "index.html").read_text()  # without scripts, it shows the first run
    assert 'href="models/a/' in page and 'href="models/b/' not in page
    pages = [row["page"] for row in table["rows"]]
    assert sum(page.startswith("models/a/") for page in pages) == 5 and "models/b/alpha.html" in pages


@pytest.fixture
def three_lengths(tmp_path) -> Path:
    """alpha at two lengths and, with other weights, at a third; heldout at three; beta at one and on another suite."""
    for name, suite, models, weights in (
        ("short", "band", {"alpha": 2.0, "beta": 4.0, "heldout": 1.0}, "ab"),
        ("half", "band/30s", {"alpha": 3.0, "heldout": 1.5}, "ab"),
        ("whole", "band/60s", {"alpha": 5.0, "heldout": 4.0}, "cd"),
        ("slakh", "slakh2100/test/30s", {"beta": 4.0}, "ab"),
    ):
        make_run(tmp_path / "in" / name, models, audio=False, suite=suite, provenance={"weights_sha256": weights * 32})
    return tmp_path / "in"


def test_one_model_by_clip_length(three_lengths):
    each_length = lengths.find(sources.gather([three_lengths]).runs)
    runs = {
        (each.suite, each.model): {seconds: run.name for seconds, (run, _) in each.runs.items()} for each in each_length
    }
    assert runs == {
        ("band", "alpha"): {10.24: "short", 30.72: "half"},
        ("band", "heldout"): {10.24: "short", 30.72: "half", 61.44: "whole"},
    }
    (shown,) = lengths.by_suite(each_length)
    real, published = shown.tables
    assert real.setting == shown.setting == "real seconds, 100 fps, lambda 100, window 0.15 s"
    assert published.setting == "published timebase, 150 fps, lambda 100, window 0.15 s"
    assert [(metric.title, track) for metric, track in real.columns] == [
        ("CBS", "all"),
        ("CBD mean", "all"),
        ("CBD std", "all"),
        ("CBD median", "all"),
        ("IRS", "bass"),
        ("IRS", "drums"),
        ("IRS", "guitar"),
        ("IRS", "piano"),
    ]
    heldout = dict(real.groups)["heldout"]
    # FAD 1, 1.5 and 4: CBS 1/(1 + FAD) + 0.15, CBD FAD/100, IRS FAD/100 s, intervals from 0.9 to 1.1 times that.
    assert [(row.seconds, *(row.cells[i].value for i in (0, 1, 4))) for row in heldout] == [
        ("10.24 s", "0.650", "0.010", "0.0100"),
        ("30.72 s", "0.550", "0.015", "0.0150"),
        ("61.44 s", "0.350", "0.040", "0.0400"),
    ]
    assert heldout[2].cells[1].ends == ("0.036", "0.044")
    assert {row.scored for row in heldout} == {"3/4"}  # the last sample has no CBS
    assert dict(published.groups)["heldout"][2].cells[4].value == "0.0267"  # 2/3 of 0.04
    assert [panel.title for panel in shown.panels] == [
        f"{model}, {title}" for model in ("alpha", "heldout") for title in ("CBS", "CBD mean", "IRS of all stems")
    ]
    # Sample i has 1 + i/10 times the score, and the last has no CBS: 0.35, 0.385 and 0.42 at FAD 4.
    name, count, ends = shown.panels[3].rows[2]
    assert (name, count) == ("61.44 s", "3/4")
    assert [float(end) for end in ends] == pytest.approx([0.35, 0.3675, 0.385, 0.4025, 0.42], abs=0.00051)


def test_lengths_are_compared_at_the_same_setting(three_lengths):
    def settings(model: str = "") -> list[list[str]]:
        each = lengths.find(sources.gather([three_lengths]).runs)
        shown = lengths.by_suite([of_model for of_model in each if model in ("", of_model.model)])
        return [[table.setting for table in of_suite.tables] for of_suite in shown]

    path = three_lengths / "half" / "scores.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table[(table["fps"] != "100.0") & (table["timebase"] != "published")].to_csv(path, index=False)
    assert settings("alpha") == [["real seconds, 150 fps, lambda 100, window 0.15 s"]]
    assert settings() == [  # heldout has the standard setting at two lengths
        [
            "real seconds, 100 fps, lambda 100, window 0.15 s",
            "published timebase, 150 fps, lambda 100, window 0.15 s",
        ]
    ]
    (shown,) = lengths.by_suite(lengths.find(sources.gather([three_lengths]).runs))
    assert [(model, len(rows)) for model, rows in shown.tables[0].groups] == [("heldout", 2)]
    table[table["metric"] == "fad"].to_csv(path, index=False)
    assert settings("alpha") == []


def test_by_clip_length_on_the_page(three_lengths, built, tmp_path):
    site.write([three_lengths], tmp_path / "site")
    page = (tmp_path / "site" / "sensitivity.html").read_text()
    assert "By clip length: band" in page and "By clip length: slakh" not in page
    # Each run then has a separate page.
    assert {name for name in ("short", "half", "whole", "slakh") if f'href="sensitivity/{name}.html"' in page} == {
        "short",
        "half",
        "whole",
        "slakh",
    } and "IRS by decoder setting" not in page
    assert (
        page.count('<th scope="rowgroup" colspan="10">heldout</th>') == 2
        and page.count('<th scope="row">30.72 s ') == 4
    )
    assert 'aria-label="Distribution of heldout, CBS over samples: 10.24 s, 30.72 s, 61.44 s"' in page
    link = "sensitivity.html#by-length"
    linked = {
        path.relative_to(tmp_path / "site" / "models").as_posix()
        for path in (tmp_path / "site").rglob("models/*/*.html")
        if link in path.read_text()
    }
    assert linked == {
        "short/alpha.html",
        "short/heldout.html",
        "half/alpha.html",
        "half/heldout.html",
        "whole/heldout.html",
    }
    # With a single length, nothing is shown.
    assert "By clip length" not in (built / "sensitivity.html").read_text()
    assert link not in (built / "models" / "demo" / "alpha.html").read_text()


def joined(path: Path) -> dict[str, set[str]]:
    """Return {model: its runs by clip length}."""
    each = lengths.find(sources.gather([path]).runs)
    return {of_model.model: {run.name for run, _ in of_model.runs.values()} for of_model in each}


def test_a_folder_of_audio_is_not_compared_across_lengths(tmp_path):
    # 10.24 s files, cut or padded for either suite: the content is the same but does not identify a model.
    for name, suite in (("short", "band"), ("half", "band/30s")):
        folder = make_run(tmp_path / "in" / name, {"x": 2.0, "named": 3.0, "alpha": 4.0}, audio=False, suite=suite)
        record = yaml.safe_load((folder / "run.yaml").read_text())
        rows = {"x": {"name": "folder:a/x"}, "named": {"name": "folder:a/y", "label": "named"}}
        for entry, (row, more) in zip(record["config"]["models"], rows.items()):
            entry.update(more)
            record["models"][row] = {
                "what": "a folder of audio",
                "clips": 4,
                "incomplete": 0,
                "content_sha256": "ab" * 32,
            }
        (folder / "run.yaml").write_text(yaml.safe_dump(record))
    assert joined(tmp_path / "in") == {"alpha": {"short", "half"}}


def test_other_beats_or_metrics_are_never_joined(three_lengths):
    assert joined(three_lengths) == {"alpha": {"short", "half"}, "heldout": {"short", "half", "whole"}}
    record = three_lengths / "half" / "run.yaml"
    record.write_text(record.read_text().replace("engine: '3'", "engine: '4'"))
    assert joined(three_lengths) == {"heldout": {"short", "whole"}}
    scores = three_lengths / "whole" / "scores.csv"
    table = pd.read_csv(scores, dtype=str, keep_default_na=False)
    table["version"] = table["version"].where(table["metric"] != "fad", "2")
    table.to_csv(scores, index=False)  # tables by clip length do not contain FAD
    assert joined(three_lengths) == {"heldout": {"short", "whole"}}
    table["version"] = table["version"].where(table["metric"] != "cbs", "2")
    table.to_csv(scores, index=False)
    assert joined(three_lengths) == {}


@pytest.mark.parametrize(
    "short, half, whole, wanted",
    [
        ("", "", "", {"short", "half", "whole"}),
        ("2", "2", "2", {"short", "half", "whole"}),
        ("2", "3", "2", {"short", "whole"}),
        ("", "3", "3", {"short", "half", "whole"}),
        ("2", "", "3", {"short", "half"}),  # an unknown version counts as the first known one
    ],
)
def test_other_versions_of_a_suite_are_never_joined(short, half, whole, wanted, three_lengths):
    for name, version in (("short", short), ("half", half), ("whole", whole)):
        with (three_lengths / name / "run.yaml").open("a") as record:
            record.write(f"suite_version: '{version}'\n" if version else "")
    assert joined(three_lengths)["heldout"] == wanted


def test_tables_by_length_do_not_mix_beat_engines(three_lengths):
    # The same models again, with other beats: they get separate tables, and each names its runs.
    for name in ("short", "half"):
        other = shutil.copytree(three_lengths / name, three_lengths / f"{name}-4")
        (other / "run.yaml").write_text((other / "run.yaml").read_text().replace("engine: '3'", "engine: '4'"))
    shown = lengths.by_suite(lengths.find(sources.gather([three_lengths]).runs))
    assert [of_suite.suite for of_suite in shown] == ["band, runs short, half, whole", "band, runs short-4, half-4"]
    groups = [of_suite.tables[0].groups for of_suite in shown]
    assert [[model for model, _ in group] for group in groups] == [["alpha", "heldout"]] * 2


@pytest.mark.parametrize("change", [("weights_sha256", "other_hash"), ("options: {}", "options: {steps: 9}")])
def test_another_model_of_the_same_name(change, three_lengths):
    record = three_lengths / "half" / "run.yaml"
    record.write_text(record.read_text().replace(*change))
    assert set(joined(three_lengths)) == {"heldout"}


def test_a_folder_has_no_length():
    assert lengths._length("folder:music/30s")[0] == "" and lengths._length("") == ("", 10.24)
    assert lengths._length("slakh2100/test/60s") == ("slakh2100/test", 61.44)


def test_a_site_is_not_written_over_a_run(tmp_path):
    folder = make_run(tmp_path / "run")
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(UsageError, match="is a run folder; choose another --out"):
        site.write([folder], folder)
    assert sorted(path.name for path in folder.iterdir()) == before
