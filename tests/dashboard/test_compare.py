"""The page Compare with several seeds, and what the help says of it."""

import json
import re
from typing import Any

import pytest

from dashboard.wording import WHERE_TO_LOOK
from slimnb.store.runs import RunFolder
from tests.conftest import MakeRun
from tests.dashboard.app import Open, figures, names

Seeds = dict[str, list[str]]


@pytest.fixture
def seeds(make_run: MakeRun) -> Seeds:
    """Three methods with two seeds each."""
    rates = {"base": (10, 11), "lora": (30, 28), "qlora": (29, 27)}
    return {
        method: [
            make_run(method, tuple(item < right for item in range(40)), seed=seed).path.name
            for seed, right in enumerate(both)
        ]
        for method, both in rates.items()
    }


def drawn_again(app: Any) -> list[dict[str, Any]]:
    """The figures that the exported lines draw."""
    drawn = []
    for code in [one.value for one in app.code if one.value.startswith("from pathlib")]:
        *before, last = code.splitlines()
        namespace: dict[str, Any] = {}
        exec("\n".join([*before, f"figure = {last}"]), namespace)
        drawn.append(json.loads(namespace["figure"].to_json()))
    return drawn


def test_any_seed_can_be_the_first(open_page: Open, seeds: Seeds):
    app = open_page("compare", first=seeds["base"][1], other=[seeds["base"][0], *seeds["lora"], *seeds["qlora"]])
    against, between, _ = shown = figures(app)
    assert [names(one) for one in (against, between)] == [["LoRA", "QLoRA"], ["QLoRA"]]
    assert "(over the seeds)" in against["data"][0]["hovertext"]
    assert [one["data"] for one in drawn_again(app)] == [one["data"] for one in shown]


def test_seeds_of_lora_against_seeds_of_qlora_ask_for_equivalence(open_page: Open, seeds: Seeds):
    app = open_page("compare", first=seeds["lora"][1], other=[seeds["lora"][0], *seeds["qlora"]])
    against, _ = figures(app)
    assert names(against) == ["QLoRA"]
    assert [shape["x1"] for shape in against["layout"]["shapes"] if shape["type"] == "rect"] == [2.0]
    assert drawn_again(app)[0]["layout"]["shapes"] == against["layout"]["shapes"]
    (caption,) = [one.value for one in app.caption if "McNemar" in one.value]
    assert "over several seeds the sign-flip test" in caption


def test_the_help_names_columns_that_there_are(open_page: Open, runs: dict[str, RunFolder]):
    named = re.findall(r"column\s+\*([^*]+)\*", WHERE_TO_LOOK)
    assert "verdict" in named and set(named) <= set(open_page("compare").dataframe[0].value)


def test_no_reading_help_takes_overlapping_lines_for_no_difference(open_page: Open, runs: dict[str, RunFolder]):
    for page, start in (("cost", "Up is better"), ("compare", "A bar is")):
        (said, *_) = [one.value for one in open_page(page, teach="1").caption if one.value.startswith(start)]
        assert "lines overlap may still differ" in said
