"""StyleGAN2: styles scale the weights of convolutions, and the image is a sum over all grids.

``z -> mapping -> ws [num_ws, w_dim]``; ``constant -> layer1 [c, 4, 4] -> layer2 -> layer3 [c', 8, 8] -> ... -> output``

Layer ``i`` is a convolution with the style of ``ws[:, i - 1]``, noise, bias and leaky ReLU; the first layer of each
grid but 4 x 4 doubles it. In the structure ``skip``, the last layer of each grid contributes an image with the style of
``ws[:, i]``. The next stage adds it to the upsampled sum of the earlier ones, so an edited activation affects it; the
last such stage is ``output``. In the other two structures only ``output`` renders an image. ``orig`` has no skip
connections, as in StyleGAN. In ``resnet`` a 1 x 1 convolution bypasses the two layers of each grid, and the activation
of the second layer is the sum of both branches, divided by sqrt(2).

With ``w_jik`` the weight from unit i to unit j at kernel position k, and ``s_i`` the style::

    w'_jik  = s_i w_jik
    w''_jik = w'_jik / sqrt(sum_ik w'_jik^2 + eps)

``conv(x, w'')_j = d_j conv(s x, w)_j`` with ``d_j = 1 / sqrt(sum_i s_i^2 sum_k w_jik^2 + eps)``, so one convolution
with the same weights serves all images.

Source: Karras et al. 2020, arXiv 1912.04958, Sec. 2.2, Eq. 1-3; Sec. 4.1, Fig. 7.
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

from gandissect.core.defaults import float32_factories

from .blocks import (
    SQRT2,
    Blur,
    EqualizedConv2d,
    EqualizedLinear,
    MinibatchStd,
    depth_of,
    double,
    draw_normal,
    spread_channels,
    units_of,
)
from .generator_base import Latent
from .stylegan import MappingNetwork, StyleGenerator, Styles

STRUCTURES = ("skip", "resnet", "orig")
"""Connections from the grids to the image."""


class StyleGAN2(StyleGenerator):
    """The StyleGAN2 generator.

    Args:
        size: Height and width of an image, a power of two from 8 to 1024.
        width: Number of units of the last two layers, doubled at each halving of the grid toward the input; or a list
            of the numbers at 4 x 4, 8 x 8, ...
        max_width: Maximum number of units of a layer.
        z_dim: Length of ``z``.
        w_dim: Length of ``w``.
        mapping_depth: Number of layers of the mapping network.
        clamp: Largest magnitude of activations, after the gain, and of each grid's image; None means no limit.
        structure: ``skip`` (images of all grids are added), ``resnet`` (residual grids) or ``orig`` (neither).

    Raises:
        ValueError: If a number is out of range, or the structure is unknown.

    Source: Karras et al. 2020, Fig. 2d and Fig. 7 (above the line).
    """

    architecture = "stylegan2"
    beside = StyleGenerator.beside | {"to_rgb", "skips"}

    def __init__(
        self,
        size: int = 64,
        width: int | Sequence[int] = 32,
        max_width: int = 512,
        z_dim: int = 128,
        w_dim: int = 128,
        mapping_depth: int = 8,
        clamp: float | None = None,
        structure: str = "skip",
    ) -> None:
        settings: dict[str, Any] = {"size": size, "width": width, "max_width": max_width, "z_dim": z_dim}
        settings |= {"w_dim": w_dim, "mapping_depth": mapping_depth} | ({} if clamp is None else {"clamp": clamp})
        super().__init__(z_dim, settings | ({} if structure == "skip" else {"structure": structure}))
        if clamp is not None and not clamp > 0:
            raise ValueError(f"clamp must be above 0, or None; got {clamp}")
        if structure not in STRUCTURES:
            raise ValueError(f"structure must be one of {', '.join(STRUCTURES)}; got {structure!r}")
        self.structure = structure
        units = units_of(size, width, max_width)
        sides = [4 * 2**level for level in range(len(units))]
        residual = structure == "resnet"
        self.mapping = MappingNetwork(z_dim, w_dim, mapping_depth, num_ws=2 * depth_of(size) + 2)
        self.constant = nn.Parameter(draw_normal(1, units[0], 4, 4))
        self.layer1 = ModulatedLayer(units[0], units[0], 4, w_dim, clamp=clamp)
        for level, (before, after) in enumerate(pairwise(units), start=1):
            first = ModulatedLayer(before, after, sides[level], w_dim, up=True, clamp=clamp)
            second = ModulatedLayer(after, after, sides[level], w_dim, clamp=clamp, residual=residual)
            self.add_module(f"layer{2 * level}", first)
            self.add_module(f"layer{2 * level + 1}", second)
        self.output = ToRGB(units[-1], w_dim, clamp)
        pictured = sides[:-1] if structure == "skip" else []
        self.to_rgb = nn.ModuleDict(
            {str(side): ToRGB(count, w_dim, clamp) for side, count in zip(pictured, units, strict=False)}
        )
        bypassed = pairwise(units) if residual else []
        self.skips = nn.ModuleDict({str(side): Bypass(*pair) for side, pair in zip(sides[:-1], bypassed, strict=False)})

    def stage(
        self, index: int, x: Float[Tensor, "batch before _ _"], context: Styles
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the output of a stage; the first stage after a grid also updates the image or the residual."""
        name, module = self._stages[index]
        if name == "output":
            image: Tensor = module(x, context.ws[:, index], context.image)
            return image
        if index % 2:
            self._lead_past(index, x, context)
        output: Tensor = module(x, *context.of(index), None if index % 2 else context.residual)
        return output

    def context_after(self, z: Latent, position: int) -> Styles:
        """Return the context after the stage at ``position``, with the image or residual so far."""
        context = self.context(z)
        last = position - (position + 1) % 2
        if last > 0 and (self.structure == "skip" or (self.structure == "resnet" and last == position)):
            self._lead_past(last, self.run(self.input(z), context, 0, last), context)
        return context

    def affines(self, index: int) -> list[EqualizedLinear]:
        """Return the linear maps of ``ws[:, index]``: of a layer, and of the previous grid's image."""
        side = self.layers[self._stages[index - 1][0]].height if index % 2 else 0
        images = [module for key, module in self.to_rgb.items() if key == str(side)]
        return [*super().affines(index), *(image.affine for image in images if isinstance(image, ToRGB))]

    def _lead_past(self, index: int, x: Tensor, context: Styles) -> None:
        """Add the image of a grid's last layer to the context, or the residual for the next grid."""
        side = str(x.shape[3])
        if self.structure == "skip":
            context.image = self.to_rgb[side](x, context.ws[:, index], context.image)
        elif self.structure == "resnet":
            context.residual = self.skips[side](x)


