from .effect import average_causal_effect as average_causal_effect
from .optimise import SoftSegmenter as SoftSegmenter, optimise_units as optimise_units
from .results import (
    CausalEffect as CausalEffect,
    EffectCurves as EffectCurves,
    UnitEffect as UnitEffect,
    UnitEffects as UnitEffects,
    UnitRanking as UnitRanking,
)
from .units import (
    best_units as best_units,
    effect_curves as effect_curves,
    find_causal_units as find_causal_units,
    iou_ranking as iou_ranking,
    unit_effects as unit_effects,
)
from .values import (
    present_values as present_values,
    quantile_table as quantile_table,
    quantile_values as quantile_values,
)
