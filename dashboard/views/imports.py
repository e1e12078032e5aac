"""How results of lm-evaluation-harness, and runs of other directories, get here: by a command, never by an upload."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import streamlit as st

from dashboard.store import options
from dashboard.widgets import clean, say

MOST = 50


def page() -> None:
    given = options()
    st.subheader("Results of lm-evaluation-harness")
    if given.lm_eval is None:
        st.markdown(
            "Start the app with the directory that lm-eval wrote with `--log_samples`, and they are listed here:"
        )
        st.code("streamlit run dashboard/app.py -- --lm-eval DIR", language="bash")
        st.markdown("Or import them at once:")
        _command("DIR", given.runs)
    elif found := list(_results(given.lm_eval)):
        st.markdown(
            f"{len(found)} results files{' or more' if len(found) == MOST else ''}. Each is imported by its line:"
        )
        for path in found:
            _command(str(path), given.runs)
    else:
        say(f"No results_*.json under {given.lm_eval}")
    st.caption(
        "`--model` names the model for comparisons with slimnb's own runs. Imported runs appear here by themselves."
    )
    st.subheader("Runs of another directory")
    st.code("streamlit run dashboard/app.py -- --runs DIR", language="bash")


def _command(path: str, runs: Path) -> None:
    st.code(clean(shlex.join(["slimnb", "import", "lm-eval", path, "--model", "MODEL", "--runs", str(runs)])),
            language="bash", wrap_lines=True)  # fmt: skip


def _results(directory: Path) -> Iterator[Path]:
    """The first results files under the directory, by name alone: nothing is opened, and no link is followed."""
    found = 0
    for place, folders, files in os.walk(directory):
        folders.sort()
        for name in sorted(files):
            if name.startswith("results_") and name.endswith(".json") and found < MOST:
                found += 1
                yield Path(place, name)
        if found == MOST:
            return


page()
