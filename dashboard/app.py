"""The app's entry: `streamlit run dashboard/app.py [-- --runs DIR] [--data DIR] [--lm-eval DIR]`."""

import sys
from pathlib import Path

import streamlit as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # streamlit puts only this file's directory there

from dashboard import address
from dashboard.pages import PAGES
from dashboard.store import look
from dashboard.widgets import say

# No icons: Streamlit makes a page's icon its favicon, which browsers would fetch from Google.
st.set_page_config(page_title="slimnb", layout="wide")
page = st.navigation([st.Page(f"views/{name}.py", title=title, default=name == "overview")
                      for name, title in PAGES.items()])  # fmt: skip
store = look()
address.begin()
st.title(page.title)
if store.by_study or page.title == "Imports":
    with st.sidebar:
        if store.by_study:
            address.choose_study(list(store.by_study))
        address.choose_switch("Teach", "teach", help="A sentence under each figure on how to read it.")
        address.choose("Save figures as", ["SVG", "PNG"], "figures", write=False,
                       help="What the camera above a figure saves.")  # fmt: skip
    page.run()
    address.settle()
else:
    st.info("No runs yet. `make demo` makes four: the base model, LoRA, QLoRA and full fine-tuning. Looked in:")
    say(store.root)
for one in store.broken if not store.by_study else ():
    say(f"{one.path}: {one.reason}")
