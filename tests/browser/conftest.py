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

CHROMIUM = Path("/usr/bin/chromium")
SECONDS = 15_000  # milliseconds that a page may take on a busy machine

# Nothing is still a grey place for what comes, and every figure has its lines.
DRAWN = """() => !document.querySelector('[data-testid=stSkeleton]')
  && [...document.querySelectorAll('[data-testid=stPlotlyChart]')].every(chart => chart.querySelector('.main-svg'))"""

Open = Callable[..., Any]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


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
def screenshot(tmp_path: Path) -> Callable[[Any, str], None]:
    """Keep what is seen, the whole page, in tmp_path and in the directory that SLIMNB_SCREENSHOTS names."""

    def keep(page: Any, name: str) -> None:
        size = page.viewport_size
        height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        page.set_viewport_size({"width": size["width"], "height": max(size["height"], min(height, 5000))})
        page.wait_for_timeout(1000)  # figures are drawn anew for the larger window
        path = tmp_path / f"{name}.png"
        page.screenshot(path=path)
        page.set_viewport_size(size)
        if kept := os.environ.get("SLIMNB_SCREENSHOTS"):
            Path(kept).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, kept)

    return keep
