"""The report in a real browser with the network off: nothing leaves, nothing is blank, selection works."""

import io
from pathlib import Path

import numpy as np
import pytest
from example_snapshot import example_snapshot
from PIL import Image
from test_report import nasty_snapshot

from screening.ranking import rank
from screening.report import write_report

pytestmark = pytest.mark.browser
CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage"]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium")
    with playwright.sync_playwright() as engine:
        started = engine.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    snapshot = example_snapshot()
    return write_report(tmp_path_factory.mktemp("run") / "report.html", snapshot, rank(snapshot))


def open_page(browser, path, **options):
    """The page, with every request other than for the file itself and every error kept in lists."""
    context = browser.new_context(offline=True, **{"viewport": {"width": 1280, "height": 900}, **options})
    page = context.new_page()
    page.set_default_timeout(120_000)  # the page is 5 MB of script and WebGL runs in software
    page.asked, page.errors = [], []

    def judge(route):
        if route.request.url == path.as_uri():
            route.continue_()
        else:
            page.asked.append(route.request.url)
            route.abort()

    context.route("**/*", judge)
    page.on("request", lambda r: r.url == path.as_uri() or r.url.startswith("data:") or page.asked.append(r.url))
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("dialog", lambda dialog: page.errors.append(dialog.message) or dialog.dismiss())
    page.goto(path.as_uri())
    if options.get("java_script_enabled", True):
        page.wait_for_selector("html.ready")
        page.wait_for_selector("#viewer canvas")
        page.wait_for_timeout(1500)  # WebGL in software takes its time to the first frame
    return page


@pytest.fixture(scope="module")
def page(browser, report):
    opened = open_page(browser, report)
    yield opened
    opened.context.close()


def pixels(locator) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB")).astype(int)


def inked(image: np.ndarray) -> float:
    """Share of pixels that are not of the most frequent colour."""
    colours, counts = np.unique(image.reshape(-1, 3), axis=0, return_counts=True)
    assert len(colours) > 20
    return 1 - counts.max() / counts.sum()


def test_no_request_leaves_and_nothing_fails(page):
    assert page.asked == []
    assert page.errors == []


def test_the_structure_is_drawn(page):
    image = pixels(page.locator("#viewer"))
    assert inked(image) > 0.04
    red = (image[..., 0] > 120) & (image[..., 1] < 100) & (image[..., 2] < 100)
    assert red.sum() > 50  # oxygen
    legend = page.locator("#legend li").all_text_contents()
    best = rank(example_snapshot()).entries[0].candidate.structure.composition
    assert sorted(legend) == sorted(f"{element} {count:.0f}" for element, count in best.items())


def test_the_plot_shows_every_candidate_with_error_bars(page):
    assert inked(pixels(page.locator("#plot"))) > 0.02
    assert page.locator("#plot .points path.point").count() == page.locator("#ranking tbody tr").count() > 5
    assert page.locator("#plot path.yerror").count() > 5
    assert "selectivity" in page.locator("#plot .xtitle").text_content()


def test_the_table_sorts_and_filters(page):
    column = "#ranking tbody tr td:nth-child(5)"
    head = page.locator("#ranking thead th").nth(4)

    def values():
        return [float(v) for v in page.locator(column).evaluate_all("cells => cells.map(c => c.dataset.value)")]

    before = values()
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert values() == sorted(before, reverse=True) != before
    assert head.get_attribute("aria-sort") == "descending"
    page.keyboard.press("Enter")
    assert values() == sorted(before)
    page.locator("#ranking thead th button").first.click()
    assert values() == before

    page.fill("#find", "sio2")
    shown = page.locator("#ranking tbody tr:visible").count()
    assert 0 < shown < len(before)
    assert page.locator("#shown").text_content() == f"{shown} shown"
    page.fill("#find", "")
    page.check("#only-front")
    assert page.locator("#ranking tbody tr:visible").count() == page.locator("#ranking tbody tr.front").count()
    page.uncheck("#only-front")
    assert page.locator("#ranking tbody tr:visible").count() == len(before)


