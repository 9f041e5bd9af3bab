"""Run generator and segmenter over the samples, block by block, and validate their outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from ..core.hooks import trace
from ..core.lookup import lookup
from ..core.progress import progress_bar
from ..core.protocols import Generator, Segmenter
from ..core.rows import check_rows
from ..core.sampling import blocks, check_num_samples
from ..core.types import LayerInfo
from .checks import check_images, check_labels, check_pixels, check_proportions, check_sampling, describe
from .labels import InputLabels, LabelSource

MAX_ACTIVATION = 1e38
"""Bound on activations, since differences of larger ones may overflow float32."""


@dataclass(frozen=True, slots=True, eq=False)
class Activation:
    """The activations of one layer for a block of samples.

    Args:
        maps: float32 ``[batch, unit, h, w]``, finite, contiguous, on the generator's device.
        lowest: float32 ``[batch, unit]``, minimum of each map.
        highest: float32 ``[batch, unit]``, maximum of each map.
    """

    maps: Float32[Tensor, "batch unit h w"]
    lowest: Float32[Tensor, "batch unit"]
    highest: Float32[Tensor, "batch unit"]


@dataclass(frozen=True, slots=True, eq=False)
class ActivationBatch:
    """The activations of a block of samples.

    Args:
        samples: Indices of the samples.
        activations: Activations by layer.
    """

    samples: range
    activations: dict[str, Activation]


@dataclass(frozen=True, slots=True, eq=False)
class ImageBatch(ActivationBatch):
    """The activations and images of a block of samples.

    Args:
        images: Float ``[batch, 3, H, W]`` in [-1, 1], on the generator's device.
    """

    images: Float[Tensor, "batch 3 H W"]


@dataclass(frozen=True, slots=True, eq=False)
class LabeledBatch(ImageBatch):
    """The activations, images and labels of a block of samples.

    Args:
        labels: int64 ``[batch, channel, rows, columns]``, -1 where a pixel has no concept, on the generator's device.
    """

    labels: Int64[Tensor, "batch channel rows columns"]


@dataclass(frozen=True, slots=True, eq=False)
class LayerSampler:
    """A sampler of a generator's layers, images and labels.

    Args:
        generator: Generator to sample.
        layers: Names of the layers, in the generator's order.
        seed: Seed of the latent vectors.
        batch_size: Number of samples per batch; blocks are aligned to multiples of it.
        progress: Show a progress bar on a terminal.
        labels: Source of the label maps: the segmented images, or the true labels of a translator's inputs.

    Raises:
        ValueError: If a latent vector does not depend on the seed and its index alone.
    """

    generator: Generator
    layers: tuple[str, ...]
    seed: int
    batch_size: int
    progress: bool
    labels: LabelSource = "output"

    def __post_init__(self) -> None:
        check_sampling(self.generator, self.seed)

    def activations(self, samples: range, title: str) -> Iterator[ActivationBatch]:
        """Yield the samples' activations without running the network beyond the last layer.

        Args:
            samples: Indices of the samples.
            title: Text of the progress bar.

        Raises:
            ValueError: If an activation has the wrong shape or is not finite.
        """
        for block, z in self._latents(samples, title):
            yield ActivationBatch(block, self._check_activations(self._heads(z), block))

    def images(self, samples: range, title: str) -> Iterator[ImageBatch]:
        """Yield the samples' activations and images.

        Args:
            samples: Indices of the samples.
            title: Text of the progress bar.

        Raises:
            ValueError: If activations or images violate the protocols.
        """
        for block, z in self._latents(samples, title):
            images, heads = self._forward(z)
            check_images(images, len(z), self.generator.image_size)
            check_pixels(images, block)
            yield ImageBatch(block, self._check_activations(heads, block), images.clamp(-1, 1))  # as displayed

    def labeled_images(
        self, samples: range, segmenter: Segmenter, shape: tuple[int, int, int], title: str
    ) -> Iterator[LabeledBatch]:
        """Yield the samples' activations, images and labels.

        Args:
            samples: Indices of the samples.
            segmenter: Segmenter of the concepts, which labels the images unless the inputs' labels are taken.
            shape: Channels, rows and columns of a label map.
            title: Text of the progress bar.

        Raises:
            ValueError: If activations, images or labels violate the protocols, or the inputs have no such labels.
        """
        num_concepts = len(segmenter.concepts)
        inputs = self._input_labels(segmenter)
        for batch in self.images(samples, title):
            images = batch.images
            raw = segmenter(images) if inputs is None else inputs.maps(batch.samples)
            labels = check_labels(raw, (len(images), *shape), num_concepts)
            yield LabeledBatch(batch.samples, batch.activations, images, labels.to(images.device))

    def label_shape(self, segmenter: Segmenter) -> tuple[int, int, int]:
        """Return the number of channels, rows and columns of the label maps, found from one sample.

        Raises:
            ValueError: If the segmenter's output is not a label map, a label map has another aspect ratio than the
                image, or the inputs have no labels of the segmenter's concepts.
        """
        images = self.generator(self.generator.sample_z(1, self.seed, 0).to(self.generator.device))
        check_images(images, 1, self.generator.image_size)
        check_pixels(images, range(1))
        inputs = self._input_labels(segmenter)
        labels = segmenter(images.clamp(-1, 1)) if inputs is None else inputs.maps(range(1))
        if not isinstance(labels, Tensor) or labels.ndim not in {3, 4}:
            raise ValueError(f"the segmenter must return int64 labels [batch, H, W]; got {describe(labels)}")
        channels, height, width = labels.shape[1:] if labels.ndim == 4 else (1, *labels.shape[1:])
        check_proportions((height, width), self.generator.image_size)
        return int(channels), int(height), int(width)

    def _input_labels(self, segmenter: Segmenter) -> InputLabels | None:
        """Return the true labels of the inputs; None if the images are segmented."""
        return InputLabels(self.generator, segmenter) if self.labels == "input" else None

    def _latents(self, samples: range, title: str) -> Iterator[tuple[range, Float32[Tensor, "batch z"]]]:
        """Yield each block's indices and latent vectors."""
        yield from sample_blocks(self.generator, [samples], self.seed, self.batch_size, title, progress=self.progress)

    def _forward(self, z: Float32[Tensor, "batch z"]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the images and the layers' activations, in a single pass if the generator is a module."""
        network = self._network
        if network is None:
            return self.generator(z), self._heads(z)
        with trace(network, self.layers) as record:
            images = self.generator(z)
        return images, dict(record)

    def _heads(self, z: Float32[Tensor, "batch z"]) -> dict[str, Tensor]:
        """Return the layers' activations."""
        network = self._network
        if network is None:
            return {layer: self.generator.head(z, layer) for layer in self.layers}
        with trace(network, self.layers, stop=True) as record:
            self.generator(z)
        return dict(record)

    @property
    def _network(self) -> nn.Module | None:
        """The generator if its layers are its submodules; otherwise None, and `head` is called for each layer."""
        if not isinstance(self.generator, nn.Module):
            return None
        modules = {name for name, _ in self.generator.named_modules()}
        return self.generator if set(self.layers) <= modules else None

    def _check_activations(self, activations: dict[str, Tensor], samples: range) -> dict[str, Activation]:
        """Return validated float32 activations by layer."""
        infos = self.generator.layers
        return {
            layer: check_activation(lookup(activations, layer, "layer"), layer, infos[layer], samples)
            for layer in self.layers
        }


def sample_blocks(
    generator: Generator, sets: Sequence[range], seed: int, batch_size: int, title: str, *, progress: bool
) -> Iterator[tuple[range, Float32[Tensor, "batch z"]]]:
    """Yield blocks of samples as indices and latent vectors on the generator's device, with a progress bar.

    Args:
        generator: Generator that draws the latent vectors.
        sets: Sets of sample indices; no block spans two sets. Blocks are aligned to multiples of ``batch_size``.
        seed: Seed of the latent vectors.
        batch_size: Number of samples per batch, at least 1.
        title: Text of the progress bar.
        progress: Show the progress bar on a terminal.

    Raises:
        ValueError: If there are too many samples, or more than the generator has pictures to translate.
    """
    num_samples = sum(samples.stop - samples.start for samples in sets)  # len() may overflow
    check_num_samples(num_samples)
    check_rows(generator, max((samples.stop for samples in sets), default=0))
    with progress_bar(num_samples, title, show=progress) as bar:
        for samples in sets:
            for block in blocks(len(samples), batch_size, samples.start):
                yield block, generator.sample_z(len(block), seed, block.start).to(generator.device)
                bar.update(len(block))


def check_counts(num_samples: int, batch_size: int) -> None:
    """Check that there are enough samples for a standard error, and no more than can be drawn.

    Raises:
        ValueError: If there are fewer than 2 samples or too many, or the batch size is less than 1.
    """
    if num_samples < 2 or batch_size < 1:
        raise ValueError(
            f"num_samples must be at least 2 and batch_size at least 1; got {num_samples} and {batch_size}"
        )
    check_num_samples(num_samples)


def check_activation(activation: Tensor, layer: str, info: LayerInfo, samples: range) -> Activation:
    """Return a layer's activations as contiguous float32.

    Raises:
        ValueError: If they have the wrong shape, or if one is not finite or is too large; the message names the layer,
            unit and sample.
    """
    expected = (len(samples), info.units, info.height, info.width)
    if isinstance(activation, Tensor) and tuple(activation.shape) == expected[:2] and expected[2:] == (1, 1):
        activation = activation[:, :, None, None]  # hidden vectors are grids of one cell
    if not isinstance(activation, Tensor) or tuple(activation.shape) != expected:
        actual = list(activation.shape) if isinstance(activation, Tensor) else type(activation).__name__
        raise ValueError(f"activations of layer {layer!r} must be {list(expected)} [batch, unit, h, w]; got {actual}")
    maps = activation.float().contiguous()
    lowest, highest = maps.flatten(2).amin(2), maps.flatten(2).amax(2)
    fits = torch.maximum(highest, -lowest) < MAX_ACTIVATION  # false for NaN
    if not bool(fits.all()):
        row, unit = (int(index) for index in (~fits).nonzero()[0])
        finite = bool(torch.isfinite(maps[row, unit]).all())
        problem = "activation too large to interpolate" if finite else "NaN or infinite activation"
        raise ValueError(f"layer {layer!r}, unit {unit}: {problem} in sample {samples[row]}")
    return Activation(maps, lowest, highest)
