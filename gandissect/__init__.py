"""Open up GANs: see what each unit draws, prove it, and use it.

Names are imported when first used, so that ``import gandissect`` costs hardly more than importing torch.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
