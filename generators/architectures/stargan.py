"""StarGAN: one translator between any two of several domains.

``picture and domain -> encoder1 [w, size, ..] -> encoder2 [2w, size/2, ..] -> encoder3 [4w, size/4, ..]``
``-> block1 -> ... -> blockN [4w, size/4, ..] -> decoder1 [2w, size/2, ..] -> decoder2 [w, size, ..] -> output``

The class of a row is the domain that its picture is translated to. It enters through the norms: each has a scale and an
offset per domain. The published network gets the domain as constant planes beside the picture instead. After a
convolution, these add a constant to each unit, which instance norm subtracts again, except near the zero-padded border.

Source: Choi et al. 2018, arXiv 1711.09020, Sec. 3 and Tables 4 and 5; Dumoulin et al. 2017, arXiv 1610.07629
(conditional instance norm).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from gandissect.core.defaults import float32_factories

from .class_translator import ClassTranslator
from .conditional_norm import ConditionalNorm

SPREAD = 0.2
"""Standard deviation of the domains' scales and offsets at first, so that images differ from the beginning."""
MAX_MULTIPLE = 16
"""Largest number of units of the discriminator, as a multiple of the first layer's."""


class StarGAN(ClassTranslator):
    """The generator of a StarGAN.

    Args:
        size: Height and width of the pictures that it is made for, a multiple of 4; others are translated too.
        width: Number of units in the first layer.
        blocks: Number of residual blocks, at least 1.
        classes: Names of the domains, which are ordered.
        drawn: Names of the domains that `sample_z` translates to; all by default.

    Raises:
        KeyError: If a drawn domain is unknown.
        ValueError: If a number is out of range, or the domains are not distinct names.

    Source: Choi et al. 2018, Table 4.
    """

    architecture = "stargan"

    def __init__(
        self,
        size: int = 128,
        width: int = 64,
        blocks: int = 6,
        classes: Sequence[str] = ("0", "1"),
        drawn: Sequence[str] | None = None,
    ) -> None:
        if min(width, blocks) < 1:
            raise ValueError(f"width and blocks must be at least 1; got {width} and {blocks}")
        settings = {"width": width, "blocks": blocks, "classes": list(classes)}
        super().__init__(size, 4, 8, classes, drawn, settings)
        count = len(self.classes)
        self.encoder1 = ClassedStage(nn.Conv2d(3, width, 7, 1, 3, bias=False), width, count)
        for number, units in enumerate((2 * width, 4 * width), start=2):
            down = nn.Conv2d(units // 2, units, 4, 2, 1, bias=False)
            self.add_module(f"encoder{number}", ClassedStage(down, units, count))
        for number in range(1, blocks + 1):
            self.add_module(f"block{number}", ClassedBlock(4 * width, count))
        for number, units in enumerate((2 * width, width), start=1):
            up = nn.ConvTranspose2d(2 * units, units, 4, 2, 1, bias=False)
            self.add_module(f"decoder{number}", ClassedStage(up, units, count))
        self.output = nn.Sequential(nn.Conv2d(width, 3, 7, 1, 3), nn.Tanh())

    def stage(
        self, index: int, x: Float[Tensor, "batch before _ _"], context: Float[Tensor, "batch class"]
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the output of a stage for the output of the previous one."""
        name, module = self._stages[index]
        output: Tensor = module(x) if name == "output" else module(x, context)
        return output


class ConditionalInstanceNorm(ConditionalNorm):
    """Instance normalization with a scale and an offset per class.

    Args:
        units: Number of units.
        num_classes: Number of classes.

    Source: Dumoulin et al. 2017, Eq. 5; there, scales begin with 1 and offsets with 0.
    """

    def __init__(self, units: int, num_classes: int) -> None:
        super().__init__(nn.InstanceNorm2d(units), units, num_classes)
        nn.init.normal_(self.scale, 1.0, SPREAD)
        nn.init.normal_(self.offset, 0.0, SPREAD)


class ClassedStage(nn.Module):
    """A convolution, conditional instance norm and ReLU.

    Args:
        convolution: Convolution without bias.
        units: Number of its output units.
        num_classes: Number of classes.
    """

    def __init__(self, convolution: nn.Module, units: int, num_classes: int) -> None:
        super().__init__()
        self.convolution, self.norm = convolution, ConditionalInstanceNorm(units, num_classes)

    def forward(
        self, x: Float[Tensor, "batch before _ _"], classes: Float[Tensor, "batch class"]
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the stage's output; ``classes`` are one-hot, ``[batch, class]``."""
        output: Tensor = self.norm(self.convolution(x), classes)
        return output.relu()


class ClassedBlock(nn.Module):
    """A residual block: two convolutions with conditional instance norm, whose output is added to their input.

    Args:
        units: Number of units.
        num_classes: Number of classes.

    Source: Choi et al. 2018, Table 4.
    """

    def __init__(self, units: int, num_classes: int) -> None:
        super().__init__()
        self.first = ClassedStage(nn.Conv2d(units, units, 3, 1, 1, bias=False), units, num_classes)
        self.second = nn.Conv2d(units, units, 3, 1, 1, bias=False)
        self.norm = ConditionalInstanceNorm(units, num_classes)

    def forward(
        self, x: Float[Tensor, "batch unit h w"], classes: Float[Tensor, "batch class"]
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the block's output; ``classes`` are one-hot, ``[batch, class]``."""
        changed: Tensor = self.norm(self.second(self.first(x, classes)), classes)
        return x + changed


class DomainJudgment(NamedTuple):
    """What the discriminator says about pictures.

    Attributes:
        patches: Logit of each patch, ``[batch, 1, h, w]``, positive where it looks real.
        domains: Logits of the domains, ``[batch, domain]``.
    """

    patches: Float[Tensor, "batch 1 h w"]
    domains: Float[Tensor, "batch domain"]

    @property
    def logits(self) -> Float[Tensor, " batch"]:
        """Mean logit of each picture's patches, ``[batch]``."""
        return self.patches.flatten(1).mean(1)


class StarGANDiscriminator(nn.Module):
    """The discriminator of a StarGAN: whether patches of a picture look real, and which domain the picture is of.

    Args:
        size: Height and width of the pictures, a power of two from 8 on.
        width: Number of units in the first layer, doubled from layer to layer up to 16 times as many.
        num_domains: Number of domains.

    Raises:
        ValueError: If a number is out of range.

    Source: Choi et al. 2018, Table 5, whose six convolutions leave a grid of 2 x 2 of 128 pixels, as here at all sizes.
    """

    @float32_factories()
    def __init__(self, size: int = 128, width: int = 64, num_domains: int = 2) -> None:
        super().__init__()
        halvings = size.bit_length() - 2
        if halvings < 2 or 2 << halvings != size or min(width, num_domains) < 1:
            raise ValueError(
                "size must be a power of two from 8 on, and width and num_domains at least 1; got "
                f"{size}, {width} and {num_domains}"
            )
        units = [3, *(min(2**number, MAX_MULTIPLE) * width for number in range(halvings))]
        stages: list[nn.Module] = []
        for before, after in pairwise(units):
            stages += [nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.01)]
        self.stages = nn.Sequential(*stages)
        self.patches = nn.Conv2d(units[-1], 1, 3, 1, 1, bias=False)  # a bias would move real and fake logits alike
        self.domains = nn.Conv2d(units[-1], num_domains, 2)

    def forward(self, pictures: Float[Tensor, "batch 3 H W"]) -> DomainJudgment:
        """Return the logits of patches and domains.

        Args:
            pictures: Pictures, ``[batch, 3, H, W]``.
        """
        features = self.stages(pictures)
        return DomainJudgment(self.patches(features), self.domains(features).flatten(1))
