"""The workshop data sets: reproducible, right, well separated, and without hints."""

import ast
import importlib
import json
import re
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from operator import add, and_, floordiv, gt, lt, mod, mul, or_, sub, truediv
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "data" / "workshop"
SIZES = {
    ("math", "train"): 800,
    ("math", "test"): 240,
    ("commonsense", "train"): 696,
    ("commonsense", "test"): 261,
    ("cs", "train"): 640,
    ("cs", "test"): 256,
}
KINDS = {"math": 40, "commonsense": 87, "cs": 32}
FACTS = {"structures_and_algorithms", "computing_terms"}

Row = dict[str, Any]

each_file = pytest.mark.parametrize(("name", "split"), SIZES)
each_set = pytest.mark.parametrize("name", KINDS)
each_choice_file = pytest.mark.parametrize(("name", "split"), [key for key in SIZES if key[0] != "math"])


@cache
def generator() -> Any:
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module("generate")
    finally:
        sys.path.remove(str(FOLDER))


@cache
def rows(name: str, split: str) -> list[Row]:
    """The rows of a committed file."""
    return [json.loads(line) for line in (FOLDER / name / f"{split}.jsonl").read_text("utf-8").splitlines()]


@cache
def kinds(name: str, split: str) -> list[str]:
    return [kind for kind, _ in generator().SETS[name](split)]


def rows_with_kinds(name: str) -> Iterator[tuple[str, Row]]:
    for split in ("train", "test"):
        yield from zip(kinds(name, split), rows(name, split), strict=True)


def numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


# The files as a whole


def test_regenerating_gives_the_same_bytes(tmp_path: Path) -> None:
    generator().write_sets(tmp_path)
    written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert written == sorted([Path("README.md"), *(Path(name, f"{split}.jsonl") for name, split in SIZES)])
    for path in written:
        assert (tmp_path / path).read_bytes() == (FOLDER / path).read_bytes(), path


@each_file
def test_size_and_order(name: str, split: str) -> None:
    assert len(rows(name, split)) == SIZES[name, split]
    # Every round holds each kind once.
    per_round = KINDS[name]
    for start in range(0, SIZES[name, split], per_round):
        assert len(set(kinds(name, split)[start : start + per_round])) == per_round


@each_set
def test_every_kind_is_in_train_and_test(name: str) -> None:
    assert set(kinds(name, "train")) == set(kinds(name, "test"))
    assert len(set(kinds(name, "train"))) == KINDS[name]


@each_file
def test_texts_are_plain_ascii_and_filled_in(name: str, split: str) -> None:
    for row in rows(name, split):
        for part in (part for value in row.values() for part in (value if isinstance(value, list) else [str(value)])):
            assert part.isascii() and part == part.strip()
            assert not re.search(r"\{[a-zA-Z_]+\}", part), "a placeholder was left open"


# Schemas


@pytest.mark.parametrize("split", ["train", "test"])
def test_schema_of_math(split: str) -> None:
    for row in rows("math", split):
        assert {key: type(value) for key, value in row.items()} == {"question": str, "answer": str}
        assert len(row["question"].split()) <= 35
        assert len(row["answer"].split()) <= 25


@pytest.mark.parametrize("split", ["train", "test"])
def test_schema_of_commonsense(split: str) -> None:
    for row in rows("commonsense", split):
        assert list(row) == (
            "ind activity_label ctx_a ctx_b ctx endings source_id split split_type label".split()  # noqa: SIM905
        )
        assert type(row["ind"]) is int
        assert all(type(row[key]) is str for key in row if key not in ("ind", "endings"))
        assert row["ctx"] == f"{row['ctx_a']} {row['ctx_b']}"
        assert row["ctx_b"] == row["ctx_b"].lower()
        assert (row["split"], row["split_type"]) == (split, "indomain")
        assert row["label"] in ("0", "1", "2", "3")
        assert re.fullmatch(r"workshop~\d{4}", row["source_id"])
        assert len({ending.lower() for ending in row["endings"]}) == 4
        assert all(re.fullmatch(r"[a-z][^.]*\.", ending) for ending in row["endings"])


def test_numbers_of_commonsense_are_unique() -> None:
    both = [*rows("commonsense", "train"), *rows("commonsense", "test")]
    assert len({row["ind"] for row in both}) == len({row["source_id"] for row in both}) == len(both)


