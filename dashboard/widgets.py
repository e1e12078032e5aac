"""What pages share: choices kept in the address, and figures and tables with their text alternatives.

The address is what counts: a box that is changed writes there before the page runs again, and the page reads from
there. So a link, a reload and the browser's Back all show the same thing. What an address asks for is looked up among
the known options; anything else is named, and the default is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st


def choose_study(studies: Sequence[str]) -> str:
    """The study of every page. Streamlit keeps a bound box's value in the address from page to page."""
    if "study" not in st.session_state:  # later it is another page's address that is left over
        _name_unknown("Study", [one for one in st.query_params.get_all("study") if one not in studies])
    return st.selectbox("Study", studies, key="study", bind="query-params", on_change=_forget_the_rest)


def choose(label: str, options: Sequence[str], key: str, start: int = 0) -> str:
    """A select box for one of the options, which has `key` in the address; the one at `start` to begin with."""
    asked = st.query_params.get(key)
    _name_unknown(label, [asked] if asked is not None and asked not in options else [])
    st.session_state[key] = asked if asked in options else options[start]
    return st.selectbox(label, options, key=key, on_change=_write, args=(key,))


def choose_several(label: str, options: Sequence[str], key: str) -> list[str]:
    """As `choose`, for any number of the options; all of them to begin with."""
    asked = st.query_params.get_all(key)
    _name_unknown(label, [one for one in asked if one and one not in options])
    known = [one for one in asked if one in options]
    st.session_state[key] = known if known or asked == [""] else list(options)
    return st.pills(label, options, selection_mode="multi", key=key, on_change=_write, args=(key,))


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


def _write(key: str) -> None:
    st.query_params[key] = st.session_state[key] or [""]  # an empty choice is a choice too


def _forget_the_rest() -> None:
    for key in [key for key in st.query_params if key != "study"]:
        del st.query_params[key]


def _name_unknown(label: str, unknown: Sequence[str]) -> None:
    for one in unknown:
        st.warning(f"{label}: the address asks for one that is not here:")
        st.text(one)
