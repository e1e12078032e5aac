"""Gains, retention plane, alignment and mechanism: frames from an invented study, and their figures."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest

from slimnb.alignment import read_alignment
from slimnb.analysis.gains import alignment_frame, gains_frame, mean_scores_frame, plane_frame
from slimnb.anatomy import anatomy_frame
from slimnb.errors import SlimnbError
from slimnb.figures import (
    QUANTITIES,
    alignment_matrix,
    by_layer,
    gains_matrix,
    intruders,
    predicted_memory,
    predictions_frame,
    quantization,
    retention_plane,
    scores,
    spectra,
)
from slimnb.figures.drawing import name_sides
from slimnb.stats import wilson
from slimnb.store.runs import RunFolder
from tests.browser.invented import BENCHMARKS, invented_study
from tests.conftest import MakeRun

EVIL = '<a href="http:x">y<b>'


@pytest.fixture
def study(make_run: MakeRun) -> dict[str, RunFolder]:
    return invented_study(make_run)


@pytest.fixture
def gains(study: dict[str, RunFolder]) -> pd.DataFrame:
    return gains_frame(list(study.values()))


@pytest.fixture
def anatomy(study: dict[str, RunFolder]) -> pd.DataFrame:
    return anatomy_frame(list(study.values()))


def traces(figure: go.Figure) -> list[Any]:
    return list(figure.data)


def alt(figure: go.Figure) -> str:
    layout: Any = figure.layout
    return layout.meta["alt"]


def test_gains_are_those_of_each_fine_tune_on_each_benchmark(gains: pd.DataFrame):
    assert len(gains) == 4 * 3
    forgot = gains.query("method == 'lora' and training_set == 'workshop_math' and benchmark == 'workshop_commonsense'")
    assert forgot["difference"].item() == pytest.approx(-20 / 60) and forgot["resolved"].item()
    assert forgot["kept"].item() == 0.5 and forgot["broken"].item() == 20
    assert sorted(gains.query("target")["benchmark"]) == sorted([*BENCHMARKS, "workshop_math"])
    assert gains.query("target")["kept"].isna().all()


def test_what_has_no_base_is_refused_with_the_reason(make_run: MakeRun):
    (row,) = gains_frame([make_run("base"), make_run("lora", weights="b" * 64)]).itertuples()
    assert "no base run starts from the same weights" in str(row.refused) and pd.isna(row.difference)
    assert not traces(gains_matrix(gains_frame([]))) and not traces(retention_plane(plane_frame(gains_frame([]))))


def test_seeds_are_one_row_and_another_rank_is_named(make_run: MakeRun):
    runs = [make_run("base"), make_run("lora", seed=0), make_run("lora", seed=1), make_run("lora", rank=4)]
    frame = gains_frame(runs)
    assert list(frame["seeds"]) == [2, 1] and list(frame["variant"]) == ["", "rank 4"]
    layout: Any = gains_matrix(frame).layout
    assert list(layout.yaxis.ticktext) == ["workshop_<br>math<br>(2 seeds)", "workshop_<br>math<br>rank 4"]


def test_scores_of_seeds_are_one_row_with_their_mean(make_run: MakeRun):
    answers = [tuple(item < right for item in range(4)) for right in (1, 3, 4)]
    runs = [make_run("base", answers[0]), *(make_run("lora", one, seed=seed) for seed, one in enumerate(answers[1:]))]
    base, lora = mean_scores_frame(runs).to_dict("records")
    assert (base["k"], base["seeds"], lora["k"], lora["seeds"], lora["n"]) == (1, 1, 3.5, 2, 4)
    assert (lora["low"], lora["high"]) == wilson(3.5, 4)
    assert "LoRA (2 seeds) on workshop_cs 87.5% (on average 3.5 of n = 4" in alt(scores(mean_scores_frame(runs)))


def test_bars_of_a_method_share_a_place_where_each_benchmark_has_one(study: dict[str, RunFolder]):
    frame = mean_scores_frame(list(study.values()))
    aimed = frame.query("target or method == 'base'")
    assert [bar.offsetgroup for bar in traces(scores(aimed))[:-1]] == ["base", "LoRA", "LoRA", "QLoRA", "full"]
    assert {bar.offsetgroup for bar in traces(scores(frame))[:-1]} == {None}


def test_elsewhere_is_the_mean_of_the_others_and_its_interval_is_narrower_than_theirs(gains: pd.DataFrame):
    plane = plane_frame(gains).set_index("run")
    for run, rows in gains.groupby("run"):
        others, place = rows.loc[~rows["target"].astype(bool)], plane.loc[run]
        assert place["elsewhere"] == pytest.approx(others["difference"].mean())
        half = place["elsewhere"] - place["elsewhere_low"]
        below = others["difference"] - others["low"]
        assert half == pytest.approx(((below**2).sum()) ** 0.5 / 2) and half < below.max()
        assert place["gain"] == rows.loc[rows["target"].astype(bool), "difference"].item()


def test_a_fine_tune_without_a_target_has_no_place_in_the_plane(gains: pd.DataFrame):
    assert plane_frame(gains.assign(target=False)).empty
    assert plane_frame(gains.query("target")).empty  # nothing else was scored


def test_the_matrix_greys_what_is_not_resolved_and_frames_the_target(gains: pd.DataFrame):
    figure = gains_matrix(gains)
    resolved, grey = traces(figure)
    shown = [text for row in resolved.text for text in row if text]
    assert shown and all(not text.startswith("(") for text in shown)
    assert len({colour for _, colour in grey.colorscale}) == 1
    layout: Any = figure.layout
    assert len(layout.shapes) == 4
    assert "LoRA on workshop_math: workshop_cs +1.7 points, not resolved" in alt(figure)


def test_the_plane_has_both_lines_of_no_change(gains: pd.DataFrame):
    figure = retention_plane(plane_frame(gains))
    layout: Any = figure.layout
    assert {(line.x0, line.x1) for line in layout.shapes} == {(0, 0), (0, 1)}
    assert layout.xaxis.title.text == "change elsewhere (points, mean of 2 benchmarks)"
    assert [trace.error_x.array[0] > 0 for trace in traces(figure)] == [True] * 4


def test_a_name_stands_where_it_lies_on_nothing_or_nowhere():
    x, y = (0.0, 100.0), (0.0, 100.0)
    assert name_sides([(10, 50), (90, 50)], ["a name", "another name"], x, y) == ["top right", "top left"]
    crowd = [(50.0 + i / 10, 50.0 + i / 10) for i in range(9)]
    sides = name_sides(crowd, ["a name of its own"] * 9, x, y)
    assert None in sides and len({*sides} - {None}) == len([side for side in sides if side]) > 0


def test_predicted_alignment_keeps_holes_where_a_predictor_has_no_number(study: dict[str, RunFolder]):
    alignment = read_alignment(study["base"].path.parent)
    assert alignment
    known, unknown = (alignment_matrix(alignment_frame(alignment, name), name) for name in alignment.predictors)
    assert list(traces(known)[0].z[0]) == [1.0, 0.0, 0.0, None]
    assert not traces(unknown) and alt(unknown) == "An empty figure: this predictor has no number."


def test_spectra_begin_at_one_and_end_where_the_matrices_do(anatomy: pd.DataFrame):
    lines = {trace.name: trace for trace in traces(spectra(anatomy)) if "markers" in trace.mode}
    assert {trace.y[0] for trace in lines.values()} == {1.0}
    assert len(lines["LoRA on workshop_math"].x) == 8 and len(lines["full on workshop_commonsense"].x) == 24
    assert len(traces(spectra(anatomy, "v_proj"))[-1].x) == 12
    assert "full on workshop_commonsense: 9 of 24 at half the largest or more" in alt(spectra(anatomy))
    layout: Any = spectra(anatomy).layout
    assert layout.yaxis.type == "log"


def test_updates_of_nothing_have_no_spectrum(anatomy: pd.DataFrame):
    nothing = anatomy.assign(singular_values=[[0.0, 0.0]] * len(anatomy))
    assert not traces(spectra(nothing))


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_every_quantity_is_drawn_by_layer(quantity: str, anatomy: pd.DataFrame):
    figure = by_layer(anatomy, quantity)
    lines = [trace for trace in traces(figure) if "markers" in trace.mode]
    assert [list(trace.x) for trace in lines] == [[0, 1, 2]] * 4
    layout: Any = figure.layout
    assert layout.yaxis.title.text == QUANTITIES[quantity].axis


def test_bands_have_no_place_in_the_legend(anatomy: pd.DataFrame):
    bent = anatomy.assign(effective_rank=range(len(anatomy)))
    bands = [trace for trace in traces(by_layer(bent)) if trace.fill]
    assert len(bands) == 4 and not any(trace.showlegend for trace in bands)
    assert sum(bool(trace.showlegend) for trace in traces(by_layer(bent))) == 4


def test_intruders_rise_with_the_threshold(anatomy: pd.DataFrame):
    (line,) = traces(intruders(anatomy.query("method == 'full'")))
    assert list(line.y) == sorted(line.y) and line.y[-1] == pytest.approx(200 / 3)
    assert not traces(intruders(anatomy.assign(cosines=None)))


def test_quantization_is_that_of_the_first_runs_weights(anatomy: pd.DataFrame):
    figure = quantization(anatomy)
    assert [trace.name for trace in traces(figure)][:2] == ["NF4", "NF4, double quantization"]
    assert list(traces(figure)[0].y) == pytest.approx([9, 9, 9])
    assert list(traces(figure)[-1].error_y.array) == pytest.approx([1, 1, 1])  # INT4's range over layers


def test_without_an_anatomy_every_figure_says_so():
    nothing = pd.DataFrame()
    for figure in (spectra(nothing), by_layer(nothing), intruders(nothing), quantization(nothing)):
        assert not traces(figure) and alt(figure).startswith("An empty figure: ")


def test_names_are_never_read_as_html(gains: pd.DataFrame, anatomy: pd.DataFrame):
    plane = plane_frame(gains.assign(training_set=EVIL, benchmark=EVIL + gains["benchmark"]))
    aligned = pd.DataFrame({"training_set": [EVIL], "benchmark": [EVIL], "value": [1.0]})
    evil = anatomy.assign(kind=EVIL, training_set=[EVIL + run for run in anatomy["run"]])
    figures = [gains_matrix(gains.assign(training_set=EVIL, benchmark=EVIL)), retention_plane(plane),
               alignment_matrix(aligned, EVIL), spectra(evil, EVIL), by_layer(evil, kind=EVIL), intruders(evil),
               quantization(evil)]  # fmt: skip
    for figure in figures:
        layout = figure.to_dict()["layout"]
        layout.pop("meta")
        assert "<a" not in str(layout) and "<a" not in str(figure.to_dict()["data"])


def test_predicted_memory_is_drawn_with_its_errors(tmp_path: Path):
    cell = {"model": "m", "method": "lora", "length": 64, "rows": 2, "checkpointing": False, "measured_bytes": 10**9}
    cells = [cell | {"predicted_bytes": 11 * 10**8}, cell | {"predicted_bytes": 8 * 10**8, "method": "full"},
             cell | {"model": "tiny", "predicted_bytes": 1}, cell]  # fmt: skip
    (tmp_path / "memory.json").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    figure = predicted_memory(predictions_frame(tmp_path / "memory.json"))
    assert [(list(trace.x), list(trace.y)) for trace in traces(figure)[:2]] == [([1.0], [1.1]), ([1.0], [0.8])]
    assert "2 runs, median error 15.0%, worst 20.0% (m, full)" in alt(figure)
    (tmp_path / "memory.json").write_text('{"cells": [1]}', encoding="utf-8")
    with pytest.raises(SlimnbError, match="not a file of predicted and measured memory"):
        predictions_frame(tmp_path / "memory.json")
