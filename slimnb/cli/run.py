"""`slimnb run` and `slimnb eval`."""

from pathlib import Path
from typing import Annotated

import typer

from slimnb.cli.options import (
    ADAPTER,
    RUNS,
    Adapter,
    Benchmarks,
    ChatTemplate,
    DataDir,
    DtypeName,
    FourBitName,
    InitName,
    Json,
    KeepName,
    Limit,
    MethodName,
    ModelName,
    OptimizerName,
    RunsDir,
    ScheduleName,
    Shots,
    Train,
    column_names,
    item_limits,
    layer_names,
    names,
)
from slimnb.cli.output import print_json, print_table, run_summary, say
from slimnb.errors import SlimnbError


def run(
    model: ModelName = "smollm2-135m",
    method: Annotated[MethodName, typer.Option("--method", help="What is done to the model.")] = "base",
    train_on: Annotated[str | None, Train("--train-on", "Training set, or a JSON Lines, CSV or Parquet file.")] = None,
    columns: Annotated[
        str, Train("--columns", "For a file: slimnb's names of its columns, as prompt=question,completion=answer.")
    ] = "",
    train_limit: Annotated[int | None, Train("--train-limit", "Use the first N rows.", min=1)] = None,
    epochs: Annotated[float | None, Train("--epochs", "Passes over the rows (default 3).")] = None,
    steps: Annotated[int | None, Train("--steps", "Optimizer steps, instead of epochs.", min=1)] = None,
    label_tokens: Annotated[
        int | None, Train("--label-tokens", "About so many tokens of answers, instead of epochs.", min=1)
    ] = None,
    learning_rate: Annotated[
        float | None, Train("--learning-rate", "Peak (default 1e-3, for method full 1e-4).")
    ] = None,
    batch_size: Annotated[int | None, Train("--batch-size", "Examples a step (default 8).")] = None,
    max_length: Annotated[int | None, Train("--max-length", "Longest example in tokens (default 1024).")] = None,
    schedule: Annotated[ScheduleName | None, Train("--schedule", "After the warm-up (default cosine).")] = None,
    warmup: Annotated[float | None, Train("--warmup", "Share of the steps (default 0.05).")] = None,
    optimizer: Annotated[OptimizerName | None, Train("--optimizer", "The 8-bit one needs CUDA.")] = None,
    gradient_checkpointing: Annotated[
        bool, Train("--gradient-checkpointing", "Less memory, a third to a half slower.")
    ] = False,
    validation: Annotated[float | None, Train("--validation", "Share of the rows to hold out.")] = None,
    patience: Annotated[
        int | None, Train("--patience", "Stop after N validations without a better one.", min=1)
    ] = None,
    keep: Annotated[KeepName | None, Train("--keep", "Weights of the last step or of the best validation.")] = None,
    rank: Annotated[int | None, Adapter("--rank", "LoRA's rank (default 16).")] = None,
    alpha: Annotated[float | None, Adapter("--alpha", "LoRA's alpha (default twice the rank).")] = None,
    dropout: Annotated[float | None, Adapter("--dropout", "On the adapter's input (default 0).")] = None,
    targets: Annotated[str | None, Adapter("--targets", "Layers, separated by commas (default all-linear).")] = None,
    rank_stabilized: Annotated[bool, Adapter("--rank-stabilized", "rsLoRA: scale by alpha / sqrt(rank).")] = False,
    dora: Annotated[bool, Adapter("--dora", "DoRA: learn magnitude and direction apart.")] = False,
    init: Annotated[InitName | None, Adapter("--init", "What the update starts from (default zero).")] = None,
    four_bit_kind: Annotated[FourBitName | None, Adapter("--four-bit-kind", "QLoRA's format (default nf4).")] = None,
    double_quantization: Annotated[
        bool | None, typer.Option(help="QLoRA: quantize the scales too (default).", rich_help_panel=ADAPTER)
    ] = None,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    dtype: Annotated[DtypeName, typer.Option("--dtype", help="Of weights and computation.")] = "bfloat16",
    benchmarks: Benchmarks = "",
    limit: Limit = None,
    limits: Annotated[str, typer.Option("--limits", help="The same by benchmark, as gsm8k=100,hellaswag=50.")] = "",
    shots: Shots = None,
    chat_template: ChatTemplate = False,
    data: DataDir = None,
    runs: RunsDir = RUNS,
    name: Annotated[str, typer.Option("--name", help="The study that the run belongs to.")] = "default",
    config: Annotated[
        Path | None, typer.Option("--config", help="A run's config.json, in place of all the options above.")
    ] = None,
    checkpoint_steps: Annotated[
        int | None, typer.Option("--checkpoint-steps", min=1, help="Keep the training every N steps.")
    ] = None,
    checkpoint_minutes: Annotated[
        float, typer.Option("--checkpoint-minutes", min=0.0, help="And every N minutes.")
    ] = 5.0,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print no table at the end.")] = False,
    as_json: Json = False,
) -> None:
    """Train (unless the method is base), score, and save everything in a run folder.

    A run that was interrupted goes on where it stopped: give the same command again.
    """
    from slimnb.config import load_run_config, make_run_config
    from slimnb.data.load import data_directory
    from slimnb.store.runs import RunFolder

    if config is not None:
        chosen = load_run_config(config)
    else:
        chosen = make_run_config(
            model=model, method=method, train_on=train_on, columns=column_names(columns) or None,
            train_limit=train_limit, epochs=epochs, steps=steps, label_tokens=label_tokens, learning_rate=learning_rate,
            batch_size=batch_size, max_length=max_length, schedule=schedule, warmup=warmup, optimizer=optimizer,
            gradient_checkpointing=gradient_checkpointing or None, validation=validation, patience=patience, keep=keep,
            rank=rank, alpha=alpha, dropout=dropout, targets=layer_names(targets),
            rank_stabilized=rank_stabilized or None, dora=dora or None, init=init, four_bit_kind=four_bit_kind,
            double_quantization=double_quantization, seed=seed, dtype=dtype, benchmarks=names(benchmarks), limit=limit,
            limits=item_limits(limits), shots=shots, chat_template=chat_template,
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

        folder = carry_out(chosen, runs, name, data_directory(data), checkpoint_steps, checkpoint_minutes)
    if not folder.writes:
        return  # another of several processes says it
    if as_json:
        print_json(run_summary(folder))
    elif not quiet:
        from slimnb.analysis.tables import study_table

        print_table(study_table([folder], str(place)))


def evaluate(
    model: ModelName = "smollm2-135m",
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
    from slimnb.data.load import data_directory

    directory = data_directory(data)
    asked = [(name, get_benchmark(name).load(directory, shots, limit)) for name in names(benchmarks)]

    from functools import partial

    import pandas as pd

    from slimnb.analysis.tables import noise_table, results_table
    from slimnb.evaluation.evaluate import evaluate as score
    from slimnb.evaluation.noise import measure_noise
    from slimnb.machine.environment import describe
    from slimnb.machine.progress import progress_bar
    from slimnb.models.load import load_adapter, load_model
    from slimnb.store.runs import write_parquet

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
