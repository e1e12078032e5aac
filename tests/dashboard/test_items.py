"""The page Items: which are shown, and what of each."""

from typing import Any

import pytest

from slimnb.benchmarks import get_benchmark
from slimnb.store.runs import RunFolder
from tests.conftest import ROOT, MakeRun
from tests.dashboard.app import Open, checked, opened, texts


@pytest.mark.parametrize(
    ("address", "left"),
    [({}, 4), ({"change": "broken"}, 1), ({"change": ["fixed", "both wrong"]}, 2), ({"subject": "b"}, 2),
     ({"confidence": ["0", "50"]}, 4), ({"confidence": ["-50", "0"]}, 0), ({"length": ["0", "1"]}, 4)],
)  # fmt: skip
def test_items_are_filtered(address: dict[str, Any], left: int, open_page: Open, quiz: list[RunFolder]):
    app = open_page("items", **address)
    assert f"**{left} of 4 items**" in [one.value for one in app.markdown]
    assert not left or len(app.dataframe[0].value) == left


def test_an_item_is_shown_with_its_text_and_both_runs_choices(open_page: Open, quiz: list[RunFolder]):
    app = open_page("items", change="broken")
    asked = get_benchmark("workshop_cs").load(limit=4).items[1]
    assert asked.question in texts(app) and f"Right answer: (0) {asked.choices[0]}" in texts(app)
    choices = app.dataframe[1].value
    assert list(choices["first: log-likelihood"]) == [-1.0, -1.0, -9.0, -9.0]
    assert choices["second: confidence (%)"].sum() == pytest.approx(100)
    assert list(choices["first: picked"]) == ["picked", "", "", ""]
    assert list(choices["second: picked"]) == ["", "picked", "", ""]


def test_next_opens_the_next_item_and_the_address_says_so(open_page: Open, quiz: list[RunFolder]):
    app = open_page("items")
    asked = [item.id for item in get_benchmark("workshop_cs").load(limit=4).items]
    assert app.selectbox(key="item").value == asked[0]
    next(button for button in app.button if button.label == "Next").click()
    assert checked(app.run()).query_params["item"] == asked[1] == app.selectbox(key="item").value


def test_generations_stand_side_by_side_with_what_was_read(monkeypatch: pytest.MonkeyPatch):
    app = opened("items", ROOT / "data" / "runs", monkeypatch, study="demo", benchmark="workshop_math")
    assert len(app.code) == 2 and all("12 * 3 = 36" in one.value for one in app.code)
    first, second = (table.value.set_index("read by") for table in app.dataframe[1:3])
    assert list(first.loc["strict-match"]) == ["[invalid]", "wrong"]
    assert list(second.loc["strict-match"]) == ["36", "right"]


def test_items_without_their_text_say_how_to_get_it(open_page: Open, make_run: MakeRun):
    for method in ("base", "lora"):
        make_run(method, benchmark="mmlu_cs")
    assert "name the directory of the data set by --data or SLIMNB_DATA" in texts(open_page("items"))
