"""What a score cost, and how well memory is predicted."""

from __future__ import annotations

from typing import Literal

import pandas as pd
import plotly.graph_objects as go

from slimnb.analysis.frames import pareto
from slimnb.config import METHODS
from slimnb.figures.drawing import (
    CHANCE_COLOUR,
    METHOD_STYLE,
    add_point,
    blank,
    counted,
    finish,
    grouped,
    labels,
    paler,
    text,
    told,
)

Cost = Literal["memory", "time", "parameters", "adapter"]
COSTS: dict[Cost, tuple[str, float, str, str]] = {
    "memory": ("peak_bytes", 1e9, "peak memory", "GB"),
    "time": ("train_seconds", 60, "training time", "min"),
    "parameters": ("trainable_parameters", 1e6, "trained parameters", "million"),
    "adapter": ("saved_bytes", 1e6, "size of what is kept", "MB"),
}
"""What a run took -> the column of `cost_frame`, what it is divided by, its name and unit."""
NEAR = 0.2
"""Share by which a prediction may miss and still lie in the band."""


def cost(frame: pd.DataFrame, against: Cost = "memory", benchmark: str | None = None) -> go.Figure:
    """Score on one benchmark, the frame's first unless named, against what it cost; a line joins the Pareto front."""
    column, scale, spent, unit = COSTS[against]
    groups = grouped("benchmark", frame if frame.empty else frame.dropna(subset=[column]))
    benchmark = benchmark or next(iter(groups), "a benchmark")
    figure, said, names, rows = blank(), [], labels(frame), groups.get(benchmark, [])
    order = {run: place for place, run in enumerate(names)}
    rows = sorted(rows, key=lambda row: order[row.run])
    points = [(getattr(row, column) / scale, 100 * row.value) for row in rows]
    for row, (x, y) in zip(rows, points, strict=True):
        said.append(f"{names[row.run]} {row.value:.1%} of {row.n} with {x:.2f} {unit}")
        hover = f"{text(names[row.run])}<br>{told(row)}<br>{x:.2f} {unit}"
        add_point(figure, row, hover, x=x, y=y, error_y="value")
    front = pareto([x for x, _ in points], [y for _, y in points])
    if len(front) > 1:
        said.append(
            "on the Pareto front: " + ", ".join(names[row.run] for row, on in zip(rows, front, strict=True) if on)
        )
        steps = sorted({point for point, on in zip(points, front, strict=True) if on})
        figure.add_scatter(
            name="Pareto front", x=[x for x, _ in steps], y=[y for _, y in steps], mode="lines",
            line={"color": CHANCE_COLOUR, "dash": "dot", "shape": "hv", "width": 2},
            hovertext=["the best score so cheaply"] * len(steps),
        )  # fmt: skip
    most = max((x for x, _ in points), default=0) or 1
    figure.update_xaxes(range=[-0.04 * most, 1.08 * most])  # room for the marker of a run that took nothing
    alt = f"Right answers on {benchmark} and {spent}: {'; '.join(said)}."
    empty = f"no run scored on {benchmark} has its {spent} recorded"
    y_title = f"right answers (%)<br>on {text(benchmark)}, {counted(rows)}"
    return finish(figure, f"Score and {spent}", f"{spent} ({unit})", y_title, alt, 420, empty)


def predicted_memory(frame: pd.DataFrame) -> go.Figure:
    """Peak memory of `predictions_frame`'s trainings as predicted and as measured; the band is within a fifth."""
    figure, said = blank(), []
    groups = grouped("method", frame)
    for method, rows in ((method, groups[method]) for method in METHODS if method in groups):
        style = METHOD_STYLE[method]
        figure.add_scatter(
            name=style.name, mode="markers", x=[row.measured_bytes / 1e9 for row in rows],
            y=[row.predicted_bytes / 1e9 for row in rows],
            marker={"color": style.colour, "symbol": style.symbol, "size": 9, "opacity": 0.8},
            hovertext=[
                f"{style.name}: {text(row.model)}, {row.rows} x {row.length} tokens"
                f"{', checkpointing' if row.checkpointing else ''}<br>predicted {row.predicted_bytes / 1e9:.2f} GB, "
                f"measured {row.measured_bytes / 1e9:.2f} GB" for row in rows
            ],
        )  # fmt: skip
    if len(frame):
        errors = (frame["predicted_bytes"] / frame["measured_bytes"] - 1).abs()
        worst = errors.idxmax()
        said = [f"{len(frame)} runs, median error {errors.median():.1%}, worst {errors.max():.1%} "
                f"({frame.loc[worst, 'model']}, {METHOD_STYLE[str(frame.loc[worst, 'method'])].name})"]  # fmt: skip
        most = frame[["predicted_bytes", "measured_bytes"]].max(axis=None) / 1e9
        figure.add_scatter(
            name="within a fifth", mode="lines", x=[0, most, most], y=[0, (1 - NEAR) * most, (1 + NEAR) * most],
            fill="toself", fillcolor=paler(METHOD_STYLE["base"].colour), line={"width": 0}, hoverinfo="skip",
        )  # fmt: skip
    alt = f"Peak memory as predicted and as measured: {'; '.join(said)}."
    title, empty = "Memory predicted and measured", "no training has both"
    return finish(figure, title, "measured peak (GB)", "predicted peak (GB)", alt, 440, empty)
