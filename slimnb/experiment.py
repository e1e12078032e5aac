"""One run from its configuration to its finished folder, in this process.

A run that was interrupted goes on: training from its newest checkpoint, scoring behind the last benchmark that is
whole. Several processes (`accelerate launch -m slimnb run ...`) share the work, and one writes the folder. A run that
must not disturb others (a study's) is started in a process of its own; see slimnb.study.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError

from slimnb.benchmarks import Benchmark, Questions, get_benchmark
from slimnb.compute.peak import give_back_memory, peak_bytes, reset_peak
from slimnb.compute.sharding import is_sharded, refuse_sharding, shard, sharding_wanted, whole_weights
from slimnb.config import RunConfig
from slimnb.errors import OUT_OF_MEMORY_ADVICE, OutOfMemory, SlimnbError
from slimnb.evaluation.evaluate import evaluate
from slimnb.io.files import atomic_path
from slimnb.machine.attempts import earlier_attempts
from slimnb.machine.contention import Contention
from slimnb.machine.determinism import not_repeatable_because
from slimnb.machine.environment import describe
from slimnb.machine.processes import Processes
from slimnb.machine.progress import console, progress_bar
from slimnb.machine.quiet import known_noise_hidden
from slimnb.models.load import (
    LoadedModel,
    add_lora,
    load_adapter,
    load_model,
    parameter_counts,
    require_four_bit,
    weights_bytes,
)
from slimnb.models.merge import lineage
from slimnb.models.pissa import save_as_lora
from slimnb.store.records import BenchmarkResult
from slimnb.store.runs import HEARTBEAT_SECONDS, RunFolder
from slimnb.training.checkpoint import Checkpoints
from slimnb.training.contamination import explain, overlap
from slimnb.training.loop import Step, train
from slimnb.training.training_sets import Examples, load_training_set, render


def run(
    config: RunConfig,
    root: Path,
    study: str,
    data: Path | None = None,
    checkpoint_steps: int | None = None,
    checkpoint_minutes: float | None = 5.0,
) -> RunFolder:
    """Carry out a run, or what is missing of one that was interrupted, and give its folder with status `completed`.

    Benchmarks' names and the ability to quantize are checked before the folder is made.

    Args:
        data: the data directory; None loads from the Hub.
        checkpoint_steps, checkpoint_minutes: how often training is kept; see slimnb.training.checkpoint.

    Raises:
        SlimnbError: something is missing or wrong; the folder, if made, says `failed`.
        OutOfMemory: the folder says `out_of_memory`.
        KeyboardInterrupt: the folder says `cancelled`.
    """
    if config.four_bit:
        require_four_bit()
        refuse_sharding()
    benchmarks = [get_benchmark(name) for name in config.benchmarks]
    processes = Processes()
    console.quiet = not processes.is_main
    folder = RunFolder.create(root, study, config) if processes.is_main else None
    processes.wait()
    folder = folder or RunFolder.join(root, study, config)
    checkpoints = Checkpoints(folder.path / "checkpoints", checkpoint_steps, checkpoint_minutes)
    try:
        with _heartbeat(folder):
            asked = [
                (benchmark, benchmark.load(data, config.shots, config.limit_of(benchmark.name)))
                for benchmark in benchmarks
            ]
            training = config.training
            examples = load_training_set(training.data, data, training.limit, training.columns) if training else None
            _fill(folder, examples, asked, checkpoints)
    except KeyboardInterrupt:
        folder.finish("cancelled", "stopped by the user")
        raise
    except (MemoryError, torch.OutOfMemoryError) as error:
        folder.finish("out_of_memory", f"{type(error).__name__}: {error}")
        raise OutOfMemory(f"{folder.path}: out of memory. {OUT_OF_MEMORY_ADVICE}") from error
    except Exception as error:
        folder.finish("failed", str(error) if isinstance(error, SlimnbError) else f"{type(error).__name__}: {error}")
        raise
    folder.finish("completed")
    give_back_memory()
    return folder


def _fill(
    folder: RunFolder,
    examples: Examples | None,
    asked: list[tuple[Benchmark, Questions]],
    checkpoints: Checkpoints,
) -> None:
    config, record = folder.config, folder.record
    reset_peak(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    loaded = load_model(config.model, config.dtype, config.four_bit, _first_device())
    record.lineage = lineage(config, loaded)
    _start_from_the_same(folder, loaded, examples, asked)
    if examples is not None:
        _look_for_test_items(folder, examples, asked)
        loaded = _trained(folder, loaded, examples, checkpoints)
    _shard_if_wanted(loaded)
    record.costs.weights_bytes = weights_bytes(loaded.model)
    reset_peak(loaded.device)
    contention = Contention()
    for benchmark, questions in asked:
        if _scored(folder, benchmark, questions):
            continue
        with progress_bar(f"{record.id}: {benchmark.name}", len(questions.items)) as advance:
            items, result = evaluate(loaded, benchmark, questions, advance, chat_template=config.chat_template)
        folder.write_items(benchmark.name, items, result)
        record.costs.eval_seconds = sum(score.seconds for score in record.scores.values())
        record.costs.eval_peak_bytes = max(record.costs.eval_peak_bytes or 0, peak_bytes(loaded.device))
        record.costs.eval_contention = _if_alone(contention)
        folder.save()
    _say_limits(record.scores)


def _start_from_the_same(
    folder: RunFolder, loaded: LoadedModel, examples: Examples | None, asked: list[tuple[Benchmark, Questions]]
) -> None:
    """Write what the run's numbers depend on. An earlier attempt with other weights, data or versions is forgotten."""
    now = {
        **describe(),
        "threads": torch.get_num_threads(),
        "processes": Processes().count,
        "not_repeatable_because": not_repeatable_because(loaded.device),
        "weights_sha256": loaded.weights_sha256,
        "training_set": {"sha256": examples.sha256, "source": examples.source} if examples else None,
        "benchmarks": {benchmark.name: questions.data_sha256 for benchmark, questions in asked},
    }
    earlier = folder.environment()
    trained = any(any(folder.path.glob(part)) for part in ("checkpoints/step-*", "adapter", "model"))
    if any(earlier and earlier.get(key) != now[key] for key in ("weights_sha256", "training_set", "packages")):
        console.print(f"{folder.path}: begun with other weights, data or packages; starting anew", highlight=False)
        folder.forget()
    elif earlier and trained and (machines := earlier_attempts(earlier, now)):
        now["earlier_attempts"] = machines  # what was trained on them goes on, and so do its seconds
    folder.write_environment(now)


