"""Training files of one's own: JSON Lines, CSV and Parquet, damaged, hostile, or odd."""

from __future__ import annotations

import codecs
import gzip
import json
import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from slimnb.data.own_data import read_own_data
from slimnb.training.training_sets import load_training_set
from tests.corpus import Row

GOOD = '{"prompt": "Q", "completion": "A"}\n'
DEEP = "[" * 900 + "]" * 900
TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]

ROWS: list[Row] = []


def fed(path: Path, columns: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """What training would see."""
    return [(one.prompt, one.completion) for one in load_training_set(str(path), columns=columns).examples]


def row(
    name: str, file: str, content: str | bytes, error: str | None = None, right: Any = None,
    columns: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    """A file of this content. `right`: the pairs that it holds, or a test of them."""

    def act(place: Path) -> Any:
        path = place / file
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return fed(path, columns)

    ROWS.append(Row("training files", name, act, error, right if right is None or callable(right) else right.__eq__))


def made(name: str, file: str, make: Callable[[Path], Any], error: str | None = None, right: Any = None) -> None:
    """A file that `make` makes."""

    def act(place: Path) -> Any:
        make(place / file)
        return fed(place / file)

    ROWS.append(Row("training files", name, act, error, right))


PAIR = [("Q", "A")]

# JSON Lines: what is no text

row("jsonl empty", "own.jsonl", "", "has no rows")
row("jsonl of blank lines", "own.jsonl", "\n \r\n\t\n", "has no rows")
row("jsonl of a byte order mark", "own.jsonl", codecs.BOM_UTF8, "has no rows")
row("jsonl with a byte order mark", "own.jsonl", codecs.BOM_UTF8 + GOOD.encode(), right=PAIR)
row("jsonl in UTF-16", "own.jsonl", GOOD.encode("utf-16"), "UTF-8")
row("jsonl in UTF-16 without a mark", "own.jsonl", GOOD.encode("utf-16-le"), "NUL bytes")
row("jsonl in UTF-32", "own.jsonl", GOOD.encode("utf-32-be"), "UTF-8")
row("jsonl in Latin-1", "own.jsonl", GOOD.encode() + GOOD.replace("A", "é").encode("latin-1"), ":2: not UTF-8")
row("jsonl cut within a character", "own.jsonl", GOOD.replace("A", "é").encode()[:-4], "UTF-8")
row("jsonl not UTF-8 on line 5000", "own.jsonl", GOOD.encode() * 4999 + b"\xff", ":5000: not UTF-8")
row("jsonl of random bytes", "own.jsonl", b"\xfe" + random.Random(1).randbytes(100_000), "UTF-8")
row("jsonl packed by gzip", "own.jsonl", gzip.compress(GOOD.encode()), "UTF-8")
row("jsonl that is a zip", "own.jsonl", b"PK\x03\x04" + b"a" * 100, "not valid JSON")
row("jsonl with a NUL", "own.jsonl", GOOD.replace("A", "A\0"), "not valid JSON")
row("jsonl with an escaped NUL", "own.jsonl", GOOD.replace("A", "A\\u0000"), right=[("Q", "A\0")])
row("jsonl with a line separator in a text", "own.jsonl", GOOD.replace("A", "A\u2028A"), right=[("Q", "A\u2028A")])
row("jsonl with half a surrogate pair", "own.jsonl", GOOD.replace("A", "\\ud83d"), "half a character")
row("jsonl with a whole surrogate pair", "own.jsonl", GOOD.replace("A", "\\ud83d\\ude00"), right=[("Q", "\U0001f600")])
row("jsonl with half a pair in a name", "own.jsonl", '{"\\udc00": 1, ' + GOOD[1:], "half a character")
row("jsonl with old line ends", "own.jsonl", GOOD.replace("\n", "\r") * 2, right=PAIR * 2)
row("jsonl with mixed line ends", "own.jsonl", GOOD + GOOD.replace("\n", "\r\n") + GOOD, right=PAIR * 3)

# JSON Lines: what is no JSON, or no row

row("jsonl cut", "own.jsonl", GOOD[:-8], "not valid JSON")
row("jsonl with a comma too many", "own.jsonl", GOOD.replace("}", ",}"), ":1: not valid JSON")
row("jsonl in single quotes", "own.jsonl", GOOD.replace('"', "'"), "not valid JSON")
row("jsonl with a comment", "own.jsonl", GOOD + "// two\n", ":2: not valid JSON")
row("jsonl with two rows on a line", "own.jsonl", GOOD.strip() + GOOD, "Extra data")
row("jsonl over several lines", "own.jsonl", json.dumps(json.loads(GOOD), indent=1), ":1: not valid JSON")
row("json array", "own.json", f"[{GOOD}]", "JSON array")
row("json array over several lines", "own.json", f"[\n{GOOD}]", "JSON array")
row("jsonl, a list on line 2", "own.jsonl", GOOD + "[1]\n", ":2: a row is an object")
row("jsonl, a number on line 2", "own.jsonl", GOOD + "1\n", "not a int")
row("jsonl, null on line 2", "own.jsonl", GOOD + "null\n", "not a NoneType")
row("jsonl nested too deep", "own.jsonl", GOOD.replace('"A"', "[" * 100_000), "not valid JSON")
row("jsonl nested deep", "own.jsonl", GOOD.replace('"A"', DEEP), "completion: Input should be a valid string")
row("jsonl, a name given twice", "own.jsonl", GOOD.replace("}", ', "completion": "B"}'), "'completion' is given twice")
row("jsonl, a name given twice deeper", "own.jsonl", '{"messages": [{"role": "user", "role": "assistant"}]}',
    "'role' is given twice")  # fmt: skip
row("jsonl, NaN", "own.jsonl", GOOD.replace('"A"', "NaN"), "valid string (given: nan)")
row("jsonl, beyond all numbers", "own.jsonl", GOOD.replace('"A"', "1e999"), "valid string (given: inf)")
row("jsonl, a number of 5,000 digits", "own.jsonl", GOOD.replace('"A"', "9" * 5000), "not valid JSON")
row("jsonl, a number", "own.jsonl", GOOD.replace('"A"', "42"), "valid string (given: 42)")
row("jsonl, true", "own.jsonl", GOOD.replace('"A"', "true"), "valid string (given: True)")
row("jsonl, null", "own.jsonl", GOOD.replace('"A"', "null"), "completion: null")
row("jsonl, a list of texts", "own.jsonl", GOOD.replace('"A"', '["A"]'), "completion: Input should be a valid string")
row("jsonl, an object", "own.jsonl", GOOD.replace('"A"', '{"text": "A"}'), "completion: Input should be")
row("jsonl without completion", "own.jsonl", '{"prompt": "Q"}\n', "--columns completion=")
row("jsonl without completion on line 2", "own.jsonl", GOOD + '{"prompt": "Q"}\n', ":2: completion: Field required")
row("jsonl of two forms", "own.jsonl", GOOD + json.dumps({"messages": TALK}), ":2: prompt: Field required")
row("jsonl of an empty object", "own.jsonl", "{}\n", "prompt: Field required")
row("jsonl, nothing to learn", "own.jsonl", GOOD.replace("A", ""), "at least 1 character")
row("jsonl, no answer to any instruction", "own.jsonl", '{"instruction": "I", "output": ""}', "anything to learn")
row("jsonl, an empty prompt", "own.jsonl", GOOD.replace("Q", ""), right=[("", "A")])
row("jsonl, a blank completion", "own.jsonl", GOOD.replace("A", " \\n"), right=[("Q", " \n")])
row("jsonl with a field of its own", "own.jsonl", GOOD.replace("}", ', "id": {"deep": [1]}}'), right=PAIR)
row("jsonl, names in capitals", "own.jsonl", '{"Prompt": "Q", "Completion": "A"}', "--columns prompt=Prompt")
row("jsonl, colours of a terminal in a text", "own.jsonl", GOOD.replace("A", "\\u001b[31m"), right=[("Q", "\x1b[31m")])

# JSON Lines: what is large

row("jsonl, a line of 21 MB", "own.jsonl", GOOD.replace("A", "A" * 21_000_000), ":1: a line of more than")
row("jsonl, a text of 5 MB", "own.jsonl", GOOD.replace("A", "A" * 5_000_000), right=[("Q", "A" * 5_000_000)])
row("jsonl of 3,000,000 lists", "own.jsonl", GOOD.replace('"A"', f"[{'[],' * 3_000_000}[]]"), "lists and objects")
row("jsonl of 200,000 empty rows", "own.jsonl", GOOD + "{}\n" * 200_000, "more than 100,000 bad rows")
row("jsonl, 20,000 names in a row", "own.jsonl", json.dumps({f"c{i}": i for i in range(20_000)}), "10,000 columns")
row("jsonl, another name in each of 20,000 rows", "own.jsonl",
    "".join(GOOD.replace("}", f', "c{i}": 1}}') for i in range(20_000)), right=PAIR * 20_000)  # fmt: skip
row("jsonl, 60,000 turns", "own.jsonl", json.dumps({"messages": TALK * 30_000}), right=lambda found: len(found) == 1)
row("jsonl, 60,000 turns that are none", "own.jsonl", json.dumps({"messages": [1] * 60_000}), "and 59,995 more")
made("jsonl of 100 MB of nothing", "own.jsonl",
     lambda path: (path.write_bytes(GOOD.encode()), os.truncate(path, 10**8)), ":2: a line of more than")  # fmt: skip

# Conversations

for name, turns, said in (
    ("no turns", [], "two or more"),
    ("one turn", TALK[:1], "two or more"),
    ("the last not the assistant's", TALK[::-1], "last one the assistant's"),
    ("an unknown role", [{"role": "human", "content": "Hi"}, TALK[1]], "'human'"),
    ("null as content", [TALK[0], {"role": "assistant", "content": None}], "valid string"),
    ("a call of a tool", [TALK[0], {"role": "assistant", "tool_calls": []}], "content: Field required"),
    ("parts as content", [{"role": "user", "content": [{"type": "text"}]}, TALK[1]], "valid string"),
    ("a text", "Hi", "not valid JSON"),
    ("an object", {"role": "user"}, "messages: "),
    ("lists", [[TALK]], "messages.0: "),
):
    row(f"messages: {name}", "own.jsonl", json.dumps({"messages": turns}), said)
row("messages: another form of the trade", "own.jsonl", '{"conversations": [{"from": "human", "value": "Hi"}]}',
    "The columns are conversations")  # fmt: skip

# CSV

row("csv empty", "own.csv", "", "has no rows")
row("csv of a header", "own.csv", "prompt,completion\n", "has no rows")
row("csv with a byte order mark", "own.csv", codecs.BOM_UTF8 + b"prompt,completion\nQ,A\n", right=PAIR)
row("csv by semicolons", "own.csv", "prompt;completion\nQ;A\n", "by commas")
row("csv by tabs", "own.csv", "prompt\tcompletion\nQ\tA\n", "by commas")
row("csv of one column of 1 MB", "own.csv", "a;" * 500_000, "by commas")
row("csv with two columns of a name", "own.csv", "prompt,prompt,completion\nQ,Q,A\n", "called 'prompt'")
row("csv with columns without a name", "own.csv", "prompt,completion,,\nQ,A,,\n", right=PAIR)
row("csv with a space in the header", "own.csv", "prompt, completion\nQ,A\n", "--columns completion= completion")
row("csv with 20,000 columns", "own.csv", ",".join(f"c{i}" for i in range(20_000)) + "\n1\n", "10,000 columns")
row("csv, a cell too few", "own.csv", "prompt,completion\nQ\n", ":2: 1 cells, the header 2")
row("csv, a cell too many", "own.csv", "prompt,completion\nQ,A,B\n", ":2: 3 cells, the header 2")
row("csv, an open quote", "own.csv", 'prompt,completion\nQ,"A\n', ":2: not valid CSV")
row("csv, an open quote in the header", "own.csv", '"prompt,completion\nQ,A\n', ":1: not valid CSV")
row("csv, a quote within", "own.csv", 'prompt,completion\nQ,"A"B\n', ":2: not valid CSV")
row("csv, a doubled quote", "own.csv", 'prompt,completion\nQ,"A""B"\n', right=[("Q", 'A"B')])
row("csv, a line break in a cell", "own.csv", 'prompt,completion\nQ,"A\r\nB"\n', right=[("Q", "A\r\nB")])
row("csv, a NUL in a cell", "own.csv", "prompt,completion\nQ,A\0B\n", right=[("Q", "A\0B")])
row("csv, a cell of 300,000 characters", "own.csv", f"prompt,completion\nQ,{'A' * 300_000}\n",
    right=[("Q", "A" * 300_000)])  # fmt: skip
row("csv, a cell of 21 MB over lines", "own.csv", 'prompt,completion\nQ,"' + "A\n" * 10_500_000 + '"', "field larger")
row("csv with old line ends", "own.csv", "prompt,completion\rQ,A\r", right=PAIR)
row("csv in UTF-16", "own.csv", "prompt,completion\nQ,A\n".encode("utf-16"), "UTF-8")
row("csv in UTF-16 without a mark", "own.csv", "prompt,completion\nQ,A\n".encode("utf-16-be"), "NUL bytes")
row("csv in Windows-1252", "own.csv", "prompt,completion\nQ,“A”\n".encode("cp1252"), ":2: not UTF-8")
row("csv of 150,000 bad rows", "own.csv", "prompt,completion\n" + "Q\n" * 150_000, "more than 100,000 bad rows")
row("csv, what looks like numbers", "own.csv", "prompt,completion\n007,1e3\n1.50,NaN\ntrue,null\n",
    right=[("007", "1e3"), ("1.50", "NaN"), ("true", "null")])  # fmt: skip
row("csv, a formula", "own.csv", "prompt,completion\n=1+1,@A\n", right=[("=1+1", "@A")])
row("csv, messages that are no JSON", "own.csv", "messages\n[{]\n", "messages: not valid JSON")
row("csv, messages given twice", "own.csv", 'messages\n"[{""role"": 1, ""role"": 2}]"\n', "is given twice")
row("tsv", "own.tsv", "prompt\tcompletion\nQ, and\tA\n", right=[("Q, and", "A")])
row("csv named jsonl", "own.jsonl", "prompt,completion\nQ,A\n", "not valid JSON")
row("jsonl named csv", "own.csv", GOOD, "The columns are")

# Columns by other names

row("columns: one for two fields", "own.csv", "text\nA\n", right=[("A", "A")],
    columns={"prompt": "text", "completion": "text"})  # fmt: skip
row("columns: not there", "own.csv", "a,b\n1,2\n", "no column is called 'q'", columns={"prompt": "q"})
row("columns: an unknown field", "own.csv", "a,b\n1,2\n", "is not one of", columns={"answer": "b"})
row("columns: of two forms", "own.csv", "a,b\n1,2\n", "different forms", columns={"prompt": "a", "output": "b"})
row("columns: a path", "own.csv", "a,b\n1,2\n", "no column is called", columns={"prompt": "../../etc/passwd"})

# Places


def place_row(name: str, file: str, make: Callable[[Path], Any], error: str | None = None, right: Any = None) -> None:
    """Read as `slimnb data check` reads it: nothing looks at the place before."""

    def act(place: Path) -> Any:
        path = place / file
        make(path)
        return [(one.prompt, one.completion) for one in read_own_data(path).rows]

    ROWS.append(Row("training files", name, act, error, right))


place_row("place: nothing there", "own.jsonl", lambda path: None, "No such file")
place_row("place: a directory", "own.jsonl", lambda path: path.mkdir(), "Is a directory")
place_row("place: a directory named parquet", "own.parquet", lambda path: path.mkdir(), "Is a directory")
place_row("place: a pipe", "own.jsonl", os.mkfifo, "not a file")
place_row("place: a pipe named csv", "own.csv", os.mkfifo, "not a file")
place_row("place: a pipe named parquet", "own.parquet", os.mkfifo, "not a file")
place_row("place: a link to itself", "own.csv", lambda path: path.symlink_to(path), "symbolic")
place_row("place: a link to nowhere", "own.csv", lambda path: path.symlink_to("nowhere"), "No such file")
place_row("place: a device without end", "own.jsonl", lambda path: path.symlink_to("/dev/zero"), "not a file")
place_row("place: a name too long", "n" * 300 + ".jsonl", lambda path: None, "too long")
place_row("place: no ending", "own", lambda path: path.write_text(GOOD), "a file that ends in")
place_row("place: packed", "own.jsonl.gz", lambda path: path.write_bytes(gzip.compress(b"{}")), "a file that ends in")
place_row("place: a workbook", "own.xlsx", lambda path: path.write_bytes(b"PK"), "a file that ends in")
place_row("place: an ending in capitals", "OWN.JSONL", lambda path: path.write_text(GOOD), right=PAIR.__eq__)
place_row("place: a name of two lines", "own\n.jsonl", lambda path: path.write_text(GOOD), right=PAIR.__eq__)
place_row("place: a name that is not text", os.fsdecode(b"own\xff.jsonl"), lambda path: path.write_text(GOOD),
          right=PAIR.__eq__)  # fmt: skip
