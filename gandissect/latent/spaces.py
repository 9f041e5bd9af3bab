"""What a generator's latent spaces allow, and samples nearer to the middle of them.

Every generator has z. One with styles (``has_w``) has w too, one latent vector a layer; one with ``has_noise`` adds
noise to its layers; one that ``normalizes_z`` divides z by its length first, so that only its direction counts. A
generator that says nothing of these has none of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from ..core.lookup import unknown_name_message
from ..core.protocols import Generator, check_mode
from ..core.sampling import check_seed
from ..core.types import check_type

SPACES = ("z", "w")

Latents = Float[Tensor, "batch z"] | Float[Tensor, "batch num_ws w_dim"]
"""Latent vectors: z, or w."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a generator can do besides making images of z.

    Args:
        has_w: z is mapped to w, one latent vector a layer, which may be given in its place.
        has_noise: Layers add noise, which may be given.
        normalizes_z: The length of z makes no difference.
    """

    has_w: bool = False
    has_noise: bool = False
    normalizes_z: bool = False

    @property
    def spaces(self) -> tuple[str, ...]:
        """The latent spaces there are."""
        return SPACES if self.has_w else ("z",)

    @property
    def inversion_spaces(self) -> tuple[str, ...]:
        """The spaces in which pictures can be found, the one that comes nearest to them last."""
        return (*SPACES, "ws") if self.has_w else ("z",)


def capabilities(generator: Generator) -> Capabilities:
    """Return what a generator says that it can do; what it does not say, it cannot."""
    return Capabilities(*(bool(getattr(generator, flag, False)) for flag in Capabilities.__slots__))


def check_space(generator: Generator, space: str) -> None:
    """Refuse a latent space that a generator does not have.

    Raises:
        ValueError: Naming those that it has.
    """
    if space == "w":
        require_w(generator)
    elif space != "z":
        raise ValueError(unknown_name_message("latent space", space, capabilities(generator).spaces))


def require_w(generator: Generator) -> Any:
    """Return a generator that has w, whose ``mapping`` and ``synthesis`` may be called.

    Raises:
        ValueError: If it has none, or is in training mode.
    """
    check_mode(generator)
    if not capabilities(generator).has_w:
        raise ValueError(f"{generator.name} has no w, only z; w is what a stylegan or a stylegan2 has")
    return generator


def truncated_z(
    generator: Generator, num_samples: int, seed: int = 0, limit: float = 2.0, *, start: int = 0
) -> Float32[Tensor, "batch z"]:
    """Draw latent vectors from a normal distribution that is cut off at a limit.

    A sample of the generator is moved to where as much of the cut-off distribution lies below each of its entries as
    lay below it: with ``erf(y / sqrt 2) = erf(z / sqrt 2) erf(limit / sqrt 2)``, y is what z becomes. So a seed and an
    index are one picture, which a lower limit brings nearer to the middle and a high one leaves as it is.

    Args:
        generator: One that does not normalize z.
        num_samples: How many, 0 or more.
        seed: Which sequence.
        limit: What no entry exceeds in size, more than 0.
        start: Index of the first; row ``i`` depends on ``(seed, start + i)`` and the limit only.

    Returns:
        float32 ``[num_samples, z_dim]`` on CPU.

    Raises:
        ValueError: If the limit is no such number, or the generator normalizes z.

    Source: Brock et al. 2019, Sec. 3.1, who draw again what exceeds the limit; the distribution is the same.
    """
    seed = check_seed(seed)
    if not limit > 0:
        raise ValueError(f"limit is more than 0; got {limit}")
    allowed = capabilities(generator)
    if allowed.normalizes_z:
        remedy = "truncate w (truncated_w, --truncation-psi)" if allowed.has_w else "leave truncation out"
        raise ValueError(
            f"{generator.name} divides z by its length, so that smaller entries bring no picture nearer to the middle; "
            f"{remedy}"
        )
    z = generator.sample_z(num_samples, seed, start).double()
    share = math.erf(limit / math.sqrt(2))
    below = torch.erf(z / math.sqrt(2)) * share
    return (torch.erfinv(below) * math.sqrt(2)).clamp(-limit, limit).float()


def truncated_w(
    generator: Generator, z: Float[Tensor, "batch z"], psi: float = 0.7, cutoff: int | None = None
) -> Float[Tensor, "batch num_ws w_dim"]:
    """Return the w of latent vectors, drawn towards the mean w: ``w_avg + psi (w - w_avg)``.

    Args:
        generator: One that has w.
        z: float32 ``[batch, z_dim]``.
        psi: 1 changes nothing, 0 gives the mean.
        cutoff: Only so many layers, counted from the input, are truncated; all by default.

    Returns:
        float32 ``[batch, num_ws, w_dim]``.

    Raises:
        ValueError: If the generator has no w, psi is not finite, or there are not so many layers.

    Source: Karras et al. 2019, Appendix B.
    """
    if not math.isfinite(psi):
        raise ValueError(f"truncation_psi is a number, by custom from 0 to 1; got {psi}")
    check_z(generator, z)
    w: Tensor = require_w(generator).mapping(z, psi, cutoff)
    return w


def as_w(generator: Generator, latents: Latents) -> Float[Tensor, "batch num_ws w_dim"]:
    """Return latent vectors as w: z ``[batch, z_dim]`` is mapped, w ``[batch, num_ws, w_dim]`` stays.

    Raises:
        ValueError: If the generator has no w, or they are neither, or not finite.
    """
    mapping = require_w(generator).mapping
    if latents.ndim == 2:
        check_z(generator, latents)
        w: Tensor = mapping(latents)
        return w
    wanted = (mapping.num_ws, len(mapping.w_avg))
    if tuple(latents.shape[1:]) != wanted or not latents.is_floating_point():
        got = f"{latents.dtype} {list(latents.shape)}"
        raise ValueError(f"{generator.name} takes w of shape {['batch', *wanted]}, floats; got {got}")
    _check_finite("w", generator, latents)
    return latents


def check_latents(generator: Generator, latents: Latents) -> None:
    """Refuse what is neither z nor w of a generator.

    Raises:
        ValueError: As `check_z` and `as_w` do.
    """
    check_type("latents", latents, Tensor, "torch.as_tensor makes one of an array")
    if latents.ndim == 3:
        as_w(generator, latents)
    else:
        check_z(generator, latents)


def check_z(generator: Generator, z: Float[Tensor, "batch z"]) -> None:
    """Refuse what is no z of a generator.

    Raises:
        ValueError: Naming its shape, or the row that is not finite.
    """
    check_type("z", z, Tensor, "torch.as_tensor makes one of an array")
    if z.ndim != 2 or z.shape[1] != generator.z_dim or not z.is_floating_point():
        raise ValueError(
            f"{generator.name} takes z of shape [batch, {generator.z_dim}], floats; got {z.dtype} {list(z.shape)}"
        )
    _check_finite("z", generator, z)


def _check_finite(space: str, generator: Generator, latents: Tensor) -> None:
    """Refuse latents that are not finite.

    Raises:
        ValueError: Naming the row.
    """
    wrong = (~latents.isfinite()).flatten(1).any(1).nonzero()
    if len(wrong):
        raise ValueError(f"{space} of {generator.name} is finite; got a NaN or infinite number in row {int(wrong[0])}")


def on_shell(z: Float[Tensor, "*batch z"]) -> Float[Tensor, "*batch z"]:
    """Return latent vectors at the length ``sqrt(z_dim)``, about that of normal ones.

    Args:
        z: ``[..., z_dim]``, of any length but 0.

    Raises:
        ValueError: If one has the length 0, or is not finite.
    """
    length: Tensor = torch.linalg.vector_norm(z, dim=-1, keepdim=True)
    if not bool((length.isfinite() & (length > 0)).all()):
        raise ValueError("a latent vector of length 0, or one that is not finite, has no direction")
    return z * (math.sqrt(z.shape[-1]) / length)
