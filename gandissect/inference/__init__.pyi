from .areas import ConceptAreas as ConceptAreas, concept_areas as concept_areas
from .batches import (
    Activation as Activation,
    LabeledBatch as LabeledBatch,
    LayerSampler as LayerSampler,
    check_counts as check_counts,
    sample_blocks as sample_blocks,
)
from .bench import Bench as Bench
from .checks import (
    check_finite as check_finite,
    check_images as check_images,
    check_labels as check_labels,
    check_pixels as check_pixels,
)
from .labels import InputLabels as InputLabels, LabelSource as LabelSource
from .upsampling import (
    Padding as Padding,
    choose_step as choose_step,
    find_pixels_above as find_pixels_above,
    frame_maps as frame_maps,
    locate_in_gaps as locate_in_gaps,
    sample_pixels as sample_pixels,
    upsample as upsample,
)
