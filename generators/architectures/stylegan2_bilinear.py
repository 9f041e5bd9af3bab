"""StyleGAN2 with bilinear upsampling and noise in [0, 1], as in lucidrains' popular implementation.

``z -> mapping -> ws [num_ws, w_dim]``; ``constant -> layer1 [c, 4, 4] -> layer2 -> layer3 [c', 8, 8] -> ... -> output``

Layer ``i`` is a convolution with the style of ``ws[:, i - 1]``, noise, bias and leaky ReLU, all without a gain; the
first layer of each grid but 4 x 4 first doubles the grid by bilinear interpolation. Each grid has two layers, and the
second contributes an image with its own style. The next stage adds it to the upsampled sum of the earlier ones, so an
edited activation affects it; the last such stage is ``output``.

Source: Karras et al. 2020, arXiv 1912.04958, Sec. 2.2, Eq. 1-3, Fig. 7b; differences:
github.com/lucidrains/stylegan2-pytorch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn import functional

from .blocks import EqualizedLinear, draw_normal, spread_channels, units_of
from .generator_base import Latent
from .stylegan import MappingNetwork, StyleGenerator, Styles
from .stylegan2 import demodulation


class BilinearStyleGAN2(StyleGenerator):
    """The StyleGAN2 generator with bilinear upsampling.

    Args:
        size: Height and width of an image, a power of two from 8 to 1024.
        width: Number of units of the last two layers, doubled at each halving of the grid toward the input; or a list
            of the numbers at 4 x 4, 8 x 8, ...
        max_width: Maximum number of units of a layer.
        z_dim: Length of ``z``.
        w_dim: Length of ``w``.
        mapping_depth: Number of layers of the mapping network.
        blur: Filter upsampled images with [1, 2, 1].

    Raises:
        ValueError: If a number is out of range.

    Source: Karras et al. 2020, Fig. 2d and Fig. 7b (above the line).
    """

    architecture = "stylegan2-bilinear"
    beside = StyleGenerator.beside | {"to_rgb"}

    def __init__(
        self,
        size: int = 64,
        width: int | Sequence[int] = 32,
        max_width: int = 512,
        z_dim: int = 128,
        w_dim: int = 128,
        mapping_depth: int = 8,
        blur: bool = True,
    ) -> None:
        settings: dict[str, Any] = {"size": size, "width": width, "max_width": max_width, "z_dim": z_dim}
        super().__init__(z_dim, settings | {"w_dim": w_dim, "mapping_depth": mapping_depth, "blur": blur})
        units = units_of(size, width, max_width)
        self.mapping = MappingNetwork(z_dim, w_dim, mapping_depth, num_ws=2 * len(units))
        self.constant = nn.Parameter(draw_normal(1, units[0], 4, 4))
        for level, (before, after) in enumerate(pairwise([units[0], *units])):
            side = 4 * 2**level
            self.add_module(f"layer{2 * level + 1}", BilinearLayer(before, after, side, w_dim, up=level > 0))
            self.add_module(f"layer{2 * level + 2}", BilinearLayer(after, after, side, w_dim))
        self.output = BilinearImage(units[-1], w_dim, blur)
        images = {str(4 * 2**level): BilinearImage(count, w_dim, blur) for level, count in enumerate(units[:-1])}
        self.to_rgb = nn.ModuleDict(images)

    def stage(
        self, index: int, x: Float[Tensor, "batch before _ _"], context: Styles
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the output of a stage; the first stage after a grid also adds that grid's image."""
        name, module = self._stages[index]
        if name == "output":
            image: Tensor = module(x, context.ws[:, index - 1], context.image)
            return image
        if index and index % 2 == 0:
            self._add_image(index, x, context)
        output: Tensor = module(x, *context.of(index))
        return output

    def context_after(self, z: Latent, position: int) -> Styles:
        """Return the context after the stage at ``position``, with the sum of the images so far."""
        context = self.context(z)
        last = position - position % 2
        if last > 0:
            self._add_image(last, self.run(self.input(z), context, 0, last), context)
        return context

    def affines(self, index: int) -> list[EqualizedLinear]:
        """Return the linear maps of ``ws[:, index]``: of a layer, and of its grid's image."""
        affines = super().affines(index)
        if index % 2:
            is_last = index == self.mapping.num_ws - 1
            side = str(self.layers[self._stages[index][0]].height)
            image = self.output if is_last else self.to_rgb[side]
            affines += [image.affine] if isinstance(image, BilinearImage) else []
        return affines

    def random_noise(self, num_samples: int, rng: torch.Generator) -> list[Float32[Tensor, "batch 1 _ _"]]:
        """Draw noise of every layer for `synthesis`, uniform in [0, 1]; each layer uses a corner of the largest tensor.

        Args:
            num_samples: Number of images.
            rng: Source of randomness, such as ``torch.Generator().manual_seed(0)``.

        Returns:
            One float32 tensor ``[num_samples, 1, h, w]`` per layer, on CPU.

        Raises:
            TypeError: If ``rng`` is not a torch.Generator, such as a seed.
        """
        *_, largest = super().random_noise(num_samples, rng)
        return [largest[:, :, : info.height, : info.width] for info in self.layers.values()]

    @staticmethod
    def draw_noise(num_samples: int, side: int, rng: torch.Generator) -> Float32[Tensor, "batch 1 side side"]:
        """Draw noise of one grid, uniform in [0, 1], float32 ``[num_samples, 1, side, side]`` on CPU."""
        return torch.rand((num_samples, 1, side, side), generator=rng, dtype=torch.float32, device="cpu")

    def _add_image(self, index: int, x: Tensor, context: Styles) -> None:
        context.image = self.to_rgb[str(x.shape[3])](x, context.ws[:, index - 1], context.image)


