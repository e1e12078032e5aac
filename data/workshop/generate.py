"""Write the workshop sets and their README: python data/workshop/generate.py [--out DIR]."""

import argparse
import json
from pathlib import Path

import _commonsense
import _cs
import _math
from _readme import Problems, readme
from _rows import SPLITS

# By the name of a set: the function that yields (kind, row) for every row of a split, in file order.
SETS: dict[str, Problems] = {
    "math": _math.problems,
    "commonsense": _commonsense.problems,
    "cs": _cs.problems,
}


def write_sets(folder: Path) -> None:
    """Write every split of every set below the folder, the same bytes each time."""
    for name, problems in SETS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for split in SPLITS:
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for _, row in problems(split))
            (folder / name / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")
    (folder / "README.md").write_text(readme(SETS), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    write_sets(parser.parse_args().out)
