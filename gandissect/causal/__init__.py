"""Measure the causal effects of forcing units on and off, and find the units that cause a concept."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
