"""What is in memory at a training's peak, as slimnb.planning.memory predicts it."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from slimnb.figures.drawing import CHANCE_COLOUR, blank, finish, grouped, rows_of, text

# Okabe and Ito's palette. Colours that come twice differ in their pattern, and what belongs together shares a colour.
ITEM_STYLE = {
    "weights": ("#0072B2", ""),
    "quantization constants": ("#0072B2", "/"),
    "weights file": ("#0072B2", "."),
    "adapters": ("#009E73", ""),
    "optimizer": ("#009E73", "/"),
    "gradients": ("#009E73", "."),
    "bfloat16 copies": ("#009E73", "x"),
    "activations": ("#E69F00", ""),
    "workspace": ("#E69F00", "/"),
    "logits": ("#E69F00", "x"),
    "gaps": ("#7f7f7f", "/"),
    "overhead": ("#7f7f7f", ""),
}
"""Item of slimnb.planning.memory -> colour and pattern: weights, what is trained, the micro-batch, the rest."""


def memory_items(frame: pd.DataFrame, memory: int | None = None) -> go.Figure:
    """A stacked bar a setup: what is in memory at its predicted peak.

    Args:
        frame: one row an item of a setup: setup (its name), item (of ITEM_STYLE), bytes.
        memory: bytes that there are, drawn as a line.
    """
    figure, said = blank(), []
    setups = list(dict.fromkeys(frame["setup"])) if len(frame) else []
    items = grouped("item", frame)
    for item in (item for item in ITEM_STYLE if item in items):
        colour, pattern = ITEM_STYLE[item]
        held = {row.setup: row.bytes / 1e9 for row in items[item]}
        figure.add_bar(
            name=text(item), orientation="h", y=[setups.index(setup) for setup in held], x=list(held.values()),
            hovertext=[f"{text(setup)}: {text(item)}<br>{size:.2f} GB" for setup, size in held.items()],
            marker={"color": colour, "pattern": {"shape": pattern, "fgcolor": "white", "size": 6, "solidity": 0.3}},
        )  # fmt: skip
    for setup, rows in grouped("setup", frame).items():
        most = max(rows, key=lambda row: row.bytes)
        peak = sum(row.bytes for row in rows) / 1e9
        said.append(f"{setup} {peak:.2f} GB, the largest item {most.item} ({most.bytes / 1e9:.2f})")
    if memory and rows_of(frame):
        figure.add_scatter(
            name=f"{memory / 1e9:g} GB", mode="lines", x=[memory / 1e9] * 2, y=[-0.5, len(setups) - 0.5],
            line={"color": CHANCE_COLOUR, "dash": "dash", "width": 2}, hovertext=["what there is"] * 2,
        )  # fmt: skip
        said.append(f"a line at {memory / 1e9:g} GB")
    alt = f"Predicted peak memory by item: {'; '.join(said)}."
    figure = finish(figure, "Memory at the predicted peak", "memory (GB)", "setup", alt, 240, "no prediction")
    figure.update_yaxes(tickvals=list(range(len(setups))), ticktext=[text(one) for one in setups], autorange="reversed")
    return figure.update_layout(barmode="stack", height=240 + 44 * len(setups))
