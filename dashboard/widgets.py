"""What pages share: choices kept in the URL, and figures and tables with their text alternatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

_CHOICES = ("first", "second", "run", "benchmark")


def choose_study(studies: Sequence[str]) -> None:
    """The sidebar's choice, kept as `st.session_state["study"]`; pages' own choices start anew with another study."""
    _name_unknown(studies, "study")
    st.selectbox("Study", studies, key="study", bind="query-params", on_change=_forget)


def choose(label: str, options: Sequence[str], key: str, start: int = 0) -> str:
    """A select box whose value is in the URL as `key`, unless it is the first shown; an unknown one there is named."""
    _name_unknown(options, key)
    return st.selectbox(label, options, index=start, key=key, bind="query-params")


def choose_several(label: str, options: Sequence[str], key: str) -> list[str]:
    """As `choose`, for any number of values; all of them to begin with."""
    _name_unknown(options, key)
    return st.pills(label, options, selection_mode="multi", default=options, key=key, bind="query-params")


def chart(figure: go.Figure) -> None:
    layout: Any = figure.layout
    st.plotly_chart(figure, alt=layout.meta["alt"], config={"displaylogo": False})


def table(rows: Sequence[dict[str, Any]], alt: str, formats: dict[str, str] | None = None) -> None:
    """A table of text and numbers; cells are drawn as they are, never read as markup."""
    columns = {name: st.column_config.NumberColumn(format=form) for name, form in (formats or {}).items()}
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt=alt, column_config=columns, height="content", placeholder="-")


def rows_of(frame: pd.DataFrame) -> list[Any]:
    """A frame's rows, with their columns as attributes."""
    return list(frame.itertuples())


def _forget() -> None:
    for key in _CHOICES:
        st.session_state.pop(key, None)


def _name_unknown(options: Sequence[str], key: str) -> None:
    if key in st.session_state:
        return  # the address was read already
    for one in st.query_params.get_all(key):
        if one not in options:
            st.warning(f"The address asks for a {key} that is not here:")
            st.text(one)