def test_a_row_selects_its_structure_and_numbers(page):
    page.locator("#ranking tbody tr").first.click()
    page.wait_for_timeout(800)
    first = pixels(page.locator("#viewer"))
    page.locator("#ranking tbody tr").nth(5).click()
    page.wait_for_timeout(800)
    assert np.abs(pixels(page.locator("#viewer")) - first).max() > 100
    shown = page.locator("article.candidate:visible")
    assert shown.count() == 1
    assert shown.get_attribute("data-place") == "6"
    assert page.locator("#ranking tr.selected").get_attribute("data-place") == "6"
    assert page.locator("#legend li").all_text_contents() == ["Si 12", "O 24"]


def test_a_point_and_a_card_select_too(page):
    page.locator("#plot").scroll_into_view_if_needed()
    box = page.locator("#plot .points path.point").last.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_timeout(300)
    page.mouse.down()
    page.mouse.up()
    page.wait_for_timeout(800)
    last_on_front = max(entry.place for entry in rank(example_snapshot()).entries if entry.front == 1)
    assert page.locator("article.candidate:visible").get_attribute("data-place") == str(last_on_front) != "6"
    page.locator(".cards a").nth(1).focus()
    page.keyboard.press("Enter")
    assert page.locator("article.candidate:visible").get_attribute("data-place") == "2"


def test_the_view_turns_by_button_and_axes_can_be_chosen(page):
    page.wait_for_timeout(500)
    before = pixels(page.locator("#viewer"))
    page.locator("[data-turn='15']").click()
    page.wait_for_timeout(600)
    assert np.abs(pixels(page.locator("#viewer")) - before).max() > 100
    page.select_option("#axis-x", "pld_angstrom")
    page.wait_for_timeout(300)
    assert "PLD" in page.locator("#plot .xtitle").text_content()
    assert page.errors == []


def test_a_candidate_that_is_not_drawn_says_so(page):
    page.locator("#ranking tbody tr").last.click()
    assert page.locator("#no-scene").is_visible()
    assert not page.locator("#viewer").is_visible()
    assert page.locator("article.candidate:visible").count() == 1
    page.locator("#ranking tbody tr").first.click()
    assert page.locator("#viewer").is_visible()


def test_it_fits_a_telephone_in_the_dark(browser, report):
    page = open_page(browser, report, viewport={"width": 400, "height": 800}, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert inked(pixels(page.locator("#viewer"))) > 0.03
    page.locator("#ranking tbody tr").nth(2).click()
    page.wait_for_timeout(1200)
    top = page.locator(".right").bounding_box()["y"]
    assert -5 < top < 700  # what was chosen has come into view
    assert (page.asked, page.errors) == ([], [])
    page.context.close()


def test_it_is_read_without_javascript(browser, report):
    page = open_page(browser, report, java_script_enabled=False)
    assert page.locator("#ranking tbody tr:visible").count() > 5
    assert page.locator("article.candidate:visible").count() == page.locator("#ranking tbody tr").count()
    assert page.locator(".funnel svg rect.bar-left").first.bounding_box()["width"] > 50
    assert page.locator("article.candidate svg.picture").first.is_visible()
    assert not page.locator("#plot").is_visible()
    page.locator(".funnel summary").first.click()
    assert page.locator(".funnel details[open] li").first.is_visible()
    page.context.close()


def test_hostile_text_does_nothing(browser, tmp_path):
    snapshot = nasty_snapshot()
    page = open_page(browser, write_report(tmp_path / "report.html", snapshot, rank(snapshot)))
    page.select_option("#axis-x", index=page.locator("#axis-x option").count() - 2)
    page.wait_for_timeout(500)
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    assert page.locator("h1").text_content() == snapshot.question
    assert (page.asked, page.errors) == ([], [])
    page.context.close()
