"""Test the site in headless Chromium, driven by Playwright; axe checks accessibility.

Tests are skipped without Playwright, axe or Chromium: ``pip install --group browser``, ``apt-get install chromium``.
"""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from mtbench.report import site
from site_runs import make_run

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install --group browser")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe: pip install --group browser")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if not CHROMIUM:
    pytest.skip("needs Chromium: apt-get install chromium", allow_module_level=True)

RESULTS = Path(__file__).resolve().parents[1] / "results"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1440, "height": 900}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A site of four boards: two runs with audio, on band and with longer clips; a run on Slakh2100 together with
    reported numbers; and reported numbers only."""
    root = tmp_path_factory.mktemp("browser")
    make_run(root / "in" / "demo")
    # Long enough that no test reaches the end by waiting, even on a slow machine.
    make_run(root / "in" / "long", {"long": 2.0}, suite="long", seconds=120.0)
    make_run(root / "in" / "slakh", {"synctrack": 2.0, "heldout": 1.0}, audio=False, suite="slakh2100/test")
    for name in ("published.csv", "releases.yaml"):
        shutil.copy(RESULTS / name, root / "in" / name)
    site.write([root / "in"], root / "site")
    # A second site in a subfolder: one model on clips of two lengths, with a sensitivity page per run.
    for name, suite, level in (("short", "band", 2.0), ("half", "band/30s", 3.0)):
        make_run(root / "lengths" / name, {"alpha": level, "heldout": 1.0}, audio=False, suite=suite)
    site.write([root / "lengths"], root / "site" / "lengths")
    return root / "site"


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        # No sandbox, for containers that run as root. Headless Chromium simulates a sound card that plays in real time.
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=180_000)
        yield launched
        launched.close()


@pytest.fixture
def visit(browser, built):
    """visit(page, ...) opens a page of the site; fails at the end after any error or any request outside the site."""
    contexts, wrong = [], []

    def ask(path: str, viewport=DESK, **options):
        context = browser.new_context(viewport=viewport, **options)
        context.set_default_timeout(120_000)  # a busy machine is not a failure
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        # Leaving a page aborts its pending requests, which is not an error of the page.
        page.on(
            "requestfailed",
            lambda request: None if request.failure == "net::ERR_ABORTED" else wrong.append(request.url),
        )
        page.on(
            "request", lambda request: None if request.url.startswith(built.as_uri()) else wrong.append(request.url)
        )
        page.goto(f"{built.as_uri()}/{path}")
        return page

    yield ask
    for context in contexts:
        context.close()
    assert not wrong


def one_of_each(built: Path) -> list[str]:
    return [
        "index.html",
        "index.html#table=total-slakh2100-test&timebase=published&view=everything",
        "listening.html",
        "sensitivity.html",
        "sensitivity/slakh.html",
        "data.html",
        "models/demo/beta.html",
        "lengths/sensitivity.html",
        sorted(str(path.relative_to(built)) for path in (built / "listening").rglob("*.html"))[0],
    ]


def models(page, body: str = "measured") -> list[str]:
    return page.locator(f".board:visible tbody.{body} tr[data-model]:visible").evaluate_all(
        "rows => rows.map(row => row.dataset.model)"
    )


def column(page, title: str) -> list[str]:
    heads = page.locator(".board:visible thead th").all_inner_texts()
    place = next(i for i, head in enumerate(heads) if head.startswith(title))
    return page.locator(f".board:visible tbody.measured tr :nth-child({place + 1}) .value").all_inner_texts()


# The dark scheme differs only in its colours.
@pytest.mark.parametrize("scheme, rules", [("light", {}), ("dark", {"runOnly": ["color-contrast"]})])
def test_no_page_has_an_accessibility_violation_or_an_error(built, visit, scheme, rules):
    for path in one_of_each(built):
        page = visit(path, color_scheme=scheme)
        # axe's preload would fetch the style sheet, which a page opened from disk may not do.
        report = axe.Axe().run(page, options={"preload": False, **rules})
        assert report.violations_count == 0, f"{path}\n{report.generate_report()}"


def test_no_page_is_wider_than_a_phone(built, visit):
    for path in one_of_each(built):
        page = visit(path, viewport=PHONE)
        assert page.evaluate("document.documentElement.scrollWidth") == 390, path


def test_sorting_by_click_and_by_key(visit):
    page = visit("index.html")
    assert models(page) == ["heldout", "alpha", "beta", "gamma", "noise"]  # FAD, lower first
    page.get_by_role("button", name="CBS", exact=True).click()
    assert models(page) == ["heldout", "alpha", "beta", "gamma", "noise"]  # CBS, higher first
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("CBS")
    page.keyboard.press("Enter")  # the focus stays on the header
    assert models(page) == ["noise", "gamma", "beta", "alpha", "heldout"]
    assert page.locator("th[aria-sort=ascending]").count() == 1
    page.get_by_role("button", name="Model", exact=True).press("Enter")
    assert models(page) == ["alpha", "beta", "gamma", "heldout", "noise"]


def test_ties_share_a_rank_and_controls_have_none(visit):
    page = visit("index.html")
    ranks = page.locator(".board:visible tbody.measured td.rank").all_inner_texts()
    assert ranks == ["–", "1", "=2", "=2", "–"]
    assert page.locator("tr.tie").count() == 2 and page.locator("tr[data-model=alpha] td.best").count() > 0
    assert page.locator("tr.control td.best").count() == 0


def test_the_first_view_shows_values_intervals_and_their_axis(visit):
    page = visit("index.html")
    words = page.locator(".setting:visible").inner_text()
    assert words == "real seconds, 100 fps, lambda 100, window 0.15 s · FAD on log-mel-stats@1, reference:64:abcdef01"
    row = page.locator(".board:visible tr[data-model=alpha]")
    # FAD 2 with 10%, IRS 2/100 s, CBS 1/3 + 0.15.
    assert row.locator(".value").all_inner_texts() == ["2.000", "0.0200", "0.483", "0.020", "1.00"]
    fad = row.locator("td").nth(1)
    assert fad.locator("small").inner_text() == "1.800 to 2.200" and fad.get_attribute("class") == "best"
    assert row.locator(".coverage").inner_text() == "4/4"  # for FAD, by which rows are sorted; CBS has 3
    # The axis spans the competitors, from alpha's 1.8 to gamma's 5.5, plus 6% on each side; noise is at its edge.
    low, high = 1.8 - 0.06 * 3.7, 5.5 + 0.06 * 3.7
    dots = page.locator(".board:visible tbody.measured tr td:nth-child(3) .whisker b")
    places = dots.evaluate_all("dots => dots.map(dot => parseFloat(dot.style.left))")
    assert places[1] == pytest.approx(100 * (2 - low) / (high - low), abs=0.05) and places[-1] == 100


def test_without_a_script_there_are_plain_tables(built, browser):
    plain = browser.new_context(java_script_enabled=False).new_page()
    plain.goto(f"{built.as_uri()}/index.html")
    table = plain.locator("#total-band table:visible").first
    assert table.get_by_role("columnheader").all_inner_texts()[:2] == ["model", "mixture ↓"]
    assert table.locator("tbody tr").first.locator("td").first.inner_text() == "2.00 [1.80, 2.20] #1"
    assert plain.locator(".view:visible").count() == 0 and plain.locator("#total-slakh2100-test").is_visible()
    assert plain.locator("#total-slakh2100-test h3:visible").all_inner_texts() == ["Reported in papers, not ranked"]
    plain.get_by_role("link", name="alpha", exact=True).first.click()
    assert plain.locator("h1").inner_text().startswith("alpha")
    plain.set_viewport_size(PHONE)
    plain.goto(f"{built.as_uri()}/index.html")
    assert plain.locator("#total-band").bounding_box()["width"] < PHONE["width"]
    plain.context.close()


def test_settings_switch_in_place_and_are_kept_in_the_address(visit):
    page = visit("index.html")
    assert column(page, "IRS")[1] == "0.0200"  # alpha: FAD 2, IRS 2/100 s
    page.get_by_role("button", name="published timebase").click()
    assert "no rhythm scores" in page.locator(".setting:visible").inner_text()  # 100 fps is not in this run's grid
    page.get_by_label("Frames/s").select_option("150")
    assert column(page, "IRS")[1] == "0.0133"  # 2/3 of it
    assert column(page, "CBS")[1] == "0.483"
    page.get_by_label("CBS window").select_option("0.05")
    assert column(page, "CBS")[1] == "0.383"
    assert "timebase=published" in page.url and "window=0.05" in page.url
    page.reload()
    assert column(page, "CBS")[1] == "0.383" and column(page, "IRS")[1] == "0.0133"
    page.get_by_role("button", name="FAD by stem").click()
    assert page.locator(".board:visible thead .sort").all_inner_texts() == [
        "Model",
        "FAD mixture",
        "FAD bass",
        "FAD drums",
        "FAD guitar",
        "FAD piano",
    ]


def test_scores_for_other_given_stems_are_loaded_on_demand(visit):
    def shown() -> list[str]:
        return page.locator(".board:visible tbody.reported tr[data-model=synctrack] .value").all_inner_texts()

    page = visit("index.html#table=arrangement-slakh2100-test&timebase=published&fps=150&view=sync")
    files = "script => script.src.split('/').pop()"
    loaded = [
        name for name in page.locator("script").evaluate_all(f"all => all.map({files})") if name.startswith("board-")
    ]
    assert loaded == ["board-arrangement-slakh2100-test.js"]
    page.get_by_label("Given stems").select_option("drums+guitar")
    page.locator(".setting:visible", has_text="given drums+guitar").wait_for()
    assert "0.558" in shown()  # Table A5
    page.get_by_label("Given stems").select_option("drums")
    page.locator(".setting:visible", has_text="given drums ").wait_for()
    assert "0.526" in shown()
    page.reload()
    page.locator(".setting:visible", has_text="given drums ").wait_for()
    assert "0.526" in shown() and page.get_by_label("Given stems").input_value() == "drums"


def test_scores_that_cannot_be_loaded_are_reported(browser, built, tmp_path):
    shutil.copytree(built, tmp_path / "site")
    (tmp_path / "site" / "data" / "board-arrangement-slakh2100-test" / "2.js").unlink()  # given guitar
    (tmp_path / "site" / "data" / "board-total-band.js").unlink()
    page = browser.new_page()
    page.set_default_timeout(120_000)
    view = "table=arrangement-slakh2100-test&timebase=published&fps=150&view=sync&given=drums"
    page.goto(f"{(tmp_path / 'site').as_uri()}/index.html#{view}")
    page.locator(".setting:visible", has_text="given drums ").wait_for()
    rows = models(page, "reported")
    page.get_by_label("Given stems").select_option("guitar")
    message = page.locator(".setting:visible", has_text="cannot be loaded")
    message.wait_for()
    assert (
        "data/board-arrangement-slakh2100-test/2.js" in message.inner_text() and "not changed" in message.inner_text()
    )
    page.get_by_label("Find a model").fill("sync")  # filters the old table and does not claim that it has new scores
    assert message.count() == 1 and models(page, "reported") == [row for row in rows if "sync" in row] != []
    page.get_by_label("Given stems").select_option("drums")
    page.locator(".setting:visible", has_text="given drums ").wait_for()
    page.get_by_role("tab", name="Total generation · band", exact=True).click()
    page.locator(".setting:visible", has_text="data/board-total-band.js cannot be loaded").wait_for()
    page.close()


def test_fads_show_differing_numbers_of_clips(browser, tmp_path):
    def smalls(model: str) -> list[str]:
        row = page.locator(f"tbody.measured tr[data-model={model}]")
        return row.first.locator("td").nth(1).locator("small").all_inner_texts()

    for name, suite in (("one", "band"), ("two", "band"), ("three", "band/30s"), ("four", "band/30s")):
        make_run(tmp_path / "in" / name, {f"{name}-m": 2.0}, audio=False, suite=suite)
    scores = tmp_path / "in" / "two" / "scores.csv"
    table = pd.read_csv(scores, dtype=str, keep_default_na=False)
    table.assign(n="8", n_scored="7").to_csv(scores, index=False)
    site.write([tmp_path / "in"], tmp_path / "site")
    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{(tmp_path / 'site').as_uri()}/index.html#table=total-band&run=*")
    assert smalls("one-m") == ["1.800 to 2.200", "n = 4"] and smalls("two-m") == ["1.800 to 2.200", "n = 7"]
    assert page.locator("td:visible", has_text="n = ").count() == 2  # only FAD is biased by n
    page.get_by_label("Run").select_option("one")
    assert smalls("one-m") == ["1.800 to 2.200"]
    page.get_by_role("tab", name="Total generation · band/30s", exact=True).click()
    page.locator("tr[data-model=four-m]:visible").wait_for()
    page.locator(".board:visible").get_by_label("Run").select_option("*")
    assert smalls("three-m") == smalls("four-m") == ["1.800 to 2.200"]  # equal n is not shown
    page.close()


def test_tables_by_clip_length_have_headers(visit):
    page = visit("lengths/sensitivity.html#by-length")
    table = page.get_by_role("region", name="By clip length, band, real seconds").get_by_role("table")
    assert table.get_by_role("columnheader").all_inner_texts()[:2] == ["Clip", "CBS\nhigher is better"]
    assert [text.split("\n")[0] for text in table.locator("th[scope=row]").all_inner_texts()] == [
        "10.24 s",
        "30.72 s",
    ] * 2
    assert table.locator("tbody").first.locator(".value").all_inner_texts()[::8] == [
        "0.483",
        "0.400",
    ]  # CBS at FAD 2 and 3
    figure = page.get_by_role("img", name="alpha, CBS over samples: 10.24 s, 30.72 s")
    assert figure.is_visible()
    page.get_by_role("link", name="short").click()
    page.wait_for_url("**/sensitivity/short.html")
    assert page.locator("h2").all_inner_texts() == ["Run short"]


def test_filters(visit):
    page = visit("index.html")
    page.get_by_role("button", name="control", exact=True).click()
    assert models(page) == ["alpha", "beta", "gamma"] and "3 of 5 rows" in page.locator(".setting:visible").inner_text()
    page.get_by_role("button", name="embedded", exact=True).click()
    assert models(page) == ["alpha", "gamma"]
    page.get_by_label("Find a model").fill("GAM")
    assert models(page) == ["gamma"]
    page.reload()
    assert models(page) == ["gamma"]


def test_reported_numbers_are_listed_last_and_can_be_hidden(visit):
    page = visit("index.html#table=total-slakh2100-test&timebase=published&fps=150")
    assert models(page) == ["heldout", "synctrack"]
    reported = page.locator("tbody.reported tr[data-model]:visible")
    assert reported.count() > 3 and set(page.locator("tbody.reported td.rank:visible").all_inner_texts()) == {"–"}
    page.get_by_role("button", name="reported", exact=True).click()
    assert reported.count() == 0 and page.locator(".divider:visible").count() == 0
    page.goto(page.url.replace("published", "real").replace("hide=reported", ""))
    page.reload()
    # Papers have no scores in real seconds or under the run's embedding.
    assert page.locator("tbody.reported tr[data-model]").count() == 0


def test_tabs_by_arrow_key(visit):
    page = visit("index.html")
    tabs = page.get_by_role("tab")
    assert tabs.count() == 4 and tabs.nth(0).get_attribute("aria-selected") == "true"
    tabs.nth(0).press("ArrowRight")
    assert tabs.nth(1).get_attribute("aria-selected") == "true" and page.locator(".board:visible").count() == 1
    assert page.evaluate("document.activeElement.getAttribute('role')") == "tab"


def test_a_definition_is_one_click_away(visit):
    page = visit("index.html")
    page.get_by_role("button", name="What CBS is").click()
    shown = page.locator("#def-cbs")
    assert shown.is_visible() and "higher is better" in shown.inner_text() and "live stems" in shown.inner_text()
    page.keyboard.press("Escape")
    assert not shown.is_visible()


def test_a_thousand_rows(browser, tmp_path):
    # Reported rows, because they need neither a run nor a model page.
    table = pd.read_csv(RESULTS / "published.csv", dtype=str, keep_default_na=False)
    score = table[(table["table"] == "1") & (table["model"] == "synctrack") & (table["metric"] == "fad")]
    assert len(score) == 1
    make_run(tmp_path / "in" / "run", {"alpha": 2.0}, audio=False)
    pd.concat([score.assign(model=f"m{i:03d}", value=str(1000 - i)) for i in range(1000)]).to_csv(
        tmp_path / "in" / "published.csv", index=False
    )
    site.write([tmp_path / "in"], tmp_path / "site")
    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{(tmp_path / 'site').as_uri()}/index.html#table=total-slakh2100-test")
    assert models(page, "reported") == [f"m{i:03d}" for i in range(1000)]  # by name until the reader sorts them
    page.get_by_role("button", name="FAD mixture", exact=True).click()
    assert models(page, "reported") == [f"m{i:03d}" for i in reversed(range(1000))]
    page.get_by_label("Find a model").fill("m12")
    assert models(page, "reported") == [f"m{i}" for i in range(129, 119, -1)]
    page.close()


# Records the start of every source and the gain nodes, in the order of the stems.
WATCH = """
window.starts = []; window.gains = [];
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (...args) {
  window.starts.push([...args, this.buffer.duration]);
  return start.apply(this, args);
};
const gain = AudioContext.prototype.createGain;
AudioContext.prototype.createGain = function () { const node = gain.call(this); window.gains.push(node); return node; };
"""


@pytest.fixture
def player(visit):
    page = visit("listening.html")
    assert page.locator(".card").count() == 6
    page.add_init_script(WATCH)
    page.locator(".card", has_text="long").get_by_role("link", name="sample 00001").click()
    page.locator(".play:enabled").wait_for()  # a key before the script has run would be lost
    return page


def levels(page, wanted: list[int]) -> None:
    """Wait until the stems' gains are close to `wanted`."""
    page.wait_for_function(
        "wanted => gains.length === 4 && gains.every((gain, i) => Math.abs(gain.gain.value - wanted[i]) < 0.05)",
        arg=wanted,
    )


