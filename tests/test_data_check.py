"""The check of own data shows what training reads, and finds what a person would want to know before."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slimnb.cli.data import visible
from slimnb.compute.packing import causal_row
from slimnb.data.own_data import read_own_data
from slimnb.errors import SlimnbError
from slimnb.models.load import LoadedModel, load_tokenizer
from slimnb.training.data_check import DataCheck, Lengths, check_data
from slimnb.training.loop import tokenize
from slimnb.training.training_sets import load_training_set, render
from tests.conftest import Slimnb

WriteRows = Callable[[Path, list[Any]], Path]

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PAIR = {"prompt": "Q: 1 + 1?\nA:", "completion": " 2"}
TURNS = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "Une poire \N{PEAR}?"},
    {"role": "assistant", "content": "Na\u00efve."},
]


@pytest.fixture(scope="module")
def chat(tiny: LoadedModel) -> Any:
    """tiny's tokenizer with a chat template."""
    tokenizer = copy.deepcopy(tiny.tokenizer)
    tokenizer.chat_template = CHATML
    return tokenizer


def checked(path: Path, tokenizer: Any, **options: Any) -> DataCheck:
    return check_data(read_own_data(path), tokenizer, **options)


# What training reads


@pytest.mark.parametrize(
    ("row", "chat_template"), [(PAIR, False), (PAIR, True), ({"messages": TURNS}, False), ({"messages": TURNS}, True)]
)
def test_the_labels_shown_are_those_that_training_has(
    tmp_path: Path, write_rows: WriteRows, chat: Any, row: Any, chat_template: bool
) -> None:
    path = write_rows(tmp_path / "own.jsonl", [row])
    (example,) = load_training_set(str(path)).examples
    sequence = tokenize(chat, render(example, chat, chat_template))
    trained = causal_row(sequence.ids, sequence.boundary)
    found = checked(path, chat, chat_template=chat_template)
    assert [token.id for token in found.example] == sequence.ids
    labels = [(place, token.id) for place, token in enumerate(found.example) if token.label]
    assert labels == [(place + 1, token) for place, token in trained.targets]
    assert found.example[-1].label and found.example[-1].id == chat.eos_token_id
    assert "".join(token.text for token in found.example) == chat.decode(sequence.ids)


def test_a_conversation_reads_as_the_chat_template_writes_it(tmp_path: Path, write_rows: WriteRows, chat: Any) -> None:
    path = write_rows(tmp_path / "own.jsonl", [{"messages": TURNS}])
    tokens = checked(path, chat).example
    assert "".join(token.text for token in tokens) + "\n" == chat.apply_chat_template(TURNS, tokenize=False)
    assert "".join(token.text for token in tokens if token.label).strip() == "Na\u00efve.<|im_end|>"


def test_a_prompt_in_chat_form_is_a_users_turn(tmp_path: Path, write_rows: WriteRows, chat: Any) -> None:
    path = write_rows(tmp_path / "own.jsonl", [PAIR])
    text = "".join(token.text for token in checked(path, chat, chat_template=True).example)
    assert text == "<|im_start|>user\nQ: 1 + 1?\nA:<|im_end|>\n<|im_start|>assistant\n 2<|im_end|>"


def test_a_character_of_several_tokens_is_shown_with_its_last(
    tmp_path: Path, write_rows: WriteRows, tiny: LoadedModel
) -> None:
    path = write_rows(tmp_path / "own.jsonl", [{"prompt": "a\N{PEAR}", "completion": " b"}])
    texts = [token.text for token in checked(path, tiny.tokenizer).example]
    assert texts == ["a", "", "", "", "\N{PEAR}", " ", "b", "<|im_end|>"]


