"""One file a page; Streamlit runs them as scripts, with the study's runs from `dashboard.store`."""
