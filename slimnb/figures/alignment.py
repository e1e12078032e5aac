"""Training set x benchmark: what was gained, what was predicted, and what was lost elsewhere. See analysis.gains."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from slimnb.figures.drawing import METHOD_STYLE, Pair, blank, finish, name_sides, rows_of, seeds_and_variant, text

GREY = METHOD_STYLE["base"].colour
# Okabe and Ito's light orange and sky blue: dark numbers are read on both.
LOSS_TO_GAIN = [[0.0, "#E69F00"], [0.5, "#f7f7f7"], [1.0, "#56B4E9"]]
FAR_TO_NEAR = [[0.0, "#f7f7f7"], [1.0, "#56B4E9"]]
NUMBERS = {"color": "#1a1a1a", "size": 13}


def gains_matrix(frame: pd.DataFrame) -> go.Figure:
    """Changes against base of `gains_frame`: blue gains, orange losses, grey what is not resolved.

    A frame around a cell: the training set was made for this benchmark.
    """
    known = frame.dropna(subset=["difference"]) if len(frame) else frame
    names = fine_tunes(known)
    rows, columns = list(names.values()), _in_order(known, "benchmark")
    figure, said = blank(), []
    most = max((100 * abs(row.difference) for row in rows_of(known) if row.resolved), default=1.0)
    cells: dict[bool, list[Any]] = {True: [], False: []}
    for row in rows_of(known):
        cells[bool(row.resolved)].append(row)
        end = "" if row.resolved else ", not resolved"
        said.append(f"{names[row.run]}: {row.benchmark} {_points(row.difference)}{end}")
        if row.target:
            x, y = columns.index(row.benchmark), rows.index(names[row.run])
            figure.add_shape(type="rect", x0=x - 0.47, x1=x + 0.47, y0=y - 0.46, y1=y + 0.46,
                             line={"color": GREY, "width": 3})  # fmt: skip
    for resolved, those in cells.items():
        if not those:
            continue
        z, shown, hover = _grid(rows, columns), _grid(rows, columns, ""), _grid(rows, columns, "")
        for row in those:
            y, x = rows.index(names[row.run]), columns.index(row.benchmark)
            z[y][x] = 100 * row.difference if resolved else 0
            shown[y][x] = f"{100 * row.difference:+.1f}" if resolved else f"({100 * row.difference:+.1f})"
            hover[y][x] = (
                f"{text(names[row.run])} on {text(row.benchmark)}<br>{_points(row.difference)} "
                f"(95% {100 * row.low:+.1f} to {100 * row.high:+.1f}), n = {row.n:.0f}"
                f"{'' if resolved else '<br>not resolved'}"
            )
        scale: dict[str, Any] = {"colorscale": [[0, "#d0d0d0"], [1, "#d0d0d0"]], "showscale": False}
        if resolved:
            scale = {"colorscale": LOSS_TO_GAIN, "zmin": -most, "zmax": most, "showscale": False}
        figure.add_heatmap(
            name="resolved" if resolved else "not resolved", z=z, x=list(range(len(columns))),
            y=list(range(len(rows))), text=shown, texttemplate="%{text}", hovertext=hover, hoverongaps=False,
            xgap=3, ygap=3, **scale, textfont=NUMBERS if resolved else NUMBERS | {"color": "#555555"},
        )  # fmt: skip
    alt = f"Changes against base by training set and benchmark: {'; '.join(said)}."
    return _matrix(figure, "Gains", rows, columns, alt, "no fine-tune has a base run to be held against")


def alignment_matrix(frame: pd.DataFrame, predictor: str = "alignment") -> go.Figure:
    """Predicted alignment of `alignment_frame`: the darker the nearer, on the predictor's own scale."""
    known = frame.dropna(subset=["value"])
    rows, columns = _in_order(known, "training_set"), _in_order(known, "benchmark")
    figure, said = blank(), []
    z, shown = _grid(rows, columns), _grid(rows, columns, "")
    for row in rows_of(known):
        y, x = rows.index(row.training_set), columns.index(row.benchmark)
        z[y][x], shown[y][x] = row.value, f"{row.value:.3g}"
        said.append(f"{_short(row.training_set)} and {row.benchmark} {row.value:.3g}")
    if rows:
        figure.add_heatmap(
            name="alignment", z=z, x=list(range(len(columns))), y=list(range(len(rows))), text=shown,
            texttemplate="%{text}", hovertext=shown, hoverongaps=False, xgap=3, ygap=3, colorscale=FAR_TO_NEAR,
            showscale=False, textfont=NUMBERS,
        )  # fmt: skip
    title = f"Predicted alignment: {predictor}"
    alt = f"{title}, by training set and benchmark: {'; '.join(said)}."
    return _matrix(figure, title, [_short(row) for row in rows], columns, alt, "this predictor has no number")


