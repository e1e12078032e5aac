"""What all figures share: each method's colour, marker and pattern, short names of runs, how a figure is finished."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import plotly.graph_objects as go

from slimnb.config import METHODS

Pair = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, right, bottom, top."""


class Quantity(NamedTuple):
    """A column of a frame, as it is drawn."""

    title: str
    axis: str
    scale: float = 1
    """What the frame's number is divided by."""


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
LONGEST_LEGEND = 60
"""Letters that find room in the two lines above a figure on a narrow screen."""
LETTERS, LINES = 75, 20
"""That fit beside and above each other in a figure of usual size."""
DASHES = ("solid", "dash", "dot", "dashdot")


def labels(frame: pd.DataFrame) -> dict[str, str]:
    """Run -> a short name that tells it from the frame's other runs; methods in their fixed order."""
    runs = sorted((rows[0] for rows in grouped("run", frame).values()), key=lambda row: METHODS.index(row.method))
    names = {row.run: METHOD_STYLE[row.method].name for row in runs}
    sets = {row.run: row.training_set for row in runs if pd.notna(row.training_set)}
    if len(set(sets.values())) > 1:
        names |= {run: f"{names[run]} on {Path(data).name}" for run, data in sets.items()}
    names |= {row.run: names[row.run] + seeds_and_variant(row) for row in runs}
    for length in (0, 1, 2):  # an id ends with the seed and a hash
        longer = {run: " ".join([name, *run.split("-")[-2:][:length]]) for run, name in names.items()}
        if len(set(longer.values())) == len(runs):
            return longer
    return {run: run for run in names}


def seeds_and_variant(row: Any) -> str:
    """What a frame of fine-tunes adds to a name: in what it differs from the usual one, and how many seeds it has."""
    variant, seeds = getattr(row, "variant", ""), getattr(row, "seeds", 1)
    return (f", {variant}" if variant else "") + (f" ({seeds} seeds)" if seeds > 1 else "")


