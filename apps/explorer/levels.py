"""The quantiles to which the explorer can set a unit."""

from __future__ import annotations

LEVELS = (0.0, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)
"""Quantiles of a unit's activations to which it can be set; 0 is off, 1 is the largest observed activation."""
