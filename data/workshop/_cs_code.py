"""Computer-science kinds that ask what a few lines of Python print."""

from collections.abc import Iterable
from random import Random

from _cs_item import Draw, Item, item, near

WORDS = (
    "apple", "bread", "cloud", "dog", "engine", "forest", "garden", "hammer", "island", "jungle", "kitchen",
    "lantern", "mountain", "night", "ocean", "pencil", "quilt", "river", "sand", "telephone", "umbrella",
    "village", "window", "yellow", "zebra", "airport", "bicycle", "cat", "door", "elephant", "feather",
    "grape", "harbor", "ice", "journey", "kettle", "lemon", "machine", "newspaper", "orange", "piano",
)  # fmt: skip


def prints(code: str, right: object, mistakes: Iterable[object]) -> Item:
    return item(f"What does this Python code print?\n\n{code}", right, mistakes)


def numbers(rng: Random, count: int, largest: int = 20) -> list[int]:
    return rng.sample(range(1, largest), count)


def integer_division(rng: Random) -> Item:
    b = rng.randint(3, 9)
    a = b * rng.randint(2, 9) + rng.randint(1, b - 1)  # with a rest, as 7.0 is no clear mistake for 7
    return prints(f"print({a} // {b})", a // b, [round(a / b, 1), a % b, *near(a // b)])


def modulo(rng: Random) -> Item:
    a, b = rng.randint(11, 60), rng.randint(4, 12)
    return prints(f"print({a} % {b})", a % b, [a // b, b - a % b, *near(a % b)])


def list_indexing(rng: Random) -> Item:
    values = numbers(rng, 5)
    index = rng.choice((0, 1, 2, 3, 4, -1, -2))
    return prints(f"a = {values}\nprint(a[{index}])", values[index], [*values])


def list_slicing(rng: Random) -> Item:
    values = numbers(rng, 5)
    start = rng.randint(0, 2)
    stop = start + rng.randint(1, 2)
    mistakes = [values[start : stop + 1], values[start + 1 : stop + 1], values[max(start - 1, 0) : stop]]
    mistakes += [values[start + 1 : stop + 2], values[start : stop - 1], values[stop:]]
    return prints(f"a = {values}\nprint(a[{start}:{stop}])", values[start:stop], mistakes)


def list_methods(rng: Random) -> Item:
    *values, new = numbers(rng, 4)
    mistakes = [[*values[:-1], new], [*values, new], [new, *values[1:]], [new, *values[:-1]], values]
    return prints(f"a = {values}\na.append({new})\na.pop(0)\nprint(a)", [*values[1:], new], mistakes)


def string_length(rng: Random) -> Item:
    word = rng.choice(WORDS)
    return prints(f"print(len('{word}'))", len(word), near(len(word)))


def string_repetition(rng: Random) -> Item:
    first, second = rng.sample("abcdefgh", 2)
    count = rng.randint(2, 4)
    right = first + second * count
    mistakes = [(first + second) * count, first * count + second, first + second * (count - 1)]
    mistakes += [first + second * (count + 1), second * count + first]
    return prints(f"print('{first}' + '{second}' * {count})", right, mistakes)


def loop_sum(rng: Random) -> Item:
    start = rng.randint(1, 15)
    stop = start + rng.randint(2, 4)
    total = sum(range(start, stop))
    mistakes = [total + stop, total + start, total - start, *near(total), stop]
    code = f"total = 0\nfor i in range({start}, {stop}):\n    total += i\nprint(total)"
    return prints(code, total, mistakes)


def while_loop(rng: Random) -> Item:
    start, limit = rng.randint(2, 9), rng.randint(12, 60)
    value = start
    while value < limit:
        value *= 2
    mistakes = [value // 2, value * 2, limit, value - start, value + start, 3 * value]
    return prints(f"x = {start}\nwhile x < {limit}:\n    x = x * 2\nprint(x)", value, mistakes)


def dictionary_update(rng: Random) -> Item:
    a, b, c = numbers(rng, 3)
    code = f"d = {{'a': {a}, 'b': {b}}}\nd['a'] = d['b'] + {c}\nprint(d['a'])"
    return prints(code, b + c, [a, b, a + c, a + b, a + b + c, b + c + 1])


def conditional(rng: Random) -> Item:
    value, limit = rng.sample(range(3, 25), 2)
    down, up = numbers(rng, 2, 10)
    code = f"x = {value}\nif x > {limit}:\n    x = x - {down}\nelse:\n    x = x + {up}\nprint(x)"
    right = value - down if value > limit else value + up
    return prints(code, right, [value - down, value + up, value, value - down + up, limit])


def recursion(rng: Random) -> Item:
    base, step, depth = rng.randint(1, 9), rng.randint(2, 6), rng.randint(2, 4)
    stop = f"    if n == 0:\n        return {base}"
    code = f"def f(n):\n{stop}\n    return f(n - 1) + {step}\n\nprint(f({depth}))"
    right = base + step * depth
    mistakes = [right - step, right + step, step * depth, right + base, base + step, right + 1]
    return prints(code, right, mistakes)


def shown(values: set[int]) -> str:
    """A set as Python code, in rising order whatever the order in memory."""
    return f"{{{', '.join(map(str, sorted(values)))}}}"


def set_operations(rng: Random) -> Item:
    shared, *others = numbers(rng, 5, 10)
    a, b = {shared, *others[:2]}, {shared, *others[2:]}
    results = {"&": a & b, "|": a | b, "-": a - b}
    sign = rng.choice(list(results))
    mistakes = [sorted(found) for found in (*results.values(), a ^ b, b - a)]
    code = f"a = {shown(a)}\nb = {shown(b)}\nprint(sorted(a {sign} b))"
    return prints(code, sorted(results[sign]), mistakes)


def comparison(rng: Random) -> Item:
    x, y = rng.sample(range(2, 25), 2)
    low, high = rng.randint(1, x - 1), rng.randint(x + 1, 30)
    true_and_false = ("x < y", "x > y") if x < y else ("x > y", "x < y")
    joins = [(f"x > {low}", f"x > {high}"), true_and_false, (f"x < {high}", f"x < {low}")]
    trues, falses = zip(*rng.sample(joins, 2), strict=True)
    both, either = f"{trues[0]} and {trues[1]}", f"{falses[0]} or {trues[1]}"
    right = rng.choice((both, either))
    mistakes = (f"{falses[0]} and {trues[1]}", f"{trues[0]} and {falses[1]}", f"{falses[0]} or {falses[1]}")
    return item(f"If x = {x} and y = {y}, which of these Python expressions is True?", right, mistakes)


KINDS: tuple[Draw, ...] = (
    integer_division,
    modulo,
    list_indexing,
    list_slicing,
    list_methods,
    string_length,
    string_repetition,
    loop_sum,
    while_loop,
    dictionary_update,
    conditional,
    recursion,
    set_operations,
    comparison,
)
