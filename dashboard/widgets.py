"""What pages share: figures, tables and text, each with its alternative, and their export.

Text of run files and data sets goes through `say` and `table` alone, which draw it as it is and never read markup.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard.wording import HOW_TO_READ
from slimnb.exports import to_latex, to_markdown
from slimnb.figures import NO_TEXT

LONGEST = 4000
"""Characters of one text; a page is no place for more."""
MOST_COLUMNS = 60


def say(text: Any) -> None:
    """A paragraph of plain text."""
    st.text(clean(text))


def clean(text: Any) -> str:
    """Text that every browser can be sent: whole characters, not too many, and none that turns the line around."""
    shown = str(text)
    if len(shown) > LONGEST:
        shown = f"{shown[:LONGEST]} ... ({len(shown) - LONGEST:,} more characters)"
    return NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", shown)


def chart(figure: go.Figure, reading: str, key: str | None = None) -> None:
    """A figure with its text alternative; `reading` says in wording.HOW_TO_READ how to read it."""
    layout: Any = figure.layout
    said = clean(layout.meta["alt"])
    saved = {"format": "svg", "filename": f"slimnb-{reading}"}
    st.plotly_chart(figure, alt=said, key=key, config={"displaylogo": False, "toImageButtonOptions": saved})
    if st.session_state.get("teach"):
        st.caption(HOW_TO_READ[reading])
        with st.expander("The figure in words"):
            say(said)


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


def downloads(
    frame: pd.DataFrame, name: str, key: str, record: Callable[[], str] | None = None, papers: bool = False
) -> None:
    """Buttons that save what is on the screen: CSV, JSON, and for a paper's table Markdown and LaTeX."""
    forms: dict[str, tuple[str, Any]] = {
        "CSV": ("text/csv", lambda: frame.to_csv(index=False)),
        "JSON": ("application/json", record or (lambda: frame.to_json(orient="records", indent=2))),
    }
    if papers:
        forms |= {
            "Markdown": ("text/markdown", lambda: to_markdown(frame)),
            "LaTeX": ("text/x-tex", lambda: to_latex(frame)),
        }
    with st.container(horizontal=True):
        for form, (mime, make) in forms.items():
            ending = {"Markdown": "md", "LaTeX": "tex"}.get(form, form.lower())
            st.download_button(
                form, make, f"{name}.{ending}", mime, key=f"{key}-{form}", on_click="ignore", icon=":material/download:"
            )


def in_a_notebook(runs: Sequence[Any], figure: str) -> None:
    """The Python lines that draw the figure from the same runs."""
    made = f"{figure.removeprefix('training_')}_frame"
    lines = [
        "from pathlib import Path",
        "",
        "from slimnb import find",
        f"from slimnb.figures import {figure}, {made}",
        "",
        f"names = {[run.path.name for run in runs]}",
        f"runs = [find(Path({str(runs[0].path.parents[1])!r}), name) for name in names]",
        f"{figure}({made}(runs))",
    ]
    with st.expander("The Python lines for a notebook"):
        st.code("\n".join(lines), language="python")


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows for `table`."""
    names = [str(name) for name in frame]
    return [dict(zip(names, row, strict=True)) for row in frame.itertuples(index=False, name=None)]


def rows_of(frame: pd.DataFrame) -> list[Any]:
    """A frame's rows, with their columns as attributes."""
    return list(frame.itertuples())


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
