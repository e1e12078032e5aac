"""The `slimnb` command: a thin skin over the package. With --json standard output holds one JSON document."""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from slimnb.errors import SlimnbError

# Everything heavier is imported within the commands, so that `slimnb --help` answers at once.
MethodName = Literal["base", "lora", "qlora", "full"]
DtypeName = Literal["bfloat16", "float32"]

app = typer.Typer(
    help="Fine-tune a language model cheaply, and know what you gained, what it cost and what was lost.",
    no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip
study_app = typer.Typer(help="A grid of runs from a YAML file.", no_args_is_help=True)
models_app = typer.Typer(help="Models that are available, and how to get one.", invoke_without_command=True)
app.add_typer(study_app, name="study")
app.add_typer(models_app, name="models")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document to standard output.")]
DataDir = Annotated[Path | None, typer.Option("--data", help="Directory of data sets; else SLIMNB_DATA, else the Hub.")]
RunsDir = Annotated[Path, typer.Option("--runs", help="Directory of run folders.")]
Benchmarks = Annotated[str, typer.Option("--benchmarks", help="Names, separated by commas (`slimnb data` lists them).")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Score only the first N items.")]
Shots = Annotated[int | None, typer.Option("--shots", min=0, help="Worked examples in the prompt.")]
RUNS = Path("data/runs")


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks (may stand anywhere).")] = False,
) -> None:
    """Only declares --debug, which main() has taken out by now."""


@app.command()
def run(
    model: Annotated[str, typer.Option("--model", help="Offline model, Hub id or directory.")] = "smollm2-135m",
    method: Annotated[MethodName, typer.Option("--method", help="What is done to the model.")] = "base",
    train_on: Annotated[str | None, typer.Option("--train-on", help="Training set or JSON Lines file.")] = None,
    train_limit: Annotated[int | None, typer.Option("--train-limit", min=1, help="Use the first N rows.")] = None,
    epochs: Annotated[float | None, typer.Option("--epochs", help="Passes over the rows (default 3).")] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Optimizer steps, instead of epochs.")] = None,
    rank: Annotated[int | None, typer.Option("--rank", help="LoRA's rank (default 16).")] = None,
    alpha: Annotated[float | None, typer.Option("--alpha", help="LoRA's alpha (default twice the rank).")] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="Peak learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Examples a step (default 8).")] = None,
    max_length: Annotated[int | None, typer.Option("--max-length", help="Longest example in tokens (1024).")] = None,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    dtype: Annotated[DtypeName, typer.Option("--dtype", help="Of weights and computation.")] = "bfloat16",
    benchmarks: Benchmarks = "",
    limit: Limit = None,
    shots: Shots = None,
    data: DataDir = None,
    runs: RunsDir = RUNS,
    name: Annotated[str, typer.Option("--name", help="The study that the run belongs to.")] = "default",
    config: Annotated[
        Path | None, typer.Option("--config", help="A run's config.json, in place of all the options above.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print no table at the end.")] = False,
    as_json: Json = False,
) -> None:
    """Train (unless the method is base), score, and save everything in a run folder."""
    from slimnb.config import load_run_config, make_run_config
    from slimnb.data import data_directory
    from slimnb.runs import RunFolder

    if config is not None:
        chosen = load_run_config(config)
    else:
        chosen = make_run_config(
            model=model, method=method, train_on=train_on, train_limit=train_limit, epochs=epochs, steps=steps,
            rank=rank, alpha=alpha, learning_rate=learning_rate, batch_size=batch_size, max_length=max_length,
            seed=seed, dtype=dtype, benchmarks=_names(benchmarks), limit=limit, shots=shots,
        )  # fmt: skip
    place = runs / name / chosen.run_id
    try:
        folder = RunFolder.read(place)
    except SlimnbError:
        folder = None
    if folder and folder.record.status == "completed":
        _say(f"{place}: this run is complete already; give another --name to run it again")
    else:
        from slimnb.experiment import run as carry_out

        folder = carry_out(chosen, runs, name, data_directory(data))
    if as_json:
        _print_json(_run_summary(folder))
    elif not quiet:
        from slimnb.tables import study_table

        _print_table(study_table([folder], str(place)))


