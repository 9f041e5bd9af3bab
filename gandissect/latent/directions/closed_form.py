"""Find directions in closed form: those that the first linear map of the latents stretches most.

For the map ``y = A x + b``, a step of length t along a unit vector n changes y by ``t A n``. The vectors n that
maximize ``|A n|^2``, each orthogonal to the previous ones, are the eigenvectors of ``A^T A`` in descending order of
eigenvalue. Samples are needed only for the length of a step.

Source: Shen and Zhou 2021 (SeFa, arXiv 2007.06600). Their code first scales the rows of A to equal length; the paper
and this implementation do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ...core.protocols import Generator
from ...core.rows import noise_length
from ...core.sampling import check_seed
from ..spaces import capabilities
from .direction import Direction, fix_signs, pad_noise, ws_shape


@runtime_checkable
class LatentMaps(Protocol):
    """A generator that exposes the first linear maps of its latents."""

    def latent_maps(self) -> tuple[Float[Tensor, "_ length"], ...]:
        """Return the matrices: one ``[output, z_dim]``, or, with w, one ``[output, w_dim]`` per entry of ``ws``."""


def closed_form_directions(
    generator: Generator, num_directions: int = 5, ws: Sequence[int] | None = None, seed: int = 0
) -> tuple[Direction, ...]:
    """Return the directions that the first linear map stretches most, the strongest first.

    They are in w if the generator has it, else in z, where they hold the class if there are classes. The score of a
    direction is its eigenvalue's share of the sum of all eigenvalues.

    Args:
        generator: Generator with a method ``latent_maps()`` (`LatentMaps`).
        num_directions: Number of directions, from 1 to the length of w, or of the noise in z.
        ws: With w, the entries of ``ws`` whose maps are used and that the directions move; all by default.
        seed: Seed of the samples on which the length of a step in w is measured.

    Raises:
        TypeError: If the generator has no ``latent_maps()``.
        ValueError: If a number is out of range.

    Examples:
        >>> import generators
        >>> from gandissect import latent
        >>> G = generators.load("stylegan-scenes64")
        >>> [direction.name for direction in latent.closed_form_directions(G, 2)]
        ['sefa-1', 'sefa-2']

    Source: Shen and Zhou 2021 (arXiv 2007.06600).
    """
    seed, length = check_seed(seed), noise_length(generator)
    if not isinstance(generator, LatentMaps):
        raise TypeError(
            f"{type(generator).__name__} must have a method latent_maps() that returns the first linear maps of its "
            "latents; add one, or find directions by components or boundaries"
        )
    has_w = capabilities(generator).has_w
    maps = generator.latent_maps()
    chosen = _choose_ws(generator, ws, has_w)
    matrix = torch.cat([maps[index] for index in chosen])
    vectors, values = strongest_directions(matrix if has_w else matrix[:, :length])
    if not 1 <= num_directions <= len(vectors):
        raise ValueError(f"num_directions must be in 1 to {len(vectors)}; got {num_directions}")
    shares = values / values.sum()
    space, moved_ws = ("w", chosen) if has_w else ("z", ())
    return tuple(
        Direction.of(
            generator,
            f"sefa-{number + 1}",
            vectors[number] if has_w else pad_noise(generator, vectors[number]),
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
    """Return the eigenvectors of ``A^T A`` and their eigenvalues, in descending order of eigenvalue, float64 on CPU.

    Args:
        matrix: Matrix A, ``[output, length]``.

    Returns:
        Eigenvectors as rows ``[length, length]``, whose entry of largest absolute value is positive, and eigenvalues
            ``[length]``, nonnegative.

    Raises:
        ValueError: If an entry is not finite, or all entries are 0.

    Source: Shen and Zhou 2021 (arXiv 2007.06600).
    """
    matrix = matrix.detach().cpu().double()
    if not bool(matrix.isfinite().all()) or not bool(matrix.any()):
        raise ValueError("the first linear maps of the latents must be finite and not all 0")
    values, vectors = torch.linalg.eigh(matrix.T @ matrix)
    return fix_signs(vectors.T.flip(0)), values.flip(0).clamp(min=0)


def _choose_ws(generator: Generator, ws: Sequence[int] | None, has_w: bool) -> tuple[int, ...]:
    """Return the indices of the maps to use.

    Raises:
        ValueError: If an index is out of range.
    """
    if not has_w:
        if ws:
            raise ValueError(f"{generator.name} has no w and a single map; omit ws")
        return (0,)
    num_ws = ws_shape(generator)[0]
    chosen = tuple(sorted(set(range(num_ws) if ws is None else ws)))
    if not chosen or not 0 <= chosen[0] <= chosen[-1] < num_ws:
        raise ValueError(f"ws of {generator.name} must be in 0 to {num_ws - 1}; got {list(chosen)}")
    return chosen
