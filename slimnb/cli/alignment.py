"""`slimnb alignment`."""

from pathlib import Path
from typing import Annotated

import typer

from slimnb.cli.options import Benchmarks, Columns, DataDir, Json, Shots, column_names, names
from slimnb.cli.output import print_json, print_table, say


def alignment(
    train_on: Annotated[
        str, typer.Option("--train-on", help="Training sets or files of your own, separated by commas.")
    ],
    benchmarks: Benchmarks,
    model: Annotated[str, typer.Option("--model", help="The model that would be trained.")] = "smollm2-135m",
    rows: Annotated[int, typer.Option("--rows", min=2, help="Rows and items to look at, of each set.")] = 32,
    shots: Shots = None,
    seed: Annotated[int, typer.Option("--seed", help="Which rows are drawn.")] = 0,
    predictors: Annotated[
        str | None, typer.Option("--predictors", help="Only these; lexical and format need no model. [default: all]")
    ] = None,
    columns: Columns = "",
    save: Annotated[
        Path | None, typer.Option("--save", help="A study's directory, for its report: writes alignment.json there.")
    ] = None,
    data: DataDir = None,
    as_json: Json = False,
) -> None:
    """Predict how near training sets are to benchmarks, before anything is trained. Higher is nearer.

    It reads questions and right answers of a sample of the benchmark's scored items: use it to foresee, and do not
    choose a training set by it and then believe the score on the same items.
    """
    from slimnb.alignment.measure import align
    from slimnb.alignment.record import PREDICTORS, write_alignment
    from slimnb.alignment.table import alignment_tables
    from slimnb.data.load import data_directory

    found = align(
        model, names(train_on), names(benchmarks), data=data_directory(data), rows=rows, shots=shots, seed=seed,
        predictors=names(predictors) if predictors else tuple(PREDICTORS), columns=column_names(columns) or None,
    )  # fmt: skip
    if save is not None:
        say(f"stored in {write_alignment(save, found)}")
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    for table in alignment_tables(found):
        print_table(table)
    print("* nearest to the benchmark by this predictor. FINDINGS.md measures how well each foretells a gain.")
