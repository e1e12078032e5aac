"""`python -m tests.corpus`: try every row, print what is wrong, and keep the counts in data/perf/reliability.json.

`python -m tests.corpus WORD ...` tries the rows whose names hold a word, tells each, and keeps nothing.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import shutil
import sys
import tempfile
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "114"}
os.environ.pop("SLIMNB_DATA", None)

from tests.chaos.report import keep
from tests.corpus import MOST_GROWN, SECONDS, Outcome, Row, rows, tried


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only rows whose name holds one of them")
    parser.add_argument("--without-dashboard", action="store_true", help="leave its addresses out (half a minute)")
    given = parser.parse_args()
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "Implicitly cleaning up", ResourceWarning)  # streamlit's AppTest, at the exit
    table = rows()
    if not given.without_dashboard:
        from tests.corpus.addresses import ROWS

        table += ROWS
    if given.words:
        table = [row for row in table if any(word in str(row) for word in given.words)]
    found: dict[str, list[Outcome]] = defaultdict(list)
    os.environ["SLIMNB_HOME"] = tempfile.mkdtemp(prefix="slimnb-corpus-")
    try:
        for row in table:
            found[row.entry].append(_try(row, tell=bool(given.words)))
    finally:
        shutil.rmtree(os.environ["SLIMNB_HOME"], ignore_errors=True)
    counts = [_counted(entry, outcomes) for entry, outcomes in found.items()]
    for line in counts:
        print(", ".join(f"{key} {value}" for key, value in line.items()))
    if not given.words and not given.without_dashboard:
        keep("inputs", counts, seconds_allowed=SECONDS, megabytes_allowed=MOST_GROWN // 10**6)
    return int(any(line["wrong"] or line["hung"] for line in counts))


def _try(row: Row, tell: bool) -> Outcome:
    faulthandler.dump_traceback_later(6 * SECONDS, exit=True)  # where no signal reaches, in a library's C code
    with tempfile.TemporaryDirectory(prefix="slimnb-corpus-") as place:
        outcome = tried(row, Path(place))
    faulthandler.cancel_dump_traceback_later()
    if tell or outcome.verdict in ("wrong", "hung"):
        measured = f"{outcome.seconds:.2f} s, {outcome.grown / 1e6:.0f} MB"
        print(f"{row}: {outcome.verdict} ({measured}) {outcome.why}", flush=True)
    return outcome


def _counted(entry: str, outcomes: list[Outcome]) -> dict[str, Any]:
    verdicts = [outcome.verdict for outcome in outcomes]
    return {
        "entry": entry, "inputs": len(outcomes), "clear error": verdicts.count("clear error"),
        "correct": verdicts.count("correct"), "wrong": verdicts.count("wrong"), "hung": verdicts.count("hung"),
        "slowest, s": round(max(outcome.seconds for outcome in outcomes), 2),
        "largest, MB": round(max(outcome.grown for outcome in outcomes) / 1e6),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
