"""The app's entry: `streamlit run dashboard/app.py [-- --runs DIR]`."""

import sys
from pathlib import Path

import streamlit as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # streamlit puts only this file's directory there

from dashboard.store import the_store
from dashboard.widgets import choose_study

st.set_page_config(page_title="slimnb", layout="wide")
page = st.navigation([st.Page(f"views/{name}.py", title=name.capitalize(), default=name == "overview")
                      for name in ("overview", "runs", "compare", "training", "cost")])  # fmt: skip
store = the_store()
st.title(page.title)
if store.studies:
    with st.sidebar:
        choose_study(store.studies)
    page.run()
else:
    st.info("No runs yet. `make demo` makes four: the base model, LoRA, QLoRA and full fine-tuning. Looked in:")
    st.text(str(store.root))
