"""Generate images along a path through a latent space, or through a layer's activations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Float64, Real
from torch import Tensor

from ...core.lookup import lookup
from ...core.progress import track
from ...core.protocols import Generator, check_mode
from ...core.sampling import blocks
from ..spaces import Latents, as_w, capabilities, check_z, on_shell, path_classes, split_row
from .paths import LatentPath, mix_keys

BATCH = 32
"""Images per batch."""

ImageDistance = Callable[[Float[Tensor, "batch 3 H W"], Float[Tensor, "batch 3 H W"]], Float[Tensor, " batch"]]
"""Function of two batches of images ``[batch, 3, H, W]`` that returns their pairwise distances ``[batch]``."""


def pixel_distance(x: Float[Tensor, "batch 3 H W"], y: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, " batch"]:
    """Return the root mean square difference of the pixels of each pair of images, ``[batch]``."""
    return (x - y).square().flatten(1).mean(dim=1).sqrt()


class Walk:
    """A path through the images of several latent vectors, the keyframes.

    In z the path follows great circles, at length ``sqrt(z_dim)`` if the generator normalizes z. In w and in
    activations it follows straight lines between two keyframes and a cubic spline through more. In a walk through the
    activations of a layer, the other inputs of later layers (styles) follow a separate path. The class, where there are
    classes, stays the same; if the generator mixes classes, it may also change, linearly from keyframe to keyframe.

    Args:
        generator: Any generator.
        latents: Latent vectors of the keyframes, two or more: z ``[key, z_dim]``, or w ``[key, num_ws, w_dim]`` if the
            generator has w and the walk is not through z.
        space: ``"z"``, ``"w"``, or the name of a layer.
        closed: Return from the last keyframe to the first.

    Attributes:
        path: Path through z, w or activations.

    Raises:
        KeyError: If there is no such space or layer.
        ValueError: If the generator has no w, or the latent vectors do not fit it, or are of several classes that it
            does not mix.

    Examples:
        >>> import generators
        >>> from gandissect import latent
        >>> G = generators.PlantedGenerator()
        >>> walk = latent.Walk(G, G.sample_z(2, seed=1))
        >>> walk.images(walk.positions(5)).shape
        torch.Size([5, 3, 64, 64])
    """

    def __init__(self, generator: Generator, latents: Latents, space: str = "z", *, closed: bool = False) -> None:
        check_mode(generator)
        self.generator, self._layer, self._latent_path = generator, None, None
        through_z = space == "z" or (space != "w" and not capabilities(generator).has_w)
        self._classes = path_classes(generator, latents) if through_z and latents.ndim == 2 else None
        if space == "z":
            self.path = _path_through_z(generator, latents, closed)
        elif space == "w":
            self.path = LatentPath(as_w(generator, latents), closed)
        else:
            spaces = dict.fromkeys(capabilities(generator).spaces)
            lookup({**spaces, **generator.layers}, space, "latent space or layer")
            self._layer = space
            self.path, self._latent_path = _paths_through_layer(generator, latents, space, closed)

    @property
    def end(self) -> int:
        """Last position of the path; keyframe i is at position i."""
        return self.path.end

    @torch.no_grad()
    def images(self, positions: Real[Tensor, " n"], *, progress: bool = False) -> Float[Tensor, "n 3 H W"]:
        """Generate the images at the given positions.

        Args:
            positions: Positions on the path, ``[n]``, from 0 to `end`.
            progress: Show a progress bar.

        Returns:
            float32 ``[n, 3, H, W]`` on CPU.

        Raises:
            ValueError: If there are no positions, or one is beyond the path.
        """
        if not len(positions):
            raise ValueError("positions must have at least one entry; got none")
        parts = [positions[part.start : part.stop] for part in blocks(len(positions), BATCH)]
        return torch.cat([self._make_images(part) for part in track(parts, "walk", show=progress)])

    def positions(self, num_frames: int) -> Float64[Tensor, " num_frames"]:
        """Return equally spaced positions.

        Args:
            num_frames: Number of positions, at least 2. The last one is the end of the path, or, if the path is closed,
                one step before it, because the first position follows.

        Returns:
            float64 ``[num_frames]``.

        Raises:
            ValueError: If num_frames is below 2.
        """
        steps = self._num_steps(num_frames)
        return torch.linspace(0, self.end, steps + 1, dtype=torch.float64, device="cpu")[:num_frames]

    def even_positions(
        self, num_frames: int, distance: ImageDistance = pixel_distance, *, fineness: int = 8, progress: bool = False
    ) -> Float64[Tensor, " num_frames"]:
        """Return positions whose images are equally far apart along the path.

        Length along the path is the sum of the distances between many consecutive images.

        Args:
            num_frames: Number of positions, at least 2, from the beginning to the end of the path, as in `positions`.
            distance: Distance between images.
            fineness: Number of images per frame that are generated to measure the length, at least 1.
            progress: Show a progress bar.

        Returns:
            float64 ``[num_frames]``; equal steps if all images on the path are the same.

        Raises:
            ValueError: If a number is out of range, or a distance is not finite.
        """
        steps = self._num_steps(num_frames)
        if fineness < 1:
            raise ValueError(f"fineness must be at least 1; got {fineness}")
        fine_positions = torch.linspace(0, self.end, steps * fineness + 1, dtype=torch.float64, device="cpu")
        lengths = np.concatenate([[0.0], self._distances(fine_positions, distance, progress).cumsum(0).numpy()])
        if not np.isfinite(lengths[-1]):
            raise ValueError(f"distances between images on the path must be finite; got a sum of {lengths[-1]}")
        if lengths[-1] == 0:
            return self.positions(num_frames)
        even_lengths = np.linspace(0, lengths[-1], steps + 1)[:num_frames]
        return torch.from_numpy(np.interp(even_lengths, lengths, fine_positions.numpy()))

    @torch.no_grad()
    def _distances(self, positions: Tensor, distance: ImageDistance, progress: bool) -> Tensor:
        """Return the distance of each image from the next, float64 on CPU, one batch of images at a time."""
        parts = [positions[part.start : part.stop + 1] for part in blocks(len(positions) - 1, BATCH)]
        distances = []
        for part in track(parts, "walk", show=progress):
            images = self._make_images(part)
            distances.append(distance(images[:-1], images[1:]).cpu().double())
        return torch.cat(distances)

    def _make_images(self, positions: Tensor) -> Tensor:
        check_mode(self.generator)
        points = self.path.at(positions)
        if self._layer is None or self._latent_path is None:
            return self.generator(self._add_class(points, positions)).cpu()
        rows = self._add_class(self._latent_path.at(positions), positions)
        return self.generator.tail(points, self._layer, rows).cpu()

    def _add_class(self, points: Tensor, positions: Tensor) -> Tensor:
        """Return rows of noise with the class there; other points as they are."""
        if self._classes is None or points.ndim != 2:
            return points
        return torch.cat([points, mix_keys(self._classes.to(points), positions, self.path.end)], dim=1)

    def _num_steps(self, num_frames: int) -> int:
        if num_frames < 2:
            raise ValueError(f"num_frames must be at least 2; got {num_frames}")
        return num_frames if self.path.closed else num_frames - 1

    def __repr__(self) -> str:
        return f"Walk({self.generator.name}, {len(self.path.keys)} keyframes{', closed' if self.path.closed else ''})"


def _path_through_z(generator: Generator, z: Tensor, closed: bool) -> LatentPath:
    """Return the path of the noise."""
    check_z(generator, z)
    noise = split_row(generator, z)[0]
    return LatentPath(on_shell(noise) if capabilities(generator).normalizes_z else noise, closed, curved=True)


@torch.no_grad()
def _paths_through_layer(
    generator: Generator, latents: Tensor, layer: str, closed: bool
) -> tuple[LatentPath, LatentPath]:
    """Return the path through activations, and the path of the latent vectors that later layers also depend on."""
    if capabilities(generator).has_w:
        latents = as_w(generator, latents)
        latent_path = LatentPath(latents, closed)
    else:
        latent_path = _path_through_z(generator, latents, closed)
    return LatentPath(generator.head(latents, layer), closed), latent_path
