"""Base class of translators, which turn pictures into pictures.

A row of a translator is a picture, ``[channel * H * W]``, or a label map, ``[H * W]``, flattened. `Translator.on` puts
a translator on pictures: row ``i`` of `sample_z` is then picture ``i``. So all that takes rows of a generator works for
translators unchanged, and `head` and `tail` split them like any chain of stages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from math import prod
from typing import Any, Literal, Self

import torch
from jaxtyping import Float, Float32, Shaped
from torch import Tensor, nn

from gandissect.core.lookup import check_choice
from gandissect.core.network_id import join_fingerprint
from gandissect.core.sampling import check_seed

from .base import LayeredGenerator
from .generator_base import Latent
from .input_pictures import InputPictures, Pictures, as_maps

Norm = Literal["instance", "affine-instance", "batch"]
"""Normalization: of each image alone, without or with a learned scale and offset, or with running statistics."""


class Translator(LayeredGenerator):
    """A chain of stages from pictures to pictures.

    Args:
        size: Height and width of the pictures that it is made for; others of a fitting size are translated too.
        step: Number that divides the height and width of pictures.
        least: Smallest height and width of pictures.
        input_channels: Channels of an input picture, at least 1.
        input_concepts: Names of the concepts of label maps, if the network takes these instead of pictures, each
            concept as one plane of zeros and ones; pixels without a concept are 0 in all planes.
        settings: Keyword arguments that reproduce the architecture apart from these, JSON values.

    Attributes:
        pictures: Pictures that the translator is on, or None.
        input_shape: Channels, height and width of a row.

    Raises:
        ValueError: If the size does not fit, a number is below 1, or names of concepts repeat.
    """

    pictures: InputPictures | None = None

    def __init__(
        self,
        size: int,
        step: int,
        least: int,
        input_channels: int,
        input_concepts: Sequence[str] | None,
        settings: Mapping[str, Any],
    ) -> None:
        names = self.input_concepts = tuple(input_concepts or ())
        if input_channels < 1 or len(set(names)) < len(names):
            raise ValueError(
                f"input_channels must be at least 1, and input_concepts distinct; got {input_channels} and "
                f"{', '.join(names) or 'no concepts'}"
            )
        inputs = {"input_concepts": list(names)} if names else {"input_channels": input_channels}
        self.input_shape = (1 if names else input_channels, size, size)
        self.step, self.least = step, least
        self._check_sides(size, size)
        super().__init__(self._row_length, {"size": size, **inputs, **settings})

    @property
    def _row_length(self) -> int:
        return prod(self.input_shape) + len(self.classes)

    @property
    def num_planes(self) -> int:
        """Number of channels that the first convolution takes."""
        return len(self.input_concepts) or self.input_shape[0]

    @property
    def noise_dim(self) -> int:
        """Length of the noise in a row: a translator takes none."""
        return 0

    @property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of architecture, settings and weights; then of the pictures that it is on."""
        whole = super().fingerprint
        return whole if self.pictures is None else join_fingerprint(whole, self.pictures.fingerprint)

    def on(self, pictures: Pictures) -> Self:
        """Return a generator with the same weights, whose row ``i`` is picture ``i``.

        Its name and its fingerprint state the pictures: a dissection on some pictures is not one on others.

        Args:
            pictures: A source of pictures, or of pairs whose inputs are translated; uint8 ``[picture, 3, H, W]``; or
                float ``[picture, channel, H, W]``, which the network takes as they are. For a translator of label
                maps, a source with its concepts, or int64 ``[picture, H, W]``, -1 where a pixel has no concept.

        Raises:
            TypeError: If the pictures are neither a source nor a tensor of the required dtype.
            ValueError: If there are no pictures, or their shape does not fit the network.

        Examples:
            >>> import torch
            >>> from generators.architectures.translator_resnet import ResNetTranslator
            >>> T = ResNetTranslator(size=16, width=4, blocks=1).eval()
            >>> G = T.on(torch.zeros(5, 3, 16, 16, dtype=torch.uint8))
            >>> G.name, G(G.sample_z(2)).shape
            ('resnet-translator on 5 pictures', torch.Size([2, 3, 16, 16]))
        """
        inputs = InputPictures(pictures, self.input_concepts)
        channels, height, width = inputs.shape
        if channels != self.input_shape[0]:
            raise ValueError(f"{self.name} takes pictures with {self.input_shape[0]} channels; got {channels}")
        self._check_sides(height, width)
        placed = copy(self)  # shares the weights
        vars(placed).pop("_shapes", None)  # of the other size
        before = "" if self.pictures is None else _describe(self.pictures)
        placed.name = self.name.replace(before, "", 1) + _describe(inputs)
        placed.pictures, placed.input_shape = inputs, inputs.shape
        placed.z_dim = placed._row_length
        return placed

    def sample_z(self, num_samples: int, seed: int = 0, start: int = 0) -> Float32[Tensor, "batch z"]:
        """Return the rows of consecutive pictures, whatever the seed.

        Args:
            num_samples: Number of rows, at least 0.
            seed: Any integer; nothing is drawn.
            start: Index of the first picture.

        Returns:
            float32 ``[num_samples, z_dim]`` on CPU.

        Raises:
            ValueError: If the translator is not on pictures, or there are fewer.
        """
        check_seed(seed)
        if self.pictures is None:
            raise ValueError(
                f"{self.name} translates pictures; put it on some, {type(self).__name__}.on(pictures) (--inputs)"
            )
        return self.pictures.rows(num_samples, start)

    def draw_rows(self, num_rows: int, rng: torch.Generator) -> Float[Tensor, "batch z"]:
        """Draw rows of independent pixels: uniform in [-1, 1], or uniform labels.

        Args:
            num_rows: Number of rows.
            rng: Source of randomness, on the CPU.
        """
        shape = (num_rows, prod(self.input_shape))
        if self.input_concepts:
            return torch.randint(len(self.input_concepts), shape, generator=rng, device="cpu").float()
        return torch.rand(shape, generator=rng, dtype=torch.float32, device="cpu") * 2 - 1

    def to_rows(self, pictures: Shaped[Tensor, "batch *channel H W"]) -> Float32[Tensor, "batch z"]:
        """Return pictures as rows, on their device.

        Args:
            pictures: uint8 ``[batch, 3, H, W]``; float ``[batch, channel, H, W]``, taken as they are; or label maps,
                int64 ``[batch, H, W]``.
        """
        return as_maps(pictures).flatten(1)

    def input(self, z: Latent) -> Float[Tensor, "batch plane H W"]:
        """Return the pictures of rows, or the planes of label maps."""
        maps = z[:, : prod(self.input_shape)].reshape(len(z), *self.input_shape)
        if not self.input_concepts:
            return maps
        indices = torch.arange(len(self.input_concepts), dtype=maps.dtype, device=maps.device)
        return (maps == indices[:, None, None]).to(maps)

    def _check_sides(self, height: int, width: int) -> None:
        if min(height, width) < self.least or height % self.step or width % self.step:
            raise ValueError(
                f"height and width of pictures must be multiples of {self.step}, at least {self.least}; "
                f"got {height} x {width}"
            )


def make_norm(norm: Norm, units: int) -> nn.Module:
    """Return a normalization of a convolution's output.

    Raises:
        ValueError: If there is no such norm.
    """
    check_choice(norm, Norm, "norm")
    return nn.BatchNorm2d(units) if norm == "batch" else nn.InstanceNorm2d(units, affine=norm == "affine-instance")


@torch.no_grad()
def initialize(module: nn.Module) -> None:
    """Draw weights from N(0, 0.02), scales of norms from N(1, 0.02), as both papers do; biases are 0."""
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    if isinstance(weight, Tensor) and not weight.is_meta:
        nn.init.normal_(weight, 0.0 if weight.ndim == 4 else 1.0, 0.02)
        if isinstance(bias, Tensor):
            nn.init.zeros_(bias)


def _describe(pictures: InputPictures) -> str:
    return f" on {pictures.name}"