def line_styles(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Run -> line and marker. Runs of one method share its colour and marker, and differ in their dashes."""
    methods = {run: rows[0].method for run, rows in grouped("run", frame).items()}
    styles, drawn = {}, dict.fromkeys(METHODS, 0)
    for run in labels(frame) if methods else ():
        method = methods[run]
        style, dash = METHOD_STYLE[method], DASHES[drawn[method] % len(DASHES)]
        drawn[method] += 1
        marker = {"symbol": style.symbol, "size": 8, "maxdisplayed": 10}
        styles[run] = {"line": {"color": style.colour, "dash": dash}, "marker": marker}
    return styles


def paler(colour: str) -> str:
    """See-through, for a fill in which lines of the full colour show."""
    return f"{colour}33"


def rows_of(frame: pd.DataFrame) -> list[Any]:
    """A frame's rows, with their columns as attributes."""
    return list(frame.itertuples())


def grouped(column: str, frame: pd.DataFrame) -> dict[str, list[Any]]:
    """A frame's rows by what the column holds, in the order in which it comes up."""
    groups: dict[str, list[Any]] = {}
    for row in rows_of(frame):
        groups.setdefault(getattr(row, column), []).append(row)
    return groups


def add_point(figure: go.Figure, row: Any, hover: str, *, x: float, y: float, **error: str) -> None:
    """A run's marker; `error_x` and `error_y` name the column that lies between the row's low and high."""
    style = METHOD_STYLE[row.method]
    bars = {axis: error_bars([row], middle) for axis, middle in error.items()}
    marker = {"color": style.colour, "symbol": style.symbol, "size": 12}
    point = {"x": [x], "y": [y], "mode": "markers", "marker": marker, "cliponaxis": False}  # whole at a score of 0, too
    figure.add_scatter(name=style.name, hovertext=hover, **point, **bars)


def error_bars(rows: list[Any], middle: str) -> dict[str, Any]:
    """Plotly wants distances; rounding can put a bound of 0% or 100% a hair inside its value."""
    above = [100 * max(0.0, row.high - getattr(row, middle)) for row in rows]
    below = [100 * max(0.0, getattr(row, middle) - row.low) for row in rows]
    return {"array": above, "arrayminus": below, "color": METHOD_STYLE[rows[0].method].colour, "thickness": 2}


def told(row: Any) -> str:
    """A score with its count, over several seeds their mean, and its interval."""
    seeds = getattr(row, "seeds", 1)
    count = f"{row.k:g}" if seeds == 1 else f"on average {row.k:.1f}"
    return f"{row.value:.1%} ({count} of n = {row.n}, 95% interval {row.low:.1%} to {row.high:.1%})"


def counted(rows: list[Any]) -> str:
    """The number of items, or of which to which."""
    counts = sorted({int(row.n) for row in rows})
    return f"n = {counts[0]}" if len(counts) == 1 else f"n = {min(counts, default=0)} to {max(counts, default=0)}"


def text(value: Any) -> str:
    """A name of a run file or data set as Plotly draws it: as it is."""
    return escape(NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", str(value)), quote=False)


def blank() -> go.Figure:
    """A figure to draw on. Its template is given here: Figure() takes plotly's own first, as long as all the rest."""
    return go.Figure(layout={"template": "plotly_white"})


def finish(figure: go.Figure, title: str, x: str, y: str, said: str, height: int, empty: str) -> go.Figure:
    """Titles, legend and text alternative (`said`); a figure without traces says why it is `empty`."""
    traces: Any = figure.data
    named: set[str] = set()
    for trace in traces:  # the legend has each method once, however many runs it has, and no band behind a line
        behind = trace.hoverinfo == "skip"
        trace.update(legendgroup=trace.name, showlegend=not behind and trace.name not in named)
        if not behind:
            trace.hoverinfo = "text"
            named.add(trace.name)
    figure.update_xaxes(title=x, rangemode="tozero", zeroline=False)
    figure.update_yaxes(title=y, rangemode="tozero", zeroline=False)
    if not traces:
        said, height = f"An empty figure: {empty}.", 240
        figure.update_xaxes(visible=False).update_yaxes(visible=False)
        figure.add_annotation(text=text(empty), x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)
    legend = {"orientation": "h", "yanchor": "bottom", "y": 1.01, "x": 0}
    if sum(map(len, named)) > LONGEST_LEGEND:  # the names of many runs, which would lie on the title
        height += 24 * len(named)
        legend |= {"yanchor": "top", "y": -0.25}
    return figure.update_layout(
        title={"text": text(title), "y": 1, "yanchor": "top", "pad": {"t": 12}}, meta={"alt": said}, height=height,
        # Room for two rows of legend, as on a narrow screen.
        legend=legend, margin={"t": 100 if legend["y"] > 1 else 50, "r": 10},
        barmode="group",
    )  # fmt: skip


def name_sides(points: Sequence[Pair], names: Sequence[str], x: Pair, y: Pair) -> list[str | None]:
    """The side of each point on which its name lies on nothing else, as Plotly's textposition; None where all do.

    Args:
        x, y: the ends of the axes.
    """
    letter, line = (x[1] - x[0]) / LETTERS, (y[1] - y[0]) / LINES
    taken: list[Box] = [(a - letter, a + letter, b - line / 3, b + line / 3) for a, b in points]
    sides: list[str | None] = []
    for (a, b), name in zip(points, names, strict=True):
        width, chosen = len(name) * letter, None
        for side in ("top right", "top left", "bottom right", "bottom left"):
            start = a + letter if "right" in side else a - letter - width
            low = b + line / 3 if "top" in side else b - line / 3 - line
            box = (start, start + width, low, low + line)
            inside = x[0] <= box[0] and box[1] <= x[1] and y[0] <= box[2] and box[3] <= y[1]
            if inside and not any(_meet(box, other) for other in taken):
                taken.append(box)
                chosen = side
                break
        sides.append(chosen)
    return sides


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]
