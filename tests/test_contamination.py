"""Planted copies are found to the row and nothing else is; the shipped and the real sets are measured as they are."""

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from slimnb.benchmarks import BENCHMARKS, ChoiceItem, OpenItem, Questions, get_benchmark
from slimnb.data.rows import InstructionRow
from slimnb.training.contamination import Contamination, Pair, explain, overlap, words
from slimnb.training.training_sets import TRAINING_SETS, Example, load_training_set

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL} is not there")

Found = set[tuple[str, int, str]]


def open_item(number: int, question: str, gold: str = "#### 1") -> OpenItem:
    return OpenItem(id=str(number), subject="s", prompt="", gold=gold, question=question)


def open_questions(*texts: str) -> Questions:
    return Questions([open_item(number, text) for number, text in enumerate(texts)], 0, "")


def choice_questions(question: str, *choices: str, gold: int = 0) -> Questions:
    item = ChoiceItem(id="0", subject="s", prompt="", choices=choices, gold=gold, question=question)
    return Questions([item], 0, "")


def found(prompts: list[str | Example], questions: Questions) -> Found:
    rows = [row if isinstance(row, Example) else Example(row, " Nothing.") for row in prompts]
    return {(pair.item_id, pair.example, pair.kind) for pair in overlap(rows, questions).pairs}


def text(length: int, name: str = "w") -> str:
    """Words that no other name's text has."""
    return " ".join(f"{name}{number}" for number in range(length))


def invented(count: int, name: str) -> list[str]:
    return [f"Question: {text(25, f'{name}{number}x')}?\nAnswer:" for number in range(count)]


def alpaca(question: str) -> Example:
    return TRAINING_SETS["alpaca"].example(InstructionRow(instruction=question, output="Nothing."))


