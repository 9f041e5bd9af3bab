"""Protocols of generators and segmenters: all that the method requires of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from torch import Tensor, nn

from .types import Concept, LayerInfo, check_concepts


@runtime_checkable
class Generator(Protocol):
    """A GAN generator with named layers.

    It is always in eval mode: each ``z`` makes one image, which does not depend on the rest of the batch.
    """

    @property
    def name(self) -> str:
        """Name for reports, e.g. ``dcgan-scenes64``."""

    @property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of architecture and weights."""

    @property
    def layers(self) -> Mapping[str, LayerInfo]:
        """Layers by name, in order from input to output."""

    @property
    def z_dim(self) -> int:
        """Length of a latent vector."""

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of an image."""

    @property
    def device(self) -> torch.device:
        """Device that the generator computes on."""

    def sample_z(self, num_samples: int, seed: int = 0, start: int = 0) -> Float32[Tensor, "batch z"]:
        """Return float32 ``[num_samples, z_dim]`` on CPU; row ``i`` depends only on ``(seed, start + i)``."""

    def __call__(self, z: Float[Tensor, "batch z"]) -> Float[Tensor, "batch 3 H W"]:
        """Return the images of ``z``, float32 ``[batch, 3, H, W]``, nominally in [-1, 1]."""

    def head(self, z: Float[Tensor, "batch z"], layer: str) -> Float[Tensor, "batch unit h w"]:
        """Return the activations of a layer, ``[batch, unit, h, w]``."""

    def tail(
        self, activation: Float[Tensor, "batch unit h w"], layer: str, z: Float[Tensor, "batch z"]
    ) -> Float[Tensor, "batch 3 H W"]:
        """Return the images that a layer's activations produce; ``tail(head(z))`` equals ``G(z)`` bit for bit."""


@runtime_checkable
class ConditionalGenerator(Generator, Protocol):
    """A generator whose images belong to classes: a row is noise, or a picture, and after it the class, one-hot."""

    @property
    def noise_dim(self) -> int:
        """Length of the noise at the beginning of a row."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of all classes."""

    @property
    def drawn(self) -> tuple[str, ...]:
        """Names of the classes that ``sample_z`` draws from."""

    def of_classes(self, *classes: str | int) -> ConditionalGenerator:
        """Return a generator with the same weights, whose ``sample_z`` draws from some classes only."""


@runtime_checkable
class CaptionedGenerator(Generator, Protocol):
    """A generator whose images are described by captions: a row is noise and, after it, an embedded caption."""

    @property
    def noise_dim(self) -> int:
        """Length of the noise at the beginning of a row; the rest is the embedding of a caption."""

    @property
    def captions(self) -> tuple[str, ...]:
        """Captions that ``sample_z`` draws from."""

    @property
    def is_described(self) -> bool:
        """Whether `of_captions` chose the captions."""

    def of_captions(self, *captions: str) -> CaptionedGenerator:
        """Return a generator with the same weights, whose ``sample_z`` draws from some captions only."""


@runtime_checkable
class Translator(Protocol):
    """A network that translates pictures into pictures; put on pictures, it is a `Generator`."""

    @property
    def name(self) -> str:
        """Name for reports."""

    @property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of architecture and weights."""

    def on(self, pictures: PictureSource | Tensor) -> Translation:
        """Return a generator with the same weights, whose row ``i`` stands for picture ``i``.

        Args:
            pictures: A source of pictures; or uint8 ``[picture, 3, H, W]``; or float ``[picture, channel, H, W]``,
                which the network takes as they are.
        """


@runtime_checkable
class Translation(Generator, Protocol):
    """A translator on pictures: a row is noise, if the translator takes any, a picture, and a class, if it has any.

    Row ``i`` of ``sample_z`` stands for picture ``i``, whatever the seed, which draws the noise only.
    """

    @property
    def noise_dim(self) -> int:
        """Length of the noise at the beginning of a row."""

    @property
    def pictures(self) -> Sized:
        """The pictures, as many as there are rows."""

    def on(self, pictures: PictureSource | Tensor) -> Translation:
        """Return the translator on other pictures."""


@runtime_checkable
class LabeledInputs(Sized, Protocol):
    """The pictures of a translation, where their true labels are known."""

    @property
    def concepts(self) -> tuple[str, ...]:
        """Names of the concepts that the labels index; none where the pictures have no labels."""

    def labels(self, indices: Sequence[int]) -> Int64[Tensor, "batch H W"]:
        """Return label maps, int64 ``[batch, H, W]``; -1 where a pixel has no concept.

        Args:
            indices: Indices of the pictures, each from 0 to ``len(self) - 1``, at least one.
        """


@runtime_checkable
class Segmenter(Protocol):
    """A network that assigns concepts to the pixels of an image."""

    @property
    def name(self) -> str:
        """Name for reports, e.g. ``unet-scenes``."""

    @property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of architecture and weights."""

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """Concepts that it can label; ``concepts[i].index == i``."""

    def __call__(self, images: Float[Tensor, "batch 3 H W"]) -> Int64[Tensor, "batch *channel rows columns"]:
        """Label images, float ``[batch, 3, H, W]`` in [-1, 1].

        Returns:
            int64 ``[batch, H, W]``, -1 where a pixel has no concept; ``[batch, channel, H, W]`` if a pixel may belong
                to several concepts.
        """


