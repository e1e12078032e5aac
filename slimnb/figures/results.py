"""Scores, and changes of scores, with their intervals."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from slimnb.figures.drawing import (
    CHANCE_COLOUR,
    METHOD_STYLE,
    add_point,
    blank,
    counted,
    error_bars,
    finish,
    grouped,
    labels,
    paler,
    text,
    told,
)


def scores(frame: pd.DataFrame) -> go.Figure:
    """Bars grouped by benchmark with 95% intervals, and a line where guessing would be."""
    figure, said, runs, groups = blank(), [], grouped("run", frame), grouped("benchmark", frame)
    places = {benchmark: place for place, benchmark in enumerate(groups)}
    once = all(len({row.method for row in rows}) == len(rows) for rows in groups.values())  # a method, by benchmark
    for run, label in labels(frame).items():
        style, rows = METHOD_STYLE[runs[run][0].method], runs[run]
        said += [f"{label} on {row.benchmark} {told(row)}" for row in rows]
        figure.add_bar(
            name=style.name, error_y=error_bars(rows, "value"), x=[places[row.benchmark] for row in rows],
            offsetgroup=style.name if once and len(runs) > len(METHOD_STYLE) else None,  # a method's place is one
            y=[100 * row.value for row in rows],
            hovertext=[f"{text(f'{label}: {row.benchmark}, {row.metric}')}<br>{told(row)}" for row in rows],
            # A see-through fill, in which an error bar of the full colour shows.
            marker={"color": paler(style.colour), "line": {"color": style.colour, "width": 1.5},
                    "pattern": {"shape": style.pattern, "fgcolor": style.colour, "size": 7, "solidity": 0.2}},
        )  # fmt: skip
    if chance := {places[name]: 100 * rows[0].chance for name, rows in groups.items() if pd.notna(rows[0].chance)}:
        figure.add_scatter(
            name="chance", mode="lines", line={"color": CHANCE_COLOUR, "dash": "dash", "width": 2},
            x=[x for place in chance for x in (place - 0.44, place + 0.44, None)],
            y=[y for value in chance.values() for y in (value, value, None)],
            hovertemplate="guessing: %{y:.1f}%<extra></extra>",
        )  # fmt: skip
    ticks = [text(name).replace("_", "_<br>") + "<br>" + counted(rows) for name, rows in groups.items()]
    figure.update_xaxes(tickvals=list(places.values()), ticktext=ticks, tickangle=0)  # they break instead
    alt = f"Right answers with their 95% intervals: {'; '.join(said)}."
    return finish(figure, "Scores", "benchmark", "right answers (%)", alt, 460, "no scores yet")


def differences(frame: pd.DataFrame, title: str = "Change against base", margin: float | None = None) -> go.Figure:
    """A forest plot of paired changes: one row a run under its benchmark's name, and a line at no change.

    Args:
        margin: shades the changes that count as none, as a proportion.
    """
    shown = frame if frame.empty else frame.loc[frame["refused"].isna()]
    figure, names, said, ticks, at = blank(), labels(shown), [], {}, 0
    for benchmark, rows in grouped("benchmark", shown).items():
        heading = f"<b>{text(benchmark)}</b>, {counted(rows)}"
        figure.add_annotation(text=heading, x=0, xref="paper", xanchor="left", y=at, showarrow=False)
        across = {"y0": at + 0.5, "y1": at + len(rows) + 0.5}
        if margin:
            figure.add_shape(type="rect", x0=-100 * margin, x1=100 * margin, **across, line_width=0,
                             fillcolor=METHOD_STYLE["base"].colour, opacity=0.2, layer="below")  # fmt: skip
        figure.add_shape(type="line", x0=0, x1=0, **across, line={"color": METHOD_STYLE["base"].colour})
        for row in sorted(rows, key=lambda row: list(names).index(row.run)):
            at += 1
            ticks[at] = text(names[row.run]).replace(" on ", "<br>on ")
            change = f"{100 * row.difference:+.1f} points ({100 * row.low:+.1f} to {100 * row.high:+.1f})"
            said.append(f"{names[row.run]} {change} on {benchmark}")
            hover = f"{text(said[-1])}<br>n = {row.n:.0f}: {row.fixed:.0f} fixed, {row.broken:.0f} broken"
            hover += " (over the seeds)" if getattr(row, "seeds", 1) > 1 else ""
            add_point(figure, row, hover, x=100 * row.difference, y=at, error_x="difference")
        at += 1
    figure.update_yaxes(tickvals=list(ticks), ticktext=list(ticks.values()), range=[at - 0.3, -0.7], showgrid=False)
    alt, x_title = f"Changes with paired 95% intervals: {'; '.join(said)}.", "change in right answers (points)"
    figure = finish(figure, title, x_title, "run", alt, 130 + 34 * at, "no two runs that can be compared")
    return figure.update_layout(showlegend=False, margin_t=60)
