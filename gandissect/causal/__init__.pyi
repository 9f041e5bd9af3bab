from .concept_effects import ConceptEffects as ConceptEffects, measure_concept_effects as measure_concept_effects
from .effect import average_causal_effect as average_causal_effect
from .optimize import SoftSegmenter as SoftSegmenter, optimize_units as optimize_units
from .results import (
    EFFECT_KINDS as EFFECT_KINDS,
    CausalEffect as CausalEffect,
    EffectCurves as EffectCurves,
    UnitEffect as UnitEffect,
    UnitEffects as UnitEffects,
    UnitRanking as UnitRanking,
)
from .units import (
    find_causal_units as find_causal_units,
    measure_effect_curves as measure_effect_curves,
    measure_unit_effects as measure_unit_effects,
    rank_units_by_iou as rank_units_by_iou,
    select_units_by_ablation as select_units_by_ablation,
)
from .values import (
    present_values as present_values,
    quantile_table as quantile_table,
    quantile_values as quantile_values,
)