class PictureBatch(Protocol):
    """A batch of real pictures from a `PictureSource`."""

    @property
    def images(self) -> UInt8[Tensor, "batch 3 H W"]:
        """RGB pixels, uint8 ``[batch, 3, H, W]``."""


@runtime_checkable
class PictureSource(Protocol):
    """Square real pictures of one size, by index; every dataset of ``segmenters`` is a source."""

    @property
    def name(self) -> str:
        """Name for reports."""

    @property
    def size(self) -> int:
        """Height and width of every picture in pixels."""

    def __len__(self) -> int:
        """Return the number of pictures."""

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> PictureBatch:
        """Return pictures by index.

        Args:
            indices: Indices of the pictures, each from 0 to ``len(self) - 1``.
            rng: Source of random crops and flips, for training; without it the pictures depend only on their indices.
        """


class ClassedSource(PictureSource, Protocol):
    """Real pictures, each of which belongs to one class."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; none where the pictures have no classes."""

    @property
    def class_indices(self) -> Int64[Tensor, " picture"]:
        """Index of every picture's class, int64, on the CPU."""


class CaptionedSource(PictureSource, Protocol):
    """Real pictures with several captions each."""

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """All words of captions, in lower case; none where the pictures have no captions."""

    @property
    def num_captions(self) -> int:
        """Number of captions of each picture."""

    def captions(self, indices: Sequence[int], numbers: Sequence[int]) -> tuple[str, ...]:
        """Return a caption of each of some pictures.

        Args:
            indices: Indices of the pictures.
            numbers: Number of each picture's caption, from 0 to ``num_captions - 1``.
        """

    def fits(self, indices: Sequence[int], numbers: Sequence[int]) -> Bool[Tensor, "picture caption"]:
        """Return whether each caption that `captions` returns is true of each of the pictures."""


def as_captioned_source(source: PictureSource) -> CaptionedSource | None:
    """Return a source whose pictures have captions, or None if they have none."""
    return cast(CaptionedSource, source) if getattr(source, "vocabulary", ()) else None


class PairedSource(PictureSource, Protocol):
    """Real pictures, the targets, each with an input that belongs to it."""

    @property
    def inputs(self) -> PictureSource:
        """Source of the inputs; input i belongs to picture i."""

    @property
    def label_maps(self) -> bool:
        """Whether the inputs are the label maps of their source rather than its pictures."""


def as_classed(source: PictureSource) -> ClassedSource | None:
    """Return a source whose pictures have classes, or None if they have none."""
    return cast(ClassedSource, source) if getattr(source, "classes", ()) else None


def as_paired(source: PictureSource) -> PairedSource | None:
    """Return a source whose pictures have inputs that belong to them, or None if they have none."""
    return cast(PairedSource, source) if getattr(source, "inputs", None) is not None else None


def as_conditional(generator: Generator) -> ConditionalGenerator | None:
    """Return a generator whose images belong to classes, or None if they do not."""
    return cast(ConditionalGenerator, generator) if getattr(generator, "classes", ()) else None


def as_captioned(generator: Generator) -> CaptionedGenerator | None:
    """Return a generator whose images are described by captions, or None if they are not."""
    return cast(CaptionedGenerator, generator) if getattr(generator, "captions", ()) else None


def as_translation(generator: Generator) -> Translation | None:
    """Return a generator whose rows are pictures, or None if they are not."""
    is_on_pictures = isinstance(getattr(generator, "pictures", None), Sized) and hasattr(generator, "on")
    return cast(Translation, generator) if is_on_pictures else None


def may_flip(source: PictureSource) -> bool:
    """Return whether a mirrored picture of a source is still one of its kind, as a mirrored digit is not."""
    return getattr(source, "may_flip", True)


def check_protocols(generator: Generator, segmenter: Segmenter) -> None:
    """Check that a generator and a segmenter implement their protocols.

    Raises:
        TypeError: If members are missing; the message lists them.
        ValueError: If the generator is in training mode, or the segmenter's concepts are not valid.
    """
    check_generator(generator)
    _check_members(segmenter, Segmenter)
    check_concepts(segmenter.concepts)


def check_generator(generator: Generator) -> None:
    """Check that a generator implements its protocol.

    Raises:
        TypeError: If members are missing; the message lists them.
        ValueError: If the generator is in training mode.
    """
    _check_members(generator, Generator)
    check_mode(generator)


def _check_members(thing: object, protocol: type) -> None:
    """Raise TypeError if an object lacks members of a protocol."""
    required = [name for name in vars(protocol) if not name.startswith("_")] + ["__call__"]
    missing = [name for name in required if not hasattr(thing, name)]
    if missing:
        kind = protocol.__name__
        raise TypeError(f"{type(thing).__name__} is not a {kind}: it lacks {', '.join(missing)}; see gandissect.{kind}")


def check_mode(generator: Generator) -> None:
    """Check that no batch normalization or dropout of a generator is in training mode.

    There, images depend on each other or on chance, and running the generator changes it.

    Raises:
        ValueError: If one is in training mode.
    """
    modules = generator.modules() if isinstance(generator, nn.Module) else ()
    varying = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    if any(module.training and isinstance(module, varying) for module in modules):
        raise ValueError(
            f"{generator.name} is in training mode, so its images depend on each other; call .eval() first"
        )


Features = Callable[[Float[Tensor, "batch 3 H W"]], Float[Tensor, "batch feature"]]
"""Function from images ``[batch, 3, H, W]`` in [-1, 1] to features ``[batch, d]``."""
