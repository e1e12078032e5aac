"""The dashboard in a real browser: what a person does, and what a stranger's run must not do."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.browser.conftest import Open, settled
from tests.browser.damage import KINDS, STUDY, damaged_runs
from tests.browser.invented import invented_study
from tests.browser.server import served
from tests.conftest import MakeRun
from tests.dashboard.app import PAGES, TITLES

pytestmark = pytest.mark.browser

BASE, LORA = "base-smollm2-135m-s0-05f521", "lora-smollm2-135m-workshop-math-s0-0e7bc5"
QLORA = "qlora-smollm2-135m-workshop-math-s0-88e4c6"
Keep = Callable[[Any, str], None]


def query(page: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def go_to(page: Any, name: str) -> None:
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=name).click()
    page.get_by_role("heading", name=name, exact=True).wait_for()
    settled(page)


def pick(page: Any, box: str, option: str) -> None:
    """Choose in a box by typing, as a person does."""
    page.get_by_role("combobox", name=box).first.click()
    page.keyboard.type(option)
    page.get_by_role("option", name=option).first.click()
    page.keyboard.press("Escape")
    settled(page)


def shows(page: Any, *texts: str) -> None:
    for text in texts:
        page.get_by_text(text, exact=False).locator("visible=true").first.wait_for()


@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens(name: str, open_page: Open, reference: str, screenshot: Keep):
    page = open_page(f"{reference}/{'' if name == 'overview' else name}?study=demo")
    assert page.locator("h1").first.inner_text() == TITLES[name]
    screenshot(page, f"{name}-light")


def test_two_runs_are_chosen_and_the_address_reopens_the_view(open_page: Open, reference: str):
    page = open_page(f"{reference}/items?study=demo")
    pick(page, "Second run", QLORA)
    pick(page, "Benchmark", "workshop_commonsense")
    pick(page, "Change", "broken")
    asked = query(page)
    assert (asked["second"], asked["benchmark"], asked["change"]) == ([QLORA], ["workshop_commonsense"], ["broken"])
    again = open_page(page.url)
    shows(again, "17 of 261 items", QLORA)
    assert query(again) == asked


def test_the_way_by_clicks_to_the_five_answers(open_page: Open, reference: str, screenshot: Keep):
    """As the Overview's own help tells it."""
    page = open_page(f"{reference}?study=demo")
    page.get_by_text("Where to click for each question").click()
    ways = [
        (
            "Did LoRA help?",
            "LoRA changed workshop_math by +34.2 points",
            "Compare base with what was trained",
            "Compare",
        ),
        ("Was QLoRA as good?", "On workshop_math QLoRA is -10.0 points", "Compare LoRA and QLoRA", "Compare"),
        ("What did it cost?", "LoRA: 1 min 12 s of training", "Costs", "Cost"),
        ("What did the model forget?", "No fall is resolved", "Compare on every benchmark", "Compare"),
        ("On which items?", "LoRA fixed 41 and broke 0 of the 120 items", "Items that broke", "Items"),
    ]
    for question, answer, link, to in ways:
        shows(page, question, answer)
        page.get_by_role("link", name=link).click()
        page.get_by_role("heading", name=to, exact=True).wait_for()
        settled(page)
        assert page.locator("[data-testid=stAlert]").count() == 0
        screenshot(page, f"way-{link.lower().replace(' ', '-')}")
        page.go_back()
        page.get_by_role("heading", name="Overview", exact=True).wait_for()
        settled(page)


def test_a_broken_item_is_read_with_both_answers(open_page: Open, reference: str, screenshot: Keep):
    page = open_page(f"{reference}?study=demo")
    page.get_by_role("link", name="Items that broke").click()
    page.get_by_role("heading", name="Items", exact=True).wait_for()
    settled(page)
    shows(page, "18 of 256 items", "Question:", "Right answer:", "First run", "Second run")
    page.get_by_role("button", name="Next").click()
    page.wait_for_url(re.compile("item="))
    settled(page)
    assert query(page)["change"] == ["broken"] and query(page)["second"] == [LORA]
    screenshot(page, "broken-item")


def test_the_exported_rows_are_the_filtered_ones(open_page: Open, reference: str):
    page = open_page(
        f"{reference}/items?study=demo&first={BASE}&second={LORA}&benchmark=workshop_commonsense&change=broken"
    )
    shows(page, "12 of 261 items")
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV", exact=True).click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    assert len(rows) == 12 and {row["change"] for row in rows} == {"broken"}
    assert all(row["first"] == row["gold"] != row["second"] for row in rows)
    for form, start in (("JSON", "["), ("Markdown", "| id |"), ("LaTeX", r"\begin{tabular}")):
        with page.expect_download() as download:
            page.get_by_role("button", name=form, exact=True).click()
        text = Path(download.value.path()).read_text(encoding="utf-8")
        assert text.startswith(start) and text.count("broken") >= 12


