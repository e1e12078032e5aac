"""`slimnb advise`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from slimnb.cli.options import (
    Benchmarks,
    Columns,
    DataDir,
    Epochs,
    Json,
    Length,
    Memory,
    MethodName,
    ModelName,
    Probe,
    Rank,
    column_names,
    names,
)
from slimnb.cli.output import print_json


def advise(
    train_on: Annotated[str, typer.Option("--train-on", help="Training set or file.")],
    benchmarks: Benchmarks,
    model: ModelName = "smollm2-135m",
    method: Annotated[MethodName | None, typer.Option("--method", help="Else what `slimnb plan` recommends.")] = None,
    rank: Rank = 16,
    length: Length = 1024,
    epochs: Epochs = 3,
    memory: Memory = None,
    probe: Probe = False,
    evidence: Annotated[
        Path | None, typer.Option("--evidence", help="A study's directory of runs; else those of the project.")
    ] = None,
    columns: Columns = "",
    data: DataDir = None,
    as_json: Json = False,
) -> None:
    """Say on one page what to expect of a fine-tuning: memory, gain, forgetting, cost, and the command to run.

    It says what the evidence does not cover.
    """
    from slimnb.cli.plan import device_here, free_memory
    from slimnb.data.load import data_directory
    from slimnb.errors import SlimnbError
    from slimnb.io.places import DEMO, MEASURED
    from slimnb.planning.advise import advise as advised
    from slimnb.planning.advise import near_by_words
    from slimnb.planning.architecture import read_architecture
    from slimnb.planning.memory import Setup, parse_memory
    from slimnb.planning.plan import make_plan, recommended
    from slimnb.planning.probe import count_work, try_rate
    from slimnb.store.runs import scan_study

    asked, place, mapped = names(benchmarks), data_directory(data), column_names(columns) or None
    device: Any = device_here()
    there_is = parse_memory(memory) if memory else free_memory(device)
    architecture = read_architecture(model)
    setup = Setup(method or "lora", rank, length=length, device=device)
    if method is None:
        setup = recommended(architecture, setup, there_is).setup
    saved = [run for study in ([evidence] if evidence else [DEMO, MEASURED]) for run in scan_study(study)[0]]
    runs = [run for run in saved if run.record.status == "completed"]
    others = sorted({run.config.training.data for run in runs if run.config.training})
    nearness, missing = near_by_words(train_on, others, asked, place, mapped)
    work = None
    try:
        work = count_work(model, train_on, place, length, epochs, mapped)
    except SlimnbError as error:
        missing.append(f"how many tokens there are: {error}")
    rate, no_rate = None, "no rate was measured: add --probe"
    if probe:
        rate, no_rate = try_rate(model, setup, device, round(work.tokens_per_row) if work else length)
    plan = make_plan(architecture, setup, there_is, work, rate, no_rate)
    advice = advised(plan, train_on, asked, runs, nearness, missing, epochs, mapped)
    if as_json:
        print_json(advice.document())
        return
    print(*advice.lines(), sep="\n")
