"""Plotly figures as pure functions of data frames, for notebooks and the dashboard. Imports no torch.

`slimnb.frames` makes the frames from run folders; `scores`, `differences`, `training_curves` and `cost` draw one. Every
figure has its text alternative in `figure.layout.meta["alt"]`. Frames hold proportions, bytes and seconds, figures
percent, gigabytes and minutes. Names from run files are escaped, since Plotly reads some HTML.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any, Literal, NamedTuple

import pandas as pd
import plotly.graph_objects as go

from slimnb.config import METHODS
from slimnb.frames import (
    comparisons_frame,
    cost_frame,
    curves_frame,
    differences_frame,
    pair_frame,
    pareto,
    scores_frame,
)

__all__ = [
    "COSTS", "CURVES", "METHOD_STYLE", "comparisons_frame", "cost", "cost_frame", "curves_frame", "differences",
    "differences_frame", "labels", "pair_frame", "scores", "scores_frame", "training_curves",
]  # fmt: skip


class MethodStyle(NamedTuple):
    name: str
    colour: str
    symbol: str
    pattern: str


METHOD_STYLE = {
    # Okabe and Ito's palette for colour-blind readers, with a grey for its black, which a dark page would swallow.
    "base": MethodStyle("base", "#7f7f7f", "circle", ""),
    "lora": MethodStyle("LoRA", "#0072B2", "square", "/"),
    "qlora": MethodStyle("QLoRA", "#D55E00", "diamond", "x"),
    "full": MethodStyle("full", "#009E73", "triangle-up", "."),
}
# Control characters, those that turn the direction of a line around, and halves of characters.
NO_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
CHANCE_COLOUR = "#CC79A7"
Cost = Literal["memory", "time", "parameters"]
COSTS: dict[Cost, tuple[str, float, str, str]] = {
    "memory": ("peak_bytes", 1e9, "peak memory", "GB"),
    "time": ("train_seconds", 60, "training time", "min"),
    "parameters": ("trainable_parameters", 1e6, "trained parameters", "million"),
}


class Curve(NamedTuple):
    title: str
    axis: str
    scale: float = 1


CURVES = {
    "loss": Curve("Training loss", "loss (nats per label token)"),
    "validation_loss": Curve("Validation loss", "loss on held-out rows (nats per label token)"),
    "learning_rate": Curve("Learning rate", "learning rate"),
    "tokens_per_second": Curve("Training speed", "tokens per second"),
    "memory_bytes": Curve("Memory", "memory after the step (GB)", 1e9),
    "gradient_norm": Curve("Gradient norm", "gradient norm before clipping"),
}
"""Column of `curves_frame` -> how it is drawn."""
DASHES = ("solid", "dash", "dot", "dashdot")
POINTS_DRAWN = 2000


def labels(frame: pd.DataFrame) -> dict[str, str]:
    """Run -> a short name that tells it from the frame's other runs; methods in their fixed order."""
    runs = sorted((rows[0] for rows in _by("run", frame).values()), key=lambda row: METHODS.index(row.method))
    names = {row.run: METHOD_STYLE[row.method].name for row in runs}
    sets = {row.run: row.training_set for row in runs if pd.notna(row.training_set)}
    if len(set(sets.values())) > 1:
        names |= {run: f"{names[run]} on {training_set}" for run, training_set in sets.items()}
    for length in (0, 1, 2):  # an id ends with the seed and a hash
        longer = {run: " ".join([name, *run.split("-")[-2:][:length]]) for run, name in names.items()}
        if len(set(longer.values())) == len(runs):
            return longer
    return {run: run for run in names}


def scores(frame: pd.DataFrame) -> go.Figure:
    """Bars grouped by benchmark with 95% intervals, and a line where guessing would be."""
    figure, said, runs, groups = go.Figure(), [], _by("run", frame), _by("benchmark", frame)
    places = {benchmark: place for place, benchmark in enumerate(groups)}
    for run, label in labels(frame).items():
        style, rows = METHOD_STYLE[runs[run][0].method], runs[run]
        said += [f"{label} on {row.benchmark} {_score(row)}" for row in rows]
        figure.add_bar(
            name=style.name, error_y=_error_bars(rows, "value"), x=[places[row.benchmark] for row in rows],
            y=[100 * row.value for row in rows],
            hovertext=[f"{_text(f'{label}: {row.benchmark}, {row.metric}')}<br>{_score(row)}" for row in rows],
            # A see-through fill, in which an error bar of the full colour shows.
            marker={"color": f"{style.colour}4d", "line": {"color": style.colour, "width": 1.5},
                    "pattern": {"shape": style.pattern, "fgcolor": style.colour, "size": 7, "solidity": 0.2}},
        )  # fmt: skip
    if chance := {places[name]: 100 * rows[0].chance for name, rows in groups.items() if pd.notna(rows[0].chance)}:
        figure.add_scatter(
            name="chance", mode="lines", line={"color": CHANCE_COLOUR, "dash": "dash", "width": 2},
            x=[x for place in chance for x in (place - 0.44, place + 0.44, None)],
            y=[y for value in chance.values() for y in (value, value, None)],
            hovertemplate="guessing: %{y:.1f}%<extra></extra>",
        )  # fmt: skip
    ticks = [_text(name).replace("_", "_<br>") + "<br>" + _count(rows) for name, rows in groups.items()]
    figure.update_xaxes(tickvals=list(places.values()), ticktext=ticks, tickangle=0)  # they break instead
    alt = f"Right answers with their 95% intervals: {'; '.join(said)}."
    return _finish(figure, "Scores", "benchmark", "right answers (%)", alt, 460, "no scores yet")


