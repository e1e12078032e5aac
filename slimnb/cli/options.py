"""Options that several commands share."""

# No postponed annotations here or beside: typer reads them at run time.
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from slimnb.io.places import DEFAULT_RUNS

# Not imported from slimnb.config, whose pydantic would slow `slimnb --help` down.
MethodName = Literal["base", "lora", "qlora", "full"]
DtypeName = Literal["bfloat16", "float32", "float16"]

ScheduleName = Literal["cosine", "constant"]
OptimizerName = Literal["adamw", "paged_adamw_8bit"]
KeepName = Literal["last", "best"]
InitName = Literal["zero", "pissa", "loftq"]
FourBitName = Literal["nf4", "fp4"]

TRAINING, ADAPTER = "Training", "LoRA and QLoRA"
"""Panels of `slimnb run --help`."""


def Train(name: str, text: str, **more: Any) -> Any:  # noqa: N802  it stands where typer.Option would
    return typer.Option(name, help=text, rich_help_panel=TRAINING, **more)


def Adapter(name: str, text: str, **more: Any) -> Any:  # noqa: N802
    return typer.Option(name, help=text, rich_help_panel=ADAPTER, **more)


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document to standard output.")]
DataDir = Annotated[Path | None, typer.Option("--data", help="Directory of data sets; else SLIMNB_DATA, else the Hub.")]
RunsDir = Annotated[Path, typer.Option("--runs", help="Directory of run folders.")]
Benchmarks = Annotated[str, typer.Option("--benchmarks", help="Names, separated by commas (`slimnb data` lists them).")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Score only the first N items.")]
Shots = Annotated[int | None, typer.Option("--shots", min=0, help="Worked examples in the prompt.")]
ChatTemplate = Annotated[bool, typer.Option("--chat-template", help="Ask in the model's own chat form.")]
Columns = Annotated[str, typer.Option("--columns", help="For a file: prompt=NAME,completion=NAME (see `slimnb run`).")]
Rank = Annotated[int, typer.Option("--rank", min=1, max=10**6, help="LoRA's rank.")]
Length = Annotated[int, typer.Option("--length", min=2, max=10**6, help="Tokens of the longest example.")]
Epochs = Annotated[float, typer.Option("--epochs", min=0.001, max=1e9, help="Passes over the rows.")]
Memory = Annotated[str | None, typer.Option("--memory", help="As 16GB or 16GiB; else this machine's.")]
Probe = Annotated[bool, typer.Option("--probe", help="Measure this machine's speed: train for 10 seconds.")]
ModelName = Annotated[str, typer.Option("--model", help="Offline model, Hub id or directory.")]
RUNS = DEFAULT_RUNS


def names(listed: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in listed.split(",") if name.strip())
    if not names:
        raise typer.BadParameter("name at least one benchmark: --benchmarks hellaswag,gsm8k,mmlu_cs")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise typer.BadParameter(f"named twice: {', '.join(twice)}")
    return names


def item_limits(listed: str) -> dict[str, int]:
    """gsm8k=100,hellaswag=50 -> a benchmark to the number of its items."""
    pairs = [pair.partition("=") for pair in listed.split(",") if pair.strip()]
    if wrong := [
        name for name, _, count in pairs if not (name.strip() and count.strip().isdecimal() and len(count.strip()) < 10)
    ]:
        raise typer.BadParameter(f"{wrong[0]}: write --limits NAME=ITEMS,NAME=ITEMS")
    return {name.strip(): int(count) for name, _, count in pairs}


def column_names(listed: str) -> dict[str, str]:
    """prompt=question,completion=answer -> slimnb's name of a column to the file's."""
    pairs = [pair.partition("=") for pair in listed.split(",") if pair.strip()]
    if wrong := [name for name, sign, column in pairs if not (sign and name.strip() and column.strip())]:
        raise typer.BadParameter(f"{wrong[0]}: write --columns prompt=NAME,completion=NAME")
    return {name.strip(): column.strip() for name, _, column in pairs}


def layer_names(listed: str | None) -> str | tuple[str, ...] | None:
    """`all-linear` as it is, which PEFT knows; anything else as layers' names."""
    return listed if listed in (None, "all-linear") else names(listed)
