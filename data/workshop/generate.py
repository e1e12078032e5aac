"""Write the workshop sets: python data/workshop/generate.py [--out DIR]."""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import _cs
import _math
from _rows import SPLITS, Row

PROBLEMS: dict[str, Callable[[str], Iterator[tuple[str, Row]]]] = {
    "math": _math.problems,
    "cs": _cs.problems,
}


def write_sets(folder: Path) -> None:
    """Write every set's splits below the folder, the same bytes each time."""
    for name, problems in PROBLEMS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for split in SPLITS:
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for _, row in problems(split))
            (folder / name / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write the sets to")
    write_sets(parser.parse_args().out)
