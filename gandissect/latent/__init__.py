"""Moving through a generator's latent space: interpolation, truncation, mixing."""

from .mixing import cross_over, mix_styles, mixing_table, style_groups, swap_activations, swapping_table
from .noise import NoiseEffects, images_with_noise, noise_effects
from .path_length import PathLength, path_length
from .paths import Path, corner_grid, lerp, slerp
from .spaces import Capabilities, as_w, capabilities, on_shell, truncated_w, truncated_z
from .walks import Walk, pixel_distance

__all__ = [
    "Capabilities",
    "NoiseEffects",
    "Path",
    "PathLength",
    "Walk",
    "as_w",
    "capabilities",
    "corner_grid",
    "cross_over",
    "images_with_noise",
    "lerp",
    "mix_styles",
    "mixing_table",
    "noise_effects",
    "on_shell",
    "path_length",
    "pixel_distance",
    "slerp",
    "style_groups",
    "swap_activations",
    "swapping_table",
    "truncated_w",
    "truncated_z",
]
