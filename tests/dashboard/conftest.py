"""Runs to look at: one of each method, a quiz of four items, a study of several training sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slimnb.benchmarks import get_benchmark
from slimnb.store.records import Costs
from slimnb.store.runs import RunFolder
from tests.browser.invented import invented_study
from tests.conftest import MakeRun
from tests.dashboard.app import EVIL, Open, opened


@pytest.fixture
def open_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    return lambda page, *options, **address: opened(page, tmp_path / "runs", monkeypatch, *options, **address)


@pytest.fixture
def runs(make_run: MakeRun, tmp_path: Path) -> dict[str, RunFolder]:
    """Base, LoRA, QLoRA and full on 40 invented items, with markup wherever a run holds text; one more is broken."""
    rates = {"base": 10, "lora": 30, "qlora": 12, "full": 5}
    made = {}
    for method, right in rates.items():
        answers = tuple(item < right for item in range(40))
        trained = {} if method == "base" else {"train_on": EVIL}
        run = make_run(method, answers, study="<i>study", benchmark="<u>bench", error=EVIL, **trained)
        run.record.costs = Costs(train_seconds=None if method == "base" else 60.0, eval_peak_bytes=2 * 10**9)
        run.save()
        if method != "base":
            steps = [json.dumps({"step": step, "loss": 2.0 / step, "learning_rate": 0.1}) for step in (1, 2, 3)]
            (run.path / "metrics.jsonl").write_text("\n".join(steps), encoding="utf-8")
        made[method] = run
    broken = tmp_path / "runs" / "<i>study" / "lora-broken"
    broken.mkdir()
    (broken / "run.json").write_text(f'{{"schema_version": 1, "id": "{EVIL}"', encoding="utf-8")
    return made


@pytest.fixture
def quiz(make_run: MakeRun) -> list[RunFolder]:
    """Base and LoRA on the first four items of workshop_cs: the first is fixed, the second broken."""
    asked = get_benchmark("workshop_cs").load(limit=4).items
    made = [make_run("base", (False, True, False, True)), make_run("lora", (True, False, False, True))]
    for run, sure in zip(made, (1.0, 3.0), strict=True):
        likelihoods = [[-1.0, -sure, -9.0, -9.0]] * 4
        items = run.items("workshop_cs").assign(id=[item.id for item in asked], log_likelihoods=likelihoods)
        run.write_items("workshop_cs", items.assign(subject=["a", "a", "b", "b"]), run.record.scores["workshop_cs"])
    return made


@pytest.fixture
def study(make_run: MakeRun) -> dict[str, RunFolder]:
    return invented_study(make_run)
