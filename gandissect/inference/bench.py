"""Running a generator to a layer once, and from there on once for each edit."""

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
    """A generator that is run up to a layer once, and from there on as often as there are edits.

    Args:
        generator: The generator.
        layer: Name of the layer where it is cut.
        measure: What is measured of images, one row for each: from images ``[batch, 3, H, W]`` and the indices of their
            samples; it checks the images.
        progress: Whether a progress bar is shown.
    """

    generator: Generator
    layer: str
    measure: Callable[[Float[Tensor, "batch 3 H W"], range], Shaped[Tensor, "batch ..."]]
    progress: bool

    def heads(
        self, sets: Sequence[range], seed: int, batch_size: int, title: str
    ) -> Iterator[tuple[range, Float32[Tensor, "batch z"], Float[Tensor, "batch unit h w"]]]:
        """Yield blocks of samples: their indices, their latent vectors and the layer's activations.

        Args:
            sets: The samples' indices, in sets; no block holds samples of two.
            seed: Seed of the latent vectors.
            batch_size: Samples at once, 1 or more.
            title: What the progress bar says.
        """
        for block, z in sample_blocks(self.generator, sets, seed, batch_size, title, progress=self.progress):
            yield block, z, self.generator.head(z, self.layer)

    def measure_edited(
        self, block: range, z: Float[Tensor, "batch z"], activation: Float[Tensor, "batch unit h w"], *edits: Edit
    ) -> Shaped[Tensor, "batch ..."]:
        """Return what is measured of the images of a block, after edits of the layer's activations.

        Raises:
            ValueError: If the images are not what the protocol promises.
        """
        for edit in edits:
            activation = edit.apply(activation, self.generator.image_size)
        return self.measure(self.generator.tail(activation, self.layer, z), block)
