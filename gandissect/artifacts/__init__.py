"""Units behind unrealistic images: ranking them, choosing their number, and the repaired generator."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
