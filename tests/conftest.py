"""What many tests share: a cache of their own with the random model `tiny`, no Hub, and run folders made by hand."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models compute faster on one thread than they can share out
os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when huggingface_hub is imported: tests never ask the Hub

from slimnb.config import make_run_config
from slimnb.store.records import BenchmarkResult, Lineage, Score
from slimnb.store.runs import RunFolder

ROOT = Path(__file__).resolve().parents[1]

WriteRows = Callable[[Path, list[Any]], Path]
MakeRun = Callable[..., RunFolder]


class Outcome(NamedTuple):
    """What a command ended with."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON document; anything else in it is an error."""
        return json.loads(self.out)


Slimnb = Callable[..., Outcome]


@pytest.fixture(scope="session", autouse=True)
def slimnb_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the tests' own, so that `tiny` is made once. A prepared smollm2-135m is lent to it for slow tests."""
    from slimnb.models.load import home

    prepared = home() / "models" / "smollm2-135m"
    own = tmp_path_factory.mktemp("home")
    (own / "models").mkdir()
    if prepared.is_dir():
        (own / "models" / prepared.name).symlink_to(prepared)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIMNB_HOME", str(own))
        yield own


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the developer's own settings."""
    monkeypatch.delenv("SLIMNB_DATA", raising=False)


@pytest.fixture(scope="session")
def write_rows() -> WriteRows:
    """Write rows as JSON Lines (text is written as it is) and give the path."""

    def write(path: Path, rows: list[Any]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture
def slimnb(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Slimnb:
    """`slimnb WORDS`, in this process; standard output is caught below Python."""
    from slimnb.cli import main

    def call(*words: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["slimnb", *words])
        capfd.readouterr()
        status: Any = 0
        try:
            main()
        except SystemExit as end:
            status = end.code
        return Outcome(status or 0, *capfd.readouterr())

    return call


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """A finished run under tmp_path/runs with given right and wrong answers, as if a model had been scored."""

    def make(
        method: str = "base",
        answers: tuple[bool, ...] = (True, False, True, False),
        *,
        study: str = "study",
        benchmark: str = "workshop_cs",
        weights: str = "a" * 64,
        prompts: str = "p" * 64,
        status: Any = "completed",
        error: str | None = None,
        **options: Any,
    ) -> RunFolder:
        trained = {} if method == "base" else {"train_on": "workshop_math", "steps": 2}
        config = make_run_config(model="tiny", method=method, benchmarks=[benchmark], **(trained | options))
        folder = RunFolder.create(tmp_path / "runs", study, config)
        folder.record.lineage = Lineage(model="tiny", weights_sha256=weights, dtype=config.dtype)
        items = pd.DataFrame(
            {
                "id": [f"item:{i}" for i in range(len(answers))],
                "subject": "one",
                "gold": 0,
                "prediction": [0 if right else 1 for right in answers],
                "correct_acc_norm": answers,
            }
        )
        result = BenchmarkResult(
            metrics={"acc_norm": Score.of(sum(answers), len(answers))},
            primary="acc_norm",
            shots=0,
            items=len(answers),
            seconds=1.0,
            prompts_sha256=prompts,
        )
        folder.write_items(benchmark, items, result)
        folder.finish(status, error)
        return folder

    return make


@pytest.fixture(scope="session")
def tiny(slimnb_home: Path) -> Any:
    """The random model in float32 on the CPU. Shared: a test that changes a model loads its own."""
    from slimnb.models.load import load_model

    return load_model("tiny", "float32", device="cpu")
