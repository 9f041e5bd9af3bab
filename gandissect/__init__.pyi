from . import (
    artifacts as artifacts,
    causal as causal,
    core as core,
    dissection as dissection,
    fidelity as fidelity,
    inference as inference,
    interventions as interventions,
    latent as latent,
    report as report,
    stats as stats,
    storage as storage,
)
from .artifacts import (
    ArtifactRanking as ArtifactRanking,
    FoundRepair as FoundRepair,
    Repair as Repair,
    RepairCurve as RepairCurve,
    choose_num_units as choose_num_units,
    find_repair as find_repair,
    measure_repair as measure_repair,
    rank_artifact_layers as rank_artifact_layers,
    rank_artifact_units as rank_artifact_units,
    repair as repair,
)
from .causal import (
    CausalEffect as CausalEffect,
    ConceptEffects as ConceptEffects,
    EffectCurves as EffectCurves,
    UnitEffects as UnitEffects,
    UnitRanking as UnitRanking,
    average_causal_effect as average_causal_effect,
    find_causal_units as find_causal_units,
    measure_concept_effects as measure_concept_effects,
    measure_effect_curves as measure_effect_curves,
    measure_unit_effects as measure_unit_effects,
    optimize_units as optimize_units,
    present_values as present_values,
    quantile_values as quantile_values,
    rank_units_by_iou as rank_units_by_iou,
    select_units_by_ablation as select_units_by_ablation,
)
from .core import (
    UNLABELED as UNLABELED,
    Concept as Concept,
    Generator as Generator,
    LayerInfo as LayerInfo,
    Segmenter as Segmenter,
    UnitSet as UnitSet,
    derive_seed as derive_seed,
    sample_z as sample_z,
    trace as trace,
)
from .dissection import (
    Comparison as Comparison,
    Dissection as Dissection,
    DissectSettings as DissectSettings,
    LayerDissection as LayerDissection,
    Provenance as Provenance,
    QualityMatch as QualityMatch,
    Thumbnails as Thumbnails,
    TopImages as TopImages,
    UnitCurves as UnitCurves,
    UnitMatch as UnitMatch,
    compare as compare,
    dissect as dissect,
    dissect_shard as dissect_shard,
    merge_shards as merge_shards,
)
from .fidelity import (
    ConceptShare as ConceptShare,
    ConceptShares as ConceptShares,
    Fidelity as Fidelity,
    Inception as Inception,
    Yardstick as Yardstick,
    encoder_features as encoder_features,
    measure_concept_shares as measure_concept_shares,
)
from .interventions import (
    Ablation as Ablation,
    Insertion as Insertion,
    Recipe as Recipe,
    Scaling as Scaling,
    generate as generate,
    intervene as intervene,
)
from .report import (
    draw_comparison as draw_comparison,
    draw_effect_curves as draw_effect_curves,
    draw_effects as draw_effects,
    draw_shares as draw_shares,
    write_repair_report as write_repair_report,
    write_report as write_report,
)

__version__: str
OLD_NAMES: dict[str, str]
