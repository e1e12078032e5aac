"""What pages share: choices kept in the URL, and figures with their text alternative."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
import streamlit as st


def choose(label: str, options: Sequence[str], key: str, default: str | None = None) -> str:
    """A select box whose value is in the URL as `key`. An unknown value there is named, and replaced by the default."""
    asked = st.query_params.get(key)
    _name_unknown(key, [] if asked in (None, *options) else [asked])
    # Streamlit leaves a widget's own default out of the URL, and the address would then mean another thing after the
    # next study. So the box has no default, and is given one here.
    if asked not in options and st.session_state.get(key) not in options:
        st.session_state[key] = default if default in options else options[0]
    return st.selectbox(label, options, index=None, key=key, bind="query-params") or options[0]


def choose_several(label: str, options: Sequence[str], key: str) -> list[str]:
    """As `choose`, for any number of values; all of them to begin with."""
    _name_unknown(key, [one for one in st.query_params.get_all(key) if one not in options])
    return st.multiselect(label, options, default=options, key=key, bind="query-params")


def chart(figure: go.Figure) -> None:
    alt = figure.layout.meta["alt"]
    st.plotly_chart(figure, alt=alt, config={"displaylogo": False})


def table(frame: pd.DataFrame, alt: str) -> None:
    st.dataframe(frame, hide_index=True, alt=alt)


def percent(frame: pd.DataFrame) -> pd.Series:
    """k of n with the interval, as text: `120/240 = 50.0% (43.7 to 56.3)`."""
    return pd.Series([
        f"{row.k}/{row.n} = {row.value:.1%} ({100 * row.low:.1f} to {100 * row.high:.1f})" for row in frame.itertuples()
    ])


def _name_unknown(key: str, unknown: list[str]) -> None:
    for one in unknown:
        st.warning(f"The address asks for a {key} that is not here:")
        st.text(one)
