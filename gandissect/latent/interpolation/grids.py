"""Generate the images of a grid between four latent vectors."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from ...core.protocols import Generator, check_mode
from ..spaces import capabilities, on_shell, path_classes, split_row, truncated_w
from .paths import corner_grid

BATCH = 64
"""Images per batch."""


@torch.inference_mode()
def generate_grid(
    generator: Generator,
    corners: Float[Tensor, "4 z"] | Float[Tensor, "4 num_ws w_dim"],
    rows: int,
    columns: int,
    space: str = "z",
) -> Float32[Tensor, "cell 3 H W"]:
    """Generate the images of a grid between four latent vectors, interpolated by `corner_grid`.

    Where the corners are of several classes, and the generator mixes classes, their mixtures are interpolated linearly.

    Args:
        generator: Generator of the images.
        corners: Latent vectors of the upper left, upper right, lower left and lower right image: z ``[4, z_dim]``, or,
            in w, also w ``[4, num_ws, w_dim]``.
        rows: Number of rows, at least 2.
        columns: Number of columns, at least 2.
        space: ``"z"`` to interpolate along great circles, or ``"w"`` to interpolate along straight lines.

    Returns:
        float32 ``[rows * columns, 3, H, W]`` on CPU, row by row.

    Raises:
        ValueError: If the generator has no such space, there are not four corners, they are of several classes
            that the generator does not mix, or there are too few rows or columns.

    Examples:
        >>> import generators
        >>> from gandissect import latent
        >>> G = generators.PlantedGenerator()
        >>> latent.generate_grid(G, G.sample_z(4, seed=1), 3, 4).shape
        torch.Size([12, 3, 64, 64])
    """
    check_mode(generator)
    if space not in capabilities(generator).spaces:
        allowed = " or ".join(capabilities(generator).spaces)
        raise ValueError(f"space must be {allowed} for {generator.name}; got {space!r}")
    if space == "w":
        corners = truncated_w(generator, corners, 1.0) if corners.ndim == 2 else corners
        latents = corner_grid(corners, rows, columns).flatten(0, 1)
    else:
        classes, noise = path_classes(generator, corners), split_row(generator, corners)[0]
        noise = on_shell(noise) if capabilities(generator).normalizes_z else noise
        points = corner_grid(noise, rows, columns, curved=True).flatten(0, 1)
        latents = torch.cat([points, corner_grid(classes, rows, columns).flatten(0, 1)], dim=1)
    return torch.cat([generator(batch).cpu() for batch in torch.split(latents, BATCH)])
