"""Open up GANs: see what each unit draws, prove it, and use it.

Names are imported on first use, so that ``import gandissect`` takes hardly longer than importing torch.
"""

import lazy_loader

from .core.renamed import with_old_names

__version__ = "0.1.0"

OLD_NAMES = {
    "best_units": "select_units_by_ablation",
    "concept_shares": "measure_concept_shares",
    "effect_curves": "measure_effect_curves",
    "iou_ranking": "rank_units_by_iou",
    "optimise_units": "optimize_units",
    "unit_effects": "measure_unit_effects",
}
"""Deprecated names, which still work with a warning, and the names that replace them."""

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = with_old_names(__name__, __getattr__, OLD_NAMES)
