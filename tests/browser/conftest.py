"""A real Chromium, the app over the reference runs, and screenshots of what was seen."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.server import served
from tests.conftest import ROOT

SCREENSHOTS = ROOT / "build" / "screenshots"
"""Kept by every run of these tests, and ignored by git."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 60_000  # milliseconds that a page may take on a busy machine

# Nothing is still a grey place for what comes, and every figure has its lines.
DRAWN = """() => !document.querySelector('[data-testid=stSkeleton]')
  && [...document.querySelectorAll('[data-testid=stPlotlyChart]')].every(chart => chart.querySelector('.main-svg'))"""

Open = Callable[..., Any]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
    with sync_api.sync_playwright() as playwright:
        found = find_chromium() or playwright.chromium.executable_path
        if not Path(found).exists():
            pytest.skip("no Chromium: `apt-get install chromium`, or name one in SLIMNB_CHROMIUM")
        # Chromium's sandbox refuses root, as in containers; what is opened here comes from this machine alone.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=found, args=options)
        yield browser
        browser.close()


def find_chromium() -> str | None:
    """A browser of the system's, as SLIMNB_CHROMIUM or the search path has it."""
    return os.environ.get("SLIMNB_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture(scope="session")
def reference() -> Iterator[str]:
    """The address of the app over the runs that ship with the project."""
    with served("--runs", str(ROOT / "data" / "runs")) as address:
        yield address


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Open]:
    """Open a page in a window of its own; at the end no script of a run has run and nothing but the app was asked."""
    contexts, asked = [], []

    def open_(address: str, width: int = 1280, height: int = 720, dark: bool = False) -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", accept_downloads=True
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(SECONDS)
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: pytest.fail(f"a dialog opened: {dialog.message}"))
        page.goto(address)
        return settled(page)

    yield open_
    for context in contexts:
        for page in context.pages:
            assert page.evaluate("window.hacked") is None
        context.close()
    strangers = [url for url in asked if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))]
    assert strangers == []


def settled(page: Any) -> Any:
    """The page once the app has run to its end."""
    page.locator("h1").first.wait_for()
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    page.wait_for_timeout(300)  # a box that was changed starts the next run a moment later
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    page.wait_for_function(DRAWN)
    assert page.locator("[data-testid=stException]").count() == 0
    return page


@pytest.fixture
def screenshot() -> Callable[[Any, str], None]:
    """Keep what is seen, the whole page, in SCREENSHOTS."""

    def keep(page: Any, name: str) -> None:
        size = page.viewport_size
        height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        page.set_viewport_size({"width": size["width"], "height": max(size["height"], min(height, 5000))})
        page.wait_for_timeout(1000)  # figures are drawn anew for the larger window
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}.png")
        page.set_viewport_size(size)

    return keep
