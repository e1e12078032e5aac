"""What training did to the weights, from `slimnb.anatomy.anatomy_frame`. dW is the update, W the weight before it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from slimnb.anatomy.record import FORMATS, THRESHOLDS
from slimnb.figures.drawing import Quantity, blank, finish, labels, line_styles, paler, text

ALL_KINDS = "all kinds"


QUANTITIES = {
    "effective_rank": Quantity("Effective rank", "effective rank of dW (directions)"),
    "stable_rank": Quantity("Stable rank", "stable rank of dW (directions)"),
    "energy_rank": Quantity("Directions with 90% of the energy", "directions that hold 90% of ||dW||²"),
    "relative_norm": Quantity("Size of the update", "||dW|| / ||W|| (%)", 0.01),
    "amplification": Quantity("Amplification", "||dW|| / ||UᵀWV||"),
    "alignment": Quantity("Alignment with W", "||UᵀWV|| over that of random directions"),
    "intruders": Quantity("Intruder dimensions", "leading vectors of W + dW with no cosine of 0.5 in W"),
    "error_over_update": Quantity("NF4's error over the update", "||W - NF4(W)|| / ||dW||"),
}
"""Column of `anatomy_frame` -> how it is drawn by layer."""

# By what is rounded to what; open markers with double quantization. Other colours than those of methods.
FORMAT_STYLE = {
    "nf4": ("NF4", "#56B4E9", "circle"),
    "nf4+dq": ("NF4, double quantization", "#56B4E9", "circle-open"),
    "fp4": ("FP4", "#E69F00", "square"),
    "fp4+dq": ("FP4, double quantization", "#E69F00", "square-open"),
    "int4": ("INT4", "#CC79A7", "triangle-up"),
}


def spectra(frame: pd.DataFrame, kind: str | None = None) -> go.Figure:
    """Singular values of dW over the largest: the median over matrices, and in a band their range; one line a run.

    Args:
        kind: only matrices of this kind, e.g. q_proj.
    """
    figure, said, styles = blank(), [], line_styles(frame)
    rows = of_kind(frame, kind)
    for run, label in labels(rows).items():
        matrices = [np.array(values) for values in rows.loc[rows["run"] == run, "singular_values"]]
        shares = pd.DataFrame([pd.Series(values / values[0]) for values in matrices if values.size and values[0] > 0])
        shares = shares.where(shares > 0).dropna(axis="columns", how="all")  # a log axis has no place for 0
        if shares.empty:
            continue
        middle = shares.median()
        _band(figure, label, [place + 1 for place in shares], shares.min(), middle, shares.max(), styles[run])
        half = int((middle >= 0.5).sum())
        said.append(f"{label}: {half} of {len(middle)} at half the largest or more, the last {middle.iloc[-1]:.2g}")
    alt = f"Singular values of the update over the largest, {_named(kind)}: {'; '.join(said)}."
    title, axis = f"Spectrum of the update, {_named(kind)}", "direction, largest first"
    figure = finish(figure, title, axis, "singular value of dW / largest", alt, 440, "no spectrum is stored")
    return figure.update_yaxes(type="log", exponentformat="power", dtick=1)


def by_layer(frame: pd.DataFrame, quantity: str = "effective_rank", kind: str | None = None) -> go.Figure:
    """One of QUANTITIES from the first layer to the last: the median over a layer's matrices, and their range."""
    drawn, figure, said, styles = QUANTITIES[quantity], blank(), [], line_styles(frame)
    rows = of_kind(frame, kind)
    rows = rows.dropna(subset=[quantity]) if quantity in rows else rows.head(0)
    for run, label in labels(rows).items():
        layers = rows.loc[rows["run"] == run].groupby("layer")[quantity].agg(["min", "median", "max"]) / drawn.scale
        _band(figure, label, layers.index.tolist(), layers["min"], layers["median"], layers["max"], styles[run])
        middle = layers["median"]
        said.append(f"{label} {middle.median():.3g} in the middle layer, from {middle.min():.3g} to {middle.max():.3g}")
    alt = f"{drawn.title} by layer, {_named(kind)}: {'; '.join(said)}."
    title, empty = f"{drawn.title} by layer, {_named(kind)}", f"no run has its {drawn.title.lower()} stored"
    return finish(figure, title, "layer", drawn.axis, alt, 440, empty)


