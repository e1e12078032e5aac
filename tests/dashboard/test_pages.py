"""Every page: with and without runs, with runs that hold markup, and what each shows."""

import json
from pathlib import Path

import pytest

from slimnb.store.planned import write_planned
from slimnb.store.runs import RunFolder
from tests.conftest import ROOT, MakeRun
from tests.dashboard.app import EVIL, PAGES, TITLES, Open, checked, figures, names, opened, texts


@pytest.mark.parametrize("page", PAGES)
def test_the_reference_runs_are_shown_on_every_page(page: str, monkeypatch: pytest.MonkeyPatch):
    app = opened(page, ROOT / "data" / "runs", monkeypatch, study="demo", teach="1")
    assert not app.warning
    assert "They may not be" not in texts(app)


@pytest.mark.parametrize("page", [page for page in PAGES if page != "imports"])
def test_without_runs_every_page_says_how_to_make_some(page: str, open_page: Open, tmp_path: Path):
    app = open_page(page)
    assert app.title[0].value == TITLES[page]
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


def test_overview_says_how_complete_a_study_is(open_page: Open, runs: dict[str, RunFolder]):
    assert not open_page("overview").warning
    study = runs["base"].path.parent
    write_planned(study, [*(run.path.name for run in runs.values()), "lora-never-started", "../outside"])
    (warning,) = open_page("overview").warning
    complete = sum(run.record.status == "completed" for run in runs.values())
    assert warning.value == f"{complete} of this study's {len(runs) + 2} runs are complete."


@pytest.mark.parametrize("content", ["{", '{"runs": [1]}', '{"schema_version": 99, "runs": []}', "\x00" * 5_000_000])
def test_a_damaged_plan_takes_no_page_down(content: str, open_page: Open, runs: dict[str, RunFolder]):
    (runs["base"].path.parent / "study.json").write_text(content, encoding="utf-8")
    assert "study.json" in texts(open_page("overview"))


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
    assert len([one for one in app.expander if one.label == "This figure in words and in Python"]) == len(figures(app))


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


def test_imports_lists_results_by_the_command_that_imports_them(open_page: Open, tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "results_1; rm -rf $HOME.json").write_text("{}", encoding="utf-8")
    (tmp_path / "model" / "other.json").write_text("{}", encoding="utf-8")
    app = open_page("imports", "--lm-eval", str(tmp_path))
    (command,) = [one.value for one in app.code if "slimnb import lm-eval" in one.value]
    assert f"'{tmp_path}/model/results_1; rm -rf $HOME.json'" in command


def test_runs_that_appear_later_are_seen(open_page: Open, runs: dict[str, RunFolder], make_run: MakeRun):
    app = open_page("runs", study="<i>study")
    assert len(app.dataframe[0].value) == 4
    make_run("lora", (True,) * 40, study="<i>study", benchmark="<u>bench", seed=1)
    assert len(checked(app.run()).dataframe[0].value) == 5
