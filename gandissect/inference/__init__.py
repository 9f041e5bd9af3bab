"""Run generator and segmenter over seeded samples in validated blocks, up to a layer and from it to the image."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
