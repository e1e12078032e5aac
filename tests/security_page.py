"""`python -m tests.security_page`: put the figures of data/perf/reliability.json into SECURITY.md and README.md."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.chaos.report import RESULT

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "SECURITY.md", ROOT / "README.md")
BLOCK = re.compile(r"(?<=<!-- figures: begin -->\n).*?(?=<!-- figures: end -->)", re.DOTALL)


def figures(document: dict[str, Any]) -> str:
    """What was tried, in a line each; only what is measured."""
    lines = []
    if rows := document.get("faults", {}).get("rows"):
        total = {key: sum(row[key] for row in rows) for key in ("points tried", "survived", "lost")}
        lines.append(
            f"- Faults planted in running commands ({document['faults']['date']}): {len(rows)} kinds at "
            f"{total['points tried']:,} points; {total['survived']:,} survived, {total['lost']:,} lost something."
        )
    if rows := document.get("inputs", {}).get("rows"):
        keys = ("inputs", "clear error", "correct", "wrong", "hung")
        total = {key: sum(row[key] for row in rows) for key in keys}
        slowest, largest = (max(row[key] for row in rows) for key in ("slowest, s", "largest, MB"))
        lines.append(
            f"- Bad and odd inputs ({document['inputs']['date']}): {total['inputs']:,} over {len(rows)} entries; "
            f"{total['clear error']:,} ended in a clear error, {total['correct']:,} in the right result, "
            f"{total['wrong']:,} were wrong, {total['hung']:,} hung. The slowest took {slowest:.1f} s, "
            f"the largest {largest:,} MB."
        )
    if rows := document.get("fuzzer", {}).get("rows"):
        total = {key: sum(row[key] for row in rows) for key in ("inputs", "seconds", "faults")}
        lines.append(
            f"- Inputs that a fuzzer made, guided by the code that they reach ({document['fuzzer']['date']}): "
            f"{total['inputs']:,} over {len(rows)} readers in {total['seconds'] / 60:.0f} minutes; "
            f"{total['faults']:,} faults."
        )
    if rows := document.get("long_run", {}).get("rows"):
        about, grown = document["long_run"], {row["what"]: row for row in document["long_run"]["rows"]}
        others = [name for name, row in grown.items() if row["grew"] == "yes" and not name.startswith("memory")]
        lines.append(
            f"- {about['minutes'] / 60:.0f} hours of training and scoring in one process ({about['date']}, "
            f"{about['runs']:,} runs): memory {grown['memory, MB']['growth, %']:+.1f}% from the second fifth of the "
            f"time to the last; {' and '.join(others) or 'no open files, threads or temporary files'} more."
        )
    return "".join(f"{line}\n" for line in lines) or "Nothing is measured yet: `make chaos` does it.\n"


def measured() -> dict[str, Any]:
    return json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(BLOCK.sub(lambda found: figures(measured()), page.read_text("utf-8")), encoding="utf-8")
