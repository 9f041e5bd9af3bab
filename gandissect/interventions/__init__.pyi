from .apply import generate as generate, intervene as intervene
from .edits import (
    Ablation as Ablation,
    Edit as Edit,
    Insertion as Insertion,
    Scaling as Scaling,
    Size as Size,
    check_region as check_region,
    check_units as check_units,
    control_units as control_units,
    region_mask as region_mask,
)
from .recipe import EDIT_KINDS as EDIT_KINDS, Recipe as Recipe
