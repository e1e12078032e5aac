"""How training went, step by step."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from slimnb.figures.drawing import Quantity, blank, finish, grouped, labels, line_styles, text

CURVES = {
    "loss": Quantity("Training loss", "loss (nats per label token)"),
    "validation_loss": Quantity("Validation loss", "loss on held-out rows (nats per label token)"),
    "learning_rate": Quantity("Learning rate", "learning rate"),
    "tokens_per_second": Quantity("Training speed", "tokens per second"),
    "memory_bytes": Quantity("Memory", "memory after the step (GB)", 1e9),
    "gradient_norm": Quantity("Gradient norm", "gradient norm before clipping"),
}
"""Column of `curves_frame` -> how it is drawn."""
POINTS_DRAWN = 2000


def training_curves(frame: pd.DataFrame, column: str = "loss", smoothing: float = 0.0) -> go.Figure:
    """One of CURVES at each optimizer step, one line a run.

    Args:
        smoothing: weight of the past in an exponential moving average, from 0 to below 1; the raw line stays, paler.
    """
    curve, said, figure, styles = CURVES[column], [], blank(), line_styles(frame)
    runs = grouped("run", frame.dropna(subset=[column]) if column in frame else pd.DataFrame())
    names = labels(frame) if runs else {}
    for run, label in ((run, label) for run, label in names.items() if run in runs):
        raw = pd.Series([getattr(row, column) / curve.scale for row in runs[run]])
        lines = [(raw.ewm(alpha=1 - smoothing).mean(), 1.0), (raw, 0.25)] if smoothing else [(raw, 1.0)]
        for values, opacity in lines:
            every = -(-len(values) // POINTS_DRAWN)
            figure.add_scatter(
                name=text(label), mode="lines+markers" if opacity == 1 else "lines", opacity=opacity,
                x=[row.step for row in runs[run]][::every], y=values[::every].tolist(),
                **styles[run],
                hovertemplate=f"{text(label).replace('%', '&#37;')}<br>step %{{x}}: %{{y:.4~g}}<extra></extra>",
            )  # fmt: skip
        said.append(f"{label} from {raw.iloc[0]:.3g} to {raw.iloc[-1]:.3g} in {len(raw)} steps")
    alt, empty = f"{curve.title}: {'; '.join(said)}.", f"no run has a log of its {curve.title.lower()}"
    return finish(figure, curve.title, "optimizer step", curve.axis, alt, 440, empty)
