"""A data directory in the Hub's schemas: rows that are damaged, odd or hostile, and places that are no files."""

from __future__ import annotations

import codecs
import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slimnb.benchmarks import get_benchmark
from slimnb.data.load import DATA_SETS, MMLU_CS_SUBJECTS, availability, data_directory, load_rows
from tests.corpus import Row

HELLASWAG = {
    "ind": 24, "activity_label": "Roofs", "ctx_a": "A man is sitting on a roof.", "ctx_b": "he",
    "endings": ["rips tiles off.", "holds a cube.", "sings.", "sleeps."], "source_id": "a~v_1", "label": "0",
}  # fmt: skip
GSM8K = {"question": "Ann has 1,000 pears and eats 3. How many?", "answer": "1,000 - 3 = 997\n#### 997"}
MMLU = {"question": "2 ** 3?", "subject": "machine_learning", "choices": ["6", "8", "9", "5"], "answer": 1}
ALPACA = {"instruction": "Name a fruit.", "input": "", "output": "Pear."}
SETS: dict[str, tuple[str, dict[str, Any]]] = {
    "hellaswag": ("validation", HELLASWAG), "gsm8k": ("test", GSM8K), "mmlu/machine_learning": ("test", MMLU),
    "alpaca": ("train", ALPACA), "dolly": ("train", ALPACA), "openbookqa": ("train", MMLU),
}  # fmt: skip

ROWS: list[Row] = []


def add(name: str, act: Callable[[Path], Any], error: str | None = None, right: Any = None) -> None:
    ROWS.append(Row("benchmark files", name, act, error, right))


def file(place: Path, data_set: str, content: str | bytes) -> Path:
    path = place / DATA_SETS[data_set].files[SETS[data_set][0]]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def content(data_set: str, name: str, text: str | bytes, error: str | None = None, right: Any = None) -> None:
    """A data set's file of this content; `right` sees its rows."""

    def act(place: Path) -> list[Any]:
        file(place, data_set, text)
        return load_rows(data_set, SETS[data_set][0], place).rows

    add(f"{data_set}: {name}", act, error, right)


def field(data_set: str, name: str, value: Any, error: str | None = None, right: Any = None) -> None:
    """A good row, and one in which a field has another value."""
    good = SETS[data_set][1]
    if error is not None and " " not in error:
        error = f":2: {error}"
    shown = f"{value!r:.30}"
    content(data_set, f"{name} = {shown}", f"{json.dumps(good)}\n{json.dumps(good | {name: value})}\n", error, right)


for data_set, (_, good) in SETS.items():
    row = DATA_SETS[data_set].row
    needed = next(name for name, one in row.model_fields.items() if one.is_required())
    content(data_set, f"without {needed}", json.dumps({k: v for k, v in good.items() if k != needed}), f":1: {needed}")
    field(data_set, needed, None, needed)
    field(data_set, needed, {"a": [1]}, needed)

for value in ("4", "", "-1", "1.0", "x", " 0", -1, 4, None, True, 0.5, [0], "9" * 5000):
    field("hellaswag", "label", value, "label")
for value, place in ((2, 2), ("00", 0), ("\u0663", 3)):  # Python reads digits of all scripts
    field("hellaswag", "label", value, right=lambda rows, place=place: int(rows[1].label) == place)
for value in ([], ["one"], "four of them", [1, 2], None, [None, "a"], [["a"], "b"]):
    field("hellaswag", "endings", value, "endings")
field("hellaswag", "endings", ["a", "b"], right=lambda rows: rows[1].endings == ["a", "b"])
field("hellaswag", "endings", [1] * 100_000, "and 99,995 more")
for value in (True, "x", 1.5):
    field("hellaswag", "ind", value, "ind")
field("hellaswag", "ctx_b", "\0\u202e\x1b[2J", right=lambda rows: rows[1].ctx_b == "\0\u202e\x1b[2J")

for value in ("997", "#### many", "", 997, None, "####997", " #### 997", "#### \u0663", ["#### 1"]):
    field("gsm8k", "answer", value, "answer")
for value, gold in (("#### -5", "-5"), ("So\n#### 1,000", "1000"), ("#### $7", "7"), ("#### 7.5", "7.5")):
    field("gsm8k", "answer", value, right=lambda rows, gold=gold: _gold(rows[1]) == gold)
field("gsm8k", "question", "", "question")
field("gsm8k", "answer", "#" * 200_000, "no final line")
field("gsm8k", "answer", "#### " + ",." * 100_000, "no final line")

for value in (4, -1, "B", None, True, 1.5, [1], 10**30, "", "1.5"):
    field("mmlu/machine_learning", "answer", value, "answer")
for value in (1, "1", 1.0):
    field("mmlu/machine_learning", "answer", value, right=lambda rows: rows[1].answer == 1)
for value in (["only"], [], "ABCD", list("abcdefghijk"), [1, 2], None):
    field("mmlu/machine_learning", "choices", value, "choices")
field("mmlu/machine_learning", "choices", ["same", "same"], right=lambda rows: len(rows[1].choices) == 2)
field("alpaca", "output", None, "output")
field("alpaca", "output", "", right=lambda rows: rows[1].output == "")

