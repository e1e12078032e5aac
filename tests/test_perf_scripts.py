"""The scripts that measure speed: what they make of their measurements. The measurements need a quiet machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from slimnb.io.documents import read_json
from slimnb.training.loop import Step
from tests.perf import gpu_check, training


def turn(seconds: float, **found: Any) -> training.Turn:
    defaults = {
        "examples": 128, "process_seconds": seconds + 10, "peak_bytes": 100, "final_loss": 0.5, "label_tokens": 9,
        "weights_bytes": 1000,
    }  # fmt: skip
    return {"seconds": seconds, **defaults, **found}


def test_beside_trl_the_median_turn_counts_and_the_highest_peak() -> None:
    ours = [turn(10), turn(90, peak_bytes=400), turn(16)]  # one turn was disturbed
    theirs = [turn(40), turn(48, peak_bytes=1000), turn(64)]
    case = training.beside_trl({"slimnb": ours, "trl 8 x 1": theirs, "trl 1 x 8": [turn(32)] * 3}, {"8 x 1": 9.0})
    assert case["beside"] == {
        "trl 8 x 1": {"loop_ratio": 48 / 16, "process_ratio": 58 / 26, "memory_share": 400 / 1000},
        "trl 1 x 8": {"loop_ratio": 32 / 16, "process_ratio": 42 / 26, "memory_share": 400 / 100},
    }
    assert case["examples_per_second"] == {"slimnb": 128 / 16, "trl 8 x 1": 128 / 48, "trl 1 x 8": 128 / 32}
    assert case["trl_tried"] == {"8 x 1": 9.0}


def test_qloras_speed_is_a_share_of_loras_and_not_the_other_way_round() -> None:
    case = training.qlora_beside_lora(
        {"qlora": [turn(20, weights_bytes=400)] * 3, "lora": [turn(15), turn(16), turn(17)]}
    )
    assert case["speed"] == 16 / 20
    assert case["weights_share"] == 0.4


@pytest.mark.parametrize(("steps", "final"), [([4.0, 3.0, 2.0, 1.0, 9.0, 8.0, 3.0, 1.0], 2.0), ([5.0], 5.0)])
def test_the_final_loss_is_that_of_the_last_quarter(steps: list[float], final: float) -> None:
    assert training.losses(steps) == {"first_loss": steps[0], "final_loss": final}


def test_only_cases_measured_at_this_commit_are_kept() -> None:
    name, other = list(training.CASES)[:2]
    report = {"cases": {name: {"git": {"commit": "new"}}, other: {"git": {"commit": "old"}}, "gone": {"git": {}}}}
    assert training.kept(report, {"commit": "new"}) == {name: {"git": {"commit": "new"}}}
    assert training.kept(report, None) == {}


def test_a_measurement_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done: list[str] = []

    def case(name: str, fails: bool = False) -> Any:
        def work() -> dict[str, Any]:
            if fails and name not in done:
                done.append(name)
                raise SystemExit("killed")
            done.append(name)
            return {"speed": 1.0}

        return work

    monkeypatch.setattr(training, "RESULT", tmp_path / "training.json")
    monkeypatch.setattr(training, "CASES", {"first": case("first"), "second": case("second", fails=True)})
    monkeypatch.setattr("slimnb.machine.environment.describe", lambda: {"git": {"commit": "this", "dirty": False}})
    monkeypatch.setattr("tests.perf.training.version", lambda package: "1")  # TRL is not there in most environments
    monkeypatch.setattr("sys.argv", ["training"])
    with pytest.raises(SystemExit, match="killed"):
        training.main()
    training.main()
    assert done == ["first", "second", "second"]
    assert list(read_json(training.RESULT)["cases"]) == ["first", "second"]
    monkeypatch.setattr("sys.argv", ["training", "--again"])
    training.main()
    assert done[3:] == ["first", "second"]


def test_both_sides_train_at_the_settings_that_are_compared() -> None:
    lora, qlora = training.settings("lora"), training.settings("qlora")
    assert lora.training == qlora.training and lora.lora == qlora.lora and lora.training and lora.lora
    assert (lora.lora.rank, lora.lora.alpha, lora.lora.dropout, lora.lora.targets) == (16, 32, 0, "all-linear")
    asked = lora.training
    assert (asked.batch_size, asked.epochs, asked.learning_rate, asked.warmup) == (8, 1, 1e-3, 0.05)
    assert (asked.schedule, asked.max_length) == ("cosine", 1024)


def test_without_cuda_the_gpu_check_says_what_it_would_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    gpu_check.main(["--steps", "7"])
    said = capsys.readouterr().out.strip()
    assert said.startswith("No CUDA GPU here") and "7 steps" in said and said.count(". ") == 0


def test_the_steady_rate_leaves_the_warm_up_out() -> None:
    def step(number: int, seconds: float) -> Step:
        rest: dict[str, Any] = dict.fromkeys(Step.__dataclass_fields__, 0)
        return Step(**{**rest, "step": number, "tokens": 100, "seconds": seconds})

    # A slow start of 50 seconds, then a second a step.
    steps = [step(number, 50.0 + number) for number in range(1, 2 * gpu_check.WARM_UP + 1)]
    assert gpu_check.speed(steps)["steady_tokens_per_second"] == 100
    assert gpu_check.speed(steps[:3])["steady_tokens_per_second"] is None


@pytest.mark.parametrize("method", ["base", "lora", "qlora", "full"])
def test_what_the_gpu_check_does_with_a_method_works_on_a_cpu(
    method: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(gpu_check, "DATA", tmp_path)  # nothing there: the workshop's sets
    found = gpu_check.one(method, "tiny", 2, "cpu", choices=3, opened=2)
    assert found["packing"]["packs"] and found["packing"]["answers"] > 3
    if method == "base":
        assert found["packing"]["largest_difference_nats"] < 1e-3
    else:
        assert found["training"]["steps"] == 2 and found["training"]["utilization_percent"] is None
        assert {name: one["metrics"].popitem()[1].split()[-1] for name, one in found["benchmarks"].items()} == {
            "workshop_commonsense": "3", "workshop_math": "2",
        }  # fmt: skip
