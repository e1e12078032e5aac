"""What commands print: a table or one JSON document on standard output, all else on standard error."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console


def run_summary(folder: Any) -> dict[str, Any]:
    record = folder.record.model_dump(mode="json")
    kept = {key: record[key] for key in ("id", "study", "status", "method", "scores", "costs", "error")}
    return {**kept, "path": str(folder.path)}


def print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(rows)
        return
    from rich.table import Table

    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(", ".join(v) if isinstance(v, list) else "" if v is None else str(v) for v in row.values()))
    print_table(table)


def print_table(table: Any) -> None:
    """In a terminal as wide as it is; elsewhere wide enough that no cell wraps."""
    Console(width=None if sys.stdout.isatty() else 114).print(table)


def print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def say(text: str) -> None:
    """Control characters, as a stranger's file name may hold, are spelled out and reach no terminal."""
    shown = (one if one.isprintable() or one == "\n" else one.encode("unicode_escape").decode() for one in text)
    print("".join(shown), file=sys.stderr)
