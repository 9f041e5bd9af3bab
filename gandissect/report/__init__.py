"""Static pages and figures, made from results alone; pages open from disk without a network connection."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