def _look_for_test_items(folder: RunFolder, examples: Examples, asked: list[tuple[Benchmark, Questions]]) -> None:
    found = {benchmark.name: overlap(examples.examples, questions) for benchmark, questions in asked}
    folder.write_contamination(found)
    for name, contamination in found.items():
        if contamination.items_13gram and folder.writes:
            text = explain(contamination, name, folder.config.training.data if folder.config.training else "")
            console.print(text, markup=False, highlight=False)


def _scored(folder: RunFolder, benchmark: Benchmark, questions: Questions) -> bool:
    """Whether an earlier attempt has asked just these questions."""
    result = folder.record.scores.get(benchmark.name)
    if result is None:
        return False
    if folder.config.chat_template or result.prompts_sha256 != questions.prompts_sha256:
        return False  # the hash of a chat's prompts is known only with the tokenizer: ask again
    return (folder.path / "eval" / benchmark.name / "items.parquet").exists()


def _trained(folder: RunFolder, base: LoadedModel, examples: Examples, checkpoints: Checkpoints) -> LoadedModel:
    """The trained model: read, where an earlier attempt came so far, or trained now."""
    config = folder.config
    pissa = config.lora is not None and config.lora.init == "pissa"
    place = folder.path / ("adapter" if config.lora else "model")
    loaded = None
    if not place.exists():
        loaded = _train(folder, base, examples, checkpoints)
        folder.save()
        split = config.lora is None and is_sharded(loaded.model)
        weights = whole_weights(loaded.model, getattr(torch, config.dtype)) if split else None
        if Processes().is_main:
            save_trained(loaded, place, weights)
        Processes().wait()
        if pissa:
            base = load_model(config.model, config.dtype, device=_first_device())  # PiSSA has changed its weights
        if pissa or split:
            loaded = None
    checkpoints.clear()
    if loaded:
        return loaded
    return load_adapter(base, place) if config.lora else load_model(str(place), config.dtype, device=_first_device())