ONE = json.dumps(GSM8K)
content("gsm8k", "empty", "", "has no rows")
content("gsm8k", "blank lines", "\n \n", "has no rows")
content("gsm8k", "a byte order mark", codecs.BOM_UTF8 + ONE.encode(), right=lambda rows: len(rows) == 1)
content("gsm8k", "UTF-16", ONE.encode("utf-16"), "UTF-8")
content("gsm8k", "UTF-16 without a mark", ONE.encode("utf-16-le"), "NUL bytes")
content("gsm8k", "not UTF-8 on line 3000", (ONE + "\n").encode() * 2999 + b"\xff", ":3000: not UTF-8")
content("gsm8k", "packed", gzip.compress(ONE.encode()), "UTF-8")
content("gsm8k", "cut", ONE[:-9], ":1: not valid JSON")
content("gsm8k", "a name given twice", ONE[:-1] + ', "answer": "#### 5"}', "'answer' is given twice")
content("gsm8k", "nested too deep", "[" * 100_000, ":1: not valid JSON")
content("gsm8k", "nested deep", json.dumps(GSM8K | {"more": 0})[:-2] + "[" * 900 + "]" * 900 + "}",
        right=lambda rows: len(rows) == 1)  # fmt: skip
content("gsm8k", "a line of 21 MB", ONE.replace("pears", "p" * 21_000_000), ":1: a line of more than")
content("gsm8k", "3,000,000 lists", ONE[:-1] + f', "a": [{"[]," * 3_000_000}[]]}}', "lists and objects")
content("gsm8k", "a list", "[1]", ":1: ")
content("gsm8k", "null", "null", ":1: ")
content("gsm8k", "NaN in a field that is not read", ONE[:-1] + ', "a": NaN}', right=lambda rows: len(rows) == 1)
content("gsm8k", "half a surrogate pair", ONE.replace("pears", "\\ud800"), ":1: not valid JSON (half a character")
content("gsm8k", "Windows' line ends", f"{ONE}\r\n{ONE}\r\n", right=lambda rows: len(rows) == 2)


def place_row(name: str, make: Callable[[Path], Any], error: str | None = None, right: Any = None) -> None:
    """What `make` puts where gsm8k's file should be."""

    def act(place: Path) -> Any:
        path = file(place, "gsm8k", "")
        path.unlink()
        make(path)
        return load_rows("gsm8k", "test", place).rows

    add(f"place: {name}", act, error, right)


place_row("nothing there", lambda path: None, "not there")
place_row("a directory", lambda path: path.mkdir(), "not there")
place_row("a pipe", os.mkfifo, "not there")
place_row("a link to itself", lambda path: path.symlink_to(path), "not there")
place_row("a device without end", lambda path: path.symlink_to("/dev/zero"), "not there")
place_row("a link to a file", lambda path: (path.with_name("x").write_text(ONE), path.symlink_to("x")),
          right=lambda rows: len(rows) == 1)  # fmt: skip


def mmlu(place: Path, subjects: tuple[str, ...] = MMLU_CS_SUBJECTS, examples: int = 5) -> Path:
    for subject in subjects:
        for split, count in (("dev", examples), ("test", 3)):
            path = place / "mmlu" / subject / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = [json.dumps(MMLU | {"question": f"{split} {subject} {i}?"}) for i in range(count)]
            path.write_text("\n".join(lines), encoding="utf-8")
    return place


add("mmlu_cs: a subject is missing", lambda place: get_benchmark("mmlu_cs").load(mmlu(place, MMLU_CS_SUBJECTS[:3])),
    "machine_learning")  # fmt: skip
add("mmlu_cs: more shots than examples", lambda place: get_benchmark("mmlu_cs").load(mmlu(place, examples=2), 3),
    "3 shots asked for")  # fmt: skip
add("mmlu_cs: a limit beyond all", lambda place: len(get_benchmark("mmlu_cs").load(mmlu(place), 0, 10**9).items),
    right=(12).__eq__)  # fmt: skip
add("mmlu_cs: nothing at all", lambda place: get_benchmark("mmlu_cs").load(place), "not there")
add("unknown benchmark", lambda place: get_benchmark("../../etc/passwd"), "../../etc/passwd")
add("unknown data set", lambda place: load_rows("imagenet", "test", place), "no data set is called")
add("unknown split", lambda place: load_rows("gsm8k", "../secret", place), "has no split")
add("directory: not there", lambda place: data_directory(place / "none"), "does not exist")
add("directory: a file", lambda place: (place / "d").write_text("") or data_directory(place / "d"), "does not exist")
add("directory: a name too long", lambda place: data_directory(place / ("d" * 300)), "does not exist")
add("directory: a link to itself", lambda place: ((place / "d").symlink_to(place / "d"), data_directory(place / "d")),
    "does not exist")  # fmt: skip
add(
    "directory: empty, looked over",
    lambda place: availability(DATA_SETS["gsm8k"], place),
    right=("missing", None).__eq__,
)
add("directory: a file is a directory, looked over",
    lambda place: ((place / "gsm8k" / "test.jsonl").mkdir(parents=True), availability(DATA_SETS["gsm8k"], place))[1],
    right=("missing", None).__eq__)  # fmt: skip
add("directory: removed while read", lambda place: _removed(place), "does not exist")


def _removed(place: Path) -> Any:
    (place / "d").mkdir()
    directory = data_directory(place / "d")
    shutil.rmtree(place / "d")
    return data_directory(directory)


def _gold(row: Any) -> str:
    from slimnb.benchmarks.gsm8k import normalize

    return normalize(row.answer.rpartition("#### ")[2])
