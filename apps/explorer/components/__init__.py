"""Custom Streamlit components: the easel and the cell picker."""