def _first_device() -> str | None:
    """Where weights are loaded: a model that is to be split may be too large for a GPU."""
    return "cpu" if sharding_wanted() else None


def _shard_if_wanted(loaded: LoadedModel) -> None:
    if sharding_wanted() and not is_sharded(loaded.model):
        shard(loaded.model)


def _train(folder: RunFolder, loaded: LoadedModel, examples: Examples, checkpoints: Checkpoints) -> LoadedModel:
    config, costs = folder.config, folder.record.costs
    assert config.training is not None
    if config.lora:
        loaded = add_lora(loaded, config.lora, config.seed)
    else:
        # An update of full fine-tuning is often smaller than bfloat16 can tell two weights apart.
        loaded.model.float().requires_grad_(True)
    costs.total_parameters, costs.trainable_parameters = parameter_counts(loaded.model)
    _shard_if_wanted(loaded)
    with folder.metrics_log() as log, progress_bar(f"{folder.record.id}: training", None) as advance:
        shown = 0

        def on_step(step: Step, steps: int) -> None:
            nonlocal shown
            log(asdict(step))
            advance(step.step - shown, f"loss {step.loss:.3f}", steps)  # the first after a resume is not step 1
            shown = step.step

        rows = [render(row, loaded.tokenizer, config.chat_template) for row in examples.examples]
        mixed, contention = config.dtype == "bfloat16", Contention()
        result = train(loaded, rows, config.training, config.seed, on_step, mixed, checkpoints)
    if config.lora is None and not is_sharded(loaded.model):
        loaded.model.to(getattr(torch, config.dtype))
    costs.train_seconds, costs.train_peak_bytes = result.seconds, result.peak_bytes
    costs.train_contention = _if_alone(contention)
    costs.steps, costs.examples, costs.examples_left_out = result.steps, result.examples, result.left_out
    costs.tokens, costs.label_tokens = result.tokens, result.label_tokens
    return loaded


def _if_alone(contention: Contention) -> float | None:
    """The share that others took; not known where this run's own processes would count as others."""
    return contention.share() if Processes().count == 1 else None


def save_trained(loaded: LoadedModel, place: Path, weights: dict[str, torch.Tensor] | None = None) -> None:
    """Write the adapter (or, after full fine-tuning, the whole model) as PEFT's and transformers' own directories.

    Args:
        weights: those of a model whose own are split over processes.

    Raises:
        SlimnbError: the disk is full, or the place cannot be written.
    """
    for config in getattr(loaded.model, "peft_config", {}).values():
        if isinstance(config.target_modules, set):  # whose order is another in each process
            config.target_modules = sorted(config.target_modules)
    try:
        with atomic_path(place) as directory, known_noise_hidden():
            if loaded.initial is None:
                loaded.model.save_pretrained(directory, state_dict=weights)
            else:
                save_as_lora(loaded.model, loaded.initial, directory)
            loaded.tokenizer.save_pretrained(directory)
    except SafetensorError as error:  # a full disk, for one: no OSError
        raise SlimnbError(f"{place}: cannot be written ({error})") from error


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
