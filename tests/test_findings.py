"""The report: claims held against runs that a test has made up, and the page that ships with the project."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from slimnb.alignment import Alignment, Predictor, write_alignment
from slimnb.alignment.record import Sample
from slimnb.anatomy.record import Anatomy, Matrix
from slimnb.cli import app
from slimnb.config import make_run_config
from slimnb.errors import SlimnbError
from slimnb.findings import report
from slimnb.findings.claims import Claim, claims
from slimnb.findings.predicted import foretold
from slimnb.findings.prediction import SAME_FORM, SAME_NAME, ceiling, judge, predictions, rank_correlation
from slimnb.findings.study import read_study
from slimnb.io.files import write_json
from slimnb.store.planned import write_planned
from slimnb.store.records import BenchmarkResult, Costs, Lineage, Score
from slimnb.store.runs import RunFolder
from slimnb.study.grid import StudyConfig
from tests.conftest import ROOT

N = 400
HELLASWAG, CLOZE, GSM8K = "hellaswag", "mmlu_cs_cloze", "gsm8k"
MADE = {"hellaswag_train": HELLASWAG, "openbookqa": CLOZE, "gsm8k_train": GSM8K}
BASE = {HELLASWAG: 0.4, CLOZE: 0.35, GSM8K: 0.0}

Put = Callable[..., RunFolder]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """A completed run of three benchmarks; `better`: the share of items that it has right beyond the base, by name."""

    def put(
        method: str = "base", better: dict[str, float] | None = None, bits: float = 0.0, **options: Any
    ) -> RunFolder:
        status, error = options.pop("status", "completed"), options.pop("error", None)
        costs = options.pop("costs", {"train_seconds": 60.0, "train_peak_bytes": 3 * 10**9, "label_tokens": 1000})
        seed, machine = options.get("seed", 0), options.pop("machine", "")
        trained = {} if method == "base" else {"train_on": "hellaswag_train", "steps": 2}
        config = make_run_config(model="tiny", method=method, benchmarks=list(BASE), **(trained | options))
        run = RunFolder.create(tmp_path / "runs", "made_up", config)
        if machine:
            run.write_environment(
                {"processor": machine, "cores": 2, "jobs": 2 if machine == "other" else 1, "packages": {}}
            )
        run.record.lineage = Lineage(model="tiny", weights_sha256="a" * 64, dtype=config.dtype)
        run.record.costs = Costs(**({} if method == "base" else costs))
        for name, share in BASE.items():
            right = np.arange(N) < round(N * (share + (better or {}).get(name, 0.0)))
            if method != "base":  # an item or two that another seed answers otherwise
                right[[2 * seed, N - 1 - 2 * seed]] ^= True
            items = pd.DataFrame({"id": [f"i{i}" for i in range(N)], "subject": "one", "prediction": 0})
            metric = "strict-match" if name == GSM8K else "acc_norm"
            items[f"correct_{metric}"] = right
            if name == GSM8K:
                items["gold"], items["text"] = "1", [f"{run.record.id} {i}" for i in range(N)]
                items["gold_log_likelihood"] = -(100.0 + np.arange(N) % 7) * (1 - bits)
                items["gold_bytes"] = 100
            else:
                items["gold"] = 0
            result = BenchmarkResult(
                metrics={metric: Score.of(int(right.sum()), N)}, primary=metric, shots=0, items=N, seconds=1.0,
                prompts_sha256="p" * 64, chance=None if name == GSM8K else 0.25,
            )  # fmt: skip
            run.write_items(name, items, result)
        run.finish(status, error)
        return run

    return put


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "made_up"


def found(directory: Path) -> list[Claim]:
    return claims(read_study(directory))


def test_the_shipped_page_is_what_the_shipped_runs_give() -> None:
    text = report(ROOT / "data" / "runs" / "reference")
    assert text == (ROOT / "FINDINGS.md").read_text("utf-8"), "make it anew: slimnb report data/runs/reference --out"


def test_a_gain_that_is_resolved_agrees_and_one_that_cannot_be_large_disagrees(put: Put, directory: Path) -> None:
    put()
    put("lora", {HELLASWAG: 0.1})
    put("lora", {CLOZE: 0.0}, train_on="openbookqa")
    improves, points, share, *_ = found(directory)
    assert [case.verdict for case in improves.cases] == ["agree", "disagree"]
    assert improves.verdict == "agree 1, disagree 1 of 2"
    assert "160/400 to 200/400, +10.0 (" in improves.cases[0].evidence
    assert points.verdict == "disagree"
    # 10 of 40 points are 25%, and the interval reaches below 20%.
    assert share.cases[0].verdict == "not resolved" and "+25.0 (" in share.cases[0].evidence


def test_one_large_gain_is_enough_for_up_to(put: Put, directory: Path) -> None:
    put()
    put("lora", {HELLASWAG: 0.4})
    put("lora", {}, train_on="openbookqa")
    _, points, *_ = found(directory)
    assert {case.verdict for case in points.cases} == {"agree", "disagree"} and points.verdict == "agree"


def test_at_the_floor_the_likelihood_of_the_right_answers_decides(put: Put, directory: Path) -> None:
    put()
    put("lora", {}, bits=0.1, train_on="gsm8k_train")
    improves = found(directory)[0]
    assert improves.verdict == "agree"
    assert "the base is at the floor" in improves.cases[0].evidence
    assert "bits per byte" in improves.cases[0].evidence


def test_as_good_is_shown_by_equivalence_and_not_by_a_missing_difference(put: Put, directory: Path) -> None:
    put()
    put("lora", {HELLASWAG: 0.1})
    put("qlora", {HELLASWAG: 0.1, CLOZE: -0.1})
    as_good = found(directory)[4]
    assert [case.verdict for case in as_good.cases] == ["agree", "disagree", "agree"]
    assert as_good.verdict == "agree 2, disagree 1 of 3"


def test_qlora_is_held_against_lora_of_the_same_seeds(put: Put, directory: Path) -> None:
    put()
    for seed, better in enumerate((0.1, 0.4)):
        put("lora", {HELLASWAG: better}, seed=seed)
    put("qlora", {HELLASWAG: 0.1})
    (case, *_) = found(directory)[4].cases
    assert "(seed 0), hellaswag: QLoRA less LoRA +0.0 (" in case.evidence


def test_training_sets_together_resolve_what_each_alone_does_not(put: Put, directory: Path) -> None:
    put()
    for name in (*MADE, "alpaca"):
        for seed in range(2):
            put("lora", train_on=name, seed=seed)
        put("qlora", {HELLASWAG: 0.03 if name == "alpaca" else -0.01}, train_on=name)
    as_good = found(directory)[4]
    assert len(as_good.cases) == 3 and len(as_good.details) == 12
    together = as_good.cases[0]
    assert (
        together.verdict == "agree"
        and "4 training sets (seed 0 of each), hellaswag: QLoRA less LoRA +0.0 (" in together.evidence
    )
    assert "not resolved" in {case.verdict for case in as_good.details}


def test_as_fast_and_more_memory_is_no_low_cost(put: Put, directory: Path) -> None:
    put()
    put("lora", costs={"train_seconds": 125.0, "train_peak_bytes": 7 * 10**9, "label_tokens": 1000})
    put("qlora", costs={"train_seconds": 60.0, "train_peak_bytes": 7 * 10**9, "label_tokens": 1000})
    put("full", costs={"train_seconds": 120.0, "train_peak_bytes": 6 * 10**9, "label_tokens": 1000})
    assert [case.verdict for case in found(directory)[3].cases] == ["disagree", "not resolved"]


def test_lora_and_qlora_of_two_recipes_are_not_held_against_each_other(put: Put, directory: Path) -> None:
    put()
    put("lora", {HELLASWAG: 0.1})
    put("qlora", {HELLASWAG: 0.1}, rank=4)
    as_good = found(directory)[4]
    assert as_good.verdict == "not measured" and "lora.rank" in as_good.cases[0].evidence


def test_low_cost_is_less_time_and_less_memory(put: Put, directory: Path) -> None:
    put()
    put("lora")
    put("full", costs={"train_seconds": 120.0, "train_peak_bytes": 6 * 10**9, "label_tokens": 1000})
    cost = found(directory)[3]
    assert cost.verdict == "agree" and "1 min 00 s against 2 min 00 s (-50.0% a label token)" in cost.cases[0].evidence


def test_costs_are_held_against_the_seeds_of_full_on_the_same_machine(put: Put, directory: Path) -> None:
    put(machine="slow")
    put("lora", machine="slow", costs={"train_seconds": 60.0, "train_peak_bytes": 10**9, "label_tokens": 1000})
    for seed, machine in enumerate(("fast", "slow")):
        costs = {"train_seconds": 30.0 + 270 * seed, "train_peak_bytes": 6 * 10**9, "label_tokens": 1000}
        put("full", seed=seed, machine=machine, costs=costs)
    case = found(directory)[3].cases[0]
    assert case.verdict == "agree" and "against full (seed 1): 1 min 00 s against 5 min 00 s" in case.evidence


def test_an_alignment_of_another_model_or_of_other_rows_is_left_out(put: Put, directory: Path) -> None:
    put()
    run = put("lora")
    alignment = Alignment(model="other", weights_sha256="b" * 64, dtype="float32", seed=0, training_sets={},
                          benchmarks={}, predictors={})  # fmt: skip
    write_alignment(directory, alignment)
    study = read_study(directory)
    assert study.alignment is None and "computed with other weights (other, bbbbbbbbbbbb)" in study.missing[-1]
    sample = Sample(rows=32, of=100, data_sha256="c" * 64)
    write_alignment(directory, alignment.model_copy(update={"weights_sha256": "a" * 64,
                                                            "training_sets": {"hellaswag_train": sample}}))  # fmt: skip
    assert read_study(directory).alignment is not None  # a run that says nothing of its rows
    run.write_environment({"training_set": {"sha256": "d" * 64}})
    study = read_study(directory)
    assert study.alignment is None and "hellaswag_train had other rows" in study.missing[-1]


def test_a_cost_is_that_of_a_label_token_and_what_was_not_measured_is_counted(put: Put, directory: Path) -> None:
    put()
    put("lora", costs={"train_seconds": 60.0, "train_peak_bytes": 3 * 10**9, "label_tokens": 500})
    put("qlora", machine="other")
    put("full", costs={"train_seconds": 120.0, "train_peak_bytes": 3 * 10**9, "label_tokens": 1000})
    cost = found(directory)[3]
    assert "1 min 00 s against 2 min 00 s (+0.0% a label token)" in cost.cases[0].evidence
    assert cost.verdict == "not resolved 1, not measured 1 of 2"


def test_costs_of_several_machines_are_told_apart(put: Put, directory: Path) -> None:
    put(machine="slow")
    for seed, machine in enumerate(("fast", "slow", "slow")):
        put("lora", seed=seed, machine=machine,
            costs={"train_seconds": 60.0 * (1 + seed), "train_peak_bytes": 10**9, "label_tokens": 1000})  # fmt: skip
    put("full", machine="slow", costs={"train_seconds": 300.0, "train_peak_bytes": 6 * 10**9, "label_tokens": 1000})
    put("qlora", machine="other")
    lora, qlora = found(directory)[3].cases
    assert (
        "(seeds 1 and 2) against full (seed 0): 2 min 30 s against 5 min 00 s (-50.0%" in lora.evidence
        and lora.verdict == "agree"
    )
    assert qlora.verdict == "not measured" and "processor other and slow" in qlora.evidence
    text = report(directory)
    assert (
        "Machines: A: fast, 2 cores, no accelerator; B: other, 2 cores, no accelerator, 2 runs at once; C: slow,"
        in text
    )
    assert "| lora on hellaswag_train (seed 0) | A | 1 min 00 s | 1.00 GB |" in text
    assert "| lora on hellaswag_train (seeds 1 and 2) | C | 2 min 30 s | 1.00 GB |" in text


def test_a_set_made_for_the_benchmark_against_the_others(put: Put, directory: Path) -> None:
    put()
    put("lora", {HELLASWAG: 0.1})
    put("lora", {}, train_on="alpaca")
    put("lora", {HELLASWAG: 0.1}, train_on="openbookqa")
    matters = found(directory)[5]
    one_by_one = {case.evidence.split(" against ")[1].split(",")[0]: case.verdict for case in matters.details[:2]}
    assert one_by_one == {"openbookqa (seed 0)": "disagree", "alpaca (seed 0)": "agree"}
    # On average over the two others, which are 10 and 0 points below: half the gain.
    assert (
        matters.cases[0].verdict == "agree"
        and "against 2 other sets (seed 0 of each), +5.0 (" in matters.cases[0].evidence
    )


def test_seeds_go_together_and_variants_are_named_by_what_differs(put: Put, directory: Path) -> None:
    put()
    for seed in range(3):
        put("lora", {HELLASWAG: 0.1}, seed=seed)
    put("lora", {HELLASWAG: 0.1}, train_on="alpaca")
    put("lora", {HELLASWAG: 0.2}, rank=4)
    study = read_study(directory)
    assert [one.name for one in study.fine_tunes] == [
        "lora on hellaswag_train", "lora on hellaswag_train, rank 4", "lora on alpaca",
    ]  # fmt: skip
    assert [len(one.runs) for one in study.fine_tunes] == [3, 1, 1]
    assert study.fine_tunes[0].changes[HELLASWAG].paired.n == N
    text = report(directory)
    assert "lora on hellaswag_train, hellaswag 0.0 points" in text  # the spread between seeds
    options = text[text.index("## What the options change") :]
    assert "lora on hellaswag_train, rank 4" in options.split("## Costs")[0]


def test_the_usual_recipe_is_that_of_most_training_sets(put: Put, directory: Path) -> None:
    put()
    for seed in range(2):
        put("lora", rank=64, seed=seed)
    put("lora")
    put("lora", train_on="alpaca")
    (variant,) = [one for one in read_study(directory).fine_tunes if one.variant]
    assert "rank 64" in variant.variant and len(variant.runs) == 2


def test_the_text_does_not_depend_on_when_or_in_which_order_runs_were_made(put: Put, directory: Path) -> None:
    put()
    runs = [put(method, {HELLASWAG: 0.1}, seed=seed) for method in ("lora", "qlora") for seed in range(2)]
    text = report(directory)
    random.Random(0).shuffle(runs)
    for i, run in enumerate(runs):
        fields = json.loads((run.path / "run.json").read_text())
        write_json(run.path / "run.json", fields | {"started": 1000.0 + i, "heartbeat": 2000.0, "finished": 2000.0})
    assert report(directory) == text


def test_what_is_missing_is_said(put: Put, directory: Path) -> None:
    put()
    put("lora", {HELLASWAG: 0.1})
    put("qlora", status="out_of_memory", error="killed by the system")
    (directory / "broken").mkdir()
    (directory / "broken" / "run.json").write_text("{")
    grid = {"model": "tiny", "methods": ["base", "lora"], "train_on": ["alpaca"], "benchmarks": list(BASE)}
    plan = StudyConfig.model_validate({"name": "made_up", "grids": [grid | {"options": {"steps": 2}}]})
    write_planned(directory, [config.run_id for config in plan.runs()])
    text = report(directory)
    assert "is not complete (out_of_memory: killed by the system)" in text and "broken cannot be read" in text
    assert f"1 of the study's {len(plan.runs())} runs are not here: lora-tiny-alpaca-s0-" in text
    assert "| 4 | The cost is low | not measured |" in text


def test_fine_tunes_of_other_weights_have_no_gains_here(put: Put, directory: Path) -> None:
    put()
    put("lora")
    stray = put("lora", seed=5)
    fields = json.loads((stray.path / "run.json").read_text())
    fields["lineage"]["weights_sha256"] = "b" * 64
    write_json(stray.path / "run.json", fields)
    study = read_study(directory)
    assert [len(one.runs) for one in study.fine_tunes] == [1]
    assert f"{stray.record.id} starts from other weights and is left out" in study.missing


def test_without_a_base_there_is_a_page_and_no_gain(put: Put, directory: Path) -> None:
    put("lora")
    text = report(directory)
    assert (
        "no base run" in text
        and "| 1 | LoRA-based methods improve the task that they are trained for | not meas" in text
    )


def test_nothing_to_report_on(tmp_path: Path, put: Put, directory: Path) -> None:
    with pytest.raises(SlimnbError, match="no completed run"):
        report(tmp_path)
    put("lora", status="failed", error="no luck")
    with pytest.raises(SlimnbError, match="no luck"):
        report(directory)


def grid_of_five(put: Put, directory: Path, **values: dict[str, dict[str, float]]) -> None:
    """LoRA on five sets, each better on its own benchmark only, and predictors."""
    put()
    for name in (*MADE, "alpaca", "code_alpaca"):
        put("lora", {MADE[name]: 0.1} if name in MADE else {}, train_on=name)
    predictors = {name: Predictor(seconds=1, values=rows) for name, rows in values.items()}
    write_alignment(
        directory,
        Alignment(model="tiny", weights_sha256="a" * 64, dtype="float32", seed=0, training_sets={}, benchmarks={},
                  predictors=predictors),
    )  # fmt: skip


def test_predictors_are_judged_against_the_gains(put: Put, directory: Path) -> None:
    sets = [*MADE, "alpaca", "code_alpaca"]
    right = {one: {name: float(MADE.get(one) == name) + i / 100 for i, name in enumerate(BASE)} for one in sets}
    wrong = {one: {name: -value for name, value in row.items()} for one, row in right.items()}
    grid_of_five(put, directory, lexical=right, gain=wrong)
    study = read_study(directory)
    known = predictions(study)
    assert known[SAME_NAME]["hellaswag_train", HELLASWAG] == 1 and known[SAME_NAME]["openbookqa", CLOZE] == 0
    assert known[SAME_FORM]["openbookqa", CLOZE] == 1
    text = report(directory)
    section = text[text.index("## Predicted alignment") : text.index("## Retention")]
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in section.splitlines() if "| 15 |" in line}
    assert float(rows["lexical"][2].split()[0]) > 0.5 > -0.5 > float(rows["gain"][2].split()[0])
    assert "Interval above 0: `lexical`." in section


def test_gains_that_are_mostly_noise_can_be_foretold_by_luck_alone(put: Put, directory: Path) -> None:
    put()
    draw, gains = random.Random(0), {}
    for name in (*MADE, "alpaca", "code_alpaca"):
        gains[name] = {at: draw.choice((0.0, 0.005, 0.01)) for at in BASE}
        put("lora", gains[name], train_on=name)
    write_alignment(
        directory,
        Alignment(model="tiny", weights_sha256="a" * 64, dtype="float32", seed=0, training_sets={}, benchmarks={},
                  predictors={"lexical": Predictor(seconds=1, values=gains)}),
    )  # fmt: skip
    foretells = foretold(read_study(directory)).cases[0]
    assert foretells.verdict == "not resolved"
    assert "`lexical` is above that, so part of its correlation is luck" in foretells.evidence


CELLS = [(f"set{i}", f"benchmark{j}") for i in range(5) for j in range(4)]


def test_a_predictor_that_says_it_all_and_one_that_says_nothing() -> None:
    truth = {cell: float(i % 7) + i / 50 for i, cell in enumerate(CELLS)}
    perfect = judge("perfect", {cell: value**3 for cell, value in truth.items()}, truth)
    assert perfect and perfect.correlation == pytest.approx(1) and perfect.low == pytest.approx(1)
    assert perfect.within == pytest.approx(1) and perfect.left_out == pytest.approx((1, 1))
    constant = judge("constant", dict.fromkeys(CELLS, 1.0), truth)
    assert constant and constant.correlation is None and constant.low is None and constant.left_out is None
    assert perfect.error is not None and constant.error is not None and perfect.error < constant.error
    assert judge("three", dict.fromkeys(CELLS[:3], 1.0), truth) is None
    half = judge("half", {cell: truth[cell] for cell in CELLS[:8]}, truth)
    assert half and half.cells == 8 and half.low is None  # two sets are too few to draw from


def test_a_correlation_that_one_set_alone_makes_is_seen_through() -> None:
    """Noise but for one set's cells, which are high on both sides."""
    draw = random.Random(0)
    truth = {cell: draw.random() + (10 if cell[0] == "set0" else 0) for cell in CELLS}
    said = {cell: draw.random() + (10 if cell[0] == "set0" else 0) for cell in CELLS}
    one = judge("one set", said, truth)
    assert one and one.correlation is not None and one.left_out and one.left_out[0] < one.correlation - 0.2
    assert one.low is not None and one.high is not None and one.low < 0.3 and one.low < one.correlation < one.high + 0.2


