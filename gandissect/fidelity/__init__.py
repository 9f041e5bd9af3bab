"""Measure how far generated images are from real ones, and which concepts a generator under- or over-produces."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
