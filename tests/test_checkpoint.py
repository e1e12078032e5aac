"""A training that is killed goes on where its newest checkpoint stands, and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

import slimnb.experiment
import slimnb.training.checkpoint
import slimnb.training.loop
from slimnb.config import Lora, RunConfig, Training, make_run_config
from slimnb.errors import SlimnbError
from slimnb.models.load import LoadedModel, add_lora, load_model
from slimnb.store.runs import RunFolder
from slimnb.training.checkpoint import Checkpoints, Progress
from slimnb.training.loop import train
from slimnb.training.training_sets import Example

EXAMPLES = [Example(f"{i} and {i}?", f" {2 * i}") for i in range(24)]
STEPS = 12


def config(**changed: Any) -> RunConfig:
    options: dict[str, Any] = {
        "method": "lora", "model": "tiny", "dtype": "float32", "train_on": "workshop_math", "train_limit": 24,
        "steps": STEPS, "benchmarks": ("workshop_cs", "workshop_commonsense"), "limit": 8, "dropout": 0.1,
        "validation": 0.2,
    }  # fmt: skip
    return make_run_config(**(options | changed))


def carry_out(root: Path, chosen: RunConfig) -> RunFolder:
    return slimnb.experiment.run(chosen, root, "study", checkpoint_steps=3, checkpoint_minutes=None)


def dies(function: Callable[..., Any], times: int, *, after: bool = True) -> Callable[..., Any]:
    """The function, with a kill -9 of its process when it is called for the so-manieth time."""
    calls = 0

    def wrapped(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        result = function(*arguments, **named) if after or calls < times else None
        if calls == times:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return wrapped


def in_a_process_that_is_killed(work: Callable[[], Any]) -> None:
    """Run the work in a fork of this process and see it killed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on forks of processes with threads
        child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return carry_out(tmp_path_factory.mktemp("whole"), config())


dice = random.Random(20261124)
MOMENTS = [
    *[("in a step", slimnb.training.loop, "_add_gradients", dice.randint(2, STEPS)) for _ in range(3)],
    ("in a checkpoint's writing", slimnb.training.checkpoint, "save_file", 2),
    ("in the adapter's writing", PeftModel, "save_pretrained", 1),
    ("behind the adapter's writing", slimnb.experiment, "save_trained", 1),
    ("in evaluation", slimnb.experiment, "evaluate", 2),
]


@pytest.mark.parametrize(("moment", "module", "name", "times"), MOMENTS, ids=[f"{m[0]} {m[3]}" for m in MOMENTS])
def test_a_killed_run_ends_as_the_uninterrupted_one(
    uninterrupted: RunFolder, tmp_path: Path, moment: str, module: Any, name: str, times: int
) -> None:
    def work() -> None:
        setattr(module, name, dies(getattr(module, name), times))
        carry_out(tmp_path, config())

    in_a_process_that_is_killed(work)
    killed = RunFolder.read(tmp_path / "study" / config().run_id)
    assert killed.record.status == "interrupted"
    folder = carry_out(tmp_path, config())
    assert folder.record.status == "completed"
    assert folder.record.attempts == 2
    for file in ("adapter/adapter_model.safetensors", "adapter/adapter_config.json"):
        assert (folder.path / file).read_bytes() == (uninterrupted.path / file).read_bytes()
    for benchmark in config().benchmarks:
        assert folder.items(benchmark).equals(uninterrupted.items(benchmark))
    log, whole = folder.metrics(), uninterrupted.metrics()
    assert list(log["step"]) == list(range(1, STEPS + 1))
    assert list(log["loss"]) == list(whole["loss"])
    assert list(log["validation_loss"].dropna()) == list(whole["validation_loss"].dropna())
    assert folder.record.costs.examples == uninterrupted.record.costs.examples
    assert not (folder.path / "checkpoints").exists()
    assert not list(folder.path.rglob("*.tmp"))


