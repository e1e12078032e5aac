"""Several processes do the work of one and leave the same behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from slimnb.store.runs import RunFolder, scan

WORDS = ["run", "--model", "tiny", "--dtype", "float32", "--method", "lora", "--train-on", "workshop_math",
         "--train-limit", "20", "--steps", "6", "--batch-size", "5", "--validation", "0.2", "--checkpoint-steps", "2",
         "--benchmarks", "workshop_cs,workshop_math", "--limit", "7", "--quiet"]  # fmt: skip


FSDP = Path(__file__).resolve().parents[1] / "data" / "accelerate" / "fsdp.yaml"


def launched(runs: Path, processes: int, *more: str, fsdp: bool = False) -> RunFolder:
    # accelerate launch hands CPU processes to MPI; PyTorch's own launcher, which it uses for GPUs, needs none.
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes),
              "-m"]  # fmt: skip
    if fsdp:
        launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(FSDP), "--main_process_port",
                  "0", "-m"]  # fmt: skip
    command = launch if processes > 1 else [sys.executable, "-m"]
    outcome = subprocess.run(
        [*command, "slimnb", *WORDS, *more, "--runs", str(runs)], capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=120,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    found, broken = scan(runs)
    assert len(found) == 1 and not broken
    return found[0]


def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    one, two = launched(tmp_path / "one", 1), launched(tmp_path / "two", 2)
    assert two.record.status == "completed"
    assert two.environment()["processes"] == 2
    assert list(two.metrics()["loss"]) == pytest.approx(list(one.metrics()["loss"]), abs=1e-4)
    assert list(two.metrics()["validation_loss"].dropna()) == pytest.approx(
        list(one.metrics()["validation_loss"].dropna()), abs=1e-4
    )
    for benchmark, result in one.record.scores.items():
        assert two.record.scores[benchmark].items == result.items
        assert list(two.items(benchmark)["id"]) == list(one.items(benchmark)["id"])
    for mine, theirs in zip(
        one.items("workshop_cs")["log_likelihoods"], two.items("workshop_cs")["log_likelihoods"], strict=True
    ):
        assert list(mine) == pytest.approx(list(theirs), abs=1e-3)


@pytest.mark.parametrize("method", ["lora", pytest.param("full", marks=pytest.mark.slow)])
def test_weights_split_over_processes_learn_and_score_the_same(method: str, tmp_path: Path) -> None:
    one = launched(tmp_path / "one", 1, "--method", method)
    two = launched(tmp_path / "two", 2, "--method", method, fsdp=True)
    assert two.record.status == "completed"
    assert list(two.metrics()["loss"]) == pytest.approx(list(one.metrics()["loss"]), abs=1e-4)
    name = "adapter/adapter_model.safetensors" if method == "lora" else "model/model.safetensors"
    mine, theirs = load_file(one.path / name), load_file(two.path / name)
    assert mine.keys() == theirs.keys()
    for key, tensor in mine.items():
        torch.testing.assert_close(theirs[key], tensor, atol=1e-4, rtol=1e-3)
    for benchmark in one.record.scores:
        assert list(two.items(benchmark)["id"]) == list(one.items(benchmark)["id"])
    for a, b in zip(
        one.items("workshop_cs")["log_likelihoods"], two.items("workshop_cs")["log_likelihoods"], strict=True
    ):
        assert list(a) == pytest.approx(list(b), abs=1e-3)
