"""Capabilities of a generator's latent spaces, and truncation.

Every generator has z. A generator with ``has_w`` also has w, one latent vector per layer. One with ``has_noise`` adds
noise to its layers. One with ``normalizes_z`` first divides z by its length, so only the direction of z matters. One
with ``mixes_classes`` maps the class of a row linearly to an embedding, so a mixture of classes is a valid row. A
generator without these attributes has none of these capabilities. A translator on pictures, whose rows hold no noise,
has no latent space (`noise_length`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from ..core.lookup import unknown_name_message
from ..core.protocols import Generator, as_conditional, check_mode
from ..core.rows import noise_length
from ..core.sampling import check_seed
from ..core.types import check_type

SPACES = ("z", "w")

Latents = Float[Tensor, "batch z"] | Float[Tensor, "batch num_ws w_dim"]
"""Latent vectors, z or w."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a generator can do beyond generating images from z.

    Args:
        has_w: Whether the generator maps z to w, one latent vector per layer, and accepts w in place of z.
        has_noise: Whether layers add noise, which can be replaced.
        normalizes_z: Whether the length of z makes no difference.
        mixes_classes: Whether the class of a row may be a mixture, so that paths may lead from class to class.
    """

    has_w: bool = False
    has_noise: bool = False
    normalizes_z: bool = False
    mixes_classes: bool = False

    @property
    def spaces(self) -> tuple[str, ...]:
        """The generator's latent spaces."""
        return SPACES if self.has_w else ("z",)

    @property
    def inversion_spaces(self) -> tuple[str, ...]:
        """The spaces in which pictures can be inverted, the most accurate last."""
        return (*SPACES, "ws") if self.has_w else ("z",)


def capabilities(generator: Generator) -> Capabilities:
    """Return the capabilities that a generator declares; those that it does not declare are False."""
    return Capabilities(*(bool(getattr(generator, flag, False)) for flag in Capabilities.__slots__))


def check_space(generator: Generator, space: str) -> None:
    """Check that a generator has a latent space.

    Raises:
        ValueError: If the generator lacks the space; the message names the spaces that it has. Also if it translates
            pictures without noise, and thus has no latent space.
    """
    if space == "w":
        require_w(generator)
    elif space != "z":
        raise ValueError(unknown_name_message("latent space", space, capabilities(generator).spaces))
    noise_length(generator)


def require_w(generator: Generator) -> Any:
    """Return a generator after checking that it has w, and thus ``mapping`` and ``synthesis``.

    Raises:
        ValueError: If it has no w, or is in training mode.
    """
    check_mode(generator)
    if not capabilities(generator).has_w:
        raise ValueError(f"{generator.name} has no w, only z; use z, or a stylegan or a stylegan2")
    return generator


def truncated_z(
    generator: Generator, num_samples: int, seed: int = 0, limit: float = 2.0, *, start: int = 0
) -> Float32[Tensor, "batch z"]:
    """Draw latent vectors from a truncated normal distribution.

    Each entry z of the noise of a sample is mapped to the same quantile of the truncated distribution: the result y
    satisfies ``erf(y / sqrt 2) = erf(z / sqrt 2) erf(limit / sqrt 2)``. A seed and an index thus identify one image,
    which a low limit makes more typical and a high limit leaves unchanged.

    Args:
        generator: Generator that does not normalize z.
        num_samples: Number of samples, at least 0.
        seed: Seed of the samples.
        limit: Maximum absolute value of an entry, above 0.
        start: Index of the first sample; row ``i`` depends on ``(seed, start + i)`` and the limit only.

    Returns:
        float32 ``[num_samples, z_dim]`` on CPU.

    Raises:
        ValueError: If the limit is not above 0, or the generator normalizes z.

    Source: Brock et al. 2019, Sec. 3.1, who redraw entries that exceed the limit; the distribution is the same.
    """
    seed = check_seed(seed)
    if not limit > 0:
        raise ValueError(f"limit must be above 0; got {limit}")
    allowed = capabilities(generator)
    if allowed.normalizes_z:
        remedy = "truncate w (truncated_w, --truncation-psi)" if allowed.has_w else "omit truncation"
        raise ValueError(f"{generator.name} divides z by its length, so truncating z has no effect; {remedy}")
    noise, classes = split_row(generator, generator.sample_z(num_samples, seed, start))
    share = math.erf(limit / math.sqrt(2))
    below = torch.erf(noise.double() / math.sqrt(2)) * share
    truncated = (torch.erfinv(below) * math.sqrt(2)).clamp(-limit, limit).float()
    return torch.cat([truncated, classes], dim=1)


def truncated_w(
    generator: Generator, z: Float[Tensor, "batch z"], psi: float = 0.7, cutoff: int | None = None
) -> Float[Tensor, "batch num_ws w_dim"]:
    """Return the w of latent vectors, pulled toward the mean w: ``w_avg + psi (w - w_avg)``.

    Args:
        generator: Generator that has w.
        z: Latent vectors, float32 ``[batch, z_dim]``.
        psi: Truncation factor; 1 changes nothing, and 0 returns the mean.
        cutoff: Number of layers to truncate, counted from the input; all by default.

    Returns:
        float32 ``[batch, num_ws, w_dim]``.

    Raises:
        ValueError: If the generator has no w, psi is not finite, or cutoff exceeds the number of layers.

    Source: Karras et al. 2019, Appendix B.
    """
    if not math.isfinite(psi):
        raise ValueError(f"truncation_psi must be finite, usually in [0, 1]; got {psi}")
    check_z(generator, z)
    w: Tensor = require_w(generator).mapping(z, psi, cutoff)
    return w


