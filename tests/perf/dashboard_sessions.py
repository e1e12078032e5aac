"""Twenty people at the dashboard at once, over 5,000 runs: how long each view takes, and the server's memory.

`python -m tests.perf.dashboard_sessions [--runs 5000] [--sessions 20] [--reading 5]` makes the runs as
tests.perf.dashboard does, serves the app, and opens the sessions as a browser would, by the app's own websocket. All
ask for the first view at once, then each goes from page to page with some seconds of reading in between. A view's
seconds end with its last message. Adds `at_once` to data/perf/dashboard.json where nothing was made smaller.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.browser.server import ROOT, served
from tests.perf import dashboard

VIEWS = [
    ("runs", "everywhere=1&search=method%3Dlora+seed%3D1"),
    ("compare", ""),
    ("items", "change=broken"),
    ("training", "smoothing=0.5"),
    ("cost", ""),
    ("overview", "teach=1"),
]
READING = 5.0
"""Seconds between two views of one person, on average."""


class Session:
    """One browser tab."""

    def __init__(self, connection: Any):
        self._connection = connection
        self._pages: dict[str, str] = {}

    async def view(self, page: str, query: str) -> float:
        """Seconds until the page is whole."""
        from streamlit.proto.BackMsg_pb2 import BackMsg
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        asked = BackMsg()
        asked.rerun_script.query_string = query
        asked.rerun_script.page_script_hash = self._pages.get(page, "")
        start = time.perf_counter()
        await self._connection.send(asked.SerializeToString())
        while True:
            said = ForwardMsg()
            said.ParseFromString(await self._connection.recv())
            if said.HasField("navigation"):
                self._pages = {
                    one.url_pathname or "overview": one.page_script_hash for one in said.navigation.app_pages
                }
            if said.HasField("delta") and said.delta.new_element.HasField("exception"):
                raise RuntimeError(said.delta.new_element.exception.message)
            if said.HasField("script_finished"):
                return time.perf_counter() - start


async def person(address: str, number: int, reading: float, took: dict[str, list[float]]) -> None:
    """Opens the app, and then each view once in an order of their own."""
    import websockets

    chance = random.Random(number)
    views = chance.sample(VIEWS, len(VIEWS))
    place = address.replace("http", "ws") + "/_stcore/stream"
    async with websockets.connect(place, origin=address, subprotocols=["streamlit"], max_size=None) as connection:
        session = Session(connection)
        took.setdefault("first view", []).append(await session.view("", ""))
        for page, query in views:
            await asyncio.sleep(chance.uniform(0, 2 * reading))
            took.setdefault(page, []).append(await session.view(page, query))


async def all_at_once(address: str, sessions: int, reading: float) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {}
    await asyncio.gather(*(person(address, number, reading, took) for number in range(sessions)))
    return took


def measure(root: Path, sessions: int, reading: float = READING) -> dict[str, Any]:
    """Median and slowest seconds of each view, and the server's largest memory in MB."""
    import psutil

    with served("--runs", str(root)) as address:
        (server,) = [one for one in psutil.Process().children() if "streamlit" in " ".join(one.cmdline())]
        took = asyncio.run(all_at_once(address, sessions, reading))
        peak = next(
            int(line.split()[1]) * 1024 / 1e6
            for line in Path(f"/proc/{server.pid}/status").read_text("utf-8").splitlines()
            if line.startswith("VmHWM")
        )
    seconds = {name: {"median": round(statistics.median(each), 3), "slowest": round(max(each), 3), "n": len(each)}
               for name, each in took.items()}  # fmt: skip
    return {"sessions": sessions, "seconds": seconds, "peak_mb": round(peak, 1)}


def main() -> None:
    from slimnb.io.files import write_json

    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=dashboard.RUNS)
    options.add_argument("--sessions", type=int, default=20)
    options.add_argument("--reading", type=float, default=READING, help="seconds between two views, on average")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="slimnb-dashboard-", dir=ROOT.parent) as place:
        dashboard.make(Path(place), studies=50, runs=given.runs)
        found = measure(Path(place), given.sessions, given.reading)
    print(json.dumps(found, indent=2))
    if (given.runs, given.sessions, given.reading) == (dashboard.RUNS, 20, READING):
        written = json.loads(dashboard.RESULT.read_text("utf-8"))
        write_json(dashboard.RESULT, written | {"at_once": found})


if __name__ == "__main__":
    main()
