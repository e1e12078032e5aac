"""Training sets: prompts as the benchmarks ask, the user's own files, and what is left out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slimnb.benchmarks import get_benchmark
from slimnb.errors import SlimnbError
from slimnb.training.training_sets import TRAINING_SETS, Example, load_training_set, render

WriteRows = Callable[[Path, list[Any]], Path]

HELLASWAG = {
    "ind": 1, "activity_label": "Tea", "ctx_a": "Ann boils water.", "ctx_b": "she", "source_id": "activitynet~v_1",
    "endings": ["fries it.", "pours it [step] on the leaves."], "label": "1",
}  # fmt: skip
GSM8K = {"question": "What is 2 + 3?", "answer": "2 + 3 = <<2+3=5>>5\n#### 5"}
OPENBOOKQA = {"question": "Plants need", "subject": "openbookqa", "choices": ["lamps", "light"], "answer": 1}
ALPACA = {"instruction": "Name a fruit.", "input": "", "output": "Pear."}
OWN = {"prompt": "Q: 1 + 1?\nA:", "completion": " 2"}


@pytest.mark.parametrize(
    ("name", "file", "row", "prompt", "completion"),
    [
        ("hellaswag_train", "hellaswag/train.jsonl", HELLASWAG, "Tea: Ann boils water. She",
         " pours it on the leaves."),
        ("gsm8k_train", "gsm8k/train.jsonl", GSM8K, "Question: What is 2 + 3?\nAnswer:",
         " 2 + 3 = <<2+3=5>>5\n#### 5"),
        ("openbookqa", "sft/openbookqa.jsonl", OPENBOOKQA, "Question: Plants need\nAnswer:", " light"),
        ("alpaca", "sft/alpaca.jsonl", ALPACA,
         "Below is an instruction that describes a task. Write a response that appropriately completes the request."
         "\n\n### Instruction:\nName a fruit.\n\n### Response:\n", "Pear."),
        ("dolly", "sft/dolly.jsonl", {"instruction": "Who came?", "input": "Ann came.", "output": "Ann."},
         "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
         "response that appropriately completes the request.\n\n### Instruction:\nWho came?\n\n### Input:\nAnn came."
         "\n\n### Response:\n", "Ann."),
    ],
)  # fmt: skip
def test_a_row_becomes_a_prompt_and_a_completion(
    tmp_path: Path, write_rows: WriteRows, name: str, file: str, row: Any, prompt: str, completion: str
) -> None:
    write_rows(tmp_path / file, [row])
    assert load_training_set(name, tmp_path).examples == [Example(prompt, completion)]


@pytest.mark.parametrize(
    ("training_set", "benchmark", "file", "row"),
    [
        ("hellaswag_train", "hellaswag", "hellaswag/validation.jsonl", HELLASWAG),
        ("gsm8k_train", "gsm8k", "gsm8k/test.jsonl", GSM8K),
    ],
)
def test_training_asks_as_the_benchmark_asks(
    tmp_path: Path, write_rows: WriteRows, training_set: str, benchmark: str, file: str, row: Any
) -> None:
    write_rows(tmp_path / file, [row])
    write_rows((tmp_path / file).with_name("train.jsonl"), [row])
    (example,) = load_training_set(training_set, tmp_path).examples
    (item,) = get_benchmark(benchmark).load(tmp_path, shots=0).items
    assert example.prompt == item.prompt
    assert example.completion == " " + (item.choices[item.gold] if benchmark == "hellaswag" else item.gold)


@pytest.mark.parametrize("name", ["workshop_math", "workshop_commonsense", "workshop_cs"])
def test_workshop_sets_train_in_their_benchmarks_form_on_other_questions(name: str) -> None:
    prompts = {example.prompt for example in load_training_set(name).examples}
    asked = {item.prompt for item in get_benchmark(name).load().items}
    assert prompts and not prompts & asked
    assert {prompt.split()[0] for prompt in asked} <= {prompt.split()[0] for prompt in prompts}


def test_a_limit_takes_the_first_rows_and_keeps_the_fingerprint_of_all() -> None:
    everything, some = load_training_set("workshop_math"), load_training_set("workshop_math", limit=3)
    assert some.examples == everything.examples[:3]
    assert some.sha256 == everything.sha256


def test_rows_without_an_output_are_left_out(tmp_path: Path, write_rows: WriteRows) -> None:
    path = write_rows(tmp_path / "sft" / "alpaca.jsonl", [ALPACA | {"output": ""}, ALPACA])
    found = load_training_set("alpaca", tmp_path)
    assert [example.completion for example in found.examples] == ["Pear."] and found.source == "sft/alpaca.jsonl"
    write_rows(path, [ALPACA | {"output": ""}])
    with pytest.raises(SlimnbError, match=f"{path}.*nothing|{path}.*no row"):
        load_training_set("alpaca", tmp_path)


def test_a_users_file_of_prompts_and_completions_is_taken_as_it_is(tmp_path: Path, write_rows: WriteRows) -> None:
    path = write_rows(tmp_path / "own.jsonl", [OWN, "", OWN | {"prompt": "", "more": 1}])
    loaded = load_training_set(str(path))
    assert loaded.examples == [Example("Q: 1 + 1?\nA:", " 2"), Example("", " 2")]
    assert loaded.source == str(path)


def test_a_users_file_of_instructions_gets_alpacas_template(tmp_path: Path, write_rows: WriteRows) -> None:
    own = write_rows(tmp_path / "own.jsonl", [{"instruction": "Name a fruit.", "output": "Pear."}])
    write_rows(tmp_path / "sft" / "alpaca.jsonl", [ALPACA])
    assert load_training_set(str(own)).examples == load_training_set("alpaca", tmp_path).examples


@pytest.mark.parametrize(
    ("rows", "line", "told"),
    [
        ([OWN, {"prompt": "Q"}], 2, "completion"),
        ([OWN, OWN | {"completion": ""}], 2, "completion"),
        ([OWN, OWN | {"prompt": 5}], 2, "prompt"),
        ([OWN, ALPACA], 2, "prompt"),
        ([ALPACA, OWN], 2, "instruction"),
        ([ALPACA, {"instruction": "Name a fruit."}], 2, "output"),
        ([{"text": "Once"}], 1, "prompt"),
        ([OWN, ["a", "list"]], 2, "prompt"),
        ([OWN, "", "{"], 3, "JSON"),
    ],
)
def test_a_bad_row_of_a_users_file_is_told_with_file_and_line(
    tmp_path: Path, write_rows: WriteRows, rows: list[Any], line: int, told: str
) -> None:
    path = write_rows(tmp_path / "own.jsonl", rows)
    with pytest.raises(SlimnbError) as caught:
        load_training_set(str(path))
    assert str(caught.value).startswith(f"{path}:{line}: ") and told in str(caught.value)


def test_an_empty_file_a_directory_and_an_unknown_name_are_told(tmp_path: Path, write_rows: WriteRows) -> None:
    empty = write_rows(tmp_path / "empty.jsonl", [])
    with pytest.raises(SlimnbError, match=f"{empty}.*no rows"):
        load_training_set(str(empty))
    for name in ("gsm9k", str(tmp_path), str(tmp_path / "missing.jsonl")):
        with pytest.raises(SlimnbError, match=f"{name}.*gsm8k_train"):
            load_training_set(name)


def test_columns_are_for_a_users_own_file_only(tmp_path: Path, write_rows: WriteRows) -> None:
    path = write_rows(tmp_path / "own.jsonl", [{"q": "Q:", "a": " A"}, {"q": "R:", "a": " B"}])
    loaded = load_training_set(str(path), limit=1, columns={"prompt": "q", "completion": "a"})
    assert loaded.examples == [Example("Q:", " A")]
    assert load_training_set("workshop_math", limit=1, columns={}).examples
    with pytest.raises(SlimnbError, match="workshop_math.*own"):
        load_training_set("workshop_math", columns={"prompt": "question"})


def test_what_is_rendered_without_a_chat_is_what_was_loaded() -> None:
    example = Example("Q:", " A")
    assert render(example, tokenizer=None) == example


def test_no_training_set_is_called_like_a_benchmark_of_other_rows() -> None:
    for name, training_set in TRAINING_SETS.items():
        assert training_set.name == name and (name == training_set.data or name == f"{training_set.data}_train")
