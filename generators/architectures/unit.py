"""UNIT: translators between domains whose pictures share one latent code.

``picture -> encoder1 [w, size, ..] -> encoder2 [2w, size/2, ..] -> encoder3 [4w, size/4, ..] -> block1 -> ...``
``-> shared1 [4w, size/4, ..] (the code) -> shared2 -> block.. -> decoder1 [2w, size/2, ..] -> decoder2 -> output``

Each domain has its own encoder and decoder. Only the last block of the encoders, whose output is the code, and the
first block of the decoders are the same for all domains. A picture of one domain is encoded by its own encoder, and the
code is decoded by that of another domain. The class of a row states both, such as ``noon to dusk``.

In training, the code is drawn from a normal distribution with the encoder's output as its mean and variance 1.

Source: Liu et al. 2017, arXiv 1703.00848, Sec. 3 and the appendix (the layers; the strided ones have no norm); Royer et
al. 2017, arXiv 1711.05139, Sec. 3 (the classifier of domains).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from jaxtyping import Float, Int64
from torch import Tensor, nn

from gandissect.core.defaults import float32_factories

from .class_choice import check_classes
from .class_translator import ClassTranslator
from .cogan import PerDomain
from .patchgan import PatchDiscriminator
from .translator_resnet import ResidualBlock


class Direction(NamedTuple):
    """From which domain to which each row is translated.

    Attributes:
        sources: Index of the domain of each row's picture, ``[batch]``.
        targets: Index of the domain of each row's image, ``[batch]``.
    """

    sources: Int64[Tensor, " batch"]
    targets: Int64[Tensor, " batch"]


class UNIT(ClassTranslator):
    """The encoders and decoders of UNIT as one generator, whose classes are directions: ``noon to dusk``.

    A layer of a domain's own has the same name and size in all domains, but its units are not the same: dissect one
    direction at a time, ``T.of_classes("noon to dusk")``.

    Args:
        size: Height and width of the pictures that it is made for, a multiple of 4; others are translated too.
        width: Number of units in the first layer.
        blocks: Number of residual blocks of a domain's own, in its encoder and again in its decoder, at least 0.
        domains: Names of the domains, at least two (two in the paper).
        drawn: Names of the directions that `sample_z` draws from; all by default.

    Raises:
        KeyError: If a drawn direction is unknown.
        ValueError: If a number is out of range, or the domains are not distinct names.

    Source: Liu et al. 2017, Sec. 3.
    """

    architecture = "unit"

    def __init__(
        self,
        size: int = 64,
        width: int = 64,
        blocks: int = 3,
        domains: Sequence[str] = ("0", "1"),
        drawn: Sequence[str] | None = None,
    ) -> None:
        self.domains = check_classes(domains)
        if width < 1 or blocks < 0 or len(self.domains) < 2:
            raise ValueError(
                "width must be at least 1, blocks at least 0, and domains at least two; got "
                f"{width}, {blocks} and {', '.join(self.domains)}"
            )
        directions = [f"{source} to {target}" for source, target in product(self.domains, repeat=2)]
        settings = {"width": width, "blocks": blocks, "domains": list(self.domains)}
        super().__init__(size, 4, 8, directions, drawn, settings)
        self.num_encoding = 4 + blocks
        encoder = [_down(3, width, 7, 1), _down(width, 2 * width, 3, 2), _down(2 * width, 4 * width, 3, 2)]
        for number, stage in enumerate(encoder, start=1):
            self.add_module(f"encoder{number}", self._for_each_domain(stage))
        for number in range(1, blocks + 1):
            self.add_module(f"block{number}", self._for_each_domain(ResidualBlock(4 * width, "instance")))
        self.shared1 = ResidualBlock(4 * width, "instance")
        self.shared2 = ResidualBlock(4 * width, "instance")
        for number in range(blocks + 1, 2 * blocks + 1):
            self.add_module(f"block{number}", self._for_each_domain(ResidualBlock(4 * width, "instance")))
        for number, units in enumerate((2 * width, width), start=1):
            self.add_module(f"decoder{number}", self._for_each_domain(_up(2 * units, units)))
        self.output = self._for_each_domain(nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()))

    def context(self, z: Float[Tensor, "batch z"]) -> Direction:  # type: ignore[override]
        """Return the directions of rows ``[batch, z_dim]``."""
        index, count = super().context(z).argmax(1), len(self.domains)
        return Direction(index // count, index % count)

    def stage(
        self, index: int, x: Float[Tensor, "batch before _ _"], context: Direction
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the output of a stage for the output of the previous one."""
        name, module = self._stages[index]
        if name.startswith("shared"):
            shared: Tensor = module(x)
            return shared
        output: Tensor = module(x, context.sources if index < self.num_encoding else context.targets)
        return output

    def encode(
        self, pictures: Float[Tensor, "batch 3 H W"], domains: Int64[Tensor, " batch"]
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the codes of pictures, the means of their distributions, ``[batch, 4 * width, H / 4, W / 4]``.

        Args:
            pictures: Pictures in [-1, 1].
            domains: Index of each picture's domain.
        """
        return self.run(pictures, Direction(domains, domains), 0, self.num_encoding)

    def decode(
        self, codes: Float[Tensor, "batch unit h w"], domains: Int64[Tensor, " batch"]
    ) -> Float[Tensor, "batch 3 H W"]:
        """Return the images of codes, in [-1, 1].

        Args:
            codes: Codes.
            domains: Index of each image's domain.
        """
        return self.run(codes, Direction(domains, domains), self.num_encoding, len(self._stages))

    def _for_each_domain(self, module: nn.Module) -> PerDomain:
        return PerDomain(module, len(self.domains))


class UNITDiscriminator(nn.Module):
    """The discriminators of UNIT, one for each domain, and if asked for the classifier of codes.

    Args:
        width: Number of units in the first layer of each.
        num_domains: Number of domains.
        code_units: Number of units of a code, for the classifier that tells domains by codes; 0 omits it.

    Source: Liu et al. 2017, Sec. 3, with the patches of Isola et al. 2017; Royer et al. 2017, Sec. 3.
    """

    @float32_factories()
    def __init__(self, width: int = 64, num_domains: int = 2, code_units: int = 0) -> None:
        super().__init__()
        self.pictures = PerDomain(PatchDiscriminator(3, width, halvings=2), num_domains)
        self.codes = CodeClassifier(code_units, width, num_domains) if code_units else None

    def forward(
        self, pictures: Float[Tensor, "batch 3 H W"], domains: Int64[Tensor, " batch"]
    ) -> Float[Tensor, "batch 1 h w"]:
        """Return the logit of each patch, positive where it looks like a real picture of its domain.

        Args:
            pictures: Pictures, ``[batch, 3, H, W]``.
            domains: Index of each picture's domain.
        """
        logits: Tensor = self.pictures(pictures, domains)
        return logits


class CodeClassifier(nn.Module):
    """A classifier that names the domain of the picture that a code is of.

    Args:
        units: Number of units of a code.
        width: Number of units in the first layer.
        num_domains: Number of domains.

    Source: Royer et al. 2017, Sec. 3 (the domain-adversarial loss).
    """

    @float32_factories()
    def __init__(self, units: int, width: int, num_domains: int) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            nn.Conv2d(units, width, 3, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 3, 2, 1),
            nn.LeakyReLU(0.2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(2 * width, num_domains),
        )

    def forward(self, codes: Float[Tensor, "batch unit h w"]) -> Float[Tensor, "batch domain"]:
        """Return the logit of each domain."""
        logits: Tensor = self.stages(codes)
        return logits


def _down(before: int, after: int, kernel: int, stride: int) -> nn.Sequential:
    pad = nn.ReflectionPad2d(kernel // 2)
    return nn.Sequential(pad, nn.Conv2d(before, after, kernel, stride), nn.LeakyReLU(0.2))


def _up(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(before, after, 4, 2, 1), nn.LeakyReLU(0.2))
