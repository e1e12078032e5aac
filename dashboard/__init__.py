"""The Streamlit app that browses saved runs. It shows what slimnb/ computes, imports no torch and needs no network.

The pages lie in views/ and not in pages/: Streamlit runs a file of a folder of that name by itself, without app.py, if
its address is the first that is asked for.
"""
