import streamlit as st

st.text(str(st.session_state["study"]))
