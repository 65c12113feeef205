"""The leaderboard's page as a reader meets it, in headless Chromium or Chrome.

The browser is the one on the PATH, or ``CHROME_BIN`` with ``CHROMEDRIVER``.
"""

from __future__ import annotations

import json
import os
import shutil
from urllib.parse import urlencode

import pyarrow as pa
import pytest

from harness.core.names import CONTROLS
from harness.leaderboard.columns import COLUMNS, OPTIONAL
from harness.report import files, page, parts
from harness.report.documented import Documented
from harness.store.store import Store
from support.boards import EVIL, KNOWN, ODD, PAGES, made
from support.cells import cell

# Selenium shall not look for a driver on the network.
os.environ["SE_OFFLINE"] = "true"
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.common.exceptions import WebDriverException  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

pytestmark = pytest.mark.xdist_group("browser")  # one browser is enough

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
HEATED = "#verdicts .heat"
"""The heat maps."""
HEAT = ("score", "recovery", "exact_match", "n_scored", "seconds", "steps", "peak_memory_mib")


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    binary = os.environ.get("CHROME_BIN") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not binary:
        pytest.skip("no Chromium or Chrome is installed; .ci/install-browser can do it on Debian")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(os.environ.get("CHROMEDRIVER") or shutil.which("chromedriver"))
    try:
        started = webdriver.Chrome(options=options, service=service)
    except WebDriverException as e:
        pytest.skip(f"{binary} could not be started: {e.msg}")
    yield started
    started.quit()


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return made(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def place(tables, tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    board = Documented("../docs/", ".md", PAGES).marked(tables.board)
    files.write(tables._replace(board=board).pages(), folder)
    return (folder / "index.html").as_uri()


class View:
    """The page in the browser."""

    def __init__(self, driver, place):
        self.driver, self.place = driver, place

    def __call__(self, width=1300, dark=False, **state):
        """Open it afresh, with this state in its address."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get("about:blank")
        self.driver.get(self.place + (f"#{urlencode(state)}" if state else ""))
        assert self.js("return 'ready' in document.documentElement.dataset")
        return self

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def one(self, selector):
        return self.driver.find_element("css selector", selector)

    def all(self, selector, what="e.textContent"):
        return self.js(f"return [...document.querySelectorAll(arguments[0])].map((e) => {what})", selector)

    def methods(self):
        return self.all("#standing tbody tr", "e.dataset.method")

    def column(self, name):
        return self.all(f"#standing tbody td[data-column={name}]", "e.textContent")

    def choose(self, control, value):
        self.js(
            "const e = document.querySelector(arguments[0]); e.value = arguments[1];"
            "e.dispatchEvent(new Event('input', { bubbles: true }))",
            control,
            value,
        )

    def state(self):
        return self.js("return Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")

    def frame(self):
        """Wait for the next frame, with which the event of scrolling comes."""
        self.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")

    def press(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()


@pytest.fixture
def view(driver, place):
    """A fresh page; in the end it must have logged no error and asked for nothing but itself."""
    for log in ("browser", "performance"):
        driver.get_log(log)
    shown = View(driver, place)
    yield shown
    assert [entry["message"] for entry in driver.get_log("browser")] == []
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    # The first tab of the browser itself may still be loading, with pictures of its own.
    asked = {each["request"]["url"] for each in sent if not each["documentURL"].startswith("chrome://")}
    assert {url.partition("#")[0] for url in asked} <= {place, "data:,", "about:blank"}


def text(value, column):
    """A number as the page writes it."""
    if value is None:
        return "–"
    if column in ("rank", "n_scored") or isinstance(value, str):
        return str(value)
    if column in ("seconds", "steps", "peak_memory_mib"):
        return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"
    return f"{value:.3f}"


def shown_numbers(view, section):
    held = "e.dataset.signature, e.dataset.column, e.dataset.value ?? null"
    return view.all(f"{section} td[data-signature]", f"[{held}, e.querySelector('span').textContent]")


def of_file(row, column):
    return (row[column] or None) if column == "peak_memory_mib" else row[column]


def shown_text(row, column):
    """A value of a row in the first table, where controls have no verdict."""
    value = of_file(row, column)
    without = value is None and row["method"] in CONTROLS and column in ("verdict", "forgotten")
    return "n/a" if without else text(value, column)


def same(held, value):
    """Whether an attribute of an element, text or nothing, is this value to the last digit."""
    return (
        held is None if value is None else held == value if isinstance(value, str) else float(held) == value
    )


@pytest.mark.parametrize("attack", ["", "private-data p=0.1", "sample"])
def test_every_number_of_the_wide_table_is_that_of_the_file(view, tables, attack):
    rows = {row["signature"]: row for row in tables[0].to_pylist()}
    found = shown_numbers(view(attack=attack), "#standing")
    assert len(found) > 100
    for signature, column, held, seen in found:
        row = rows[signature]
        assert same(held, of_file(row, column))
        assert seen.removeprefix("=") == shown_text(row, column)
        if attack and column in ("score", "recovery", "exact_match", "n_scored"):
            assert f"{row['attack']} {row['variant']}".strip() == attack


@pytest.mark.parametrize("number", HEAT)
def test_every_number_under_an_attack_is_that_of_the_file(view, tables, number):
    rows = {row["signature"]: row for row in tables[0].to_pylist() if row["attack"] != "none"}
    found = shown_numbers(view(cells=number), HEATED)
    assert {signature for signature, *_ in found} == rows.keys()
    for signature, _, held, seen in found:
        value = of_file(rows[signature], number)
        assert same(held, value)
        told = f"{value:.2f}" if value is not None and number in HEAT[:3] else text(value, number)
        assert seen == ("failed" if value is None and rows[signature]["failed"] else told)


def test_it_opens_on_verdicts_and_the_heat_map_of_recovery(view, tables):
    rows = {row["signature"]: row for row in tables[0].to_pylist()}
    view()
    assert view.all("main > section", "e.id")[0] == "verdicts"
    assert view.all("[data-state=cells]", "e.value") == ["recovery"]
    found = view.all(
        "#verdicts .brief td[data-signature]",
        "[e.dataset.signature, e.dataset.column, e.dataset.value ?? null,"
        "e.querySelector('span')?.textContent]",
    )
    assert {column for _, column, *_ in found} >= {"verdict", "recovered", "kept", "seconds"}
    for signature, column, held, seen in found:
        assert same(held, of_file(rows[signature], column))
        if column != "recovered_attack":
            assert seen == shown_text(rows[signature], column)
    coloured = view.all(
        f"{HEATED} tr[data-method=retrain] td[data-column^=private]", "e.className.split(' ')[1]"
    )
    assert coloured == ["heat-0"]  # nothing came back: no colour


def test_every_point_drawn_is_that_of_the_file(view, tables):
    view().one("[data-key=chips-all]").click()
    drawn = view.all(
        "#curves .curve .mark",
        "[e.closest('figure').dataset.attack, e.closest('g').dataset.method,"
        "+e.dataset.column, +e.dataset.value]",
    )
    wanted = [
        (f"{p['attack']} {p['variant']}", p["method"], p["step"], p["value"]) for p in tables[1].to_pylist()
    ]
    assert sorted(map(tuple, drawn)) == sorted(wanted)


def test_the_original_the_twin_and_chance_are_drawn_whatever_is_chosen(view):
    view().one("[data-key=chips-none]").click()
    assert view.all("#curves .curve", "e.dataset.method") == ["none", "retrain"]
    assert len(view.all("#curves line.chance")) == 1
    view.one("[data-key=chip-gd]").click()
    assert view.all("#curves .curve", "e.dataset.method") == ["none", "retrain", "gd"]
    assert len(view.all("#curves .band")) == 1
    assert view.state() == {"methods": "gd"}


def test_clicks_on_a_header_sort_from_good_to_bad_then_back_then_not(view):
    first = view(benchmark="world").methods()
    seen = []
    for expected in ("ascending", "descending", "none"):
        view.one("#standing th[data-column=worst] button").click()
        assert view.all("#standing th[data-column=worst]", "e.ariaSort") == [expected]
        seen.append(view.methods())
    assert seen[0] == ["retrain", "a", "b", "npo", "gd", "none", "refusal", "c"]
    assert seen[1] == ["none", "refusal", "c", "gd", "npo", "b", "a", "retrain"]
    assert seen[2] == first
    view.one("#standing th[data-column=utility_before] button").click()
    assert view.all("#standing th[data-column=utility_before]", "e.ariaSort") == ["descending"]


@pytest.mark.parametrize(("direction", "ranked"), [("asc", ["=1", "=1", "3"]), ("desc", ["3", "=1", "=1"])])
def test_what_is_missing_comes_last_whichever_way_it_is_sorted(view, direction, ranked):
    assert view(benchmark="world", sort=f"rank.{direction}").column("rank") == [*ranked, *["–"] * 5]


@pytest.mark.parametrize(
    "column",
    ["worst", "recovered", "kept", "recovery", "forget_before", "seconds", "worst_attack", "verdict"],
)
def test_sorting_orders_by_the_number_and_not_by_its_text(view, tables, column):
    view(benchmark="world", sort=f"{column}.asc")
    values = view.all(f"#standing td[data-column={column}]", "e.dataset.value ?? null")
    if column == "verdict":
        assert values[5:] == [None] * 3  # of the controls
        values = values[:5]
    elif column != "worst_attack":
        values = [float(value) for value in values]
    assert values == sorted(values)


def test_headers_sort_by_keyboard_and_keep_the_focus(view):
    view(benchmark="world").js("document.querySelector('#standing th[data-column=worst] button').focus()")
    for expected in ("ascending", "descending"):
        view.press(Keys.ENTER)
        assert view.js("return document.activeElement.closest('th').ariaSort") == expected
        assert view.js("return document.activeElement.textContent") == "worst"


def test_ties_guards_and_controls_can_be_told(view):
    view(benchmark="world")
    kinds = dict(
        zip(view.methods(), view.all("#standing tbody tr", "e.className.trim().split(' ')[0]"), strict=True)
    )
    assert kinds == {
        **dict.fromkeys(("none", "retrain", "refusal"), "control"),
        **dict.fromkeys(("a", "b", "c"), "ranked"),
        **dict.fromkeys(("gd", "npo"), "guarded"),
    }
    ranks = dict(zip(view.methods(), view.column("rank"), strict=True))
    assert (ranks["a"], ranks["b"], ranks["c"], ranks["gd"]) == ("=1", "=1", "3", "–")
    assert "gd has no rank: retain 79 % of the original's." in view.all("#standing .compared li")
    assert view.all("#standing tr[data-method=gd] td[data-column=retain_before] small") == ["(79 %)"]


def test_filters_narrow_every_section_and_stand_in_the_address(view):
    view().choose("[data-filter=benchmark]", "world")
    assert view.state() == {"benchmark": "world"}
    assert view.all("#standing h3") == view.all("#verdicts h3") == view.all("#curves h3") == ["world: tiny"]
    view.choose("[data-filter=attack]", "sample")
    assert view.all(f"{HEATED} thead th") == ["method", "sample †"]
    assert view.all("#curves .empty") == ["No attack that trains was scored here, so there are no curves."]
    assert "under sample" in view.all("#standing .groups th")
    view.choose("[data-filter=q]", "N")
    assert view.methods() == ["none", "retrain", "npo"]
    assert view.state() == {"benchmark": "world", "attack": "sample", "q": "N"}
    view.one("#reset").click()
    assert view.state() == {}
    assert len(view.methods()) == 10


def test_verdicts_can_be_filtered_and_tell_what_decided_them(view):
    view(benchmark="world")
    options = view.all("[data-filter=verdict] option", "e.value")
    assert options == ["", "partly hidden", "hidden", "damaged", "undecided"]
    view.choose("[data-filter=verdict]", "hidden")
    assert view.methods() == ["c", "npo"]
    assert view.state() == {"benchmark": "world", "verdict": "hidden"}
    view.js("document.querySelector('#standing td[data-column=verdict]').focus()")
    said = view.one("#tip").text
    assert "verdict: hidden" in said
    assert "1.0 came back." in said


def test_what_was_learned_stands_below_verdicts_and_heat_map(view):
    view(benchmark="world")
    assert view.all("#verdicts .findings li")[0].startswith("c and npo hide: up to 100 % [90, 110] of what ")
    order = "e.compareDocumentPosition(document.querySelector('#verdicts .heat'))"
    assert view.all("#verdicts .findings", order) == [2]  # the map precedes


def test_a_forget_score_tells_the_threshold_and_the_twin(view):
    view(benchmark="world").js(
        "document.querySelector('#standing tr[data-method=a] td[data-column=forget_before]').focus()"
    )
    said = view.one("#tip").text
    assert "unlearning stops at 0.250 (twin), and 0.300 counts as forgotten" in said
    assert "above one that never knew: 0.100, 0.050 to 0.150" in said


def test_models_and_protocols_filter_too(view, tables):
    assert view(model="big").all("#standing h3") == ["other: big"]
    assert view(protocol=tables[0]["protocol"][0].as_py()).all("#standing h3") == [
        "other: big",
        "world: tiny",
    ]
    assert view(model="big", benchmark="world").all("#standing .empty") == ["No method fits these filters."]


def test_an_address_shows_the_view_it_was_copied_from(view):
    view(benchmark="world", sort="worst.desc", cells="score", methods="npo", x="retain_before", q="o")
    before = view.js("return document.querySelector('main').innerHTML")
    address = view.driver.current_url
    view().driver.get(address)
    assert view.js("return document.querySelector('main').innerHTML") == before
    view.js("location.hash = 'benchmark=other'; dispatchEvent(new HashChangeEvent('hashchange'))")
    assert view.all("#standing h3") == ["other: big"]


def test_a_link_to_what_is_not_here_says_so(view):
    view(benchmark="gone")
    assert (
        view.js("return document.querySelector('[data-filter=benchmark]').selectedOptions[0].text")
        == "gone (not here)"
    )
    assert view.all("#standing .empty") == ["No method fits these filters."]


def test_choices_in_an_address_that_there_are_not_are_as_if_not_made(view):
    before = view().js("return document.querySelector('main').innerHTML")
    view(cells="constructor", x="toString", y="nothing", sort="worst.sideways", constructor="1")
    assert view.js("return document.querySelector('main').innerHTML") == before
    view(methods="%,nobody")
    assert view.all("#curves .curve", "e.dataset.method") == ["none", "retrain"]


@pytest.mark.parametrize(("width", "dark"), [(375, False), (768, True), (1440, False)])
def test_tables_scroll_and_the_page_does_not_at_any_width(view, width, dark):
    view(width=width, dark=dark, methods="gd,npo")
    view.one("details summary").click()
    assert view.js("return document.querySelector('details.reading').offsetHeight < innerHeight")  # the guide
    assert view.js("return document.documentElement.scrollWidth <= innerWidth")
    cut = view.all(".scroll", "e.scrollWidth > e.clientWidth && getComputedStyle(e).overflowX !== 'auto'")
    assert not any(cut)
    beyond = "e.closest('.scroll, [hidden], svg, .skip, dialog') ? 0 : e.getBoundingClientRect().right"
    assert max(view.all("body *", beyond)) <= width
    if width == 1440:
        inside = "e.getBoundingClientRect().right <= e.closest('.scroll').getBoundingClientRect().right + 1"
        assert all(view.all(f"{HEATED} td, .brief td", inside))
    view(width=width, dark=dark, cell="world/tiny/npo/private-data p=0.1")
    right = view.all("dialog, dialog *", "e.closest('.scroll, svg') ? 0 : e.getBoundingClientRect().right")
    assert max(right) <= width


CONTRAST = """
const linear = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b) + 0.05;
function behind(e) {
  const colour = parse(getComputedStyle(e).backgroundColor);
  return colour.length < 4 || colour[3] > 0 ? colour : behind(e.parentElement);
}
const says = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
const shown = [...document.querySelectorAll("body *")].filter((e) => e.getClientRects().length && says(e));
return shown.map((e) => {
  const style = getComputedStyle(e);
  const [text, back] = [light(parse(e instanceof SVGElement ? style.fill : style.color)), light(behind(e))];
  return [Math.max(text, back) / Math.min(text, back), e.tagName, `${e.className}`, e.textContent];
}).filter(([ratio]) => ratio < 4.5);
"""


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("state", [{"cells": "score"}, {"cells": "seconds"}, {"cell": "world/tiny/npo/none"}])
def test_all_text_has_contrast_in_light_and_dark(view, dark, state):
    view(dark=dark, pick="world/tiny/gd", **state).js("document.querySelector('details').open = true")
    back = view.js("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(back) < 60) == dark
    assert view.js(CONTRAST) == []


def test_a_number_tells_its_interval_facts_seeds_and_signature(view, tables):
    [row] = [r for r in tables[0].to_pylist() if (r["method"], r["attack"]) == ("a", "private-data")]
    view(benchmark="world").js("document.querySelector('#standing td[data-signature]').focus()")
    shown = [column.name for column in page.COLUMNS if column.name not in OPTIONAL]
    before = shown.index("worst") - 1  # the first is no number
    view.press(*[Keys.ARROW_DOWN] * 3, *[Keys.ARROW_RIGHT] * before)
    assert view.js("return document.activeElement.dataset.column") == "worst"
    said = view.one("#tip").text
    assert f"worst: {row['worst']:.3f}" in said
    assert f"95 % interval {row['worst_low']:.3f} to {row['worst_high']:.3f}" in said
    assert "a, under private-data p=0.1: 20 facts × 3 seeds × 2 targets" in said
    assert "few facts decided it" in said
    view.press(Keys.ENTER)
    assert view.js("return document.activeElement.textContent") == "a under private-data p=0.1"
    assert view.one("dialog .signature").text == row["signature"]
    view.js("document.querySelector('dialog .buttons button').focus()")
    view.press(Keys.ENTER)
    WebDriverWait(view.driver, 5).until(lambda _: "signature" in view.one("dialog .said").text)
    view.press(Keys.ESCAPE)
    assert view.js("return document.activeElement.dataset.column") == "worst"
    assert view.state() == {"benchmark": "world"}


def test_a_number_out_of_sight_is_told_and_seen_when_the_arrows_reach_it(view):
    view(width=360, benchmark="world").js("document.querySelector('#standing td[data-signature]').focus()")
    view.press(Keys.END)
    seen = (
        "const r = document.activeElement.getBoundingClientRect(); return [r.left, r.right, r.top, r.bottom]"
    )
    left, right, top, bottom = view.js(seen)
    assert 0 <= left < right <= 360
    assert 0 <= top < bottom <= 900
    view.frame()
    assert view.one("#tip").is_displayed()
    assert "MiB: " in view.one("#tip").text


def test_a_header_tells_what_it_means(view):
    header = view(benchmark="world").one("#standing th[data-column=recovery] button")
    view.js("arguments[0].scrollIntoView({ block: 'center' })", header)
    view.frame()
    ActionChains(view.driver).move_to_element(header).perform()
    said = view.one("#tip").text
    assert f"{COLUMNS['recovery'][1]}." in said
    assert "Good: lower." in said
    assert "Over 20 facts and 2 to 3 seeds." in said
    header = view.one("#standing th[data-column=retain_before] button")
    view.js("arguments[0].scrollIntoView({ block: 'center', inline: 'center' })", header)
    view.frame()  # scrolling hides what the mouse brought up
    ActionChains(view.driver).move_to_element(header).perform()
    assert "Over 3 seeds." in view.one("#tip").text  # of retained facts the table does not know the number


@pytest.mark.parametrize(("x", "y"), [("utility_before", "recovery"), ("retain_before", "score")])
def test_every_point_of_the_scatter_is_that_of_the_file(view, tables, x, y):
    rows = [row for row in tables[0].to_pylist() if row["attack"] == "private-data"]
    names = {"utility_before": "utility", "retain_before": "retain"}
    wanted = {f"{r['method']}, {names[x]} {text(r[x], x)}, {y} {text(r[y], y)}" for r in rows}
    assert set(view(benchmark="world", x=x, y=y).all("#tradeoff .point[aria-label]", "e.ariaLabel")) == wanted
    assert len(view.all("#tradeoff .whisker")) == sum(row[f"{y}_low"] is not None for row in rows)


def test_a_point_of_the_scatter_highlights_its_row(view):
    view(benchmark="world").js(
        "document.querySelector('#tradeoff [data-method=npo]')"
        ".dispatchEvent(new MouseEvent('click', { bubbles: true }))"
    )
    assert view.all("tr.picked", "e.dataset.method") == ["npo"] * 3
    assert view.all("#tradeoff .picked", "e.dataset.method") == ["npo"]
    assert view(**view.state()).all("#standing tr.picked", "e.dataset.method") == ["npo"]


def test_failed_cells_are_listed_word_for_word_and_run_nothing(view):
    view()
    [told] = view.all("#failed li")
    assert told == f"npo, private-data p=0.1, seed 2: E: {EVIL}"
    assert view.driver.title == "Unlearning robustness leaderboard"
    assert view.all("img") == []
    assert ODD in view.methods()
    assert view(benchmark="other").all("#failed [data-body]") == ["None."]


def test_what_is_missing_is_a_dash(view):
    view(benchmark="other", cells="peak_memory_mib")
    assert view.column("recovery") == ["–", "–"]
    assert (
        view(benchmark="world", cells="peak_memory_mib").all(f"{HEATED} td[data-column=sample]") == ["–"] * 8
    )


def test_every_control_has_a_name(view):
    view()
    assert [e for e in view.all("select, input", "[e.labels.length, e.outerHTML]") if not e[0]] == []
    assert [
        html for words, html in view.all("button", "[e.textContent.trim(), e.outerHTML]") if not words
    ] == []


def test_names_link_to_the_pages_that_there_are(view):
    view(benchmark="world")
    assert set(view.all("a.doc", "`${e.textContent} ${e.getAttribute('href')}`")) >= {
        "gd ../docs/methods/gd.md",
        "none ../docs/methods/none.md",
        "private-data p=0.1 ../docs/attacks/private-data.md",
        "accuracy ../docs/reference/metrics.md#metric-accuracy",
    }
    assert view.all("#verdicts th a", "e.textContent").count("npo") == 0  # it has none


def test_a_composition_is_a_link_for_each_part_that_has_a_page(driver, tables, tmp_path):
    at = tables.board.schema.get_field_index("method")
    names = pa.array(["gd+sam" if name == "gd" else name for name in tables.board["method"].to_pylist()])
    board = tables.board.set_column(at, tables.board.schema.field(at), names)
    for pages in (PAGES, (*PAGES, "modifiers/sam")):
        marked = Documented("../docs/", ".md", pages).marked(board)
        (tmp_path / "index.html").write_text(page.html(marked, tables.curves))
        driver.get((tmp_path / "index.html").as_uri())
        [name] = [e for e in driver.find_elements("css selector", ".brief tbody th") if "+" in e.text]
        assert name.text.startswith("gd+sam")
        links = [link.text for link in name.find_elements("css selector", "a.doc")]
        assert links == ["gd", *(["sam"] if pages is not PAGES else [])]


def test_a_click_opens_the_curve_the_facts_and_the_signature_of_a_number(view, tables):
    view(benchmark="world").one(f"{HEATED} tr[data-method=npo] td[data-column^=private]").click()
    assert view.one("dialog h2").text == "npo under private-data p=0.1"
    points = [p["value"] for p in tables.curves.to_pylist() if p["method"] == "npo"]
    assert view.all("dialog [data-method=npo] .mark", "+e.dataset.value") == points
    before, after = KNOWN["npo"]
    back = [f"f{i}" for i in range(before, after)]
    numbers = "[e.dataset.fact, ...[...e.querySelectorAll('td span')].map((d) => d.textContent)]"
    seen = view.all("dialog tr[data-fact]", numbers)
    answers = view.all(f"dialog tr[data-fact={back[0]}] q")
    assert answers == [f"gold of {back[0]}, seed 0", EVIL, f"gold of {back[0]}, seed 0", EVIL]
    assert [values for _, *values in seen[: len(back)]] == [["1.00", "0.00", "1.00", "0.00"]] * len(back)
    assert {fact for fact, *_ in seen[: len(back)]} == set(back)
    [button] = [e for e in view.driver.find_elements("css selector", "dialog button") if "Show all" in e.text]
    button.click()
    assert len(view.all("dialog tr[data-fact]")) == 20
    state = view.state()
    assert state == {"benchmark": "world", "cell": "world/tiny/npo/private-data p=0.1"}
    view.one("dialog .close").click()
    assert view.state() == {"benchmark": "world"}
    assert view(**state).one("dialog h2").text == "npo under private-data p=0.1"
    assert view(cell="world/tiny/nobody/none").all("dialog[open]") == []


def test_two_methods_are_compared_fact_by_fact(view):
    view(benchmark="world", a="a", b="c")
    assert view.all("#compare .pair thead th") == ["a", "c"]
    assert view.all("#compare .pair tbody tr:first-child td") == ["undecided", "hidden"]
    more = KNOWN["c"][1] - KNOWN["a"][1]
    told = f"more comes back with a on 0, with c on {more}, and the same on {20 - more}."
    assert told in view.all("#compare .wide p")[0]
    first = view.all("#compare tr[data-fact] td span")[:4]
    assert first == ["0.00", "0.00", "0.00", "1.00"]
    view.choose("[data-state=b]", "gd")
    assert view.state() == {"benchmark": "world", "a": "a", "b": "gd"}
    assert view.all("#compare .pair thead th") == ["a", "gd"]


def test_each_model_that_was_looked_into_has_a_tab_with_the_numbers_of_the_file(view, tables):
    view(benchmark="world", neurons="gd")
    assert view.all("#neurons [role=tab]", "[e.textContent, e.ariaSelected]") == [
        ["b", "false"],
        ["gd", "true"],
    ]
    rows = [row for row in tables.analyses.to_pylist() if "|method:gd@" in row["signature"]]

    def of(analysis, figure, series):
        where = (analysis, figure, series)
        return [
            float(f"{r['value']:.4g}") for r in rows if (r["analysis"], r["figure"], r["series"]) == where
        ]

    for analysis, figure, series, drawn in (
        ("influence", "cumulated", "D+", "[data-series='D+'] .mark"),
        ("influence", "cumulated", "D-", "[data-series='D-'] .mark"),
        ("influence", "map", "D-", "table[data-series='D-'] td"),
        ("lens", "accuracy", "forget unlearned", "[data-series='forget unlearned'] .mark"),
        ("stability", "scatter", "negative", "[data-series=negative] .mark"),
    ):
        found = view.all(f"#neurons [data-figure='{analysis}/{figure}'] {drawn}", "+e.dataset.value")
        assert sorted(found) == sorted(of(analysis, figure, series))
        assert found
    assert len(view.all("#neurons [data-figure='lens/accuracy'] line.chance")) == 1
    assert "0.73" in view.all("#neurons [data-figure=after] td")
    assert all(view.all("#neurons svg.chart", "e.ariaLabel.includes('gd')"))
    view.one("#neurons [role=tab]").click()
    assert view.state() == {"benchmark": "world", "neurons": "b"}
    assert view.js("return document.activeElement.textContent") == "b"
    [told] = view(benchmark="other").all("#neurons .empty")
    assert told.startswith("No analysis was run here.")


def test_of_many_targets_the_first_are_drawn_and_more_on_request(driver, tmp_path):
    cells = [
        cell(method, attack, seed, known, model=f"model{i:02d}", target_key=f"{i:064d}")
        for i in range(30)
        for method, known in (("none", 20), ("gd", 4))
        for attack in ("none", "private-data")
        for seed in range(3)
    ]
    store = Store(tmp_path / "results")
    for each in cells:
        store.commit(*each)
    made, _ = parts.build([store])
    files.write(made.pages(), tmp_path)
    view = View(driver, (tmp_path / "index.html").as_uri())()
    assert len(view.all("table.brief")) == len(view.all("table.standing")) == 12
    assert view.all(".others")[0].startswith("18 more targets: choose a benchmark or a model above")
    view.one("#verdicts .others button").click()
    assert len(view.all("table.brief")) == 24
    assert view.all("#verdicts .others button") == ["show 6 more"]
    view.one("#verdicts .others button").click()
    assert len(view.all("table.brief")) == 30
    assert not view.all(".others")
    view(model="model29")
    assert view.all("#verdicts h3") == ["world: model29"]
    assert not view.all(".others")
