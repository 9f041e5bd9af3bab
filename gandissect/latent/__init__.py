"""Explore a generator's latent space: interpolation, truncation, style mixing, directions and inversion."""

import lazy_loader

from ..core.renamed import with_old_names

OLD_NAMES = {"Moved": "DirectionSweep", "Path": "LatentPath", "labelled": "with_labels"}
"""Old names, which still work with a warning, and the current names."""

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = with_old_names(__name__, __getattr__, OLD_NAMES)
