"""The images of a grid between four corners of a generator's latent space."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from ...core.protocols import Generator, check_mode
from ..spaces import capabilities, on_shell, truncated_w
from .paths import corner_grid

BATCH = 64
"""Images at a time."""


@torch.inference_mode()
def generate_grid(
    generator: Generator,
    corners: Float[Tensor, "4 z"] | Float[Tensor, "4 num_ws w_dim"],
    rows: int,
    columns: int,
    space: str = "z",
) -> Float32[Tensor, "cell 3 H W"]:
    """Return the images of a grid between four latent vectors, as `corner_grid` fills it.

    Args:
        generator: A `Generator`.
        corners: Upper left, upper right, lower left, lower right: z ``[4, z_dim]``, or w ``[4, num_ws, w_dim]`` in w.
        rows: 2 or more.
        columns: 2 or more.
        space: ``"z"``, where the grid follows great circles, or ``"w"``, where it is straight.

    Returns:
        float32 ``[rows * columns, 3, H, W]``, row by row, on CPU.

    Raises:
        ValueError: If the generator has no such space, there are not four corners, or too few rows or columns.
    """
    check_mode(generator)
    if space not in capabilities(generator).spaces:
        allowed = " or ".join(capabilities(generator).spaces)
        raise ValueError(f"a grid of {generator.name} is in {allowed}; got {space!r}")
    if space == "w" and corners.ndim == 2:
        corners = truncated_w(generator, corners, 1.0)
    elif space == "z" and capabilities(generator).normalizes_z:
        corners = on_shell(corners)
    latents = corner_grid(corners, rows, columns, curved=space == "z").flatten(0, 1)
    return torch.cat([generator(batch).cpu() for batch in torch.split(latents, BATCH)])