def test_without_a_chat_template_it_is_told(tmp_path: Path, write_rows: WriteRows, tiny: LoadedModel) -> None:
    talks = write_rows(tmp_path / "talks.jsonl", [{"messages": TURNS}])
    pairs = write_rows(tmp_path / "pairs.jsonl", [PAIR])
    with pytest.raises(SlimnbError, match=f"{talks}: .*--model"):
        checked(talks, tiny.tokenizer)
    with pytest.raises(SlimnbError, match=f"{pairs}: --chat-template.*--model"):
        checked(pairs, tiny.tokenizer, chat_template=True)
    (example,) = load_training_set(str(talks)).examples
    with pytest.raises(SlimnbError, match="no chat template"):
        render(example, tiny.tokenizer)


def test_a_conversation_that_the_template_refuses_is_a_bad_row(
    tmp_path: Path, write_rows: WriteRows, chat: Any
) -> None:
    strict = copy.deepcopy(chat)
    strict.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
    )
    path = write_rows(tmp_path / "own.jsonl", [{"messages": TURNS[1:]}, {"messages": TURNS}, {"messages": []}])
    found = checked(path, strict)
    assert [(row.line, word in row.problem) for row, word in zip(found.bad, ("System", "messages"), strict=True)] == [
        (2, True), (3, True),
    ]  # fmt: skip
    assert (found.rows, found.example_line) == (1, 1)


# What is counted


def test_lengths_repetitions_and_blanks_are_found_with_their_lines(
    tmp_path: Path, write_rows: WriteRows, tiny: LoadedModel
) -> None:
    def row(prompt: str, completion: str) -> dict[str, str]:
        return {"prompt": prompt, "completion": completion}

    rows = [row("a", " b"), "", row("a", " b"), row("a", " c"), row("", "d"), row("", "e"), row("f", " "),
            row("a", " b"), row("f", "g" * 30)]  # fmt: skip
    path = write_rows(tmp_path / "own.jsonl", rows)
    found = checked(path, tiny.tokenizer, max_length=20)
    assert (found.rows, found.form, found.bad) == (8, "prompt/completion", [])
    assert found.repeated == [[1, 3, 8]]
    assert found.ambiguous == [[1, 3, 4, 8], [7, 9]]
    assert found.blank == [7] and found.too_long == [9]
    assert found.lengths == Lengths(min=3, median=4, p95=32, max=32)  # a byte is a token, and one ends the sequence


def test_rows_that_teach_nothing_are_counted_and_not_measured(
    tmp_path: Path, write_rows: WriteRows, tiny: LoadedModel
) -> None:
    rows = [{"instruction": "Wait.", "output": ""}, {"instruction": "Name a fruit.", "output": "Pear."}]
    found = checked(write_rows(tmp_path / "own.jsonl", rows), tiny.tokenizer)
    assert found.blank == [1] and found.example_line == 2 and found.lengths
    assert found.lengths.min == found.lengths.max == len(found.example)
    nothing = checked(write_rows(tmp_path / "own.jsonl", rows[:1]), tiny.tokenizer)
    assert (nothing.lengths, nothing.example, nothing.example_line) == (None, [], None)


def test_a_tokenizer_is_loaded_by_the_models_name(tiny: LoadedModel, tmp_path: Path) -> None:
    assert load_tokenizer("tiny")("a b")["input_ids"] == tiny.tokenizer("a b")["input_ids"]
    (tmp_path / "config.json").write_text("{}")
    for name in ("./nowhere", str(tmp_path)):
        with pytest.raises(SlimnbError):
            load_tokenizer(name)


# The command


