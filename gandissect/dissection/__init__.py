"""Dissect generators: thresholds, the IoU of units with every concept, chance, comparisons, and their results."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
