"""Edits of activations as values, functions that apply them, and recipes that store them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
