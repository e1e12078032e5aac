"""Options that several commands share."""

# No postponed annotations here or beside: typer reads them at run time.
from pathlib import Path
from typing import Annotated, Literal

import typer

# Not imported from slimnb.config, whose pydantic would slow `slimnb --help` down.
MethodName = Literal["base", "lora", "qlora", "full"]
DtypeName = Literal["bfloat16", "float32"]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document to standard output.")]
DataDir = Annotated[Path | None, typer.Option("--data", help="Directory of data sets; else SLIMNB_DATA, else the Hub.")]
RunsDir = Annotated[Path, typer.Option("--runs", help="Directory of run folders.")]
Benchmarks = Annotated[str, typer.Option("--benchmarks", help="Names, separated by commas (`slimnb data` lists them).")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Score only the first N items.")]
Shots = Annotated[int | None, typer.Option("--shots", min=0, help="Worked examples in the prompt.")]
ChatTemplate = Annotated[bool, typer.Option("--chat-template", help="Ask in the model's own chat form.")]
RUNS = Path("data/runs")


def names(listed: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in listed.split(",") if name.strip())
    if not names:
        raise typer.BadParameter("name at least one benchmark: --benchmarks hellaswag,gsm8k,mmlu_cs")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise typer.BadParameter(f"named twice: {', '.join(twice)}")
    return names
