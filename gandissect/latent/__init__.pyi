from .directions.boundaries import (
    Boundary as Boundary,
    find_boundaries as find_boundaries,
    find_boundary as find_boundary,
    keep_unchanged as keep_unchanged,
    rescore_layers as rescore_layers,
)
from .directions.closed_form import closed_form_directions as closed_form_directions
from .directions.components import component_directions as component_directions
from .directions.direction import Direction as Direction
from .directions.find import FoundDirection as FoundDirection, find_directions as find_directions
from .directions.labels import (
    DirectionEffect as DirectionEffect,
    label_direction as label_direction,
    with_labels as with_labels,
)
from .directions.moves import DirectionSweep as DirectionSweep, move as move
from .interpolation.grids import generate_grid as generate_grid
from .interpolation.path_length import PathLength as PathLength, path_length as path_length
from .interpolation.paths import LatentPath as LatentPath, corner_grid as corner_grid, lerp as lerp, slerp as slerp
from .interpolation.walks import Walk as Walk, pixel_distance as pixel_distance
from .inversion.invert import invert as invert
from .inversion.results import Inversion as Inversion, LostConcepts as LostConcepts
from .mixing import (
    cross_over as cross_over,
    mix_styles as mix_styles,
    mixing_table as mixing_table,
    style_groups as style_groups,
    swap_activations as swap_activations,
    swapping_table as swapping_table,
)
from .noise import NoiseEffects as NoiseEffects, images_with_noise as images_with_noise, noise_effects as noise_effects
from .spaces import (
    Capabilities as Capabilities,
    as_w as as_w,
    capabilities as capabilities,
    hold_class as hold_class,
    on_shell as on_shell,
    truncated_w as truncated_w,
    truncated_z as truncated_z,
)

OLD_NAMES: dict[str, str]
