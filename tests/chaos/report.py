"""data/perf/reliability.json: what was tried against slimnb, and what became of it.

`python -m tests.chaos.report` shows it; its exit status is 1 where anything was lost, wrong or hung. Each part writes
a section of its own by `keep`: `faults` (tests.chaos), `inputs` (tests.corpus), `fuzzer` (tests.corpus.fuzz) and
`long_run` (tests.chaos.long_run).
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from slimnb.io.files import write_json

RESULT = Path(__file__).resolve().parents[2] / "data" / "perf" / "reliability.json"
TITLES = {
    "faults": "Faults planted in running commands",
    "inputs": "Bad inputs",
    "fuzzer": "Inputs that a fuzzer made",
    "long_run": "Training and scoring in a loop, in one process",
}
TO_BE_NONE = ("lost", "wrong", "hung", "faults")
"""Columns that must hold 0."""


def keep(section: str, rows: list[dict[str, Any]], path: Path = RESULT, **about: Any) -> None:
    """Replace a section, and leave the others as they are.

    Args:
        rows: a line of the table each, with the same keys.
        about: what the section's figures depend on, such as seed=1.
    """
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    written = {"date": time.strftime("%Y-%m-%d"), **about, "rows": rows}
    write_json(path, known | {section: written})


def show(path: Path = RESULT) -> bool:
    """Print each section as a table with its sums; give whether nothing was lost."""
    from rich.console import Console
    from rich.table import Table

    document = json.loads(path.read_text("utf-8"))
    console, none_lost = Console(width=110), True
    for section in [*TITLES, *(document.keys() - TITLES.keys())]:
        if not (rows := document.get(section, {}).get("rows")):
            continue
        about = ", ".join(f"{key} {value}" for key, value in document[section].items() if key != "rows")
        table = Table(title=f"{TITLES.get(section, section)} ({about})", show_footer=True, title_justify="left")
        for key in rows[0]:
            values = [row.get(key) for row in rows]
            counted = all(isinstance(value, int) and not isinstance(value, bool) for value in values)
            total = sum(values) if counted and len(rows) > 1 else ""
            none_lost &= not (counted and key in TO_BE_NONE and sum(values))
            table.add_column(key, str(total), justify="right" if isinstance(rows[0][key], int | float) else "left")
        for row in rows:
            table.add_row(*("" if value is None else str(value) for value in row.values()))
        console.print(table)
    return none_lost


if __name__ == "__main__":
    raise SystemExit(0 if show() else 1)
