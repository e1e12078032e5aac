"""Advice, tables and `slimnb plan`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from slimnb.errors import SlimnbError
from slimnb.models.load import LoadedModel
from slimnb.planning.architecture import Architecture, read_architecture
from slimnb.planning.memory import Setup, predict
from slimnb.planning.plan import CARDS, advise, all_methods, cards_table, command, make_plan, plan_lines, plan_table
from slimnb.planning.probe import Rate, Work, count_work, made_up_row, measure_rate, try_rate
from slimnb.training.loop import tokenize
from slimnb.training.training_sets import TRAINING_SETS
from tests.conftest import Slimnb
from tests.families import CONFIGS

SETUP = Setup("lora", rank=4, batch_size=4, length=64, device="cuda")
"""On a CPU 4 bits spare little: the 16-bit weights stay mapped, as long as there is room."""


@pytest.fixture(scope="module")
def architecture(tmp_path_factory: pytest.TempPathFactory) -> Architecture:
    """Deep enough that activations count, and wide enough that 4 bits do."""
    place = tmp_path_factory.mktemp("deep")
    config = CONFIGS["llama"]()
    config.num_hidden_layers, config.hidden_size, config.intermediate_size, config.head_dim = 40, 256, 1024, 64
    config.save_pretrained(place)
    return read_architecture(str(place))


@pytest.fixture
def plan(slimnb: Slimnb, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Slimnb:
    """`slimnb plan WORDS`, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: slimnb("plan", *words)


def peak(architecture: Architecture, method: Any, checkpointing: bool) -> int:
    return predict(architecture, replace(SETUP, method=method, checkpointing=checkpointing)).peak


def rendered(table: Any) -> str:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


# Advice


def test_lora_is_recommended_where_it_fits_and_then_what_spares_most(architecture: Architecture) -> None:
    order = [("lora", False), ("lora", True), ("qlora", False), ("qlora", True)]
    peaks = {one: peak(architecture, *one) for one in order}
    for method, checkpointing in order:
        memory = peaks[method, checkpointing]
        first = next(one for one in order if peaks[one] <= memory)
        said = advise(architecture, SETUP, memory)
        name = f"{first[0]} with checkpointing" if first[1] else first[0]
        assert said[0].startswith(f"Recommended: {name}, ")
        assert said[-1].endswith("--gradient-checkpointing") == first[1]
    assert peaks["qlora", True] == min(peaks.values())


def test_where_nothing_fits_the_advice_says_so(architecture: Architecture) -> None:
    (said,) = advise(architecture, SETUP, peak(architecture, "qlora", True) - 1)
    assert said.startswith("No method fits") and "qlora with checkpointing needs least" in said


def test_full_fine_tuning_is_mentioned_where_it_fits(architecture: Architecture) -> None:
    full = peak(architecture, "full", False)
    assert any(line.startswith("full fits as well") for line in advise(architecture, SETUP, full))
    assert not any(line.startswith("full fits") for line in advise(architecture, SETUP, full - 1))


def test_the_command_names_what_is_not_the_default() -> None:
    assert command("M", Setup("lora")) == "slimnb run --model M --method lora --train-on NAME"
    told = command("M", Setup("qlora", rank=8, length=512, checkpointing=True))
    assert told.endswith("--method qlora --train-on NAME --rank 8 --max-length 512 --gradient-checkpointing")


def test_the_command_trains_on_what_and_for_as_long_as_was_asked(architecture: Architecture) -> None:
    assert command("M", Setup("lora"), "my rows.csv", 2.0).endswith("--train-on 'my rows.csv' --epochs 2")
    assert command("M", Setup("lora"), "own.csv", 3.0).endswith("--train-on own.csv")
    told = command("M", Setup("lora"), "own.csv", columns={"prompt": "a b", "completion": "c"})
    assert told.endswith("--train-on own.csv --columns 'prompt=a b,completion=c'")
    made = make_plan(architecture, SETUP, 10**12, Work(100, 50.5, 1.5), None, "", "own.csv")
    assert "--train-on own.csv --epochs 1.5" in made.advice[-1]


# Time


def test_the_time_is_tokens_over_the_rate_and_else_null_with_the_reason(architecture: Architecture) -> None:
    work, rate = Work(rows=100, tokens_per_row=50.5, epochs=2), Rate(1000.0, 10_000, 10.0)
    timed = make_plan(architecture, SETUP, 10**12, work, rate, "")
    assert timed.seconds == pytest.approx(10.1) and timed.no_seconds is None
    assert any("10 s for 10,100 tokens" in line for line in plan_lines(timed))
    untimed = make_plan(architecture, SETUP, 10**12, work, None, "no rate was measured: add --probe")
    assert untimed.seconds is None and untimed.no_seconds == "no rate was measured: add --probe"
    workless = make_plan(architecture, SETUP, 10**12, None, rate, "")
    assert workless.seconds is None and "--train-on" in (workless.no_seconds or "")


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_rate_is_measured_by_training(method: Any) -> None:
    rate = measure_rate("tiny", Setup(method, rank=2, length=32), 32, seconds=0.1)
    assert rate.seconds >= 0.1
    assert rate.tokens_per_second == pytest.approx(rate.tokens / rate.seconds)


def test_a_rate_that_cannot_be_measured_here_has_a_reason(tmp_path: Path) -> None:
    assert try_rate("tiny", Setup("base"), "cpu", 8) == (None, "method base trains nothing")
    assert try_rate("tiny", Setup("lora", device="cuda"), "cpu", 8) == (None, "this machine has cpu, not cuda")
    rate, reason = try_rate("some/model", Setup("lora"), "cpu", 8)
    assert rate is None and "slimnb models get some/model" in reason


