"""Addresses of the dashboard: what a link from a stranger asks for is looked up among what is there, or named.

Few, because each draws a page; tests/dashboard/test_address.py has more of the same kind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from dashboard.address import MOST_NAMED
from dashboard.widgets import clean
from tests.corpus import Row
from tests.corpus.run_folders import sound

APP = Path(__file__).resolve().parents[2] / "dashboard" / "app.py"
EVIL = "../../../etc/passwd <script>alert(1)</script> [x](javascript:1) :red[r] $x$"

ROWS: list[Row] = []


def add(name: str, page: str, right: Any, **address: Any) -> None:
    """A page at an address over two sound runs: drawn without an exception, and `right` of it."""

    def act(place: Path) -> AppTest:
        import sys

        for method in ("base", "lora"):
            sound(place / "runs", method)
        argv = sys.argv
        sys.argv = ["app.py", "--runs", str(place / "runs")]
        try:
            app = AppTest.from_file(APP, default_timeout=60)
            app.run().switch_page(f"views/{page}.py")
            app.query_params.update(address)
            app.run()
        finally:
            sys.argv = argv
        assert not app.exception, app.exception
        return app

    ROWS.append(Row("dashboard addresses", name, act, right=right))


def named(asked: str) -> Any:
    """The page says what is not here, as plain text that a browser can show, and shows the default."""
    return lambda app: (
        "the address asks for one that is not here" in app.warning[0].value
        and clean(asked) in [one.value for one in app.text]
        and asked not in "".join(one.value for one in app.markdown)
    )


def quiet(app: AppTest) -> bool:
    return not app.warning and bool(app.title[0].value)


add("a study that is a path", "overview", named(EVIL), study=EVIL)
add("a run that is a path", "training", named(EVIL), run=[EVIL])
add("a run of 100,000 characters", "compare", named("r" * 100_000), other=["r" * 100_000])
add("two hundred runs that are not there", "compare",
    lambda app: len(app.warning) == MOST_NAMED and f"and {200 - MOST_NAMED} more" in [one.value for one in app.text],
    other=[f"r{i}" for i in range(200)])  # fmt: skip
add("a margin that is no number", "compare", named("nan"), margin="nan")
add("a margin beyond all numbers", "compare", named("1e999"), margin="1e999")
add("a range whose ends change places", "items", quiet, length=["80", "70"])
add("an item that is a path", "items", named(EVIL), item=EVIL)
add("a search that is a pattern", "runs", quiet, search="(((((.*)*)*)*)*$ [")
add("a search of 10,000 characters", "runs", named("s" * 10_000), search="s" * 10_000)
add("keys that no page has", "cost", quiet, __class__="x", eval="1", data="/etc/passwd", runs="/etc")
add("controls of a terminal and of text", "runs", named("\x1b[2J\u202e\0"), column=["\x1b[2J\u202e\0"])
