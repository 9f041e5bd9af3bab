"""Networks that give each pixel of an image a concept, and the labeled pictures that they learn from."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
