"""`slimnb advise`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from slimnb.cli.options import Benchmarks, DataDir, Json, MethodName, column_names, names
from slimnb.cli.output import print_json


def advise(
    train_on: Annotated[str, typer.Option("--train-on", help="Training set or file.")],
    benchmarks: Benchmarks,
    model: Annotated[str, typer.Option("--model", help="Offline model, Hub id or directory.")] = "smollm2-135m",
    method: Annotated[MethodName | None, typer.Option("--method", help="Else what `slimnb plan` recommends.")] = None,
    rank: Annotated[int, typer.Option("--rank", min=1, help="LoRA's rank.")] = 16,
    length: Annotated[int, typer.Option("--length", min=2, help="Tokens of the longest example.")] = 1024,
    epochs: Annotated[float, typer.Option("--epochs", help="Passes over the rows.")] = 3,
    memory: Annotated[str | None, typer.Option("--memory", help="As 16GB or 16GiB; else this machine's.")] = None,
    probe: Annotated[bool, typer.Option("--probe", help="Measure this machine's speed: train for 10 seconds.")] = False,
    evidence: Annotated[
        Path | None, typer.Option("--evidence", help="A study's directory of runs; else those of the project.")
    ] = None,
    columns: Annotated[
        str, typer.Option("--columns", help="For a file: prompt=NAME,completion=NAME (see `slimnb run`).")
    ] = "",
    data: DataDir = None,
    as_json: Json = False,
) -> None:
    """Say on one page what to expect of a fine-tuning: memory, gain, forgetting, cost, and the command to run.

    It says what the evidence does not cover.
    """
    from slimnb.advise import advise as advised
    from slimnb.advise import near_by_words
    from slimnb.architecture import read_architecture
    from slimnb.cli.plan import device_here, free_memory
    from slimnb.data import data_directory
    from slimnb.errors import SlimnbError
    from slimnb.evidence import SHIPPED
    from slimnb.memory import Setup, parse_memory
    from slimnb.plan import make_plan, recommended
    from slimnb.probe import count_work, try_rate
    from slimnb.runs import scan

    asked, place, mapped = names(benchmarks), data_directory(data), column_names(columns) or None
    device: Any = device_here()
    there_is = parse_memory(memory) if memory else free_memory(device)
    architecture = read_architecture(model)
    setup = Setup(method or "lora", rank, length=length, device=device)
    if method is None:
        setup = recommended(architecture, setup, there_is).setup
    study = (evidence or SHIPPED).resolve()
    runs = [run for run in scan(study.parent)[0] if run.path.parent.resolve() == study]
    runs = [run for run in runs if run.record.status == "completed"]
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
    advice = advised(plan, train_on, asked, runs, nearness, missing)
    if as_json:
        print_json(advice.document())
        return
    print(*advice.lines(), sep="\n")
