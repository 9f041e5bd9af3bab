"""Reports: static pages made from results only, that open from disk without a network."""

from __future__ import annotations

from .dissection import write_report

__all__ = ["write_report"]
