"""Families of generators, one per file, and their shared building blocks."""