def test_a_finished_benchmark_is_not_asked_again(
    uninterrupted: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    true_evaluate = slimnb.experiment.evaluate

    def evaluate(loaded: Any, benchmark: Any, *rest: Any, **more: Any) -> Any:
        asked.append(benchmark.name)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return true_evaluate(loaded, benchmark, *rest, **more)

    monkeypatch.setattr(slimnb.experiment, "evaluate", evaluate)
    with pytest.raises(KeyboardInterrupt):
        carry_out(tmp_path, config())
    folder = carry_out(tmp_path, config())
    assert asked == ["workshop_cs", "workshop_commonsense", "workshop_commonsense"]
    assert folder.record.scores["workshop_cs"] == uninterrupted.record.scores["workshop_cs"].model_copy(
        update={"seconds": folder.record.scores["workshop_cs"].seconds}
    )


def test_an_attempt_with_another_training_set_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tmp_path / "own.jsonl"
    rows.write_text("".join(json.dumps({"prompt": f"{i}", "completion": f" {i}"}) + "\n" for i in range(8)))
    chosen = config(train_on=str(rows), train_limit=None, validation=None)
    monkeypatch.setattr(slimnb.experiment, "evaluate", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        carry_out(tmp_path, chosen)
    first = load_file(tmp_path / "study" / chosen.run_id / "adapter" / "adapter_model.safetensors")
    monkeypatch.undo()
    rows.write_text("".join(json.dumps({"prompt": f"{i}", "completion": f" {i + 5}"}) + "\n" for i in range(8)))
    folder = carry_out(tmp_path, chosen)
    second = load_file(folder.path / "adapter" / "adapter_model.safetensors")
    assert any(not torch.equal(first[name], second[name]) for name in first)
    assert len(folder.metrics()) == STEPS


def lora_model() -> LoadedModel:
    return add_lora(load_model("tiny", "float32", device="cpu"), Lora(rank=2), seed=0)


def settings(**changed: Any) -> Training:
    return Training(**({"data": "own", "steps": 6, "batch_size": 4, "learning_rate": 1e-2} | changed))


def stopped_training(directory: Path) -> None:
    """Leave a checkpoint of step 4 behind."""

    def stop(step: Any, steps: int) -> None:
        if step.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(lora_model(), EXAMPLES, settings(), 0, stop, checkpoints=Checkpoints(directory, 2, None))


def test_only_the_newest_checkpoint_is_kept_and_it_is_of_safe_kinds(tmp_path: Path) -> None:
    stopped_training(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000004"]
    assert sorted(path.name for path in (tmp_path / "step-000004").iterdir()) == [
        "progress.json",
        "tensors.safetensors",
    ]


@pytest.mark.parametrize("damage", ["cut", "garbage", "missing", "another model's"])
def test_a_damaged_checkpoint_is_an_error_and_not_a_silent_new_start(tmp_path: Path, damage: str) -> None:
    stopped_training(tmp_path)
    file = tmp_path / "step-000004" / "tensors.safetensors"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "garbage":
        (tmp_path / "step-000004" / "progress.json").write_text('{"progress": {"steps": 4}, "optimizer": {}}')
    elif damage == "missing":
        file.unlink()
    loaded = lora_model()
    if damage == "another model's":
        loaded = add_lora(load_model("tiny", "float32", device="cpu"), Lora(rank=4), seed=0)
    with pytest.raises(SlimnbError, match="damaged checkpoint"):
        train(loaded, EXAMPLES, settings(), 0, checkpoints=Checkpoints(tmp_path))


def test_checkpoints_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(slimnb.training.checkpoint.time, "monotonic", lambda: clock[0])
    checkpoints = Checkpoints(tmp_path, None, 2.0)
    assert not checkpoints.due(1)
    clock[0] = 121.0
    assert checkpoints.due(2)
    assert not Checkpoints(tmp_path, None, None).due(10**6)


def test_a_full_disk_fails_the_run_in_words_and_leaves_the_earlier_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_training(tmp_path)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(slimnb.training.checkpoint, "save_file", full)
    loaded = lora_model()
    with pytest.raises(SlimnbError, match="No space left on device"):
        Checkpoints(tmp_path).save(loaded.model, torch.optim.AdamW(loaded.model.parameters()), Progress(step=9))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000004"]