@pytest.mark.parametrize("split", ["train", "test"])
def test_schema_of_cs(split: str) -> None:
    for kind, row in zip(kinds("cs", split), rows("cs", split), strict=True):
        types = {"question": str, "subject": str, "choices": list, "answer": int}
        assert {key: type(value) for key, value in row.items()} == types
        assert row["subject"] == kind
        assert row["answer"] in range(4)
        assert [type(choice) for choice in row["choices"]] == [str] * 4
        assert len({choice.lower() for choice in row["choices"]}) == 4


# Math: the equations hold, and the numbers of the question lead to the same result

ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: add,
    ast.Sub: sub,
    ast.Mult: mul,
    ast.Div: truediv,
}


def calculate(node: ast.expr) -> Fraction:
    match node:
        case ast.Constant(value=int(value)):
            return Fraction(value)
        case ast.BinOp(left, operator, right):
            return ARITHMETIC[type(operator)](calculate(left), calculate(right))
    raise ValueError(ast.dump(node))


def checked_result(sentence: str) -> int:
    """The right-hand side of an equation that holds."""
    equation = re.fullmatch(r"(\d+ [-+*/] \d+) = (\d+)( [a-z ]+)?", sentence)
    assert equation, sentence
    assert calculate(ast.parse(equation[1], mode="eval").body) == int(equation[2]), sentence
    return int(equation[2])


# For each kind: words that its question must hold, and what its numbers lead to, in the order of the text.
MATH: dict[str, tuple[str, Callable[..., int | Fraction]]] = {
    "altogether": (r"altogether|in all|adds .* now", lambda a, b: a + b),
    "difference": (r"How many more", lambda a, b: a - b),
    "change": (r"\$.*(change|get back)", lambda paid, price: paid - price),
    "equal_groups": (r"in each|Each holds", lambda groups, size: sum([size] * groups)),
    "sharing_equally": (r"equally", Fraction),
    "leftover_after_sharing": (r"left over", lambda total, shares: total % shares),
    "twice_as_many": (r"twice|double", lambda a: a + a),
    "half_of": (r"[Hh]alf", lambda a: Fraction(a, 2)),
    "age_in_years": (r"old|age", lambda age, years: age + years),
    "elapsed_hours": (r":00.*:00.*hours", lambda start, _, end, __: end - start),
    "weeks_and_days": (r"weeks and .* days", lambda weeks, days: 7 * weeks + days),
    "hours_to_minutes": (r"hours and .* minutes", lambda hours, minutes: 60 * hours + minutes),
    "rectangle_perimeter": (r"perimeter|around|border", lambda a, b: a + b + a + b),
    "rectangle_area": (r"area|square", lambda a, b: a * b),
    "unit_price": (r"one|each", lambda count, price: Fraction(price, count)),
    "two_item_total": (r"each and (one|a)", lambda count, price, other: count * price + other),
    "fixed_discount": (r"off|drops", lambda price, discount: price - discount),
    "weekly_savings": (r"week", lambda start, saved, weeks: start + saved * weeks),
    "distance": (r"km per hour", lambda speed, hours: speed * hours),
    "animal_legs": (
        r"\d+ (cows|dogs|cats|goats|horses|sheep) and \d+ (hens|ducks|geese|birds|chickens)",
        lambda four_legs, two_legs: 4 * four_legs + 2 * two_legs,
    ),
    "pages_left": (r"pages.*(left|remain)", lambda total, first, second: total - (first + second)),
    "temperature": (r"(rises|rose|warms).*(falls|fell|cools)", lambda start, up, down: start + up - down),
    "missing_addend": (r"add up|sum|added", lambda total, one: total - one),
    "consecutive_numbers": (r"next|right after", lambda a: 2 * a + 1),
    "share_plus_extra": (r"equal", lambda total, shares, extra: Fraction(total, shares) + extra),
    "game_score": (r"points", lambda count, points, bonus: count * points + bonus),
    "recipe_scaling": (r"for \d+ people.*for( a cake for)? \d+ people", lambda a, b, c: Fraction(b, a) * c),
    "empty_seats": (r"rows.*(empty|free)", lambda rows, seats, taken: rows * seats - taken),
    "more_than_together": (r"more than.*(together|in all|both)", lambda a, more: a + a + more),
    "three_way_total": (r"How many", lambda a, b, c: a + b + c),
    "packs_given_away": (r"packs.*left", lambda packs, size, gone: packs * size - gone),
    "rope_left": (r"(pieces|strips) of.*(left|remain)", lambda total, count, size: total - count * size),
    "bus_passengers": (r"(off|leave).*(on|enter)", lambda start, off, on: start - off + on),
    "money_left": (r"\$.*(left|keep)", lambda start, first, second: start - (first + second)),
    "average": (r"average", lambda a, b: Fraction(a + b, 2)),
    "percent": (r"percent of", lambda percent, whole: Fraction(percent, 100) * whole),
    "fraction": (r"1/\d+ of", lambda one, parts, whole: Fraction(one, parts) * whole),
    "coin_value": (r"coins of 5 cents and \d+ coins of 10", lambda a, five, b, ten: a * five + b * ten),
    "calendar_days": (r"(\w+) \d+\b.*\b\1 \d+", lambda start, end: end - start),
    "start_amount": (r"at first|before|at the start", lambda gone, left: gone + left),
}