def test_stems_play_in_step_with_mute_and_solo(player):
    page = player
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function("document.querySelector('.now').textContent > '0:00.2'")
    starts = page.evaluate("starts")
    assert len(starts) == 4 and len({tuple(start[:2]) for start in starts}) == 1  # same instant, same offset
    assert [start[2] for start in starts] == pytest.approx([120.0] * 4, abs=0.001)  # complete stems
    levels(page, [1, 1, 1, 1])
    page.get_by_role("button", name="Solo drums").click()
    levels(page, [0, 1, 0, 0])
    assert page.locator(".lane.silent").count() == 3
    page.get_by_role("button", name="Solo piano").click()
    levels(page, [0, 1, 0, 1])
    page.get_by_role("button", name="All on").click()
    page.get_by_role("button", name="Mute bass").click()
    levels(page, [0, 1, 1, 1])
    assert page.get_by_role("button", name="Mute bass").get_attribute("aria-pressed") == "true"
    page.get_by_label("Position in seconds").press("End")
    page.wait_for_function("document.querySelector('.play').textContent === 'Play'")  # the clip has ended
    assert page.locator(".now").inner_text() == "0:00.0"


def test_the_player_by_keyboard(player):
    page = player
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('.play').textContent === 'Pause'")
    lane = page.locator(".lane[data-stem=guitar]")
    lane.focus()
    page.keyboard.press("s")
    levels(page, [0, 0, 1, 0])
    page.keyboard.press("s")
    page.keyboard.press("m")
    levels(page, [1, 1, 0, 1])
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('.play').textContent === 'Play'")
    page.get_by_label("Position in seconds").press("End")
    assert page.locator(".now").inner_text() == "2:00.0"


def test_a_click_on_a_picture_seeks(player):
    page = player
    picture = page.locator(".lane[data-stem=bass] .picture")
    box = picture.bounding_box()
    picture.click(position={"x": box["width"] / 2, "y": 10})
    assert page.locator(".now").inner_text() == "1:00.0"
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function("starts.length === 4")
    assert page.evaluate("starts[0][1]") == pytest.approx(60.0, abs=0.2)


def test_beats_are_drawn_where_they_were_tracked(player):
    # Beats at 0.1 + k/2 s, below 2 s; the first one begins a bar.
    line = player.locator(".lane[data-stem=bass] .beat.down").get_attribute("d")
    assert (
        line.startswith("M0.100 0v1")
        and player.locator(".lane[data-stem=bass] .beat:not(.down)").get_attribute("d").count("M") == 3
    )