class BilinearLayer(nn.Module):
    """Optional bilinear upsampling, modulated and demodulated convolution, noise, bias, leaky ReLU.

    Args:
        before: Number of input units.
        after: Number of output units.
        side: Height and width of the output grid.
        w_dim: Length of ``w``.
        up: Double the grid.

    Source: Karras et al. 2020, Sec. 2.2.
    """

    noise: Float[Tensor, "_ 1 side side"]

    def __init__(self, before: int, after: int, side: int, w_dim: int, *, up: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(draw_normal(after, before, 3, 3, rate=math.sqrt(9 * before / 2)))
        self.affine = EqualizedLinear(w_dim, before, gain=1, bias=1.0)
        self.bias = nn.Parameter(torch.zeros(after))
        self.noise_strength = nn.Parameter(torch.zeros(after))
        self.register_buffer("noise", torch.rand(1, 1, side, side))
        self.up = up

    def forward(
        self,
        x: Float[Tensor, "batch before _ _"],
        w: Float[Tensor, "batch w_dim"],
        noise: Float[Tensor, "#batch 1 _ _"] | None,
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the layer's activations.

        Args:
            x: Activations of the previous layer.
            w: Latent vectors, ``[batch, w_dim]``.
            noise: ``[batch or 1, 1, side, side]``; None selects the layer's fixed noise.
        """
        if self.up:
            x = _enlarge(x)
        style = self.affine(w)
        x = functional.conv2d(x * spread_channels(style, x), self.weight, padding=1)
        noise = self.noise if noise is None else noise
        shift = noise.to(x.dtype) * spread_channels(self.noise_strength[None], x) + spread_channels(self.bias[None], x)
        return functional.leaky_relu(torch.addcmul(shift, x, spread_channels(demodulation(self.weight, style), x)), 0.2)


class BilinearImage(nn.Module):
    """A modulated 1 x 1 convolution from activations to an image, added to the upsampled image so far.

    Args:
        units: Number of input units.
        w_dim: Length of ``w``.
        blur: Filter upsampled images with [1, 2, 1] in both directions, mirrored at the border.

    Source: Karras et al. 2020, Fig. 7b.
    """

    def __init__(self, units: int, w_dim: int, blur: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(draw_normal(3, units, 1, 1, rate=math.sqrt(units / 2)))
        self.affine = EqualizedLinear(w_dim, units, gain=1, bias=1.0)
        self.bias = nn.Parameter(torch.zeros(3))
        self.blur = blur

    def forward(
        self,
        x: Float[Tensor, "batch unit h w"],
        w: Float[Tensor, "batch w_dim"],
        image: Float[Tensor, "batch 3 _ _"] | None,
    ) -> Float[Tensor, "batch 3 h w"]:
        """Return the image of ``x``, plus ``image``, upsampled by two.

        Args:
            x: Activations, ``[batch, units, h, w]``.
            w: Latent vectors, ``[batch, w_dim]``.
            image: Sum of the images so far, at half the size; None before the first.
        """
        own = functional.conv2d(x * spread_channels(self.affine(w), x), self.weight, self.bias)
        if image is None:
            return own
        larger = _enlarge(image)
        return own + (_blur(larger) if self.blur else larger)


def _enlarge(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _blur(image: Tensor) -> Tensor:
    row = image.new_tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(row, row).expand(image.shape[1], 1, 3, 3)
    return functional.conv2d(functional.pad(image, (1, 1, 1, 1), mode="reflect"), kernel, groups=image.shape[1])
