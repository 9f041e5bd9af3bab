"""Render outdoor scenes with exact labels."""
