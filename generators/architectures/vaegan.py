"""The discriminator of a VAE-GAN, whose hidden layer measures how alike two images are.

Source: Larsen et al. 2016, arXiv 1512.09300, Sec. 2.3.
"""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from .dcgan import DCGANDiscriminator


class Judgment(NamedTuple):
    """What a discriminator returns for images.

    Attributes:
        logits: Logits, float ``[batch]``, positive for images that look real.
        features: Activations of a hidden layer, float ``[batch, unit, h, w]``.
    """

    logits: Float[Tensor, " batch"]
    features: Float[Tensor, "batch unit h w"]


class FeatureDiscriminator(nn.Module):
    """DCGAN's discriminator that also returns the activations of its last hidden layer but one.

    Args:
        size: Height and width of an image: 16, 32, 64, 128 or 256.
        width: Number of units in the first layer, doubled from layer to layer.

    Source: Larsen et al. 2016, Sec. 2.3; Radford et al. 2016, Sec. 3.
    """

    def __init__(self, size: int = 64, width: int = 32) -> None:
        super().__init__()
        stages = DCGANDiscriminator(size, width).stages
        ends = [index + 1 for index, stage in enumerate(stages) if isinstance(stage, nn.LeakyReLU)]
        self.lower, self.upper = stages[: ends[-2]], stages[ends[-2] :]

    def forward(self, images: Float[Tensor, "batch 3 H W"]) -> Judgment:
        """Return logits and features."""
        features = self.lower(images)
        logits: Tensor = self.upper(features)
        return Judgment(logits.float().flatten(1).squeeze(1), features.float())
