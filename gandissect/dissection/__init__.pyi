from .comparison import ComparedLayer as ComparedLayer, Comparison as Comparison, compare as compare
from .counting.plan import DissectSettings as DissectSettings
from .counting.tally import TALLY as TALLY
from .counting.top_images import Thumbnails as Thumbnails, TopImages as TopImages
from .curves import QualityMatch as QualityMatch, UnitCurves as UnitCurves
from .dissect import dissect as dissect, dissect_shard as dissect_shard, merge_shards as merge_shards
from .label_comparison import (
    LabelComparison as LabelComparison,
    UnitAgreement as UnitAgreement,
    compare_labels as compare_labels,
)
from .results import (
    MIN_IOU as MIN_IOU,
    Dissection as Dissection,
    LayerDissection as LayerDissection,
    Provenance as Provenance,
    UnitMatch as UnitMatch,
    count_units_by_concept as count_units_by_concept,
)
