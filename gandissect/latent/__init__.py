"""Moving through a generator's latent space: interpolation, truncation, mixing, directions, inversion."""

from .boundaries import Boundary, find_boundaries, find_boundary, keep_unchanged, rescore_layers
from .closed_form import closed_form_directions
from .components import component_directions
from .directions import Direction
from .inversion import invert
from .inverted import Inversion, LostConcepts
from .labelling import DirectionEffect, label_direction, labelled
from .mixing import cross_over, mix_styles, mixing_table, style_groups, swap_activations, swapping_table
from .moves import Moved, move
from .noise import NoiseEffects, images_with_noise, noise_effects
from .path_length import PathLength, path_length
from .paths import Path, corner_grid, lerp, slerp
from .spaces import Capabilities, as_w, capabilities, on_shell, truncated_w, truncated_z
from .walks import Walk, pixel_distance

__all__ = [
    "Boundary",
    "Capabilities",
    "Direction",
    "DirectionEffect",
    "Inversion",
    "LostConcepts",
    "Moved",
    "NoiseEffects",
    "Path",
    "PathLength",
    "Walk",
    "as_w",
    "capabilities",
    "closed_form_directions",
    "component_directions",
    "corner_grid",
    "cross_over",
    "find_boundaries",
    "find_boundary",
    "images_with_noise",
    "invert",
    "keep_unchanged",
    "label_direction",
    "labelled",
    "lerp",
    "mix_styles",
    "mixing_table",
    "move",
    "noise_effects",
    "on_shell",
    "path_length",
    "pixel_distance",
    "rescore_layers",
    "slerp",
    "style_groups",
    "swap_activations",
    "swapping_table",
    "truncated_w",
    "truncated_z",
]