def differences(frame: pd.DataFrame, title: str = "Change against base", margin: float | None = None) -> go.Figure:
    """A forest plot of paired changes: one row a run under its benchmark's name, and a line at no change.

    Args:
        margin: shades the changes that count as none, as a proportion.
    """
    shown = frame if frame.empty else frame.loc[frame["refused"].isna()]
    figure, names, said, ticks, at = go.Figure(), labels(shown), [], {}, 0
    for benchmark, rows in _by("benchmark", shown).items():
        heading = f"<b>{_text(benchmark)}</b>, {_count(rows)}"
        figure.add_annotation(text=heading, x=0, xref="paper", xanchor="left", y=at, showarrow=False)
        across = {"y0": at + 0.5, "y1": at + len(rows) + 0.5}
        if margin:
            figure.add_shape(type="rect", x0=-100 * margin, x1=100 * margin, **across, line_width=0,
                             fillcolor=METHOD_STYLE["base"].colour, opacity=0.2, layer="below")  # fmt: skip
        figure.add_shape(type="line", x0=0, x1=0, **across, line={"color": METHOD_STYLE["base"].colour})
        for row in sorted(rows, key=lambda row: list(names).index(row.run)):
            at += 1
            ticks[at] = _text(names[row.run]).replace(" on ", "<br>on ")
            change = f"{100 * row.difference:+.1f} points ({100 * row.low:+.1f} to {100 * row.high:+.1f})"
            said.append(f"{names[row.run]} {change} on {benchmark}")
            hover = f"{_text(said[-1])}<br>n = {row.n:.0f}: {row.fixed:.0f} fixed, {row.broken:.0f} broken"
            _add_point(figure, row, hover, x=100 * row.difference, y=at, error_x="difference")
        at += 1
    figure.update_yaxes(tickvals=list(ticks), ticktext=list(ticks.values()), range=[at - 0.3, -0.7], showgrid=False)
    alt, x_title = f"Changes with paired 95% intervals: {'; '.join(said)}.", "change in right answers (points)"
    figure = _finish(figure, title, x_title, "run", alt, 130 + 34 * at, "no two runs that can be compared")
    return figure.update_layout(showlegend=False, margin_t=60)


