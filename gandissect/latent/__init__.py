"""Moving through a generator's latent space: interpolation, truncation, mixing, directions, inversion."""

import lazy_loader

from ..core.renamed import with_renamed

_RENAMED = {"Moved": "DirectionSweep", "Path": "LatentPath", "labelled": "with_labels"}

_getattr, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = with_renamed(__name__, _getattr, _RENAMED)
