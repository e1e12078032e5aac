"""Items side by side; what the command line makes of them is in test_exports.py."""

from __future__ import annotations

import numpy as np
import pytest

from slimnb.analysis.drilldown import CHANGES, Texts, item_detail, items_frame, texts
from slimnb.benchmarks import get_benchmark
from slimnb.errors import SlimnbError
from slimnb.store.runs import RunFolder
from tests.conftest import MakeRun

ASKED = get_benchmark("workshop_cs").load(limit=4).items


def with_items(run: RunFolder, **columns: object) -> RunFolder:
    ((name, result),) = run.record.scores.items()
    run.write_items(name, run.items(name).assign(**columns), result)
    return run


@pytest.fixture
def pair(make_run: MakeRun) -> tuple[RunFolder, RunFolder]:
    """One item of each change, with log-likelihoods under which the second run is surer of every answer."""
    ids = [item.id for item in ASKED]
    runs = make_run("base", (False, True, False, True)), make_run("lora", (True, False, False, True))
    with_items(runs[0], id=ids, log_likelihoods=[[-1.0, -1.0]] * 4)
    with_items(runs[1], id=ids, log_likelihoods=[[-1.0, -1.0 - np.log(3)]] * 4)
    return runs


def test_every_item_is_one_of_four_changes(pair: tuple[RunFolder, RunFolder]):
    frame = items_frame(*pair, "workshop_cs")
    assert list(frame["change"]) == list(CHANGES)
    assert frame["length"].isna().all() and list(frame["first"]) == ["1", "0", "1", "0"]


def test_lengths_are_those_of_the_texts(pair: tuple[RunFolder, RunFolder]):
    frame = items_frame(*pair, "workshop_cs", texts("workshop_cs", None))
    assert list(frame["length"]) == [len(item.question) for item in ASKED]


def test_confidence_is_the_right_answers_share_among_the_choices(pair: tuple[RunFolder, RunFolder]):
    frame = items_frame(*pair, "workshop_cs")
    assert frame["first_confidence"].tolist() == pytest.approx([0.5] * 4)
    assert frame["second_confidence"].tolist() == pytest.approx([0.75] * 4)
    assert frame["confidence_change"].tolist() == pytest.approx([0.25] * 4)


def test_without_log_likelihoods_there_is_no_confidence(make_run: MakeRun):
    frame = items_frame(make_run("base"), make_run("lora"), "workshop_cs")
    assert frame["confidence_change"].isna().all()


@pytest.mark.parametrize("gold", [7, -1, "none"])
def test_a_right_answer_that_is_no_choice_has_no_confidence(pair: tuple[RunFolder, RunFolder], gold: object):
    with_items(pair[0], gold=[gold] * 4)
    assert items_frame(*pair, "workshop_cs")["first_confidence"].isna().all()
    assert not any(line["right"] for line in item_detail(*pair, "workshop_cs", ASKED[0].id)["choices"])


def test_only_items_of_both_runs_are_paired_in_the_first_ones_order(pair: tuple[RunFolder, RunFolder]):
    with_items(pair[1], id=[ASKED[2].id, ASKED[0].id, "other", "another"])
    assert list(items_frame(*pair, "workshop_cs")["id"]) == [ASKED[0].id, ASKED[2].id]


def test_a_missing_column_is_an_error_that_names_it(pair: tuple[RunFolder, RunFolder]):
    result = pair[1].record.scores["workshop_cs"]
    pair[1].write_items("workshop_cs", pair[1].items("workshop_cs").drop(columns="correct_acc_norm"), result)
    with pytest.raises(SlimnbError, match="no column correct_acc_norm"):
        items_frame(*pair, "workshop_cs")


def test_an_items_choices_stand_beside_both_runs_log_likelihoods(pair: tuple[RunFolder, RunFolder]):
    detail = item_detail(*pair, "workshop_cs", ASKED[0].id, texts("workshop_cs", None))
    assert detail["text"] == ASKED[0].question and detail["gold"] == f"(0) {ASKED[0].choices[0]}"
    first, second = detail["choices"]
    assert first["choice"] == ASKED[0].choices[0] and first["right"] and not second["right"]
    assert first["second_picks"] and second["first_picks"] and not first["first_picks"]
    assert second["second_probability"] == pytest.approx(0.25)


def test_a_generated_answer_says_what_each_reading_found(make_run: MakeRun):
    columns = {"text": " 3 ", "extracted_strict-match": "[invalid]", "extracted_flexible-extract": "3",
               "correct_flexible-extract": True, "hit_limit": True}  # fmt: skip
    pair = [with_items(make_run(method), **columns) for method in ("base", "lora")]
    detail = item_detail(pair[0], pair[1], "workshop_cs", "item:0")
    assert not detail["choices"] and detail["text"] is None
    assert detail["answers"][0]["generated"] == " 3 " and detail["answers"][0]["hit_limit"]
    assert detail["answers"][0]["extracted"] == {"strict-match": "[invalid]", "flexible-extract": "3"}
    assert detail["answers"][0]["right"]["flexible-extract"]


def test_an_item_that_is_not_there_is_an_error(pair: tuple[RunFolder, RunFolder]):
    with pytest.raises(SlimnbError, match="no item nowhere"):
        item_detail(*pair, "workshop_cs", "nowhere")


def test_texts_that_are_not_here_say_why():
    assert texts("workshop_cs", None).items[ASKED[0].id] == ASKED[0]
    assert "SLIMNB_DATA" in str(texts("mmlu_cs", None).missing)
    assert "no benchmark is called" in str(texts("<b>", None).missing)
    assert Texts().items == {}
