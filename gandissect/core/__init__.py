"""The values, protocols, seeds, look-ups and the one hook that everything else stands on."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
