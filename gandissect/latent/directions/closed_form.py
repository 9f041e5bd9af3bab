"""Directions in closed form: those along which the linear map that latents meet first stretches most.

With that map ``y = A x + b``, a step of length t along a unit vector n changes y by ``t A n``. The n that make
``|A n|^2`` largest, each orthogonal to those before, are the eigenvectors of ``A^T A`` by falling eigenvalue. Nothing
is sampled but the length of a step.

Source: Shen and Zhou 2021 (SeFa, arXiv 2007.06600). Their code brings the rows of A to equal length
first; the paper, and this, does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ...core.protocols import Generator
from ...core.sampling import check_seed
from ..spaces import capabilities
from .direction import Direction, fix_signs, ws_shape


@runtime_checkable
class LatentMaps(Protocol):
    """A generator that tells which linear maps its latents meet first."""

    def latent_maps(self) -> tuple[Float[Tensor, "_ length"], ...]:
        """Return matrices: one ``[output, z_dim]``, or with w one ``[output, w_dim]`` for each entry of ``ws``."""


def closed_form_directions(
    generator: Generator, num_directions: int = 5, ws: Sequence[int] | None = None, seed: int = 0
) -> tuple[Direction, ...]:
    """Return the directions along which the first linear map stretches most, the strongest first.

    They are in w where there is one, else in z. Their score is the eigenvalue's share of the sum of all.

    Args:
        generator: A `Generator` that has `LatentMaps`.
        num_directions: How many, 1 to the length of a latent vector.
        ws: With w, the entries of ``ws`` whose maps count and that the directions move; all by default.
        seed: Of the samples that the length of a step in w is measured on.

    Raises:
        TypeError: If the generator does not tell its maps.
        ValueError: If a number is out of range.

    Source: Shen and Zhou 2021 (arXiv 2007.06600).
    """
    seed = check_seed(seed)
    if not isinstance(generator, LatentMaps):
        raise TypeError(
            f"{type(generator).__name__} does not tell which linear maps its latents meet first; give it a method "
            "latent_maps() that returns them, or find directions by components or boundaries"
        )
    has_w = capabilities(generator).has_w
    maps = generator.latent_maps()
    chosen = _choose_ws(generator, ws, has_w)
    vectors, values = strongest_directions(torch.cat([maps[index] for index in chosen]))
    if not 1 <= num_directions <= len(vectors):
        raise ValueError(f"there are 1 to {len(vectors)} directions; got {num_directions}")
    shares = values / values.sum()
    space, moved_ws = ("w", chosen) if has_w else ("z", ())
    return tuple(
        Direction.of(
            generator,
            f"sefa-{number + 1}",
            vectors[number],
            space=space,
            ws=moved_ws,
            method="sefa",
            score=float(shares[number]),
            seed=seed,
        )
        for number in range(num_directions)
    )


def strongest_directions(
    matrix: Float[Tensor, "output length"],
) -> tuple[Float64[Tensor, "length length"], Float64[Tensor, " length"]]:
    """Return the eigenvectors of ``A^T A`` as rows, and their eigenvalues, by falling eigenvalue, float64 on CPU.

    Args:
        matrix: ``[output, length]``.

    Returns:
        ``[length, length]``, each row's largest entry positive, and ``[length]``, 0 or more.

    Raises:
        ValueError: If a number is not finite, or all are 0.

    Source: Shen and Zhou 2021 (arXiv 2007.06600).
    """
    matrix = matrix.detach().cpu().double()
    if not bool(matrix.isfinite().all()) or not bool(matrix.any()):
        raise ValueError("the maps that latents meet first hold a number that is not finite, or none but 0")
    values, vectors = torch.linalg.eigh(matrix.T @ matrix)
    return fix_signs(vectors.T.flip(0)), values.flip(0).clamp(min=0)


def _choose_ws(generator: Generator, ws: Sequence[int] | None, has_w: bool) -> tuple[int, ...]:
    """Return the maps that count.

    Raises:
        ValueError: If there are no such ws.
    """
    if not has_w:
        if ws:
            raise ValueError(f"{generator.name} has no w, and one map; leave ws out")
        return (0,)
    num_ws = ws_shape(generator)[0]
    chosen = tuple(sorted(set(range(num_ws) if ws is None else ws)))
    if not chosen or not 0 <= chosen[0] <= chosen[-1] < num_ws:
        raise ValueError(f"{generator.name} has the ws 0 to {num_ws - 1}; got {list(chosen)}")
    return chosen
