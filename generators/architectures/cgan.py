"""Conditional GAN: a DCGAN whose generator and discriminator also take the class.

``[z ; one-hot class] -> layer1 [c, 4, 4] -> layer2 [c/2, 8, 8] -> ... -> output [3, size, size]``

The generator takes the class beside the noise. The discriminator takes it beside the image: one plane per class, which
is 1 everywhere for the image's class and 0 for all others.

Source: Mirza and Osindero 2014, arXiv 1411.1784, Sec. 3.2; Radford et al. 2016, arXiv 1511.06434 (the layers).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from gandissect.core.defaults import float32_factories

from .conditional import ConditionalGenerator
from .dcgan import DCGANDiscriminator, add_stages, first_map


class ConditionalDCGAN(ConditionalGenerator):
    """The generator of a conditional DCGAN.

    Args:
        size: Height and width of an image: 16, 32, 64, 128 or 256.
        width: Number of units in the last layer; each earlier layer has twice as many as the next.
        noise_dim: Length of the noise.
        classes: Names of the classes.
        gray: Make one channel and repeat it.
        drawn: Names of the classes that `sample_z` draws from; all by default.

    Raises:
        KeyError: If a drawn class is unknown.
        ValueError: If a number is out of range, or the classes are not distinct names.

    Source: Mirza and Osindero 2014, Sec. 3.2.
    """

    architecture = "cgan"

    def __init__(
        self,
        size: int = 32,
        width: int = 64,
        noise_dim: int = 64,
        classes: Sequence[str] = ("0", "1"),
        gray: bool = False,
        drawn: Sequence[str] | None = None,
    ) -> None:
        super().__init__(noise_dim, classes, drawn, {"size": size, "width": width, "gray": gray})
        add_stages(self, size, width, 1 if gray else 3)

    def latent_maps(self) -> tuple[Float[Tensor, "output z"]]:
        """Return the matrix of the first linear map of a row, ``[units * 4 * 4, z_dim]``."""
        return (first_map(self),)


class ConditionalDCGANDiscriminator(nn.Module):
    """The discriminator of a conditional DCGAN: one logit per image and class.

    Args:
        size: Height and width of an image.
        width: Number of units in the first layer, doubled from layer to layer.
        num_classes: Number of classes.
        norm: Normalization after each convolution but the first and the last: ``batch`` or ``none``.
        gray: Judge the first channel only.

    Source: Mirza and Osindero 2014, Sec. 3.2.
    """

    @float32_factories()
    def __init__(
        self, size: int, width: int, num_classes: int, norm: Literal["batch", "none"] = "batch", gray: bool = False
    ) -> None:
        super().__init__()
        self.num_classes, self.channels = num_classes, 1 if gray else 3
        self.judge = DCGANDiscriminator(size, width, norm, self.channels + num_classes)

    def forward(
        self, images: Float[Tensor, "batch 3 H W"], classes: Int64[Tensor, " batch"]
    ) -> Float[Tensor, " batch"]:
        """Return logits, float ``[batch]``, positive for images that look real and of their class.

        Args:
            images: Images, ``[batch, 3, H, W]``.
            classes: Index of each image's class.
        """
        planes = functional.one_hot(classes, self.num_classes).to(images)[:, :, None, None]
        planes = planes.expand(-1, -1, *images.shape[2:])
        logits: Tensor = self.judge(torch.cat([images[:, : self.channels], planes], dim=1))
        return logits
