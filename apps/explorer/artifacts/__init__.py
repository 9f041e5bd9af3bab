"""Measurements and panels of the page Artifacts."""
