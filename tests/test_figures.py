"""Figures drawn from hand-made frames, and frames made from runs."""

import json
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest

from slimnb.analysis.comparison import compare_all
from slimnb.analysis.frames import pareto
from slimnb.figures import (
    CURVES,
    METHOD_STYLE,
    comparisons_frame,
    cost,
    curves_frame,
    differences,
    differences_frame,
    labels,
    scores,
    scores_frame,
    training_curves,
)
from slimnb.stats import wilson
from tests.conftest import MakeRun

METHODS = ["base", "lora", "qlora", "full"]


def scored(order: list[str] = METHODS) -> pd.DataFrame:
    """Two benchmarks of different size, the second of generated answers and so without chance."""
    rows = []
    for benchmark, n, chance in (("quiz_four", 200, 0.25), ("sums", 50, None)):
        for method in order:
            k = n * (3 + METHODS.index(method)) // 10
            low, high = wilson(k, n)
            rows.append({
                "run": f"{method}-s0-abc", "method": method, "training_set": None if method == "base" else "sums",
                "benchmark": benchmark, "metric": "acc", "k": k, "n": n, "value": k / n, "low": low, "high": high,
                "chance": chance, "peak_bytes": 1e9 * (1 + METHODS.index(method)), "train_seconds": 60.0,
            })  # fmt: skip
    return pd.DataFrame(rows)


def changed() -> pd.DataFrame:
    frame = pd.DataFrame([
        {"run": f"{method}-s0-abc", "method": method, "training_set": "sums", "benchmark": "quiz_four",
         "refused": None, "n": 200, "difference": 0.1, "low": 0.04, "high": 0.17, "fixed": 25, "broken": 5,
         "p_value": 0.001, "resolved": True} for method in ("full", "lora", "qlora")
    ])  # fmt: skip
    return pd.concat([frame, frame.head(1).assign(run="other", benchmark="sums", refused="other weights")])


def curves() -> pd.DataFrame:
    return pd.DataFrame([
        {"run": f"{method}-s0-abc", "method": method, "training_set": "sums", "step": step, "loss": 2.0 / step}
        for method in ("full", "lora") for step in (1, 2, 3)
    ])  # fmt: skip


def traces(figure: go.Figure) -> list[Any]:
    return list(figure.data)


def alt(figure: go.Figure) -> str:
    layout: Any = figure.layout
    return layout.meta["alt"]


FIGURES = {
    "scores": scores(scored()),
    "differences": differences(changed()),
    "training_curves": training_curves(curves()),
    "memory": cost(scored(), "memory"),
    "time": cost(scored(), "time"),
}


def test_methods_differ_in_colour_and_in_marker_and_in_pattern():
    for part in ("name", "colour", "symbol", "pattern"):
        assert len({getattr(style, part) for style in METHOD_STYLE.values()}) == len(METHOD_STYLE)
    assert list(METHOD_STYLE) == METHODS


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_every_figure_says_what_it_shows(figure: go.Figure):
    layout: Any = figure.layout
    assert layout.title.text and layout.xaxis.title.text and layout.yaxis.title.text
    assert alt(figure).endswith(".") and "LoRA" in alt(figure)


def test_units_stand_in_the_axis_titles():
    def titles(name: str) -> tuple[str, str]:
        layout: Any = FIGURES[name].layout
        return layout.xaxis.title.text, layout.yaxis.title.text

    assert titles("scores") == ("benchmark", "right answers (%)")
    assert titles("differences")[0] == "change in right answers (points)"
    assert titles("training_curves") == ("optimizer step", "loss (nats per label token)")
    assert titles("memory") == ("peak memory (GB)", "right answers (%)<br>on quiz_four, n = 200")
    assert titles("time")[0] == "training time (min)"


def test_scores_are_in_the_fixed_order_whatever_the_frames():
    figure = scores(scored(["full", "qlora", "base", "lora"]))
    assert [trace.name for trace in traces(figure)] == ["base", "LoRA", "QLoRA", "full", "chance"]
    patterns = [trace.marker.pattern.shape for trace in traces(figure)[:4]]
    assert patterns == [METHOD_STYLE[method].pattern for method in METHODS]


def test_error_bars_of_scores_reach_from_low_to_high():
    frame = scored()
    for trace, method in zip(traces(scores(frame)), METHODS, strict=False):
        rows = frame.loc[frame["method"] == method]
        bars = zip(trace.y, trace.error_y.array, trace.error_y.arrayminus, strict=True)
        reached = [end for value, above, below in bars for end in (value - below, value + above)]
        assert reached == pytest.approx([100 * end for row in rows.itertuples() for end in (row.low, row.high)])


