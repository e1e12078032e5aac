"""Own data: three forms in three kinds of files, columns by other names, and how each bad row or file is told."""

import csv
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimnb.data.own_data import read_own_data
from slimnb.errors import SlimnbError
from slimnb.training.training_sets import Example, load_training_set

WriteRows = Callable[[Path, list[Any]], Path]

PAIRS = [{"prompt": "Q: 1, 1?\nA:", "completion": ' "2"'}, {"prompt": "", "completion": " 3\r\n"}]
INSTRUCTIONS = [
    {"instruction": "Name a fruit.", "input": "", "output": "Pear."},
    {"instruction": "Who came?", "input": "Ann came.", "output": "Ann."},
]
TALKS = [
    {"messages": [
        {"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi, \"you\"\nthere"},
        {"role": "assistant", "content": "Hello."},
    ]},
    {"messages": [{"role": "user", "content": "Bye"}, {"role": "assistant", "content": "Bye."}]},
]  # fmt: skip
FORMS = {"prompt/completion": PAIRS, "instruction/input/output": INSTRUCTIONS, "messages": TALKS}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix in (".csv", ".tsv"):
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, delimiter="," if path.suffix == ".csv" else "\t")
            writer.writerow(rows[0])
            cells = [[v if isinstance(v, str) else json.dumps(v) for v in row.values()] for row in rows]
            writer.writerows(cells)
    else:
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def problem(path: Path, columns: dict[str, str] | None = None) -> str:
    with pytest.raises(SlimnbError) as caught:
        load_training_set(str(path), columns=columns)
    return str(caught.value)


# What is read


@pytest.mark.parametrize("ending", ["json", "csv", "CSV", "tsv", "parquet"])
@pytest.mark.parametrize("form", FORMS)
def test_every_kind_of_file_gives_the_same_examples_and_fingerprint(tmp_path: Path, ending: str, form: str) -> None:
    wanted = load_training_set(str(write(tmp_path / "own.jsonl", FORMS[form])))
    path = write(tmp_path / f"own.{ending.lower()}", FORMS[form]).rename(tmp_path / f"other.{ending}")
    found = load_training_set(str(path))
    assert found.examples == wanted.examples and len(found.examples) == 2
    assert found.sha256 == wanted.sha256
    assert read_own_data(path).form == form


def test_a_conversation_keeps_its_turns_and_their_text(tmp_path: Path) -> None:
    first, _ = load_training_set(str(write(tmp_path / "own.jsonl", TALKS))).examples
    turns = (("system", "Be short."), ("user", 'Hi, "you"\nthere'))
    assert first == Example('Be short.\n\nHi, "you"\nthere', "Hello.", turns)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_columns_are_found_by_the_names_that_are_given(tmp_path: Path, ending: str) -> None:
    rows = [{"n": "1", "question": row["prompt"], "prompt": "no", "answer": row["completion"]} for row in PAIRS]
    path = write(tmp_path / f"own.{ending}", rows)
    plain = load_training_set(str(write(tmp_path / "plain.jsonl", PAIRS)))
    assert load_training_set(str(path), columns={"prompt": "question", "completion": "answer"}).sha256 == plain.sha256
    kept = load_training_set(str(path), columns={"completion": "answer"}).examples
    assert [example.prompt for example in kept] == ["no", "no"]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_null_in_the_optional_input_is_no_input(tmp_path: Path, ending: str) -> None:
    rows = [row | {"input": row["input"] or None} for row in INSTRUCTIONS]
    plain = load_training_set(str(write(tmp_path / "plain.jsonl", INSTRUCTIONS)))
    assert load_training_set(str(write(tmp_path / f"own.{ending}", rows))).sha256 == plain.sha256


@pytest.mark.parametrize(
    ("row", "form"),
    [
        ({"prompt": "the talk", "prompt_id": "x", **TALKS[0]}, "messages"),
        (INSTRUCTIONS[0] | PAIRS[0], "instruction/input/output"),
        (PAIRS[0] | TALKS[0], "prompt/completion"),
    ],
)
def test_the_form_is_the_one_that_is_whole_and_the_leftmost_of_several(
    tmp_path: Path, row: dict[str, Any], form: str
) -> None:
    path = write(tmp_path / "own.parquet", [row])
    assert read_own_data(path).form == form
    if "completion" in row:
        assert read_own_data(path, {"completion": "completion"}).form == "prompt/completion"


