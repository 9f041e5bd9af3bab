"""Latent spaces as an optimizer sees them: numbers of about the standard deviation 1, and what keeps them there.

With its layers' noise, a picture's numbers are its latents and all the maps of noise, one after the other. The prior
of noise is how far its neighbors are from independent,

    mean over maps, their halvings down to 8 px, and both axes of max(0, n r^2 - 1),    r = mean_p x_p x_(p + 1),

with n the number of pixels of a map x, so that n r^2 is 1 on average where neighbors are independent. Maps are put
back to mean 0 and standard deviation 1 after every step.

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
from ..spaces import Latents, as_w, capabilities, on_shell

SMALLEST = 8
"""Maps of noise are halved until their sides are no longer."""

FreeNumbers = Float[Tensor, "picture number"] | Float[Tensor, "picture num_ws w_dim"]
"""The numbers that are optimized, of each picture."""

NoiseMaps = tuple[Float[Tensor, "picture 1 _ _"], ...]
"""The noise of each layer of a generator; none where it is the generator's own."""


@dataclass(frozen=True, slots=True)
class Coordinates:
    """A latent space in which the numbers that are optimized have about the standard deviation 1.

    Args:
        space: ``z``, ``w`` or ``ws``.
        num_ws: How many w the generator takes; 0 in z.
        mean: Of w, ``[w_dim]``; of z 0.
        scale: Standard deviation of w; of z 1.
        normalizes: Whether the length of z makes no difference.
        noise: The generator's own noise, one map ``[1, 1, h, w]`` a layer, if noise is optimized, too.
    """

    space: str
    num_ws: int
    mean: Float[Tensor, " w_dim"] | Float[Tensor, ""]
    scale: float
    normalizes: bool
    noise: NoiseMaps = ()

    @classmethod
    def of(cls, generator: Generator, space: str, z: Float[Tensor, "sample z"], noise: bool) -> Coordinates:
        """Return the coordinates, measured on samples ``[sample, z_dim]``.

        Raises:
            ValueError: If w is the same for all of them.
        """
        if space == "z":
            return cls(space, 0, z.new_zeros(()), 1.0, capabilities(generator).normalizes_z)
        ws = as_w(generator, z)
        w = ws[:, 0].cpu().double()
        scale = float(w.var(0).mean().sqrt())
        if not scale > 0:
            raise ValueError(f"w of {generator.name} does not vary; invert in z")
        maps = tuple(generator.own_noise()) if noise else ()  # type: ignore[attr-defined]
        return cls(space, ws.shape[1], w.mean(0).float().to(ws.device), scale, normalizes=False, noise=maps)

    @property
    def middle(self) -> Float[Tensor, "1 num_ws w_dim"]:
        """The mean w, ``[1, num_ws, w_dim]``."""
        return self.mean.expand(1, self.num_ws, -1)

    def images(self, generator: Generator, free: FreeNumbers) -> Float[Tensor, "picture 3 H W"]:
        """Return the generator's images of the numbers that are optimized."""
        latents, noise = self.latents(free), self.maps(free)
        images: Tensor = generator.synthesis(latents, noise) if noise else generator(latents)  # type: ignore[attr-defined]
        return images

    def latents(self, free: FreeNumbers) -> Latents:
        """Return what the generator takes for the numbers that are optimized."""
        if self.space == "z":
            return free
        w = self.mean + self.scale * self._styles(free)
        return w if self.space == "ws" else w[:, None].expand(-1, self.num_ws, -1)

    def maps(self, free: FreeNumbers) -> NoiseMaps:
        """Return the noise of the layers, ``[picture, 1, h, w]`` each; none where it is not optimized."""
        if not self.noise:
            return ()
        sizes = [own_map.numel() for own_map in self.noise]
        parts = torch.split(free[:, -sum(sizes) :], sizes, dim=1)
        return tuple(part.reshape(-1, *own_map.shape[1:]) for part, own_map in zip(parts, self.noise, strict=True))

    def free(self, samples: Latents) -> FreeNumbers:
        """Return the numbers that stand for samples z or ``[sample, num_ws, w_dim]``, with the generator's noise."""
        if self.space == "z":
            return on_shell(samples) if self.normalizes else samples
        ws = (samples - self.mean) / self.scale
        styles = ws if self.space == "ws" else ws[:, 0]
        if not self.noise:
            return styles
        maps = [own_map.flatten(1).expand(len(ws), -1) for own_map in self.noise]
        return torch.cat([styles.flatten(1), *maps], dim=1)

    def prior(self, free: FreeNumbers) -> Float[Tensor, " picture"]:
        """Return how far each picture's latents and noise are from where samples lie, ``[picture]``."""
        off = self._styles(free).square().flatten(1).mean(1) - 1
        far = (off if self.space == "z" else off.clamp(min=0)).square()
        return far + dependence(self.maps(free)) if self.noise else far

    def settle(self, free: FreeNumbers) -> None:
        """Put z back on the shell where only its direction counts, and noise to mean 0 and standard deviation 1."""
        if self.normalizes:
            free.copy_(on_shell(free))
        for noise_map in self.maps(free):
            noise_map.sub_(noise_map.mean((2, 3), keepdim=True))
            noise_map.div_(noise_map.square().mean((2, 3), keepdim=True).sqrt().clamp(min=1e-8))

    def _styles(self, free: Tensor) -> Tensor:
        """Return the numbers of the latents alone."""
        if not self.noise:
            return free
        styles = free[:, : -sum(own_map.numel() for own_map in self.noise)]
        return styles.reshape(-1, self.num_ws, len(self.mean)) if self.space == "ws" else styles


def dependence(maps: NoiseMaps) -> Float[Tensor, " picture"]:
    """Return how far the neighbors in maps ``[picture, 1, h, w]`` are from independent, ``[picture]``.

    Source: the formula at the top.
    """
    terms = []
    for noise_map in maps:
        for scaled in _halvings(noise_map):
            number = math.prod(scaled.shape[2:])
            for axis in (2, 3):
                correlation = (scaled * scaled.roll(1, axis)).mean((1, 2, 3))
                terms.append((number * correlation.square() - 1).clamp(min=0))
    return torch.stack(terms).mean(0)


def _halvings(noise: Tensor) -> Iterator[Tensor]:
    """Yield maps and their means over 2 x 2 pixels, again and again, each with the standard deviation of the first."""
    yield noise
    while min(noise.shape[2:]) > SMALLEST:
        noise = 2 * avg_pool2d(noise, 2)
        yield noise
