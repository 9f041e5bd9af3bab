"""How far generated images are from real ones, and what a generator leaves out."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