def intruders(frame: pd.DataFrame, kind: str | None = None) -> go.Figure:
    """The share of the leading singular vectors of W + dW that are intruders, as the threshold is swept."""
    figure, said, styles = blank(), [], line_styles(frame)
    rows = of_kind(frame, kind)
    rows = rows.dropna(subset=["cosines"]) if "cosines" in rows else rows.head(0)
    for run, label in labels(rows).items():
        cosines = np.concatenate([np.array(one, dtype=float) for one in rows.loc[rows["run"] == run, "cosines"]])
        if not cosines.size:
            continue
        counts = [int((cosines < threshold).sum()) for threshold in THRESHOLDS]
        hover = [f"{text(label)}<br>no cosine of {threshold:g}: {count} of n = {cosines.size}"
                 for threshold, count in zip(THRESHOLDS, counts, strict=True)]  # fmt: skip
        figure.add_scatter(
            name=text(label), mode="lines+markers", x=list(THRESHOLDS), y=[100 * n / cosines.size for n in counts],
            hovertext=hover, **styles[run],
        )  # fmt: skip
        said.append(f"{label} {counts[THRESHOLDS.index(0.5)]} of {cosines.size} at 0.5")
    alt = f"Leading singular vectors of W + dW that W has not, {_named(kind)}: {'; '.join(said)}."
    x, y = "threshold of the best cosine with one of W", "intruders among leading vectors (%)"
    title, empty = f"Intruder dimensions, {_named(kind)}", "no run has its intruder dimensions stored"
    return finish(figure, title, x, y, alt, 440, empty)


def quantization(frame: pd.DataFrame, kind: str | None = None, model: str | None = None) -> go.Figure:
    """What W loses in 4 bits, by kind of matrix and format: median over layers, and their range.

    W is the weight before training, and so the same for all runs of a model: that of the first run with matrices of
    the kind is drawn.

    Args:
        model: the name of that run's model, to be said where the frame has runs of several.
    """
    figure, said = blank(), []
    rows = of_kind(frame, kind)
    first = rows.loc[rows["run"] == rows["run"].iloc[0]] if len(rows) else rows
    kinds = list(dict.fromkeys(first["kind"])) if len(first) else []
    for form in FORMATS:
        name, colour, symbol = FORMAT_STYLE[form]
        errors = first.dropna(subset=[f"error_{form}"]) if f"error_{form}" in first else first.head(0)
        if errors.empty:
            continue
        spread = 100 * errors.groupby("kind", sort=False)[f"error_{form}"].agg(["min", "median", "max"])
        there = [kind for kind in kinds if kind in spread.index]
        spread = spread.loc[there]
        shift = 0.15 * (FORMATS.index(form) - len(FORMATS) / 2 + 0.5)  # beside each other, not on each other
        figure.add_scatter(
            name=name, mode="markers", x=[kinds.index(kind) + shift for kind in there], y=spread["median"].tolist(),
            marker={"color": colour, "symbol": symbol, "size": 10},
            error_y={"array": (spread["max"] - spread["median"]).tolist(), "color": colour,
                     "arrayminus": (spread["median"] - spread["min"]).tolist(), "thickness": 1.5},
            hovertext=[f"{name}: {text(kind)}<br>{row['median']:.2f}% ({row['min']:.2f} to {row['max']:.2f})"
                       for kind, row in spread.iterrows()],
        )  # fmt: skip
        said.append(f"{name} {100 * errors[f'error_{form}'].median():.2f}%")
    ticks = [text(kind).replace("_", "_<br>") for kind in kinds]
    figure.update_xaxes(tickvals=list(range(len(kinds))), ticktext=ticks, tickangle=0)
    title = f"Error of {model or 'the weights'} in 4 bits, {_named(kind)}"
    alt = f"{title}, median over matrices: {'; '.join(said)}."
    y = "||W - Q(W)|| / ||W|| (%)"
    empty = "no run has its quantization error stored"
    return finish(figure, title, "kind of matrix", y, alt, 440, empty)


def _band(
    figure: go.Figure, label: str, x: list[float], low: pd.Series, middle: pd.Series, high: pd.Series, style: dict
) -> None:
    """A line with its range behind it."""
    name = text(label)
    if (high > low).any():
        figure.add_scatter(
            name=name, mode="lines", x=[*x, *reversed(x)], y=[*high, *reversed(low.tolist())], fill="toself",
            fillcolor=paler(style["line"]["color"]), line={"width": 0}, hoverinfo="skip",
        )  # fmt: skip
    spreads = zip(x, low, middle, high, strict=True)
    hover = [f"{name}<br>{place:g}: {value:.3g} ({least:.3g} to {most:.3g})" for place, least, value, most in spreads]
    figure.add_scatter(name=name, mode="lines+markers", x=x, y=middle.tolist(), hovertext=hover, **style)


def of_kind(frame: pd.DataFrame, kind: str | None) -> pd.DataFrame:
    """The matrices of one kind, or all."""
    return frame.loc[frame["kind"] == kind] if kind and len(frame) else frame


def _named(kind: str | None) -> str:
    return kind or ALL_KINDS
