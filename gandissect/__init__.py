"""Open up GANs: see what each unit draws, prove it, and use it.

Names are imported when first used, so that ``import gandissect`` costs hardly more than importing torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .artifact_results import ArtifactRanking
    from .artifacts import rank_artifact_layers, rank_artifact_units
    from .causal import average_causal_effect
    from .causal_optimisation import optimise_units
    from .causal_results import CausalEffect
    from .causal_units import best_units, effect_curves, find_causal_units, iou_ranking, unit_effects
    from .comparison import Comparison, compare
    from .curves import QualityMatch, UnitCurves
    from .dissection import dissect, dissect_shard, merge_shards
    from .hooks import trace
    from .interventions import Ablation, Insertion, Scaling, generate, intervene
    from .protocols import Generator, Segmenter
    from .recipe import Recipe
    from .repair_measures import choose_num_units, measure_repair
    from .repair_results import Repair, RepairCurve
    from .repairs import repair
    from .report import write_report
    from .report.comparison import draw_comparison
    from .report.effects import draw_effect_curves, draw_effects
    from .report.repair import write_repair_report
    from .results import Dissection, LayerDissection, Provenance, UnitMatch
    from .share_results import ConceptShare, ConceptShares
    from .shares import concept_shares
    from .top_images import Thumbnails, TopImages
    from .types import UNLABELLED, Concept, LayerInfo, UnitSet
    from .unit_rankings import EffectCurves, UnitEffects, UnitRanking
    from .unit_values import present_values, quantile_values

__version__ = "0.1.0"

_HOMES = {
    "ArtifactRanking": "artifact_results",
    "rank_artifact_layers": "artifacts",
    "rank_artifact_units": "artifacts",
    "average_causal_effect": "causal",
    "CausalEffect": "causal_results",
    "best_units": "causal_units",
    "effect_curves": "causal_units",
    "find_causal_units": "causal_units",
    "iou_ranking": "causal_units",
    "optimise_units": "causal_optimisation",
    "unit_effects": "causal_units",
    "Comparison": "comparison",
    "compare": "comparison",
    "QualityMatch": "curves",
    "UnitCurves": "curves",
    "dissect": "dissection",
    "dissect_shard": "dissection",
    "merge_shards": "dissection",
    "trace": "hooks",
    "Ablation": "interventions",
    "Insertion": "interventions",
    "Scaling": "interventions",
    "generate": "interventions",
    "intervene": "interventions",
    "Generator": "protocols",
    "Segmenter": "protocols",
    "Recipe": "recipe",
    "choose_num_units": "repair_measures",
    "measure_repair": "repair_measures",
    "Repair": "repair_results",
    "RepairCurve": "repair_results",
    "repair": "repairs",
    "write_repair_report": "report.repair",
    "write_report": "report",
    "draw_comparison": "report.comparison",
    "draw_effect_curves": "report.effects",
    "draw_effects": "report.effects",
    "Dissection": "results",
    "LayerDissection": "results",
    "Provenance": "results",
    "UnitMatch": "results",
    "ConceptShare": "share_results",
    "ConceptShares": "share_results",
    "concept_shares": "shares",
    "Thumbnails": "top_images",
    "TopImages": "top_images",
    "UNLABELLED": "types",
    "Concept": "types",
    "LayerInfo": "types",
    "UnitSet": "types",
    "EffectCurves": "unit_rankings",
    "UnitEffects": "unit_rankings",
    "UnitRanking": "unit_rankings",
    "present_values": "unit_values",
    "quantile_values": "unit_values",
}

__all__ = [
    "UNLABELLED",
    "Ablation",
    "ArtifactRanking",
    "CausalEffect",
    "Comparison",
    "Concept",
    "ConceptShare",
    "ConceptShares",
    "Dissection",
    "EffectCurves",
    "Generator",
    "Insertion",
    "LayerDissection",
    "LayerInfo",
    "Provenance",
    "QualityMatch",
    "Recipe",
    "Repair",
    "RepairCurve",
    "Scaling",
    "Segmenter",
    "Thumbnails",
    "TopImages",
    "UnitCurves",
    "UnitEffects",
    "UnitMatch",
    "UnitRanking",
    "UnitSet",
    "average_causal_effect",
    "best_units",
    "choose_num_units",
    "compare",
    "concept_shares",
    "dissect",
    "dissect_shard",
    "draw_comparison",
    "draw_effect_curves",
    "draw_effects",
    "effect_curves",
    "find_causal_units",
    "generate",
    "intervene",
    "iou_ranking",
    "measure_repair",
    "merge_shards",
    "optimise_units",
    "present_values",
    "quantile_values",
    "rank_artifact_layers",
    "rank_artifact_units",
    "repair",
    "trace",
    "unit_effects",
    "write_repair_report",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module.

    Raises:
        AttributeError: If there is no such name.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
