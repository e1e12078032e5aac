"""`slimnb plan`."""

import sys
from ctypes import CDLL
from typing import Annotated, Any, Literal

import typer

from slimnb.cli.options import (
    DataDir,
    Epochs,
    Json,
    Length,
    Memory,
    MethodName,
    ModelName,
    OptimizerName,
    Probe,
    Rank,
)
from slimnb.cli.output import print_json, print_table
from slimnb.errors import SlimnbError

DeviceName = Literal["cpu", "cuda"]


def plan(
    model: ModelName = "smollm2-135m",
    method: Annotated[MethodName, typer.Option("--method", help="What is done to the model.")] = "lora",
    rank: Rank = 16,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, max=10**9, help="Examples a step.")] = 8,
    length: Length = 1024,
    optimizer: Annotated[OptimizerName, typer.Option("--optimizer", help="The 8-bit one needs CUDA.")] = "adamw",
    checkpointing: Annotated[
        bool, typer.Option("--checkpointing", "--gradient-checkpointing", help="Less memory, a third to a half slower.")
    ] = False,
    memory: Memory = None,
    device: Annotated[DeviceName | None, typer.Option("--device", help="Else what there is here.")] = None,
    train_on: Annotated[str | None, typer.Option("--train-on", help="Training set or file, for the time.")] = None,
    rows: Annotated[int | None, typer.Option("--rows", min=1, max=10**9, help="Or its size: rows.")] = None,
    tokens_per_row: Annotated[float | None, typer.Option("--tokens-per-row", min=2, help="And tokens in each.")] = None,
    epochs: Epochs = 3,
    probe: Probe = False,
    every_method: Annotated[bool, typer.Option("--all-methods", help="All methods on the usual cards.")] = False,
    data: DataDir = None,
    as_json: Json = False,
) -> None:
    """Predict peak memory, item by item, and what fits, from the model's configuration alone."""
    if (rows is None) != (tokens_per_row is None):
        raise typer.BadParameter("give --rows and --tokens-per-row together")
    if train_on is not None and rows is not None:
        raise typer.BadParameter("give --train-on, or --rows and --tokens-per-row, not both")
    from slimnb.planning.memory import Setup, parse_memory

    there_is = parse_memory(memory) if memory else None
    from slimnb.data.load import data_directory
    from slimnb.planning import plan as planning
    from slimnb.planning.architecture import read_architecture

    chosen: Any = device or ("cuda" if every_method else device_here())
    setup = Setup(method, rank, batch_size, length, optimizer, checkpointing, chosen)
    architecture = read_architecture(model)
    if every_method:
        peaks = planning.all_methods(architecture, setup)
        if as_json:
            print_json(planning.cards_document(model, peaks, setup))
        else:
            print_table(planning.cards_table(model, peaks, setup))
        return
    work = None
    if rows is not None and tokens_per_row is not None:
        work = planning.Work(rows, tokens_per_row, epochs)
    elif train_on is not None:
        from slimnb.planning.probe import count_work

        work = count_work(model, train_on, data_directory(data), length, epochs)
    rate, no_rate = None, "no rate was measured: add --probe"
    if probe:
        from slimnb.planning.probe import try_rate

        rate, no_rate = try_rate(model, setup, device_here(), round(work.tokens_per_row) if work else length)
    there_is = there_is or free_memory(chosen)
    made = planning.make_plan(architecture, setup, there_is, work, rate, no_rate, train_on or "NAME")
    if as_json:
        print_json(made.document())
    else:
        print_table(planning.plan_table(made))
        for line in planning.plan_lines(made):
            print(line)


def device_here() -> str:
    """What PyTorch would use. Without NVIDIA's driver that is the CPU, and PyTorch need not be asked."""
    try:
        CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def free_memory(device: str) -> int:
    """What is free on this machine."""
    if device == "cuda":
        if device_here() != "cuda":
            raise SlimnbError("there is no CUDA here whose memory could be asked for: add --memory, such as 24GB")
        import torch

        return torch.cuda.mem_get_info()[0]
    import psutil

    return psutil.virtual_memory().available
