"""Layouts of third-party weights by family, and their conversion to generators of this package."""
