"""What the method needs of a generator and of a segmenter; nothing else is assumed of either."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor, nn

from .types import Concept, LayerInfo, check_concepts


@runtime_checkable
class Generator(Protocol):
    """A GAN's generator whose layers have names.

    It is always in eval mode: one image never depends on its batch mates, and one ``z`` is one image.
    """

    @property
    def name(self) -> str:
        """What to call it in a report, e.g. ``dcgan-scenes64``."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of architecture and weights, hexadecimal."""

    @property
    def layers(self) -> Mapping[str, LayerInfo]:
        """The layers in order from input to output."""

    @property
    def z_dim(self) -> int:
        """Length of a latent vector."""

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of an image."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    def sample_z(self, num_samples: int, seed: int = 0, start: int = 0) -> Float32[Tensor, "batch z"]:
        """Return float32 ``[num_samples, z_dim]`` on CPU; row ``i`` depends on ``(seed, start + i)`` only."""

    def __call__(self, z: Float[Tensor, "batch z"]) -> Float[Tensor, "batch 3 H W"]:
        """Return the images of ``z``, float32 ``[batch, 3, H, W]``, nominally in [-1, 1]."""

    def head(self, z: Float[Tensor, "batch z"], layer: str) -> Float[Tensor, "batch unit h w"]:
        """Return the activations of a layer, ``[batch, unit, h, w]``."""

    def tail(
        self, activation: Float[Tensor, "batch unit h w"], layer: str, z: Float[Tensor, "batch z"]
    ) -> Float[Tensor, "batch 3 H W"]:
        """Return the images that a layer's activations lead to; ``tail(head(z))`` is ``G(z)`` bit for bit."""


@runtime_checkable
class Segmenter(Protocol):
    """A network that names what each pixel of an image belongs to."""

    @property
    def name(self) -> str:
        """What to call it in a report, e.g. ``unet-scenes``."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of architecture and weights, hexadecimal."""

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """What it can name; ``concepts[i].index == i``."""

    def __call__(self, images: Float[Tensor, "batch 3 H W"]) -> Int64[Tensor, "batch *channel rows columns"]:
        """Label images, float ``[batch, 3, H, W]`` in [-1, 1].

        Returns:
            int64 ``[batch, H, W]``, -1 where nothing is named; or, where a pixel may belong to several concepts,
            ``[batch, channel, H, W]``.
        """


class PictureBatch(Protocol):
    """Real pictures as a `PictureSource` gives them."""

    @property
    def images(self) -> UInt8[Tensor, "batch 3 H W"]:
        """uint8 ``[batch, 3, H, W]``, red green blue."""


@runtime_checkable
class PictureSource(Protocol):
    """Real pictures by index, square and of one size; every dataset of ``segmenters`` is one."""

    @property
    def name(self) -> str:
        """What to call them in a report."""

    @property
    def size(self) -> int:
        """Height and width of every picture in pixels."""

    def __len__(self) -> int:
        """How many there are."""

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> PictureBatch:
        """Return the pictures of some indices.

        Args:
            indices: Which pictures, each from 0 to ``len(self) - 1``.
            rng: Where random crops and flips are drawn from, as for training; without it the pictures depend on their
                indices alone.
        """


def check_protocols(generator: Generator, segmenter: Segmenter) -> None:
    """Refuse a generator or a segmenter that lacks something of its protocol.

    Raises:
        TypeError: Naming what is missing.
        ValueError: If the generator is in training mode, or the concepts are none.
    """
    check_generator(generator)
    _check_members(segmenter, Segmenter)
    check_concepts(segmenter.concepts)


def check_generator(generator: Generator) -> None:
    """Refuse a generator that lacks something of its protocol.

    Raises:
        TypeError: Naming what is missing.
        ValueError: If it is in training mode.
    """
    _check_members(generator, Generator)
    check_mode(generator)


def _check_members(thing: object, protocol: type) -> None:
    """Raise TypeError if something of a protocol is missing."""
    required = [name for name in vars(protocol) if not name.startswith("_")] + ["__call__"]
    missing = [name for name in required if not hasattr(thing, name)]
    if missing:
        kind = protocol.__name__
        raise TypeError(f"{type(thing).__name__} is no {kind}: it lacks {', '.join(missing)}; see gandissect.{kind}")


def check_mode(generator: Generator) -> None:
    """Refuse a generator whose images would depend on each other, or on chance, and which running would change.

    Raises:
        ValueError: If it has batch normalization or dropout in training mode.
    """
    modules = generator.modules() if isinstance(generator, nn.Module) else ()
    varying = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    if any(module.training and isinstance(module, varying) for module in modules):
        raise ValueError(f"{generator.name} is in training mode, where images depend on each other; call .eval() first")


Features = Callable[[Float[Tensor, "batch 3 H W"]], Float[Tensor, "batch feature"]]
"""From images ``[batch, 3, H, W]`` in [-1, 1] to features ``[batch, d]``."""
