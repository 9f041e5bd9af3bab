"""The images of a generator along a path through its latent space, or through a layer's activations."""

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
from ..spaces import Latents, as_w, capabilities, check_z, on_shell
from .paths import LatentPath

BATCH = 32
"""Images at a time."""

ImageDistance = Callable[[Float[Tensor, "batch 3 H W"], Float[Tensor, "batch 3 H W"]], Float[Tensor, " batch"]]
"""From images ``[batch, 3, H, W]`` and as many others to distances ``[batch]``."""


def pixel_distance(x: Float[Tensor, "batch 3 H W"], y: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, " batch"]:
    """Return the root mean square of the differences of pixels, ``[batch]``."""
    return (x - y).square().flatten(1).mean(dim=1).sqrt()


class Walk:
    """A path through images that some latent vectors make.

    In z it goes along great circles, at the length ``sqrt(z_dim)`` if the generator normalizes z; in w, and through
    activations, straight. Through activations of a layer, what the later layers are given besides (styles) goes along a
    path of its own.

    Args:
        generator: Any generator.
        latents: Of the keyframes, two or more: z ``[key, z_dim]``, or w ``[key, num_ws, w_dim]`` if it has w and the
            walk is not through z.
        space: ``"z"``, ``"w"``, or the name of a layer.
        closed: From the last keyframe back to the first.

    Attributes:
        path: The path, through z, w or activations.

    Raises:
        KeyError: If there is neither such a space nor such a layer.
        ValueError: If the generator has no w, or the latent vectors are none of it.
    """

    def __init__(self, generator: Generator, latents: Latents, space: str = "z", *, closed: bool = False) -> None:
        check_mode(generator)
        self.generator, self._layer, self._latent_path = generator, None, None
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
        """The position at which it ends; keyframe i is at the position i."""
        return self.path.end

    @torch.no_grad()
    def images(self, positions: Real[Tensor, " n"], *, progress: bool = False) -> Float[Tensor, "n 3 H W"]:
        """Return the images at some positions.

        Args:
            positions: ``[n]``, from 0 to `end`.
            progress: Show a progress bar.

        Returns:
            float32 ``[n, 3, H, W]``, on CPU.

        Raises:
            ValueError: If there are none, or one is beyond the path.
        """
        if not len(positions):
            raise ValueError("name one position or more")
        parts = [positions[part.start : part.stop] for part in blocks(len(positions), BATCH)]
        return torch.cat([self._make_images(part) for part in track(parts, "walk", show=progress)])

    def positions(self, num_frames: int) -> Float64[Tensor, " num_frames"]:
        """Return positions at equal distances from each other.

        Args:
            num_frames: How many, 2 or more. They end where the path ends; of a closed one, a step before, since the
                first comes next.

        Returns:
            float64 ``[num_frames]``.

        Raises:
            ValueError: If there are fewer than 2.
        """
        steps = self._num_steps(num_frames)
        return torch.linspace(0, self.end, steps + 1, dtype=torch.float64, device="cpu")[:num_frames]

    def even_positions(
        self, num_frames: int, distance: ImageDistance = pixel_distance, *, fineness: int = 8, progress: bool = False
    ) -> Float64[Tensor, " num_frames"]:
        """Return positions whose images are at equal distances from each other along the path.

        The path's length is the sum of the distances of many images on it.

        Args:
            num_frames: How many, 2 or more, from the beginning to the end, as for `positions`.
            distance: Of images.
            fineness: So many times as many images are made to find the length, 1 or more.
            progress: Show a progress bar.

        Returns:
            float64 ``[num_frames]``; equal steps if all images on the path are the same.

        Raises:
            ValueError: If a number is out of range, or a distance is not finite.
        """
        steps = self._num_steps(num_frames)
        if fineness < 1:
            raise ValueError(f"fineness is 1 or more; got {fineness}")
        fine_positions = torch.linspace(0, self.end, steps * fineness + 1, dtype=torch.float64, device="cpu")
        lengths = np.concatenate([[0.0], self._distances(fine_positions, distance, progress).cumsum(0).numpy()])
        if not np.isfinite(lengths[-1]):
            raise ValueError(f"the distances of images on the path add up to {lengths[-1]}; they are to be finite")
        if lengths[-1] == 0:
            return self.positions(num_frames)
        wanted_lengths = np.linspace(0, lengths[-1], steps + 1)[:num_frames]
        return torch.from_numpy(np.interp(wanted_lengths, lengths, fine_positions.numpy()))

    @torch.no_grad()
    def _distances(self, positions: Tensor, distance: ImageDistance, progress: bool) -> Tensor:
        """Return the distance of each image from the next, float64 on CPU; few images are kept at a time."""
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
            return self.generator(points).cpu()
        return self.generator.tail(points, self._layer, self._latent_path.at(positions)).cpu()

    def _num_steps(self, num_frames: int) -> int:
        if num_frames < 2:
            raise ValueError(f"a walk has 2 frames or more; got {num_frames}")
        return num_frames if self.path.closed else num_frames - 1


def _path_through_z(generator: Generator, z: Tensor, closed: bool) -> LatentPath:
    check_z(generator, z)
    return LatentPath(on_shell(z) if capabilities(generator).normalizes_z else z, closed, curved=True)


@torch.no_grad()
def _paths_through_layer(
    generator: Generator, latents: Tensor, layer: str, closed: bool
) -> tuple[LatentPath, LatentPath]:
    """Return the path through activations, and that of what the later layers are given besides."""
    if capabilities(generator).has_w:
        latents = as_w(generator, latents)
        latent_path = LatentPath(latents, closed)
    else:
        latent_path = _path_through_z(generator, latents, closed)
    return LatentPath(generator.head(latents, layer), closed), latent_path