def test_math_has_a_solver_for_every_kind() -> None:
    assert set(MATH) == set(kinds("math", "train"))
    assert len(MATH) >= 40


@pytest.mark.parametrize("kind", MATH)
def test_math_answers_are_right(kind: str) -> None:
    pattern, solve = MATH[kind]
    for row in (row for row_kind, row in rows_with_kinds("math") if row_kind == kind):
        work, final = row["answer"].split("\n#### ")
        results = [checked_result(sentence) for sentence in work.removesuffix(".").split(". ")]
        assert results[-1] == int(final)
        assert re.search(pattern, row["question"]), row["question"]
        assert solve(*numbers(row["question"])) == int(final), row


# Computer science: a tiny interpreter for the snippets, a solver for each other kind

OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: add,
    ast.Sub: sub,
    ast.Mult: mul,
    ast.FloorDiv: floordiv,
    ast.Mod: mod,
    ast.BitAnd: and_,
    ast.BitOr: or_,
    ast.BitXor: lambda a, b: a ^ b,
    ast.Lt: lt,
    ast.Gt: gt,
    ast.Eq: lambda a, b: a == b,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {"len": len, "range": range, "sorted": sorted}


class Returned(Exception):  # noqa: N818 - no error
    """A function's value on its way to the call."""


class Interpreter:
    """Runs the subset of Python that the questions use."""

    def __init__(self, names: dict[str, Any] | None = None) -> None:
        self.names = names or {}
        self.printed: list[str] = []

    def run(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            self.execute(statement)

    def execute(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Assign(targets=[target], value=value):
                self.assign(target, self.value(value))
            case ast.AugAssign(target=ast.Name(id=name), op=operator, value=value):
                self.names[name] = OPERATORS[type(operator)](self.names[name], self.value(value))
            case ast.If(test, body, orelse):
                self.run(body if self.value(test) else orelse)
            case ast.While(test, body):
                while self.value(test):
                    self.run(body)
            case ast.For(target, iterable, body):
                for item in self.value(iterable):
                    self.assign(target, item)
                    self.run(body)
            case ast.FunctionDef(name=name):
                self.names[name] = statement
            case ast.Return(value=ast.expr() as value):
                raise Returned(self.value(value))
            case ast.Expr(value):
                self.value(value)
            case _:
                raise ValueError(ast.dump(statement))

    def assign(self, target: ast.expr, value: Any) -> None:
        match target:
            case ast.Name(id=name):
                self.names[name] = value
            case ast.Subscript(container, key):
                self.value(container)[self.value(key)] = value
            case _:
                raise ValueError(ast.dump(target))

    def value(self, node: ast.expr | None) -> Any:
        match node:
            case None:
                return None
            case ast.Constant(value):
                return value
            case ast.Name(id=name):
                return self.names[name]
            case ast.List(items):
                return [self.value(item) for item in items]
            case ast.Set(items):
                return {self.value(item) for item in items}
            case ast.Dict(keys, values):
                return {self.value(key): self.value(value) for key, value in zip(keys, values, strict=True)}
            case ast.UnaryOp(ast.USub(), operand):
                return -self.value(operand)
            case ast.BinOp(left, operator, right) | ast.Compare(left, [operator], [right]):
                return OPERATORS[type(operator)](self.value(left), self.value(right))
            case ast.BoolOp(ast.And(), values):
                return all(self.value(value) for value in values)
            case ast.BoolOp(ast.Or(), values):
                return any(self.value(value) for value in values)
            case ast.Subscript(container, ast.Slice(lower, upper)):
                return self.value(container)[slice(self.value(lower), self.value(upper))]
            case ast.Subscript(container, key):
                return self.value(container)[self.value(key)]
            case ast.Call(function, arguments):
                return self.call(function, [self.value(argument) for argument in arguments])
        raise ValueError(ast.dump(node))

    def call(self, function: ast.expr, arguments: list[Any]) -> Any:
        match function:
            case ast.Attribute(container, "append"):
                return self.value(container).append(*arguments)
            case ast.Attribute(container, "pop"):
                return self.value(container).pop(*arguments)
            case ast.Name("print"):
                return self.printed.extend(map(str, arguments))
            case ast.Name(name) if name in FUNCTIONS:
                return FUNCTIONS[name](*arguments)
            case ast.Name(name):
                definition = self.names[name]
                inner = Interpreter({**self.names, definition.args.args[0].arg: arguments[0]})
                try:
                    inner.run(definition.body)
                except Returned as returned:
                    return returned.args[0]
        raise ValueError(ast.dump(function))


def evaluate(expression: str, names: dict[str, Any] | None = None) -> Any:
    return Interpreter(names).value(ast.parse(expression, mode="eval").body)


def printed(row: Row) -> str:
    _, code = row["question"].split("\n\n", maxsplit=1)
    interpreter = Interpreter()
    interpreter.run(ast.parse(code).body)
    assert len(interpreter.printed) == 1
    return interpreter.printed[0]


def only_true_choice(row: Row) -> str:
    names = dict(zip("xy", numbers(row["question"]), strict=True))
    trues = [choice for choice in row["choices"] if evaluate(choice, names)]
    assert len(trues) == 1, row
    return trues[0]


def left_inside(row: Row, remove_from: str) -> list[int]:
    """What a stack or queue holds after the operations of the question."""
    inside: deque[int] = deque()
    for value in re.findall(r"(?:push|enqueue) (\d+)|\b(?:pop|dequeue)\b", row["question"]):
        if value:
            inside.append(int(value))
        elif remove_from == "top":
            inside.pop()
        else:
            inside.popleft()
    return list(inside)


def bubble_pass(row: Row) -> list[int]:
    carried, *others = evaluate(re.findall(r"\[.*\]", row["question"])[0])
    after = []
    for other in others:
        after.append(min(carried, other))
        carried = max(carried, other)
    return [*after, carried]


def halvings(size: int) -> int:
    """How many times a range can be looked into before nothing is left of it."""
    return 1 + halvings(size // 2) if size else 0


def growth(row: Row) -> str:
    """The product of what each loop of a nest contributes."""
    code = row["question"].split("\n\n")[1]
    power = len(re.findall(r"in range\((?:\d+ \* )?n\)", code))
    log = "log n" if "m // 2" in code else ""
    linear = {0: "", 1: "n", 2: "n^2", 3: "n^3"}[power]
    return f"O({' '.join(filter(None, (linear, log))) or '1'})"


def only_number(row: Row) -> int:
    (number,) = numbers(row["question"])
    return number


def digits(row: Row, pattern: str) -> str:
    (found,) = re.findall(pattern, row["question"])
    return found


CS: dict[str, Callable[[Row], object]] = {
    "binary_to_decimal": lambda row: int(digits(row, r"\b[01]+\b"), 2),
    "decimal_to_binary": lambda row: format(only_number(row), "b"),
    "decimal_to_hexadecimal": lambda row: "0x" + format(only_number(row), "02X"),
    "hexadecimal_to_decimal": lambda row: int(digits(row, r"0x([0-9A-F]{2})\b"), 16),
    "bits_needed": lambda row: next(bits for bits in range(20) if 2**bits >= only_number(row)),
    "twos_complement": lambda row: int.from_bytes(
        int(digits(row, r"\b[01]{8}\b"), 2).to_bytes(1, "big"), "big", signed=True
    ),
    "bitwise_operations": lambda row: evaluate(digits(row, r"\d+ [&|^] \d+")),
    "bytes_in_kibibytes": lambda row: only_number(row) * 2**10,
    "character_codes": lambda row: ord(re.findall(r"'(.)'", row["question"])[1]),
    "stack_top": lambda row: left_inside(row, "top")[-1],
    "queue_front": lambda row: left_inside(row, "front")[0],
    "bubble_sort_pass": bubble_pass,
    "binary_search_steps": lambda row: halvings(only_number(row)),
    "complete_graph_edges": lambda row: sum(range(only_number(row))),
    "full_binary_tree_nodes": lambda row: only_number(row) + (only_number(row) - 1),
    "loop_growth": growth,
    "comparison": only_true_choice,
    **dict.fromkeys(
        (
            "integer_division",
            "modulo",
            "list_indexing",
            "list_slicing",
            "list_methods",
            "string_length",
            "string_repetition",
            "loop_sum",
            "while_loop",
            "dictionary_update",
            "conditional",
            "recursion",
            "set_operations",
        ),
        printed,
    ),
}


def test_cs_has_a_solver_for_every_computed_kind() -> None:
    assert set(CS) | FACTS == set(kinds("cs", "train"))
    assert not set(CS) & FACTS


@pytest.mark.parametrize("kind", CS)
def test_cs_answers_are_right(kind: str) -> None:
    for row in (row for row_kind, row in rows_with_kinds("cs") if row_kind == kind):
        right = str(CS[kind](row))
        assert row["choices"][row["answer"]] == right, row
        # 7 and 7.0 would both be right.
        assert sum(as_number(choice) == as_number(right) for choice in row["choices"]) == 1, row


def as_number(choice: str) -> float | str:
    try:
        return float(choice)
    except ValueError:
        return choice


# Train and test are apart


def variant(name: str, kind: str, row: Row) -> tuple[str, ...]:
    """What is left of a row when case, punctuation, persons, places and objects do not count."""
    if name == "commonsense":
        return (kind, *(anyone(step) for step in sentences(row)[1:]))
    data = sorted(re.findall(r"'[\w ]*'|\w*\d\w*", row["question"].lower()))
    return (kind, *(data or re.findall(r"\w+", row["question"].lower())))


def sentences(row: Row) -> list[str]:
    """The context's sentences: who does what and where, then the step if there is one."""
    return row["ctx_a"].removesuffix(".").split(". ")


def anyone(text: str) -> str:
    """A step without its person."""
    return re.sub(r"\b(her|his)\b", "their", re.sub(r"^(she|he) ", "", text.lower()))


@each_set
def test_no_row_is_a_variant_of_another(name: str) -> None:
    variants = [variant(name, kind, row) for kind, row in rows_with_kinds(name)]
    assert [key for key, count in Counter(variants).items() if count > 1] == []


def test_no_sentence_of_a_commonsense_test_row_is_in_train() -> None:
    def told(split: str) -> set[str]:
        texts = (text for row in rows("commonsense", split) for text in (*sentences(row)[1:], *row["endings"]))
        return {anyone(text.removesuffix(".")) for text in texts}

    assert told("train") & told("test") == set()


# No hints


def right_place(row: Row) -> int:
    return int(row["label"]) if "label" in row else row["answer"]


def choices(row: Row) -> list[str]:
    return row["endings"] if "endings" in row else row["choices"]


@each_choice_file
def test_right_answers_are_spread_evenly(name: str, split: str) -> None:
    counts = Counter(right_place(row) for row in rows(name, split))
    assert set(counts) == {0, 1, 2, 3}
    assert max(counts.values()) - min(counts.values()) <= 1


@each_choice_file
@pytest.mark.parametrize("extreme", [max, min])
def test_length_is_no_hint(name: str, split: str, extreme: Callable[[list[int]], int]) -> None:
    hits = Fraction(0)
    for row in rows(name, split):
        lengths = [len(choice) for choice in choices(row)]
        if lengths[right_place(row)] == extreme(lengths):
            hits += Fraction(1, lengths.count(extreme(lengths)))
    assert 0.15 < hits / len(rows(name, split)) < 0.35


@pytest.mark.parametrize("split", ["train", "test"])
def test_size_of_a_number_is_no_hint(split: str) -> None:
    ranks: Counter[int] = Counter()
    for row in rows("cs", split):
        values = [as_number(choice) for choice in row["choices"]]
        if all(isinstance(value, float) for value in values):
            ranks[sorted(values).index(values[row["answer"]])] += 1
    assert all(0.15 < ranks[rank] / ranks.total() < 0.35 for rank in range(4))
