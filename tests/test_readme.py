"""The README's numbers are those of the runs that ship with the project."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slimnb.cli import app

ROOT = Path(__file__).resolve().parents[1]


def test_the_demos_output_is_that_of_the_shipped_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    shown = CliRunner().invoke(app, ["study", "show", str(ROOT / "data" / "runs" / "demo")])
    assert shown.exit_code == 0
    block = re.search(
        r"<!-- demo: begin -->\n```\n(.*?)```\n<!-- demo: end -->", (ROOT / "README.md").read_text(), re.S
    )
    assert block is not None
    assert [line.rstrip() for line in block.group(1).splitlines()] == [
        line.rstrip() for line in shown.stdout.splitlines()
    ]


def test_what_it_says_beside_lm_eval_is_what_was_measured() -> None:
    text = (ROOT / "README.md").read_text("utf-8").replace("\n  ", " ")
    parity = json.loads((ROOT / "data" / "perf" / "parity.json").read_text())
    assert not any(case["differences"] for case in parity.values())
    assert f"in all {len(parity)} cases of" in text
    flips = json.loads((ROOT / "data" / "perf" / "evaluation.json").read_text())["inside"]["bfloat16"]
    hellaswag, mmlu = flips["hellaswag"], flips["mmlu_cs"]
    assert f"(of {hellaswag['items']} of HellaSwag {hellaswag['flips_correct_acc_norm']}, of {mmlu['items']}" in text
    assert f"of mmlu_cs with letters {mmlu['flips_correct_acc']})" in text


def test_what_it_says_beside_trl_is_what_was_measured() -> None:
    text = (ROOT / "README.md").read_text("utf-8").replace("\n  ", " ")
    cases = json.loads((ROOT / "data" / "perf" / "training.json").read_text())["cases"]
    common, fastest = next(case["beside"] for case in cases.values() if "beside" in case).values()
    assert f"LoRA trains {common['loop_ratio']:.1f} times as many GSM8K examples a second" in text
    assert f"in {common['memory_share']:.0%} of the memory" in text
    assert f"{fastest['loop_ratio']:.1f} times as many in {fastest['memory_share']:.0%}" in text
