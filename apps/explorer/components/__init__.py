"""Streamlit components of our own: the easel and the cell picker."""