@pytest.fixture
def check(slimnb: Slimnb, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Slimnb:
    """`slimnb data check WORDS` by tiny's tokenizer, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: slimnb("data", "check", "--model", "tiny", *words)


def test_check_prints_the_example_with_its_labels_in_brackets(
    tmp_path: Path, write_rows: WriteRows, check: Slimnb
) -> None:
    write_rows(tmp_path / "own.jsonl", [PAIR, PAIR])
    status, out, _ = check("own.jsonl", "--max-length", "5")
    assert status == 0
    lines = [line.strip() for line in out.splitlines()]
    assert "Q : \u00b7 1 \u00b7 + \u00b7 1 ? \u23ce A :" in lines and "[\u00b7] [2] [<|im_end|>]" in lines
    assert any(line.startswith("rows ") and "2 good of the form prompt/completion, 0 bad" in line for line in lines)
    assert any(line.startswith("over 5 tokens ") and "2 (line 1, 2)" in line for line in lines)
    assert any(line.startswith("repeated rows ") and "1 (line 1+2)" in line for line in lines)
    assert "Bad rows" not in out


def test_check_lists_fifty_bad_rows_and_counts_the_rest(tmp_path: Path, write_rows: WriteRows, check: Slimnb) -> None:
    write_rows(tmp_path / "own.jsonl", [PAIR, *[{"prompt": "Q"}, "{"] * 30])
    status, out, _ = check("own.jsonl")
    assert status == 1
    listed = out.partition("Bad rows\n")[2].splitlines()
    assert [line.split(": ")[0] for line in listed[:50]] == [f"own.jsonl:{number}" for number in range(2, 52)]
    assert listed[50:] == ["and 10 more bad rows"]


def test_check_gives_one_json_document(tmp_path: Path, write_rows: WriteRows, check: Slimnb) -> None:
    write_rows(tmp_path / "own.jsonl", [{"q": "Q:", "a": " A"}, {"q": "Q:"}, {"q": "Q:", "a": " A"}])
    status, out, _ = check("own.jsonl", "--columns", "prompt=q,completion=a", "--json")
    document = json.loads(out)
    assert status == 1 and set(document) == {
        "model", "path", "form", "rows", "bad", "max_length", "example_line", "example", "lengths", "too_long", "blank",
        "repeated", "ambiguous",
    }  # fmt: skip
    assert (document["rows"], document["max_length"], document["repeated"]) == (2, 1024, [[1, 3]])
    assert [row["line"] for row in document["bad"]] == [2] and "completion" in document["bad"][0]["problem"]
    assert [token["label"] for token in document["example"]] == [False, False, True, True, True]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["nowhere.jsonl"], 1, "nowhere.jsonl: cannot be read"),
        (["nowhere.parquet"], 1, "nowhere.parquet: cannot be read"),
        (["workshop_math"], 1, "workshop_math: own data is a file"),
        (["."], 1, "own data is a file"),
        (["own.jsonl", "--columns", "prompt"], 2, "--columns"),
        (["own.jsonl", "--columns", "prompt=q"], 1, "no column is called 'q'"),
        (["own.jsonl", "--chat-template"], 1, "--model"),
        (["own.jsonl", "--max-length", "0"], 2, "--max-length"),
        (["own.jsonl", "--model", "./nowhere"], 1, "./nowhere"),
    ],
)
def test_a_mistake_is_told_without_a_traceback(
    tmp_path: Path, write_rows: WriteRows, check: Slimnb, words: list[str], status: int,
    said: str,
) -> None:  # fmt: skip
    write_rows(tmp_path / "own.jsonl", [PAIR])
    found, out, err = check(*words)
    assert found == status and said in err and not out
    assert "Traceback" not in err and "fault of slimnb" not in err


def test_a_long_example_is_shortened_in_the_middle(tmp_path: Path, write_rows: WriteRows, check: Slimnb) -> None:
    write_rows(tmp_path / "own.jsonl", [{"prompt": f"a{'-' * 1000}b", "completion": " c"}])
    _, out, _ = check("own.jsonl")
    assert "(602 more)" in out and "\na - -" in out and "- b\n" in out and "[c]" in out


def test_no_character_of_the_data_reaches_the_terminal_as_a_command() -> None:
    assert visible("\x1b[31m \r\n\u202e\t") == "\\x1b[31m\u00b7\\r\u23ce\\u202e\\t"
