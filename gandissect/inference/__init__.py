"""Running both networks over seeded samples in checked blocks, to a layer and on from it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
