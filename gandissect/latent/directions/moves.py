"""Moving along a direction of a latent space.

With a unit vector v and the standard deviation sigma of the space along it, a step of length t is

    z <- z + t sigma v,    ws_i <- ws_i + t sigma v  for the chosen i,    a <- a + t sigma v

in z, in w, and in the activations of a layer. A network that normalizes z sees no length; there z is put back to the
length that it had, and what counts is the angle that it was turned by: however large the step, no more than that
between z and v, which is near 90 degrees for most z.

Source: Shen et al. 2020 (InterFaceGAN, arXiv 2005.09635).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ...core.protocols import Generator
from ..spaces import Latents, as_w, capabilities, check_latents, check_z
from .direction import Direction

Point = Latents | Float[Tensor, "batch unit h w"]
"""What is moved: z, ws, or activations."""


@dataclass(frozen=True, slots=True, eq=False)
class DirectionSweep:
    """Latent vectors moved along a direction, on CPU.

    Args:
        steps: How far, in standard deviations.
        latents: ``[step, batch, ...]``: z, or ws; None where activations were moved.
        images: float32 ``[step, batch, 3, H, W]``.
        angles: float64 ``[step, batch]``, by how many degrees z was turned; None where its length counts, too.
    """

    steps: tuple[float, ...]
    latents: Float[Tensor, "step batch z"] | Float[Tensor, "step batch num_ws w_dim"] | None
    images: Float[Tensor, "step batch 3 H W"]
    angles: Float64[Tensor, "step batch"] | None


@torch.no_grad()
def move(generator: Generator, latents: Latents, direction: Direction, steps: Sequence[float]) -> DirectionSweep:
    """Move along a direction; a step of 0 changes nothing.

    Args:
        generator: The one that the direction is of.
        latents: z ``[batch, z_dim]``; for directions in w and activations also ws ``[batch, num_ws, w_dim]``.
        direction: Where to.
        steps: How far, in standard deviations, one or more; what lies beyond 2 or so is seldom seen in samples.

    Raises:
        KeyError: If there is no such layer.
        ValueError: If the direction is of another generator, the latents are of another space, or a step is not finite.

    Source: Shen et al. 2020 (arXiv 2005.09635).
    """
    check_steps(steps)
    mover = Mover.of(generator, direction)
    latents = latents.to(generator.device)
    origin = mover.origin(latents)
    points = [mover.at(origin, step) for step in steps]
    images = torch.stack([mover.images(point, latents).cpu() for point in points])
    in_latents = direction.space != "activation"
    has_angles = in_latents and mover.normalizes
    return DirectionSweep(
        tuple(map(float, steps)),
        torch.stack(points).cpu() if in_latents else None,
        images,
        torch.stack([angles_between(origin, point) for point in points]) if has_angles else None,
    )


@dataclass(frozen=True, slots=True)
class Mover:
    """A direction of a generator, checked once, to go along from many points.

    Args:
        generator: The generator.
        direction: One of its directions.
    """

    generator: Generator
    direction: Direction

    @staticmethod
    def of(generator: Generator, direction: Direction) -> Mover:
        """Return the mover of a direction.

        Raises:
            KeyError: If there is no such layer.
            ValueError: If the direction is of another generator.
        """
        direction.check_generator(generator)
        return Mover(generator, direction)

    @property
    def normalizes(self) -> bool:
        """Whether only the angle of what is moved counts."""
        return self.direction.space == "z" and capabilities(self.generator).normalizes_z

    def origin(self, latents: Latents) -> Point:
        """Return what is moved, for latents on the generator's device: z, ws, or activations.

        Raises:
            ValueError: If they are no latents of the generator, or ws are given for a direction in z.
        """
        if self.direction.space == "activation":
            check_latents(self.generator, latents)
            return self.generator.head(latents, str(self.direction.layer))
        if self.direction.space == "w":
            return as_w(self.generator, latents)
        if latents.ndim != 2:
            got = f"got latents {list(latents.shape)}"
            raise ValueError(f"direction {self.direction.name!r} is in z, [batch, {self.generator.z_dim}]; {got}")
        check_z(self.generator, latents)
        return latents

    def at(self, origin: Point, step: float) -> Point:
        """Return what is moved, after a step."""
        shift = (step * self.direction.sigma * self.direction.vector).to(origin.dtype).to(origin.device)
        if self.direction.space == "w":
            point = origin.clone()
            point[:, list(self.direction.ws)] += shift
            return point
        point = origin + shift
        return (
            point * (origin.norm(dim=1, keepdim=True) / point.norm(dim=1, keepdim=True)) if self.normalizes else point
        )

    def images(self, point: Point, latents: Latents) -> Float[Tensor, "batch 3 H W"]:
        """Return the images of what was moved."""
        if self.direction.space == "activation":
            return self.generator.tail(point, str(self.direction.layer), latents)
        return self.generator(point)


def check_steps(steps: Sequence[float]) -> None:
    """Refuse steps that lead nowhere.

    Raises:
        ValueError: If there are none, or one is not finite.
    """
    if not len(steps) or not all(math.isfinite(step) for step in steps):
        raise ValueError(f"steps are finite numbers, one or more; got {list(steps)}")


def angles_between(x: Float[Tensor, "batch z"], y: Float[Tensor, "batch z"]) -> Float64[Tensor, " batch"]:
    """Return the angles of rows in degrees, float64 ``[batch]`` on CPU, exact for small ones and near 180, too.

    Source: Kahan 2006, "How futile are mindless assessments of roundoff".
    """
    x, y = (rows.cpu().double() / rows.cpu().double().norm(dim=1, keepdim=True) for rows in (x, y))
    return torch.rad2deg(2 * torch.atan2((x - y).norm(dim=1), (x + y).norm(dim=1)))
