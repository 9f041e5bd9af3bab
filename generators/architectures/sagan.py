"""SAGAN: residual blocks with self-attention, for images of several classes.

``noise -> layer1 [c, 4, 4] -> layer2 [c', 8, 8] -> ... -> output [3, size, size]``

Each layer after the first doubles the grid. Its two batch norms have a scale and an offset per class. The layer of the
32 x 32 grid ends with self-attention, or in smaller images that of half their height. The discriminator mirrors the
generator and adds to its logit the inner product of its features with a vector of the class.

Source: Zhang et al. 2019, arXiv 1805.08318; de Vries et al. 2017, arXiv 1707.00683 (conditional batch norm); Miyato &
Koyama 2018, arXiv 1802.05637 (projection); blocks: Miyato et al. 2018, arXiv 1802.05957, Appendix B.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from gandissect.core.defaults import float32_factories

from .attentive import AttentiveGenerator
from .blocks import depth_of, double, units_of
from .conditional_norm import ConditionalNorm
from .generator_base import Latent
from .resnet import Attention
from .spectral_norm import NORMALIZED, normalize_spectrally

ATTENTIVE = 32
"""Grid whose layer ends with self-attention (Zhang et al. 2019, Table 1)."""


class SAGAN(AttentiveGenerator):
    """The generator of a SAGAN, without the spectral norm that it is trained with.

    Args:
        size: Height and width of an image, a power of two from 8 to 1024.
        width: Number of units of the last layer, doubled at each halving of the grid toward the input.
        max_width: Maximum number of units of a layer.
        noise_dim: Length of the noise.
        classes: Names of the classes.
        drawn: Names of the classes that `sample_z` draws from; all by default.

    Raises:
        KeyError: If a drawn class is unknown.
        ValueError: If a number is out of range, or the classes are not distinct names.

    Source: Zhang et al. 2019, Sec. 3 and 4.
    """

    architecture = "sagan"

    def __init__(
        self,
        size: int = 64,
        width: int = 16,
        max_width: int = 128,
        noise_dim: int = 128,
        classes: Sequence[str] = ("0", "1"),
        drawn: Sequence[str] | None = None,
    ) -> None:
        super().__init__(noise_dim, classes, drawn, {"size": size, "width": width, "max_width": max_width})
        units = units_of(size, width, max_width)
        linear = nn.Linear(noise_dim, units[0] * 16)
        self.layer1 = nn.Sequential(nn.Flatten(), linear, nn.Unflatten(1, (units[0], 4, 4)))
        self.attentive_layer = f"layer{depth_of(min(ATTENTIVE, max(8, size // 2))) + 1}"
        for index, (before, after) in enumerate(pairwise(units), start=2):
            name = f"layer{index}"
            self.add_module(name, ConditionalDoubling(before, after, len(self.classes), name == self.attentive_layer))
        image = nn.Conv2d(units[-1], 3, 3, padding=1)
        self.output = nn.Sequential(nn.BatchNorm2d(units[-1]), nn.ReLU(), image, nn.Tanh())
        self.apply(_initialize)

    def input(self, z: Latent) -> Float[Tensor, "batch noise 1 1"]:
        """Return the noise of rows ``[batch, z_dim]``."""
        return z[:, : self.noise_dim, None, None]

    def context(self, z: Latent) -> Float[Tensor, "batch class"]:
        """Return the class of rows ``[batch, z_dim]``, one-hot."""
        return z[:, self.noise_dim :]

    def stage(
        self, index: int, x: Float[Tensor, "batch before _ _"], context: Float[Tensor, "batch class"]
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the output of a stage for the output of the previous one."""
        name, module = self._stages[index]
        output: Tensor = module(x) if name in {"layer1", "output"} else module(x, context)
        return output

    def latent_maps(self) -> tuple[Float[Tensor, "output z"]]:
        """Return the matrix of the first linear map of a row, ``[units * 4 * 4, z_dim]``, which ignores the class."""
        weight = self.find_part("layer1", "1", nn.Linear).weight.detach()
        return (functional.pad(weight, (0, len(self.classes))),)


class ConditionalBatchNorm(ConditionalNorm):
    """Batch normalization with a scale and an offset per class.

    Args:
        units: Number of units.
        num_classes: Number of classes.

    Source: de Vries et al. 2017, Sec. 3.
    """

    def __init__(self, units: int, num_classes: int) -> None:
        super().__init__(nn.BatchNorm2d(units, affine=False), units, num_classes)