def as_w(generator: Generator, latents: Latents) -> Float[Tensor, "batch num_ws w_dim"]:
    """Return latent vectors as w: z ``[batch, z_dim]`` is mapped, w ``[batch, num_ws, w_dim]`` is returned unchanged.

    Raises:
        ValueError: If the generator has no w, or the latent vectors are neither z nor w, or not finite.
    """
    mapping = require_w(generator).mapping
    if latents.ndim == 2:
        check_z(generator, latents)
        w: Tensor = mapping(latents)
        return w
    shape = (mapping.num_ws, len(mapping.w_avg))
    if tuple(latents.shape[1:]) != shape or not latents.is_floating_point():
        got = f"{latents.dtype} {list(latents.shape)}"
        raise ValueError(f"w of {generator.name} must be float {['batch', *shape]}; got {got}")
    _check_finite("w", generator, latents)
    return latents


def split_row(
    generator: Generator, z: Float[Tensor, "batch z"]
) -> tuple[Float[Tensor, "batch noise"], Float[Tensor, "batch class"]]:
    """Return the noise of latent vectors, and their class, which has no entries where there are no classes.

    Args:
        generator: Generator of the latent vectors.
        z: Latent vectors, ``[batch, z_dim]``.
    """
    length = noise_length(generator)
    return z[:, :length], z[:, length:]


def path_classes(generator: Generator, z: Float[Tensor, "batch z"]) -> Float[Tensor, "batch class"]:
    """Return the classes of latent vectors that a path may join.

    Args:
        generator: Generator of the latent vectors.
        z: Latent vectors, ``[batch, z_dim]``.

    Raises:
        ValueError: If the classes differ, and the generator does not mix classes.
    """
    classes = split_row(generator, z)[1]
    conditional = as_conditional(generator)
    differ = not bool((classes == classes[:1]).all())
    if conditional is not None and differ and not capabilities(generator).mixes_classes:
        names = dict.fromkeys(conditional.classes[index] for index in classes.argmax(1).tolist())
        raise ValueError(
            f"a path of {generator.name} moves the noise and holds the class; got latent vectors of the classes "
            f"{', '.join(names)}; draw all from one class (--classes; in Python sample_z(..., classes=...)), or use "
            "latent.hold_class"
        )
    return classes


def hold_class(generator: Generator, z: Float[Tensor, "batch z"]) -> Float[Tensor, "batch z"]:
    """Return latent vectors with the class of the first one; unchanged where there are no classes.

    Args:
        generator: Generator of the latent vectors.
        z: Latent vectors, ``[batch, z_dim]``, one or more.
    """
    noise, classes = split_row(generator, z)
    return torch.cat([noise, classes[:1].expand(len(z), -1)], dim=1)


def check_latents(generator: Generator, latents: Latents) -> None:
    """Check that latent vectors are z or w of a generator.

    Raises:
        TypeError: If the latent vectors are not a tensor.
        ValueError: If they have the wrong shape or dtype, or are not finite.
    """
    check_type("latents", latents, Tensor, "convert an array with torch.as_tensor")
    if latents.ndim == 3:
        as_w(generator, latents)
    else:
        check_z(generator, latents)


def check_z(generator: Generator, z: Float[Tensor, "batch z"]) -> None:
    """Check that latent vectors are z of a generator.

    Raises:
        TypeError: If the latent vectors are not a tensor.
        ValueError: If they have the wrong shape or dtype, or a row is not finite.
    """
    check_type("z", z, Tensor, "convert an array with torch.as_tensor")
    if z.ndim != 2 or z.shape[1] != generator.z_dim or not z.is_floating_point():
        got = f"{z.dtype} {list(z.shape)}"
        raise ValueError(f"z of {generator.name} must be float [batch, {generator.z_dim}]; got {got}")
    _check_finite("z", generator, z)


def _check_finite(space: str, generator: Generator, latents: Tensor) -> None:
    """Check that latents are finite.

    Raises:
        ValueError: If a latent vector is not finite; the message names its row.
    """
    wrong = (~latents.isfinite()).flatten(1).any(1).nonzero()
    if len(wrong):
        raise ValueError(
            f"{space} of {generator.name} must be finite; got a NaN or infinite number in row {int(wrong[0])}"
        )


def on_shell(z: Float[Tensor, "*batch z"]) -> Float[Tensor, "*batch z"]:
    """Scale latent vectors to the length ``sqrt(z_dim)``, the typical length of normal vectors.

    Args:
        z: Latent vectors, ``[..., z_dim]``, of any nonzero length.

    Raises:
        ValueError: If a vector has length 0, or is not finite.
    """
    length: Tensor = torch.linalg.vector_norm(z, dim=-1, keepdim=True)
    if not bool((length.isfinite() & (length > 0)).all()):
        raise ValueError("latent vectors must be finite and nonzero")
    return z * (math.sqrt(z.shape[-1]) / length)
