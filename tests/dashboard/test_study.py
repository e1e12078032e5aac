"""A study of several training sets: gains beside predicted alignment, retention, and what training did to weights."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from slimnb.anatomy.record import FILE
from slimnb.store.runs import RunFolder
from tests.browser.invented import BENCHMARKS, STUDY, scored
from tests.conftest import MakeRun
from tests.dashboard.app import Open, by_its_name_alone, figures, names, of_another_model, opened, texts

Study = dict[str, RunFolder]


def titles(figure: dict[str, Any]) -> str:
    return figure["layout"]["title"]["text"]


def test_gains_stand_beside_predicted_alignment(open_page: Open, study: Study):
    app = open_page("alignment", study=STUDY)
    gains, predicted, plane = figures(app)
    grey = next(trace for trace in gains["data"] if trace["name"] == "not resolved")
    blue = next(trace for trace in gains["data"] if trace["name"] == "resolved")
    rows, columns = gains["layout"]["yaxis"]["ticktext"], gains["layout"]["xaxis"]["ticktext"]
    row, column = rows.index("LoRA on<br>workshop_<br>math"), columns.index("workshop_<br>math")
    assert blue["text"][row][column] == "+41.7" and grey["text"][row][column] == ""
    assert grey["text"][row][columns.index("workshop_<br>cs")] == "(+1.7)"
    assert len([shape for shape in gains["layout"]["shapes"] if shape["type"] == "rect"]) == len(rows)
    assert titles(predicted) == "Predicted alignment: lexical"
    predicted_for = [name.replace("<br>", "") for name in predicted["layout"]["yaxis"]["ticktext"]]
    assert sorted(predicted_for) == sorted([*BENCHMARKS, "unheard of"])
    assert names(plane) == ["LoRA", "LoRA", "QLoRA", "full"]
    assert plane["data"][0]["x"] == [pytest.approx(100 * (1 - 20) / 2 / 60)]
    assert plane["data"][0]["y"] == [pytest.approx(100 * 25 / 60)]


def test_the_overview_speaks_of_what_each_set_was_made_for_with_its_seeds_together(
    open_page: Open, study: Study, make_run: MakeRun
):
    first = study["lora workshop_math"]
    again = make_run("lora", study=STUDY, benchmark=BENCHMARKS[0], train_on="workshop_math", seed=1)
    scored(again, (47, 31, 20))
    app = open_page("overview", study=STUDY)
    said = texts(app)
    assert "LoRA on workshop_math (2 seeds) changed workshop_math by +43.3 points" in said
    assert "LoRA on workshop_cs changed workshop_cs by +30.0 points" in said
    assert "LoRA on workshop_cs changed workshop_math" not in said
    assert "LoRA on workshop_math (2 seeds) changed workshop_commonsense by -33.3 points" in said  # what was forgotten
    assert "of training a seed" in said
    changes, scores = figures(app)
    assert titles(changes) == "Change on what was trained for" and names(changes) == ["LoRA", "QLoRA", "LoRA", "full"]
    assert {len(trace["x"]) for trace in scores["data"] if trace["name"] == "base"} == {3}
    assert {len(trace["x"]) for trace in scores["data"] if trace["name"] in ("LoRA", "QLoRA", "full")} == {1}
    table = app.dataframe[0].value.set_index(["method", "trained on", "benchmark"])
    row = table.loc[("LoRA", "workshop_math", "workshop_math")]
    assert (row["right"], row["seeds"], row["run"]) == ("46/60", 2, first.path.name)
    assert "variant" not in table


def test_of_a_large_study_the_overview_has_the_usual_recipes(open_page: Open, study: Study, make_run: MakeRun):
    for rank in range(2, 14):
        run = make_run("lora", study=STUDY, benchmark=BENCHMARKS[0], train_on="workshop_math", rank=rank)
        scored(run, (40, 30, 40))
    app = open_page("overview", study=STUDY)
    assert any("5 of 17 scored runs" in one.value for one in app.caption)
    assert "rank" not in texts(app)
    assert set(app.dataframe[0].value["run"]) == {run.path.name for run in study.values()}


def test_what_was_forgotten_is_listed_with_what_luck_alone_would_keep(open_page: Open, study: Study):
    app = open_page("alignment", study=STUDY)
    table = app.dataframe[0].value.set_index(["fine-tune", "benchmark"])
    forgot = table.loc[("LoRA on workshop_math", "workshop_commonsense")]
    assert (forgot["right in base"], forgot["lost"], forgot["won"]) == (40, 20, 0)
    assert forgot["still right (%)"].startswith("50.0 (") and forgot["net change (points)"].startswith("-33.3")
    assert ("LoRA on workshop_math", "workshop_math") not in table.index
    assert "a net loss is resolved" in texts(app)


def test_a_method_is_chosen(open_page: Open, study: Study):
    app = open_page("alignment", study=STUDY, method="full")
    assert names(figures(app)[2]) == ["full"]
    assert figures(app)[0]["layout"]["yaxis"]["ticktext"] == ["workshop_<br>commonsense"]


def test_without_a_stored_alignment_the_command_is_shown(open_page: Open, study: Study):
    place = study["base"].path.parent
    (place / "alignment.json").unlink()
    app = open_page("alignment", study=STUDY)
    (command,) = [one.value for one in app.code if one.value.startswith("slimnb alignment")]
    assert f"--save {place}" in command and "workshop_math" in command
    assert len(figures(app)) == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [('{"predictors"', "not valid JSON"), ("[]", "alignment.json"), ('{"schema_version": 99}', "upgrade slimnb"),
     (None, "leads out of the runs directory"), ("\x00" * 5_000_000, "5 MB is more than")],
)  # fmt: skip
def test_a_damaged_alignment_takes_no_page_down(
    content: str | None, reason: str, open_page: Open, study: Study, tmp_path: Path
):
    stored = study["base"].path.parent / "alignment.json"
    if content is None:
        shutil.move(stored, tmp_path / "outside.json")
        stored.symlink_to(tmp_path / "outside.json")
    else:
        stored.write_text(content, encoding="utf-8")
    app = open_page("alignment", study=STUDY)
    assert reason in texts(app) and len(figures(app)) == 2


def test_the_mechanism_is_drawn_from_what_is_stored(open_page: Open, study: Study):
    spectra, by_layer, intruders, quantization = figures(open_page("mechanism", study=STUDY))
    assert [titles(one) for one in (spectra, by_layer)] == [
        "Spectrum of the update, all kinds", "Effective rank by layer, all kinds"]  # fmt: skip
    lines = [trace for trace in by_layer["data"] if "markers" in trace["mode"]]
    assert [trace["y"] for trace in lines] == [[4, 5, 6]] * 4
    lines = {trace["name"]: trace["y"] for trace in intruders["data"]}
    at_half = lines["full on workshop_commonsense"][4], lines["LoRA on workshop_math"][4]
    assert at_half == (pytest.approx(100 / 3), pytest.approx(200 / 3))
    assert names(quantization) == ["NF4", "NF4, double quantization", "FP4", "FP4, double quantization", "INT4"]


def test_one_kind_of_matrix_and_another_quantity_are_chosen(open_page: Open, study: Study):
    asked = {"study": STUDY, "kind": "v_proj", "quantity": "Size of the update"}
    assert open_page("mechanism", **asked, run=study["base"].path.name).warning  # base has none
    _, by_layer, intruders, quantization = figures(open_page("mechanism", **asked))
    assert titles(by_layer) == "Size of the update by layer, v_proj"
    assert by_layer["layout"]["yaxis"]["title"]["text"] == "||dW|| / ||W|| (%)"
    assert titles(intruders) == "Intruder dimensions, v_proj" and "of n = 9" in intruders["data"][0]["hovertext"][0]
    assert titles(quantization) == "Error of the weights in 4 bits, v_proj"
    assert quantization["layout"]["xaxis"]["ticktext"] == ["v_<br>proj"]


def test_the_model_whose_weights_are_rounded_is_named_where_there_are_several(open_page: Open, study: Study):
    first = study["lora workshop_cs"]
    of_another_model(first)
    chosen = [first.path.name, study["full workshop_commonsense"].path.name]
    quantization = figures(open_page("mechanism", study=STUDY, run=chosen))[3]
    assert titles(quantization) == "Error of other in 4 bits, all kinds"
    quantization = figures(open_page("mechanism", study=STUDY, run=chosen[1:]))[3]
    assert titles(quantization) == "Error of the weights in 4 bits, all kinds"


def test_what_training_shows_is_no_choice_of_the_mechanisms_quantity(open_page: Open, study: Study):
    for run in study.values():
        (run.path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0, "learning_rate": 0.1}\n', encoding="utf-8")
    app = open_page("training", study=STUDY, what="Learning rate")
    app = by_its_name_alone(app, "mechanism")
    assert titles(figures(app)[1]) == "Effective rank by layer, all kinds" and "what" not in app.query_params
    assert app.session_state["kept_choices"]["what"] == ["Learning rate"]


def test_what_is_expected_stands_beside_what_is_seen(open_page: Open, study: Study):
    app = open_page("mechanism", study=STUDY, of=study["lora workshop_math"].path.name)
    assert "Intruder dimensions" in texts(app) and "arXiv 2410.21228" in texts(app)
    assert "of 27 leading singular vectors" in texts(app)
    assert len(app.dataframe[0].value) == 4 * 9


def test_without_an_anatomy_the_command_is_shown(open_page: Open, study: Study):
    for run in study.values():
        (run.path / FILE).unlink(missing_ok=True)
    app = open_page("mechanism", study=STUDY)
    assert f"slimnb anatomy {study['lora workshop_math'].path}" in app.code[0].value


@pytest.mark.slow
def test_every_figures_lines_draw_it_in_a_notebook(open_page: Open, study: Study, monkeypatch: pytest.MonkeyPatch):
    for page in ("overview", "compare", "training", "cost", "alignment", "mechanism"):
        app = open_page(page, study=STUDY)
        shown = figures(app)
        lines = [one.value for one in app.code if one.value.startswith("from pathlib")]
        assert lines and len(lines) >= len(shown) - 1, page  # predicted memory is of no run
        for code, figure in zip(lines, shown, strict=False):
            *before, last = code.splitlines()
            namespace: dict[str, Any] = {}
            exec("\n".join([*before, f"figure = {last}"]), namespace)
            again = json.loads(namespace["figure"].to_json())
            assert again["layout"]["meta"] == figure["layout"]["meta"], (page, code)
            assert again["data"] == figure["data"], (page, code)


def test_reference_runs_have_no_warning_on_the_new_pages(monkeypatch: pytest.MonkeyPatch):
    for page in ("alignment", "mechanism"):
        assert not opened(page, Path("data/runs").resolve(), monkeypatch, study="demo").warning
