"""Every page of the app: without runs, with runs that hold markup and damage, and asked for what is not there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from slimnb.records import Costs
from slimnb.runs import RunFolder
from tests.conftest import MakeRun

APP = Path(__file__).resolve().parents[1] / "dashboard" / "app.py"
PAGES = ["overview", "runs", "compare", "training", "cost"]
EVIL = "<script>alert(1)</script> [link](http://example.org) :red[red] $x$ **bold**"

Open = Callable[..., AppTest]


@pytest.fixture
def open_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open a page of the app over tmp_path/runs and check that nothing went wrong."""
    monkeypatch.setattr("sys.argv", ["app.py", "--runs", str(tmp_path / "runs")])

    def open_(page: str, **address: str | list[str]) -> AppTest:
        app = AppTest.from_file(APP, default_timeout=20)
        app.run().switch_page(f"views/{page}.py")
        app.query_params.update(address)
        return checked(app.run())

    return open_


def checked(app: AppTest) -> AppTest:
    assert [one.value for one in app.exception] == []
    return app


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
            steps = [json.dumps({"step": step, "loss": 2.0 / step}) for step in (1, 2, 3)]
            (run.path / "metrics.jsonl").write_text("\n".join(steps), encoding="utf-8")
        made[method] = run
    broken = tmp_path / "runs" / "<i>study" / "lora-broken"
    broken.mkdir()
    (broken / "run.json").write_text(f'{{"schema_version": 1, "id": "{EVIL}"', encoding="utf-8")
    return made


def texts(app: AppTest) -> str:
    return "\n".join(one.value for one in app.text)


def figures(app: AppTest) -> list[dict[str, Any]]:
    return [json.loads(one.proto.spec) for one in app.get("plotly_chart")]


def names(figure: dict[str, Any]) -> list[str]:
    return [trace["name"] for trace in figure["data"]]


@pytest.mark.parametrize("page", PAGES)
def test_without_runs_every_page_says_how_to_make_some(page: str, open_page: Open, tmp_path: Path):
    app = open_page(page)
    assert app.title[0].value == page.capitalize()
    assert "`make demo` makes four" in app.info[0].value
    assert str(tmp_path / "runs") in texts(app)


@pytest.mark.parametrize("page", PAGES)
def test_text_of_runs_is_shown_as_text(page: str, open_page: Open, runs: dict[str, RunFolder]):
    app = open_page(page)
    marked_up = [*app.markdown, *app.title, *app.header, *app.subheader, *app.caption, *app.warning, *app.info]
    for element in marked_up:
        assert "<" not in element.value and "example.org" not in element.value
    for figure in figures(app):
        figure["layout"].pop("meta")  # the text alternative is plain text
        assert "<script" not in json.dumps(figure) and "<u>" not in json.dumps(figure)
    assert not app.get("html") and not app.get("iframe")


def test_overview_tells_what_is_resolved_and_what_not(open_page: Open, runs: dict[str, RunFolder]):
    app = open_page("overview")
    assert "LoRA changed <u>bench by +50.0 points (95% +30.0 to +65.0, 40 items): resolved." in texts(app)
    assert "QLoRA changed <u>bench by +5.0 points" in texts(app)
    assert "not resolved with 40 items" in texts(app)
    changes, scores = figures(app)
    assert names(changes) == ["LoRA", "QLoRA", "full"]
    assert names(scores) == ["base", "LoRA", "QLoRA", "full"]
    table = app.dataframe[0].value
    assert list(table["method"]) == ["base", "LoRA", "QLoRA", "full"]
    assert list(table["right"]) == ["10/40", "30/40", "12/40", "5/40"]


def test_runs_lists_every_run_and_the_broken_one_with_its_reason(open_page: Open, runs: dict[str, RunFolder]):
    app = open_page("runs")
    table = app.dataframe[0].value
    assert list(table["run"]) == [run.path.name for run in runs.values()]
    assert set(table["status"]) == {"completed"} and set(table["error"]) == {EVIL}
    assert "<i>study/lora-broken: " in texts(app) and "not valid JSON" in texts(app)


def test_compare_shows_the_change_and_the_difference_of_the_configurations(open_page: Open, runs: dict[str, RunFolder]):
    app = open_page("compare", first=runs["lora"].path.name, second=runs["full"].path.name)
    row = app.dataframe[0].value.iloc[0]
    assert (row["items"], row["fixed"], row["broken"]) == (40, 0, 25)
    assert row["first (%)"].startswith("75.0 (") and row["change (points)"].startswith("-62.5 (")
    fields = app.dataframe[1].value.set_index("field")
    assert list(fields.loc["method"]) == ["lora", "full"]
    assert "seed" not in fields.index and "training.data" not in fields.index


