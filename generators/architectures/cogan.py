"""CoGAN: coupled DCGANs that learn what pictures of several domains have in common, without pairs.

``noise -> layer1 [c, 4, 4] -> layer2 [c/2, 8, 8] -> ... -> output [3, size, size]``

All domains share the first layers; each domain has its own last layers, if any, and its own output. The same noise in
all domains makes corresponding images. The domain is the class of a row. The discriminator has a first layer per
domain, and shares all others.

Source: Liu and Tuzel 2016, arXiv 1606.07536, Sec. 3; Radford et al. 2016, arXiv 1511.06434 (the layers).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from gandissect.core.defaults import float32_factories

from .conditional import ConditionalGenerator
from .dcgan import DCGANDiscriminator, first_map, make_stages
from .generator_base import Latent


class CoGAN(ConditionalGenerator):
    """The generators of a CoGAN, one for each domain, as one whose classes are the domains.

    ``G.of_classes(domain)`` is the generator of one domain. A layer of a domain's own has the same name and size in all
    domains, but its units are not the same: dissect one domain at a time.

    Args:
        size: Height and width of an image: 16, 32, 64, 128 or 256.
        width: Number of units in the last layer; each earlier layer has twice as many as the next.
        noise_dim: Length of the noise.
        classes: Names of the domains.
        gray: Make one channel and repeat it.
        own_layers: Number of last layers that each domain has of its own, besides the output; fewer than there are.
        drawn: Names of the domains that `sample_z` draws from; all by default.

    Raises:
        KeyError: If a drawn domain is unknown.
        ValueError: If a number is out of range, or the domains are not distinct names.

    Source: Liu and Tuzel 2016, Sec. 3.
    """

    architecture = "cogan"

    def __init__(
        self,
        size: int = 64,
        width: int = 32,
        noise_dim: int = 128,
        classes: Sequence[str] = ("0", "1"),
        gray: bool = False,
        own_layers: int = 1,
        drawn: Sequence[str] | None = None,
    ) -> None:
        settings = {"size": size, "width": width, "gray": gray, "own_layers": own_layers}
        super().__init__(noise_dim, classes, drawn, settings)
        stages = make_stages(noise_dim, size, width, 1 if gray else 3)
        check_own_layers(size, own_layers)
        self.num_shared = len(stages) - 1 - own_layers
        for index, (name, stage) in enumerate(stages.items()):
            self.add_module(name, stage if index < self.num_shared else PerDomain(stage, len(self.classes)))

    def input(self, z: Latent) -> Float[Tensor, "batch noise 1 1"]:
        """Return the noise of rows ``[batch, z_dim]``."""
        return z[:, : self.noise_dim, None, None]

    def context(self, z: Latent) -> Int64[Tensor, " batch"]:
        """Return the index of each row's domain."""
        return z[:, self.noise_dim :].argmax(1)

    def stage(
        self, index: int, x: Float[Tensor, "batch before _ _"], context: Int64[Tensor, " batch"]
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the output of a stage for the output of the previous one."""
        module = self._stages[index][1]
        output: Tensor = module(x) if index < self.num_shared else module(x, context)
        return output

    def latent_maps(self) -> tuple[Float[Tensor, "output z"]]:
        """Return the matrix of the first linear map of a row, ``[units * 4 * 4, z_dim]``, which ignores the domain."""
        return (functional.pad(first_map(self), (0, len(self.classes))),)


def check_own_layers(size: int, own_layers: int) -> None:
    """Check that domains share a layer at least.

    Args:
        size: Height and width of an image.
        own_layers: Number of last layers that each domain has of its own.

    Raises:
        ValueError: If they are not fewer than the layers of a DCGAN of this size.
    """
    most = size.bit_length() - 4
    if not 0 <= own_layers <= most:
        raise ValueError(f"own_layers (--own-layers) must be 0 to {most} for {size} px; got {own_layers}")


class PerDomain(nn.Module):
    """A module per domain; each row passes through that of its domain, and meets no rows of others.

    In eval mode every module runs on all rows, so that how a row's sums are rounded does not depend on the others.

    Args:
        module: The module of the first domain; those of the others are copies, so that all begin alike.
        num_domains: Number of domains.
    """

    def __init__(self, module: nn.Module, num_domains: int) -> None:
        super().__init__()
        self.domains = nn.ModuleList([module, *(deepcopy(module) for _ in range(num_domains - 1))])

    def forward(
        self, x: Float[Tensor, "batch before _ _"], domains: Int64[Tensor, " batch"]
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the outputs in the order of the rows.

        Args:
            x: Activations, ``[batch, before, h, w]``.
            domains: Index of each row's domain.
        """
        if not self.training:
            every = torch.stack([module(x) for module in self.domains])
            chosen: Tensor = every[domains, torch.arange(len(x), device=x.device)]
            return chosen
        rows = [(domains == index).nonzero().flatten() for index in range(len(self.domains))]
        pairs = zip(self.domains, rows, strict=True)
        parts = [module(x[own]) for module, own in pairs if len(own) or _runs_empty(module)]
        outputs: Tensor = torch.cat(parts)[torch.cat(rows).argsort()]
        return outputs


def _runs_empty(module: nn.Module) -> bool:
    """Return whether a module in training runs without rows: only if its norms wait for other processes."""
    return any(isinstance(part, nn.SyncBatchNorm) for part in module.modules())


class CoGANDiscriminator(nn.Module):
    """The discriminators of a CoGAN: one logit per image of a domain.

    Args:
        size: Height and width of an image.
        width: Number of units in the first layer, doubled from layer to layer.
        num_domains: Number of domains.
        norm: Normalization after each convolution but the first and the last: ``batch`` or ``none``.
        gray: Judge the first channel only.

    Source: Liu and Tuzel 2016, Sec. 3.
    """

    @float32_factories()
    def __init__(
        self, size: int, width: int, num_domains: int, norm: Literal["batch", "none"] = "batch", gray: bool = False
    ) -> None:
        super().__init__()
        self.channels = 1 if gray else 3
        stages = DCGANDiscriminator(size, width, norm, self.channels).stages
        self.first = PerDomain(stages[:2], num_domains)
        self.shared = stages[2:]

    def forward(
        self, images: Float[Tensor, "batch 3 H W"], classes: Int64[Tensor, " batch"]
    ) -> Float[Tensor, " batch"]:
        """Return logits, float ``[batch]``, positive for images that look real.

        Args:
            images: Images, ``[batch, 3, H, W]``.
            classes: Index of each image's domain.
        """
        logits: Tensor = self.shared(self.first(images[:, : self.channels], classes))
        return logits.flatten(1).squeeze(1)