@pytest.mark.parametrize("length", [2, 9, 40])
def test_a_made_up_row_has_the_length_that_is_asked_for(length: int, tiny: LoadedModel) -> None:
    found = len(tokenize(tiny.tokenizer, made_up_row(tiny.tokenizer, length)).ids)
    assert length - 1 <= found <= max(length, 4)  # " a" is two tokens of `tiny`


def test_a_training_sets_tokens_are_counted(tmp_path: Path, tiny: LoadedModel) -> None:
    rows = [{"prompt": "ab", "completion": "c" * size} for size in (2, 4, 500)]
    file = tmp_path / "own.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    work = count_work("tiny", str(file), None, length=64, epochs=2)
    first = len(tokenize(tiny.tokenizer, made_up_row(tiny.tokenizer, 4)).ids)
    assert first <= 4 and work.rows == 2
    assert work.tokens == round(2 * work.rows * work.tokens_per_row)
    with pytest.raises(SlimnbError, match="all 3 rows are longer than 3 tokens"):
        count_work("tiny", str(file), None, length=3, epochs=2)
    with pytest.raises(SlimnbError, match="--tokens-per-row"):
        count_work("some/model", str(file), None, length=64, epochs=2)
    assert "own.jsonl" not in TRAINING_SETS


# Tables


def test_the_advice_has_evidence_with_a_runs_id(architecture: Architecture) -> None:
    said = " ".join(advise(architecture, SETUP, 10**12))
    assert "lora-smollm2-135m-workshop-math-s0-0e7bc5" in said and "full-smollm2-135m-workshop-math-s0-0cac5c" in said
    assert "it shows what may happen" in said


def test_a_plan_is_shown_item_by_item(architecture: Architecture) -> None:
    plan = make_plan(architecture, SETUP, 10**12, None, None, "")
    shown = rendered(plan_table(plan))
    for one in plan.prediction.items:
        assert one.name in shown
    assert f"{plan.prediction.peak / 1e9:.3f}" in shown and "fits into 1000.00 GB" in shown


def test_methods_are_shown_against_the_usual_cards(architecture: Architecture) -> None:
    found = all_methods(architecture, SETUP)
    assert [one.method for one in found] == ["base", "lora", "qlora", "full"]
    lora = found[1]
    assert lora.peak_checkpointing is not None and lora.peak_checkpointing < lora.peak
    assert lora.verdict(lora.peak) == "fits"
    assert lora.verdict(lora.peak - 1) == "fits with checkpointing"
    assert lora.verdict(lora.peak_checkpointing - 1) == found[0].verdict(0) == "does not fit"
    shown = rendered(cards_table("M", found, SETUP))
    assert all(f"{card} GB" in shown for card in CARDS)


# The command


def test_json_is_one_document_whose_items_add_up(plan: Slimnb) -> None:
    status, out, _ = plan("--model", "tiny", "--length", "64", "--memory", "2GiB", "--json")
    document = json.loads(out)
    assert status == 0
    assert sum(item["bytes"] for item in document["items"]) == document["peak_bytes"]
    assert all(set(item) == {"name", "bytes", "why"} and item["why"] for item in document["items"])
    assert (document["model"], document["memory_bytes"]) == ("tiny", 2 * 2**30)
    assert document["seconds"] is None and document["no_seconds"]
    assert document["fits"] and document["advice"]


def test_a_table_and_advice_for_people(plan: Slimnb) -> None:
    status, out, err = plan("--model", "tiny", "--method", "full", "--length", "64", "--memory", "100GB")
    assert (status, err) == (0, "")
    for expected in ("gradients", "optimizer", "Largest micro-batch", "Recommended: lora", "slimnb run --model tiny"):
        assert expected in out


def test_all_methods_as_json_and_as_a_table(plan: Slimnb) -> None:
    status, out, _ = plan("--model", "tiny", "--length", "64", "--all-methods", "--json")
    document = json.loads(out)
    assert status == 0 and [one["method"] for one in document["methods"]] == ["base", "lora", "qlora", "full"]
    assert document["setup"]["device"] == "cuda"
    assert set(document["methods"][0]["cards"]) == {f"{card} GB" for card in CARDS}
    assert "80 GB" in plan("--model", "tiny", "--length", "64", "--all-methods")[1]


def test_the_time_of_a_training_set_is_measured_on_request(plan: Slimnb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slimnb.planning.probe.SECONDS", 0.1)
    given = ("--model", "tiny", "--rows", "10", "--tokens-per-row", "32", "--probe", "--length", "64", "--json")
    document = json.loads(plan(*given)[1])
    assert document["rate"]["tokens_per_second"] > 0
    assert document["seconds"] == pytest.approx(10 * 32 * 3 / document["rate"]["tokens_per_second"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model", "no/such-model"), "config.json could not be downloaded"),
        (("--model", "./nowhere"), "no such directory"),
        (("--model", "tiny", "--memory", "16"), "such as 16GB"),
        (("--model", "tiny", "--optimizer", "paged_adamw_8bit", "--device", "cpu"), "needs CUDA"),
    ],
)
def test_what_is_wrong_is_told_in_words(words: tuple[str, ...], said: str, plan: Slimnb) -> None:
    status, out, err = plan(*words)
    assert (status, out) == (1, "")
    assert err.startswith("Error: ") and said in err and "Traceback" not in err


@pytest.mark.parametrize("words", [("--rows", "5"), ("--rows", "5", "--tokens-per-row", "9", "--train-on", "dolly")])
def test_a_training_set_is_given_in_one_way(words: tuple[str, ...], plan: Slimnb) -> None:
    assert plan("--model", "tiny", *words)[0] == 2
