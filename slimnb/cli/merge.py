"""`slimnb merge`."""

import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from slimnb.cli.options import RUNS, Json, RunsDir
from slimnb.cli.output import print_json, say

LOSS = (
    "Quantized again after merging, a model loses accuracy that it has unmerged and merged at 16 bits: score it before "
    "you use it."
)


def merge(
    run: Annotated[str, typer.Argument(help="A finished LoRA or QLoRA run, by id or directory.")],
    out: Annotated[Path, typer.Argument(help="Directory for the model, new or empty.")],
    to: Annotated[
        Literal["16bit", "4bit"],
        typer.Option("--to", help="Keep the run's precision, or quantize the merged weights to NF4."),
    ],
    runs: RunsDir = RUNS,
    as_json: Json = False,
) -> None:
    """Merge a run's adapter into its base's weights and write a plain transformers model."""
    from slimnb.models.merge import merge_run, origin
    from slimnb.store.runs import find

    folder = find(runs, run)
    place = merge_run(folder, to, out)
    scoring = _score_it(folder.config, place, runs)
    if as_json:
        found = origin(place)
        assert found is not None
        loss = {"note": LOSS} if to == "4bit" else {}
        print_json({"path": str(place), **found.model_dump(mode="json"), "score_with": scoring, **loss})
        return
    print(place)
    say(f"{folder.record.id} merged, {f'in {folder.config.dtype}' if to == '16bit' else 'in 4 bits (NF4)'}.")
    if to == "4bit":
        say(LOSS)
    say(f"Score it apart:  {scoring}\nThen compare it: slimnb compare {folder.record.id} THAT_RUN")


def _score_it(config: Any, place: Path, runs: Path) -> str:
    """The command that asks the merged model what the run was asked."""
    words = ["slimnb", "run", "--method", "base", "--model", str(place), "--dtype", config.dtype]
    words += ["--benchmarks", ",".join(config.benchmarks)]
    limits = ",".join(f"{name}={limit}" for name, limit in config.limits.items()) or None
    for option, value in (("--limit", config.limit), ("--limits", limits), ("--shots", config.shots)):
        words += [] if value is None else [option, str(value)]
    words += ["--chat-template"] if config.chat_template else []
    words += [] if runs == RUNS else ["--runs", str(runs)]
    return shlex.join(words)
