"""The residual translator of CycleGAN: a strided encoder, residual blocks at a quarter of the size, and a decoder.

``picture [c, size, size] -> encoder1 [w, size, ..] -> encoder2 [2w, size/2, ..] -> encoder3 [4w, size/4, ..]``
``-> block1 -> ... -> blockN [4w, size/4, ..] -> decoder1 [2w, size/2, ..] -> decoder2 [w, size, ..] -> output``

In the paper's notation: c7s1-w, d2w, d4w, N times R4w, u2w, uw, c7s1-3.

Source: Zhu et al. 2017, arXiv 1703.10593, Sec. 4 and 7.2; Johnson et al. 2016, arXiv 1603.08155 (the architecture).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from .translator import Norm, Translator, initialize, make_norm

Upsampling = Literal["transposed", "nearest"]
"""How the decoder doubles its grid: a transposed convolution, or nearest neighbors before a convolution."""


class ResNetTranslator(Translator):
    """The generator of CycleGAN.

    Args:
        size: Height and width of the pictures that it is made for, a multiple of 4; others are translated too.
        width: Number of units in the first layer.
        blocks: Number of residual blocks, at least 1; the paper has 6 at 128 px and 9 at 256 px.
        norm: ``instance`` (the paper's), ``affine-instance`` or ``batch``.
        upsampling: ``transposed`` (the paper's), or ``nearest``, which leaves no checkerboard.
        input_channels: Channels of an input picture.
        input_concepts: Names of the concepts of label maps, if the network takes these instead of pictures.

    Raises:
        ValueError: If a number is out of range.

    Source: Zhu et al. 2017, Sec. 7.2.
    """

    architecture = "resnet-translator"

    def __init__(
        self,
        size: int = 256,
        width: int = 64,
        blocks: int = 9,
        norm: Norm = "instance",
        upsampling: Upsampling = "transposed",
        input_channels: int = 3,
        input_concepts: Sequence[str] | None = None,
    ) -> None:
        if min(width, blocks) < 1 or upsampling not in ("transposed", "nearest"):
            raise ValueError(
                "width and blocks must be at least 1, and upsampling transposed or nearest; "
                f"got {width}, {blocks} and {upsampling!r}"
            )
        settings = {"width": width, "blocks": blocks, "norm": norm, "upsampling": upsampling}
        super().__init__(size, 4, 8, input_channels, input_concepts, settings)
        self.encoder1 = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(self.num_planes, width, 7, bias=False), make_norm(norm, width), nn.ReLU()
        )
        for number, units in enumerate((2 * width, 4 * width), start=2):
            down = nn.Conv2d(units // 2, units, 3, 2, 1, bias=False)
            self.add_module(f"encoder{number}", nn.Sequential(down, make_norm(norm, units), nn.ReLU()))
        for number in range(1, blocks + 1):
            self.add_module(f"block{number}", ResidualBlock(4 * width, norm))
        for number, units in enumerate((2 * width, width), start=1):
            up = _double(2 * units, units, upsampling)
            self.add_module(f"decoder{number}", nn.Sequential(up, make_norm(norm, units), nn.ReLU()))
        self.output = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())
        self.apply(initialize)


class ResidualBlock(nn.Module):
    """A residual block: two convolutions with reflection padding, whose output is added to their input.

    Args:
        units: Number of units.
        norm: Normalization after each convolution.

    Source: Johnson et al. 2016, supplementary material.
    """

    def __init__(self, units: int, norm: Norm) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(units, units, 3, bias=False),
            make_norm(norm, units),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(units, units, 3, bias=False),
            make_norm(norm, units),
        )

    def forward(self, x: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch unit h w"]:
        """Return the block's output."""
        changed: Tensor = self.change(x)
        return x + changed


def _double(before: int, after: int, upsampling: Upsampling) -> nn.Module:
    if upsampling == "transposed":
        return nn.ConvTranspose2d(before, after, 3, 2, 1, 1, bias=False)
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, 1, 1, bias=False))