@app.command("eval")
def evaluate(
    model: Annotated[str, typer.Option("--model", help="Offline model, Hub id or directory.")] = "smollm2-135m",
    adapter: Annotated[Path | None, typer.Option("--adapter", help="PEFT directory to put on the model.")] = None,
    benchmarks: Benchmarks = "",
    limit: Limit = None,
    shots: Shots = None,
    dtype: Annotated[DtypeName, typer.Option("--dtype", help="Of weights and computation.")] = "bfloat16",
    data: DataDir = None,
    items: Annotated[Path | None, typer.Option("--items", help="Write the items to this Parquet file.")] = None,
    as_json: Json = False,
) -> None:
    """Score a model, without making a run folder."""
    from slimnb.benchmarks import get_benchmark
    from slimnb.data import data_directory

    directory = data_directory(data)
    asked = [(name, get_benchmark(name).load(directory, shots, limit)) for name in _names(benchmarks)]

    import pandas as pd

    from slimnb.environment import describe
    from slimnb.evaluate import evaluate as score
    from slimnb.models import load_adapter, load_model
    from slimnb.progress import progress_bar
    from slimnb.runs import write_parquet

    loaded = load_model(model, dtype)
    if adapter is not None:
        loaded = load_adapter(loaded, adapter)
    results, tables = {}, []
    for name, questions in asked:
        with progress_bar(name, len(questions.items)) as advance:
            table, results[name] = score(loaded, get_benchmark(name), questions, advance)
        tables.append(table.assign(benchmark=name))
    if items is not None:
        write_parquet(items, pd.concat(tables, ignore_index=True))
    if as_json:
        _print_json(
            {
                "benchmarks": {name: result.model_dump(mode="json") for name, result in results.items()},
                "model": {
                    "name": model, "dtype": dtype, "weights_sha256": loaded.weights_sha256,
                    "adapter": str(adapter) if adapter else None,
                },
                "environment": describe(),
            }
        )  # fmt: skip
    else:
        from slimnb.tables import results_table

        _print_table(results_table(results))


@study_app.command("run")
def study_run(file: Path, runs: RunsDir = RUNS, data: DataDir = None) -> None:
    """Carry out what a study has not completed, then print its table."""
    from slimnb.config import load_study
    from slimnb.data import data_directory
    from slimnb.runs import RunFolder
    from slimnb.study import run_study
    from slimnb.tables import study_table

    study = load_study(file)
    done = list(run_study(study, runs, data_directory(data)))
    complete = [RunFolder.read(cell.path) for cell in done if cell.status == "completed"]
    if complete:
        _print_table(study_table(complete, f"Study {study.name}: {study.model}"))
    failed = [f"{cell.config.run_id}: {cell.status}" + (f", {cell.error}" if cell.error else "") for cell in done
              if cell.status != "completed"]  # fmt: skip
    if failed:
        raise SlimnbError("not complete:\n  " + "\n  ".join(failed))


@study_app.command("status")
def study_status(file: Path, runs: RunsDir = RUNS) -> None:
    """List a study's runs and how far each is."""
    from slimnb.config import load_study
    from slimnb.study import cells

    for cell in cells(load_study(file), runs):
        print(f"{cell.status:14} {cell.config.run_id}" + (f"  {cell.error}" if cell.error else ""))


