"""Strokes: brush, history, list, rendering, and recipes."""
