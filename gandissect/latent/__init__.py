"""Moving through a generator's latent space: interpolation, truncation, mixing, directions, inversion."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