def test_a_page_opened_from_the_sidebar_keeps_the_choice(open_page: Open, reference: str):
    page = open_page(f"{reference}/items?study=demo&second={QLORA}&benchmark=workshop_cs&teach=1")
    go_to(page, "Training")
    assert query(page)["teach"] == ["1"]
    go_to(page, "Items")
    assert query(page)["second"] == [QLORA] and query(page)["benchmark"] == ["workshop_cs"]


def test_back_shows_the_view_before(open_page: Open, reference: str):
    page = open_page(f"{reference}/items?study=demo&second={LORA}&benchmark=workshop_cs")
    pick(page, "Change", "broken")
    page.go_back()
    shows(page, "256 of 256 items")
    assert "change" not in query(page)


def test_runs_are_searched(open_page: Open, reference: str):
    page = open_page(f"{reference}/runs?study=demo")
    page.get_by_role("searchbox", name="Search in configurations").fill("method=qlora rank=16")
    page.keyboard.press("Enter")
    shows(page, "1 of 4 runs")
    assert query(page)["search"] == ["method=qlora rank=16"]


def is_dark(page: Any) -> bool:
    colour = page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
    return max(map(int, re.findall(r"\d+", colour)[:3])) < 60


MODES = {"light": (1280, 720, False), "dark": (1280, 720, True), "narrow": (390, 844, False)}


@pytest.mark.parametrize("mode", ["dark", "narrow"])
@pytest.mark.parametrize("name", PAGES)
def test_dark_and_narrow(name: str, mode: str, open_page: Open, reference: str, screenshot: Keep):
    """Nothing is wider than the window, and a dark page is dark throughout."""
    width, height, dark = MODES[mode]
    address = f"{reference}/{'' if name == 'overview' else name}?study=demo&teach=1"
    page = open_page(address, width=width, height=height, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert is_dark(page) == dark
    screenshot(page, f"{name}-{mode}")


def test_the_pages_of_a_study_of_several_training_sets(
    open_page: Open, make_run: MakeRun, tmp_path: Path, screenshot: Keep
):
    """In all three modes: matrices, plane, spectra."""
    invented_study(make_run)
    with served("--runs", str(tmp_path / "runs")) as address:
        for name in ("alignment", "mechanism"):
            for mode, (width, height, dark) in MODES.items():
                page = open_page(f"{address}/{name}?teach=1", width=width, height=height, dark=dark)
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                assert page.get_by_test_id("stPlotlyChart").count() >= 3
                screenshot(page, f"study-{name}-{mode}")


def test_the_theme_is_switched_by_hand(open_page: Open, reference: str):
    page = open_page(f"{reference}?study=demo")
    assert not is_dark(page)
    page.get_by_test_id("stMainMenuButton").click()
    page.get_by_test_id("stThemeSwitcher").get_by_text("Dark").click()
    page.wait_for_function("getComputedStyle(document.querySelector('[data-testid=stApp]')).colorScheme == 'dark'")
    assert is_dark(page)


def test_figures_and_tables_have_their_text(open_page: Open, reference: str):
    page = open_page(f"{reference}/compare?study=demo")
    for chart in page.get_by_test_id("stPlotlyChart").all():
        assert "points" in chart.inner_html() and chart.locator("[aria-label], [role=img]").count()


def test_the_boxes_are_reached_and_changed_by_keyboard(open_page: Open, reference: str):
    page = open_page(f"{reference}/items?study=demo")
    page.get_by_role("combobox", name="Benchmark").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.type("workshop_cs")
    page.keyboard.press("Enter")
    settled(page)
    assert query(page)["benchmark"] == ["workshop_cs"]


def test_no_script_of_a_run_runs(open_page: Open, make_run: MakeRun, tmp_path: Path, screenshot: Keep):
    """`open_page` looks for window.hacked at the end."""
    with served("--runs", str(damaged_runs(make_run, tmp_path))) as address:
        for name in PAGES:
            for second in ("markup-everywhere", next(iter(KINDS))):
                place = f"{address}/{'' if name == 'overview' else name}"
                page = open_page(f"{place}?study={STUDY}&first=markup-everywhere&second={second}&other={second}"
                                 f"&run={second}&everywhere=1&teach=1")  # fmt: skip
                assert page.locator("img[src='x'], [data-testid=stMain] script, a[href^='javascript']").count() == 0
                screenshot(page, f"damaged-{name}")
