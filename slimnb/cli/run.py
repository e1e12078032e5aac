"""`slimnb run` and `slimnb eval`."""

from pathlib import Path
from typing import Annotated

import typer

from slimnb.cli.options import (
    RUNS,
    Benchmarks,
    ChatTemplate,
    DataDir,
    DtypeName,
    Json,
    Limit,
    MethodName,
    RunsDir,
    Shots,
    names,
)  # fmt: skip
from slimnb.cli.output import print_json, print_table, run_summary, say
from slimnb.errors import SlimnbError


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
    chat_template: ChatTemplate = False,
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
            seed=seed, dtype=dtype, benchmarks=names(benchmarks), limit=limit, shots=shots,
            chat_template=chat_template,
        )  # fmt: skip
    place = runs / name / chosen.run_id
    try:
        folder = RunFolder.read(place)
    except SlimnbError:
        folder = None
    if folder and folder.record.status == "completed":
        say(f"{place}: this run is complete already; give another --name to run it again")
    else:
        from slimnb.experiment import run as carry_out

        folder = carry_out(chosen, runs, name, data_directory(data))
    if as_json:
        print_json(run_summary(folder))
    elif not quiet:
        from slimnb.tables import study_table

        print_table(study_table([folder], str(place)))


def evaluate(
    model: Annotated[str, typer.Option("--model", help="Offline model, Hub id or directory.")] = "smollm2-135m",
    adapter: Annotated[Path | None, typer.Option("--adapter", help="PEFT directory to put on the model.")] = None,
    benchmarks: Benchmarks = "",
    limit: Limit = None,
    shots: Shots = None,
    chat_template: ChatTemplate = False,
    repeat: Annotated[
        int, typer.Option("--repeat", min=1, help="Evaluate so many times, and once in other batches: the noise.")
    ] = 1,
    dtype: Annotated[DtypeName, typer.Option("--dtype", help="Of weights and computation.")] = "bfloat16",
    data: DataDir = None,
    items: Annotated[Path | None, typer.Option("--items", help="Write the items to this Parquet file.")] = None,
    as_json: Json = False,
) -> None:
    """Score a model, without making a run folder."""
    from slimnb.benchmarks import get_benchmark
    from slimnb.data import data_directory

    directory = data_directory(data)
    asked = [(name, get_benchmark(name).load(directory, shots, limit)) for name in names(benchmarks)]

    from functools import partial

    import pandas as pd

    from slimnb.environment import describe
    from slimnb.evaluate import evaluate as score
    from slimnb.models import load_adapter, load_model
    from slimnb.noise import measure_noise
    from slimnb.progress import progress_bar
    from slimnb.runs import write_parquet
    from slimnb.tables import noise_table, results_table

    loaded = load_model(model, dtype)
    if adapter is not None:
        loaded = load_adapter(loaded, adapter)
    results, tables, noise = {}, [], {}
    for name, questions in asked:
        benchmark = get_benchmark(name)
        rounds = 1 if repeat == 1 else repeat + 1
        with progress_bar(name, rounds * len(questions.items)) as advance:
            ask = partial(score, loaded, benchmark, questions, advance, chat_template=chat_template)
            table, results[name] = ask()
            if repeat > 1:
                noise[name] = measure_noise(ask, table, benchmark.metrics, repeat)
        tables.append(table.assign(benchmark=name))
    if items is not None:
        # gold and prediction are numbers or text by benchmark
        write_parquet(items, pd.concat([t.astype({"gold": str, "prediction": str}) for t in tables], ignore_index=True))
    if as_json:
        described = {"name": model, "dtype": dtype, "weights_sha256": loaded.weights_sha256,
                     "adapter": str(adapter) if adapter else None}  # fmt: skip
        scores = {name: result.model_dump(mode="json") for name, result in results.items()}
        document = {"benchmarks": scores, "model": described, "environment": describe()}
        print_json(document | ({"noise": noise} if noise else {}))
    else:
        print_table(results_table(results))
        if noise:
            print_table(noise_table(noise))