def test_scores_show_n_and_k():
    figure = scores(scored())
    layout: Any = figure.layout
    assert list(layout.xaxis.ticktext) == ["quiz_<br>four<br>n = 200", "sums<br>n = 50"]
    assert "60 of n = 200" in traces(figure)[0].hovertext[0]
    assert "15 of n = 50" in traces(figure)[0].hovertext[1]


def test_chance_is_drawn_only_where_there_is_one():
    chance = traces(scores(scored()))[-1]
    assert [value for value in chance.y if value is not None] == [25.0, 25.0]
    assert max(x for x in chance.x if x is not None) < 0.5  # the first group alone
    assert "chance" not in [trace.name for trace in traces(scores(scored().assign(chance=None)))]


def test_differences_have_a_line_at_zero_and_leave_out_what_was_refused():
    figure = FIGURES["differences"]
    layout: Any = figure.layout
    assert [(line.x0, line.x1) for line in layout.shapes] == [(0, 0)]
    assert [trace.name for trace in traces(figure)] == ["LoRA", "QLoRA", "full"]
    assert list(layout.yaxis.ticktext) == ["LoRA", "QLoRA", "full"]
    assert "n = 200" in layout.annotations[0].text and "25 fixed, 5 broken" in traces(figure)[0].hovertext
    bars = traces(figure)[0].error_x
    assert (10 + bars.array[0], 10 - bars.arrayminus[0]) == pytest.approx((17, 4))
    assert "+10.0 points (+4.0 to +17.0)" in alt(figure)


def test_the_markers_of_methods_differ():
    symbols = {trace.name: trace.marker.symbol for trace in traces(FIGURES["memory"]) if trace.mode == "markers"}
    assert symbols == {style.name: style.symbol for style in METHOD_STYLE.values()}


def points(figure: go.Figure) -> list[Any]:
    return [trace for trace in traces(figure) if trace.mode == "markers"]


def test_cost_is_in_gigabytes_and_minutes_and_leaves_out_the_unknown():
    frame = scored().assign(train_seconds=[None, 60.0, 120.0, 180.0] * 2)
    assert [trace.x[0] for trace in points(cost(frame, "memory"))] == [1.0, 2.0, 3.0, 4.0]
    assert [trace.x[0] for trace in points(cost(frame, "time"))] == [1.0, 2.0, 3.0]
    assert [trace.y[0] for trace in points(cost(frame, "memory", "sums"))] == [30.0, 40.0, 50.0, 60.0]


@pytest.mark.parametrize(
    ("costs", "values", "front"),
    [([1, 2, 3], [1, 2, 3], [True] * 3), ([1, 2, 3], [3, 2, 3], [True, False, False]), ([1, 1], [2, 2], [True, True]),
     ([2, 1], [5, 5], [False, True]), ([1, 1], [1, 2], [False, True]), ([], [], [])],
)  # fmt: skip
def test_the_pareto_front_is_what_no_other_beats(costs: list[float], values: list[float], front: list[bool]):
    assert pareto(costs, values) == front


def test_cost_joins_the_pareto_front():
    frame = scored().assign(peak_bytes=[1e9, 4e9, 3e9, 5e9] * 2)  # LoRA takes more than QLoRA, which scores higher
    front = traces(cost(frame))[-1]
    assert front.name == "Pareto front" and list(front.x) == [1.0, 3.0, 5.0] and list(front.y) == [30.0, 50.0, 60.0]
    assert "on the Pareto front: base, QLoRA, full" in alt(cost(frame))


def test_a_margin_is_shaded_where_differences_count_as_none():
    layout: Any = differences(changed(), margin=0.02).layout
    assert [(shape.type, shape.x0, shape.x1) for shape in layout.shapes] == [("rect", -2.0, 2.0), ("line", 0, 0)]


def test_smoothing_leaves_the_raw_line_paler():
    smooth, raw = traces(training_curves(curves().query("method == 'lora'"), smoothing=0.5))
    assert list(raw.y) == [2.0, 1.0, pytest.approx(2 / 3)] and raw.opacity < smooth.opacity
    assert smooth.y[0] == 2.0 and raw.y[2] < smooth.y[2] < smooth.y[1] < 2.0


def test_curves_of_what_no_log_holds_are_empty_and_long_ones_are_thinned():
    assert not traces(training_curves(curves(), "memory_bytes"))
    long = pd.DataFrame({"run": "a", "method": "lora", "training_set": "sums", "step": range(9000), "loss": 1.0})
    assert len(traces(training_curves(long))[0].x) <= 2000
    assert set(CURVES) > {"loss", "learning_rate", "tokens_per_second", "memory_bytes", "validation_loss"}


