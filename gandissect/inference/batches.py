"""Running generator and segmenter over the samples, block by block, and checking what they return."""

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
from ..core.sampling import blocks, check_num_samples
from ..core.types import LayerInfo
from .checks import check_images, check_labels, check_pixels, check_proportions, check_sampling, describe

MAX_ACTIVATION = 1e38
"""Differences of larger ones are beyond float32."""


@dataclass(frozen=True, slots=True, eq=False)
class Activation:
    """What a layer gives for a block of samples.

    Args:
        maps: float32 ``[batch, unit, h, w]``, finite, contiguous, on the generator's device.
        lowest: float32 ``[batch, unit]``, the lowest value of each map.
        highest: float32 ``[batch, unit]``, the highest one.
    """

    maps: Float32[Tensor, "batch unit h w"]
    lowest: Float32[Tensor, "batch unit"]
    highest: Float32[Tensor, "batch unit"]


@dataclass(frozen=True, slots=True, eq=False)
class ActivationBatch:
    """The activations of a block of samples.

    Args:
        samples: The samples' indices.
        activations: What each layer gives, by name.
    """

    samples: range
    activations: dict[str, Activation]


@dataclass(frozen=True, slots=True, eq=False)
class ImageBatch(ActivationBatch):
    """The activations and images of a block of samples.

    Args:
        images: ``[batch, 3, H, W]`` in [-1, 1], on the generator's device.
    """

    images: Float[Tensor, "batch 3 H W"]


@dataclass(frozen=True, slots=True, eq=False)
class LabeledBatch(ImageBatch):
    """The activations, images and labels of a block of samples.

    Args:
        labels: int64 ``[batch, channel, rows, columns]``, -1 where nothing is labeled, on the generator's device.
    """

    labels: Int64[Tensor, "batch channel rows columns"]


