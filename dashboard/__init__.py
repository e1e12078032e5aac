"""The Streamlit app that browses saved runs. It shows what slimnb/ computes; it imports no torch and needs no network."""