def test_planted_copies_are_found_to_the_row_and_nothing_else() -> None:
    asked = invented(40, "item")
    bare = text(25, "item9x")
    rows: list[str | Example] = [*invented(200, "row")]
    rows[3] = asked[7]
    rows[50] = alpaca(bare)
    rows[51] = f"  {bare.upper().replace(' ', ',  ')} ..."
    rows[120] = f"Before. {' '.join(bare.split()[5:18])} and after."
    rows[121] = f"Before. {' '.join(bare.split()[5:17])} and after."  # 12 words
    rows[122] = Example("Say it.", f"\n{bare} and after.")
    rows[199] = asked[39]
    assert found(rows, open_questions(*asked)) == {
        ("7", 3, "exact"), ("9", 50, "exact"), ("9", 51, "exact"), ("9", 120, "13-gram"), ("9", 122, "13-gram"),
        ("39", 199, "exact"),
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_as_a_plain_comparison_of_all_with_all_finds(seed: int) -> None:
    source = random.Random(seed)
    phrases = [[source.choice("abcdef") + source.choice("xyz") for _ in range(source.randint(2, 9))] for _ in range(12)]

    def draw() -> list[str]:
        return [word for phrase in source.choices(phrases, k=source.randint(1, 5)) for word in phrase]

    items, rows = [draw() for _ in range(60)], [draw() for _ in range(80)]

    def runs(part: list[str], length: int) -> set[str]:
        return {f" {' '.join(part[start : start + length])} " for start in range(len(part) - length + 1)}

    needles = [runs(item, min(13, len(item))) if len(item) >= 8 else set() for item in items]
    items_with = Counter(needle for each in needles for needle in each)
    expected = {
        (str(i), j, "exact" if item == row and len(item) >= 8 else "13-gram")
        for i, item in enumerate(items)
        for j, row in enumerate(rows)
        if (item == row and len(item) >= 8)
        or any(items_with[needle] <= 10 and needle in f" {' '.join(row)} " for needle in needles[i])
    }
    assert expected
    examples: list[str | Example] = [Example(" ".join(row), " end") for row in rows]
    assert found(examples, open_questions(*map(" ".join, items))) == expected


def test_format_words_are_no_overlap() -> None:
    form = "Question:\nAnswer:\nA.\nB.\nC.\nD.\nQ:\n(A)\nB)\n### Instruction:\n### Input:\n### Response:\n"
    assert words(form) == ()
    listed = "\nA. red\nB. blue\nC. green\nD. white\nAnswer:"
    questions = choice_questions(f"{text(7)}{listed}", *"ABCD")
    assert found([f"{text(7, 'other')}{listed}", form * 20, alpaca(text(9, "other"))], questions) == set()


def test_worked_examples_are_not_the_items() -> None:
    """They come from the training set, of which every prompt would then hold a copy."""
    rows = load_training_set("workshop_math").examples
    benchmark = get_benchmark("workshop_math")
    assert rows[0].prompt in benchmark.load(shots=5).items[0].prompt
    assert overlap(rows, benchmark.load(shots=5)) == overlap(rows, benchmark.load(shots=0))


@pytest.mark.parametrize(("items", "expected"), [(10, 10), (11, 0)])
def test_what_more_than_ten_items_say_is_boilerplate(items: int, expected: int) -> None:
    asked = [f"{text(20)} {text(5, f'item{number}x')}" for number in range(items)]
    assert overlap([Example(text(20), " x")], open_questions(*asked)).items_13gram == expected
    assert found([asked[4]], open_questions(*asked)) >= {("4", 0, "exact")}  # what only it says still tells it


def test_short_texts_are_compared_whole() -> None:
    for length in (8, 12):
        questions = open_questions(text(length))
        assert found([text(length)], questions) == {("0", 0, "exact")}
        assert found([f"So {text(length)} then"], questions) == {("0", 0, "13-gram")}
        assert found([f"So {text(length - 1)} then"], questions) == set()


def test_a_question_below_eight_words_is_found_only_with_its_answer() -> None:
    questions = Questions([open_item(0, "Question: What is it?\nAnswer:", "A cat.")], 0, "")
    rows: list[str | Example] = ["What is it?", Example("What is it?", " A dog"), "So what is it a cat or not"]
    assert found(rows, questions) == set()
    assert found([Example("What is it?", " A cat")], questions) == {("0", 0, "exact")}


def test_the_right_answer_belongs_to_a_choice() -> None:
    questions = choice_questions(f"Question: {text(7)}\nAnswer:", "the red one", "the blue one", gold=1)
    right, wrong = Example(text(7), " the blue one."), Example(text(7), " the red one.")
    assert found([wrong, right, text(7)], questions) == {("0", 1, "exact")}


def test_listed_choices_are_found_asked_with_and_without_the_list() -> None:
    asked = f"{text(7)}?\nA. red paint\nB. blue paint\nC. green paint\nAnswer:"
    rows: list[str | Example] = [
        Example(asked, " B"),
        Example(f"Question: {text(7)}?\nAnswer:", " blue paint"),
        Example(f"Question: {text(7)}?\nAnswer:", " red paint"),
    ]
    assert found(rows, choice_questions(asked, *"ABC", gold=1)) == {("0", 0, "exact"), ("0", 1, "exact")}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Don\u2019t \u201cstop\u201d \u2014 GO", "dont 'stop' go!"),
        ("caf\u00e9", "CAFE\u0301"),
        ("Straße", "STRASSE"),
        ("\ufb01ve\u00a0\u2003\uff11\uff12", "five 12"),
        ("1,319 x_y", "1319 xy"),
        ("что это", "ЧТО ЭТО?"),
    ],
)
def test_writings_of_the_same_words(one: str, other: str) -> None:
    assert words(one) == words(other) != ()
    assert found([f"{text(8)} {other}"], open_questions(f"{text(8)} {one}")) == {("0", 0, "exact")}


def test_nothing_has_no_overlap() -> None:
    questions = open_questions(*invented(3, "item"))
    nothing = {"items_exact": 0, "items_13gram": 0, "examples_found": 0, "n_pairs": 0, "pairs": []}
    assert overlap([], questions).model_dump() == {"n_items": 3, "n_examples": 0} | nothing
    blank = open_questions("", "?!", "Question:\nAnswer:")
    assert (
        overlap([Example("", " 1"), Example("...", "?")], blank).model_dump()
        == {"n_items": 3, "n_examples": 2} | nothing
    )
    assert overlap([Example("a", "b")], Questions([], 0, "")).n_items == 0