def retention_plane(frame: pd.DataFrame) -> go.Figure:
    """`plane_frame`: up is more gained on the target, left is more lost elsewhere; 95% intervals on both."""
    figure, said, names = blank(), [], fine_tunes(frame)
    rows = rows_of(frame)
    short = [_short(row.training_set) + (f", {row.variant}" if row.variant else "") for row in rows]
    points = [(100 * row.elsewhere, 100 * row.gain) for row in rows]
    sides = name_sides(points, short, _ends(frame, "elsewhere"), _ends(frame, "gain")) if rows else []
    for row, point, label, side in zip(rows, points, short, sides, strict=True):
        style, name = METHOD_STYLE[row.method], names[row.run]
        each = "".join(f"<br>{text(benchmark)}: {_points(change)}" for benchmark, change in row.each.items())
        hover = (
            f"{text(name)}<br>{text(row.target)}: {_points(row.gain)} (95% {100 * row.gain_low:+.1f} to "
            f"{100 * row.gain_high:+.1f}), n = {row.n:.0f}<br>elsewhere {_points(row.elsewhere)} (95% "
            f"{100 * row.elsewhere_low:+.1f} to {100 * row.elsewhere_high:+.1f}){each}"
        )
        figure.add_scatter(
            name=style.name, x=[point[0]], y=[point[1]], hovertext=hover, textposition=side,
            mode="markers+text" if side else "markers", text=text(label),
            marker={"color": style.colour, "symbol": style.symbol, "size": 12},
            error_x=_whiskers(row.elsewhere, row.elsewhere_low, row.elsewhere_high, style.colour),
            error_y=_whiskers(row.gain, row.gain_low, row.gain_high, style.colour),
        )  # fmt: skip
        said.append(f"{name} {_points(row.gain)} on {row.target} and {_points(row.elsewhere)} elsewhere")
    alt = f"Gain on the target and mean change elsewhere: {'; '.join(said)}."
    counts = sorted(set(frame["others"])) if len(frame) else [0]
    others = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    x = f"change elsewhere (points, mean of {others} benchmark{'' if counts[-1] == 1 else 's'})"
    y = "gain on what it was trained for (points)"
    empty = "no fine-tune was scored on the benchmark that it was made for and on another one"
    figure = finish(figure, "Retention plane", x, y, alt, 480, empty)
    if len(frame):
        for axis in ("x", "y"):
            ends = {f"{axis}0": 0, f"{axis}1": 0}
            across = {"y0": 0, "y1": 1, "yref": "paper"} if axis == "x" else {"x0": 0, "x1": 1, "xref": "paper"}
            figure.add_shape(type="line", **ends, **across, line={"color": GREY}, layer="below")
    return figure


def fine_tunes(frame: pd.DataFrame) -> dict[str, str]:
    """Run -> method where there are several, training set, variant and the number of seeds."""
    several = len({row.method for row in rows_of(frame)}) > 1
    names = {}
    for row in rows_of(frame):
        said = [METHOD_STYLE[row.method].name, "on"] if several else []
        names[row.run] = " ".join([*said, _short(row.training_set)]) + seeds_and_variant(row)
    if len(set(names.values())) < len(names):  # two files of one name
        return {run: f"{name} {run[-6:]}" for run, name in names.items()}
    return names


def _matrix(figure: go.Figure, title: str, rows: list[str], columns: list[str], alt: str, empty: str) -> go.Figure:
    figure = finish(figure, title, "benchmark", "training set", alt, 190 + 52 * max(len(rows), 2), empty)
    if rows:
        ticks = [text(name).replace("_", "_<br>") for name in columns]
        figure.update_xaxes(tickvals=list(range(len(columns))), ticktext=ticks, showgrid=False)
        parts = ((" on ", " on<br>"), (", ", "<br>"), (" (", "<br>("), ("_", "_<br>"))
        ticks = [reduce(lambda name, one: name.replace(*one), parts, text(name)) for name in rows]
        figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=ticks, showgrid=False, autorange="reversed")
    return figure.update_layout(margin_t=60, showlegend=False)


def _grid(rows: list[str], columns: list[str], empty: Any = None) -> list[list[Any]]:
    return [[empty] * len(columns) for _ in rows]


def _in_order(frame: pd.DataFrame, column: str) -> list[str]:
    return list(dict.fromkeys(frame[column])) if len(frame) else []


def _ends(frame: pd.DataFrame, column: str) -> Pair:
    """Of the axis that holds a column with its intervals, in points: with the room that Plotly leaves."""
    rows: list[Any] = rows_of(frame)
    low = 100 * min(0.0, *(getattr(row, f"{column}_low") for row in rows))
    high = 100 * max(0.0, *(getattr(row, f"{column}_high") for row in rows))
    room = 0.05 * (high - low)
    return low - room, high + room


def _whiskers(middle: float, low: float, high: float, colour: str) -> dict[str, Any]:
    return {"array": [100 * max(0.0, high - middle)], "arrayminus": [100 * max(0.0, middle - low)], "color": colour,
            "thickness": 2}  # fmt: skip


def _points(proportion: float) -> str:
    return f"{100 * proportion:+.1f} points"


def _short(training_set: str) -> str:
    """A user's file by its name alone."""
    return Path(training_set).name
