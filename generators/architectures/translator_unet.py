"""The U-Net translator of pix2pix: an encoder, and a decoder whose layers also take the encoder's layer of their grid.

``picture [c, size, size] -> encoder1 [w, size/2, ..] -> ... -> encoderN [8w, 1, 1]``
``-> decoder1 [8w, 2, 2] -> decoder2 [8w, 4, 4] -> ... -> decoder(N-1) [w, size/2, ..] -> output [3, size, size]``

``decoder(k+1)`` takes ``[encoder(N-k), decoder(k)]``, and ``output`` takes ``[encoder1, decoder(N-1)]``. An edited
layer of the encoder reaches the decoder along both ways: through the next layer, and through its skip connection.

Source: Isola et al. 2017, arXiv 1611.07004, Sec. 3.2.1 and 6.1.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import relu

from .generator_base import Latent
from .translator import Norm, Translator, initialize, make_norm

Skips = dict[int, Tensor]
"""Activations of the encoder's layers, by the position of the stage."""
DROPPED = 3
"""Number of layers at the beginning of the decoder that have dropout in training."""
MAX_MULTIPLE, MAX_DEPTH = 8, 12
"""Largest number of units, as a multiple of the first layer's; largest number of halvings."""


class UNetTranslator(Translator):
    """The generator of pix2pix.

    Args:
        size: Height and width of the pictures that it is made for.
        width: Number of units in the first layer, doubled from layer to layer up to eight times as many.
        depth: Number of halvings, at least 2; by default to a grid of one cell, for which the size is a power of 2.
        norm: ``batch``, with running statistics; ``affine-instance``, of each image alone, as batch norm is in the
            paper's tests, whose batches are single images; or ``instance``, the same without scale and offset.
        dropout: Whether the first three layers of the decoder have dropout in training; there is none in eval mode.
        input_channels: Channels of an input picture.
        input_concepts: Names of the concepts of label maps, if the network takes these instead of pictures.

    Raises:
        ValueError: If a number is out of range, or the size is not a multiple of ``2 ** depth``.

    Source: Isola et al. 2017, Sec. 6.1.1.
    """

    architecture = "unet-translator"

    def __init__(
        self,
        size: int = 256,
        width: int = 64,
        depth: int | None = None,
        norm: Norm = "batch",
        dropout: bool = True,
        input_channels: int = 3,
        input_concepts: Sequence[str] | None = None,
    ) -> None:
        depth = size.bit_length() - 1 if depth is None else depth
        if not 2 <= depth <= MAX_DEPTH or width < 1:
            raise ValueError(f"depth must be 2 to {MAX_DEPTH} and width at least 1; got {depth} and {width}")
        settings = {"width": width, "depth": depth, "norm": norm, "dropout": dropout}
        super().__init__(size, 2**depth, 2**depth, input_channels, input_concepts, settings)
        self.depth = depth
        units = [min(2**level, MAX_MULTIPLE) * width for level in range(depth)]
        self.encoder1 = nn.Sequential(_halve(self.num_planes, width), nn.LeakyReLU(0.2))
        for number, (before, after) in enumerate(pairwise(units[:-1]), start=2):
            down = _halve(before, after, bias=False)
            self.add_module(f"encoder{number}", nn.Sequential(down, make_norm(norm, after), nn.LeakyReLU(0.2)))
        self.add_module(f"encoder{depth}", nn.Sequential(_halve(units[-2], units[-1]), nn.ReLU()))
        inputs = [units[-1], *(2 * number for number in units[-2::-1])]
        for number, (before, after) in enumerate(zip(inputs, units[-2::-1], strict=False), start=1):
            drop = [nn.Dropout(0.5)] if dropout and number <= DROPPED else []
            up = [_double(before, after, bias=False), make_norm(norm, after), *drop, nn.ReLU()]
            self.add_module(f"decoder{number}", nn.Sequential(*up))
        self.output = nn.Sequential(_double(inputs[-1], 3), nn.Tanh())
        self.apply(initialize)

    def context(self, z: Latent) -> Skips:  # noqa: ARG002
        """Return no skips; the encoder's layers add theirs as they run."""
        return {}

    def context_after(self, z: Latent, position: int) -> Skips:
        """Return the skips of the encoder's layers before ``position``."""
        skips, last = self.context(z), min(position, self.depth - 1)
        if last:
            skips[last - 1] = self.run(self.input(z), skips, 0, last)
        return skips

    def stage(
        self, index: int, x: Float[Tensor, "batch before _ _"], context: Skips
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the output of a stage, and keep the encoder's activations for the decoder."""
        if 0 < index < self.depth:
            context[index - 1] = x  # as edited
        elif index > self.depth:
            x = torch.cat([relu(context[2 * self.depth - 1 - index]), x], dim=1)
        return super().stage(index, x, context)


def _halve(before: int, after: int, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(before, after, 4, 2, 1, bias=bias)


def _double(before: int, after: int, bias: bool = True) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(before, after, 4, 2, 1, bias=bias)