def training_curves(frame: pd.DataFrame, column: str = "loss", smoothing: float = 0.0) -> go.Figure:
    """One of CURVES at each optimizer step, one line a run.

    Args:
        smoothing: weight of the past in an exponential moving average, from 0 to below 1; the raw line stays, paler.
    """
    curve, said, figure, styles = CURVES[column], [], go.Figure(), dict.fromkeys(METHODS, 0)
    runs = _by("run", frame.dropna(subset=[column]) if column in frame else pd.DataFrame())
    names = labels(frame) if runs else {}
    for run, label in ((run, label) for run, label in names.items() if run in runs):
        method = runs[run][0].method
        style, dash = METHOD_STYLE[method], DASHES[styles[method] % len(DASHES)]
        styles[method] += 1  # runs of one method share its colour, and differ in their dashes
        raw = pd.Series([getattr(row, column) / curve.scale for row in runs[run]])
        lines = [(raw.ewm(alpha=1 - smoothing).mean(), 1.0), (raw, 0.25)] if smoothing else [(raw, 1.0)]
        for values, opacity in lines:
            every = -(-len(values) // POINTS_DRAWN)
            figure.add_scatter(
                name=_text(label), mode="lines+markers" if opacity == 1 else "lines", opacity=opacity,
                x=[row.step for row in runs[run]][::every], y=values[::every].tolist(),
                line={"color": style.colour, "dash": dash},
                marker={"symbol": style.symbol, "size": 8, "maxdisplayed": 10},
                hovertemplate=f"{_text(label).replace('%', '&#37;')}<br>step %{{x}}: %{{y:.4~g}}<extra></extra>",
            )  # fmt: skip
        said.append(f"{label} from {raw.iloc[0]:.3g} to {raw.iloc[-1]:.3g} in {len(raw)} steps")
    alt, empty = f"{curve.title}: {'; '.join(said)}.", f"no run has a log of its {curve.title.lower()}"
    return _finish(figure, curve.title, "optimizer step", curve.axis, alt, 440, empty)


def cost(frame: pd.DataFrame, against: Cost = "memory", benchmark: str | None = None) -> go.Figure:
    """Score on one benchmark, the frame's first unless named, against what it cost; a line joins the Pareto front."""
    column, scale, spent, unit = COSTS[against]
    groups = _by("benchmark", frame if frame.empty else frame.dropna(subset=[column]))
    benchmark = benchmark or next(iter(groups), "a benchmark")
    figure, said, names, rows = go.Figure(), [], labels(frame), groups.get(benchmark, [])
    order = {run: place for place, run in enumerate(names)}
    rows = sorted(rows, key=lambda row: order[row.run])
    points = [(getattr(row, column) / scale, 100 * row.value) for row in rows]
    for row, (x, y) in zip(rows, points, strict=True):
        said.append(f"{names[row.run]} {row.value:.1%} of {row.n} with {x:.2f} {unit}")
        hover = f"{_text(names[row.run])}<br>{_score(row)}<br>{x:.2f} {unit}"
        _add_point(figure, row, hover, x=x, y=y, error_y="value")
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
    y_title = f"right answers (%)<br>on {_text(benchmark)}, {_count(rows)}"
    return _finish(figure, f"Score and {spent}", f"{spent} ({unit})", y_title, alt, 420, empty)


def _by(column: str, frame: pd.DataFrame) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for row in frame.itertuples():
        groups.setdefault(getattr(row, column), []).append(row)
    return groups


def _add_point(figure: go.Figure, row: Any, hover: str, *, x: float, y: float, **error: str) -> None:
    style = METHOD_STYLE[row.method]
    bars = {axis: _error_bars([row], middle) for axis, middle in error.items()}
    marker = {"color": style.colour, "symbol": style.symbol, "size": 12}
    point = {"x": [x], "y": [y], "mode": "markers", "marker": marker, "cliponaxis": False}  # whole at a score of 0, too
    figure.add_scatter(name=style.name, hovertext=hover, **point, **bars)


def _error_bars(rows: list[Any], middle: str) -> dict[str, Any]:
    """Plotly wants distances; rounding can put a bound of 0% or 100% a hair inside its value."""
    above = [100 * max(0.0, row.high - getattr(row, middle)) for row in rows]
    below = [100 * max(0.0, getattr(row, middle) - row.low) for row in rows]
    return {"array": above, "arrayminus": below, "color": METHOD_STYLE[rows[0].method].colour, "thickness": 2}


def _score(row: Any) -> str:
    return f"{row.value:.1%} ({row.k} of n = {row.n}, 95% interval {row.low:.1%} to {row.high:.1%})"


def _count(rows: list[Any]) -> str:
    counts = sorted({int(row.n) for row in rows})
    return f"n = {counts[0]}" if len(counts) == 1 else f"n = {min(counts, default=0)} to {max(counts, default=0)}"


def _text(value: Any) -> str:
    return escape(NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", str(value)), quote=False)


def _finish(figure: go.Figure, title: str, x: str, y: str, said: str, height: int, empty: str) -> go.Figure:
    traces: Any = figure.data
    names = [trace.name for trace in traces]
    for number, name in enumerate(names):  # the legend has each method once, however many runs it has
        traces[number].update(legendgroup=name, showlegend=name not in names[:number], hoverinfo="text")
    figure.update_xaxes(title=x, rangemode="tozero", zeroline=False)
    figure.update_yaxes(title=y, rangemode="tozero", zeroline=False)
    if not traces:
        said, height = f"An empty figure: {empty}.", 240
        figure.update_xaxes(visible=False).update_yaxes(visible=False)
        figure.add_annotation(text=_text(empty), x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)
    return figure.update_layout(
        title={"text": _text(title), "y": 1, "yanchor": "top", "pad": {"t": 12}}, meta={"alt": said}, height=height,
        # Room for two rows of legend, as on a narrow screen.
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.01, "x": 0}, margin={"t": 100, "r": 10},
        template="plotly_white", barmode="group",
    )  # fmt: skip
