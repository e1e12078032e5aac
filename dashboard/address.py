"""Choices that live in the address: a copied link, a reload and the browser's Back all show the same view.

The address is what counts. A box that is changed writes there before the page runs again, and the page reads from
there. What an address asks for is looked up among the known options; anything else is named, and the default is
shown. A page that is opened by its name alone, as from the sidebar, takes up what this session chose before, as far as
it has it: a key can have other options there, and nobody asked this page for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from dashboard.widgets import say

MOST_NAMED = 5
"""Of what an address asks for and is not here."""
EVERYWHERE = ("study", "teach", "figures")
"""What another study does not put back."""

# Of st.session_state: what is asked for on this page, whether by the address, what this session chose, and what the
# page shows.
ASKED, BY_ADDRESS, KEPT, SHOWN = "asked_choices", "asked_by_address", "kept_choices", "shown_choices"


def begin() -> None:
    """Call before the first box of a page."""
    kept, asked = st.session_state.setdefault(KEPT, {}), st.query_params
    st.session_state[ASKED] = {key: asked.get_all(key) for key in asked} if asked else dict(kept)
    st.session_state[BY_ADDRESS] = bool(asked)
    st.session_state[SHOWN] = {}


def settle() -> None:
    """Call after the last box of a page: the address says all that is shown, and nothing else."""
    shown: dict[str, list[str] | None] = st.session_state[SHOWN]
    st.session_state[KEPT] |= shown
    wanted = {key: value for key, value in shown.items() if value is not None}
    if {key: st.query_params.get_all(key) for key in st.query_params} != wanted:
        st.query_params.from_dict(wanted)


def choose(
    label: str, options: Sequence[str], key: str, start: int = 0, help: str | None = None,
    quietly: Sequence[str] = (), write: bool = True,
) -> str:  # fmt: skip
    """A select box for one of the options, which has `key` in the address; the one at `start` to begin with.

    Args:
        quietly: what is asked for and is one of these, but no option now, is replaced without a word.
        write: whether the address names the one at `start`, too. It must where that may be another one tomorrow.
    """
    asked = [one for one in _known(label, key, lambda one: one in options or one in quietly) if one in options]
    st.session_state[key] = asked[-1] if asked else options[start]
    _show(key, [st.session_state[key]], write or asked)
    return st.selectbox(label, options, key=key, on_change=_write, args=(key,), help=help)


def choose_several(
    label: str, options: Sequence[str], key: str, start: Sequence[str] = (), help: str | None = None,
    placeholder: str = "any",
) -> list[str]:  # fmt: skip
    """As `choose`, for any number of the options; those in `start` to begin with."""
    asked = _known(label, key, lambda one: one in options or not one)
    emptied = asked == [""]  # an empty choice is a choice too
    chosen = [] if emptied else list(dict.fromkeys(one for one in asked if one)) or list(start)
    st.session_state[key] = chosen
    _show(key, chosen or [""], asked or chosen != list(start))
    st.multiselect(
        label, options, key=key, on_change=_write, args=(key,), help=help, placeholder=placeholder, select_all=False
    )
    return chosen


def choose_text(label: str, key: str, help: str | None = None) -> str:
    """A line of text, empty to begin with."""
    asked = _known(label, key, lambda one: len(one) <= 200)
    text = st.session_state[key] = asked[-1] if asked else ""
    _show(key, [text], text)
    st.text_input(label, key=key, on_change=_write, args=(key,), max_chars=200, help=help, type="search")
    return text


def choose_switch(label: str, key: str, help: str | None = None) -> bool:
    """A switch, off to begin with."""
    on = st.session_state[key] = "1" in _known(label, key, lambda one: one in ("0", "1"))
    _show(key, ["1"], on)
    return st.toggle(label, key=key, on_change=_write, args=(key,), help=help)


def choose_number(
    label: str, key: str, low: float, high: float, start: float, step: float, help: str | None = None
) -> float:
    """A slider for one number."""
    asked = _known(label, key, lambda one: _between(one, low, high))
    value = st.session_state[key] = float(asked[-1]) if asked else start
    _show(key, [f"{value:g}"], asked or value != start)
    return st.slider(label, low, high, step=step, format="%g", key=key, on_change=_write, args=(key,), help=help)


def choose_range(
    label: str, key: str, low: float, high: float, step: float, help: str | None = None
) -> tuple[float, float]:
    """A slider with two ends, at its whole range to begin with."""
    asked = sorted(map(float, _known(label, key, lambda one: _between(one, low, high))))
    value = st.session_state[key] = (asked[0], asked[-1]) if len(asked) == 2 else (low, high)
    _show(key, [f"{end:g}" for end in value], value != (low, high))
    ends: Any = st.slider(label, low, high, step=step, format="%g", key=key, on_change=_write, args=(key,), help=help)
    return ends


def here(**others: str | Sequence[str]) -> dict[str, list[str]]:
    """What a link to another page carries: the study, the teach switch, and what is named."""
    shown = st.session_state[SHOWN]
    kept = {key: shown[key] for key in EVERYWHERE if shown.get(key)}
    return kept | {key: [value] if isinstance(value, str) else list(value) for key, value in others.items()}


def go(key: str, value: str) -> None:
    """For a callback: the view with another choice."""
    st.query_params[key] = value


def forget_the_rest() -> None:
    """For another study: its runs and benchmarks are others."""
    _write("study")
    for key in [key for key in st.query_params if key not in EVERYWHERE]:
        del st.query_params[key]
    st.session_state[KEPT] = {key: value for key, value in st.session_state[KEPT].items() if key in EVERYWHERE}


def choose_study(studies: Sequence[str]) -> str:
    """The study of every page."""
    asked = _known("Study", "study", lambda one: one in studies)
    st.session_state["study"] = asked[-1] if asked else studies[0]
    _show("study", [st.session_state["study"]], True)
    return st.selectbox("Study", studies, key="study", on_change=forget_the_rest)


def _known(label: str, key: str, known: Callable[[str], bool]) -> list[str]:
    """What is asked for, less what cannot be had, which is named if the address asks for it."""
    asked = st.session_state[ASKED].get(key) or []
    found, unknown = [one for one in asked if known(one)], [one for one in asked if not known(one)]
    if not st.session_state[BY_ADDRESS]:
        return found
    for one in unknown[:MOST_NAMED]:
        st.warning(f"{label}: the address asks for one that is not here:")
        say(one)
    if len(unknown) > MOST_NAMED:
        say(f"and {len(unknown) - MOST_NAMED:,} more")
    return found


def _show(key: str, value: list[str], write: object) -> None:
    """Note what is shown, and whether the address says it: not where it is what anyone would see."""
    st.session_state[SHOWN][key] = value if write else None


def _write(key: str) -> None:
    value = st.session_state[key]
    if isinstance(value, list | tuple):
        value = [one if isinstance(one, str) else f"{one:g}" for one in value] or [""]
    elif not isinstance(value, str):
        value = f"{value:g}"
    st.query_params[key] = value


def _between(text: str, low: float, high: float) -> bool:
    try:
        return low <= float(text) <= high
    except ValueError:
        return False
