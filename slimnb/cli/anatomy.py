"""`slimnb anatomy`."""

from typing import Annotated

import typer

from slimnb.cli.options import RUNS, Json, RunsDir
from slimnb.cli.output import print_json, print_table, say
from slimnb.errors import SlimnbError


def anatomy(
    run: Annotated[list[str], typer.Argument(help="Runs by id or directory; several are compared pair by pair.")],
    runs: RunsDir = RUNS,
    intruders: Annotated[
        bool, typer.Option("--intruders/--no-intruders", help="Look for intruder dimensions (most of the time).")
    ] = True,
    again: Annotated[bool, typer.Option("--again", help="Compute anew what is stored with the runs.")] = False,
    as_json: Json = False,
) -> None:
    """Show what training did to the weights: ranks, intruders, overlap of runs, what 4 bits would lose.

    The result is stored with each run as anatomy.json.
    """
    from dataclasses import asdict
    from itertools import combinations

    from slimnb.anatomy.examine import anatomy_of, compare_updates
    from slimnb.anatomy.report import findings, notes, overlap_finding, overlap_table, summary, tables
    from slimnb.store.runs import find

    folders = list({(folder := find(runs, name)).path.resolve(): folder for name in run}.values())
    found = [anatomy_of(folder, intruders=intruders, again=again) for folder in folders]
    try:
        compare_updates(folders, found, again=again)
    except SlimnbError as error:  # each run's own anatomy is of use without
        say(f"Note: not all overlaps are known: {error}")
    if as_json:
        said = [{"summary": summary(one), "findings": [asdict(finding) for finding in findings(one)]} for one in found]
        print_json([one.model_dump(mode="json") | more for one, more in zip(found, said, strict=True)])
        return
    for one in found:
        for table in tables(one):
            print_table(table)
        print(*findings(one), *(f"Note: {text}." for text in notes(one)), sep="\n", end="\n\n")
    for one, other in combinations(found, 2):
        if overlap := one.overlaps.get(other.run):
            print_table(overlap_table(one.run, other.run, overlap))
            print(overlap_finding(one, other, overlap), end="\n\n")
