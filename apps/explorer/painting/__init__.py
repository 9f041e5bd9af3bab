"""Strokes, what they change, and how they are drawn and kept."""
