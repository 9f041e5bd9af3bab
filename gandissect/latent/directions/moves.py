"""Move along a direction of a latent space.

For a unit vector v and the standard deviation sigma of the space along v, a step of length t is

    z <- z + t sigma v,    ws_i <- ws_i + t sigma v  for the chosen i,    a <- a + t sigma v

in z, in w, and in the activations of a layer; in z, v is 0 in the entries of the class, if there are any. If the
network normalizes z, the moved z is scaled back to its original length, and the effective step is the angle by which z
was rotated. However large the step, this angle is at most that between z and v, which is close to 90 degrees for most
z.

Source: Shen et al. 2020 (InterFaceGAN, arXiv 2005.09635).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ...core.display import Displayed, count_things
from ...core.images import to_uint8
from ...core.protocols import Generator
from ..spaces import Latents, as_w, capabilities, check_latents, check_z, split_row
from .direction import Direction

Point = Latents | Float[Tensor, "batch unit h w"]
"""A point that is moved: z, ws, or activations."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DirectionSweep(Displayed):
    """Latent vectors moved along a direction, on CPU.

    Args:
        steps: Step lengths, in standard deviations.
        latents: Moved z or ws, ``[step, batch, ...]``; None if activations were moved.
        images: Images after each step, float32 ``[step, batch, 3, H, W]``.
        angles: Angle by which z was rotated, in degrees, float64 ``[step, batch]``; None unless the generator
            normalizes z and z was moved.
    """

    steps: tuple[float, ...]
    latents: Float[Tensor, "step batch z"] | Float[Tensor, "step batch num_ws w_dim"] | None
    images: Float[Tensor, "step batch 3 H W"]
    angles: Float64[Tensor, "step batch"] | None

    def _summarize(self) -> str:
        steps = ", ".join(f"{step:+g}" if step else "0" for step in self.steps)
        return f"{count_things(self.images.shape[1], 'image')} at steps {steps}"

    def _html_parts(self) -> Iterable[str]:
        from ..display import show_rows

        return show_rows(to_uint8(self.images).movedim(0, 1), [f"{step:+g} sd" for step in self.steps])


@torch.no_grad()
def move(generator: Generator, latents: Latents, direction: Direction, steps: Sequence[float]) -> DirectionSweep:
    """Move latent vectors along a direction and generate the images; a step of 0 changes nothing.

    Args:
        generator: Generator that the direction belongs to.
        latents: z ``[batch, z_dim]``, or, for directions in w or activations, also ws ``[batch, num_ws, w_dim]``.
        direction: Direction to move along.
        steps: Step lengths in standard deviations, one or more; samples rarely lie beyond about 2.

    Returns:
        The moved latent vectors and their images.

    Raises:
        KeyError: If there is no such layer.
        ValueError: If the direction belongs to another generator, the latents belong to another space, or a step is not
            finite.

    Examples:
        >>> import generators
        >>> from gandissect import latent
        >>> G = generators.load("stylegan-scenes64")
        >>> (direction,) = latent.closed_form_directions(G, 1)
        >>> latent.move(G, G.sample_z(2, seed=1), direction, (-1, 0, 1))
        DirectionSweep(2 images at steps -1, 0, +1)

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
    """Moves points along a direction of a generator, which is checked once.

    Args:
        generator: Generator that the direction belongs to.
        direction: Direction to move along.
    """

    generator: Generator
    direction: Direction

    @staticmethod
    def of(generator: Generator, direction: Direction) -> Mover:
        """Return the mover of a direction.

        Raises:
            KeyError: If there is no such layer.
            ValueError: If the direction belongs to another generator.
        """
        direction.check_generator(generator)
        return Mover(generator, direction)

    @property
    def normalizes(self) -> bool:
        """Whether only the direction of the moved point matters, not its length."""
        return self.direction.space == "z" and capabilities(self.generator).normalizes_z

    def origin(self, latents: Latents) -> Point:
        """Return the point to move, z, ws or activations, for latents on the generator's device.

        Raises:
            ValueError: If the latents do not fit the generator, or are ws for a direction in z.
        """
        if self.direction.space == "activation":
            check_latents(self.generator, latents)
            return self.generator.head(latents, str(self.direction.layer))
        if self.direction.space == "w":
            return as_w(self.generator, latents)
        if latents.ndim != 2:
            needed = f"latents for direction {self.direction.name!r} in z must be [batch, {self.generator.z_dim}]"
            raise ValueError(f"{needed}; got {list(latents.shape)}")
        check_z(self.generator, latents)
        return latents

    def at(self, origin: Point, step: float) -> Point:
        """Return the point after a step."""
        shift = (step * self.direction.sigma * self.direction.vector).to(origin.dtype).to(origin.device)
        if self.direction.space == "w":
            point = origin.clone()
            point[:, list(self.direction.ws)] += shift
            return point
        point = origin + shift
        if not self.normalizes:
            return point
        (before, classes), after = split_row(self.generator, origin), split_row(self.generator, point)[0]
        return torch.cat([after * (before.norm(dim=1, keepdim=True) / after.norm(dim=1, keepdim=True)), classes], dim=1)

    def images(self, point: Point, latents: Latents) -> Float[Tensor, "batch 3 H W"]:
        """Generate the images of a moved point."""
        if self.direction.space == "activation":
            return self.generator.tail(point, str(self.direction.layer), latents)
        return self.generator(point)


def check_steps(steps: Sequence[float]) -> None:
    """Check that there is at least one step, and all are finite.

    Raises:
        ValueError: If there are no steps, or one is not finite.
    """
    if not len(steps) or not all(math.isfinite(step) for step in steps):
        raise ValueError(f"steps must be one or more finite numbers; got {list(steps)}")


def angles_between(x: Float[Tensor, "batch z"], y: Float[Tensor, "batch z"]) -> Float64[Tensor, " batch"]:
    """Return the angle between corresponding rows in degrees, float64 ``[batch]`` on CPU, accurate near 0 and 180.

    Source: Kahan 2006, "How futile are mindless assessments of roundoff".
    """
    x, y = (rows.cpu().double() / rows.cpu().double().norm(dim=1, keepdim=True) for rows in (x, y))
    return torch.rad2deg(2 * torch.atan2((x - y).norm(dim=1), (x + y).norm(dim=1)))
