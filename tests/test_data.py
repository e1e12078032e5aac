"""Rows: what is accepted, and how each kind of bad row or file is told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slimnb.data.load import DATA_SETS, MMLU_CS_SUBJECTS, availability, data_directory, load_rows
from slimnb.errors import SlimnbError

WriteRows = Callable[[Path, list[Any]], Path]
REAL = Path(__file__).resolve().parents[2] / "shared" / "data"

HELLASWAG = {
    "ind": 24, "activity_label": "Roof shingle removal", "ctx_a": "A man is sitting on a roof.", "ctx_b": "he",
    "ctx": "A man is sitting on a roof. he", "endings": ["rips tiles off.", "holds a cube.", "sings.", "sleeps."],
    "source_id": "activitynet~v_1", "split": "val", "split_type": "indomain", "label": "0",
}  # fmt: skip
GSM8K = {"question": "Ann has 1,000 pears and eats 3. How many?", "answer": "1,000 - 3 = <<1000-3=997>>997\n#### 997"}
MMLU = {"question": "2 ** 3?", "subject": "machine_learning", "choices": ["6", "8", "9", "5"], "answer": 1}
ALPACA = {"instruction": "Name a fruit.", "input": "", "output": "Pear."}
GOOD = {"hellaswag": HELLASWAG, "gsm8k": GSM8K, "mmlu/machine_learning": MMLU, "alpaca": ALPACA, "openbookqa": MMLU}


def place(name: str, directory: Path) -> Path:
    """The file of a data set's training rows (MMLU's worked examples)."""
    return directory / next(iter(DATA_SETS[name].files.values()))


def load(name: str, directory: Path) -> list[Any]:
    return load_rows(name, next(iter(DATA_SETS[name].files)), directory).rows


@pytest.mark.parametrize("name", GOOD)
def test_a_good_row_keeps_the_fields_that_are_used(tmp_path: Path, write_rows: WriteRows, name: str) -> None:
    write_rows(place(name, tmp_path), [GOOD[name] | {"a field of the Hub's": 1}])
    (row,) = load(name, tmp_path)
    assert all(getattr(row, field) == GOOD[name][field] for field in type(row).model_fields)


def without(row: dict[str, Any], field: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != field}


@pytest.mark.parametrize(
    ("name", "bad", "told"),
    [
        ("hellaswag", HELLASWAG | {"label": "4"}, "'4' is not one of 0 to 3"),
        ("hellaswag", HELLASWAG | {"label": ""}, "label"),  # the Hub's test split
        ("hellaswag", HELLASWAG | {"label": -1}, "label"),
        ("hellaswag", HELLASWAG | {"label": None}, "label"),
        ("hellaswag", HELLASWAG | {"endings": ["one"]}, "endings"),
        ("hellaswag", HELLASWAG | {"endings": "four of them"}, "endings"),
        ("gsm8k", GSM8K | {"answer": "997"}, "#### NUMBER"),
        ("gsm8k", GSM8K | {"answer": "So:\n#### many"}, "#### NUMBER"),
        ("gsm8k", GSM8K | {"question": ""}, "question"),
        ("gsm8k", GSM8K | {"question": 5}, "question"),
        ("mmlu/machine_learning", MMLU | {"answer": 4}, "answer 4 is not one of 0 to 3"),
        ("mmlu/machine_learning", MMLU | {"answer": -1}, "answer"),
        ("mmlu/machine_learning", MMLU | {"answer": "B"}, "answer"),
        ("mmlu/machine_learning", MMLU | {"choices": ["only"]}, "choices"),
        ("mmlu/machine_learning", MMLU | {"choices": list("abcdefghijk")}, "choices"),  # letters end at J
        ("alpaca", ALPACA | {"instruction": ""}, "instruction"),
        ("alpaca", ALPACA | {"output": None}, "output"),
        *((name, without(row, field), field)
          for name, row in GOOD.items() for field in DATA_SETS[name].row.model_fields if field != "input"),
        ("gsm8k", "{'question': 1}", "not valid JSON"),
        ("gsm8k", '{"question": "Ann', "not valid JSON"),
        ("gsm8k", "[" * 100_000, "not valid JSON"),
        ("gsm8k", "1" * 5000, "not valid JSON"),
        ("gsm8k", "[1]", "question"),
        ("gsm8k", "null", "question"),
        ("gsm8k", r'{"question": "\ud800", "answer": "#### 1"}', "half a character"),
    ],
    ids=lambda value: repr(value)[:60],
)  # fmt: skip
def test_a_bad_row_is_told_with_its_file_line_and_what_a_row_has(
    tmp_path: Path, write_rows: WriteRows, name: str, bad: Any, told: str
) -> None:
    good = GOOD[name]
    path = write_rows(place(name, tmp_path), [good, "", good, bad, good])
    with pytest.raises(SlimnbError) as caught:
        load(name, tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{path}:4: ") and told in message.removeprefix(f"{path}:4: ")
    assert len(message) < 1000  # a person is meant to read it


def test_blank_lines_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path, write_rows: WriteRows) -> None:
    path = write_rows(place("gsm8k", tmp_path), [GSM8K, "", "   ", GSM8K | {"question": "Wie groß\u2028ist es?"}])
    plain = load_rows("gsm8k", "train", tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert load_rows("gsm8k", "train", tmp_path) == plain
    assert [row.question for row in plain.rows] == [GSM8K["question"], "Wie groß\u2028ist es?"]


def test_a_label_may_be_a_number(tmp_path: Path, write_rows: WriteRows) -> None:
    write_rows(place("hellaswag", tmp_path), [HELLASWAG | {"label": 2}])
    assert load("hellaswag", tmp_path)[0].label == "2"


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "has no rows"), (b"\n \n", "has no rows"), (b'{"question": "\xff"}', "UTF-8"), (b"\xff\xfe{\x00", "UTF-8")],
)
def test_a_file_with_nothing_to_read_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    path = place("gsm8k", tmp_path)
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(SlimnbError, match=f"{path}.*{told}"):
        load("gsm8k", tmp_path)


@pytest.mark.parametrize("name", [name for name, one in DATA_SETS.items() if one.hub])
def test_a_missing_file_is_told_with_where_it_goes_and_what_fills_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(SlimnbError) as caught:
        load(name, tmp_path)
    repository = DATA_SETS[name].hub
    assert repository and repository in str(caught.value) and str(place(name, tmp_path)) in str(caught.value)


def test_the_workshop_sets_need_no_directory_and_are_never_taken_from_one(tmp_path: Path) -> None:
    for name in ("workshop_math", "workshop_commonsense", "workshop_cs"):
        assert load_rows(name, "test", tmp_path) == load_rows(name, "test")


@pytest.mark.parametrize(("name", "split"), [("helaswag", "train"), ("gsm8k", "validation"), ("workshop_cs", "dev")])
def test_an_unknown_name_or_split_is_told_with_those_there_are(tmp_path: Path, name: str, split: str) -> None:
    with pytest.raises(SlimnbError, match=f"{name if name not in DATA_SETS else split}.*(gsm8k|test)"):
        load_rows(name, split, tmp_path)


def test_the_fingerprint_is_of_the_rows_in_their_order_and_of_nothing_else(
    tmp_path: Path, write_rows: WriteRows
) -> None:
    def fingerprint(*rows: Any) -> str:
        write_rows(place("gsm8k", tmp_path), list(rows))
        return load_rows("gsm8k", "train", tmp_path).sha256

    other = GSM8K | {"question": "Another?"}
    first = fingerprint(GSM8K, other)
    assert first == fingerprint(GSM8K, "", dict(reversed(other.items())) | {"unused": 1})
    assert len({first, fingerprint(other, GSM8K), fingerprint(GSM8K), fingerprint(GSM8K, other, other)}) == 4


def test_the_option_precedes_the_variable_which_precedes_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir(), two.mkdir()
    assert data_directory() is None
    monkeypatch.setenv("SLIMNB_DATA", str(one))
    assert data_directory() == one
    assert data_directory(two) == two
    monkeypatch.setenv("SLIMNB_DATA", "")
    assert data_directory() is None


@pytest.mark.parametrize("kind", ["option", "variable", "file"])
def test_a_data_directory_that_does_not_exist_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("")
    if kind == "variable":
        monkeypatch.setenv("SLIMNB_DATA", str(place))
    with pytest.raises(SlimnbError, match=f"{place}.*--data or SLIMNB_DATA"):
        data_directory(None if kind == "variable" else place)


def test_availability_tells_local_hub_and_missing_apart_and_counts_rows(tmp_path: Path, write_rows: WriteRows) -> None:
    gsm8k = DATA_SETS["gsm8k"]
    assert availability(gsm8k, None) == ("hub", None)
    assert availability(gsm8k, tmp_path) == ("missing", None)
    for split in ("train", "test"):
        write_rows(tmp_path / "gsm8k" / f"{split}.jsonl", [GSM8K, "", GSM8K])
    assert availability(gsm8k, tmp_path) == ("local", 4)
    assert availability(DATA_SETS["workshop_math"], tmp_path) == ("local", 800 + 240)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data sets are not here")
@pytest.mark.parametrize(
    ("name", "split", "count"),
    [
        ("hellaswag", "validation", 1000),
        ("hellaswag", "train", 3368),
        ("gsm8k", "train", 7473),
        ("gsm8k", "test", 1319),
        *((f"mmlu/{subject}", "dev", 5) for subject in MMLU_CS_SUBJECTS),
        *((f"mmlu/{subject}", "validation", 9 if subject.startswith("high") else 11) for subject in MMLU_CS_SUBJECTS),
        *((f"mmlu/{subject}", "test", 112 if subject.startswith("machine") else 100) for subject in MMLU_CS_SUBJECTS),
        ("alpaca", "train", 9229),
        ("dolly", "train", 2996),
        ("code_alpaca", "train", 2017),
        ("openbookqa", "train", 4957),
    ],
)  # fmt: skip
def test_the_real_data_has_as_many_rows_as_its_readme_says(name: str, split: str, count: int) -> None:
    assert len(load_rows(name, split, REAL).rows) == count
