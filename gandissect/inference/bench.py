"""Run a generator up to a layer once, and from that layer to the image once per edit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jaxtyping import Float, Float32, Shaped
from torch import Tensor

from ..core.protocols import Generator
from ..interventions.edits import Edit
from .batches import sample_blocks


@dataclass(frozen=True, slots=True)
class Bench:
    """A generator split at a layer, so that its first part runs only once for all edits.

    Args:
        generator: Generator to split.
        layer: Name of the layer where the generator is split.
        measure: Function from images ``[batch, 3, H, W]`` and the indices of their samples to measurements, one row per
            image; it also validates the images.
        progress: Show a progress bar.
    """

    generator: Generator
    layer: str
    measure: Callable[[Float[Tensor, "batch 3 H W"], range], Shaped[Tensor, "batch ..."]]
    progress: bool

    def heads(
        self, sets: Sequence[range], seed: int, batch_size: int, title: str
    ) -> Iterator[tuple[range, Float32[Tensor, "batch z"], Float[Tensor, "batch unit h w"]]]:
        """Yield blocks of samples as indices, latent vectors and activations of the layer.

        Args:
            sets: Sets of sample indices; no block spans two sets.
            seed: Seed of the latent vectors.
            batch_size: Number of samples per batch, at least 1.
            title: Text of the progress bar.
        """
        for block, z in sample_blocks(self.generator, sets, seed, batch_size, title, progress=self.progress):
            yield block, z, self.generator.head(z, self.layer)

    def measure_edited(
        self, block: range, z: Float[Tensor, "batch z"], activation: Float[Tensor, "batch unit h w"], *edits: Edit
    ) -> Shaped[Tensor, "batch ..."]:
        """Measure the images of a block after editing the layer's activations.

        Raises:
            ValueError: If the images violate the protocol.
        """
        for edit in edits:
            activation = edit.apply(activation, self.generator.image_size)
        return self.measure(self.generator.tail(activation, self.layer, z), block)
