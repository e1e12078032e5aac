"""Ctrl-C and SIGTERM while training: the step is ended and kept, and the training goes on as if nothing had been."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import slimnb.experiment
from slimnb.config import Lora, Training, make_run_config
from slimnb.errors import SlimnbError
from slimnb.machine.attempts import MACHINE, earlier_attempts
from slimnb.machine.interruption import stop_noted
from slimnb.models.load import LoadedModel, add_lora, load_model
from slimnb.store.runs import RunFolder
from slimnb.training import loop
from slimnb.training.checkpoint import Checkpoints, trainable
from slimnb.training.loop import train
from slimnb.training.training_sets import Example

EXAMPLES = [Example(f"{i} and {i}?", f" {2 * i}") for i in range(16)]
STEPS = 5
both = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


def lora_model() -> LoadedModel:
    return add_lora(load_model("tiny", "float32", device="cpu"), Lora(rank=2, dropout=0.1), seed=0)


def settings(**changed: Any) -> Training:
    chosen = {"data": "own", "steps": STEPS, "batch_size": 4, "learning_rate": 1e-2, "validation": 0.2} | changed
    return Training(**chosen)


def trained(training: Training, directory: Path, **more: Any) -> tuple[list[torch.Tensor], list[int]]:
    """The weights, and the steps that were taken."""
    loaded, steps = lora_model(), []
    train(loaded, EXAMPLES, training, 0, lambda step, total: steps.append(step.step),
          checkpoints=Checkpoints(directory), **more)  # fmt: skip
    return [parameter.detach().clone() for _, parameter in trainable(loaded.model)], steps


def sends(number: int, in_step: int) -> Callable[..., Any]:
    """slimnb.training.loop's gradients, with a signal in the midst of a step."""
    calls, compute = 0, loop._add_gradients

    def add_gradients(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == in_step:
            os.kill(os.getpid(), number)
        return compute(*arguments)

    return add_gradients


@both
@pytest.mark.parametrize("in_step", [1, 3, STEPS])
def test_a_stopped_training_keeps_its_step_and_ends_as_the_unstopped_one(
    number: int, in_step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = trained(settings(), tmp_path / "whole")
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_add_gradients", sends(number, in_step))
        with pytest.raises(KeyboardInterrupt):
            trained(settings(), tmp_path / "stopped")
    assert [path.name for path in (tmp_path / "stopped").iterdir()] == [f"step-{in_step:06d}"]
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before
    resumed, steps = trained(settings(), tmp_path / "stopped")
    assert steps == list(range(in_step + 1, STEPS + 1))
    assert all(torch.equal(one, other) for one, other in zip(whole, resumed, strict=True))


def test_a_training_that_patience_ends_and_a_signal_stops_takes_no_step_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([1.0, 2.0, 3.0, 4.0, 5.0])
    monkeypatch.setattr(loop, "mean_loss", lambda *_: next(losses))
    patient = settings(patience=1, keep="best")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_add_gradients", sends(signal.SIGINT, 2))
        with pytest.raises(KeyboardInterrupt):
            trained(patient, tmp_path)
    _, steps = trained(patient, tmp_path)
    assert steps == []


RUN = make_run_config(model="tiny", dtype="float32", method="lora", train_on="workshop_math", train_limit=16, steps=3,
                      benchmarks=["workshop_cs"], limit=4)  # fmt: skip


def environment(root: Path, processor: str, stopped_in: tuple[Any, str, Any] | None = None) -> dict[str, Any]:
    """What environment.json holds after an attempt on a machine with that processor."""
    here = slimnb.experiment.describe()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slimnb.experiment, "describe", lambda: here | {"processor": processor})
        if stopped_in:
            patch.setattr(*stopped_in)
            with pytest.raises(KeyboardInterrupt):
                slimnb.experiment.run(RUN, root, "study")
        else:
            slimnb.experiment.run(RUN, root, "study")
    return RunFolder.read(root / "study" / RUN.run_id).environment()


def stop(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_a_run_that_goes_on_elsewhere_says_on_which_machines_it_was_trained(tmp_path: Path) -> None:
    before_any = environment(tmp_path, "zero", (slimnb.experiment, "train", stop))
    first = environment(tmp_path, "one", (loop, "_add_gradients", sends(signal.SIGINT, 2)))
    assert "earlier_attempts" not in before_any and "earlier_attempts" not in first  # nothing of zero's was kept
    second = environment(tmp_path, "two", (slimnb.experiment, "evaluate", stop))
    third = environment(tmp_path, "three")
    one, two = ({name: found.get(name) for name in MACHINE} for found in (first, second))
    assert one["processor"] == "one" and set(one) == {"processor", "accelerator", "cores", "threads", "jobs"}
    assert second["earlier_attempts"] == [one]
    assert third["earlier_attempts"] == [one, two] and third["processor"] == "three"


def test_attempts_on_machines_alike_are_of_one_machine(tmp_path: Path) -> None:
    environment(tmp_path, "one", (slimnb.experiment, "evaluate", stop))
    assert "earlier_attempts" not in environment(tmp_path, "one")


def test_each_machine_is_named_once_and_none_is_forgotten() -> None:
    one, two = ({"processor": name, "accelerator": None, "cores": 2, "threads": 2, "jobs": 1} for name in ("a", "b"))
    assert earlier_attempts(one | {"platform": "x"}, one | {"platform": "y"}) == []
    assert earlier_attempts(two | {"earlier_attempts": [one]}, one) == [one, two]  # back on the first
    assert earlier_attempts(one | {"earlier_attempts": [one, two]}, one) == [one, two]
    assert earlier_attempts(one, one | {"jobs": 2}) == [one]


@both
def test_the_second_signal_stops_at_once(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_add_gradients", lambda *_: [os.kill(os.getpid(), number) for _ in range(2)])
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            trained(settings(), tmp_path)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not tmp_path.exists() or not list(tmp_path.iterdir())


def test_a_launchers_sigterm_behind_a_ctrl_c_changes_nothing() -> None:
    with pytest.raises(KeyboardInterrupt), stop_noted() as stopped:
        assert not stopped()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert stopped()


def test_an_error_in_the_block_is_told_and_not_the_stop() -> None:
    with pytest.raises(SlimnbError), stop_noted():
        signal.raise_signal(signal.SIGINT)
        raise SlimnbError("a full disk")


def test_what_was_ignored_stays_ignored_and_threads_are_left_alone() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_noted() as stopped:
            signal.raise_signal(signal.SIGINT)
            assert not stopped()
        found: list[bool] = []

        def elsewhere() -> None:
            with stop_noted() as stopped:
                found.append(stopped())

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert found == [False]
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(KeyboardInterrupt), stop_noted(active=False):
        signal.raise_signal(signal.SIGINT)
