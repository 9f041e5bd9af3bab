"""Combine two images: mix the styles of a StyleGAN's layers, or swap a layer's activations in any generator.

Source: Karras et al. 2019, Sec. 3; swapped activations: Bau et al. 2019, Sec. 4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ..core.lookup import lookup
from ..core.protocols import Generator, check_mode
from ..interventions.edits import check_region, region_mask
from .spaces import Latents, as_w, check_latents, require_w

Region = Shaped[Tensor, "rows columns"] | Shaped[Tensor, "image rows columns"]
"""A mask of the same form as the region of an `Edit`."""

GROUPS = {"coarse": (4, 8), "middle": (16, 32), "fine": (64, 1024)}
"""Smallest and largest grid size of the layers in each group of styles (Karras et al. 2019, Fig. 3)."""


def mix_styles(
    generator: Generator,
    w_a: Float[Tensor, "batch num_ws w_dim"],
    w_b: Float[Tensor, "batch num_ws w_dim"],
    layers: Sequence[int | str],
) -> Float[Tensor, "batch num_ws w_dim"]:
    """Return ``w_a`` with the styles of some layers replaced by those of ``w_b``.

    Args:
        generator: Generator that has w.
        w_a: Base latent vectors, ``[batch, num_ws, w_dim]``, as returned by ``generator.mapping``.
        w_b: Latent vectors that supply the styles, of the same shape.
        layers: Names of layers, or indices of styles from 0. All layers return ``w_b`` and no layers ``w_a``, bit for
            bit.

    Raises:
        KeyError: If there is no such layer.
        ValueError: If there is no such style, the generator has no w, or the latent vectors do not fit it.

    Examples:
        >>> import generators
        >>> from gandissect import latent
        >>> G = generators.load("stylegan-scenes64")
        >>> coarse, fine = (latent.as_w(G, G.sample_z(1, seed=seed)) for seed in (1, 2))
        >>> x = G(latent.mix_styles(G, coarse, fine, [0, 1, 2, 3]))

    Source: Karras et al. 2019, Sec. 3.1.
    """
    w_a, w_b = _as_w_pair(generator, w_a, w_b)
    mixed = w_a.clone()
    chosen = [_style_index(generator, layer) for layer in layers]
    mixed[:, chosen] = w_b[:, chosen].to(mixed)
    return mixed


def cross_over(
    generator: Generator,
    w_a: Float[Tensor, "batch num_ws w_dim"],
    w_b: Float[Tensor, "batch num_ws w_dim"],
    layer: int | str,
) -> Float[Tensor, "batch num_ws w_dim"]:
    """Return ``w_a`` with the styles of a layer and all later layers replaced by those of ``w_b``.

    Args:
        generator: Generator that has w.
        w_a: Base latent vectors, ``[batch, num_ws, w_dim]``.
        w_b: Latent vectors that supply the styles, of the same shape.
        layer: Name of a layer, or index of a style from 0.

    Raises:
        KeyError: If there is no such layer.
        ValueError: If there is no such style, the generator has no w, or the latent vectors do not fit it.

    Source: Karras et al. 2019, Sec. 3.1.
    """
    num_ws = require_w(generator).mapping.num_ws
    return mix_styles(generator, w_a, w_b, range(_style_index(generator, layer), num_ws))


def style_groups(generator: Generator) -> dict[str, tuple[int, ...]]:
    """Return the indices of the coarse, middle and fine styles; groups without layers are omitted.

    Coarse styles belong to layers of 4 x 4 and 8 x 8, middle styles to layers of 16 x 16 and 32 x 32, fine styles to
    larger ones. A style without a layer, such as that of StyleGAN2's last image, is grouped with the last layer.

    Raises:
        ValueError: If the generator has no w.

    Source: Karras et al. 2019, Fig. 3.
    """
    num_ws = require_w(generator).mapping.num_ws
    sides = [info.height for info in generator.layers.values()]
    sides += sides[-1:] * (num_ws - len(sides))
    groups = {
        name: tuple(index for index, side in enumerate(sides) if low <= side <= high)
        for name, (low, high) in GROUPS.items()
    }
    return {name: styles for name, styles in groups.items() if styles}


@torch.no_grad()
def mixing_table(
    generator: Generator,
    w_rows: Float[Tensor, "row z"] | Float[Tensor, "row num_ws w_dim"],
    w_columns: Float[Tensor, "column num_ws w_dim"],
    layers: Sequence[int | str],
) -> Float[Tensor, "row column 3 H W"]:
    """Return a table of images in which each row's latent vectors take some layers' styles from each column.

    Args:
        generator: Generator that has w.
        w_rows: Base latent vectors, w ``[row, num_ws, w_dim]`` or z ``[row, z_dim]``.
        w_columns: Latent vectors that supply the styles, w ``[column, num_ws, w_dim]``.
        layers: Names of layers, or indices of styles from 0.

    Returns:
        float32 ``[row, column, 3, H, W]``, on CPU.

    Raises:
        KeyError: If there is no such layer.
        ValueError: If there is no such style, the generator has no w, or the latent vectors do not fit it.

    Source: Karras et al. 2019, Fig. 3.
    """
    rows, layers = [], tuple(layers)  # layers may be an iterator
    for w in torch.split(as_w(generator, w_rows), 1):
        row = w.expand(len(w_columns), *w.shape[1:])
        rows.append(generator(mix_styles(generator, row, w_columns, layers)).cpu())
    return torch.stack(rows)


def swap_activations(
    generator: Generator, z_a: Latents, z_b: Latents, layer: str, region: Region | None = None
) -> Float[Tensor, "batch 3 H W"]:
    """Return the images of ``z_a`` with a layer's activations replaced by those of ``z_b`` within a region.

    Other inputs of later layers (styles) are still those of ``z_a``.

    Args:
        generator: Any generator.
        z_a: Base latent vectors, z ``[batch, z_dim]``, or w ``[batch, num_ws, w_dim]`` if the generator has it.
        z_b: Latent vectors that supply the activations, of the same shape.
        layer: Name of the layer.
        region: Mask on the layer's grid or on the image, one for all images or one per image; None replaces all
            activations.

    Returns:
        float32 ``[batch, 3, H, W]`` on the generator's device.

    Raises:
        KeyError: If there is no such layer.
        ValueError: If the latent vectors or the region do not fit.

    Source: Bau et al. 2019, Sec. 4.3, for units; here all units of a layer.
    """
    check_mode(generator)
    lookup(generator.layers, layer, "layer")
    if z_a.shape != z_b.shape:
        raise ValueError(f"z_a and z_b must have the same shape; got {list(z_a.shape)} and {list(z_b.shape)}")
    for z in (z_a, z_b):
        check_latents(generator, z)
    activation = generator.head(z_b, layer)
    if region is not None:
        original = generator.head(z_a, layer)
        mask = region_mask(check_region(region), layer, original, generator.image_size)
        activation = torch.lerp(original, activation, mask.to(original))
    return generator.tail(activation, layer, z_a)


@torch.no_grad()
def swapping_table(
    generator: Generator,
    z_rows: Float[Tensor, "row z"] | Float[Tensor, "row num_ws w_dim"],
    z_columns: Float[Tensor, "column z"] | Float[Tensor, "column num_ws w_dim"],
    layer: str,
    region: Region | None = None,
) -> Float[Tensor, "row column 3 H W"]:
    """Return a table of images in which each row's latent vectors take a layer's activations from each column.

    Args:
        generator: Any generator.
        z_rows: Base latent vectors, z ``[row, z_dim]`` or w ``[row, num_ws, w_dim]``.
        z_columns: Latent vectors that supply the activations, z ``[column, z_dim]`` or w ``[column, num_ws, w_dim]``.
        layer: Name of the layer.
        region: Mask on the layer's grid or on the image; None replaces all activations.

    Returns:
        float32 ``[row, column, 3, H, W]``, on CPU.

    Raises:
        KeyError: If there is no such layer.
        ValueError: If the latent vectors or the region do not fit.
    """
    rows = [z.expand(len(z_columns), *z.shape[1:]) for z in torch.split(z_rows, 1)]
    return torch.stack([swap_activations(generator, row, z_columns, layer, region).cpu() for row in rows])


def _as_w_pair(generator: Generator, w_a: Tensor, w_b: Tensor) -> tuple[Tensor, Tensor]:
    """Return both arguments after checking that they are w of the same shape.

    Raises:
        ValueError: If they are not w, or their shapes differ.
    """
    if w_a.ndim != 3 or w_a.shape != w_b.shape:
        raise ValueError(
            f"w_a and w_b must have the same shape [batch, num_ws, w_dim]; got {list(w_a.shape)} and "
            f"{list(w_b.shape)}; G.mapping(z) returns such w"
        )
    return as_w(generator, w_a), as_w(generator, w_b)


def _style_index(generator: Generator, layer: int | str) -> int:
    """Return the index of a layer's style.

    Raises:
        KeyError: If there is no such layer.
        ValueError: If there is no such style.
    """
    if isinstance(layer, str):
        return lookup({name: index for index, name in enumerate(generator.layers)}, layer, "layer")
    num_ws = require_w(generator).mapping.num_ws
    if isinstance(layer, bool) or not hasattr(layer, "__index__") or not 0 <= index(layer) < num_ws:
        raise ValueError(f"a style of {generator.name} must be in 0 to {num_ws - 1}; got {layer}")
    return index(layer)
