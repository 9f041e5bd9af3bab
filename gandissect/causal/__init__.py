"""What units cause: effects of switching them off and on, and the units behind a concept."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