class ConditionalDoubling(nn.Module):
    """A residual block that doubles the grid, with conditional batch norm.

    Args:
        before: Number of input units.
        after: Number of output units.
        num_classes: Number of classes.
        attention: Apply self-attention to the output.

    Source: Miyato & Koyama 2018, Appendix A; Zhang et al. 2019, Sec. 3.
    """

    def __init__(self, before: int, after: int, num_classes: int, attention: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = ConditionalBatchNorm(before, num_classes), ConditionalBatchNorm(after, num_classes)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.skip = nn.Conv2d(before, after, 1, bias=False)
        self.attention = Attention(after) if attention else nn.Identity()

    def forward(
        self, x: Float[Tensor, "batch before _ _"], classes: Float[Tensor, "batch class"]
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the sum of both branches, with self-attention if the block has it."""
        output: Tensor = self.attention(self.add_branches(x, classes))
        return output

    def add_branches(
        self, x: Float[Tensor, "batch before _ _"], classes: Float[Tensor, "batch class"]
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the sum of both branches, before self-attention."""
        residual = self.conv1(double(self.norm1(x, classes).relu()))
        residual = self.conv2(self.norm2(residual, classes).relu())
        total: Tensor = residual + double(self.skip(x))  # a 1 x 1 convolution of the doubled grid is the same
        return total


class ProjectionDiscriminator(nn.Module):
    """A discriminator that adds to its logit the inner product of its features with a vector of the class.

    Subclasses have ``stages`` from images to features, ``vectors`` of the classes, and the ``logit`` of features.

    Source: Miyato & Koyama 2018, Eq. 4.
    """

    stages: nn.Sequential
    vectors: nn.Embedding
    logit: nn.Linear

    def forward(
        self, images: Float[Tensor, "batch 3 H W"], classes: Int64[Tensor, " batch"]
    ) -> Float[Tensor, " batch"]:
        """Return logits, float ``[batch]``, positive for images that look real and of their class.

        Args:
            images: Images, ``[batch, 3, H, W]``.
            classes: Index of each image's class.
        """
        features = self.stages(images).sum(dim=(2, 3))
        logits: Tensor = self.logit(features).squeeze(1) + (self.vectors(classes) * features).sum(dim=1)
        return logits


class SAGANDiscriminator(ProjectionDiscriminator):
    """The discriminator of a SAGAN: one logit per image and class, with spectral norm.

    Args:
        size: Height and width of an image, a power of two from 8 to 1024.
        width: Units that a grid of the image's size would have; they double at each halving of the grid.
        max_width: Maximum number of units of a layer.
        num_classes: Number of classes.

    Source: Zhang et al. 2019, Sec. 3; Miyato & Koyama 2018, Eq. 4.
    """

    @float32_factories()
    def __init__(self, size: int, width: int, max_width: int, num_classes: int) -> None:
        super().__init__()
        units = units_of(size, width, max_width)[-2::-1]
        stages: list[nn.Module] = [Halving(3, units[0], rectified=False)]
        for level, (before, after) in enumerate(pairwise(units), start=1):
            if size >> level == ATTENTIVE or (level == 1 and size // 2 < ATTENTIVE):
                stages.append(Attention(before))
            stages.append(Halving(before, after))
        self.stages = nn.Sequential(*stages, nn.ReLU())
        self.vectors = nn.Embedding(num_classes, units[-1])
        self.logit = nn.Linear(units[-1], 1)
        self.apply(_initialize)
        normalize_spectrally(self)


class Halving(nn.Module):
    """A residual block that halves the grid.

    Args:
        before: Number of input units.
        after: Number of output units.
        rectified: Begin with a ReLU, as all blocks do but that of the image.

    Source: Miyato et al. 2018, Appendix B.4.
    """

    def __init__(self, before: int, after: int, rectified: bool = True) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.ReLU() if rectified else nn.Identity(),
            nn.Conv2d(before, after, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1),
            nn.AvgPool2d(2),
        )
        self.skip = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(before, after, 1))

    def forward(self, x: Float[Tensor, "batch before H W"]) -> Float[Tensor, "batch unit h w"]:
        """Return the sum of both branches."""
        total: Tensor = self.residual(x) + self.skip(x)
        return total


@torch.no_grad()
def _initialize(module: nn.Module) -> None:
    """Draw weights from Glorot's uniform distribution, as the authors' code does; biases are zero at first."""
    if isinstance(module, NORMALIZED) and not module.weight.is_meta:
        nn.init.xavier_uniform_(module.weight)
        if isinstance(bias := getattr(module, "bias", None), Tensor):
            nn.init.zeros_(bias)
