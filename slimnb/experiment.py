"""One run from its configuration to its finished folder, in this process.

A run that must not disturb others (a study's) is started in a process of its own; see slimnb.study.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch

from slimnb.benchmarks import Benchmark, Questions, get_benchmark
from slimnb.config import RunConfig
from slimnb.contamination import explain, overlap
from slimnb.environment import describe
from slimnb.errors import OutOfMemory, SlimnbError
from slimnb.evaluate import evaluate
from slimnb.files import append_json_line, atomic_path, write_json
from slimnb.models import LoadedModel, add_lora, load_model, parameter_counts, require_four_bit, weights_bytes
from slimnb.peak import PeakMemory
from slimnb.progress import console, progress_bar
from slimnb.quiet import known_noise_hidden
from slimnb.records import BenchmarkResult, Costs, Lineage
from slimnb.runs import HEARTBEAT_SECONDS, RunFolder
from slimnb.tokens import as_chat
from slimnb.train import Step, train
from slimnb.training_sets import Example, Examples, load_training_set


def run(config: RunConfig, root: Path, study: str, data: Path | None = None) -> RunFolder:
    """Carry out a run and give its folder, with status `completed`.

    Benchmarks' names and the ability to quantize are checked before the folder is made.

    Args:
        data: the data directory; None loads from the Hub.

    Raises:
        SlimnbError: something is missing or wrong; the folder, if made, says `failed`.
        OutOfMemory: the folder says `out_of_memory`.
        KeyboardInterrupt: the folder says `cancelled`.
    """
    if config.four_bit:
        require_four_bit()
    benchmarks = [get_benchmark(name) for name in config.benchmarks]
    folder = RunFolder.create(root, study, config)
    try:
        with _heartbeat(folder):
            asked = [(benchmark, benchmark.load(data, config.shots, config.limit)) for benchmark in benchmarks]
            training = config.training
            examples = load_training_set(training.data, data, training.limit) if training else None
            if training and examples:
                found = {benchmark.name: overlap(examples.examples, questions) for benchmark, questions in asked}
                folder.write_contamination(found)
                for name, contamination in found.items():
                    if contamination.items_13gram:
                        console.print(explain(contamination, name, training.data), markup=False, highlight=False)
            _fill(folder, examples, asked)
    except KeyboardInterrupt:
        folder.finish("cancelled", "stopped by the user")
        raise
    except (MemoryError, torch.OutOfMemoryError) as error:
        folder.finish("out_of_memory", f"{type(error).__name__}: {error}")
        raise OutOfMemory(
            f"{folder.path}: out of memory. A smaller --batch-size, a lower --rank or --method qlora needs less"
        ) from error
    except Exception as error:
        folder.finish("failed", str(error) if isinstance(error, SlimnbError) else f"{type(error).__name__}: {error}")
        raise
    folder.finish("completed")
    return folder


def _fill(folder: RunFolder, examples: Examples | None, asked: list[tuple[Benchmark, Questions]]) -> None:
    config, record = folder.config, folder.record
    training_peak = PeakMemory(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    loaded = load_model(config.model, config.dtype, config.four_bit)
    record.lineage = Lineage(model=config.model, weights_sha256=loaded.weights_sha256, dtype=config.dtype)
    write_json(
        folder.path / "environment.json",
        {
            **describe(),
            "threads": torch.get_num_threads(),
            "weights_sha256": loaded.weights_sha256,
            "training_set": {"sha256": examples.sha256, "source": examples.source} if examples else None,
            "benchmarks": {benchmark.name: questions.data_sha256 for benchmark, questions in asked},
        },
    )
    costs = Costs()
    if examples is not None:
        loaded = _train(folder, loaded, examples, costs)
        costs.train_peak_bytes = training_peak.read()
    costs.weights_bytes = weights_bytes(loaded.model)
    record.costs = costs
    scoring_peak = PeakMemory(loaded.device)
    for benchmark, questions in asked:
        with progress_bar(f"{record.id}: {benchmark.name}", len(questions.items)) as advance:
            items, result = evaluate(loaded, benchmark, questions, advance, chat_template=config.chat_template)
        folder.write_items(benchmark.name, items, result)
        record.scores[benchmark.name] = result
        costs.eval_seconds = sum(score.seconds for score in record.scores.values())
        costs.eval_peak_bytes = scoring_peak.read()
        folder.save()
    _say_limits(record.scores)


def _train(folder: RunFolder, loaded: LoadedModel, examples: Examples, costs: Costs) -> LoadedModel:
    config = folder.config
    assert config.training is not None
    if config.lora:
        loaded = add_lora(loaded, config.lora, config.seed)
    else:
        # An update of full fine-tuning is often smaller than bfloat16 can tell two weights apart.
        loaded.model.float().requires_grad_(True)
    costs.total_parameters, costs.trainable_parameters = parameter_counts(loaded.model)
    log = (folder.path / "metrics.jsonl").open("w", encoding="utf-8")
    with log, progress_bar(f"{folder.record.id}: training", None) as advance:

        def on_step(step: Step, steps: int) -> None:
            append_json_line(log, asdict(step))
            advance(1, f"loss {step.loss:.3f}", steps)

        rows = examples.examples
        if config.chat_template:
            rows = [Example(as_chat(loaded.tokenizer, row.prompt), row.completion) for row in rows]
        mixed = config.lora is None and config.dtype == "bfloat16"
        result = train(loaded, rows, config.training, config.seed, on_step, mixed)
    if config.lora is None:
        loaded.model.to(getattr(torch, config.dtype))
    costs.train_seconds = result.seconds
    costs.steps, costs.examples = result.steps, result.examples
    costs.tokens, costs.label_tokens, costs.examples_left_out = (
        result.tokens,
        result.label_tokens,
        result.left_out,
    )
    save_trained(loaded, folder.path / ("adapter" if config.lora else "model"))
    return loaded


def save_trained(loaded: LoadedModel, place: Path) -> None:
    """Write the adapter (or, after full fine-tuning, the whole model) as PEFT's and transformers' own directories."""
    with atomic_path(place) as directory, known_noise_hidden():
        loaded.model.save_pretrained(directory)
        loaded.tokenizer.save_pretrained(directory)


def _say_limits(scores: dict[str, BenchmarkResult]) -> None:
    for name, result in scores.items():
        if result.hit_limit and result.hit_limit.k:
            console.print(
                f"{name}: {result.hit_limit.k} of {result.hit_limit.n} answers ran into the length limit",
                style="dim",
            )


@contextmanager
def _heartbeat(folder: RunFolder) -> Iterator[None]:
    """Keep run.json's heartbeat fresh while the block works, so that a killed run can be told from a slow one."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            try:
                folder.beat()
            except SlimnbError:
                return  # the main thread meets the same trouble and reports it

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
