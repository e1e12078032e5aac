"""Benchmarks: prompts as lm-eval 0.4.13 puts them (written out here), their examples, items and grading."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slimnb.benchmarks import BENCHMARKS, get_benchmark
from slimnb.benchmarks.gsm8k import extract_flexible, extract_strict, normalize
from slimnb.data.load import DATA_SETS, MMLU_CS_SUBJECTS
from slimnb.errors import SlimnbError

WriteRows = Callable[[Path, list[Any]], Path]


def hellaswag_row(number: int, source: str = "activitynet~v_1", **fields: Any) -> dict[str, Any]:
    return {
        "ind": number, "activity_label": "Roof shingle removal", "ctx_a": f"Man {number} is on a roof.", "ctx_b": "he",
        "endings": ["rips tiles off.", "holds a cube."], "source_id": source, "label": str(number % 2),
    } | fields  # fmt: skip


def gsm8k_row(number: int) -> dict[str, Any]:
    return {
        "question": f"What is {number} + 1?",
        "answer": f"It is <<{number}+1={number + 1}>>{number + 1}.\n#### {number + 1}",
    }


def mmlu_row(number: int, subject: str = "computer_security") -> dict[str, Any]:
    choices = [str(number * i) for i in range(1, 5)]
    return {"question": f"What is {number} * 2?", "subject": subject, "choices": choices, "answer": 1}


@pytest.fixture
def directory(tmp_path: Path, write_rows: WriteRows) -> Path:
    """All real benchmarks, in a few made-up rows: examples are numbered from 0, items from 10."""
    write_rows(tmp_path / "hellaswag/train.jsonl", [hellaswag_row(n) for n in range(6)])
    write_rows(tmp_path / "hellaswag/validation.jsonl", [hellaswag_row(n) for n in range(10, 15)])
    write_rows(tmp_path / "gsm8k/train.jsonl", [gsm8k_row(n) for n in range(6)])
    write_rows(tmp_path / "gsm8k/test.jsonl", [gsm8k_row(n) for n in range(10, 15)])
    for size, subject in enumerate(MMLU_CS_SUBJECTS, start=2):
        write_rows(tmp_path / f"mmlu/{subject}/dev.jsonl", [mmlu_row(n, subject) for n in range(1, 6)])
        write_rows(tmp_path / f"mmlu/{subject}/test.jsonl", [mmlu_row(n, subject) for n in range(10, 10 + size)])
    return tmp_path


PROMPTS = {
    ("hellaswag", 0): "Roof shingle removal: Man 10 is on a roof. He",
    ("hellaswag", 2): (
        "Roof shingle removal: Man 0 is on a roof. He rips tiles off.\n\n"
        "Roof shingle removal: Man 1 is on a roof. He holds a cube.\n\n"
        "Roof shingle removal: Man 10 is on a roof. He"
    ),
    ("gsm8k", 0): "Question: What is 10 + 1?\nAnswer:",
    ("gsm8k", 2): (
        "Question: What is 0 + 1?\nAnswer: It is <<0+1=1>>1.\n#### 1\n\n"
        "Question: What is 1 + 1?\nAnswer: It is <<1+1=2>>2.\n#### 2\n\n"
        "Question: What is 10 + 1?\nAnswer:"
    ),
    ("mmlu_cs", 0): (
        "The following are multiple choice questions (with answers) about college computer science.\n\n"
        "What is 10 * 2?\nA. 10\nB. 20\nC. 30\nD. 40\nAnswer:"
    ),
    ("mmlu_cs", 1): (
        "The following are multiple choice questions (with answers) about college computer science.\n\n"
        "What is 1 * 2?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer: B\n\n"
        "What is 10 * 2?\nA. 10\nB. 20\nC. 30\nD. 40\nAnswer:"
    ),
    ("mmlu_cs_cloze", 1): (
        "The following are questions (with answers) about college computer science.\n\n"
        "Question: What is 1 * 2?\nAnswer: 2\n\n"
        "Question: What is 10 * 2?\nAnswer:"
    ),
}


@pytest.mark.parametrize(("name", "shots"), PROMPTS)
def test_prompts_are_lm_evals_with_the_first_rows_as_worked_examples(directory: Path, name: str, shots: int) -> None:
    assert get_benchmark(name).load(directory, shots).items[0].prompt == PROMPTS[name, shots]


@pytest.mark.parametrize(
    ("name", "choices", "gold"),
    [
        ("hellaswag", ("rips tiles off.", "holds a cube."), 0),
        ("mmlu_cs", ("A", "B", "C", "D"), 1),
        ("mmlu_cs_cloze", ("10", "20", "30", "40"), 1),
    ],
)
def test_answers_are_given_as_lm_eval_gives_them(
    directory: Path, name: str, choices: tuple[str, ...], gold: int
) -> None:
    item = get_benchmark(name).load(directory).items[0]
    assert (item.choices, item.gold) == (choices, gold)


@pytest.mark.parametrize(
    ("name", "prompt", "answer"),
    [
        ("workshop_math", "Question: A rectangle is 12 meters long and 3 meters wide. How many square meters does it "
         "cover?\nAnswer:", "12 * 3 = 36 square meters.\n#### 36"),
        ("workshop_commonsense", "Picking apples: Ben is picking apples in the orchard. He",
         "carries a ladder to the apple tree."),
        ("workshop_cs", "Question: What is the binary number 111100 in decimal?\nAnswer:", "60"),
    ],
)  # fmt: skip
def test_the_workshops_benchmarks_ask_without_heading_or_examples(name: str, prompt: str, answer: str) -> None:
    item = get_benchmark(name).load().items[0]
    assert item.prompt == prompt
    assert (item.gold if name == "workshop_math" else item.choices[item.gold]) == answer


def test_wikihows_brackets_are_cleaned_from_prompts_and_endings(directory: Path, write_rows: WriteRows) -> None:
    row = hellaswag_row(
        7, "wikihow~1", activity_label="Home and Garden", ctx_b="",
        ctx_a="[header] How to cook rice [title] Rinse the rice. [step] Use a sieve.",
        endings=[" [substeps] Do it twice. [title] Boil it.", "Eat  it [step] raw."],
    )  # fmt: skip
    write_rows(directory / "hellaswag/validation.jsonl", [row])
    (item,) = get_benchmark("hellaswag").load(directory).items
    # lm-eval's `preprocess`: strip, " [title]" -> ". ", [...] -> nothing, then two spaces -> one, in one pass.
    assert item.prompt == "Home and Garden: How to cook rice. Rinse the rice. Use a sieve."
    assert item.choices == (" Do it twice.. Boil it.", "Eat it raw.")


@pytest.mark.parametrize("name", ["hellaswag", "gsm8k", "mmlu_cs", "mmlu_cs_cloze"])
def test_the_default_shots_are_those_of_the_published_protocols(directory: Path, name: str) -> None:
    assert get_benchmark(name).load(directory).shots == {"hellaswag": 0}.get(name, 5)


@pytest.mark.parametrize("name", ["hellaswag", "gsm8k", "mmlu_cs"])
def test_fewer_examples_than_shots_is_an_error_that_counts_them(directory: Path, name: str) -> None:
    with pytest.raises(SlimnbError, match=f"{name}.* 7 shots.* has [56]$"):
        get_benchmark(name).load(directory, shots=7)


def test_a_limit_on_mmlu_covers_the_four_subjects_evenly(directory: Path) -> None:
    def subjects(limit: int | None) -> Counter[str]:
        return Counter(item.subject for item in get_benchmark("mmlu_cs").load(directory, 0, limit).items)

    assert subjects(8) == dict.fromkeys(MMLU_CS_SUBJECTS, 2)
    assert sorted(subjects(6).values()) == [1, 1, 2, 2]
    assert subjects(None) == {subject: size for size, subject in enumerate(MMLU_CS_SUBJECTS, start=2)}


def test_each_mmlu_subject_has_its_own_heading_and_examples(directory: Path, write_rows: WriteRows) -> None:
    write_rows(directory / "mmlu/machine_learning/dev.jsonl", [mmlu_row(99)])
    items = {item.subject: item.prompt for item in get_benchmark("mmlu_cs").load(directory, 1).items}
    for subject, prompt in items.items():
        assert prompt.startswith("The following are multiple choice questions (with answers) about "
                                 f"{subject.replace('_', ' ')}.\n\n")  # fmt: skip
        assert ("99 * 2" in prompt) == (subject == "machine_learning")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_ids_are_unique(directory: Path, name: str) -> None:
    items = get_benchmark(name).load(directory, 0).items
    assert items and len({item.id for item in items}) == len(items)


@pytest.mark.parametrize("name", ["hellaswag", "gsm8k", "mmlu_cs", "mmlu_cs_cloze"])
def test_an_id_belongs_to_the_row_wherever_it_stands(directory: Path, write_rows: WriteRows, name: str) -> None:
    before = {item.id: item.prompt for item in get_benchmark(name).load(directory, 0).items}
    for data_set in get_benchmark(name).data:
        path = directory / DATA_SETS[data_set].files[get_benchmark(name).split]
        lines = path.read_text().splitlines()
        write_rows(path, [lines[-1], *lines[:-1]])
    assert {item.id: item.prompt for item in get_benchmark(name).load(directory, 0).items} == before


def test_rows_that_are_alike_still_have_ids_of_their_own(directory: Path, write_rows: WriteRows) -> None:
    write_rows(directory / "gsm8k/test.jsonl", [gsm8k_row(1), gsm8k_row(2), gsm8k_row(1)])
    ids = [item.id for item in get_benchmark("gsm8k").load(directory, 0).items]
    assert len(set(ids)) == 3
    # HellaSwag numbers its rows within ActivityNet and within WikiHow.
    write_rows(directory / "hellaswag/validation.jsonl", [hellaswag_row(1), hellaswag_row(1, "wikihow~1")])
    assert len({item.id for item in get_benchmark("hellaswag").load(directory).items}) == 2


def test_the_prompts_hash_changes_with_what_is_asked_and_the_datas_hash_only_with_the_data(directory: Path) -> None:
    benchmark = get_benchmark("gsm8k")
    asked = [benchmark.load(directory, shots, limit) for shots, limit in ((0, None), (1, None), (0, 2))]
    assert len({questions.prompts_sha256 for questions in asked}) == 3
    assert len({questions.data_sha256 for questions in asked}) == 1
    assert benchmark.load(directory, 0).prompts_sha256 == asked[0].prompts_sha256


@pytest.mark.parametrize(
    ("text", "strict", "flexible"),
    [
        ("2 + 3 = 5.\n#### 5", "5", "5"),
        ("#### 1,234", "1,234", "1,234"),
        ("It costs $1,234.50 in all.", "[invalid]", "$1,234.50"),
        ("#### -7", "-7", "-7"),
        ("So the answer is -12", "[invalid]", "-12"),
        ("#### 18.", "18.", "18."),
        ("She has 3 apples and 4 pears", "[invalid]", "4"),
        ("#### 5\nQ: next\n#### 6", "5", "6"),
        ("#### $5", "[invalid]", "$5"),
        ("####5", "[invalid]", "5"),
        ("I do not know", "[invalid]", "[invalid]"),
        ("", "[invalid]", "[invalid]"),
    ],
)
def test_both_readings_of_an_answer_are_lm_evals(text: str, strict: str, flexible: str) -> None:
    assert (extract_strict(text), extract_flexible(text)) == (strict, flexible)


@pytest.mark.parametrize(
    ("text", "gold", "strict", "flexible"),
    [
        ("It is 5.\n#### 5", "work\n#### 5", True, True),
        ("#### 1234", "#### 1,234", True, True),
        ("#### 1,234.", "#### 1234", True, True),
        ("The answer is $18.", "#### 18", False, True),
        ("The answer is 18", "#### 18", False, True),
        ("#### 18, not 20", "#### 18", True, False),
        ("#### -3", "#### 3", False, False),
        ("#### 3.0", "#### 3", False, False),  # as strings, which is how lm-eval compares
        ("no number", "#### 3", False, False),
    ],
)
def test_an_answer_is_graded_by_both_readings(text: str, gold: str, strict: bool, flexible: bool) -> None:
    grade = get_benchmark("gsm8k").grade(text, gold)  # pyright: ignore[reportAttributeAccessIssue]
    assert grade == {"strict-match": strict, "flexible-extract": flexible}


def test_the_gold_answer_is_the_number_behind_the_work() -> None:
    assert normalize("3 * 400 = <<3*400=1200>>1,200 for $1,200\n#### 1,200") == "1200"


def test_chance_is_the_mean_of_one_over_the_number_of_choices(directory: Path, write_rows: WriteRows) -> None:
    rows = [hellaswag_row(0), hellaswag_row(1, endings=["a", "b", "c", "d"])]
    write_rows(directory / "hellaswag/validation.jsonl", rows)
    benchmark = get_benchmark("hellaswag")
    assert benchmark.chance(benchmark.load(directory).items) == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert get_benchmark("gsm8k").chance(get_benchmark("gsm8k").load(directory).items) is None
    assert get_benchmark("mmlu_cs").chance(get_benchmark("mmlu_cs").load(directory).items) == 0.25


def test_an_unknown_benchmark_is_told_with_those_there_are() -> None:
    with pytest.raises(SlimnbError, match="hellaswog.*hellaswag"):
        get_benchmark("hellaswog")


def test_a_missing_benchmark_is_never_replaced_by_a_workshop_set(tmp_path: Path) -> None:
    for name in ("hellaswag", "gsm8k", "mmlu_cs"):
        with pytest.raises(SlimnbError, match="not there"):
            get_benchmark(name).load(tmp_path)
