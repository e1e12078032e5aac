"""Every page of the app: without runs, with runs that hold markup, asked for what is not there, and what it shows."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from slimnb.benchmarks import get_benchmark
from slimnb.records import Costs
from slimnb.runs import RunFolder
from tests.conftest import ROOT, MakeRun

APP = ROOT / "dashboard" / "app.py"
PAGES = ["overview", "runs", "compare", "items", "training", "cost", "imports"]
EVIL = "<script>alert(1)</script> [link](http://example.org) :red[red] $x$ **bold**"
ABSENT = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "datasets", "huggingface_hub", "gguf",
          "safetensors", "typer", "rich")  # fmt: skip

Open = Callable[..., AppTest]


def opened(page: str, runs: Path, monkeypatch: pytest.MonkeyPatch, *options: str, **address: Any) -> AppTest:
    """A page of the app over a directory of runs, where nothing went wrong."""
    monkeypatch.setattr("sys.argv", ["app.py", "--runs", str(runs), *options])
    app = AppTest.from_file(APP, default_timeout=20)
    app.run().switch_page(f"views/{page}.py")
    app.query_params.update(address)
    return checked(app.run())


@pytest.fixture
def open_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    return lambda page, *options, **address: opened(page, tmp_path / "runs", monkeypatch, *options, **address)


def checked(app: AppTest) -> AppTest:
    assert [(one.value, *one.stack_trace) for one in app.exception] == []
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
            steps = [json.dumps({"step": step, "loss": 2.0 / step, "learning_rate": 0.1}) for step in (1, 2, 3)]
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
def test_the_reference_runs_are_shown_on_every_page(page: str, monkeypatch: pytest.MonkeyPatch):
    app = opened(page, ROOT / "data" / "runs", monkeypatch, study="reference", teach="1")
    assert not app.warning
    assert "They may not be" not in texts(app)


@pytest.mark.parametrize("page", [page for page in PAGES if page != "imports"])
def test_without_runs_every_page_says_how_to_make_some(page: str, open_page: Open, tmp_path: Path):
    app = open_page(page)
    assert app.title[0].value == page.capitalize()
    assert "`make demo` makes four" in app.info[0].value
    assert str(tmp_path / "runs") in texts(app)


@pytest.mark.parametrize("page", PAGES)
def test_text_of_runs_is_shown_as_text(page: str, open_page: Open, runs: dict[str, RunFolder]):
    app = open_page(page, teach="1")
    marked_up = [*app.markdown, *app.title, *app.header, *app.subheader, *app.caption, *app.warning, *app.info]
    for value in [*(one.value for one in marked_up), *(one.label for one in app.expander)]:
        assert "<" not in value and "example.org" not in value
    for figure in figures(app):
        figure["layout"].pop("meta")  # the text alternative is plain text
        assert "<script" not in json.dumps(figure) and "<u>" not in json.dumps(figure)
    assert not app.get("html") and not app.get("iframe")


def test_overview_answers_the_five_questions(open_page: Open, runs: dict[str, RunFolder]):
    said = texts(open_page("overview"))
    assert "LoRA changed <u>bench by +50.0 points (95% +30.0 to +65.0, 40 items): resolved." in said
    assert "On <u>bench QLoRA is -45.0 points (95%" in said and "from LoRA: worse." in said
    assert "LoRA: 1 min 00 s of training, 2.00 GB of memory at most." in said
    assert "LoRA fixed 20 and broke 0 of the 40 items of <u>bench." in said


def test_overview_names_what_was_forgotten(open_page: Open, make_run: MakeRun):
    for method, right in (("base", 30), ("lora", 5)):
        make_run(method, tuple(item < right for item in range(40)))
    assert "LoRA changed workshop_cs by -62.5 points" in texts(open_page("overview"))


def test_overview_shows_figures_and_a_table(open_page: Open, runs: dict[str, RunFolder]):
    app = open_page("overview")
    changes, scores = figures(app)
    assert names(changes) == ["LoRA", "QLoRA", "full"]
    assert names(scores) == ["base", "LoRA", "QLoRA", "full"]
    table = app.dataframe[0].value
    assert list(table["method"]) == ["base", "LoRA", "QLoRA", "full"]
    assert list(table["right"]) == ["10/40", "30/40", "12/40", "5/40"]


def test_the_teach_switch_says_how_to_read_each_figure(open_page: Open, runs: dict[str, RunFolder]):
    assert not [one for one in open_page("compare").caption if "A bar is" in one.value]
    app = open_page("compare", teach="1")
    assert [one for one in app.caption if "A bar is" in one.value]
    assert len([one for one in app.expander if one.label == "The figure in words"]) == len(figures(app))


def test_runs_lists_every_run_and_the_broken_one_with_its_reason(open_page: Open, runs: dict[str, RunFolder]):
    app = open_page("runs")
    table = app.dataframe[0].value
    assert list(table["run"]) == [run.path.name for run in runs.values()]
    assert set(table["status"]) == {"completed"} and set(table["reason"]) == {EVIL}
    assert "<i>study/lora-broken: " in texts(app) and "not valid JSON" in texts(app)


@pytest.mark.parametrize(
    ("address", "left"),
    [({"method": "LoRA"}, 1), ({"search": "method=full"}, 1), ({"search": "METHOD=lora rank=16"}, 1),
     ({"status": "failed"}, 4), ({"search": "nowhere"}, 0)],
)  # fmt: skip
def test_runs_are_filtered(address: dict[str, str], left: int, open_page: Open, runs: dict[str, RunFolder]):
    app = open_page("runs", **address)
    assert f"**{left} of 4 runs**" in [one.value for one in app.markdown]
    assert bool(app.warning) == ("status" in address)  # no run failed, so the address asks for what is not here


def test_runs_shows_the_columns_asked_for(open_page: Open, runs: dict[str, RunFolder]):
    app = open_page("runs", column=["run", "rank", "learning rate"])
    assert list(app.dataframe[0].value.columns) == ["run", "rank", "learning rate"]


def test_a_run_that_still_runs_is_followed_and_an_interrupted_one_is_said(open_page: Open, make_run: MakeRun):
    run = make_run("lora", status="running")
    run.record.scores = {}
    run.save()
    (run.path / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n', encoding="utf-8")
    assert "step 1 of 2, loss 0.500" in texts(open_page("runs"))
    run.record.host, run.record.heartbeat = "elsewhere", 0.0
    run.save()
    app = open_page("runs")
    assert list(app.dataframe[0].value["status"]) == ["interrupted"] and "step 1" not in texts(app)
    assert "last sign of life" in app.dataframe[0].value["reason"][0]


def test_compare_holds_runs_against_the_first(open_page: Open, runs: dict[str, RunFolder]):
    app = open_page("compare", first=runs["lora"].path.name, other=[runs["full"].path.name])
    row = app.dataframe[0].value.iloc[0]
    assert (row["n"], row["fixed"], row["broken"]) == (40, 0, 25)
    assert row["first %"] == "75.0 (30/40)" and row["change (95%), points"].startswith("-62.5 (")
    fields = app.dataframe[1].value.set_index("field")
    assert list(fields.loc["method"]) == ["lora", "full"]
    assert "seed" not in fields.index and "training.data" not in fields.index


def test_compare_shades_equivalence_of_lora_and_qlora(open_page: Open, runs: dict[str, RunFolder]):
    app = open_page("compare", margin="5")
    against, between = figures(app)[:2]
    assert [names(one) for one in (against, between)] == [["LoRA", "QLoRA", "full"], ["QLoRA"]]
    assert [shape["x1"] for shape in between["layout"]["shapes"] if shape["type"] == "rect"] == [5.0]
    assert app.query_params["margin"] == "5" and "within 5 points" in app.dataframe[0].value


def test_compare_gives_the_reason_of_a_refusal(open_page: Open, runs: dict[str, RunFolder], make_run: MakeRun):
    other = make_run("lora", (True,) * 40, study="<i>study", benchmark="<u>bench", weights="b" * 64, seed=1)
    app = open_page("compare", other=[other.path.name])
    assert "they start from different weights" in texts(app) and not figures(app)[0]["data"]
    assert "not compared" in texts(open_page("overview")) or "different weights" in texts(open_page("overview"))


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
    app = opened("items", ROOT / "data" / "runs", monkeypatch, study="reference", benchmark="workshop_math")
    assert len(app.code) == 2 and all("12 * 3 = 36" in one.value for one in app.code)
    first, second = (table.value.set_index("read by") for table in app.dataframe[1:3])
    assert list(first.loc["strict-match"]) == ["[invalid]", "wrong"]
    assert list(second.loc["strict-match"]) == ["36", "right"]


def test_items_without_their_text_say_how_to_get_it(open_page: Open, make_run: MakeRun):
    for method in ("base", "lora"):
        make_run(method, benchmark="mmlu_cs")
    assert "name the directory of the data set by --data or SLIMNB_DATA" in texts(open_page("items"))


def test_training_shows_the_chosen_runs(open_page: Open, runs: dict[str, RunFolder]):
    app = open_page("training")
    assert names(figures(app)[0]) == ["LoRA", "QLoRA", "full"]
    app = open_page("training", run=[runs["full"].path.name, runs["lora"].path.name])
    assert names(figures(app)[0]) == ["LoRA", "full"]
    app.multiselect(key="run").set_value([runs["qlora"].path.name])
    assert names(figures(checked(app.run()))[0]) == ["QLoRA"]
    assert app.query_params["run"] == runs["qlora"].path.name


def test_training_shows_what_is_asked_for_smoothed_over_raw(open_page: Open, runs: dict[str, RunFolder]):
    app = open_page("training", run=runs["full"].path.name, what="Learning rate", smoothing="0.5")
    smooth, raw = figures(app)[0]["data"]
    assert raw["opacity"] < smooth["opacity"] and raw["y"] == [0.1, 0.1, 0.1]


def test_cost_shows_memory_time_and_parameters(open_page: Open, runs: dict[str, RunFolder]):
    app = open_page("cost")
    memory, time, _ = figures(app)
    assert [trace["x"] for trace in memory["data"]][:4] == [[2.0]] * 4
    assert [trace["x"] for trace in time["data"]][:4] == [[0.0], [1.0], [1.0], [1.0]]
    assert not app.warning
    assert list(app.dataframe[0].value["batch size"].dropna()) == [8, 8, 8]


def test_cost_warns_of_different_batch_sizes(open_page: Open, make_run: MakeRun):
    for method, size in (("lora", 4), ("qlora", 8)):
        make_run(method, batch_size=size)
    app = open_page("cost")
    assert "do not compare the methods" in app.warning[0].value and "batch_size 4 and 8" in texts(app)


def test_imports_lists_results_by_the_command_that_imports_them(open_page: Open, tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "results_1; rm -rf $HOME.json").write_text("{}", encoding="utf-8")
    (tmp_path / "model" / "other.json").write_text("{}", encoding="utf-8")
    app = open_page("imports", "--lm-eval", str(tmp_path))
    (command,) = [one.value for one in app.code if "slimnb import lm-eval" in one.value]
    assert f"'{tmp_path}/model/results_1; rm -rf $HOME.json'" in command


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


def test_the_lines_for_a_notebook_draw_the_figure(open_page: Open, quiz: list[RunFolder]):
    (lines,) = [one.value for one in open_page("overview").code]
    namespace: dict[str, Any] = {}
    exec(lines.replace("\ndifferences(", "\nfigure = differences("), namespace)
    assert [trace.name for trace in namespace["figure"].data] == ["LoRA"]


def test_another_study_starts_the_choices_anew(open_page: Open, runs: dict[str, RunFolder], make_run: MakeRun):
    later = make_run("lora", study="later")
    app = open_page("training", study="later", run=[later.path.name], teach="1")
    app.selectbox(key="study").set_value("<i>study")
    assert names(figures(checked(app.run()))[0]) == ["LoRA", "QLoRA", "full"]
    assert "run" not in app.query_params and not app.warning and app.query_params["teach"] == "1"


def test_runs_that_appear_later_are_seen(open_page: Open, runs: dict[str, RunFolder], make_run: MakeRun):
    app = open_page("runs", study="<i>study")
    assert len(app.dataframe[0].value) == 4
    make_run("lora", (True,) * 40, study="<i>study", benchmark="<u>bench", seed=1)
    assert len(checked(app.run()).dataframe[0].value) == 5


def test_the_dashboard_needs_only_what_its_requirements_name():
    """What a host installs from dashboard/requirements.txt: no torch, and none of what training needs."""
    program = f"""
import importlib.abc, runpy, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in {ABSENT!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
sys.argv = ["app.py", "--runs", "data/runs"]
from streamlit.testing.v1 import AppTest
for page in {PAGES!r}:
    app = AppTest.from_file("dashboard/app.py", default_timeout=30)
    app.run().switch_page(f"views/{{page}}.py").run()
    assert not app.exception, (page, app.exception)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