class ModulatedLayer(nn.Module):
    """Modulated and demodulated convolution, noise, bias, leaky ReLU with gain sqrt(2), or 1 in a residual sum.

    A layer that doubles the grid is a transposed convolution with stride 2 followed by the filter [1, 3, 3, 1]: zeros
    are inserted between pixels, then come convolution and the low-pass filter of bilinear interpolation.

    Args:
        before: Number of input units.
        after: Number of output units.
        side: Height and width of the output grid.
        w_dim: Length of ``w``.
        up: Double the grid.
        clamp: Largest magnitude of an activation, after the gain; None means no limit.
        residual: Divide the output by sqrt(2), as one term of a residual sum.

    Source: Karras et al. 2020, Fig. 2d, Sec. 2.2.
    """

    noise: Float[Tensor, "_ 1 side side"]

    def __init__(
        self,
        before: int,
        after: int,
        side: int,
        w_dim: int,
        *,
        up: bool = False,
        clamp: float | None = None,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(draw_normal(after, before, 3, 3))
        self.affine = EqualizedLinear(w_dim, before, gain=1, bias=1.0)
        self.bias = nn.Parameter(torch.zeros(after))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", draw_normal(1, 1, side, side))
        self.scale, self.up = 1 / math.sqrt(9 * before), up
        share = 1 / SQRT2 if residual else 1.0
        self.gain, self.clamp = SQRT2 * share, None if clamp is None else clamp * share

    def forward(
        self,
        x: Float[Tensor, "batch before _ _"],
        w: Float[Tensor, "batch w_dim"],
        noise: Float[Tensor, "#batch 1 _ _"] | None,
        residual: Float[Tensor, "batch unit h w"] | None = None,
    ) -> Float[Tensor, "batch unit h w"]:
        """Return the layer's activations.

        Args:
            x: Activations of the previous layer.
            w: Latent vectors, ``[batch, w_dim]``.
            noise: ``[batch or 1, 1, side, side]``; None selects the layer's fixed noise.
            residual: The other term of a residual sum; None if there is no sum.
        """
        style, weight = self.affine(w), self.weight * self.scale
        x = x * spread_channels(style, x)
        if self.up:  # the factor 4 compensates for the inserted zeros
            x = _LowPass.apply(functional.conv_transpose2d(x, 4 * weight.transpose(0, 1), stride=2), 1)
        else:
            x = functional.conv2d(x, weight, padding=1)
        # Leaky ReLU commutes with positive factors: applying its gain first saves a pass over the activations.
        scale, strength = self.gain * demodulation(weight, style), self.gain * self.noise_strength
        noise = self.noise if noise is None else noise
        shift = noise.to(x.dtype) * strength.to(x.dtype) + spread_channels(self.gain * self.bias[None], x)
        output = _clamp(functional.leaky_relu(torch.addcmul(shift, x, spread_channels(scale, x)), 0.2), self.clamp)
        return output if residual is None else output + residual


class ToRGB(nn.Module):
    """A modulated 1 x 1 convolution from activations to an image, added to the image so far.

    Args:
        units: Number of input units.
        w_dim: Length of ``w``.
        clamp: Largest magnitude of this layer's image, before the addition.

    Source: Karras et al. 2020, Fig. 7b; without demodulation: Appendix B.
    """

    def __init__(self, units: int, w_dim: int, clamp: float | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(draw_normal(3, units, 1, 1))
        self.affine = EqualizedLinear(w_dim, units, gain=1, bias=1.0)
        self.bias = nn.Parameter(torch.zeros(3))
        self.blur = Blur()
        self.scale, self.clamp = 1 / math.sqrt(units), clamp

    def forward(
        self,
        x: Float[Tensor, "batch unit h w"],
        w: Float[Tensor, "batch w_dim"],
        image: Float[Tensor, "batch 3 _ _"] | None,
    ) -> Float[Tensor, "batch 3 h w"]:
        """Return the image of ``x``, plus ``image``, upsampled by two with the filter [1, 3, 3, 1].

        Args:
            x: Activations, ``[batch, units, h, w]``.
            w: Latent vectors, ``[batch, w_dim]``.
            image: Sum of the images so far, at half the size; None before the first.
        """
        x = x * spread_channels(self.affine(w), x)
        own = _clamp(functional.conv2d(x, self.weight * self.scale, self.bias).float(), self.clamp)
        if image is None:
            return own
        with torch.autocast(x.device.type, enabled=False):  # a bfloat16 sum would show banding
            total: Tensor = own + self.blur(double(image))
            return total


class Bypass(nn.Module):
    """Skip connection of a grid: a 1 x 1 convolution over sqrt(2), upsampled with the filter [1, 3, 3, 1].

    Args:
        before: Number of input units.
        after: Number of output units.

    Source: Karras et al. 2020, Fig. 7c (above the line), Sec. 4.1.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convolution = EqualizedConv2d(before, after, 1, gain=1 / SQRT2, bias=False)
        self.blur = Blur()

    def forward(self, x: Float[Tensor, "batch before _ _"]) -> Float[Tensor, "batch after h w"]:
        """Convolve and upsample."""
        enlarged: Tensor = self.blur(double(self.convolution(x)))
        return enlarged


class ResidualDiscriminator(nn.Module):
    """The discriminator of StyleGAN2: one logit per image.

    Args:
        size: Height and width of the images.
        width: Number of units at that size, doubled at each halving of the grid.
        max_width: Maximum number of units of a layer.

    Raises:
        ValueError: If a number is out of range.

    Source: Karras et al. 2020, Fig. 7c (below the line), Sec. 4.1.
    """

    @float32_factories()
    def __init__(self, size: int = 64, width: int = 32, max_width: int = 512) -> None:
        super().__init__()
        units = units_of(size, width, max_width)[::-1]
        self.from_rgb = nn.Sequential(EqualizedConv2d(3, units[0], 1), nn.LeakyReLU(0.2))
        self.blocks = nn.Sequential(*map(ResidualBlock, units, units[1:]))
        self.last = nn.Sequential(
            MinibatchStd(),
            EqualizedConv2d(units[-1] + 1, units[-1], 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            EqualizedLinear(16 * units[-1], units[-1]),
            nn.LeakyReLU(0.2),
            EqualizedLinear(units[-1], 1, gain=1),
        )

    def forward(self, images: Float[Tensor, "batch 3 H W"]) -> Float[Tensor, " batch"]:
        """Return logits, float ``[batch]``, positive for images that look real.

        Args:
            images: float ``[batch, 3, size, size]``.
        """
        logits: Tensor = self.last(self.blocks(self.from_rgb(images)))
        return logits.squeeze(1)


class ResidualBlock(nn.Module):
    """Two convolutions in parallel with a 1 x 1 convolution; both branches halve the grid with the filter [1, 3, 3, 1].

    The gains divide the sum by sqrt(2), which preserves its variance.

    Args:
        before: Number of input units.
        after: Number of output units.

    Source: Karras et al. 2020, Sec. 4.1.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            EqualizedConv2d(before, before, 3, padding=1),
            nn.LeakyReLU(0.2),
            Blur(),  # with the 2 x 2 average of the next module: [1, 3, 3, 1]
            EqualizedConv2d(before, after, 3, padding=1, gain=1, resample="down"),
            nn.LeakyReLU(0.2),
        )
        self.skip = nn.Sequential(
            Blur(), nn.AvgPool2d(2), EqualizedConv2d(before, after, 1, gain=1 / SQRT2, bias=False)
        )

    def forward(self, x: Float[Tensor, "batch before h w"]) -> Float[Tensor, "batch after _ _"]:
        """Halve the grid."""
        total: Tensor = self.residual(x) + self.skip(x)
        return total


def demodulation(
    weight: Float[Tensor, "after before k k"], style: Float[Tensor, "batch before"]
) -> Float32[Tensor, "batch after"]:
    """Return ``1 / sqrt(sum_i s_i^2 sum_k w_jik^2 + 1e-8)``, float32 ``[batch, after]``.

    Args:
        weight: The weights ``w_jik``.
        style: The factors ``s_i`` of the input units, for each image.

    Source: Karras et al. 2020, Eq. 1 and 3.
    """
    with torch.autocast(weight.device.type, enabled=False):
        energy = weight.float().square().sum(dim=(2, 3))
        return (functional.linear(style.float().square(), energy) + 1e-8).rsqrt()


class _LowPass(torch.autograd.Function):
    """The separable filter [1, 3, 3, 1] / 8 of each unit, with zero padding.

    Its adjoint is the same filter with a padding of 3 - padding. Torch's own gradient is far slower on a CPU.
    """

    @staticmethod
    def forward(context: Any, x: Tensor, padding: int) -> Tensor:
        context.padding = padding
        row = x.new_tensor([0.125, 0.375, 0.375, 0.125])
        kernel = torch.outer(row, row).expand(x.shape[1], 1, 4, 4).contiguous()
        return functional.conv2d(x, kernel, padding=padding, groups=x.shape[1])

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _LowPass.apply(gradient, 3 - context.padding), None


def _clamp(x: Tensor, bound: float | None) -> Tensor:
    return x if bound is None else x.clamp(-bound, bound)
