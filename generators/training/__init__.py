"""Training of generators: losses, augmentation, and the task that the shared training loop runs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
