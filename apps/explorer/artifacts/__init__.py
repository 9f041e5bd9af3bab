"""Ranking the units behind artifacts, for the Artifacts page."""
