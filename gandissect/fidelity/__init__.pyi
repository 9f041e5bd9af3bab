from .classes import (
    ClassAccuracy as ClassAccuracy,
    Judge as Judge,
    count_classes as count_classes,
    measure_class_accuracy as measure_class_accuracy,
)
from .distances import frechet_distance as frechet_distance, kernel_distance as kernel_distance
from .features import Encoder as Encoder, encoder_features as encoder_features
from .inception import Inception as Inception
from .modes import (
    ModeCoverage as ModeCoverage,
    count_stacked_modes as count_stacked_modes,
    measure_modes as measure_modes,
    measure_stacked_modes as measure_stacked_modes,
)
from .neighbors import (
    density_coverage as density_coverage,
    nearest_ratio as nearest_ratio,
    precision_recall as precision_recall,
    realism as realism,
)
from .pairs import Masks as Masks, PairOverlap as PairOverlap, measure_pairs as measure_pairs, overlap as overlap
from .results import (
    ConceptShare as ConceptShare,
    ConceptShares as ConceptShares,
    Fidelity as Fidelity,
    Scores as Scores,
    SetScores as SetScores,
)
from .shares import measure_concept_shares as measure_concept_shares
from .translations import (
    CycleErrors as CycleErrors,
    FCNScore as FCNScore,
    LabelScore as LabelScore,
    PairedErrors as PairedErrors,
    PictureErrors as PictureErrors,
    measure_cycle_errors as measure_cycle_errors,
    measure_fcn_score as measure_fcn_score,
    measure_paired_errors as measure_paired_errors,
)
from .yardstick import Yardstick as Yardstick
