"""Computer-science kinds about data structures and algorithms."""

from random import Random

from _cs_item import Draw, Item, item, near

GROWTHS = ("O(1)", "O(log n)", "O(n)", "O(n log n)", "O(n^2)", "O(n^3)")


def push_and_pop(rng: Random, add: str, remove: str) -> tuple[list[int], list[int], str]:
    """Operations on an empty store: the values, the order numbers of removals, and the words for it all."""
    values = rng.sample(range(1, 30), rng.randint(4, 5))
    # Two values are inside before the first removal, so that the store never runs empty.
    removals = rng.sample(range(2, len(values) + 1), rng.randint(1, 2))
    words = []
    for position, value in enumerate(values, start=1):
        words.append(f"{add} {value}")
        words.extend([remove] * removals.count(position))
    return values, removals, ", ".join(words)


def stack_top(rng: Random) -> Item:
    values, removals, words = push_and_pop(rng, "push", "pop")
    stack: list[int] = []
    for position, value in enumerate(values, start=1):
        stack.append(value)
        if position in removals:
            stack.pop()
    return item(f"Start with an empty stack: {words}. Which value is on top now?", stack[-1], values)


def queue_front(rng: Random) -> Item:
    values, removals, words = push_and_pop(rng, "enqueue", "dequeue")
    question = f"Start with an empty queue: {words}. Which value is at the front now?"
    return item(question, values[len(removals)], values)


def bubble_sort_pass(rng: Random) -> Item:
    before = rng.sample(range(1, 20), 4)
    after = list(before)
    for i in range(len(after) - 1):
        if after[i] > after[i + 1]:
            after[i], after[i + 1] = after[i + 1], after[i]
    first_swap_only = [*sorted(before[:2]), *before[2:]]
    mistakes = [sorted(before), sorted(before, reverse=True), before, first_swap_only, before[::-1]]
    question = f"What is the list {before} after one left-to-right pass of bubble sort in rising order?"
    return item(question, after, mistakes)


def binary_search_steps(rng: Random) -> Item:
    size = rng.randint(5, 500)
    steps = size.bit_length()
    question = f"At most how many items does a binary search look at in a sorted list of {size} items?"
    return item(question, steps, near(steps))


def complete_graph_edges(rng: Random) -> Item:
    nodes = rng.randint(4, 40)
    edges = nodes * (nodes - 1) // 2
    mistakes = [nodes * (nodes - 1), edges + nodes, nodes, edges - 1, edges + 2, edges - nodes]
    return item(f"How many edges does a complete undirected graph with {nodes} nodes have?", edges, mistakes)


def full_binary_tree_nodes(rng: Random) -> Item:
    leaves = rng.randint(4, 50)
    nodes = 2 * leaves - 1
    tree = f"A binary tree has {leaves} leaves and each inner node has two children."
    mistakes = [2 * leaves, leaves - 1, 2 * leaves + 1, 3 * leaves, leaves + 2, 2 * leaves - 2]
    return item(f"{tree} How many nodes are there in all?", nodes, mistakes)


def nest(*lines: str) -> str:
    """Each line indented one level deeper than the one before it."""
    return "\n".join(f"{'    ' * depth}{line}" for depth, line in enumerate(lines))


def loop_growth(rng: Random) -> Item:
    c = rng.randint(2, 90)
    outer, inner, fixed = "for i in range(n):", "for j in range(n):", f"for k in range({c}):"
    halving = (f"while m > {c}:", "m = m // 2; work()")
    growth, code = rng.choice(
        (
            ("O(1)", nest(fixed, "work()")),
            ("O(log n)", "m = n\n" + nest(*halving)),
            ("O(n)", nest(outer, fixed, "work()")),
            ("O(n)", nest(f"for i in range({c} * n):", "work()")),
            ("O(n log n)", nest(outer, "m = n") + "\n    " + nest(*halving).replace("\n", "\n    ")),
            ("O(n^2)", nest(outer, inner, fixed, "work()")),
            ("O(n^2)", nest(f"for i in range({c} * n):", inner, "work()")),
            ("O(n^3)", nest(outer, inner, f"for k in range({c} * n):", "work()")),
        )
    )
    question = f"How does the number of calls of work() grow with n in this Python code?\n\n{code}"
    return item(question, growth, GROWTHS)


KINDS: tuple[Draw, ...] = (
    stack_top,
    queue_front,
    bubble_sort_pass,
    binary_search_steps,
    complete_graph_edges,
    full_binary_tree_nodes,
    loop_growth,
)
