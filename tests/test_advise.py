"""What saved runs are said to show, and the page of `slimnb advise`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slimnb.analysis.gains import gains_frame
from slimnb.errors import SlimnbError
from slimnb.io.places import DEMO
from slimnb.planning.advise import advise, near_by_words
from slimnb.planning.architecture import read_architecture
from slimnb.planning.evidence import elsewhere, expect, measured_of, model_to_learn_from, read_evidence, rows_of
from slimnb.planning.memory import Setup
from slimnb.planning.plan import Plan, Work, make_plan
from slimnb.store.runs import RunFolder, scan_study
from slimnb.units import points
from tests.conftest import Slimnb

LORA = "lora-smollm2-135m-workshop-math-s0-0e7bc5"


@pytest.fixture(scope="module")
def runs() -> list[RunFolder]:
    return scan_study(DEMO)[0]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(read_architecture("tiny"), Setup("lora", length=64), 10**12, Work(100, 30, 3), None, "no probe")


def row(**changed: Any) -> dict[str, Any]:
    return {
        "run": "r", "method": "lora", "training_set": "a", "seeds": 1, "variant": "", "benchmark": "b", "target": True,
        "n": 100, "difference": 0.1, "low": 0.05, "high": 0.2, "resolved": True, "refused": None,
    } | changed  # fmt: skip


# Evidence


def test_the_runs_that_ship_are_read_with_their_counts() -> None:
    found = {run.id: run for run in read_evidence()}
    record = json.loads((DEMO / LORA / "run.json").read_text())
    score = record["scores"]["workshop_math"]["metrics"]["strict-match"]
    assert found[LORA].scores["workshop_math"] == (score["k"], score["n"])
    assert (found[LORA].training_set, found[LORA].peak_bytes) == ("workshop_math", record["costs"]["train_peak_bytes"])


def test_what_is_no_completed_run_is_no_evidence(tmp_path: Path) -> None:
    for name, text in {"broken": "{", "other": "[]", "failed": '{"status": "failed"}'}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(text)
        (tmp_path / name / "config.json").write_text("{}")
    assert read_evidence(tmp_path) == [] == read_evidence(tmp_path / "nowhere")
    (said,) = measured_of("lora", "M", [])
    assert "no saved run of method lora" in said


def test_a_plans_evidence_names_runs_and_says_where_it_is_of_another_model() -> None:
    same, other = (measured_of("lora", model, read_evidence()) for model in ("smollm2-135m", "big"))
    assert LORA in same[0] and "of 120" in same[0]
    assert not any("not big" in line for line in same)
    assert any("smollm2-135m, not big" in line for line in other)


def test_a_plans_evidence_is_of_one_model_the_one_that_most_runs_are_of() -> None:
    runs = read_evidence()
    strange = [replace(run, id=f"strange-{run.id}", model="strange") for run in runs if run.id == LORA]
    said = "\n".join(measured_of("lora", "big", [*strange, *runs, *runs]))
    assert "strange" not in said and "That is smollm2-135m, not big" in said
    assert "strange-" in measured_of("lora", "strange", [*runs, *strange])[0]
    assert (model_to_learn_from("a", ["b", "a", "b"]), model_to_learn_from("a", [])) == ("a", "a")
    assert model_to_learn_from("a", ["c", "c", "b", "b", "d"]) == "b"  # whichever was read first


def test_the_same_rows_are_better_evidence_than_others() -> None:
    rows = [row(), row(run="s", training_set="c", difference=0.4, low=0.3, high=0.5)]
    same = expect(rows, "a", "b", {})
    assert (same.kind, same.low, same.high, same.runs) == ("same", 0.05, 0.2, ("r",))
    others = expect(rows, "mine.csv", "b", {"mine.csv": 0.25, "a": 0.5, "c": None})
    assert (others.kind, others.low, others.high, others.runs) == ("others", 0.05, 0.5, ("r", "s"))
    assert "nearness by words 0.50" in others.said and "none after mine.csv (nearness by words 0.25)" in others.said
    none = expect(rows, "a", "elsewhere", {})
    assert (none.kind, none.low, none.runs) == ("none", None, ()) and "not known" in none.said


def test_losses_elsewhere_are_counted_where_they_are_resolved() -> None:
    rows = [
        row(),
        row(benchmark="c", target=False, difference=-0.2, low=-0.3, high=-0.1),
        row(benchmark="d", target=False, difference=0.1, low=-0.1, high=0.3, resolved=False),
    ]
    said = elsewhere(rows, "a")
    assert "of 2 comparisons" in said and "1 show a resolved loss" in said and "on average -5.0" in said
    assert "at worst -20.0 (-30.0 to -10.0) on c" in said
    assert "not known" in elsewhere([row()], "a")


def test_only_a_methods_first_configuration_counts(runs: list[RunFolder]) -> None:
    gains = gains_frame(runs)
    assert {row["method"] for row in rows_of(gains, "qlora")} == {"qlora"}
    gains.loc[gains["method"] == "lora", "variant"] = "rank 4"
    assert rows_of(gains, "lora") == [] and rows_of(gains, "base") == []


# The page


def test_the_page_says_what_the_runs_do_not_cover(plan: Plan, runs: list[RunFolder]) -> None:
    page = advise(plan, "mine.csv", ("workshop_math", "gsm8k"), runs, {}, ["how near: not known"])
    gaps = " | ".join(page.gaps)
    for said in ("how near: not known", "of smollm2-135m, not of tiny", "scored on gsm8k", "trained on mine.csv",
                 "9,000 are planned here"):  # fmt: skip
        assert said in gaps
    assert [one.kind for one in page.expected] == ["others", "none"]
    lone = advise(plan, "mine.csv", ("workshop_math",), [], {})
    assert "no saved run of method lora is here" in lone.gaps[0] and "not known" in lone.forgetting


def test_a_page_learns_from_the_runs_of_one_model_and_names_it(
    plan: Plan, runs: list[RunFolder], make_run: Callable[..., RunFolder]
) -> None:
    mixed = [*runs, make_run("base"), *(make_run("lora", (True,) * 4, seed=seed) for seed in (1, 2))]
    asked = ("workshop_math", ("workshop_cs",))
    own = advise(plan, *asked, mixed, {})
    assert [one.runs for one in own.expected] == [(mixed[-2].record.id,)]  # two seeds go by the first
    assert not any("not of tiny" in gap for gap in own.gaps)
    other = advise(replace(plan, model="other"), *asked, mixed, {})
    assert other.expected == own.expected
    assert any("the saved runs are of tiny, not of other" in gap for gap in other.gaps)
    demos = advise(replace(plan, model="smollm2-135m"), *asked, mixed, {})
    assert demos.expected == advise(plan, *asked, runs, {}).expected


def test_the_gain_of_the_same_training_is_that_of_its_run(plan: Plan, runs: list[RunFolder]) -> None:
    (found,) = advise(plan, "workshop_math", ("workshop_math",), runs, {}).expected
    rows = gains_frame(runs)
    expected = rows[(rows["run"] == LORA) & (rows["benchmark"] == "workshop_math")].iloc[0]
    assert (found.kind, found.runs) == ("same", (LORA,))
    assert (found.low, found.high) == (expected["low"], expected["high"])
    assert points(float(expected["difference"])) in found.said


def test_the_page_names_memory_cost_and_the_command(plan: Plan, runs: list[RunFolder]) -> None:
    page = advise(plan, "workshop_math", ("workshop_math", "workshop_cs"), runs, {})
    text = "\n".join(page.lines())
    assert page.command == (
        "slimnb run --model tiny --method lora --train-on workshop_math --max-length 64 "
        "--benchmarks workshop_math,workshop_cs"
    )
    for said in ("Not covered: ", "What to expect", "What may be forgotten", "MB on disk", page.command):
        assert said in text
    assert json.loads(json.dumps(page.document()))["plan"]["peak_bytes"] == plan.prediction.peak


def test_the_command_is_the_training_that_was_asked_for(plan: Plan) -> None:
    model, file, columns = "models/NAME one", "my rows.csv", {"prompt": "the question", "completion": "answer"}
    page = advise(replace(plan, model=model), file, ("gsm8k",), [], {}, epochs=0.5, columns=columns)
    assert shlex.split(page.command) == [
        "slimnb", "run", "--model", model, "--method", "lora", "--train-on", file, "--columns",
        "prompt=the question,completion=answer", "--epochs", "0.5", "--max-length", "64", "--benchmarks", "gsm8k",
    ]  # fmt: skip


def test_nearness_by_words_needs_no_model() -> None:
    found, missing = near_by_words("workshop_math", ["workshop_cs"], ["workshop_math"], None)
    assert missing == [] and set(found["workshop_math"]) == {"workshop_math", "workshop_cs"}
    assert (found["workshop_math"]["workshop_math"] or 0) > (found["workshop_math"]["workshop_cs"] or 0)
    with pytest.raises(SlimnbError, match=r"nowhere\.csv"):
        near_by_words("nowhere.csv", [], ["workshop_math"], None)


def test_the_command_gives_a_page_or_one_document(slimnb: Slimnb) -> None:
    given = ("advise", "--model", "tiny", "--train-on", "workshop_math", "--benchmarks", "workshop_math", "--memory",
             "2GB", "--length", "256")  # fmt: skip
    status, out, _ = slimnb(*given)
    assert status == 0 and LORA in out and "To run it: slimnb run --model tiny" in out
    document = json.loads(slimnb(*given, "--epochs", "1", "--json")[1])
    assert "--train-on workshop_math --epochs 1 --max-length 256" in document["command"]
    assert document["expected"][0]["benchmark"] == "workshop_math" and document["not_covered"]
    assert slimnb("advise", "--train-on", "no_such_set", "--benchmarks", "workshop_cs", "--model", "tiny")[0] == 1