def test_pairs_are_capped_and_counts_are_not() -> None:
    asked = invented(30, "item")
    result = overlap([Example(prompt, " x") for prompt in asked * 50], open_questions(*asked))
    assert (result.n_pairs, len(result.pairs), result.items_exact, result.examples_found) == (1500, 1000, 30, 1500)
    assert result.pairs[:2] == [Pair(item_id="0", example=row, kind="exact") for row in (0, 30)]
    stored = result.model_dump_json()
    assert Contamination.model_validate_json(stored) == result
    assert "item0x1" not in stored
    with pytest.raises(ValidationError):
        Contamination.model_validate(result.model_dump() | {"n_pairs": float("nan")})


def test_one_sentence_for_people() -> None:
    asked = invented(1200, "item")
    questions = open_questions(*asked)

    def told(*prompts: str) -> str:
        return explain(overlap([Example(prompt, " x") for prompt in prompts], questions), "gsm8k", "my.jsonl")

    near = [f"And {' '.join(prompt.split()[1:-1])} so." for prompt in asked]
    assert told("a") == "no overlap found between 1,200 items of gsm8k and 1 rows of my.jsonl"
    assert (
        told("a", near[5]) == "1 of 1,200 items of gsm8k shares 13 words in a row with the training set my.jsonl: row 2"
    )
    assert told(near[5], asked[7], "a", near[9]) == (
        "3 of 1,200 items of gsm8k share 13 words in a row with the training set my.jsonl (1 word for word): "
        "rows 1, 2, 4"
    )
    assert told(*near[:12]).endswith("my.jsonl: rows 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more")


def test_imports_no_torch() -> None:
    code = "import sys, slimnb.training.contamination; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def timed(examples: list[Example], questions: Questions, title: str) -> Contamination:
    started = time.process_time()
    result = overlap(examples, questions)
    seconds = time.process_time() - started
    print(
        f"{title}: {result.items_exact} exact, {result.items_13gram} 13-gram, {result.n_pairs} pairs, {seconds:.2f} s"
    )
    assert seconds < 3
    return result


@pytest.mark.parametrize("name", ["workshop_commonsense", "workshop_math", "workshop_cs"])
def test_a_workshop_set_holds_no_item_of_its_own_test(name: str) -> None:
    """Its generator words many exercises alike, with other numbers: a few share 13 words, none is the same."""
    result = timed(load_training_set(name).examples, get_benchmark(name).load(), name)
    assert result.items_exact == 0
    assert result.items_13gram < 0.2 * result.n_items


@needs_real_data
def test_planted_rows_of_gsm8k_are_found_among_its_training_rows() -> None:
    questions = get_benchmark("gsm8k").load(REAL)
    rows = load_training_set("gsm8k_train", REAL).examples[2000:3000]
    assert overlap(rows, questions).n_pairs == 0
    source = random.Random(0)
    long = [item for item in questions.items if len(item.question.split()) >= 20]
    expected: Found = set()
    for number, (item, row) in enumerate(zip(source.sample(long, 50), source.sample(range(1000), 50), strict=True)):
        if number % 2:
            rows[row], kind = alpaca(item.question.removeprefix("Question: ").removesuffix("\nAnswer:")), "exact"
        else:
            rows[row], kind = Example(f"Once more: {' '.join(item.question.split()[3:-3])} now?", " 5"), "13-gram"
        expected.add((item.id, row, kind))
    assert found([*rows], questions) == expected


@pytest.fixture(scope="module")
def real_benchmarks() -> dict[str, Questions]:
    return {name: benchmark.load(REAL) for name, benchmark in BENCHMARKS.items()}


@needs_real_data
@pytest.mark.parametrize("name", TRAINING_SETS)
def test_the_real_sets_as_they_are(name: str, real_benchmarks: dict[str, Any]) -> None:
    examples = load_training_set(name, REAL).examples
    for benchmark, questions in real_benchmarks.items():
        result = timed(examples, questions, f"{name} x {benchmark}")
        assert (result.n_items, result.n_examples) == (len(questions.items), len(examples))
        assert result.items_exact == 0
        if not benchmark.startswith("workshop"):
            assert result.items_13gram < 0.01 * result.n_items
