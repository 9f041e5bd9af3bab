"""A generator in training: with heads for smaller images where it grows, and with mixed styles and fresh noise."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..architectures.base import LayeredGenerator
from ..architectures.blocks import SIZES, double
from ..architectures.progan import ProGAN
from ..architectures.spectral_norm import fold
from ..architectures.stylegan import StyleGAN, StyleGenerator, Styles
from .draws import Draws
from .growth import Growth
from .settings import TrainingSettings

W_AVG_DECAY = 0.995
"""Decay per step of the average of w, towards which truncation pulls (Karras et al. 2019, Appendix B)."""


class TrainedGenerator(nn.Module):
    """A generator in training: one that grows has a head for images of each smaller size.

    Args:
        generator: Generator of full-size images.
        sizes: Resolutions that it grows through; the last is the generator's.
        mixing: Share of images made from two latent vectors, where there are styles.
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
        """Return images of the size that the networks have grown to, ``[batch, 3, size, size]``.

        Args:
            z: Rows, ``[batch, z_dim]``.
            growth: How far the networks have grown.
            draws: Draws noise and style mixing, on the generator's device.
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
        """Move the average of w, where there is one, towards that of some latent vectors."""
        if isinstance(self.generator, StyleGenerator):
            mapping = self.generator.mapping
            mapping.w_avg.lerp_(mapping.network(z).mean(dim=0), 1 - W_AVG_DECAY)

    def export(self, size: int) -> LayeredGenerator:
        """Return a copy of the generator that makes images of a size, without spectral norm: it is in the weights."""
        weights, settings = fold(self.generator), self.generator.settings
        if size != self.generator.image_size[0]:
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


def sizes_of(settings: TrainingSettings) -> tuple[int, ...]:
    """Return the resolutions that a training run grows through."""
    first = getattr(settings, "start_resolution", None) or settings.resolution
    return (*(size for size in SIZES if first <= size < settings.resolution), settings.resolution)
