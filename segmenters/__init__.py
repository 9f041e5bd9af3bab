"""Segmentation networks, which assign a concept to each pixel of an image, and the labeled pictures to train them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