@dataclass(frozen=True, slots=True, eq=False)
class LayerSampler:
    """A generator's samples and the layers to look at.

    Args:
        generator: The generator.
        layers: Names of its layers, in its order.
        seed: Of the latent vectors.
        batch_size: Samples at once; blocks are aligned to multiples of it.
        progress: Show a progress bar, where there is a terminal to show it on.

    Raises:
        ValueError: If the latent vectors are not functions of the seed and their index.
    """

    generator: Generator
    layers: tuple[str, ...]
    seed: int
    batch_size: int
    progress: bool

    def __post_init__(self) -> None:
        check_sampling(self.generator, self.seed)

    def activations(self, samples: range, title: str) -> Iterator[ActivationBatch]:
        """Yield the samples' activations; nothing behind the last layer runs.

        Args:
            samples: Which.
            title: What the progress bar says.

        Raises:
            ValueError: If an activation has another shape than the layer or is not finite.
        """
        for block, z in self._latents(samples, title):
            yield ActivationBatch(block, self._check_activations(self._heads(z), block))

    def images(self, samples: range, title: str) -> Iterator[ImageBatch]:
        """Yield the samples' activations and images.

        Args:
            samples: Which.
            title: What the progress bar says.

        Raises:
            ValueError: If activations or images are not what the protocols promise.
        """
        for block, z in self._latents(samples, title):
            images, heads = self._forward(z)
            check_images(images, len(z), self.generator.image_size)
            check_pixels(images, block)
            yield ImageBatch(block, self._check_activations(heads, block), images.clamp(-1, 1))  # as they are seen

    def labeled_images(
        self, samples: range, segmenter: Segmenter, shape: tuple[int, int, int], title: str
    ) -> Iterator[LabeledBatch]:
        """Yield the samples' activations, images and labels.

        Args:
            samples: Which.
            segmenter: Labels the images.
            shape: Channels, rows and columns of a label map.
            title: What the progress bar says.

        Raises:
            ValueError: If activations, images or labels are not what the protocols promise.
        """
        num_concepts = len(segmenter.concepts)
        for batch in self.images(samples, title):
            images = batch.images
            labels = check_labels(segmenter(images), (len(images), *shape), num_concepts)
            yield LabeledBatch(batch.samples, batch.activations, images, labels.to(images.device))

    def label_shape(self, segmenter: Segmenter) -> tuple[int, int, int]:
        """Return channels, rows and columns of a segmenter's label map, from one sample.

        Raises:
            ValueError: If it gives none, or one of other proportions than the image's.
        """
        images = self.generator(self.generator.sample_z(1, self.seed, 0).to(self.generator.device))
        check_images(images, 1, self.generator.image_size)
        check_pixels(images, range(1))
        labels = segmenter(images.clamp(-1, 1))
        if not isinstance(labels, Tensor) or labels.ndim not in {3, 4}:
            raise ValueError(f"the segmenter should give int64 labels [batch, H, W]; got {describe(labels)}")
        channels, height, width = labels.shape[1:] if labels.ndim == 4 else (1, *labels.shape[1:])
        check_proportions((height, width), self.generator.image_size)
        return int(channels), int(height), int(width)

    def _latents(self, samples: range, title: str) -> Iterator[tuple[range, Float32[Tensor, "batch z"]]]:
        """Yield each block's indices and latent vectors."""
        yield from sample_blocks(self.generator, [samples], self.seed, self.batch_size, title, progress=self.progress)

    def _forward(self, z: Float32[Tensor, "batch z"]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the images and the layers' activations, from one pass where the generator is a module."""
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
        """The generator, if its layers are modules of it; otherwise its `head` is asked for each."""
        if not isinstance(self.generator, nn.Module):
            return None
        modules = {name for name, _ in self.generator.named_modules()}
        return self.generator if set(self.layers) <= modules else None

    def _check_activations(self, activations: dict[str, Tensor], samples: range) -> dict[str, Activation]:
        """Return float32 activations, each checked."""
        infos = self.generator.layers
        return {
            layer: check_activation(lookup(activations, layer, "layer"), layer, infos[layer], samples)
            for layer in self.layers
        }


def sample_blocks(
    generator: Generator, sets: Sequence[range], seed: int, batch_size: int, title: str, *, progress: bool
) -> Iterator[tuple[range, Float32[Tensor, "batch z"]]]:
    """Yield blocks of samples, their indices and latent vectors on the generator's device, with one progress bar.

    Args:
        generator: The generator that draws the latent vectors.
        sets: The samples' indices, in sets; no block holds samples of two. Blocks are aligned to multiples of
            ``batch_size``.
        seed: Seed of the latent vectors.
        batch_size: Samples at once, 1 or more.
        title: What the progress bar says.
        progress: Whether it is shown, if there is a terminal to show it on.

    Raises:
        ValueError: If there are too many samples.
    """
    num_samples = sum(samples.stop - samples.start for samples in sets)  # len() overflows where this does not
    check_num_samples(num_samples)
    with progress_bar(num_samples, title, show=progress) as bar:
        for samples in sets:
            for block in blocks(len(samples), batch_size, samples.start):
                yield block, generator.sample_z(len(block), seed, block.start).to(generator.device)
                bar.update(len(block))


def check_counts(num_samples: int, batch_size: int) -> None:
    """Check that there are samples enough for a standard error, and not more than can be drawn.

    Raises:
        ValueError: If there are fewer than 2, too many, or none at once.
    """
    if num_samples < 2 or batch_size < 1:
        raise ValueError(f"need 2 samples and 1 at once or more; got {num_samples} and {batch_size}")
    check_num_samples(num_samples)


def check_activation(activation: Tensor, layer: str, info: LayerInfo, samples: range) -> Activation:
    """Return a layer's activations as contiguous float32.

    Raises:
        ValueError: If they have another shape, or if one is not finite or too large, naming layer, unit and sample.
    """
    expected = (len(samples), info.units, info.height, info.width)
    if isinstance(activation, Tensor) and tuple(activation.shape) == expected[:2] and expected[2:] == (1, 1):
        activation = activation[:, :, None, None]  # hidden vectors are grids of one cell
    if not isinstance(activation, Tensor) or tuple(activation.shape) != expected:
        actual = list(activation.shape) if isinstance(activation, Tensor) else type(activation).__name__
        raise ValueError(f"layer {layer!r} should give activations {list(expected)} [batch, unit, h, w]; got {actual}")
    maps = activation.float().contiguous()
    lowest, highest = maps.flatten(2).amin(2), maps.flatten(2).amax(2)
    fits = torch.maximum(highest, -lowest) < MAX_ACTIVATION  # not so for NaN
    if not bool(fits.all()):
        row, unit = (int(index) for index in (~fits).nonzero()[0])
        finite = bool(torch.isfinite(maps[row, unit]).all())
        problem = "activation too large to interpolate" if finite else "NaN or infinite activation"
        raise ValueError(f"layer {layer!r}, unit {unit}: {problem} in sample {samples[row]}")
    return Activation(maps, lowest, highest)
