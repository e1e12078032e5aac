"""The dashboard's pages as Streamlit's own AppTest sees them, without a browser."""