def test_runs_of_one_method_differ_in_their_dashes_and_names():
    twice = pd.concat([curves(), curves().assign(run=lambda frame: frame["run"].str.replace("s0", "s1"))])
    lines = [(trace.name, trace.line.dash) for trace in traces(training_curves(twice))]
    assert lines == [("LoRA s0", "solid"), ("LoRA s1", "dash"), ("full s0", "solid"), ("full s1", "dash")]


def test_tokens_per_second_are_those_of_each_step(make_run: MakeRun):
    run = make_run("lora")
    steps = [{"step": 1, "loss": 2, "tokens": 10, "seconds": 2}, {"step": 2, "loss": 1, "tokens": 10, "seconds": 7}]
    (run.path / "metrics.jsonl").write_text("\n".join(map(json.dumps, steps)), encoding="utf-8")
    assert list(curves_frame([run])["tokens_per_second"]) == [5.0, 2.0]


def test_comparisons_become_rows_of_the_second_run(make_run: MakeRun):
    runs = [make_run(method, (right, True, False, False)) for method, right in (("base", False), ("lora", True))]
    frame = comparisons_frame(compare_all(runs)[0], runs)
    assert list(frame["method"]) == ["lora"] and list(frame["fixed"]) == [1]
    assert [trace.name for trace in traces(differences(frame))] == ["LoRA"]
    assert comparisons_frame([], runs).empty


def test_counts_over_several_seeds_are_said_to_be_over_them():
    hovers = [traces(differences(changed().assign(seeds=seeds)))[0].hovertext for seeds in (1, 3)]
    assert [hover.endswith("25 fixed, 5 broken") for hover in hovers] == [True, False]
    assert hovers[1].endswith("25 fixed, 5 broken (over the seeds)")


def test_empty_input_gives_a_figure_that_says_so():
    nothing = pd.DataFrame()
    refused = changed().tail(1)
    unmeasured = cost(scored().assign(peak_bytes=None))
    empty = [scores(nothing), differences(nothing), differences(refused), training_curves(nothing), cost(nothing),
             cost(scored(), "time", "unheard of"), unmeasured]  # fmt: skip
    for figure in empty:
        layout: Any = figure.layout
        assert not traces(figure) and layout.annotations[0].text and layout.title.text
        assert alt(figure).startswith("An empty figure: ")
    assert [make([]).empty for make in (scores_frame, differences_frame, curves_frame)] == [True] * 3


def test_labels_grow_only_as_long_as_needed():
    def named(*runs: tuple[str, str, str | None]) -> list[str]:
        return list(labels(pd.DataFrame(runs, columns=pd.Index(["run", "method", "training_set"]))).values())

    assert named(("full-a-s0-x", "full", "a"), ("base-s0-y", "base", None)) == ["base", "full"]
    assert named(("lora-a-s0-x", "lora", "a"), ("lora-b-s0-y", "lora", "b")) == ["LoRA on a", "LoRA on b"]
    assert named(("lora-a-s0-x", "lora", "a"), ("lora-a-s1-y", "lora", "a")) == ["LoRA s0", "LoRA s1"]
    assert named(("lora-a-s0-x", "lora", "a"), ("lora-a-s0-y", "lora", "a")) == ["LoRA s0 x", "LoRA s0 y"]


def test_the_legend_names_each_method_once():
    twice = pd.concat([scored(), scored().assign(run=lambda frame: frame["run"].str.replace("s0", "s1"))])
    shown = [trace.name for trace in traces(scores(twice)) if trace.showlegend]
    assert shown == ["base", "LoRA", "QLoRA", "full", "chance"]


def test_names_from_runs_are_never_read_as_html():
    evil = '<a href="http:x">y<b>'
    figures = [
        scores(scored().assign(benchmark=evil, metric=evil)),
        differences(changed().assign(benchmark=evil)),
        differences(changed().assign(training_set=["a", evil, "b", "c"])),
        training_curves(curves().assign(training_set=[evil] * 3 + ["a"] * 3)),
        cost(scored().assign(benchmark=evil)),
        cost(scored(), benchmark=evil),
    ]
    for figure in figures:
        layout = figure.to_dict()["layout"]
        layout.pop("meta")  # the text alternative is plain text
        assert "<a" not in str(layout) and "<a" not in str(figure.to_dict()["data"])
        assert "&lt;a href" in str(figure.to_dict())
