from .apply import generate as generate, intervene as intervene
from .edits import (
    Ablation as Ablation,
    Edit as Edit,
    Insertion as Insertion,
    Scaling as Scaling,
    check_units as check_units,
    control_units as control_units,
)
from .recipe import Recipe as Recipe
