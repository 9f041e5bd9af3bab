"""The discriminator of pix2pix and CycleGAN: a logit for each patch of the picture.

``picture [c, H, W] -> logits [1, h, w]``; each logit sees a square of 16, 34 or 70 pixels with 1, 2 or 3 halvings.

Source: Isola et al. 2017, arXiv 1611.07004, Sec. 3.2.2 and 6.1.2.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from gandissect.core.defaults import float32_factories

from .translator import Norm, initialize, make_norm

MAX_MULTIPLE = 8
"""Largest number of units, as a multiple of the first layer's."""


class PatchDiscriminator(nn.Module):
    """The PatchGAN discriminator.

    Args:
        channels: Channels of its input: those of the picture and, if it judges pairs, of the input that belongs to it.
        width: Number of units in the first layer, doubled from layer to layer up to eight times as many.
        halvings: Number of strided convolutions, at least 1; 3 have a receptive field of 70 pixels.
        norm: Normalization after each convolution except the first and last.

    Raises:
        ValueError: If a number is below 1.

    Source: Isola et al. 2017, Sec. 6.1.2.
    """

    @float32_factories()
    def __init__(self, channels: int = 3, width: int = 64, halvings: int = 3, norm: Norm = "instance") -> None:
        super().__init__()
        if min(channels, width, halvings) < 1:
            raise ValueError(f"channels, width and halvings must be at least 1; got {channels}, {width} and {halvings}")
        stages: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        before = width
        for number in range(1, halvings + 1):
            after, stride = min(2**number, MAX_MULTIPLE) * width, 1 if number == halvings else 2
            stages += [nn.Conv2d(before, after, 4, stride, 1, bias=False), make_norm(norm, after), nn.LeakyReLU(0.2)]
            before = after
        self.stages = nn.Sequential(*stages, nn.Conv2d(before, 1, 4, 1, 1))
        self.apply(initialize)

    def forward(self, pictures: Float[Tensor, "batch channel H W"]) -> Float[Tensor, "batch 1 h w"]:
        """Return logits, positive for patches that look real.

        Args:
            pictures: float ``[batch, channels, H, W]``; a pair's input and picture are concatenated along the channels.
        """
        logits: Tensor = self.stages(pictures)
        return logits
