"""StyleGAN2 with bilinear doubling and noise in [0, 1], as the widespread implementation of lucidrains has it.

``z -> mapping -> ws [num_ws, w_dim]``; ``constant -> layer1 [c, 4, 4] -> layer2 -> layer3 [c', 8, 8] -> ... -> output``

Layer ``i`` is a convolution with the style of ``ws[:, i - 1]``, noise, bias and leaky ReLU, all without a gain; the
first of each grid but 4 x 4 is given a grid doubled by bilinear interpolation. Each grid has two layers, and the second
makes an image with its own style. That image is added to the enlarged sum of those before it by the stage that comes
next, so an edited activation is seen in it; the last such stage is ``output``.

Source: Karras et al. 2020, arXiv 1912.04958, Sec. 2.2, Eq. 1-3, Fig. 7b; what differs:
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
    """The StyleGAN2 generator with bilinear doubling.

    Args:
        size: Height and width of an image, a power of two from 8 to 1024.
        width: Units of the last two layers, doubled towards the input as the grid is halved; or those at 4 x 4,
            8 x 8, ..., each.
        max_width: Units of a layer at most.
        z_dim: Length of ``z``.
        w_dim: Length of ``w``.
        mapping_depth: Layers of the mapping network.
        blur: Filter enlarged images with [1, 2, 1].

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
        """Return the output of one stage; one that is given the second layer of a grid adds its image first."""
        name, module = self._stages[index]
        if name == "output":
            image: Tensor = module(x, context.ws[:, index - 1], context.image)
            return image
        if index and index % 2 == 0:
            self._add_image(index, x, context)
        output: Tensor = module(x, *context.of(index))
        return output

    def context_after(self, z: Latent, position: int) -> Styles:
        """Return the context with the sum of the images that the stages up to that position have added."""
        context = self.context(z)
        last = position - position % 2
        if last > 0:
            self._add_image(last, self.run(self.input(z), context, 0, last), context)
        return context

    def affines(self, index: int) -> list[EqualizedLinear]:
        """Return what makes styles of ``ws[:, index]``: of a layer, and of the image of its grid."""
        affines = super().affines(index)
        if index % 2:
            is_last = index == self.mapping.num_ws - 1
            side = str(self.layers[self._stages[index][0]].height)
            image = self.output if is_last else self.to_rgb[side]
            affines += [image.affine] if isinstance(image, BilinearImage) else []
        return affines

    def random_noise(self, num_samples: int, rng: torch.Generator) -> list[Float32[Tensor, "batch 1 _ _"]]:
        """Draw noise of every layer for `synthesis`: that of a layer is a corner of the largest, even in [0, 1].

        Args:
            num_samples: How many images.
            rng: What the numbers are drawn from, such as ``torch.Generator().manual_seed(0)``.

        Returns:
            float32 ``[num_samples, 1, h, w]``, one tensor a layer, on CPU.

        Raises:
            TypeError: If ``rng`` is something else, such as a seed.
        """
        *_, largest = super().random_noise(num_samples, rng)
        return [largest[:, :, : info.height, : info.width] for info in self.layers.values()]

    @staticmethod
    def draw_noise(num_samples: int, side: int, rng: torch.Generator) -> Float32[Tensor, "batch 1 side side"]:
        """Draw noise of one grid, even in [0, 1], float32 ``[num_samples, 1, side, side]`` on CPU."""
        return torch.rand((num_samples, 1, side, side), generator=rng, dtype=torch.float32, device="cpu")

    def _add_image(self, index: int, x: Tensor, context: Styles) -> None:
        context.image = self.to_rgb[str(x.shape[3])](x, context.ws[:, index - 1], context.image)


class BilinearLayer(nn.Module):
    """Bilinear doubling or none, modulated and demodulated convolution, noise, bias, leaky ReLU.

    Args:
        before: Units that it is given.
        after: Units that it returns.
        side: Height and width of the grid that it returns.
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
            x: The activations before.
            w: Latent vectors, ``[batch, w_dim]``.
            noise: ``[batch or 1, 1, side, side]``; None is the layer's own.
        """
        if self.up:
            x = _enlarge(x)
        style = self.affine(w)
        x = functional.conv2d(x * spread_channels(style, x), self.weight, padding=1)
        noise = self.noise if noise is None else noise
        shift = noise.to(x.dtype) * spread_channels(self.noise_strength[None], x) + spread_channels(self.bias[None], x)
        return functional.leaky_relu(torch.addcmul(shift, x, spread_channels(demodulation(self.weight, style), x)), 0.2)


class BilinearImage(nn.Module):
    """An image of a layer's activations, added to what there is so far, enlarged: a modulated 1 x 1 convolution.

    Args:
        units: Units that it is given.
        w_dim: Length of ``w``.
        blur: Filter what was enlarged with [1, 2, 1] in both directions, mirrored at the border.

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
        """Return the image of ``x``, plus ``image``, of half the size, enlarged.

        Args:
            x: The activations, ``[batch, units, h, w]``.
            w: Latent vectors, ``[batch, w_dim]``.
            image: The sum of the images so far; None at first.
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
