"""What pages share: figures, tables and text, each with its alternative, and their export.

Text of run files and data sets goes through `say` and `table` alone, which draw it as it is and never read markup.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard.wording import HOW_TO_READ, WHERE_TO_LOOK
from slimnb.analysis.exports import to_latex, to_markdown
from slimnb.figures import NO_TEXT

HOMES = {
    "slimnb": ["compare_all"],
    "slimnb.alignment": ["read_alignment"],
    "slimnb.anatomy": ["anatomy_frame"],
    "slimnb.analysis.frames": [
        "comparisons_frame", "cost_frame", "curves_frame", "predictions_frame", "scores_frame",
    ],
    "slimnb.analysis.gains": ["alignment_frame", "gains_frame", "mean_scores_frame", "plane_frame"],
}  # fmt: skip
"""Where a notebook finds what makes the frames."""
LONGEST = 4000
"""Characters of one text; a page is no place for more."""
MOST_COLUMNS = 60


def where_to_click() -> None:
    """The way to each of the five questions, for who sees the app for the first time."""
    with st.expander("Where to click for each question", icon=":material/help:"):
        st.markdown(WHERE_TO_LOOK)


def say(text: Any) -> None:
    """A paragraph of plain text."""
    st.text(clean(text))


def clean(text: Any) -> str:
    """Text that every browser can be sent: whole characters, not too many, and none that turns the line around."""
    shown = str(text)
    if len(shown) > LONGEST:
        shown = f"{shown[:LONGEST]} ... ({len(shown) - LONGEST:,} more characters)"
    return NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", shown)


def chart(
    draw: Callable[..., go.Figure], frame: pd.DataFrame, reading: str, runs: Sequence[Any], made: str, *,
    key: str | None = None, **choices: Any,
) -> None:  # fmt: skip
    """Draw a frame by a function of slimnb.figures, with its text alternative and the lines that draw it elsewhere.

    Args:
        reading: its name in wording.HOW_TO_READ.
        runs: from which `made`, a Python expression, makes the frame in a notebook; it may speak of `runs`.
        choices: what `draw` takes beside the frame.
    """
    figure = draw(frame, **choices)
    layout: Any = figure.layout
    said = clean(layout.meta["alt"])
    form = str(st.session_state.get("figures", "SVG")).lower()
    saved = {"format": form, "filename": f"slimnb-{reading}", "scale": 2 if form == "png" else 1}
    st.plotly_chart(figure, alt=said, key=key, config={"displaylogo": False, "toImageButtonOptions": saved})
    if st.session_state.get("teach"):
        st.caption(HOW_TO_READ[reading])
    with st.expander("This figure in words and in Python"):
        say(said)
        if runs:
            st.code(in_a_notebook(draw.__name__, runs, made, choices), language="python")


def in_a_notebook(draw: str, runs: Sequence[Any], made: str, choices: Mapping[str, Any]) -> str:
    """The Python lines that draw a figure from saved runs."""
    places = {home: [name for name in names if re.search(rf"\b{name}\b", made)] for home, names in HOMES.items()}
    places["slimnb"] = sorted([*places["slimnb"], "find"])
    places["slimnb.figures"] = [draw]
    given = "".join(f", {name}={value!r}" for name, value in choices.items() if value is not None)
    return "\n".join(
        [
            "from pathlib import Path",
            "",
            *(f"from {home} import {', '.join(names)}" for home, names in sorted(places.items()) if names),
            "",
            f"study = Path({str(runs[0].path.parent)!r})",
            f"names = {[run.path.name for run in runs]}",
            "runs = [find(study, str(study / name)) for name in names]",
            f"{draw}({made}{given})",
        ]
    )


def table(
    rows: Sequence[Mapping[str, Any]], alt: str, formats: dict[str, str] | None = None, *,
    widths: dict[str, Any] | None = None, **options: Any,
) -> Any:  # fmt: skip
    """A table of text and numbers; cells are drawn as they are, never read as markup."""
    frame = pd.DataFrame([{name: _cell(value) for name, value in row.items()} for row in rows]).iloc[:, :MOST_COLUMNS]
    frame.columns = _unique(clean(name) for name in frame.columns)
    number = st.column_config.NumberColumn
    columns = {name: number(format=form) for name, form in (formats or {}).items() if name in frame}
    columns |= {name: st.column_config.Column(width=width) for name, width in (widths or {}).items()}
    height = "content" if len(frame) <= 20 else 560
    return st.dataframe(
        frame, hide_index=True, alt=alt, column_config=columns, height=height, placeholder="-", **options
    )


def downloads(frame: pd.DataFrame, name: str, record: Callable[[], str] | None = None) -> None:
    """Buttons that save what is on the screen, as data and as a paper's table.

    Args:
        record: JSON that holds more than the frame.
    """
    forms: dict[str, tuple[str, str, Callable[[], str]]] = {
        "CSV": ("csv", "text/csv", lambda: frame.to_csv(index=False)),
        "JSON": ("json", "application/json", record or (lambda: str(frame.to_json(orient="records", indent=2)))),
        "Markdown": ("md", "text/markdown", lambda: to_markdown(frame)),
        "LaTeX": ("tex", "text/x-tex", lambda: to_latex(frame)),
    }
    with st.container(horizontal=True):
        for form, (ending, mime, make) in forms.items():
            st.download_button(form, make, f"{name}.{ending}", mime, key=f"{name}-{form}", on_click="ignore",
                               icon=":material/download:")  # fmt: skip


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows for `table`."""
    names = [str(name) for name in frame]
    return [dict(zip(names, row, strict=True)) for row in frame.itertuples(index=False, name=None)]


def _unique(names: Iterable[str]) -> list[str]:
    """Arrow takes no column's name twice."""
    seen: Counter[str] = Counter()
    given = []
    for name in names:
        seen[name] += 1
        given.append(f"{name} ({seen[name]})" if seen[name] > 1 else name)
    return given


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53:
        return float(value)
    return value