@app.command("runs")
def list_runs(runs: RunsDir = RUNS, as_json: Json = False) -> None:
    """List the runs of a directory."""
    from slimnb.runs import scan
    from slimnb.tables import runs_table

    found, broken = scan(runs)
    if as_json:
        _print_json([*map(_run_summary, found), *({"id": b.path.name, "path": str(b.path), "study": b.path.parent.name,
                     "status": "broken", "method": None, "scores": {}, "costs": {}, "error": b.reason}
                     for b in broken)])  # fmt: skip
    elif found or broken:
        _print_table(runs_table(found, broken))
    else:
        _say(f"no runs under {runs}: `slimnb run` makes one, `make demo` makes four")


@models_app.callback()
def models(context: typer.Context, as_json: Json = False) -> None:
    """List the models that work without the Hub."""
    if context.invoked_subcommand is not None:
        return
    from slimnb.models import home
    from slimnb.offline_models import OFFLINE_MODELS

    rows = [
        {"name": m.name, "title": m.title, "parameters": m.parameters, "licence": m.licence, "source": m.source,
         "prepared": (home() / "models" / m.name).is_dir()} for m in OFFLINE_MODELS.values()
    ]  # fmt: skip
    _print_rows(rows, as_json)
    if not as_json:
        _say("A local directory in transformers' form or a Hub id works as well.")


@models_app.command("get")
def models_get(name: str, as_json: Json = False) -> None:
    """Prepare or download a model and print where it is."""
    from slimnb.models import get_model, weights_sha256

    place = get_model(name)
    if as_json:
        _print_json({"name": name, "path": str(place), "sha256": weights_sha256(place)})
    else:
        print(place)


@app.command("data")
def list_data(data: DataDir = None, as_json: Json = False) -> None:
    """List data sets: where rows come from, how many, and under which licence."""
    from slimnb.benchmarks import BENCHMARKS
    from slimnb.data import DATA_SETS, availability, data_directory
    from slimnb.training_sets import TRAINING_SETS

    directory = data_directory(data)
    rows = []
    for name, one in DATA_SETS.items():
        origin, count = availability(one, directory)
        rows.append({
            "data set": name, "from": origin, "rows": count, "licence": one.licence, "hub": one.hub,
            "benchmarks": [b.name for b in BENCHMARKS.values() if name in b.data],
            "training sets": [t.name for t in TRAINING_SETS.values() if t.data == name],
        })  # fmt: skip
    _print_rows(rows, as_json)


@app.command()
def doctor(data: DataDir = None) -> None:
    """Check versions, device, memory, model, data and Hub; exit status 1 when the demo could not run."""
    from slimnb.data import data_directory
    from slimnb.doctor import examine

    findings = []
    for finding in examine(data_directory(data)):
        print(f"{'ok ' if finding.ok else 'NO '} {finding.name}: {finding.text}", flush=True)
        findings.append(finding)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def main() -> None:
    """Entry point: a SlimnbError is told in words with exit status 1; --debug, anywhere, shows its traceback."""
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]
    try:
        app()
    except Exception as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, SlimnbError):
            _say(f"Error: {error}")
        else:
            _say(f"Error: {type(error).__name__}: {error} (a fault of slimnb's; --debug shows where)")
        sys.exit(1)


def _names(listed: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in listed.split(",") if name.strip())
    if not names:
        raise typer.BadParameter("name at least one benchmark: --benchmarks hellaswag,gsm8k,mmlu_cs")
    return names


def _run_summary(folder: Any) -> dict[str, Any]:
    record = folder.record.model_dump(mode="json")
    kept = {key: record[key] for key in ("id", "study", "status", "method", "scores", "costs", "error")}
    return {**kept, "path": str(folder.path)}


def _print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        _print_json(rows)
        return
    from rich.table import Table

    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(", ".join(v) if isinstance(v, list) else "" if v is None else str(v) for v in row.values()))
    _print_table(table)


def _print_table(table: Any) -> None:
    """In a terminal as wide as it is; elsewhere wide enough that no cell wraps."""
    Console(width=None if sys.stdout.isatty() else 110).print(table)


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def _say(text: str) -> None:
    print(text, file=sys.stderr)
