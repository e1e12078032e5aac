"""The same configuration twice on this CPU: the same adapter or model and the same items, bit for bit."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from slimnb.config import make_run_config
from slimnb.experiment import run
from slimnb.machine.determinism import not_repeatable_because
from slimnb.store.runs import RunFolder, scan

BENCHMARKS = ("workshop_cs", "workshop_math")
TRAINED = {"lora": "adapter", "qlora": "adapter", "full": "model"}
each_trained = pytest.mark.parametrize("method", TRAINED)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
PROCESS = """
import sys
from pathlib import Path
from tests.test_determinism import carry_out
carry_out(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
"""


def carry_out(root: Path, method: str, dtype: Any) -> RunFolder:
    adapter: dict[str, Any] = {} if method == "full" else {"dropout": 0.1}
    config = make_run_config(
        model="tiny", method=method, dtype=dtype, train_on="workshop_math", train_limit=24, steps=4, validation=0.2,
        learning_rate=1e-2, benchmarks=BENCHMARKS, limit=4, **adapter,
    )  # fmt: skip
    return run(config, root, "study")


def assert_same_bits(one: RunFolder, other: RunFolder) -> None:
    place = TRAINED[one.config.method]
    files = sorted(path.name for path in (one.path / place).iterdir())
    assert files == sorted(path.name for path in (other.path / place).iterdir())
    for name in files:
        hashes = [hashlib.sha256((folder.path / place / name).read_bytes()).digest() for folder in (one, other)]
        assert hashes[0] == hashes[1], name
    for benchmark in BENCHMARKS:
        assert one.items(benchmark).equals(other.items(benchmark))
    for column in ("loss", "gradient_norm", "validation_loss"):
        assert one.metrics()[column].equals(other.metrics()[column])


@each_trained
@each_dtype
def test_a_run_gives_the_same_bits_again(method: str, dtype: str, tmp_path: Path) -> None:
    one = carry_out(tmp_path / "one", method, dtype)
    torch.rand(1000)  # what else the process drew changes nothing
    assert_same_bits(one, carry_out(tmp_path / "two", method, dtype))


@pytest.mark.slow
@each_trained
@each_dtype
def test_another_process_gives_the_same_bits(method: str, dtype: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        words = [sys.executable, "-c", PROCESS, str(tmp_path / name), method, dtype]
        subprocess.run(words, cwd=Path(__file__).resolve().parents[1], check=True, timeout=300)
    (one,), (two,) = scan(tmp_path / "one")[0], scan(tmp_path / "two")[0]
    assert_same_bits(one, two)


def test_a_device_that_gives_no_fixed_bits_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not_repeatable_because(torch.device("cpu")) is None
    assert "no fixed order" in (not_repeatable_because(torch.device("cuda")) or "")
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    assert "CUBLAS_WORKSPACE_CONFIG" in (not_repeatable_because(torch.device("cuda")) or "")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    assert not_repeatable_because(torch.device("cuda")) is None
