"""Sources of square, labeled pictures of one size: rendered scenes and folders of photographs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
