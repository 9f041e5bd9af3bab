"""Values, protocols, seeds, lookups and the single hook that everything else builds on."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
