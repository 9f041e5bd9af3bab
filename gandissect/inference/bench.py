"""Running a generator to a layer once, and from there on once for each edit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from ..core.protocols import Generator, Segmenter
from ..interventions.edits import Edit
from .areas import Viewer, samples


@dataclass(frozen=True, slots=True)
class Bench:
    """A generator that is run up to a layer once, and from there on as often as there are edits.

    Args:
        generator: The generator.
        layer: Where it is cut.
        viewer: Labels its images.
        progress: Show a progress bar.
    """

    generator: Generator
    layer: str
    viewer: Viewer
    progress: bool

    @staticmethod
    def of(generator: Generator, segmenter: Segmenter, layer: str, *, progress: bool) -> Bench:
        """Return the bench of two networks."""
        return Bench(generator, layer, Viewer.of(generator, segmenter), progress)

    @property
    def num_pixels(self) -> int:
        """Of a label map."""
        return self.viewer.num_pixels

    def heads(self, num_samples: int, seed: int, batch_size: int, title: str) -> Iterator[tuple[range, Tensor, Tensor]]:
        """Yield blocks of samples: their indices, latent vectors and the layer's activations."""
        for block, z in samples(self.generator, num_samples, seed, batch_size, title, self.progress):
            yield block, z, self.generator.head(z, self.layer)

    def areas(self, block: range, z: Tensor, activation: Tensor, edits: Sequence[Edit]) -> Tensor:
        """Return how many pixels of each edited image belong to each concept, int64 ``[batch, concept]`` on CPU.

        Raises:
            ValueError: If images or labels are not what the protocols promise.
        """
        for edit in edits:
            activation = edit.apply(activation, self.generator.image_size)
        return self.viewer.areas(self.generator.tail(activation, self.layer, z), block)
