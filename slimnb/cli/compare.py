"""`slimnb compare` and `slimnb items`."""

import math
from itertools import combinations
from typing import Annotated, Literal

import typer

from slimnb.cli.options import RUNS, DataDir, Json, Limit, RunsDir
from slimnb.cli.output import print_json, print_table, say
from slimnb.errors import SlimnbError

Runs = Annotated[
    list[str], typer.Argument(help="Runs by id or directory; the first is what the others are held against.")
]


def compare(
    run: Runs,
    runs: RunsDir = RUNS,
    margin: Annotated[float, typer.Option("--margin", min=0.0, help="Equally good within so many points.")] = 2.0,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print a LaTeX table.")] = False,
    configs: Annotated[bool, typer.Option("--configs", help="Print how the configurations differ.")] = False,
    as_json: Json = False,
) -> None:
    """Compare runs on the same items; runs that differ in the seed alone are taken together.

    Exit status 1 when a pair may not be compared.
    """
    from slimnb.analysis.comparison import compare_all
    from slimnb.analysis.exports import comparison_frame, comparison_record, to_latex, to_markdown
    from slimnb.analysis.guard import config_difference, costs_differ_in
    from slimnb.analysis.tables import comparison_tables
    from slimnb.store.runs import find

    if len(run) < 2:
        raise typer.BadParameter("name at least two runs")
    if not math.isfinite(margin):
        raise typer.BadParameter("--margin: a number of points")
    found = [find(runs, name) for name in run]
    done, refused = compare_all(found, margin / 100)
    if not done and not refused:
        raise SlimnbError(f"{', '.join(one.record.id for one in found)}: no benchmark in common")
    if as_json:
        differences = {
            other.record.id: {field: list(values) for field, values in config_difference(found[0], other).items()}
            for other in found[1:]
        }
        costs = {other.record.id: costs_differ_in(found[0], other) for other in found[1:]}
        print_json(
            {
                "comparisons": [comparison_record(one) for one in done], "refused": refused,
                "configurations_differ_in": differences, "costs_not_comparable_because": costs,
            }
        )  # fmt: skip
    elif done:
        frame = comparison_frame(done)
        if markdown:
            print(to_markdown(frame))
        elif latex:
            print(to_latex(frame))
        else:
            for table in comparison_tables(done):
                print_table(table)
            print(
                "p: McNemar's exact test (of several seeds the sign-flip test, over subjects at least the clustered "
                "one), Holm-corrected over the benchmarks of a pair. resolvable: the change, in points, that so many "
                "independent items show in 4 cases of 5.\n"
            )
            for one in done:
                print(one.verdict)
            for first, second in combinations(found, 2) if configs else ():
                changed = (f"{field} {a} -> {b}" for field, (a, b) in config_difference(first, second).items())
                print(
                    f"\n{first.record.id} -> {second.record.id}:", *(sorted(changed) or ["no difference"]), sep="\n  "
                )
        for warning in sorted({warning for one in done for warning in one.warnings}):
            say(f"Note: {warning}")
    if refused:
        raise SlimnbError("\n  ".join(["not compared:", *refused]))


def items(
    first: str,
    second: str,
    show: Annotated[
        Literal["fixed", "broken", "both-wrong"], typer.Option("--show", help="Which items, by what changed.")
    ] = "broken",
    benchmark: Annotated[str | None, typer.Option("--benchmark", help="Only this one.")] = None,
    limit: Limit = None,
    runs: RunsDir = RUNS,
    data: DataDir = None,
    as_json: Json = False,
) -> None:
    """Show the items that two runs answer differently, with their text where the data set is present."""
    from slimnb.analysis.drilldown import drill_down
    from slimnb.data.load import data_directory
    from slimnb.store.runs import find

    one, two = find(runs, first), find(runs, second)
    names = [benchmark] if benchmark else [name for name in one.record.scores if name in two.record.scores]
    if not names:
        raise SlimnbError(f"{one.record.id} and {two.record.id} have no benchmark in common")
    chosen = [item for name in names for item in drill_down(one, two, name, show, data_directory(data), limit)]
    if as_json:
        print_json(chosen)
        return
    for item in chosen:
        print(f"--- {item['benchmark']} {item['id']} ({item['subject']})")
        print(item["text"] or f"(text not here: {item['text_missing']})")
        print(f"gold: {item['gold']}\nfirst: {item['first']}\nsecond: {item['second']}\n")
    say(f"{len(chosen)} items {show}")
