"""What the address asks for, and what a page makes of it."""

import pytest

from slimnb.store.runs import RunFolder
from tests.conftest import MakeRun
from tests.dashboard.app import EVIL, Open, by_its_name_alone, checked, figures, names


@pytest.mark.parametrize(
    ("page", "key"),
    [("overview", "study"), ("runs", "status"), ("runs", "column"), ("compare", "first"), ("compare", "other"),
     ("compare", "margin"), ("items", "second"), ("items", "benchmark"), ("items", "change"), ("items", "item"),
     ("training", "run"), ("training", "what"), ("training", "smoothing"), ("cost", "benchmark"), ("cost", "teach")],
)  # fmt: skip
@pytest.mark.parametrize("asked", [f"../../../etc/passwd {EVIL}", "nan"])
def test_what_is_not_here_is_named_and_replaced(page: str, key: str, asked: str, open_page: Open,
                                                runs: dict[str, RunFolder]):  # fmt: skip
    app = open_page(page, **{key: asked})
    assert "the address asks for one that is not here" in app.warning[0].value
    assert asked in [one.value for one in app.text]
    assert app.query_params.get(key) != asked
    assert app.dataframe or figures(app)


@pytest.mark.parametrize("asked", [["5"], ["9", "-9", "1"], ["inf", "-inf"], ["1e999", "0"], [""]])
@pytest.mark.parametrize("key", ["confidence", "length"])
def test_ends_of_a_range_that_are_none_change_nothing(
    key: str, asked: list[str], open_page: Open, quiz: list[RunFolder]
):
    assert "**4 of 4 items**" in [one.value for one in open_page("items", **{key: asked}).markdown]


def test_another_study_starts_the_choices_anew(open_page: Open, runs: dict[str, RunFolder], make_run: MakeRun):
    later = make_run("lora", study="later")
    app = open_page("training", study="later", run=[later.path.name], teach="1")
    app.selectbox(key="study").set_value("<i>study")
    assert names(figures(checked(app.run()))[0]) == ["LoRA", "QLoRA", "full"]
    assert "run" not in app.query_params and not app.warning and app.query_params["teach"] == "1"


def test_what_was_chosen_on_another_page_is_no_fault_of_the_address(open_page: Open, runs: dict[str, RunFolder]):
    app = open_page("cost", run=[runs["base"].path.name, runs["full"].path.name])
    app = by_its_name_alone(app, "training")
    assert not app.warning and names(figures(app)[0]) == ["full"]  # base has no training
    app.query_params["run"] = runs["base"].path.name
    assert "the address asks for one that is not here" in checked(app.run()).warning[0].value
