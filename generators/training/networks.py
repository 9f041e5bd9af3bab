"""The two networks of each architecture, with what only their training needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..architectures.base import LayeredGenerator
from ..architectures.blocks import SIZES, double
from ..architectures.dcgan import DCGAN, DCGANDiscriminator
from ..architectures.progan import GrowingDiscriminator, ProGAN
from ..architectures.stylegan import StyleGAN, StyleGenerator, Styles
from ..architectures.stylegan2 import ResidualDiscriminator, StyleGAN2
from .draws import Draws
from .growth import Growth
from .recipes import GANSettings

W_AVG_DECAY = 0.995
"""Decay, a step, of the average of w that truncation pulls towards (Karras et al. 2019, Appendix B)."""


class TrainedGenerator(nn.Module):
    """A generator in training: one that grows has a head for images of each smaller size.

    Args:
        generator: The generator that is to be.
        sizes: The sizes that it grows through, the last its own.
        mixing: Share of images made of two latent vectors, where there are styles.
    """

    def __init__(self, generator: LayeredGenerator, sizes: tuple[int, ...], mixing: float = 0.0) -> None:
        super().__init__()
        self.generator, self.mixing = generator, mixing
        self._stages_of = {side: _count_stages(generator, side) for side in sizes}
        units = {info.height: info.units for info in generator.layers.values()}
        self.heads = nn.ModuleDict()
        if isinstance(generator, ProGAN | StyleGAN):
            self.heads.update({str(side): generator.to_rgb(units[side]) for side in sizes[:-1]})

    def forward(self, z: Float[Tensor, "batch z"], growth: Growth, draws: Draws) -> Float[Tensor, "batch 3 H W"]:
        """Return images as large as the networks have grown, ``[batch, 3, size, size]``.

        Args:
            z: Latent vectors, ``[batch, z_dim]``.
            growth: How far they have grown.
            draws: Draws noise and which latent vectors are mixed, on the generator's device.
        """
        generator, stop = self.generator, self._stages_of[growth.size]
        x, context = generator.input(z), self._make_context(z, stop, draws)
        if growth.alpha == 1:
            return self._make_image(generator.run(x, context, 0, stop), context, growth.size)
        half = self._stages_of[growth.size // 2]
        x = generator.run(x, context, 0, half)
        small = double(self._make_image(x, context, growth.size // 2))
        large = self._make_image(generator.run(x, context, half, stop), context, growth.size)
        return torch.lerp(small, large, growth.alpha)

    @torch.no_grad()
    def observe(self, z: Float[Tensor, "batch z"]) -> None:
        """Move the average of w towards that of these latent vectors, where there is one."""
        if isinstance(self.generator, StyleGenerator):
            mapping = self.generator.mapping
            mapping.w_avg.lerp_(mapping.network(z).mean(dim=0), 1 - W_AVG_DECAY)

    def export(self, size: int) -> LayeredGenerator:
        """Return a copy of the generator as it is for images of a size."""
        weights, settings = self.generator.state_dict(), self.generator.settings
        if size != settings["size"]:
            units = next(info.units for info in self.generator.layers.values() if info.height == size)
            settings = settings | {"size": size, "width": units}
            head = self.heads[str(size)].state_dict()
            weights |= {f"output.{name}": value for name, value in head.items()}
        with torch.device("meta"):  # draws no random numbers
            copy = type(self.generator)(**settings)
        copy.load_state_dict({name: weights[name].clone() for name in copy.state_dict()}, assign=True)
        return copy.eval().requires_grad_(False)

    def _make_image(self, x: Tensor, context: Any, side: int) -> Tensor:
        if str(side) not in self.heads:
            return self.generator.stage(len(self.generator.layers), x, context)
        image: Tensor = self.heads[str(side)](x)
        return image

    def _make_context(self, z: Tensor, stop: int, draws: Draws) -> Any:
        """Return the context of the stages; with styles, some mixed, and with fresh noise."""
        if not isinstance(self.generator, StyleGenerator):
            return self.generator.context(z)
        ws = self.generator.mapping(z)
        other = self.generator.mapping(draws.normal(z.shape[1]))
        crossover = draws.integers(1, stop, 1).masked_fill(draws.uniform(1) >= self.mixing, ws.shape[1])
        first = (torch.arange(ws.shape[1], device=z.device) < crossover)[:, :, None]
        sides = [info.height for info in list(self.generator.layers.values())[:stop]]
        noise = [draws.normal(1, side, side) for side in sides]
        return Styles(torch.where(first, ws, other), noise)


def _count_stages(generator: LayeredGenerator, side: int) -> int:
    return sum(info.height <= side for info in generator.layers.values())


@dataclass(frozen=True, slots=True)
class Family:
    """How the networks of an architecture are made of settings."""

    generator: Callable[[GANSettings], LayeredGenerator]
    discriminator: Callable[[GANSettings], nn.Module]


def _build_dcgan(settings: GANSettings) -> LayeredGenerator:
    return DCGAN(settings.resolution, settings.width, settings.z_dim)


def _build_progan(settings: GANSettings) -> LayeredGenerator:
    return ProGAN(settings.resolution, settings.width, settings.max_width, settings.z_dim)


def _build_stylegan(settings: GANSettings) -> LayeredGenerator:
    sizes = (settings.resolution, settings.width, settings.max_width)
    return StyleGAN(*sizes, settings.z_dim, settings.z_dim, settings.mapping_depth)


def _build_stylegan2(settings: GANSettings) -> LayeredGenerator:
    sizes = (settings.resolution, settings.width, settings.max_width)
    return StyleGAN2(*sizes, settings.z_dim, settings.z_dim, settings.mapping_depth)


def _build_growing(settings: GANSettings, *, blurred: bool) -> nn.Module:
    return GrowingDiscriminator(settings.resolution, settings.width, settings.max_width, blurred)


def _build_residual(settings: GANSettings) -> nn.Module:
    return ResidualDiscriminator(settings.resolution, settings.width, settings.max_width)


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "dcgan": Family(_build_dcgan, lambda settings: DCGANDiscriminator(settings.resolution, settings.width)),
        "progan": Family(_build_progan, lambda settings: _build_growing(settings, blurred=False)),
        "stylegan": Family(_build_stylegan, lambda settings: _build_growing(settings, blurred=True)),
        "stylegan2": Family(_build_stylegan2, _build_residual),
    }
)
"""The architectures that can be trained."""


def build_networks(settings: GANSettings) -> tuple[TrainedGenerator, nn.Module]:
    """Return the generator and the discriminator of a training, with fresh weights.

    Raises:
        ValueError: If a size or a width is out of range.
    """
    family = FAMILIES[settings.architecture]
    generator = TrainedGenerator(family.generator(settings), sizes_of(settings), settings.mixing)
    return generator, family.discriminator(settings)


def sizes_of(settings: GANSettings) -> tuple[int, ...]:
    """Return the resolutions that a training grows through."""
    first = settings.resolution if settings.start_resolution is None else settings.start_resolution
    return (*(size for size in SIZES if first <= size < settings.resolution), settings.resolution)
