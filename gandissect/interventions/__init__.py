"""Edits of activations as values, how they are applied, and recipes that keep them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