def test_parquet_dictionaries_of_text_are_text_and_row_groups_are_counted_through(tmp_path: Path) -> None:
    texts = pa.array([f"p{i}" for i in range(2500)])
    table = pa.table({"prompt": texts.dictionary_encode(), "completion": texts.cast(pa.large_string())})
    pq.write_table(table, tmp_path / "own.parquet", row_group_size=700)
    data = read_own_data(tmp_path / "own.parquet")
    assert data.lines == list(range(1, 2501)) and not data.bad
    assert all(row.prompt == row.completion == f"p{i}" for i, row in enumerate(data.rows))


def test_a_byte_order_mark_and_blank_lines_are_no_part_of_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_bytes(b"\xef\xbb\xbfprompt,completion\r\n\r\nQ,A\r\n\r\n")
    data = read_own_data(path)
    assert [(row.prompt, row.completion) for row in data.rows] == [("Q", "A")] and data.lines == [3]


@given(st.lists(st.tuples(st.text(), st.text(min_size=1)), min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_any_text_survives_csv(tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]) -> None:
    rows = [{"prompt": prompt, "completion": completion} for prompt, completion in pairs]
    path = write(tmp_path_factory.getbasetemp() / "any.csv", rows)
    assert [(one.prompt, one.completion) for one in load_training_set(str(path)).examples] == pairs


# Rows that are wrong


def talk(*turns: tuple[Any, Any]) -> str:
    return json.dumps({"messages": [{"role": role, "content": content} for role, content in turns]})


@pytest.mark.parametrize(
    ("name", "text", "line", "said"),
    [
        ("own.jsonl", '{"prompt": null, "completion": "A"}', 1, "prompt: null"),
        (
            "own.jsonl",
            '{"prompt": "Q", "completion": "A"}\n{"prompt": "\\ud83d", "completion": "A"}',
            2,
            "half a character",
        ),
        ("own.jsonl", '{"prompt": "Q", "completion": "A"}\n\n"text"', 3, "not a str"),
        ("own.jsonl", '{"prompt": "Q",\n"completion": "A"}', 1, ", column 16)"),
        ("own.jsonl", talk(("user", "Hi"), ("human", "Hi")), 1, "'human'"),
        ("own.jsonl", talk(("user", "Hi")), 1, "messages: two or more"),
        ("own.jsonl", '{"messages": []}', 1, "messages: two or more"),
        ("own.jsonl", talk(("user", "Hi"), ("user", "Hi")), 1, "last one the assistant's"),
        ("own.jsonl", talk(("user", "Hi"), ("assistant", "")), 1, "not empty"),
        ("own.jsonl", talk(("user", 5), ("assistant", "Hi")), 1, "messages.0.content"),
        ("own.jsonl", '{"messages": [{"from": "human"}, {"from": "gpt"}]}', 1, "messages.0.role: Field required"),
        ("own.csv", "messages\n[{]\n", 2, "not valid JSON"),
        ("own.csv", "prompt,completion\nQ,A\nQ,\n", 3, "completion: "),
        ("own.csv", 'prompt,completion\n"Q\nQ",A\nQ\n', 4, "1 cells, the header 2"),
        ("own.csv", "prompt,completion\r\n\r\nQ,A, or B\r\n", 3, "3 cells, the header 2"),
        ("own.tsv", "prompt\tcompletion\nQ\tA\tB\n", 2, "3 cells, the header 2"),
        ("own.csv", 'prompt,completion\nQ,"A"B\nQ,A\n', 2, "double quote"),
        ("own.csv", 'prompt,completion\nQ,A\nQ,"A\nQ,A\n', 3, "double quote"),
        ("own.csv", f'prompt,completion\nQ,A\nQ,"{"A" * 200_000}\nQ,A\n', 3, "double quote"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_a_bad_row_is_told_with_file_and_line(tmp_path: Path, name: str, text: str, line: int, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode())
    message = problem(path)
    assert message.startswith(f"{path}:{line}: ") and said in message
    assert all(len(one) < 700 for one in message.splitlines())


def test_a_bad_row_of_parquet_is_told_with_its_number(tmp_path: Path) -> None:
    path = write(tmp_path / "own.parquet", [*PAIRS, {"prompt": "Q", "completion": None}])
    assert problem(path) == f"{path} row 3: completion: null, where text is needed"


def test_five_bad_rows_are_named_and_the_rest_counted(tmp_path: Path, write_rows: WriteRows) -> None:
    path = write_rows(tmp_path / "own.jsonl", [PAIRS[0], *[{"prompt": "Q"}] * 7, "{", PAIRS[0]])
    lines = problem(path).splitlines()
    assert [line.split(": ")[0] for line in lines[:5]] == [f"{path}:{number}" for number in range(2, 7)]
    assert lines[5:] == [f"and 3 more bad rows (`slimnb data check {path}` lists them)"]
    data = read_own_data(path)
    assert [row.line for row in data.bad] == list(range(2, 10)) and data.lines == [1, 10]


# Files and columns that are wrong


@pytest.mark.parametrize(
    ("name", "content", "where", "said"),
    [
        ("own.jsonl", b"", ": ", "has no rows"),
        ("own.csv", b"", ": ", "has no rows"),
        ("own.csv", b"prompt,completion\n\n", ": ", "has no rows"),
        ("own.parquet", b"", ": ", "Parquet"),
        ("own.parquet", b"PAR1 and no more PAR1", ": ", "Parquet"),
        ("own.txt", b"{}", ": ", ".jsonl, .json, .csv, .tsv, .parquet"),
        ("own.jsonl.gz", b"{}", ": ", ".jsonl, .json, .csv, .tsv, .parquet"),
        ("own.csv", b"prompt,completion\nQ,A\nQ,caf\xe9\n", ":3: ", "UTF-8"),
        ("own.jsonl", b"\xef\xbb\xbf{}\n\xe9", ":2: ", "UTF-8"),
        ("own.csv", b"\nprompt,completion,prompt\nQ,A,Q\n", ":2: ", "called 'prompt'"),
        ("own.csv", b"prompt;completion\nQ;A\n", ":1: ", "commas"),
        ("own.csv", b'"prompt\nQ,A\n', ":1: ", "double quote"),
        ("own.json", b'[{"prompt": "Q", "completion": "A"}]', ":1: ", "JSON array"),
        ("own.csv", b"question,answer\nQ,A\n", ":1: ", "question, answer: say which is which by --columns prompt="),
        ("own.csv", b"Prompt,completion\nQ,A\n", ":1: ", "--columns prompt=Prompt"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, name: str, content: bytes, where: str, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    message = problem(path)
    assert message.startswith(f"{path}{where}") and said in message


def test_a_parquet_column_of_numbers_is_told_with_its_type(tmp_path: Path) -> None:
    path = write(tmp_path / "own.parquet", [{"prompt": "Q", "completion": 5}])
    assert problem(path) == f"{path}: column 'completion' holds int64, where text is needed: cast it to string"
    pq.write_table(pa.table({"prompt": ["Q"], "completion": pa.array([b"A"])}), path)
    assert "holds binary" in problem(path)
    pq.write_table(pa.table([["Q"], ["A"], ["A"]], names=["prompt", "completion", "completion"]), path)
    assert "called 'completion'" in problem(path)


def test_a_damaged_parquet_file_is_told(tmp_path: Path) -> None:
    rows = [{"prompt": f"Question {i}", "completion": f" {i * 7919}"} for i in range(500)]
    path = write(tmp_path / "own.parquet", rows)
    content = bytearray(path.read_bytes())
    content[8:2000] = bytes(1992)
    path.write_bytes(content)
    assert problem(path).startswith(f"{path}: cannot be read beyond row 0")


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"prompt": "Questoin"}, "is called 'Questoin' (--columns prompt=Questoin); did you mean 'question'?"),
        ({"prompt": "xyz"}, "The columns are question, answer"),
        ({"promt": "question"}, "'promt' is not one of prompt, completion, instruction, input, output, messages"),
        ({"prompt": "question", "output": "answer"}, "different forms"),
        ({"prompt": "question"}, "--columns completion="),
    ],
)
def test_columns_that_are_not_there_are_told(tmp_path: Path, ending: str, columns: dict[str, str], said: str) -> None:
    path = write(tmp_path / f"own.{ending}", [{"question": "Q", "answer": "A"}])
    assert said in problem(path, columns)


FLAT = {"prompt": ["Q"], "completion": ["A"]}
NESTED = {"messages": [[{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]]}


@pytest.mark.parametrize(("columns", "step"), [(FLAT, 1), (NESTED, 16)], ids=["text", "lists"])
def test_a_parquet_file_with_any_bit_of_its_footer_flipped_ends_in_words_or_rows(
    columns: dict[str, Any], step: int, tmp_path: Path
) -> None:
    """Some contradict what a column says of itself, which ended the process that asked Arrow for it."""
    whole, path = tmp_path / "whole.parquet", tmp_path / "flipped.parquet"
    pq.write_table(pa.table(columns), whole)
    content = whole.read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    for bit in range(8 * footer, 8 * min(len(content), footer + 160), step):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with suppress(SlimnbError):
            read_own_data(path)
