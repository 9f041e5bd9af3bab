"""Coordinates of latent spaces for an optimizer, with a standard deviation of about 1, and their prior.

If noise is optimized, the variables of a picture are its latents followed by all noise maps. The prior of noise
measures the correlation of neighboring pixels:

    mean over maps, their halvings down to 8 px, and both axes of max(0, n r^2 - 1),    r = mean_p x_p x_(p + 1),

where n is the number of pixels of a map x; n r^2 is 1 on average if neighbors are independent. Maps are normalized to
mean 0 and standard deviation 1 after every step.

Source: Karras et al. 2020 (arXiv 1912.04958), Appendix D, with correlations in units of their own variance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ...core.protocols import Generator
from ...core.rows import noise_length
from ..spaces import Latents, as_w, capabilities, on_shell

SMALLEST = 8
"""Size at which the halving of noise maps stops, in pixels."""

FreeNumbers = Float[Tensor, "picture number"] | Float[Tensor, "picture num_ws w_dim"]
"""Variables of each picture that are optimized."""

NoiseMaps = tuple[Float[Tensor, "picture 1 _ _"], ...]
"""Noise of each layer of a generator; empty for the generator's own noise."""


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Coordinates of a latent space in which the variables have a standard deviation of about 1.

    Args:
        space: ``z``, ``w`` or ``ws``.
        num_ws: Number of w that the generator takes; 0 in z.
        mean: Mean of w, ``[w_dim]``; 0 in z.
        scale: Standard deviation of w; 1 in z.
        normalizes: Whether the length of z makes no difference.
        noise: The generator's own noise, one map ``[1, 1, h, w]`` per layer; empty if noise is not optimized.
        num_free: In z, number of entries that are optimized; the rest, the class, stays that of the starting point.
    """

    space: str
    num_ws: int
    mean: Float[Tensor, " w_dim"] | Float[Tensor, ""]
    scale: float
    normalizes: bool
    noise: NoiseMaps = ()
    num_free: int = 0

    @classmethod
    def of(cls, generator: Generator, space: str, z: Float[Tensor, "sample z"], noise: bool) -> Coordinates:
        """Return the coordinates, with mean and scale measured on samples z ``[sample, z_dim]``.

        Raises:
            ValueError: If w is the same for all samples.
        """
        if space == "z":
            normalizes, num_free = capabilities(generator).normalizes_z, noise_length(generator)
            return cls(space, 0, z.new_zeros(()), 1.0, normalizes, num_free=num_free)
        ws = as_w(generator, z)
        w = ws[:, 0].cpu().double()
        scale = float(w.var(0).mean().sqrt())
        if not scale > 0:
            raise ValueError(f"w of {generator.name} is the same for all samples; invert in z")
        maps = tuple(generator.own_noise()) if noise else ()  # type: ignore[attr-defined]
        return cls(space, ws.shape[1], w.mean(0).float().to(ws.device), scale, normalizes=False, noise=maps)

    @property
    def middle(self) -> Float[Tensor, "1 num_ws w_dim"]:
        """The mean w, ``[1, num_ws, w_dim]``."""
        return self.mean.expand(1, self.num_ws, -1)

    def images(self, generator: Generator, free: FreeNumbers) -> Float[Tensor, "picture 3 H W"]:
        """Generate the images of the variables."""
        latents, noise = self.latents(free), self.maps(free)
        images: Tensor = generator.synthesis(latents, noise) if noise else generator(latents)  # type: ignore[attr-defined]
        return images

    def latents(self, free: FreeNumbers) -> Latents:
        """Return the latent vectors of the variables."""
        if self.space == "z":
            held = free[:, self.num_free :].detach()
            return torch.cat([free[:, : self.num_free], held], dim=1) if held.shape[1] else free
        w = self.mean + self.scale * self._styles(free)
        return w if self.space == "ws" else w[:, None].expand(-1, self.num_ws, -1)

    def maps(self, free: FreeNumbers) -> NoiseMaps:
        """Return the noise of each layer, ``[picture, 1, h, w]``; empty if noise is not optimized."""
        if not self.noise:
            return ()
        sizes = [own_map.numel() for own_map in self.noise]
        parts = torch.split(free[:, -sum(sizes) :], sizes, dim=1)
        return tuple(part.reshape(-1, *own_map.shape[1:]) for part, own_map in zip(parts, self.noise, strict=True))

    def free(self, samples: Latents) -> FreeNumbers:
        """Return the variables of samples, z or ``[sample, num_ws, w_dim]``, with the generator's own noise."""
        if self.space == "z":
            return self._project(samples) if self.normalizes else samples
        ws = (samples - self.mean) / self.scale
        styles = ws if self.space == "ws" else ws[:, 0]
        if not self.noise:
            return styles
        maps = [own_map.flatten(1).expand(len(ws), -1) for own_map in self.noise]
        return torch.cat([styles.flatten(1), *maps], dim=1)

    def prior(self, free: FreeNumbers) -> Float[Tensor, " picture"]:
        """Return the penalty for latents and noise that are unlike those of samples, ``[picture]``."""
        excess = self._styles(free).square().flatten(1).mean(1) - 1
        penalty = (excess if self.space == "z" else excess.clamp(min=0)).square()
        return penalty + dependence(self.maps(free)) if self.noise else penalty

    def settle(self, free: FreeNumbers) -> None:
        """Project z onto the shell if only its direction matters, and normalize noise, in place."""
        if self.normalizes:
            free.copy_(self._project(free))
        for noise_map in self.maps(free):
            noise_map.sub_(noise_map.mean((2, 3), keepdim=True))
            noise_map.div_(noise_map.square().mean((2, 3), keepdim=True).sqrt().clamp(min=1e-8))

    def _project(self, z: Tensor) -> Tensor:
        """Return z on the shell, with the same class."""
        return torch.cat([on_shell(z[:, : self.num_free]), z[:, self.num_free :]], dim=1)

    def _styles(self, free: Tensor) -> Tensor:
        """Return the variables of the latents without the class, and without those of the noise maps."""
        if self.space == "z":
            return free[:, : self.num_free]
        if not self.noise:
            return free
        styles = free[:, : -sum(own_map.numel() for own_map in self.noise)]
        return styles.reshape(-1, self.num_ws, len(self.mean)) if self.space == "ws" else styles


def dependence(maps: NoiseMaps) -> Float[Tensor, " picture"]:
    """Return the correlation of neighbors in maps ``[picture, 1, h, w]``, as defined at the top, ``[picture]``."""
    terms = []
    for noise_map in maps:
        for scaled in _halvings(noise_map):
            number = math.prod(scaled.shape[2:])
            for axis in (2, 3):
                correlation = (scaled * scaled.roll(1, axis)).mean((1, 2, 3))
                terms.append((number * correlation.square() - 1).clamp(min=0))
    return torch.stack(terms).mean(0)


def _halvings(noise: Tensor) -> Iterator[Tensor]:
    """Yield maps and their repeated 2 x 2 averages, rescaled to keep the standard deviation of independent pixels."""
    yield noise
    while min(noise.shape[2:]) > SMALLEST:
        noise = 2 * avg_pool2d(noise, 2)
        yield noise