def test_compare_gives_the_reason_of_a_refusal(open_page: Open, runs: dict[str, RunFolder], make_run: MakeRun):
    other = make_run("lora", (True,) * 40, study="<i>study", benchmark="<u>bench", weights="b" * 64, seed=1)
    app = open_page("compare", second=other.path.name)
    assert "they start from different weights" in texts(app)
    assert app.dataframe[0].value.iloc[0]["change (points)"] == "refused"
    assert "not compared. " in texts(open_page("overview"))


def test_training_shows_the_chosen_runs(open_page: Open, runs: dict[str, RunFolder]):
    app = open_page("training")
    assert names(figures(app)[0]) == ["LoRA", "QLoRA", "full"]
    app = open_page("training", run=[runs["full"].path.name, runs["lora"].path.name])
    assert names(figures(app)[0]) == ["LoRA", "full"]
    app.button_group[0].set_value([runs["qlora"].path.name])
    assert names(figures(checked(app.run()))[0]) == ["QLoRA"]
    assert app.query_params["run"] == runs["qlora"].path.name


def test_cost_shows_memory_and_time(open_page: Open, runs: dict[str, RunFolder]):
    app = open_page("cost")
    memory, time = figures(app)
    assert [trace["x"] for trace in memory["data"]] == [[2.0]] * 4
    assert [trace["x"] for trace in time["data"]] == [[0.0], [1.0], [1.0], [1.0]]
    assert not app.warning
    assert list(app.dataframe[0].value["batch size"].dropna()) == [8, 8, 8]


def test_cost_warns_of_different_batch_sizes(open_page: Open, make_run: MakeRun):
    for method, size in (("lora", 4), ("qlora", 8)):
        make_run(method, batch_size=size)
    assert "different batch sizes" in open_page("cost").warning[0].value


@pytest.mark.parametrize(
    ("page", "key"),
    [("overview", "study"), ("compare", "first"), ("compare", "second"), ("training", "run"), ("cost", "benchmark")],
)
@pytest.mark.parametrize("asked", ["../../../etc/passwd", EVIL])
def test_an_unknown_name_in_the_address_is_named_and_replaced(
    page: str, key: str, asked: str, open_page: Open, runs: dict[str, RunFolder]
):
    app = AppTest.from_file(APP, default_timeout=20)
    if key == "study":
        app.query_params["study"] = asked
        app = checked(app.run())
        assert app.selectbox(key="study").value == "<i>study"
    else:
        app = open_page(page, **{key: asked})
    assert figures(app)
    assert "the address asks for one that is not here" in app.warning[0].value
    assert asked in [one.value for one in app.text]


def test_another_study_starts_the_choices_anew(open_page: Open, runs: dict[str, RunFolder], make_run: MakeRun):
    later = make_run("lora", study="later")
    app = open_page("training", run=[later.path.name])
    app.selectbox(key="study").set_value("<i>study")
    assert names(figures(checked(app.run()))[0]) == ["LoRA", "QLoRA", "full"]
    assert "run" not in app.query_params and not app.warning


@pytest.mark.parametrize("page", PAGES)
def test_damaged_files_take_no_page_down(page: str, open_page: Open, runs: dict[str, RunFolder]):
    (runs["lora"].path / "eval" / "<u>bench" / "items.parquet").write_bytes(b"not parquet")
    (runs["qlora"].path / "eval" / "<u>bench" / "items.parquet").unlink()
    (runs["qlora"].path / "metrics.jsonl").write_text('{"step": 1, "loss": "high"}', encoding="utf-8")
    (runs["full"].path / "metrics.jsonl").write_bytes(b"\xff\xfe")
    (runs["full"].path / "config.json").write_text("[]", encoding="utf-8")
    items = runs["base"].items("<u>bench").drop(columns="correct_acc_norm")
    runs["base"].write_items("<u>bench", items, runs["base"].record.scores["<u>bench"])
    runs["base"].record.started = 1e300
    runs["base"].save()
    assert open_page(page).title


def test_runs_that_appear_later_are_seen(open_page: Open, runs: dict[str, RunFolder], make_run: MakeRun):
    app = open_page("runs", study="<i>study")
    assert len(app.dataframe[0].value) == 4
    make_run("lora", (True,) * 40, study="<i>study", benchmark="<u>bench", seed=1)
    assert len(checked(app.run()).dataframe[0].value) == 5