def test_gains_that_are_all_noise_leave_nothing_to_predict() -> None:
    truth = {cell: float(i) for i, cell in enumerate(CELLS)}
    assert ceiling(truth, dict.fromkeys(CELLS, 0.001)) == pytest.approx(1)
    low = ceiling(truth, dict.fromkeys(CELLS, 1000.0))
    assert low is not None and abs(low) < 0.2
    assert rank_correlation(np.array([1.0, 2.0]), np.array([1.0, 2.0])) is None


def test_mechanisms_come_from_the_stored_anatomies(put: Put, directory: Path) -> None:
    put()
    put("lora")
    run = put("lora", seed=1)
    matrix = Matrix(
        name="m", layer=0, kind="q_proj", shape=(4, 4), singular_values=[1.0], effective_rank=1.5, stable_rank=1.2,
        energy_rank=1, relative_norm=0.1, amplification=2.0, alignment=3.0, cosines=[0.2, 0.9],
        quantization={"nf4": 0.3},
    )  # fmt: skip
    anatomy = Anatomy(run=run.record.id, method="lora", dtype="float32", seed=0, rank=2, alpha=4, scale=2,
                      directions=2, matrices=[matrix], skipped=0, seconds=1)  # fmt: skip
    write_json(run.path / "anatomy.json", anatomy.model_dump(mode="json"))
    section = report(directory).partition("## Mechanisms")[2]
    assert "| lora on hellaswag_train (seed 1) | 1.5 (1.5 to 1.5) |" in section and "3 (3 to 3)" in section
    assert "Intruder dimensions:" in section


def test_the_command_writes_the_page(put: Put, directory: Path, tmp_path: Path) -> None:
    put()
    put("lora", {HELLASWAG: 0.1})
    out = tmp_path / "page.md"
    outcome = CliRunner().invoke(app, ["report", str(directory), "--out", str(out)])
    assert outcome.exit_code == 0 and out.read_text() == report(directory)
    assert CliRunner().invoke(app, ["report", str(directory)]).stdout == report(directory)
